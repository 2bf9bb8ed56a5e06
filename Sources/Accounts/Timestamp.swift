/// An instant, in whole milliseconds since 1970-01-01T00:00:00Z: what the database stores and what arithmetic on
/// provider-given numbers can't overflow, for every operation clamps.
package struct Timestamp: Sendable, Hashable, Comparable, CustomStringConvertible {
    package var millisecondsSinceEpoch: Int64

    package init(millisecondsSinceEpoch: Int64) { self.millisecondsSinceEpoch = millisecondsSinceEpoch }
    package init(secondsSinceEpoch: Int64) {
        let (product, overflow) = secondsSinceEpoch.multipliedReportingOverflow(by: 1000)
        millisecondsSinceEpoch = overflow ? (secondsSinceEpoch < 0 ? .min : .max) : product
    }

    /// The far end of what RFC 3339 can say with a four-digit year.
    package static let distantFuture = Timestamp(secondsSinceEpoch: 253_402_300_799)
    package static let epoch = Timestamp(millisecondsSinceEpoch: 0)

    /// Rounded to the second below.
    package var secondsSinceEpoch: Int64 {
        let (quotient, remainder) = millisecondsSinceEpoch.quotientAndRemainder(dividingBy: 1000)
        return remainder < 0 ? quotient - 1 : quotient
    }

    package static func < (left: Self, right: Self) -> Bool {
        left.millisecondsSinceEpoch < right.millisecondsSinceEpoch
    }

    package static func + (left: Self, right: Duration) -> Self { left.moved(by: right.milliseconds) }
    package static func - (left: Self, right: Duration) -> Self { left.moved(by: -right.milliseconds) }

    private func moved(by milliseconds: Int128) -> Self {
        Timestamp(millisecondsSinceEpoch: Int64(clamping: Int128(millisecondsSinceEpoch) + milliseconds))
    }

    package static func - (left: Self, right: Self) -> Duration {
        let (difference, overflow) = left.millisecondsSinceEpoch.subtractingReportingOverflow(
            right.millisecondsSinceEpoch)
        return .milliseconds(overflow ? (left < right ? Int64.min : .max) : difference)
    }

    package var description: String { rfc3339 }
}

extension Duration {
    /// Rounded toward zero; clamped to what an `Int64` holds.
    package var wholeMilliseconds: Int64 { Int64(clamping: milliseconds) }

    fileprivate var milliseconds: Int128 { attoseconds / 1_000_000_000_000_000 }

    package var secondsAsDouble: Double {
        // Not by way of one number of 128 bits where that can be: turning it into a double takes a microsecond.
        guard self < .seconds(Int64.max), self > .seconds(Int64.min) else { return Double(attoseconds) / 1e18 }
        let (seconds, attoseconds) = components
        return Double(seconds) + Double(attoseconds) / 1e18
    }
}
