import Accounts
import Foundation
import Freshness
import Linking
import Providers
import Store
import Synchronization
import TestSupport
import Testing
import Transfer

@testable import Sync

/// The scheduling rule in the service: rows, prices and passes on virtual time against a scripted provider.
@Suite(.timeLimit(.minutes(10))) struct SyncPlannerTests {
    private static let interval = 6 * 3600.0

    private func learned(_ fixture: Fixture, _ id: AccountID) async throws -> LearnedSchedule {
        let claim = try await fixture.claim(id, owner: "look")
        try await fixture.database.schedule.release([claim])
        return claim.learned
    }

    /// Passes at every due time until `end`, with the price's ticks on the way; `before` is called ahead of each pass.
    private func run(
        _ fixture: Fixture, _ engine: Fixture.Engine, for length: Duration,
        before: (_ now: Timestamp) async throws -> Void = { _ in }
    ) async throws {
        let end = fixture.time.now() + length
        while true {
            let due = try await fixture.database.schedule.nextDueAt() ?? end
            if due > end { break }
            if due > fixture.time.now() { fixture.time.advance(by: due - fixture.time.now()) }
            try await before(fixture.time.now())
            try await engine.pass.run()
            await engine.planner?.tick()
        }
        if end > fixture.time.now() { fixture.time.advance(by: end - fixture.time.now()) }
    }

    private func planner(_ engine: Fixture.Engine) async throws -> SyncPlanner {
        let planner = try #require(engine.planner)
        await planner.rebuild()
        return planner
    }

    @Test func `what changes is fetched more often than what does not, at the cost of one interval for all`()
        async throws
    {
        let fixture = try Fixture()
        let engine = fixture.engine(plans: true)
        var ids: [AccountID] = []
        for subject in 1...24 {
            ids.append(try await fixture.link("\(subject)", dueAfter: .seconds(Int64(subject) * 900)))
        }
        _ = try await planner(engine)
        var turn = 0
        // Accounts 1 to 6 are another person at every look; the others never change.
        let renaming: (Timestamp) -> Void = { _ in
            turn += 1
            for subject in 1...6 { fixture.rename("\(subject)", to: "name-\(turn)") }
        }
        try await run(fixture, engine, for: .seconds(6 * 86_400), before: renaming)
        let before = fixture.profileRequests.count
        try await run(fixture, engine, for: .seconds(4 * 86_400), before: renaming)
        var counts: [String: Int] = [:]
        for request in fixture.profileRequests.dropFirst(before) {
            counts[Fixture.subject(of: request), default: 0] += 1
        }
        let busy = (1...6).map { counts["\($0)", default: 0] }.reduce(0, +) / 6
        let quiet = (7...24).map { counts["\($0)", default: 0] }.reduce(0, +) / 18
        #expect(busy > 2 * quiet, "\(busy) against \(quiet)")
        // The promise: nobody is older than a day, whatever it costs.
        #expect(quiet >= 4)
        // Four requests a day and account is what one interval for all would cost.
        let budget = 24 * 4 * 4
        let spent = counts.values.reduce(0, +)
        #expect(Double(spent) > 0.75 * Double(budget) && Double(spent) < 1.1 * Double(budget), "\(spent) of \(budget)")
        let outlook = try #require(engine.planner?.outlook(try fixture.provider("alpha").id))
        #expect(abs(outlook.budget - 24 / Self.interval) < 1e-9)
    }

    @Test func `what was learned, the plan and the price outlive a restart`() async throws {
        let fixture = try Fixture()
        let engine = fixture.engine(plans: true)
        let id = try await fixture.link("1")
        let first = try await planner(engine)
        try await run(fixture, engine, for: .seconds(3 * 86_400))
        await first.tick()
        let held = try await learned(fixture, id)
        #expect((held.changeRate ?? 0) > ChangeBelief.prior.b)
        #expect(held.plan != nil)
        let alpha = try fixture.provider("alpha").id
        let before = try #require(first.outlook(alpha))
        let second = try await planner(fixture.engine(owner: "restarted", plans: true))
        let after = try #require(second.outlook(alpha))
        #expect(abs(after.price - before.price) < 0.011 * before.price)
        #expect(abs(after.planned - before.planned) < 0.011 * before.planned)
    }

    @Test func `a plan of yesterday's price is made anew before it costs a request`() async throws {
        let fixture = try Fixture()
        let engine = fixture.engine(plans: true)
        let id = try await fixture.link("1")
        let planner = try await planner(engine)
        try await engine.pass.run()
        let asked = fixture.profileRequests.count
        let alpha = try fixture.provider("alpha").id
        let now = fixture.time.now()
        // A plan that came about when requests were cheap.
        let cheap = SchedulePlan(interval: 600, share: 1, isClamped: false, weight: 1)
        #expect(try await fixture.database.schedule.bringForward(id, to: now + .seconds(600), plan: cheap))
        fixture.time.advance(by: .seconds(600))
        try await engine.pass.run()
        #expect(fixture.profileRequests.count == asked)
        let due = try #require(try await fixture.account(id).nextSyncAt)
        #expect(due > now + .seconds(3600))
        #expect(try await learned(fixture, id).plan != cheap)
        // Somebody who asks for it has it at once, plan or no plan.
        #expect(try await fixture.database.schedule.expedite(id, at: fixture.time.now()))
        try await engine.pass.run()
        #expect(fixture.profileRequests.count == asked + 1)
        #expect(planner.outlook(alpha) != nil)
    }

    @Test func `what is read much is brought forward, and several reads at once are one`() async throws {
        let fixture = try Fixture()
        let engine = fixture.engine(plans: true)
        let read = try await fixture.link("1")
        let unread = try await fixture.link("2")
        let planner = try await planner(engine)
        try await engine.pass.run()
        let dueBefore = try #require(try await fixture.account(read).nextSyncAt)
        for _ in 0..<200 {
            for _ in 0..<5 { engine.reads.count(read, at: fixture.time.now()) }
            fixture.time.advance(by: .seconds(11))
            await planner.flushReads()
        }
        let learned = try await learned(fixture, read)
        #expect(learned.reads > 195 && learned.reads < 200)
        #expect(try await self.learned(fixture, unread).reads == 0)
        let due = try #require(try await fixture.account(read).nextSyncAt)
        #expect(due < dueBefore)
        #expect((learned.plan?.weight ?? 0) > 1.4)
    }

    @Test func `those that were imported together do not come due together after their first sync`() async throws {
        let fixture = try Fixture()
        let engine = fixture.engine(plans: true)
        let batch = try (1...40).map { number in
            ImportedAccount(
                userID: try #require(UserID("user-\(number)")), provider: try fixture.provider("alpha").id,
                subject: try #require(Subject("\(number)")), credential: try fixture.credential("\(number)"),
                nextSyncAt: fixture.time.now())
        }
        let ids = try await fixture.database.accounts.importAccounts(batch).compactMap { outcome in
            if case .created(let id) = outcome { id } else { nil }
        }
        #expect(ids.count == 40)
        _ = try await planner(engine)
        try await engine.pass.run()
        func spread() async throws -> (mean: Double, width: Double) {
            var waits: [Double] = []
            for id in ids {
                let due = try #require(try await fixture.state(id).nextSyncAt)
                waits.append((due - fixture.time.now()).secondsAsDouble)
            }
            let mean = waits.reduce(0, +) / 40
            return (mean, ((waits.max() ?? 0) - (waits.min() ?? 0)) / mean)
        }
        // From half of an interval to one and a half.
        #expect(try await spread().width > 0.7)
        // From then on each keeps its own time, but for five per cent of chance.
        for id in ids { _ = try await fixture.database.schedule.expedite(id, at: fixture.time.now()) }
        fixture.time.advance(by: .seconds(Self.interval))
        try await engine.pass.run()
        #expect(try await spread().width < 0.2)
    }

    @Test func `a first fetch, a failure and another mapping teach nothing`() async throws {
        let fixture = try Fixture()
        let engine = fixture.engine(plans: true)
        let id = try await fixture.link("1")
        _ = try await planner(engine)
        fixture.nextProfile(500)
        try await engine.pass.run()
        #expect(try await learned(fixture, id).changeShape == nil)
        fixture.time.advance(by: .seconds(86_400))
        try await engine.pass.run()
        let unchanged = try await learned(fixture, id)
        // A day without a change, and nothing else.
        #expect(abs((unchanged.changeRate ?? 0) - (ChangeBelief.prior.b + 86_400)) < 60)
    }

    @Test func `the estimate of freshness falls with age and comes back with a sync`() async throws {
        let fixture = try Fixture()
        let engine = fixture.engine(plans: true)
        for subject in 1...3 { try await fixture.link("\(subject)") }
        let planner = try await planner(engine)
        let alpha = try fixture.provider("alpha").id
        #expect(try #require(planner.outlook(alpha)).freshness == nil)
        try await engine.pass.run()
        await planner.sampleFreshness()
        #expect(try #require(planner.outlook(alpha)?.freshness) == 1)
        fixture.time.advance(by: .seconds(86_400))
        await planner.sampleFreshness()
        let stale = try #require(planner.outlook(alpha)?.freshness)
        #expect(abs(stale - ChangeBelief.prior.freshProbability(age: 86_400)) < 1e-6)
        try await engine.pass.run()
        await planner.sampleFreshness()
        #expect(try #require(planner.outlook(alpha)?.freshness) == 1)
    }

    @Test func `a promise that can't be paid is said to be`() async throws {
        let manifest = Fixture.manifest(
            "alpha", rotation: "single_use", limits: ", requests: {per: client, count: 1, window: 6h}")
        let fixture = try Fixture(manifests: [manifest])
        let engine = fixture.engine(plans: true)
        for subject in 1...9 { try await fixture.link("\(subject)") }
        let planner = try await planner(engine)
        #expect(try #require(planner.outlook(try fixture.provider("alpha").id)).promiseIsUnpayable)
    }

    @Test func `who leaves the schedule is planned for no more`() async throws {
        let fixture = try Fixture()
        let engine = fixture.engine(plans: true)
        try await fixture.link("1", credential: fixture.credential("1", refresh: false))
        let planner = try await planner(engine)
        let alpha = try fixture.provider("alpha").id
        try await engine.pass.run()
        #expect(try #require(planner.outlook(alpha)).planned > 0)
        fixture.time.advance(by: .seconds(86_400))
        fixture.nextProfile(401)
        try await engine.pass.run()
        #expect(try #require(planner.outlook(alpha)).planned == 0)
        await planner.rebuild()
        #expect(try #require(planner.outlook(alpha)).planned == 0)
    }

    @Test func `an interval shorter than politeness asks for is the operator's to choose`() async throws {
        let manifest = Fixture.manifest("alpha", rotation: "single_use").replacingOccurrences(
            of: "interval: 6h, minimum_interval: 5m, maximum_age: 24h",
            with: "interval: 30s, minimum_interval: 10s, maximum_age: 24h")
        let fixture = try Fixture(manifests: [manifest])
        let engine = fixture.engine(plans: true)
        let id = try await fixture.link("1")
        _ = try await planner(engine)
        try await engine.pass.run()
        let due = try #require(try await fixture.account(id).nextSyncAt)
        #expect(due - fixture.time.now() < .seconds(60))
    }

    @Test func `budget that nobody has spent goes to who comes due next, from half of the interval on`() async throws {
        let fixture = try Fixture()
        let engine = fixture.engine(plans: true)
        for subject in 1...24 { try await fixture.link("\(subject)") }
        _ = try await planner(engine)
        try await engine.pass.run()
        let asked = fixture.profileRequests.count
        fixture.time.advance(by: .seconds(0.3 * Self.interval))
        try await engine.pass.run()
        #expect(fixture.profileRequests.count == asked)
        fixture.time.advance(by: .seconds(0.4 * Self.interval))
        try await engine.pass.run()
        #expect(fixture.profileRequests.count == asked + 1)
        // That one is spent.
        try await engine.pass.run()
        fixture.time.advance(by: .seconds(60))
        try await engine.pass.run()
        #expect(fixture.profileRequests.count == asked + 1)
        // What no request buys is left unspent.
        let fixed = fixture.engine()
        fixture.time.advance(by: .seconds(900))
        try await fixed.pass.run()
        #expect(fixture.profileRequests.count == asked + 1)
    }

    @Test func `what the provider says can't change before is not asked for before, however much it is read`()
        async throws
    {
        let fixture = try Fixture()
        let world = fixture.world
        world.state.withLock {
            $0.profileReply = { request in
                guard case .success(var response) = Fixture.profile(request, world) else {
                    return .failure(.cancelled)
                }
                response.fields["x-poll-interval"] = "72000"
                return .success(response)
            }
        }
        let engine = fixture.engine(plans: true)
        let id = try await fixture.link("1")
        _ = try await fixture.link("2")
        let planner = try await planner(engine)
        try await engine.pass.run()
        let due = try #require(try await fixture.account(id).nextSyncAt)
        #expect(due - fixture.time.now() >= .seconds(0.95 * 72_000))
        let asked = fixture.profileRequests.count
        for _ in 0..<100 {
            fixture.time.advance(by: .seconds(500))
            engine.reads.count(id, at: fixture.time.now())
            await planner.flushReads()
            try await engine.pass.run()
        }
        #expect(fixture.profileRequests.count == asked)
        #expect(try await fixture.account(id).nextSyncAt == due)
    }

    @Test func `what callers take is not planned for a second time`() async throws {
        let fixture = try Fixture()
        let engine = fixture.engine(plans: true)
        var ids: [AccountID] = []
        for subject in 1...24 { ids.append(try await fixture.link("\(subject)")) }
        let planner = try await planner(engine)
        let alpha = try fixture.provider("alpha").id
        try await engine.pass.run()
        for _ in 0..<30 { await planner.tick() }
        let quiet = try #require(planner.outlook(alpha)).price
        await planner.tick()
        #expect(abs(try #require(planner.outlook(alpha)).price - quiet) < 0.01 * quiet)
        fixture.time.advance(by: .seconds(301))
        for id in ids { #expect(try await engine.onDemand.sync(id, waitingAtMost: .seconds(5)) == .synced) }
        await planner.tick()
        #expect(try #require(planner.outlook(alpha)).price > 1.5 * quiet)
    }

    @Test func `a provider that refuses is planned less for, and one that is left alone is not priced`() async throws {
        let fixture = try Fixture()
        let engine = fixture.engine(plans: true)
        for subject in 1...24 { try await fixture.link("\(subject)") }
        let planner = try await planner(engine)
        let provider = try fixture.provider("alpha")
        let alpha = provider.id
        try await engine.pass.run()
        let budget = try #require(planner.outlook(alpha)).budget
        let me = TransferRequest(.get, "https://api.alpha.example/me")
        fixture.nextProfile(429)
        _ = try await engine.client.send(me, to: provider, urgency: .callerWaits)
        await planner.tick()
        #expect(abs(try #require(planner.outlook(alpha)).budget - 0.7 * budget) < 0.01 * budget)
        fixture.time.advance(by: .seconds(61))
        for _ in 0..<5 {
            fixture.nextProfile(503)
            _ = try await engine.client.send(me, to: provider, urgency: .callerWaits)
        }
        let price = try #require(planner.outlook(alpha)).price
        for _ in 0..<10 { await planner.tick() }
        #expect(try #require(planner.outlook(alpha)).price == price)
    }
}
