import Freshness
import Store

/// What a sample of a provider's accounts adds up to.
struct FreshnessSums: Sendable, Equatable {
    private var accounts = 0.0
    private var fresh = 0.0
    private var weights = 0.0
    private var weightedFresh = 0.0
    /// By plan, and by one fixed interval for all; weighted.
    private var plannedFresh = 0.0
    private var fixedFresh = 0.0
    private var plannedWeights = 0.0
    private var clamped = 0.0

    /// - Parameters:
    ///   - age: of the copy, in seconds.
    ///   - round: the interval at which everyone would be fetched for as many requests, in seconds.
    mutating func add(_ belief: ChangeBelief, plan: SchedulePlan?, age: Double, round: Double) {
        let weight = plan?.weight ?? 1
        let probability = belief.freshProbability(age: age)
        accounts += 1
        fresh += probability
        weights += weight
        weightedFresh += weight * probability
        guard let plan else { return }
        plannedWeights += weight
        plannedFresh += weight * belief.meanFreshness(every: plan.interval)
        fixedFresh += weight * belief.meanFreshness(every: round)
        if plan.isClamped { clamped += 1 }
    }

    /// What was seen longer ago counts for less.
    /// - Parameter kept: of what was known before, from 0 to 1.
    mutating func merge(_ newer: FreshnessSums, kept: Double) {
        for path in [
            \FreshnessSums.accounts, \.fresh, \.weights, \.weightedFresh, \.plannedFresh, \.fixedFresh,
            \.plannedWeights, \.clamped,
        ] {
            self[keyPath: path] = kept * self[keyPath: path] + newer[keyPath: path]
        }
    }

    /// The believed share of reads that return what the provider would say now.
    var weighted: Double? { weights > 0 ? weightedFresh / weights : nil }
    /// The believed share of accounts whose copy is current.
    var unweighted: Double? { accounts > 0 ? fresh / accounts : nil }
    /// Planned staleness over that of one fixed interval with as many requests: below 1 where planning gains anything.
    var staleAgainstFixed: Double? {
        guard plannedWeights > fixedFresh, plannedWeights > 0 else { return nil }
        return (plannedWeights - plannedFresh) / (plannedWeights - fixedFresh)
    }
    /// The share of accounts whose interval is at a bound instead of following the price.
    var clampedShare: Double? { accounts > 0 ? clamped / accounts : nil }
}
