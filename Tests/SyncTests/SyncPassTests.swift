import Accounts
import Foundation
import Providers
import Store
import Synchronization
import TestSupport
import Testing
import Transfer

@testable import Sync

@Suite(.timeLimit(.minutes(10)))
struct SyncPassTests {
    /// Watches how many requests are under way at once.
    final class Observer: Sendable {
        struct State: Sendable {
            var underWay: [String: Int] = [:]
            var total = 0
            var peak = 0
            var peaks: [String: Int] = [:]
            var twice: [String] = []
        }
        let state = Mutex(State())

        /// Answers as the provider does, after a while in which others can begin.
        func reply(_ fixture: Fixture) -> ScriptedTransport.Reply {
            let world = fixture.world
            return { [self] request in
                let subject = Fixture.subject(of: request)
                let host = request.url.split(separator: "/")[1].description
                state.withLock { state in
                    if state.underWay[subject, default: 0] > 0 { state.twice.append(subject) }
                    state.underWay[subject, default: 0] += 1
                    state.underWay[host, default: 0] += 1
                    state.total += 1
                    state.peak = max(state.peak, state.total)
                    state.peaks[host] = max(state.peaks[host] ?? 0, state.underWay[host] ?? 0)
                }
                for _ in 0..<20 { await Task.yield() }
                state.withLock { state in
                    state.underWay[subject, default: 1] -= 1
                    state.underWay[host, default: 1] -= 1
                    state.total -= 1
                }
                return Fixture.profile(request, world)
            }
        }
    }

    private func observe(_ fixture: Fixture) -> Observer {
        let observer = Observer()
        let reply = observer.reply(fixture)
        fixture.world.state.withLock { $0.profileReply = reply }
        return observer
    }

    private func link(_ count: Int, _ fixture: Fixture, at provider: String = "alpha", from first: Int = 1) async throws
        -> [AccountID]
    {
        var ids: [AccountID] = []
        for number in first..<first + count { ids.append(try await fixture.link("\(number)", at: provider)) }
        return ids
    }

    private func leases(_ fixture: Fixture, _ ids: [AccountID]) async throws -> Int {
        var count = 0
        for id in ids where try await fixture.state(id).leaseUntil != nil { count += 1 }
        return count
    }

    private func dueNow(_ fixture: Fixture) async throws -> [String: Int] {
        let states = try await fixture.database.schedule.states(
            of: fixture.catalog.providers.map(\.id), now: fixture.time.now())
        return Dictionary(uniqueKeysWithValues: states.map { ($0.provider.rawValue, $0.dueNow) })
    }

    // MARK: - Bounds

    @Test func `syncs all that is due, once each, and ends`() async throws {
        let fixture = try Fixture()
        var ids = try await link(20, fixture)
        ids += try await link(20, fixture, at: "beta", from: 101)
        let later = try await fixture.link("999", dueAfter: .seconds(60))
        let observer = observe(fixture)
        let tally = try await fixture.engine(concurrency: 8).pass.run()
        #expect(tally.attempts == 40 && tally.unchanged == 40)
        #expect(fixture.profileRequests.count == 40)
        #expect(Set(fixture.profileRequests.map(Fixture.subject)).count == 40)
        #expect(observer.state.withLock { $0.twice } == [])
        #expect(try await leases(fixture, ids) == 0)
        #expect(try await dueNow(fixture) == ["alpha": 0, "beta": 0])
        #expect(!fixture.profileRequests.contains { Fixture.subject(of: $0) == "999" })
        #expect(try await fixture.state(later).nextSyncAt == fixture.time.now() + .seconds(60))
        #expect(try await fixture.engine().pass.run().attempts == 0)
    }

    @Test(arguments: [1, 3, 8]) func `has never more under way than its concurrency`(_ concurrency: Int) async throws {
        let fixture = try Fixture()
        _ = try await link(15, fixture)
        _ = try await link(15, fixture, at: "beta", from: 101)
        let observer = observe(fixture)
        #expect(try await fixture.engine(concurrency: concurrency).pass.run().attempts == 30)
        #expect(observer.state.withLock { $0.peak } <= concurrency)
    }

