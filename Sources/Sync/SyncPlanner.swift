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

    struct State {
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

    let catalog: ProviderCatalog
    let schedule: SyncScheduleStore
    private let accounts: AccountStore
    let tally: ReadTally
    private let client: ProviderClient?
    let prior: ChangeBelief
    let time: any TimeSource
    private let random: any RandomSource
    let logger: Logger
    let states = Mutex<[ProviderID: State]>([:])

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

    func planned(
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

    func weight(_ learned: LearnedSchedule, linkedAt: Timestamp, state: State, now: Timestamp) -> Double {
        let mean = Self.meanRate(state, now: now)
        let exposure = (now - max(linkedAt, state.since)).secondsAsDouble
        let reads = ReadCount(count: learned.reads, at: learned.readsAt.seconds)
        return ReadCount.weight(
            rate: reads.rate(now: now.seconds, exposure: exposure, meanRate: mean), meanRate: mean)
    }

    /// Of the provider's mean account; a read a day is believed before any was counted.
    static func meanRate(_ state: State, now: Timestamp) -> Double {
        let prior = 1 / 86_400.0
        let all = ReadCount(count: state.reads.count / Double(max(state.accounts, 1)), at: state.reads.at)
        return max(
            all.rate(now: now.seconds, exposure: (now - state.since).secondsAsDouble, meanRate: prior), 1e-9)
    }

    // MARK: - The provider

    func round(_ provider: Provider) -> Double? {
        states.withLock { $0[provider.id] }.map { Self.round($0, provider) }
    }

    static func round(_ state: State, _ provider: Provider) -> Double {
        state.price.round(accounts: state.accounts) ?? provider.syncPolicy.interval.secondsAsDouble
    }

    /// Syncs per second: what the operator wants to spend, and no more than the provider bears.
    static func budget(_ provider: Provider, _ state: State) -> Double {
        budget(provider, accounts: state.accounts, rateShare: state.rateShare)
    }

    private static func budget(_ provider: Provider, accounts: Int, rateShare: Double = 1) -> Double {
        let wanted = Double(max(accounts, 1)) / provider.syncPolicy.interval.secondsAsDouble
        // Where no limit is known in numbers, refusals concern the rate that there was.
        guard let rate = provider.limits.pacedRate else { return wanted * rateShare }
        return min(wanted, 0.8 * rate * rateShare / requestsEach(provider))
    }

    private static func requestsEach(_ provider: Provider) -> Double { Double(max(provider.syncRequestCount, 1)) }

    static func bounds(_ provider: Provider, _ state: State) -> (bounds: ClosedRange<Double>, isPayable: Bool) {
        SyncBounds.bounds(
            promise: provider.syncPolicy.maximumAge.secondsAsDouble, minimum: minimum(provider),
            accounts: state.accounts, budget: budget(provider, state), shortest: 1)
    }

    /// Seconds between two syncs of one account: what the operator says, and what the limits of its token leave.
    static func minimum(_ provider: Provider) -> Double {
        let perToken =
            provider.limits.requests.filter { $0.per == .token }
            .map { $0.window.secondsAsDouble / Double($0.count) * requestsEach(provider) }.max() ?? 0
        return max(provider.syncPolicy.minimumInterval.secondsAsDouble, perToken)
    }

    /// An operator who asks for more than politeness has it: the average account is polled once an interval.
    func floor(_ provider: Provider) -> Double {
        let interval = provider.syncPolicy.interval.secondsAsDouble
        return min(SyncPrice.floor, SyncValue(prior, theta: 10 * interval).value(at: interval))
    }

    private func spend(_ provider: Provider, now: Timestamp) {
        states.withLock { states in
            guard let state = states[provider.id] else { return }
            states[provider.id]?.surplus.spend(budget: Self.budget(provider, state), now: now)
        }
    }

    func replace(_ old: SchedulePlan?, by new: SchedulePlan?, of provider: ProviderID) {
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
}

extension SyncPlanner.State {
    fileprivate var stored: StoredPrice {
        StoredPrice(
            price: price.price, reads: reads.count, readsAt: Timestamp(millisecondsSinceEpoch: Int64(reads.at * 1000)),
            since: since)
    }
}

extension LearnedSchedule {
    var belief: ChangeBelief? {
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
    var seconds: Double { Double(millisecondsSinceEpoch) / 1000 }
}

extension Duration {
    static func seconds(_ value: Double) -> Duration { .milliseconds(Int64(min(value, 1e12) * 1000)) }
}
