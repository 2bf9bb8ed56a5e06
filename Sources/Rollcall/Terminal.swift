import ArgumentParser
import Foundation
import Synchronization

/// What a command says to a person or to a program: results on standard output, everything else on standard error.
enum Terminal {
    /// Ends the program where nobody can read the result: a full disk behind `>`.
    static func say(_ text: String) { write(text + "\n") }

    /// The same without the end of the line.
    static func write(_ text: String) {
        let failure = write(text, to: 1)
        if failure == 0 { return }
        // A reader such as `head` has seen enough; that is no fault.
        if failure == EPIPE { exit(ExitCode.success.rawValue) }
        let reason = String(cString: strerror(failure))
        note("rollcall: standard output can't be written, the rest of the result is lost: \(reason)")
        exit(ExitCode.outputLost.rawValue)
    }

    static func note(_ text: String) { writeError(text + "\n") }

    /// Standard error may be a file on a full disk: a line that can't be written there is lost, and nothing else.
    static func writeError(_ text: String) { _ = write(text, to: 2) }

    /// 0, or the `errno` of the write that failed.
    private static func write(_ text: String, to descriptor: Int32) -> Int32 {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            if count <= 0 { return count < 0 ? errno : EIO }
            bytes = bytes.dropFirst(count)
        }
        return 0
    }

    static var errorIsTerminal: Bool { isatty(2) == 1 }

    /// Columns padded to their widest cell; no lines drawn, so that the output can be cut and grepped.
    static func table(_ header: [String], _ rows: [[String]]) -> String {
        let all = [header] + rows
        let widths = header.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        return all.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                line +=
                    column == row.count - 1
                    ? cell : cell.padding(toLength: widths[column] + 2, withPad: " ", startingAt: 0)
            }
            return line
        }.joined(separator: "\n")
    }
}

/// A bar on standard error for work that takes a while; silent where standard error is not a terminal. Drawn at most
/// ten times a second.
final class ProgressBar: Sendable {
    private struct State {
        var done = 0
        var drawnAt: ContinuousClock.Instant?
        var isDrawn = false
    }

    private let title: String
    private let total: Int?
    private let isShown: Bool
    private let startedAt = ContinuousClock.now
    private let state = Mutex(State())

    /// - Parameter total: how much there is to do, in the unit of `advance`; `nil` where nobody knows.
    init(_ title: String, total: Int?, isShown: Bool = Terminal.errorIsTerminal) {
        self.title = title
        self.total = total
        self.isShown = isShown
    }

    func advance(to done: Int, note: String = "") {
        guard isShown else { return }
        let now = ContinuousClock.now
        let draws = state.withLock { state in
            state.done = done
            if let last = state.drawnAt, now - last < .milliseconds(100), done != total { return false }
            state.drawnAt = now
            state.isDrawn = true
            return true
        }
        if draws { Terminal.writeError("\r\u{1b}[2K" + line(done: done, note: note)) }
    }

    func finish() {
        if state.withLock({ $0.isDrawn }) { Terminal.writeError("\r\u{1b}[2K") }
    }

    private func line(done: Int, note: String) -> String {
        let elapsed = (ContinuousClock.now - startedAt).components
        let seconds = max(Double(elapsed.seconds) + Double(elapsed.attoseconds) / 1e18, 0.001)
        let rate = Int(Double(done) / seconds)
        guard let total, total > 0 else { return "\(title) \(done) (\(rate)/s) \(note)" }
        let share = min(Double(done) / Double(total), 1)
        let filled = Int(share * 30)
        let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: 30 - filled)
        let left = share > 0 ? Int(seconds / share - seconds) : 0
        return "\(title) \(bar) \(Int(share * 100)) % (\(rate)/s, \(left) s left) \(note)"
    }
}
