import Accounts
import Freshness
import Logging
import Providers
import Store
import Synchronization

/// What reads tell, and what they are told.
extension SyncPlanner {
    /// Adds what was read to the rows; an account that is read much more than when it was planned is planned anew.
    package func flushReads() async {
        let reads = tally.take().sorted { $0.key < $1.key }
        var start = 0
        while start < reads.count {
            let chunk = Dictionary(uniqueKeysWithValues: reads[start..<min(start + 500, reads.count)].map { $0 })
            start += 500
            do {
                let now = time.now()
                let read = try await schedule.addReads(chunk, at: now) { count, since in
                    ReadCount(count: count, at: since.seconds).decayed(to: now.seconds).count
                }
                count(read, chunk, now: now)
                for account in read { try await reconsider(account, now: now) }
            } catch {
                logger.error("Reads can't be counted", metadata: ["error": "\(error)"])
            }
        }
    }

    private func count(_ read: [ReadAccount], _ counts: [AccountID: Double], now: Timestamp) {
        states.withLock { states in
            for account in read {
                guard var state = states[account.provider] else { continue }
                state.reads = state.reads.adding(counts[account.id] ?? 0, at: now.seconds)
                state.isStored = false
                states[account.provider] = state
            }
        }
    }

    /// Whether the interval is one that the provider asked for: what it says can't change before is not asked for before.
    private func isAnnounced(_ plan: SchedulePlan, _ provider: Provider, _ state: State) -> Bool {
        let bounds = Self.bounds(provider, state).bounds
        return plan.isClamped && plan.interval > bounds.lowerBound * 1.001 && plan.interval < bounds.upperBound * 0.999
    }

    private func reconsider(_ account: ReadAccount, now: Timestamp) async throws(StoreError) {
        guard let old = account.learned.plan, let syncedAt = account.syncedAt, let nextSyncAt = account.nextSyncAt,
            let provider = catalog[account.provider],
            let state = states.withLock({ $0[account.provider] }),
            weight(account.learned, linkedAt: account.linkedAt, state: state, now: now) > 2 * old.weight,
            let plan = planned(
                account.learned, linkedAt: account.linkedAt, provider: provider, freshFor: nil, now: now),
            !isAnnounced(old, provider, state)
        else { return }
        let due = max(now, syncedAt + .seconds(plan.plan.interval))
        guard due < nextSyncAt else { return }
        if try await schedule.bringForward(account.id, to: due, plan: plan.plan) {
            replace(old, by: plan.plan, of: account.provider)
        }
    }

    /// Whether a read that leaves it to the service is worth a request to the provider now.
    func isWorthARequest(_ account: ReadAccount, provider: Provider, now: Timestamp) -> Bool {
        guard let state = states.withLock({ $0[provider.id] }), let syncedAt = account.syncedAt else { return false }
        let value = SyncValue(account.learned.belief ?? prior, theta: 10 * Self.round(state, provider))
        return readIsWorthARequest(
            value, age: (now - syncedAt).secondsAsDouble,
            weight: weight(account.learned, linkedAt: account.linkedAt, state: state, now: now),
            meanRate: Self.meanRate(state, now: now), price: state.price.price
        ).isWorthIt
    }

    /// The chance that the cached copy is what the provider would say now, as far as is believed.
    func freshProbability(_ account: ReadAccount, now: Timestamp) -> Double? {
        account.syncedAt.map {
            (account.learned.belief ?? prior).freshProbability(age: (now - $0).secondsAsDouble)
        }
    }
}
