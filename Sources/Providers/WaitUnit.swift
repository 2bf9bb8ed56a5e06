import Accounts

/// How a provider writes the time to wait until, or for.
enum WaitUnit: String, Sendable, CaseIterable {
    /// From now.
    case seconds
    case milliseconds
    /// Since 1970.
    case epochSeconds = "epoch_seconds"
    case epochMilliseconds = "epoch_milliseconds"
    case rfc3339
    /// A number with its unit, as in `34s` or `250ms`.
    case duration

    /// `nil` where the text is not in this unit. Any instant, the past among them.
    func instant(_ text: String, now: Timestamp) -> Timestamp? {
        let text = text.trimmed
        switch self {
        case .seconds: return Self.number(text).map { now + Self.milliseconds($0 * 1000) }
        case .milliseconds: return Self.number(text).map { now + Self.milliseconds($0) }
        case .epochSeconds: return Self.number(text).map { Timestamp.epoch + Self.milliseconds($0 * 1000) }
        case .epochMilliseconds: return Self.number(text).map { Timestamp.epoch + Self.milliseconds($0) }
        case .rfc3339: return Timestamp(rfc3339: text)
        case .duration:
            let units = [("ms", 1.0), ("s", 1000), ("m", 60_000), ("h", 3_600_000)]
            guard let (unit, factor) = units.first(where: { text.hasSuffix($0.0) }) else { return nil }
            return Self.number(String(text.dropLast(unit.count))).map { now + Self.milliseconds($0 * factor) }
        }
    }

    /// `Retry-After`: seconds or a date (RFC 9110 §10.2.3); with a fraction, or as RFC 3339, by those who know better.
    static func retryAfter(_ text: String, now: Timestamp) -> Timestamp? {
        let text = text.trimmed
        return WaitUnit.seconds.instant(text, now: now) ?? HTTPDate.instant(text) ?? Timestamp(rfc3339: text)
    }

    /// Digits, perhaps with a fraction: no sign, no exponent, no infinity.
    static func number(_ text: String) -> Double? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        let isPlain = parts.allSatisfy { !$0.isEmpty && $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }
        guard (1...2).contains(parts.count), isPlain, text.utf8.count <= 40 else { return nil }
        return Double(text)
    }

    /// Rounded up: a limit's last millisecond belongs to it. Bounded, for an instant can't overflow but a double can.
    private static func milliseconds(_ count: Double) -> Duration {
        .milliseconds(Int64(min(count.rounded(.up), 9e15)))
    }
}

/// The three forms of an HTTP date (RFC 9110 §5.6.7).
enum HTTPDate {
    /// `nil` for what is none of them.
    static func instant(_ text: String) -> Timestamp? {
        let words = text.split { " ,-".contains($0) }.map(String.init)
        guard text.utf8.count <= 40, let zone = words.last else { return nil }
        if zone == "GMT", words.count == 6, let year = number(words[3], 2...4) {
            // `Sun, 06 Nov 1994 08:49:37 GMT`, or `Sunday, 06-Nov-94 08:49:37 GMT` with two digits of the year.
            let full = words[3].utf8.count == 2 ? (year < 70 ? 2000 + year : 1900 + year) : year
            return instant(year: full, month: words[2], day: words[1], time: words[4])
        }
        if words.count == 5, let year = number(words[4], 4...4) {
            // `Sun Nov  6 08:49:37 1994`.
            return instant(year: year, month: words[1], day: words[2], time: words[3])
        }
        return nil
    }

    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    private static func instant(year: Int, month: String, day: String, time: String) -> Timestamp? {
        let clock = time.split(separator: ":", omittingEmptySubsequences: false).map { number(String($0), 2...2) }
        guard let month = months.firstIndex(of: month), let day = number(day, 1...2), (1...31).contains(day),
            clock.count == 3, let hour = clock[0], let minute = clock[1], let second = clock[2], hour < 24,
            minute < 60, second <= 60
        else { return nil }
        // Days since 1970 in the civil calendar, with years that begin in March.
        let shifted = month < 2 ? year - 1 : year
        let dayOfYear = (153 * ((month + 10) % 12) + 2) / 5 + day - 1
        let days = 365 * shifted + shifted / 4 - shifted / 100 + shifted / 400 + dayOfYear - 719_468
        return Timestamp(secondsSinceEpoch: Int64(days) * 86400 + Int64(hour * 3600 + minute * 60 + second))
    }

    private static func number(_ text: String, _ digits: ClosedRange<Int>) -> Int? {
        guard digits.contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return Int(text)
    }
}
