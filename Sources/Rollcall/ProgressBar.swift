import Synchronization

/// One line at the bottom of the terminal for work that takes a while: how much is done, how fast, and how long it will
/// still take. Silent where standard error is not a terminal; drawn at most ten times a second.
final class ProgressBar: Sendable {
    private let title: String
    private let total: Int?
    private let isCount: Bool
    private let isShown: Bool
    private let startedAt = ContinuousClock.now
    private let drawnAt = Mutex<ContinuousClock.Instant?>(nil)

    /// - Parameters:
    ///   - total: how much there is to do, in the unit of `advance`; `nil` where nobody knows. It may turn out to be more.
    ///   - isCount: whether that unit means anything to a person; else the share alone is shown.
    init(_ title: String, total: Int?, isCount: Bool = true, isShown: Bool = Terminal.errorIsTerminal) {
        self.title = title
        self.total = total
        self.isCount = isCount
        self.isShown = isShown
    }

    func advance(to done: Int, note: String = "") {
        guard isShown else { return }
        let now = ContinuousClock.now
        let draws = drawnAt.withLock { drawnAt in
            if let last = drawnAt, now - last < .milliseconds(100) { return false }
            drawnAt = now
            return true
        }
        guard draws else { return }
        Terminal.showBar(
            Self.line(
                title, done: done, total: total, isCount: isCount, after: now - startedAt, note: note,
                width: Terminal.errorWidth))
    }

    func finish() { if isShown { Terminal.showBar("") } }

    /// No wider than the terminal: a line that wraps can't be written over.
    static func line(
        _ title: String, done: Int, total: Int?, isCount: Bool = true, after elapsed: Duration, note: String = "",
        width: Int
    ) -> String {
        let (whole, attoseconds) = elapsed.components
        let seconds = max(Double(whole) + Double(attoseconds) / 1e18, 0.001)
        let rate = Double(done) / seconds
        let speed = rate >= 10 || rate == 0 ? "\(Int(rate))/s" : "\(Int((rate * 60).rounded()))/min"
        var parts: [String]
        var bar = ""
        if let total, total > 0 {
            let all = max(total, done)
            let share = Double(done) / Double(all)
            let filled = Int(share * 20)
            bar = String(repeating: "█", count: filled) + String(repeating: "░", count: 20 - filled) + " "
            parts = ["\(Int(share * 100)) %"]
            if isCount { parts = ["\(done) of \(all)"] + parts + [speed] }
            if done > 0, done < all { parts.append("\(text(of: Double(all - done) / rate)) left") }
        } else {
            parts = isCount ? ["\(done)", speed] : []
        }
        if !note.isEmpty { parts.append(note) }
        let text = parts.joined(separator: ", ")
        // What says something comes before what looks like something.
        let line = "\(title) \(bar)\(text)"
        return String((line.count < width ? line : "\(title) \(text)").prefix(max(width - 1, 0)))
    }

    /// To be read at a glance: two units at most.
    private static func text(of seconds: Double) -> String {
        let whole = Int(min(seconds.rounded(.up), 1e9))
        switch whole {
        case ..<60: return "\(whole) s"
        case ..<3600: return "\(whole / 60) min \(whole % 60) s"
        default: return "\(whole / 3600) h \(whole % 3600 / 60) min"
        }
    }
}
