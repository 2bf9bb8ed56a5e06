import Accounts
import Linking
import OAuth
import Providers
import Synchronization
import TestSupport
import Testing
import Transfer

@testable import Store

/// What a stop, a slow provider, an unclear answer and a wrong clock may do to tokens: nothing.
@Suite(.timeLimit(.minutes(10))) struct TokenCustodyTests {
    let time = VirtualTime()
    let fixture: Fixture

    init() throws { fixture = try Fixture(time: time) }

    private func token(
        _ id: AccountID, _ provider: ProviderID = alpha, minTTL: Duration = .zero,
        from instance: Fixture.Instance? = nil
    ) async throws -> StoredCredential {
        try await (instance ?? fixture.main).tokens.token(
            for: id, provider: try fixture.provider(provider), minTTL: minTTL)
    }

    private func row() async throws -> (startedAt: Timestamp?, leaseUntil: Timestamp) {
        let row = try await fixture.database.maintain { db in
            try db.first("SELECT refresh_started_at, lease_until FROM credential").map {
                ($0.optionalTime(0), try $0.time(1))
            }
        }
        return try #require(row)
    }

    // MARK: - The end of the service

    @Test func `a stop waits for a refresh whose request has left, though nobody waits for it any more`() async throws {
        let id = try await fixture.link(fixture.credential())
        let barrier = Barrier()
        fixture.site.on("/token") { [site = fixture.site] _ in
            await barrier.pass()
            return Task.isCancelled ? .failure(.cancelled) : site.nextTokens()
        }
        let caller = Task { try await token(id) }
        await barrier.arrivals()
        caller.cancel()
        await #expect(throws: AccessTokenError.request(.transfer(.cancelled))) { try await caller.value }
        let isFinished = Mutex(false)
        let finish = Task {
            await fixture.tokens.finish()
            isFinished.withLock { $0 = true }
        }
        for _ in 0..<100 { await Task.yield() }
        #expect(!isFinished.withLock { $0 })
        barrier.open()
        await finish.value
        #expect(try await fixture.stored(id).credential.refreshToken?.text == "EXAMPLE-refresh-2")
    }

    @Test func `after a stop no refresh begins, and a valid token is still handed out`() async throws {
        let id = try await fixture.link(fixture.credential())
        let other = try await fixture.link(fixture.credential(lifetime: .seconds(3600)), subject: "2")
        await fixture.tokens.finish()
        await #expect(throws: AccessTokenError.request(.transfer(.cancelled))) { try await token(id) }
        #expect(try await token(other).generation == 1)
        #expect(fixture.transport.requests.isEmpty)
        #expect(try await fixture.stored(id).refreshInDoubtSince == nil)
    }

    @Test func `a stop does not wait for another process's refresh`() async throws {
        let id = try await fixture.link(fixture.credential())
        _ = try await fixture.database.credentials.beginRefresh(id, owner: "another", lease: .seconds(60))
        let caller = Task { try await token(id) }
        await time.sleepers(atLeast: 1)
        await fixture.tokens.finish()
        await #expect(throws: AccessTokenError.request(.transfer(.cancelled))) { try await caller.value }
    }

    @Test func `a stop does not wait for the provider's leave to send`() async throws {
        let id = try await fixture.link(fixture.credential())
        await fixture.main.client.pause(alpha, for: .seconds(4), reason: "EXAMPLE")
        let caller = Task { try await token(id) }
        await time.sleepers(atLeast: 1)
        await fixture.tokens.finish()
        await #expect(throws: AccessTokenError.request(.transfer(.cancelled))) { try await caller.value }
        #expect(fixture.transport.requests.isEmpty)
        #expect(try await row().startedAt == nil)
    }

    @Test func `a caller who is cancelled while nothing has left ends at once, and the next one begins anew`()
        async throws
    {
        let id = try await fixture.link(fixture.credential())
        await fixture.main.client.pause(alpha, for: .seconds(4), reason: "EXAMPLE")
        let caller = Task { try await token(id) }
        await time.sleepers(atLeast: 1)
        caller.cancel()
        await #expect(throws: AccessTokenError.request(.transfer(.cancelled))) { try await caller.value }
        async let next = token(id)
        await time.sleepers(atLeast: 1)
        time.advance(by: .seconds(5))
        #expect(try await next.generation == 2)
        #expect(fixture.tokenRequests.count == 1)
    }

    // MARK: - The lease

    @Test func `the intent is written after discovery, and the lease begins with it`() async throws {
        let id = try await fixture.link(fixture.credential(), provider: gamma)
        fixture.site.on("/openid-configuration") { [time] _ in
            do { #expect(try await row().startedAt == nil) } catch { Issue.record(error) }
            time.advance(by: .seconds(50))
            return .json(200, body: AccountLinkingTests.metadata)
        }
        fixture.site.on("/token") { [site = fixture.site, time] _ in
            do {
                let row = try await row()
                #expect(row.startedAt == time.now())
                #expect(row.leaseUntil == time.now() + .seconds(120))
            } catch { Issue.record(error) }
            return site.nextTokens()
        }
        #expect(try await token(id, gamma).generation == 2)
    }

    @Test func `the lease holds through the slowest answer and every attempt to store it`() async throws {
        let id = try await fixture.link(fixture.credential())
        let lock = WriteLock(on: try fixture.another("stops writers").database)
        let mine = try fixture.another("one", busyTimeout: .milliseconds(5))
        fixture.site.on("/token") { [site = fixture.site, time] _ in
            time.advance(by: .seconds(30))
            await lock.take()
            return site.nextTokens()
        }
        let caller = Task { try await token(id, from: mine) }
        var pause: Duration = .milliseconds(100)
        for attempt in 0..<8 {
            await time.sleepers(atLeast: 1)
            // What an attempt at a locked database takes on a real clock.
            time.advance(by: .seconds(5))
            #expect(try await fixture.stored(id).refreshInDoubtSince == nil, "free in attempt \(attempt)")
            if attempt == 7 { try await lock.release() }
            time.advance(by: pause)
            pause = pause * 2
        }
        #expect(try await caller.value.credential.refreshToken?.text == "EXAMPLE-refresh-2")
    }

    @Test(arguments: 0..<40) func `nothing is sent under a lease that may end before the answer`(
        stallsAt look: Int
    ) async throws {
        let clock = StallingClock()
        let fixture = try Fixture(time: clock)
        let id = try await fixture.link(fixture.credential())
        fixture.site.on("/token") { [site = fixture.site, database = fixture.database] _ in
            do {
                let until = try await database.maintain { db in
                    try db.first("SELECT lease_until FROM credential").map { try $0.time(0) }
                }
                #expect(try #require(until) - clock.base.now() >= .seconds(105))
            } catch { Issue.record(error) }
            return site.nextTokens()
        }
        clock.stall(after: look, for: .seconds(60))
        let provider = try fixture.provider()
        let stored = try await fixture.tokens.token(for: id, provider: provider, minTTL: .zero)
        #expect(stored.generation == 2)
        #expect(fixture.tokenRequests.count == 1)
    }

    // MARK: - Doubt

    static let kinds = [("newest_wins", AccountProblem.Code.rotationLost), ("reusable", .consentRevoked)]

    @Test(arguments: kinds.indices)
    func `a request that may have left keeps its intent, whatever is said of rotation`(index: Int) async throws {
        let (rotation, problem) = Self.kinds[index]
        let fixture = try Fixture(
            time: time, manifests: ["alpha": Manifests.alpha.replacing("single_use", with: rotation)],
            instances: [Manifests.instance("alpha")])
        let id = try await fixture.link(fixture.credential())
        let provider = try fixture.provider()
        fixture.site.fail("/token", .timedOut(host: "alpha.example"))
        await #expect(throws: AccessTokenError.request(.transfer(.timedOut(host: "alpha.example")))) {
            try await fixture.tokens.token(for: id, provider: provider, minTTL: .zero)
        }
        #expect(try await fixture.stored(id).refreshInDoubtSince == time.now())
        fixture.site.on("/token", 400, [:], #"{"error":"invalid_grant"}"#)
        _ = try? await fixture.tokens.token(for: id, provider: provider, minTTL: .zero)  // Its error: the line below.
        #expect(try await fixture.account(id).problem?.code == problem)
    }

    @Test func `a valid token serves on while the doubt can't be cleared up`() async throws {
        let id = try await fixture.link(fixture.credential(lifetime: .seconds(3600)))
        _ = try await fixture.database.credentials.beginRefresh(id, owner: "killed", lease: .seconds(1))
        time.advance(by: .seconds(2))
        for answer: ScriptedTransport.Answer in [
            .json(503, body: "{}"), .failure(.timedOut(host: "alpha.example")),
            .json(401, body: #"{"error":"invalid_client"}"#),
        ] {
            fixture.site.on("/token") { _ in answer }
            #expect(try await token(id, minTTL: .seconds(600)).credential.accessToken.text == "EXAMPLE-access-1")
            #expect(try await fixture.stored(id).refreshInDoubtSince != nil)
        }
        #expect(fixture.tokenRequests.count == 3)
        // Not for as long as this caller needs it.
        await #expect(throws: AccessTokenError.self) { try await token(id, minTTL: .seconds(3599)) }
    }

    @Test func `a refused grant leaves no token to use`() async throws {
        let id = try await fixture.link(fixture.credential(lifetime: .seconds(3600)))
        _ = try await fixture.database.credentials.beginRefresh(id, owner: "killed", lease: .seconds(1))
        time.advance(by: .seconds(2))
        fixture.site.on("/token", 400, [:], #"{"error":"invalid_grant"}"#)
        await #expect(throws: AccessTokenError.self) { try await token(id) }
        #expect(try await fixture.account(id).problem?.code == .rotationLost)
    }

    // MARK: - The clock

    @Test func `security 68: the clock alone ends no grant`() async throws {
        let id = try await fixture.link(fixture.credential(refresh: nil, lifetime: .seconds(3600)))
        let now = time.now()
        time.jump(to: now + .seconds(86_400))
        let stored = try await token(id)
        #expect(stored.credential.accessToken.text == "EXAMPLE-access-1")
        #expect(try await fixture.account(id).status == .active)
        // The provider's word does.
        await #expect {
            try await fixture.tokens.renew(
                after: stored, for: id, provider: try fixture.provider(), urgency: .background)
        } throws: {
            guard case .relink(.refreshExpired, _) = $0 as? AccessTokenError else { return false }
            return true
        }
        #expect(try await fixture.account(id).problem?.code == .refreshExpired)
    }

    @Test func `security 66: a wish for more than a provider gives spends no token at every call`() async throws {
        let id = try await fixture.link(fixture.credential())
        fixture.site.on("/token") { [site = fixture.site] _ in site.nextTokens(lifetime: 8 * 3600) }
        #expect(try await token(id, minTTL: .seconds(2_592_000)).generation == 2)
        for call in 0..<100 {
            time.advance(by: .seconds(60))
            // A restart knows as much.
            let instance = call % 10 == 0 ? try fixture.another("restarted") : fixture.main
            #expect(try await token(id, minTTL: .seconds(2_592_000), from: instance).generation == 2)
        }
        time.advance(by: .seconds(1200))
        #expect(try await token(id, minTTL: .seconds(2_592_000)).generation == 3)
        #expect(fixture.tokenRequests.count == 2)
    }

    @Test func `a wish that a new token would meet is met`() async throws {
        let id = try await fixture.link(fixture.credential())
        fixture.site.on("/token") { [site = fixture.site] _ in site.nextTokens(lifetime: 3600) }
        _ = try await token(id)
        time.advance(by: .seconds(1000))
        #expect(try await token(id, minTTL: .seconds(2599)).generation == 2)
        #expect(try await token(id, minTTL: .seconds(2600)).generation == 3)
    }

    @Test(arguments: [0, 1, 5]) func `security 66: tokens that end at once are fetched every ten seconds at most`(
        lifetime: Int
    ) async throws {
        let id = try await fixture.link(fixture.credential())
        fixture.site.on("/token") { [site = fixture.site] _ in site.nextTokens(lifetime: lifetime) }
        for _ in 0..<60 {
            _ = try await token(id)
            time.advance(by: .seconds(1))
        }
        #expect(fixture.tokenRequests.count == 6)
    }

    // MARK: - Limits

    @Test func `a limit at the token endpoint is a pause and no failure`() async throws {
        for (fields, pause): (HeaderFields, Duration) in [(["Retry-After": "900"], .seconds(900)), ([:], .seconds(60))]
        {
            let fixture = try Fixture(time: time)
            let id = try await fixture.link(fixture.credential())
            fixture.site.on("/token", 429, fields)
            let provider = try fixture.provider()
            do throws(AccessTokenError) {
                _ = try await fixture.tokens.token(for: id, provider: provider, minTTL: .zero)
                Issue.record("a token")
            } catch {
                guard case .wait(time.now() + pause, _) = error.disposition else {
                    Issue.record("\(error)")
                    continue
                }
                #expect(error.problemCode == .rateLimited)
            }
            #expect(try await fixture.stored(id).refreshInDoubtSince == nil)
        }
    }

    @Test func `whoever has to act is named while a provider is left alone`() async throws {
        let id = try await fixture.link(fixture.credential())
        let second = try await fixture.link(fixture.credential(), subject: "2")
        func problem(of id: AccountID, from instance: Fixture.Instance) async -> AccountProblem.Code? {
            do throws(AccessTokenError) {
                guard let provider = fixture.catalog[alpha] else { return nil }
                _ = try await instance.tokens.token(for: id, provider: provider, minTTL: .zero)
                return nil
            } catch {
                guard case .wait = error.disposition else { return nil }
                return error.problemCode
            }
        }
        fixture.site.on("/token", 401, [:], #"{"error":"invalid_client"}"#)
        _ = await problem(of: id, from: fixture.main)
        #expect(await problem(of: second, from: fixture.main) == .clientRefused)
        // After a restart as well.
        #expect(await problem(of: second, from: try fixture.another("restarted")) == .clientRefused)

        time.advance(by: .seconds(601))
        fixture.site.on("/token", 503)
        for _ in 0..<5 { _ = await problem(of: id, from: fixture.main) }
        #expect(await problem(of: id, from: fixture.main) == .providerUnavailable)

        time.advance(by: .seconds(3600))
        fixture.site.on("/token", 429, ["Retry-After": "600"])
        #expect(await problem(of: id, from: fixture.main) == .rateLimited)
        #expect(await problem(of: id, from: fixture.main) == .rateLimited)
    }
}

/// A clock that jumps ahead just before one of the looks at it, as for a process that is stopped and goes on.
private final class StallingClock: TimeSource {
    let base = SkippingTime()
    private let left = Mutex<(looks: Int, duration: Duration)?>(nil)

    func stall(after looks: Int, for duration: Duration) { left.withLock { $0 = (looks, duration) } }

    func now() -> Timestamp {
        let stall = left.withLock { left -> Duration? in
            guard let (looks, duration) = left else { return nil }
            left = looks == 0 ? nil : (looks - 1, duration)
            return looks == 0 ? duration : nil
        }
        if let stall { base.advance(by: stall) }
        return base.now()
    }

    func sleep(for duration: Duration) async throws { try await base.sleep(for: duration) }
}
