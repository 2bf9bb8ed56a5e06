import Accounts
import Linking
import Providers
import Store
import Synchronization
import TestSupport
import Testing
import Transfer

@testable import Sync

@Suite(.timeLimit(.minutes(10)))
struct SyncOnDemandTests {
    /// Every request for a profile takes a second.
    private func slow(_ fixture: Fixture) {
        let time = fixture.time
        let world = fixture.world
        world.state.withLock {
            $0.profileReply = { request in
                guard (try? await time.sleep(for: .seconds(1))) != nil else { return .failure(.cancelled) }
                return Fixture.profile(request, world)
            }
        }
    }

    /// Linked for longer than the provider's minimum interval.
    private func link(_ fixture: Fixture, _ subject: String = "1") async throws -> AccountID {
        let id = try await fixture.link(subject)
        fixture.time.advance(by: .seconds(300))
        return id
    }

    @Test func `brings a younger copy, due or not`() async throws {
        let fixture = try Fixture()
        let id = try await fixture.link(dueAfter: .seconds(7200))
        fixture.time.advance(by: .seconds(3600))
        fixture.rename(to: "hexacat")
        #expect(try await fixture.engine().onDemand.sync(id, waitingAtMost: .seconds(5)) == .synced)
        let document = try fixture.document(id)
        #expect(document.fetchedAt == fixture.time.now())
        #expect(document.version == 2)
        #expect(try await fixture.state(id).leaseUntil == nil)
        #expect(try #require(try await fixture.state(id).nextSyncAt) > fixture.time.now() + .seconds(20_000))
    }

    @Test func `a copy younger than the minimum interval is as young as there is, whoever asks`() async throws {
        let fixture = try Fixture()
        let id = try await fixture.link(dueAfter: .seconds(7200))
        let due = try await fixture.state(id).nextSyncAt
        fixture.time.advance(by: .seconds(299))
        let onDemand = fixture.engine().onDemand
        #expect(try await onDemand.sync(id, waitingAtMost: .seconds(5)) == .synced)
        #expect(try await onDemand.sync(id, waitingAtMost: nil) == .synced)
        #expect(try await fixture.state(id).nextSyncAt == due)
        #expect(fixture.transport.requests.isEmpty)
        fixture.time.advance(by: .seconds(1))
        #expect(try await onDemand.sync(id, waitingAtMost: .seconds(5)) == .synced)
        #expect(fixture.profileRequests.count == 1)
        // One that can't be served any more says so all the same.
        _ = try await fixture.database.accounts.markNeedsRelink(
            id, generation: 1, code: .rotationLost, detail: "EXAMPLE detail.")
        guard case .failed = try await onDemand.sync(id, waitingAtMost: .seconds(5)) else {
            Issue.record("served a dead grant's copy as a young one")
            return
        }
    }

