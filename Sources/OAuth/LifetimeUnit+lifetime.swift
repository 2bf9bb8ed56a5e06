import Accounts
import JSON

extension LifetimeUnit {
    /// A number in any notation or text with one, or text in the unit's own form; fractions are cut off. `nil` for anything
    /// else and for what is negative, zero for an end that has passed; at most a hundred years.
    func lifetime(_ value: JSONValue, from start: Timestamp) -> Duration? {
        switch self {
        case .seconds: return Self.number(value).flatMap { Self.seconds($0) }
        case .milliseconds: return Self.number(value).flatMap { Self.seconds($0 / 1000) }
        case .epochSeconds: return Self.number(value).flatMap { Self.span(to: $0, from: start) }
        case .epochMilliseconds: return Self.number(value).flatMap { Self.span(to: $0 / 1000, from: start) }
        case .rfc3339:
            return value.string.flatMap { Timestamp(rfc3339: $0) }.flatMap {
                Self.span(to: Double($0.millisecondsSinceEpoch) / 1000, from: start)
            }
        case .daysHoursMinutes:
            let parts = value.string?.split(separator: ":", omittingEmptySubsequences: false) ?? []
            let numbers = parts.compactMap { part in
                part.utf8.allSatisfy { (0x30...0x39).contains($0) } && part.utf8.count <= 6 ? Double(part) : nil
            }
            guard numbers.count == 3, parts.count == 3, numbers[1] < 24, numbers[2] < 60 else { return nil }
            return Self.seconds(numbers[0] * 86_400 + numbers[1] * 3600 + numbers[2] * 60)
        }
    }

    private static func number(_ value: JSONValue) -> Double? {
        switch value {
        case .number(let number): number.double
        // Swift reads hexadecimal and names as well; JSON has neither.
        case .string(let text):
            text.utf8.count <= 32 && text.utf8.allSatisfy("0123456789+-.eE".utf8.contains) ? Double(text) : nil
        default: nil
        }
    }

    private static func seconds(_ count: Double) -> Duration? {
        count >= 0 ? .seconds(Int64(min(count, 3_155_760_000))) : nil
    }

    /// An instant that can't be one is no end.
    private static func span(to end: Double, from start: Timestamp) -> Duration? {
        guard end > 0 else { return nil }
        return seconds(max(0, end - Double(start.millisecondsSinceEpoch) / 1000))
    }
}
