import Foundation

/// What a request buys, and when to make it.
package struct SyncValue: Sendable, Equatable {
    package var belief: ChangeBelief
    /// Seconds by which staleness in age counts besides staleness as such: without it an account that changes all the time
    /// would be given up. Infinite leaves it out.
    package var theta: Double

    package init(_ belief: ChangeBelief, theta: Double) {
        self.belief = belief
        self.theta = theta
    }

    /// Of a request made when the copy is `age` old, in seconds of freshness of an account of weight 1. Rises with age.
    package func value(at age: Double) -> Double {
        guard age > 0 else { return 0 }
        return freshness(age) + (theta.isFinite ? ageSaved(age) / theta : 0)
    }

    /// The time in `bounds` at which `weight` times the value is the price: where every account's last request is worth
    /// the same, no other plan of as many requests is fresher.
    package func interval(weight: Double, price: Double, in bounds: ClosedRange<Double>) -> Double {
        let (shortest, longest) = (bounds.lowerBound, bounds.upperBound)
        guard weight > 0, weight * value(at: longest) >= price else { return longest }
        if weight * value(at: shortest) >= price { return shortest }
        // The logarithm of the value is nearly a straight line over that of the age: false position, with the Illinois rule,
        // is there in a handful of steps.
        func excess(_ logAge: Double) -> Double { log(weight * value(at: exp(logAge)) / price) }
        var (low, high) = (log(shortest), log(longest))
        var (below, above) = (excess(low), excess(high))
        var wasBelow: Bool?
        for step in 0..<160 where high - low > Self.precision {
            let crossing = low - below * (high - low) / (above - below)
            // Where the line is not straight at all, every third step halves: 48 of those are enough.
            let isUseful = step % 3 < 2 && crossing > low && crossing < high
            let middle = isUseful ? crossing : (low + high) / 2
            let found = excess(middle)
            if abs(found) < Self.precision { return exp(middle) }
            if found < 0 {
                (low, below) = (middle, found)
                if wasBelow == true { above /= 2 }
            } else {
                (high, above) = (middle, found)
                if wasBelow == false { below /= 2 }
            }
            wasBelow = found < 0
        }
        return exp((low + high) / 2)
    }

    /// Of an interval and of a value, relative.
    private static let precision = 1e-12

    // MARK: - The two integrals

    /// The expected time that the copy will be right for, beyond what it would be without the request.
    private func freshness(_ age: Double) -> Double {
        let (a, b) = (belief.a, belief.b)
        let u = age / b
        if (a + 1) * u < 1e-4 { return b * a * u * u * (0.5 - (a + 1) * u / 3) }
        let l = log1p(u)
        return b * Self.e(1 - a, l) - age * exp(-a * l)
    }

    /// The expected age that the copy is spared.
    private func ageSaved(_ age: Double) -> Double {
        let (a, b) = (belief.a, belief.b)
        let u = age / b
        if (a + 1) * u < 1e-3 { return b * b * a * u * u * u * (1 / 3.0 - (a + 1) * u / 8) }
        let l = log1p(u)
        return age * age / 2 - b * b * (Self.e(2 - a, l) - Self.e(1 - a, l))
    }

    /// ∫ e^(cx) dx from 0 to l.
    static func e(_ c: Double, _ l: Double) -> Double { abs(c) < 1e-12 ? l : expm1(c * l) / c }
}
