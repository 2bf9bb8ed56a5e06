import Accounts
import Linking
import Providers
import Store
import Synchronization
import TestSupport
import Testing
import Transfer

@testable import Sync

/// Syncs that take long, that overlap with others, or that the end of the program meets.
@Suite(.timeLimit(.minutes(10)))
struct SyncEnduranceTests {
    /// A request for a profile at `provider` takes this long; others are answered at once.
    private func slow(_ fixture: Fixture, _ duration: Duration, at provider: String = "alpha") {
        let time = fixture.time
        let world = fixture.world
        world.state.withLock {
            $0.profileReply = { request in
                if request.url.contains(provider), (try? await time.sleep(for: duration)) == nil {
                    return .failure(.cancelled)
                }
                return Fixture.profile(request, world)
            }
        }
    }

    @Test func `what comes due is synced within a second although another provider hangs`() async throws {
        let fixture = try Fixture()
        try await fixture.link()
        let other = try await fixture.link("2", at: "beta", dueAfter: .seconds(5))
        let time = fixture.time
        let begun = time.now()
        slow(fixture, .seconds(100))
        let pass = fixture.engine(watch: time).pass
        let (progress, reported) = AsyncStream<SyncTally>.makeStream()
        let run = Task { try await pass.run { reported.yield($0) } }
        for _ in 0..<5 {
            // The request, the watch over its lease, and the look for more.
            await time.sleepers(atLeast: 3)
            time.advance(by: SyncPass.lookInterval)
        }
        var tallies = progress.makeAsyncIterator()
        #expect(await tallies.next()?.unchanged == 1)
        #expect(try await fixture.state(other).attemptedAt == begun + .seconds(5))
        time.advance(by: .seconds(100))
        #expect(try await run.value.unchanged == 2)
    }

    @Test func `an attempt that outlives its lease keeps the account, and is recorded`() async throws {
        let fixture = try Fixture()
        let id = try await fixture.link()
        let time = fixture.time
        let another = try fixture.anotherDatabase()
        defer { another.close() }
        slow(fixture, .seconds(200))
        let pass = fixture.engine(watch: time).pass
        let run = Task { try await pass.run() }
        for _ in 0..<5 {
            await time.sleepers(atLeast: 3)
            #expect(try await another.schedule.claim(id, owner: "another", lease: SyncPass.lease) == nil)
            time.advance(by: .seconds(40))
        }
        #expect(try await run.value.unchanged == 1)
        #expect(fixture.profileRequests.count == 1)
        let state = try await fixture.state(id)
        #expect(state.leaseUntil == nil && state.attemptedAt == time.now())
    }

    @Test func `the refusal of a token that another has replaced marks nobody`() async throws {
        let fixture = try Fixture()
        let id = try await fixture.link()
        let engine = fixture.engine()
        let credentials = fixture.database.credentials
        let renewed = try fixture.credential("1")
        fixture.nextProfile(401)
        fixture.nextProfile { _ in
            // While the second request is on its way, a caller has the token refreshed once more.
            do {
                _ = try await credentials.beginRefresh(id, owner: "another", lease: .seconds(60))
                #expect(try await credentials.commitRefresh(id, owner: "another", from: 2, renewed))
            } catch { Issue.record(error) }
            return Fixture.answer(401, [:], "{}")
        }
        #expect(await engine.accountSync.run(try await fixture.claim(id)) == .abandoned)
        let account = try await fixture.account(id)
        #expect(account.status == .active && account.problem == nil)
        #expect(account.nextSyncAt == fixture.time.now())
        #expect(try await fixture.changes().allSatisfy { $0.kind != .accountNeedsRelink })
        #expect(try await engine.pass.run().unchanged == 1)
    }

