import Accounts
import Freshness
import Providers
import Synchronization

extension SyncPlanner {
    /// Budget that nobody has spent: what comes due is planned for less than all of it.
    struct Surplus {
        /// A minute's worth at most.
        private static let memory = 60.0
        private var syncs = 0.0
        private var at: Timestamp?
        private var takenAt: Timestamp?

        mutating func spend(budget: Double, now: Timestamp) {
            fill(budget: budget, now: now)
            syncs = max(0, syncs - 1)
        }

        /// What is beyond nine tenths of a minute's budget, and one sync at least; no more than once a second, for what
        /// is taken is spent only when it is done.
        mutating func take(budget: Double, now: Timestamp) -> Int {
            fill(budget: budget, now: now)
            let full = max(1, Self.memory * budget)
            guard syncs >= 0.9 * full, takenAt.map({ now - $0 >= .seconds(1) || now < $0 }) ?? true else { return 0 }
            takenAt = now
            return max(1, Int(syncs - 0.9 * full))
        }

        private mutating func fill(budget: Double, now: Timestamp) {
            let elapsed = at.map { max(0, (now - $0).secondsAsDouble) } ?? 0
            syncs = min(max(1, Self.memory * budget), syncs + budget * elapsed)
            at = now
        }
    }

    /// How many accounts to fetch ahead of their time where nothing is due: of the budget that is left over, while a
    /// request still buys anything. And how old a copy has to be for it, besides half its interval.
    func surplus(_ provider: Provider, now: Timestamp) -> (count: Int, minimum: Duration) {
        let count = states.withLock { states -> Int in
            guard let state = states[provider.id], state.accounts > 0,
                state.price.price > floor(provider) * 1.001
            else { return 0 }
            return states[provider.id]?.surplus.take(budget: Self.budget(provider, state), now: now) ?? 0
        }
        return (count, .seconds(Self.minimum(provider)))
    }
}