    @Test func `a read that leaves it to the service waits where the price is met, and never for long`() async throws {
        let fixture = try Fixture()
        let id = try await fixture.link()
        let engine = fixture.engine(plans: true)
        await engine.planner?.rebuild()
        fixture.time.advance(by: .seconds(301))
        let young = try #require(
            try await engine.onDemand.refreshIfWorthIt(id, waitingAtMost: .milliseconds(800)))
        #expect(young > 0.99 && young < 1)
        #expect(fixture.profileRequests.isEmpty)
        fixture.time.advance(by: .seconds(5 * 86_400))
        #expect(try await engine.onDemand.refreshIfWorthIt(id, waitingAtMost: .milliseconds(800)) == 1)
        #expect(fixture.profileRequests.count == 1)
        // A provider that does not answer holds nobody up.
        fixture.time.advance(by: .seconds(5 * 86_400))
        slow(fixture)
        let read = Task { try await engine.onDemand.refreshIfWorthIt(id, waitingAtMost: .milliseconds(800)) }
        await fixture.time.sleepers(atLeast: 2)
        fixture.time.advance(by: .milliseconds(800))
        #expect(try #require(try await read.value) < 0.9)
        let asked = fixture.profileRequests.count
        // Nothing is believed where accounts are fetched at one interval.
        #expect(try await fixture.engine().onDemand.refreshIfWorthIt(id, waitingAtMost: .seconds(1)) == nil)
        #expect(fixture.profileRequests.count == asked)
    }

    @Test func `a read asks nothing of a provider that is left alone, and nothing is held against the account`()
        async throws
    {
        let fixture = try Fixture()
        let id = try await fixture.link()
        let engine = fixture.engine(plans: true)
        await engine.planner?.rebuild()
        fixture.time.advance(by: .seconds(5 * 86_400))
        await engine.client.pause(try fixture.provider("alpha").id, for: .seconds(600), reason: "EXAMPLE")
        let before = try await fixture.state(id)
        #expect(
            try #require(try await engine.onDemand.refreshIfWorthIt(id, waitingAtMost: .milliseconds(800))) < 0.9)
        #expect(try await fixture.state(id) == before)
        #expect(try await fixture.account(id).problem == nil)
        #expect(fixture.transport.requests.isEmpty)
    }

    @Test func `callers who ask at once share one attempt`() async throws {
        let fixture = try Fixture()
        let id = try await link(fixture)
        slow(fixture)
        let onDemand = fixture.engine().onDemand
        let answers = Task {
            try await withThrowingTaskGroup(of: SyncOnDemand.Answer.self) { group in
                for _ in 0..<5 { group.addTask { try await onDemand.sync(id, waitingAtMost: .seconds(5)) } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
        }
        // Five callers' time limits and the one request.
        await fixture.time.sleepers(atLeast: 6)
        fixture.time.advance(by: .seconds(1))
        #expect(try await answers.value == Array(repeating: .synced, count: 5))
        #expect(fixture.profileRequests.count == 1)
        // Another time, another attempt.
        fixture.world.state.withLock { $0.profileReply = nil }
        fixture.time.advance(by: .seconds(300))
        #expect(try await onDemand.sync(id, waitingAtMost: .seconds(5)) == .synced)
        #expect(fixture.profileRequests.count == 2)
    }

    @Test func `waits no longer than it was asked to; the cached copy keeps its age and the attempt goes on`()
        async throws
    {
        let fixture = try Fixture()
        let id = try await fixture.link()
        let linkedAt = fixture.time.now()
        fixture.time.advance(by: .seconds(600))
        fixture.rename(to: "hexacat")
        slow(fixture)
        let onDemand = fixture.engine().onDemand
        let impatient = Task { try await onDemand.sync(id, waitingAtMost: .milliseconds(500)) }
        let patient = Task { try await onDemand.sync(id, waitingAtMost: .seconds(5)) }
        await fixture.time.sleepers(atLeast: 3)
        fixture.time.advance(by: .milliseconds(500))
        #expect(try await impatient.value == .pending)
        let cached = try fixture.document(id)
        #expect(cached.fetchedAt == linkedAt && cached.version == 1)
        fixture.time.advance(by: .milliseconds(500))
        #expect(try await patient.value == .synced)
        #expect(try fixture.document(id).version == 2)
        #expect(fixture.profileRequests.count == 1)
    }

    @Test func `without a time to wait the account is made due and no more`() async throws {
        let fixture = try Fixture()
        let id = try await fixture.link(dueAfter: .seconds(7200))
        fixture.time.advance(by: .seconds(300))
        let engine = fixture.engine()
        #expect(try await engine.onDemand.sync(id, waitingAtMost: nil) == .pending)
        #expect(fixture.transport.requests.isEmpty)
        #expect(try await fixture.state(id).nextSyncAt == fixture.time.now())
        #expect(try await engine.pass.run().unchanged == 1)
    }

    @Test func `what another process fetched meanwhile is young enough`() async throws {
        let fixture = try Fixture()
        let id = try await link(fixture)
        let claim = try await fixture.claim(id, owner: "another")
        let onDemand = fixture.engine().onDemand
        let asked = Task { try await onDemand.sync(id, waitingAtMost: .seconds(30)) }
        // Its time limit, and the pause before it looks at the lease again.
        await fixture.time.sleepers(atLeast: 2)
        fixture.time.advance(by: .milliseconds(50))
        #expect(await fixture.engine(owner: "another").accountSync.run(claim) == .unchanged)
        fixture.time.advance(by: .milliseconds(50))
        #expect(try await asked.value == .synced)
        #expect(fixture.profileRequests.count == 1)
        #expect(try await fixture.state(id).leaseUntil == nil)
    }

    @Test func `takes over from a process that died`() async throws {
        let fixture = try Fixture()
        let id = try await link(fixture)
        _ = try await fixture.claim(id, owner: "dead")
        let onDemand = fixture.engine().onDemand
        let asked = Task { try await onDemand.sync(id, waitingAtMost: .seconds(300)) }
        await fixture.time.sleepers(atLeast: 2)
        fixture.time.advance(by: SyncPass.lease)
        #expect(try await asked.value == .synced)
        #expect(fixture.profileRequests.count == 1)
    }

    @Test func `says why an attempt failed`() async throws {
        let fixture = try Fixture()
        let id = try await link(fixture)
        let before = try fixture.document(id)
        fixture.time.advance(by: .seconds(1800))
        fixture.nextProfile(503)
        guard case .failed(let failure) = try await fixture.engine().onDemand.sync(id, waitingAtMost: .seconds(5))
        else {
            Issue.record("no failure")
            return
        }
        #expect(failure.code == .providerUnavailable)
        #expect(try await fixture.account(id).problem?.code == .providerUnavailable)
        #expect(try fixture.document(id) == before)
    }

    @Test func `asks nothing for an account that only its user can mend`() async throws {
        let fixture = try Fixture()
        let id = try await link(fixture)
        _ = try await fixture.database.accounts.markNeedsRelink(
            id, generation: 1, code: .rotationLost, detail: "EXAMPLE detail.")
        let answer = try await fixture.engine().onDemand.sync(id, waitingAtMost: .seconds(5))
        #expect(
            answer
                == .failed(
                    SyncFailure(
                        disposition: .relink(.rotationLost), code: .rotationLost, detail: "EXAMPLE detail.")))
        #expect(fixture.transport.requests.isEmpty)
    }

    @Test func `uses no token of an account that an operator stopped`() async throws {
        let fixture = try Fixture()
        let id = try await link(fixture)
        #expect(try await fixture.database.accounts.pause(id))
        let engine = fixture.engine()
        #expect(try await engine.onDemand.sync(id, waitingAtMost: .seconds(5)) == .paused)
        #expect(try await engine.onDemand.sync(id, waitingAtMost: nil) == .pending)
        #expect(try await engine.pass.run().attempts == 0)
        #expect(fixture.transport.requests.isEmpty)
        #expect(try await fixture.account(id).status == .paused)
    }

    @Test func `knows accounts that are not there, and those that go while it waits`() async throws {
        let fixture = try Fixture()
        let id = try await link(fixture)
        let onDemand = fixture.engine().onDemand
        let database = fixture.database
        let world = fixture.world
        fixture.nextProfile { request in
            _ = try? await database.accounts.unlink(id)  // checked below
            return Fixture.profile(request, world)
        }
        #expect(try await onDemand.sync(id, waitingAtMost: .seconds(5)) == .noSuchAccount)
        #expect(try await onDemand.sync(id, waitingAtMost: .seconds(5)) == .noSuchAccount)
        #expect(try await onDemand.sync(id, waitingAtMost: nil) == .noSuchAccount)
        #expect(fixture.profileRequests.count == 1)
    }

    @Test func `a caller who is cancelled leaves at once, and the attempt goes on for others`() async throws {
        let fixture = try Fixture()
        let id = try await link(fixture)
        let (asked, ask) = AsyncStream<Void>.makeStream()
        let (answers, answer) = AsyncStream<Void>.makeStream()
        let world = fixture.world
        fixture.nextProfile { request in
            ask.yield()
            for await _ in answers { break }
            return Fixture.profile(request, world)
        }
        let onDemand = fixture.engine().onDemand
        let leaving = Task { try await onDemand.sync(id, waitingAtMost: .seconds(60)) }
        for await _ in asked { break }
        let staying = Task { try await onDemand.sync(id, waitingAtMost: .seconds(60)) }
        await fixture.time.sleepers(atLeast: 2)
        leaving.cancel()
        #expect(try await leaving.value == .pending)
        answer.yield()
        #expect(try await staying.value == .synced)
        #expect(fixture.profileRequests.count == 1)
    }

    @Test func `a stop hands back what was under way, as it was`() async throws {
        let fixture = try Fixture()
        let id = try await link(fixture)
        let before = try await fixture.account(id)
        let (asked, ask) = AsyncStream<Void>.makeStream()
        let time = fixture.time
        fixture.nextProfile { _ in
            ask.yield()
            do { try await time.sleep(for: .seconds(600)) } catch {}
            return .failure(.cancelled)
        }
        let onDemand = fixture.engine().onDemand
        let caller = Task { try await onDemand.sync(id, waitingAtMost: .seconds(60)) }
        for await _ in asked { break }
        await onDemand.finish(within: .zero)
        #expect(try await caller.value == .pending)
        #expect(try await fixture.account(id) == before)
        #expect(try await fixture.state(id).leaseUntil == nil)
    }

    @Test func `a store that fails is an error, or leaves the answer open`() async throws {
        let fixture = try Fixture()
        let id = try await link(fixture)
        let onDemand = fixture.engine().onDemand
        fixture.database.close()
        await #expect(throws: StoreError.self) { try await onDemand.sync(id, waitingAtMost: .seconds(5)) }
    }
}
