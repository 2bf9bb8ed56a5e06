package import Accounts
package import Freshness
package import Linking
package import Logging
package import Providers
package import Store
import Synchronization

/// Decides when each account is fetched next, so that a provider's requests go where they buy the most freshness: the
/// more often the sooner it changes and the more it is read, at a price that makes the planned rate the budget.
///
/// The budget is what polling every account once an interval would cost, and at most four fifths of what the provider's
/// limits leave. What is learned stands in each account's row; the price, one number for a provider, in a row of its own.
package final class SyncPlanner: Sendable {
    static let tickInterval: Duration = .seconds(10)
    static let flushInterval: Duration = .seconds(30)
    static let rebuildInterval: Duration = .seconds(3600)
    static let sampleInterval: Duration = .seconds(60)
    private static let sampleSize = 2000

    fileprivate struct State {
        var price: SyncPrice
        var accounts = 0
        var reads: ReadCount
        var since: Timestamp
        /// Not changed since it was stored.
        var isStored = true
        var freshness = FreshnessSums()
        /// The account up to which the last sample went; empty at the end of a round.
        var sampledUpTo = ""
        /// Of the configured rate, as far as the provider's refusals have taught.
        var rateShare = 1.0
        var surplus = Surplus()
    }

    /// Budget that nobody has spent: what comes due is planned for less than all of it.
    fileprivate struct Surplus {
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

    private let catalog: ProviderCatalog
    private let schedule: SyncScheduleStore
    private let accounts: AccountStore
    private let tally: ReadTally
    private let client: ProviderClient?
    private let prior: ChangeBelief
    private let time: any TimeSource
    private let random: any RandomSource
    private let logger: Logger
    private let states = Mutex<[ProviderID: State]>([:])

    /// - Parameters:
    ///   - client: knows what callers and tokens take, and what providers have refused.
    ///   - prior: of an account that nothing is known of.
    package init(
        catalog: ProviderCatalog, schedule: SyncScheduleStore, accounts: AccountStore, tally: ReadTally,
        client: ProviderClient? = nil, prior: ChangeBelief = .prior, time: any TimeSource, random: any RandomSource,
        logger: Logger
    ) {
        self.catalog = catalog
        self.schedule = schedule
        self.accounts = accounts
        self.tally = tally
        self.client = client
        self.prior = prior
        self.time = time
        self.random = random
        self.logger = logger
    }

    /// What a fetch found, as far as it teaches anything.
    enum Observation: Sendable {
        /// The first fetch, a failed one, or one after a change of the mapping.
        case none
        case unchanged
        case changed
    }

    struct Plan: Sendable {
        var learned: LearnedSchedule
        var due: Timestamp
    }

    /// From an account's row and what a fetch has just found to its next due time. `nil` where the provider's price is not
    /// known yet.
    func plan(
        _ claim: SyncClaim, provider: Provider, observing observation: Observation, freshFor: Duration?, now: Timestamp
    ) -> Plan? {
        var learned = claim.learned
        var belief = belief(claim.learned)
        if observation != .none, let syncedAt = claim.account.syncedAt, let round = round(provider) {
            let elapsed = (now - syncedAt).secondsAsDouble
            belief = belief.fading(after: elapsed, round: round, prior: prior)
            belief = observation == .changed ? belief.changed(within: elapsed) : belief.unchanged(after: elapsed)
        }
        learned.changeShape = belief.a
        learned.changeRate = belief.b
        guard
            let plan = planned(
                learned, linkedAt: claim.account.linkedAt, provider: provider, freshFor: freshFor, now: now)
        else { return nil }
        replace(claim.learned.plan, by: plan.plan, of: provider.id)
        spend(provider, now: now)
        learned.plan = plan.plan
        // Where the promise bounds the interval, chance only shortens it. Those that were imported together are spread
        // by their first plan: they would come due together for ever.
        let isAtPromise = plan.plan.isClamped && plan.plan.interval >= plan.longest
        let isFirst = claim.account.syncedAt == nil && !plan.plan.isClamped
        let jitter = random.uniform(isFirst ? 0.5...1.5 : isAtPromise ? 0.9...1 : 0.95...1.05)
        return Plan(learned: learned, due: now + .seconds(plan.plan.interval * jitter))
    }

    /// Prices move: an account that is due by an older plan may not be due by today's. `nil` where it is.
    func postponement(_ claim: SyncClaim, provider: Provider, now: Timestamp) -> (due: Timestamp, plan: SchedulePlan)? {
        // Who is fetched ahead of its time is not due by any plan.
        guard let nextSyncAt = claim.account.nextSyncAt, nextSyncAt <= now,
            let old = claim.learned.plan, claim.failures == 0, claim.account.status == .active,
            claim.account.problem == nil, let syncedAt = claim.account.syncedAt,
            let plan = planned(
                claim.learned, linkedAt: claim.account.linkedAt, provider: provider, freshFor: nil, now: now)
        else { return nil }
        let due = syncedAt + .seconds(plan.plan.interval)
        guard due > now + .seconds(0.05 * plan.plan.interval) else { return nil }
        replace(old, by: plan.plan, of: provider.id)
        return (due, plan.plan)
    }

    func belief(_ learned: LearnedSchedule) -> ChangeBelief { learned.belief ?? prior }

    /// An account that leaves the schedule: its plan counts no more.
    func forget(_ plan: SchedulePlan?, of provider: ProviderID) { replace(plan, by: nil, of: provider) }

    // MARK: - One account

    private func planned(
        _ learned: LearnedSchedule, linkedAt: Timestamp, provider: Provider, freshFor: Duration?, now: Timestamp
    ) -> (plan: SchedulePlan, longest: Double)? {
        guard let state = states.withLock({ $0[provider.id] }) else { return nil }
        var bounds = Self.bounds(provider, state).bounds
        if let freshFor {
            bounds = min(max(bounds.lowerBound, freshFor.secondsAsDouble), bounds.upperBound)...bounds.upperBound
        }
        let weight = weight(learned, linkedAt: linkedAt, state: state, now: now)
        let interval = SyncValue(belief(learned), theta: 10 * Self.round(state, provider)).interval(
            weight: weight, price: state.price.price, in: bounds)
        let isClamped = interval <= bounds.lowerBound || interval >= bounds.upperBound
        let share = SyncPrice.Share(interval: interval, price: state.price.price, isClamped: isClamped)
        return (
            SchedulePlan(
                interval: interval, share: isClamped ? share.fixed : share.elastic, isClamped: isClamped, weight: weight
            ), bounds.upperBound
        )
    }

    private func weight(_ learned: LearnedSchedule, linkedAt: Timestamp, state: State, now: Timestamp) -> Double {
        let mean = Self.meanRate(state, now: now)
        let exposure = (now - max(linkedAt, state.since)).secondsAsDouble
        let reads = ReadCount(count: learned.reads, at: learned.readsAt.seconds)
        return ReadCount.weight(
            rate: reads.rate(now: now.seconds, exposure: exposure, meanRate: mean), meanRate: mean)
    }

    /// Of the provider's mean account; a read a day is believed before any was counted.
    private static func meanRate(_ state: State, now: Timestamp) -> Double {
        let prior = 1 / 86_400.0
        let all = ReadCount(count: state.reads.count / Double(max(state.accounts, 1)), at: state.reads.at)
        return max(
            all.rate(now: now.seconds, exposure: (now - state.since).secondsAsDouble, meanRate: prior), 1e-9)
    }

    // MARK: - The provider

    private func round(_ provider: Provider) -> Double? {
        states.withLock { $0[provider.id] }.map { Self.round($0, provider) }
    }

    private static func round(_ state: State, _ provider: Provider) -> Double {
        state.price.round(accounts: state.accounts) ?? provider.syncPolicy.interval.secondsAsDouble
    }

    /// Syncs per second: what the operator wants to spend, and no more than the provider bears.
    private static func budget(_ provider: Provider, _ state: State) -> Double {
        budget(provider, accounts: state.accounts, rateShare: state.rateShare)
    }

    private static func budget(_ provider: Provider, accounts: Int, rateShare: Double = 1) -> Double {
        let wanted = Double(max(accounts, 1)) / provider.syncPolicy.interval.secondsAsDouble
        // Where no limit is known in numbers, refusals concern the rate that there was.
        guard let rate = provider.limits.pacedRate else { return wanted * rateShare }
        return min(wanted, 0.8 * rate * rateShare / requestsEach(provider))
    }

    private static func requestsEach(_ provider: Provider) -> Double { Double(max(provider.syncRequestCount, 1)) }

    private static func bounds(_ provider: Provider, _ state: State) -> (bounds: ClosedRange<Double>, isPayable: Bool) {
        SyncBounds.bounds(
            promise: provider.syncPolicy.maximumAge.secondsAsDouble, minimum: minimum(provider),
            accounts: state.accounts, budget: budget(provider, state), shortest: 1)
    }

    /// Seconds between two syncs of one account: what the operator says, and what the limits of its token leave.
    private static func minimum(_ provider: Provider) -> Double {
        let perToken =
            provider.limits.requests.filter { $0.per == .token }
            .map { $0.window.secondsAsDouble / Double($0.count) * requestsEach(provider) }.max() ?? 0
        return max(provider.syncPolicy.minimumInterval.secondsAsDouble, perToken)
    }

    /// An operator who asks for more than politeness has it: the average account is polled once an interval.
    private func floor(_ provider: Provider) -> Double {
        let interval = provider.syncPolicy.interval.secondsAsDouble
        return min(SyncPrice.floor, SyncValue(prior, theta: 10 * interval).value(at: interval))
    }

    private func spend(_ provider: Provider, now: Timestamp) {
        states.withLock { states in
            guard let state = states[provider.id] else { return }
            states[provider.id]?.surplus.spend(budget: Self.budget(provider, state), now: now)
        }
    }

    private func replace(_ old: SchedulePlan?, by new: SchedulePlan?, of provider: ProviderID) {
        states.withLock { $0[provider]?.price.replace(old?.priceShare, by: new?.priceShare) }
    }

    // MARK: - From time to time

    /// Until it is cancelled: ticks, flushes and, each hour, sums made anew. `rebuild` comes before.
    func run() async {
        await sampleFreshness()
        var rebuiltAt = time.now()
        var sampledAt = rebuiltAt
        var flushedAt = rebuiltAt
        while !Task.isCancelled {
            // Cancelled at the end of the service.
            guard (try? await time.sleep(for: Self.tickInterval)) != nil else { break }
            let now = time.now()
            // Either may be ahead where the clock was set back.
            if now - rebuiltAt >= Self.rebuildInterval || now < rebuiltAt {
                await rebuild()
                rebuiltAt = now
            }
            if now - flushedAt >= Self.flushInterval || now < flushedAt {
                await flushReads()
                flushedAt = now
            }
            await tick()
            if now - sampledAt >= Self.sampleInterval || now < sampledAt {
                await sampleFreshness()
                sampledAt = now
            }
        }
        await flushReads()
    }

    /// The price from its row, the sums from all accounts' rows: to be called before anything is planned.
    package func rebuild() async {
        do {
            let (prices, sums) = (try await schedule.prices(), try await schedule.planSums())
            let counts = try await accounts.counts()
            let now = time.now()
            states.withLock { states in
                for provider in catalog.providers {
                    let accounts = counts[provider.id]?[.active] ?? 0
                    let stored = prices[provider.id]
                    let sum = sums[provider.id] ?? PlanSums()
                    var state =
                        states[provider.id]
                        ?? State(
                            price: SyncPrice.start(
                                accounts: accounts, budget: Self.budget(provider, accounts: accounts),
                                prior: prior, floor: floor(provider)),
                            reads: ReadCount(count: stored?.reads ?? 0, at: (stored?.readsAt ?? now).seconds),
                            since: stored?.since ?? now, isStored: stored != nil)
                    if states[provider.id] == nil, let stored { state.price.price = stored.price }
                    state.price.elastic = sum.elastic
                    state.price.fixed = sum.fixed
                    state.accounts = accounts
                    states[provider.id] = state
                }
            }
        } catch {
            logger.error("Plans can't be summed up", metadata: ["error": "\(error)"])
        }
    }

    package func tick() async {
        do {
            let counts = try await accounts.counts()
            var leeways: [ProviderID: ProviderClient.Leeway] = [:]
            for provider in catalog.providers { leeways[provider.id] = await client?.leeway(of: provider.id) }
            let changed = states.withLock { [leeways] states in
                var changed: [ProviderID: StoredPrice] = [:]
                for provider in catalog.providers {
                    guard var state = states[provider.id] else { continue }
                    let leeway = leeways[provider.id]
                    state.accounts = counts[provider.id]?[.active] ?? 0
                    state.rateShare = leeway?.rateShare ?? 1
                    let before = state.price.price
                    // What can't be asked at any price says nothing of the price.
                    if state.accounts > 0, state.price.elastic > 0 || state.price.fixed > 0,
                        leeway?.isLeftAlone != true
                    {
                        state.price.tick(
                            budget: Self.budget(provider, state),
                            taken: (leeway?.taken ?? 0) / Self.requestsEach(provider), floor: floor(provider))
                    }
                    if abs(state.price.price - before) > 0.01 * before { state.isStored = false }
                    if !state.isStored { changed[provider.id] = state.stored }
                    state.isStored = true
                    states[provider.id] = state
                }
                return changed
            }
            try await schedule.store(changed)
        } catch {
            logger.error("Prices can't be stored", metadata: ["error": "\(error)"])
        }
    }

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
}

extension SyncPlanner {
    package struct Outlook: Sendable, Equatable {
        package var price: Double
        /// Syncs a second, and so is the budget.
        package var planned: Double
        package var budget: Double
        /// The believed share of reads that return what the provider would say now, as are the three that follow `nil`
        /// before any sample.
        package var freshness: Double?
        /// The same over accounts, read or not.
        package var unweightedFreshness: Double?
        /// Planned staleness over that of one fixed interval with as many requests.
        package var staleAgainstFixed: Double?
        /// The share of accounts whose interval is at a bound instead of following the price.
        package var clampedShare: Double?
        package var promiseIsUnpayable: Bool
    }

    /// For those who watch.
    package func outlook(_ id: ProviderID) -> Outlook? {
        guard let provider = catalog[id], let state = states.withLock({ $0[id] }) else { return nil }
        return Outlook(
            price: state.price.price,
            planned: state.price.elastic / state.price.price.squareRoot() + state.price.fixed,
            budget: Self.budget(provider, state),
            freshness: state.freshness.weighted, unweightedFreshness: state.freshness.unweighted,
            staleAgainstFixed: state.freshness.staleAgainstFixed, clampedShare: state.freshness.clampedShare,
            promiseIsUnpayable: !Self.bounds(provider, state).isPayable)
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

    /// Looks at some more accounts of each provider, in turn: what was seen longer ago counts for less.
    package func sampleFreshness() async {
        for provider in catalog.providers {
            guard let after = states.withLock({ $0[provider.id] })?.sampledUpTo, let round = round(provider) else {
                continue
            }
            do {
                let now = time.now()
                let sample = try await schedule.sample(
                    provider: provider.id, after: after, limit: Self.sampleSize)
                var sums = FreshnessSums()
                for account in sample.accounts {
                    guard let syncedAt = account.syncedAt else { continue }
                    sums.add(
                        belief(account.learned), plan: account.learned.plan, age: (now - syncedAt).secondsAsDouble,
                        round: round)
                }
                states.withLock { [sums] states in
                    guard var state = states[provider.id] else { return }
                    state.sampledUpTo = sample.next ?? ""
                    // A sample of all there is needs no memory.
                    state.freshness.merge(sums, kept: after.isEmpty && sample.next == nil ? 0 : 0.9)
                    states[provider.id] = state
                }
            } catch {
                logger.error("Freshness can't be estimated", metadata: ["error": "\(error)"])
            }
        }
    }
}

extension SyncPlanner.State {
    fileprivate var stored: StoredPrice {
        StoredPrice(
            price: price.price, reads: reads.count, readsAt: Timestamp(millisecondsSinceEpoch: Int64(reads.at * 1000)),
            since: since)
    }
}

extension LearnedSchedule {
    fileprivate var belief: ChangeBelief? {
        guard let changeShape, let changeRate, changeShape > 0, changeRate > 0 else { return nil }
        return ChangeBelief(a: changeShape, b: changeRate)
    }
}

extension SchedulePlan {
    fileprivate var priceShare: SyncPrice.Share {
        isClamped ? SyncPrice.Share(fixed: share) : SyncPrice.Share(elastic: share)
    }
}

extension Timestamp {
    fileprivate var seconds: Double { Double(millisecondsSinceEpoch) / 1000 }
}

extension Duration {
    fileprivate static func seconds(_ value: Double) -> Duration { .milliseconds(Int64(min(value, 1e12) * 1000)) }
}