    @Test(arguments: [1, 2, 8])
    func `uses its concurrency, and never claims more than it has under way`(_ concurrency: Int) async throws {
        let fixture = try Fixture(manifests: [Fixture.alpha])
        let time = fixture.time
        let ids = try await link(24, fixture)
        let world = fixture.world
        world.state.withLock {
            $0.profileReply = { request in
                guard (try? await time.sleep(for: .seconds(1))) != nil else { return .failure(.cancelled) }
                return Fixture.profile(request, world)
            }
        }
        let pass = fixture.engine(concurrency: concurrency).pass
        async let tally = pass.run()
        for round in 1...24 / concurrency {
            await time.sleepers(atLeast: concurrency)
            #expect(fixture.profileRequests.count == round * concurrency)
            #expect(try await leases(fixture, ids) == concurrency)
            time.advance(by: .seconds(1))
        }
        #expect(try await tally.attempts == 24)
    }

    @Test func `keeps to a provider's own concurrency`() async throws {
        let narrow = Fixture.manifest("alpha", rotation: "reusable", concurrency: 2)
        let fixture = try Fixture(manifests: [narrow, Fixture.beta])
        _ = try await link(12, fixture)
        _ = try await link(12, fixture, at: "beta", from: 101)
        let observer = observe(fixture)
        #expect(try await fixture.engine(concurrency: 16).pass.run().attempts == 24)
        let state = observer.state.withLock { $0 }
        #expect(try #require(state.peaks["api.alpha.example"]) <= 2)
        #expect(try #require(state.peaks["api.beta.example"]) <= 8)
    }

    @Test(arguments: [1, 2, 3])
    func `serves every provider where there are more of them than slots`(_ concurrency: Int) async throws {
        let names = ["alpha", "beta", "gamma", "delta"]
        let fixture = try Fixture(manifests: names.map { Fixture.manifest($0, rotation: "reusable") })
        for (index, name) in names.enumerated() { _ = try await link(3, fixture, at: name, from: index * 10 + 1) }
        let observer = observe(fixture)
        #expect(try await fixture.engine(concurrency: concurrency).pass.run().attempts == 12)
        #expect(observer.state.withLock { $0.peak } <= concurrency)
        #expect(try await dueNow(fixture).values.allSatisfy { $0 == 0 })
    }

    @Test func `security 38, 64: providers that do not answer keep no slot from another`() async throws {
        let names = ["alpha", "beta", "gamma"]
        let fixture = try Fixture(manifests: names.map { Fixture.manifest($0, rotation: "reusable") })
        for (index, name) in names.enumerated() { _ = try await link(12, fixture, at: name, from: index * 100 + 1) }
        let time = fixture.time
        let world = fixture.world
        world.state.withLock {
            $0.profileReply = { request in
                if request.url.contains("gamma") { return Fixture.profile(request, world) }
                guard (try? await time.sleep(for: .seconds(30))) != nil else { return .failure(.cancelled) }
                return .failure(.timedOut(host: "api.example"))
            }
        }
        let engine = fixture.engine(concurrency: 6)
        let served = Mutex(0)
        let tally = try await engine.pass.run { tally in
            // All of gamma's while not one request to the others has come back.
            if tally.unchanged == 12, tally.failed == 0 {
                served.withLock { $0 = tally.unchanged }
                engine.pass.stop()
            }
            if tally.unchanged == 12 { time.advance(by: .seconds(30)) }
        }
        #expect(served.withLock { $0 } == 12)
        #expect(tally.failed == 4)
    }

    // MARK: - Pauses and failures

