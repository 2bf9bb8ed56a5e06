import FoundationEssentials

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

    package var secondsSinceEpoch: Int64 {
        millisecondsSinceEpoch >= 0 ? millisecondsSinceEpoch / 1000 : -((999 - millisecondsSinceEpoch) / 1000)
    }

    package static func < (left: Self, right: Self) -> Bool {
        left.millisecondsSinceEpoch < right.millisecondsSinceEpoch
    }

    package static func + (left: Self, right: Duration) -> Self {
        let (sum, overflow) = left.millisecondsSinceEpoch.addingReportingOverflow(right.wholeMilliseconds)
        return Timestamp(millisecondsSinceEpoch: overflow ? (right < .zero ? .min : .max) : sum)
    }

    package static func - (left: Self, right: Duration) -> Self { left + (.zero - right) }

    package static func - (left: Self, right: Self) -> Duration {
        let (difference, overflow) = left.millisecondsSinceEpoch.subtractingReportingOverflow(
            right.millisecondsSinceEpoch)
        return .milliseconds(overflow ? (left < right ? Int64.min : .max) : difference)
    }

    /// RFC 3339 in UTC with whole seconds, as every time in the HTTP interface: `2026-11-21T09:30:00Z`.
    package var rfc3339: String {
        Date(timeIntervalSince1970: Double(min(max(secondsSinceEpoch, -62_135_596_800), 253_402_300_799)))
            .formatted(.iso8601)
    }

    /// Reads RFC 3339 with `Z` or an offset, with or without a fraction; `nil` where it is neither.
    package init?(rfc3339 text: String) {
        let strategies: [Date.ISO8601FormatStyle] = [.iso8601, .init(includingFractionalSeconds: true)]
        for strategy in strategies {
            if let date = try? Date(text, strategy: strategy) {  // not this spelling: the next one decides
                millisecondsSinceEpoch = Int64((date.timeIntervalSince1970 * 1000).rounded())
                return
            }
        }
        return nil
    }

    package var description: String { rfc3339 }
}

extension Duration {
    /// Rounded toward zero; clamped to what an `Int64` holds.
    package var wholeMilliseconds: Int64 {
        let (seconds, attoseconds) = components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1000)
        if overflow { return seconds < 0 ? .min : .max }
        let (sum, sumOverflow) = product.addingReportingOverflow(attoseconds / 1_000_000_000_000_000)
        return sumOverflow ? (seconds < 0 ? .min : .max) : sum
    }

    package var secondsAsDouble: Double {
        Double(components.seconds) + Double(components.attoseconds) / 1e18
    }
}