    @Test func `the token that a claim brought, replaced meanwhile, gives way to the newer one when it is refused`()
        async throws
    {
        let fixture = try Fixture()
        let id = try await fixture.link()
        let claim = try await fixture.claim(id)
        let credentials = fixture.database.credentials
        var renewed = try fixture.credential("1")
        renewed.accessToken = Secret("EXAMPLE-access-1-9")
        _ = try await credentials.beginRefresh(id, owner: "another", lease: .seconds(60))
        #expect(try await credentials.commitRefresh(id, owner: "another", from: 1, renewed))
        fixture.nextProfile(401)
        #expect(await fixture.engine().accountSync.run(claim) == .unchanged)
        #expect(
            fixture.profileRequests.map { $0.credentials.first?.value } == [
                "Bearer EXAMPLE-access-1-1", "Bearer EXAMPLE-access-1-9",
            ])
        #expect(fixture.tokenRequests.isEmpty)
    }

    @Test func `a second refusal of the token that is held does mark the account`() async throws {
        let fixture = try Fixture()
        let id = try await fixture.link()
        fixture.nextProfile(401)
        fixture.nextProfile(401)
        guard case .failed(let failure) = await fixture.engine().accountSync.run(try await fixture.claim(id)) else {
            Issue.record("no failure")
            return
        }
        #expect(failure.disposition == .relink(.consentRevoked))
        #expect(try await fixture.account(id).status == .needsRelink)
    }

    // MARK: - The end of the program

    @Test func `finish waits for the attempts under way and begins no other`() async throws {
        let fixture = try Fixture()
        let id = try await fixture.link()
        let later = try await fixture.link("2", at: "beta", dueAfter: .seconds(7200))
        let time = fixture.time
        time.advance(by: .seconds(3600))
        slow(fixture, .seconds(1))
        let onDemand = fixture.engine().onDemand
        let asked = Task { try await onDemand.sync(id, waitingAtMost: .seconds(30)) }
        await time.sleepers(atLeast: 2)
        let finished = Task { await onDemand.finish() }
        // The caller's limit, the request, and the bound of the end.
        await time.sleepers(atLeast: 3)
        #expect(try await onDemand.sync(later, waitingAtMost: .seconds(30)) == .pending)
        #expect(try await fixture.state(later).nextSyncAt == time.now())
        time.advance(by: .seconds(1))
        #expect(try await asked.value == .synced)
        await finished.value
        #expect(fixture.profileRequests.count == 1)
        #expect(try await fixture.state(id).attemptedAt == time.now())
    }

    @Test func `finish cuts short what takes too long, and hands the account back`() async throws {
        let fixture = try Fixture()
        let id = try await fixture.link()
        let time = fixture.time
        time.advance(by: .seconds(3600))
        slow(fixture, .seconds(3600))
        let onDemand = fixture.engine().onDemand
        let asked = Task { try await onDemand.sync(id, waitingAtMost: .seconds(30)) }
        await time.sleepers(atLeast: 2)
        let finished = Task { await onDemand.finish(within: .seconds(5)) }
        await time.sleepers(atLeast: 3)
        time.advance(by: .seconds(5))
        await finished.value
        #expect(try await asked.value == .pending)
        #expect(try await fixture.state(id).leaseUntil == nil)
        #expect(try await fixture.account(id).problem == nil)
    }
}

@Suite(.timeLimit(.minutes(10)))
struct HouseKeepingTests {
    @Test func `all that has had its time is deleted, however much it is`() async throws {
        let limits = ", requests: {per: token, count: 10, window: 1m}"
        let fixture = try Fixture(manifests: [Fixture.manifest("alpha", rotation: "reusable", limits: limits)])
        let id = try await fixture.link(dueAfter: .seconds(6 * 86_400))
        let database = fixture.database
        let key = try #require(APIKeyID("key_0123456789abcdefghjkmnpqrs"))
        for number in 0..<1100 {
            _ = try await database.idempotency.begin(key: "EXAMPLE-\(number)", apiKey: key, request: [])
        }
        _ = try await database.allowances.withdraw(
            provider: try fixture.provider("alpha").id, key: "client/60000", count: 10, window: .seconds(60), want: 1)
        fixture.time.advance(by: HouseKeeping.changesKept + .seconds(1))
        let user = try await fixture.account(id).userID
        _ = try await database.accounts.unlink(id)
        #expect(try await fixture.changes().count == 3)
        let house = HouseKeeping(
            database: database, catalog: fixture.catalog, time: fixture.time, logger: fixture.logger)
        await house.run()
        #expect(try await fixture.changes().map(\.kind) == [.accountUnlinked])
        #expect(try await fixture.changes().map(\.userID) == [user])
        // Nothing is left for another round.
        #expect(try await database.idempotency.purgeExpired() == 0)
        #expect(try await database.allowances.purge(longestWindow: .seconds(60)) == 0)
        #expect(fixture.log.lines.isEmpty)
    }

    @Test func `the service keeps house at once and every minute`() async throws {
        let fixture = try Fixture()
        let id = try await fixture.link(dueAfter: .seconds(6 * 86_400))
        fixture.time.advance(by: HouseKeeping.changesKept + .seconds(1))
        _ = try await fixture.database.accounts.unlink(id)
        let service = fixture.engine().service
        let run = Task { try await service.run() }
        await fixture.time.sleepers(atLeast: 2)
        #expect(try await fixture.changes().count == 1)
        run.cancel()
        try await run.value
    }
}

@Suite(.timeLimit(.minutes(10)))
struct ChangedMappingTests {
    @Test func `a changed mapping reaches accounts whose provider has nothing new`() async throws {
        let fixture = try Fixture(manifests: [Fixture.alpha])
        fixture.world.state.withLock { $0.sendsETags = true }
        let id = try await fixture.link()
        #expect(await fixture.engine().accountSync.run(try await fixture.claim(id)) == .unchanged)
        #expect(fixture.profileRequests.last?.fields["if-none-match"] != nil)
        let changed = Fixture.alpha.replacing(
            "preferred_username: $.user.login", with: "preferred_username: $.user.login, nickname: $.user.login")
        let engine = fixture.engine(catalog: try Fixture.catalog([changed]))
        #expect(await engine.accountSync.run(try await fixture.claim(id)) == .updated)
        #expect(fixture.profileRequests.last?.fields["if-none-match"] == nil)
        #expect(String(decoding: try fixture.document(id).bytes, as: UTF8.self).contains("nickname"))
        // Once; from then on the new mapping's validators count.
        #expect(await engine.accountSync.run(try await fixture.claim(id)) == .unchanged)
        #expect(fixture.profileRequests.last?.fields["if-none-match"] != nil)
    }
}