    @Test func `a paused provider's accounts are put off and block nobody`() async throws {
        let fixture = try Fixture()
        let paused = try await link(5, fixture)
        _ = try await link(5, fixture, at: "beta", from: 101)
        let until = fixture.time.now() + .seconds(600)
        try await fixture.database.schedule.pauseProvider(
            try fixture.provider("alpha").id, until: until, reason: "EXAMPLE")
        let engine = fixture.engine()
        #expect(try await engine.pass.run().attempts == 5)
        #expect(fixture.profileRequests.allSatisfy { $0.url.contains("beta") })
        #expect(try await dueNow(fixture) == ["alpha": 5, "beta": 0])
        for id in paused {
            #expect(try await fixture.account(id).problem == nil)
            #expect(try await fixture.state(id).failures == 0)
        }
        fixture.time.advance(by: .seconds(600))
        #expect(try await engine.pass.run().unchanged == 5)
    }

    @Test func `a 429 in the middle of a pass stops the provider and no other`() async throws {
        let fixture = try Fixture()
        let ids = try await link(10, fixture)
        _ = try await link(10, fixture, at: "beta", from: 101)
        let world = fixture.world
        world.state.withLock {
            $0.profileReply = { request in
                request.url.contains("alpha")
                    ? Fixture.answer(429, ["retry-after": "300"], "{}") : Fixture.profile(request, world)
            }
        }
        let engine = fixture.engine(concurrency: 4)
        let tally = try await engine.pass.run()
        #expect(tally.unchanged == 10)
        // Those that were under way; the others were not even claimed.
        #expect(tally.failed <= 4)
        let asked = fixture.profileRequests.count { $0.url.contains("alpha") }
        #expect((1...2).contains(asked))
        for id in ids {
            #expect(try await fixture.account(id).status == .active)
            #expect(try await fixture.state(id).failures == 0)
        }
        world.state.withLock { $0.profileReply = nil }
        fixture.time.advance(by: .seconds(299))
        #expect(try await engine.pass.run().attempts == 0)
        fixture.time.advance(by: .seconds(32))
        #expect(try await engine.pass.run().unchanged == 10)
    }

    @Test func `counts outcomes and reports progress after each`() async throws {
        let fixture = try Fixture(manifests: [Fixture.alpha])
        _ = try await link(6, fixture)
        fixture.rename("2", to: "hexacat")
        fixture.rename("3", to: "hexacat")
        fixture.nextProfile(404)
        let seen = Mutex<[SyncTally]>([])
        // One at a time: the longest due first, so that the refusal is the first account's.
        let tally = try await fixture.engine(concurrency: 1).pass.run { tally in seen.withLock { $0.append(tally) } }
        #expect(tally.failed == 1 && tally.updated + tally.unchanged == 5)
        #expect(seen.withLock { $0.map(\.attempts) } == [1, 2, 3, 4, 5, 6])
        #expect(seen.withLock { $0.last } == tally)
    }

    @Test func `an account that can't be synced is not tried twice in a pass`() async throws {
        let fixture = try Fixture(manifests: [Fixture.alpha])
        _ = try await link(4, fixture)
        fixture.world.state.withLock { $0.profileReply = { _ in Fixture.answer(404, [:], "{}") } }
        #expect(try await fixture.engine().pass.run().failed == 4)
        #expect(fixture.profileRequests.count == 4)
    }

    @Test func `a database that does not answer is an error, not an empty pass`() async throws {
        let fixture = try Fixture()
        let engine = fixture.engine()
        fixture.database.close()
        await #expect(throws: StoreError.self) { try await engine.pass.run() }
    }

    // MARK: - Ends

    @Test func `stop finishes what is under way and claims nothing more`() async throws {
        let fixture = try Fixture(manifests: [Fixture.alpha])
        let ids = try await link(10, fixture)
        let engine = fixture.engine(concurrency: 2)
        let world = fixture.world
        world.state.withLock {
            $0.profileReply = { request in
                engine.pass.stop()
                return Fixture.profile(request, world)
            }
        }
        #expect(try await engine.pass.run().unchanged == 2)
        #expect(try await leases(fixture, ids) == 0)
        #expect(try await dueNow(fixture) == ["alpha": 8])
        #expect(try await engine.pass.run().attempts == 0)
    }

