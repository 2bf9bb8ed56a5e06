import Accounts
import Linking
import Logging
import ServiceLifecycle
import Store
import Synchronization
import TestSupport
import Testing
import Transfer

@testable import Sync

@Suite(.timeLimit(.minutes(10)))
struct SyncServiceTests {
    @Test func `starts a pass at once and one with each tick`() async throws {
        let fixture = try Fixture()
        let id = try await fixture.link()
        let later = try await fixture.link("2", dueAfter: .seconds(2))
        let service = fixture.engine().service
        let run = Task { try await service.run() }
        // The next tick and the house keeping: the first pass is over.
        await fixture.time.sleepers(atLeast: 2)
        #expect(try await fixture.state(id).attemptedAt == fixture.time.now())
        for expected in [1, 2] {
            #expect(fixture.profileRequests.count == 1)
            fixture.time.advance(by: SyncService.pollInterval)
            await fixture.time.sleepers(atLeast: 2)
            #expect(fixture.profileRequests.count == expected)
        }
        #expect(try await fixture.state(later).attemptedAt == fixture.time.now())
        run.cancel()
        try await run.value
    }

    @Test func `each element of ticks is one pass, and their end is the service's`() async throws {
        let fixture = try Fixture()
        try await fixture.link()
        let (ticks, tick) = AsyncStream<Void>.makeStream()
        tick.yield()
        tick.yield()
        tick.finish()
        try await fixture.engine().service.run(ticks: ticks)
        #expect(fixture.profileRequests.count == 1)
    }

    @Test func `a pass that fails is reported and does not end the service`() async throws {
        let fixture = try Fixture()
        let service = fixture.engine().service
        fixture.database.close()
        let (ticks, tick) = AsyncStream<Void>.makeStream()
        tick.yield()
        tick.yield()
        tick.finish()
        try await service.run(ticks: ticks)
        #expect(fixture.log.lines.count { $0.message == "The schedule can't be read" } == 2)
    }

    @Test func `shutdown finishes what is under way and claims nothing more`() async throws {
        let fixture = try Fixture(manifests: [Fixture.alpha])
        var ids: [AccountID] = []
        for number in 1...6 { ids.append(try await fixture.link("\(number)")) }
        let time = fixture.time
        let world = fixture.world
        world.state.withLock {
            $0.profileReply = { request in
                guard (try? await time.sleep(for: .seconds(5))) != nil else { return .failure(.cancelled) }
                return Fixture.profile(request, world)
            }
        }
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: [fixture.engine(concurrency: 2).service], logger: fixture.logger))
        let run = Task { try await group.run() }
        // Two requests and the house keeping.
        await time.sleepers(atLeast: 3)
        await group.triggerGracefulShutdown()
        time.advance(by: .seconds(5))
        try await run.value
        #expect(fixture.profileRequests.count == 2)
        var synced = 0
        for id in ids {
            #expect(try await fixture.state(id).leaseUntil == nil)
            if try await fixture.state(id).attemptedAt == time.now() { synced += 1 }
        }
        #expect(synced == 2)
    }

    @Test func `cancelled in mid-request it ends at once and holds nothing`() async throws {
        let fixture = try Fixture()
        let id = try await fixture.link()
        let time = fixture.time
        fixture.world.state.withLock {
            $0.profileReply = { _ in
                // Ends by cancellation alone.
                try? await time.sleep(for: .seconds(3600))
                return .failure(.cancelled)
            }
        }
        let service = fixture.engine().service
        let run = Task { try await service.run() }
        await time.sleepers(atLeast: 2)
        run.cancel()
        try await run.value
        #expect(try await fixture.state(id).leaseUntil == nil)
        #expect(try await fixture.account(id).problem == nil)
    }

    @Test func `makes good what a crash left in doubt, without keeping others waiting`() async throws {
        let fixture = try Fixture()
        let doubtful = try await fixture.link(dueAfter: .seconds(7200))
        let due = try await fixture.link("2", at: "beta", dueAfter: .seconds(60))
        _ = try await fixture.database.credentials.beginRefresh(doubtful, owner: "dead", lease: .seconds(60))
        let time = fixture.time
        time.advance(by: .seconds(60))
        let world = fixture.world
        let answer = Barrier()
        fixture.nextToken { request in
            await answer.pass()
            return Fixture.token(request, world)
        }
        let engine = fixture.engine()
        let run = Task { try await engine.service.run() }
        await answer.arrivals()
        // The first pass is over when the next tick is waited for, as the house keeping is.
        await time.sleepers(atLeast: 2)
        #expect(try await fixture.state(due).attemptedAt == time.now())
        answer.open()
        run.cancel()
        try await run.value
        // As the program does at its end: an answer that is on its way is stored.
        await engine.tokens.finish()
        #expect(fixture.tokenRequests.count == 1)
        #expect(try await fixture.database.credentials.read(doubtful)?.generation == 2)
    }

    @Test func `keeps house: what is due for revocation is sent`() async throws {
        let fixture = try Fixture()
        let id = try await fixture.link(dueAfter: .seconds(7200))
        let mute = try await fixture.link("2", at: "beta", dueAfter: .seconds(7200))
        _ = try await fixture.database.accounts.unlink(id)
        _ = try await fixture.database.accounts.unlink(mute)
        fixture.time.advance(by: .seconds(61))
        let service = fixture.engine().service
        let run = Task { try await service.run() }
        await fixture.time.sleepers(atLeast: 2)
        run.cancel()
        try await run.value
        // Beta has no revocation endpoint: nothing can be asked of it, and nothing is kept.
        #expect(fixture.revokedTokens == ["EXAMPLE-refresh-1-1", "EXAMPLE-access-1-1"])
        #expect(fixture.transport.requests.count == 2)
        #expect(try await fixture.database.revocations.count() == 0)
    }
}
