package import Accounts
package import Linking
package import Logging
package import Providers
package import Store
import Synchronization

/// Everything that is due, once: claims it in bounded batches within every provider's free slots, syncs what was
/// claimed side by side, and ends when nothing is due any more.
package struct SyncPass: Sendable {
    /// A claim of a process that died is free again after it; whoever is at it prolongs it (`AccountSync`).
    static let lease: Duration = .seconds(120)
    /// How long what comes due waits at most for a look while accounts are under way, however slow those are.
    static let lookInterval: Duration = .seconds(1)

    private let catalog: ProviderCatalog
    private let schedule: SyncScheduleStore
    private let accountSync: AccountSync
    private let planner: SyncPlanner?
    private let client: ProviderClient?
    private let concurrency: Int
    private let time: any TimeSource
    private let owner: String
    private let executor: (any TaskExecutor)?
    private let logger: Logger
    private let isStopping = StopFlag()

    /// - Parameters:
    ///   - planner: says what to do with budget that is left over; without one nothing.
    ///   - client: knows what each provider can take now.
    ///   - concurrency: accounts synced at the same time, over all providers.
    ///   - owner: tells this process's claims from another's.
    ///   - executor: where the syncs run, and write: on the thread that their transfers come back to, none changes
    ///     threads. One that callers' transfers do not need.
    package init(
        catalog: ProviderCatalog, schedule: SyncScheduleStore, accountSync: AccountSync,
        planner: SyncPlanner? = nil, client: ProviderClient? = nil, concurrency: Int, owner: String,
        time: any TimeSource, logger: Logger, executor: (any TaskExecutor)? = nil
    ) {
        self.catalog = catalog
        self.schedule = executor == nil ? schedule : schedule.onCallersThread
        self.accountSync = executor == nil ? accountSync : accountSync.onCallersThread
        self.planner = planner
        self.client = client
        self.concurrency = concurrency
        self.owner = owner
        self.time = time
        self.logger = logger
        self.executor = executor
    }

    /// Claims nothing more; what is under way is finished.
    package func stop() { isStopping.set() }

    /// - Parameter progress: called after each account with the tally so far.
    @discardableResult
    package func run(progress: @Sendable (SyncTally) -> Void = { _ in }) async throws(StoreError) -> SyncTally {
        let result: Result<SyncTally, StoreError> = await withTaskExecutorPreference(executor) {
            do throws(StoreError) { return .success(try await runThere(progress)) } catch { return .failure(error) }
        }
        return try result.get()
    }

    private func runThere(_ progress: @Sendable (SyncTally) -> Void) async throws(StoreError) -> SyncTally {
        var tally = SyncTally()
        var underWay: [ProviderID: Int] = [:]
        var failure: StoreError?
        await withTaskGroup(of: Event.self) { group in
            var mayHaveMore = true
            // Until a claim has found more than it may take, nothing may be due.
            var likelyHasMore = false
            var isWatching = false
            var round = 0
            while true {
                if mayHaveMore, failure == nil, !isStopping.isSet, !Task.isCancelled {
                    round += 1
                    var claims: [SyncClaim] = []
                    do throws(StoreError) {
                        (claims, likelyHasMore) = try await claim(
                            underWay: underWay, round: round, looksFirst: !likelyHasMore)
                    } catch { failure = error }
                    mayHaveMore = !claims.isEmpty
                    for claim in claims {
                        underWay[claim.provider, default: 0] += 1
                        group.addTask { .done(claim.provider, await accountSync.run(claim)) }
                    }
                }
                if underWay.values.allSatisfy({ $0 == 0 }) { break }
                if !isWatching, !Task.isCancelled {
                    isWatching = true
                    group.addTask {
                        // Cancelled with the pass, which looks no more then.
                        try? await time.sleep(for: Self.lookInterval)
                        return .look
                    }
                }
                switch await group.next() {
                case .done(let provider, let outcome):
                    underWay[provider, default: 1] -= 1
                    tally.count(outcome)
                    progress(tally)
                    // Half of a provider's slots are refilled at a time: one claim for many accounts.
                    if room(of: provider, underWay: underWay) > 0 { mayHaveMore = true }
                case .look:
                    isWatching = false
                    mayHaveMore = true
                case nil: break
                }
            }
            group.cancelAll()
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

    private enum Event: Sendable {
        case done(ProviderID, SyncOutcome)
        case look
    }

    /// Also says whether a provider had at least as many due as could be taken.
    private func claim(
        underWay: [ProviderID: Int], round: Int, looksFirst: Bool
    ) async throws(StoreError) -> (claims: [SyncClaim], filled: Bool) {
        var claims: [SyncClaim] = []
        var filled = false
        var underWay = underWay
        var asked: Set<ProviderID> = []
        let rooms = await client?.backgroundRoom(of: catalog.providers)
        while true {
            // One claim for all, but where there are more providers than slots: those that were offered none come next.
            let slots = freeSlots(underWay: underWay, rooms: rooms, round: round, except: asked)
            if slots.isEmpty { return (claims, filled) }
            var found: [SyncClaim] = []
            do throws(StoreError) {
                found = try await schedule.claimDue(
                    now: time.now(), owner: owner, lease: Self.lease, slots: slots, looksFirst: looksFirst)
                filled =
                    filled || slots.contains { id, count in found.count(where: { $0.provider == id }) >= count }
                found += try await claimAhead(slots.filter { slot in !found.contains { $0.provider == slot.key } })
            } catch {
                claims += found
                if claims.isEmpty { throw error }
                return (claims, false)
            }
            claims += found
            asked.formUnion(slots.keys)
            for claim in found { underWay[claim.provider, default: 0] += 1 }
        }
    }

    /// Of the budget that nobody has spent, where nothing is due.
    private func claimAhead(_ slots: [ProviderID: Int]) async throws(StoreError) -> [SyncClaim] {
        guard let planner else { return [] }
        var claims: [SyncClaim] = []
        for (id, free) in slots.sorted(by: { $0.key < $1.key }) {
            guard let provider = catalog[id] else { continue }
            let surplus = planner.surplus(provider, now: time.now())
            if surplus.count == 0 { continue }
            claims += try await schedule.claimAhead(
                id, count: min(surplus.count, free), minimum: surplus.minimum, owner: owner, lease: Self.lease)
        }
        return claims
    }

    /// How many accounts of each provider to claim; together with those under way never more than `concurrency`.
    private func freeSlots(
        underWay: [ProviderID: Int], rooms: [ProviderID: Int]?, round: Int, except asked: Set<ProviderID>
    ) -> [ProviderID: Int] {
        var left = concurrency - underWay.values.reduce(0, +)
        var slots: [ProviderID: Int] = [:]
        let providers = catalog.providers
        for index in providers.indices {
            // Where there are more providers than slots, each comes first in its turn.
            let provider = providers[(index + round) % providers.count].id
            let canTake = rooms.map { ($0[provider] ?? 0) - underWay[provider, default: 0] } ?? left
            let free = min(left, canTake, asked.contains(provider) ? 0 : room(of: provider, underWay: underWay))
            if free <= 0 { continue }
            slots[provider] = free
            left -= free
        }
        return slots
    }

    /// A provider's free slots, once they are half of all it has. Each provider has its share and no more: a slow one
    /// must not fill every slot.
    private func room(of id: ProviderID, underWay: [ProviderID: Int]) -> Int {
        guard let provider = catalog[id], provider.isReady else { return 0 }
        let share = max(1, concurrency / max(1, catalog.providers.count(where: \.isReady)))
        let limit = min(provider.limits.concurrency, share)
        let free = limit - underWay[id, default: 0]
        return free * 2 >= limit ? max(0, free) : 0
    }
}

/// Set once, read often.
final class StopFlag: Sendable {
    private let value = Mutex(false)

    func set() { value.withLock { $0 = true } }
    var isSet: Bool { value.withLock(\.self) }
}