    @Test func `cancellation hands everything back`() async throws {
        let fixture = try Fixture(manifests: [Fixture.alpha])
        let ids = try await link(10, fixture)
        let time = fixture.time
        let engine = fixture.engine(concurrency: 4)
        fixture.world.state.withLock {
            $0.profileReply = { _ in
                // Ends by cancellation alone.
                try? await time.sleep(for: .seconds(3600))
                return .failure(.cancelled)
            }
        }
        let run = Task { try await engine.pass.run() }
        await time.sleepers(atLeast: 4)
        #expect(try await leases(fixture, ids) == 4)
        run.cancel()
        #expect(try await run.value.attempts == 0)
        #expect(try await leases(fixture, ids) == 0)
        #expect(try await dueNow(fixture) == ["alpha": 10])
        for id in ids { #expect(try await fixture.account(id).problem == nil) }
    }

    // MARK: - Several processes

    @Test func `what a dead process held is taken over when its leases end`() async throws {
        let fixture = try Fixture(manifests: [Fixture.alpha])
        let ids = try await link(5, fixture)
        let provider = try fixture.provider("alpha").id
        let held = try await fixture.database.schedule.claimDue(
            now: fixture.time.now(), owner: "dead", lease: SyncPass.lease, slots: [provider: 3])
        let engine = fixture.engine()
        #expect(try await engine.pass.run().attempts == 2)
        fixture.time.advance(by: SyncPass.lease - .milliseconds(1))
        #expect(try await engine.pass.run().attempts == 0)
        fixture.time.advance(by: .milliseconds(1))
        #expect(try await engine.pass.run().attempts == 3)
        #expect(try await leases(fixture, ids) == 0)
        // It was not dead but slow: too late.
        let claim = try #require(held.first)
        #expect(await fixture.engine(owner: "dead").accountSync.run(claim) == .abandoned)
    }

    @Test func `two processes share the work, each account synced by one`() async throws {
        let fixture = try Fixture()
        var ids = try await link(25, fixture)
        ids += try await link(25, fixture, at: "beta", from: 101)
        let observer = observe(fixture)
        // Nobody gets an answer before five requests are out: at four each, both processes have begun by then.
        let barrier = Barrier()
        let reply = observer.reply(fixture)
        fixture.world.state.withLock { state in
            state.profileReply = { request in
                await barrier.pass()
                return await reply(request)
            }
        }
        let other = try fixture.anotherDatabase()
        defer { other.close() }
        let first = fixture.engine(owner: "first", concurrency: 4)
        let second = fixture.engine(owner: "second", concurrency: 4, database: other)
        async let one = first.pass.run()
        async let two = second.pass.run()
        await barrier.arrivals(atLeast: 5)
        barrier.open()
        let tallies = try await (one, two)
        #expect(tallies.0.attempts + tallies.1.attempts == 50)
        #expect(tallies.0.attempts > 0 && tallies.1.attempts > 0)
        #expect(fixture.profileRequests.count == 50)
        #expect(observer.state.withLock { $0.twice } == [])
        #expect(try await leases(fixture, ids) == 0)
    }

    @Test func `a request limit is shared by all processes`() async throws {
        let limits = ", requests: {per: client, count: 10, window: 1m}"
        let fixture = try Fixture(
            manifests: [Fixture.manifest("alpha", rotation: "reusable", limits: limits)])
        _ = try await link(30, fixture)
        let other = try fixture.anotherDatabase()
        defer { other.close() }
        let first = fixture.engine(owner: "first", concurrency: 4)
        let second = fixture.engine(owner: "second", concurrency: 4, database: other)
        async let one = first.pass.run()
        async let two = second.pass.run()
        _ = try await (one, two)
        #expect((1...10).contains(fixture.profileRequests.count))
    }
}
