import Foundation

/// How often an account is read: a count that halves every thirty days, so that last year's readers do not count.
package struct ReadCount: Sendable, Equatable {
    /// Decayed to `at`.
    package var count: Double
    /// Seconds, of the same clock as every other instant here.
    package var at: Double

    package init(count: Double = 0, at: Double) {
        self.count = count
        self.at = at
    }

    static let halfLife: Double = 30 * 86_400

    package func decayed(to now: Double, halfLife: Double = ReadCount.halfLife) -> ReadCount {
        ReadCount(count: count * exp2(-max(now - at, 0) / halfLife), at: now)
    }

    package func adding(_ reads: Double, at now: Double, halfLife: Double = ReadCount.halfLife) -> ReadCount {
        var sum = decayed(to: now, halfLife: halfLife)
        sum.count += reads
        return sum
    }

    /// Reads per second; half a read is believed before there is any.
    /// - Parameters:
    ///   - exposure: seconds since the account was linked.
    ///   - meanRate: reads per second of the provider's mean account.
    package func rate(now: Double, exposure: Double, meanRate: Double, halfLife: Double = ReadCount.halfLife) -> Double
    {
        let observed = -expm1(-max(exposure, 0) / halfLife * log(2)) * halfLife / log(2)
        return (decayed(to: now, halfLife: halfLife).count + 0.5) / (observed + 0.5 / meanRate)
    }

    /// 1 for an account that is read as often as the mean; bounds say how far reads can skew: nobody is starved, nobody
    /// takes all.
    package static func weight(rate: Double, meanRate: Double) -> Double {
        min(100, 0.9 * rate / meanRate + 0.1)
    }
}
