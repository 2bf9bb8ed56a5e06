/// When a cached copy is worth a request: how often an account changes as far as is known, what one more request buys,
/// and the price at which a provider's budget is just spent. Accounts are planned one by one; nothing here solves for
/// all of them at once.
///
/// Pure arithmetic: times are seconds, rates are per second, and nothing reads a clock, a database or a configuration.
/// `Sync` keeps the numbers in its rows and acts on them.
import Foundation

/// What is believed of an account's change rate: Gamma with shape `a` and rate `b` (seconds); its mean is `a / b`.
package struct ChangeBelief: Sendable, Equatable {
    package var a: Double
    package var b: Double

    package init(a: Double, b: Double) {
        self.a = a
        self.b = b
    }

    /// Of an account that nothing is known of: a change in thirty days. Ten times too much or too little costs under one
    /// per cent of freshness.
    package static let prior = ChangeBelief(a: 0.5, b: 15 * 86_400)

    /// The chance that a copy of that age is what the provider would say now.
    package func freshProbability(age: Double) -> Double { exp(-a * log1p(max(age, 0) / b)) }

    /// What was learned long ago counts for less: habits change.
    /// - Parameter round: the mean planned interval of the provider's accounts.
    package func fading(after elapsed: Double, round: Double, prior: ChangeBelief = .prior) -> ChangeBelief {
        let horizon = max(20 * round, 20 * prior.b / prior.a)
        let kept = exp(-max(elapsed, 0) / horizon)
        return ChangeBelief(a: prior.a + kept * (a - prior.a), b: prior.b + kept * (b - prior.b))
    }

    /// After a fetch that found the copy, `elapsed` old, as it was: exact.
    package func unchanged(after elapsed: Double) -> ChangeBelief { ChangeBelief(a: a, b: b + max(elapsed, 0)) }

    /// After a fetch that found at least one change in `elapsed`: the Gamma with the mean and variance of the exact
    /// posterior, which is none.
    package func changed(within elapsed: Double) -> ChangeBelief {
        guard elapsed > 0 else { return self }
        let l = -log1p(elapsed / b)
        let d = expm1(a * l)
        let mean = a / b * expm1((a + 1) * l) / d
        let square = a * (a + 1) / (b * b) * expm1((a + 2) * l) / d
        let variance = square - mean * mean
        let updated = ChangeBelief(a: mean * mean / variance, b: mean / variance)
        guard updated.a.isFinite, updated.b.isFinite, updated.a > 0, updated.b > 0 else {
            return ChangeBelief(a: a + 1, b: b + elapsed)
        }
        return updated
    }

    /// After a fetch whose answer says when the last change was: better evidence than that there was one.
    package func changed(ago: Double) -> ChangeBelief { ChangeBelief(a: a + 1, b: b + max(ago, 0)) }
}
