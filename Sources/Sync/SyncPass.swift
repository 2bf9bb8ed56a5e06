package import Accounts
package import Logging
package import Providers
package import Store
import Synchronization

/// Everything that is due, once: claims it in bounded batches within every provider's free slots, syncs what was
/// claimed side by side, and ends when nothing is due any more.
package struct SyncPass: Sendable {
    /// Long enough for a refresh and every request of the slowest provider; a claim of a process that died is free
    /// again after it.
    static let lease: Duration = .seconds(120)

    private let catalog: ProviderCatalog
    private let schedule: SyncScheduleStore
    private let accountSync: AccountSync
    private let concurrency: Int
    private let time: any TimeSource
    private let owner: String
    private let logger: Logger
    private let isStopping = StopFlag()

    /// - Parameters:
    ///   - concurrency: accounts synced at the same time, over all providers.
    ///   - owner: tells this process's claims from another's.
    package init(
        catalog: ProviderCatalog, schedule: SyncScheduleStore, accountSync: AccountSync, concurrency: Int,
        owner: String,
        time: any TimeSource, logger: Logger
    ) {
        self.catalog = catalog
        self.schedule = schedule
        self.accountSync = accountSync
        self.concurrency = concurrency
        self.owner = owner
        self.time = time
        self.logger = logger
    }

    /// Claims nothing more; what is under way is finished.
    package func stop() { isStopping.set() }

    /// - Parameter progress: called after each account with the tally so far.
    @discardableResult
    package func run(progress: @Sendable (SyncTally) -> Void = { _ in }) async throws(StoreError) -> SyncTally {
        var tally = SyncTally()
        var underWay: [ProviderID: Int] = [:]
        var failure: StoreError?
        await withTaskGroup(of: (ProviderID, SyncOutcome).self) { group in
            var mayHaveMore = true
            while true {
                if mayHaveMore, failure == nil, !isStopping.isSet, !Task.isCancelled {
                    var claims: [SyncClaim] = []
                    do throws(StoreError) { claims = try await claim(underWay: underWay) } catch { failure = error }
                    mayHaveMore = !claims.isEmpty
                    for claim in claims {
                        underWay[claim.provider, default: 0] += 1
                        group.addTask { (claim.provider, await accountSync.run(claim)) }
                    }
                }
                guard let (provider, outcome) = await group.next() else { break }
                underWay[provider, default: 1] -= 1
                tally.count(outcome)
                progress(tally)
                // Half of a provider's slots are refilled at a time: one claim for many accounts.
                if freeSlots(underWay: underWay)[provider] != nil { mayHaveMore = true }
            }
        }
        if let failure { throw failure }
        if tally.attempts > 0 {
            logger.debug(
                "Sync pass done",
                metadata: [
                    "updated": "\(tally.updated)", "unchanged": "\(tally.unchanged)", "failed": "\(tally.failed)",
                ])
        }
        return tally
    }

    private func claim(underWay: [ProviderID: Int]) async throws(StoreError) -> [SyncClaim] {
        let slots = freeSlots(underWay: underWay)
        guard !slots.isEmpty else { return [] }
        return try await schedule.claimDue(now: time.now(), owner: owner, lease: Self.lease, slots: slots)
    }

    /// Providers with at least half of their slots free, and how many; together never more than `concurrency`.
    private func freeSlots(underWay: [ProviderID: Int]) -> [ProviderID: Int] {
        var left = concurrency - underWay.values.reduce(0, +)
        guard left * 2 >= concurrency else { return [:] }
        var slots: [ProviderID: Int] = [:]
        // Each gets its share before anyone gets more: a slow provider must not fill every slot.
        let ready = catalog.providers.filter(\.isReady)
        let share = max(1, concurrency / max(1, ready.count))
        for provider in ready {
            let limit = min(provider.limits.concurrency, share)
            let free = min(limit - underWay[provider.id, default: 0], left)
            guard free > 0, free * 2 >= limit else { continue }
            slots[provider.id] = free
            left -= free
        }
        return slots
    }
}

/// Set once, read often.
final class StopFlag: Sendable {
    private let value = Mutex(false)

    func set() { value.withLock { $0 = true } }
    var isSet: Bool { value.withLock(\.self) }
}
