import Accounts
import Linking
import Providers
import Store
import TestSupport
import Testing
import Transfer

@Suite(.timeLimit(.minutes(10))) struct RefreshAheadTests {
    let time = VirtualTime()
    let fixture: Fixture

    init() throws { fixture = try Fixture(time: time) }

    private func foreseen(_ id: AccountID, taken: Bool = true) -> ForeseenRefresh {
        ForeseenRefresh(account: id, takenAt: taken ? time.now() : nil)
    }

    private func plan(_ id: AccountID) async throws -> Timestamp? {
        try await fixture.database.credentials.foreseen(id)
    }

    @Test func `a token that a caller takes is refreshed ahead from then on, one that a sync uses is not`() async throws
    {
        let id = try await fixture.link(fixture.credential(lifetime: .seconds(3600)))
        let idle = try await plan(id)
        _ = try await fixture.tokens.token(for: id, provider: fixture.provider(), minTTL: .zero)
        #expect(try await plan(id) == idle)
        let taken = try await fixture.tokens.handOut(id, provider: fixture.provider(), minTTL: .zero)
        #expect(taken.generation == 1)
        let next = try #require(try await plan(id))
        #expect(next > time.now() + .seconds(2000) && next < time.now() + .seconds(3300))
        #expect(fixture.transport.requests.isEmpty)
    }

    @Test func `a take costs a write once an hour`() async throws {
        let id = try await fixture.link(fixture.credential(lifetime: .seconds(86_400)))
        _ = try await fixture.tokens.handOut(id, provider: fixture.provider(), minTTL: .zero)
        try await fixture.database.credentials.foresee(id, at: nil)
        time.advance(by: .seconds(3599))
        _ = try await fixture.tokens.handOut(id, provider: fixture.provider(), minTTL: .zero)
        #expect(try await plan(id) == nil)
        time.advance(by: .seconds(1))
        _ = try await fixture.tokens.handOut(id, provider: fixture.provider(), minTTL: .zero)
        #expect(try await plan(id) != nil)
    }

    @Test func `what was claimed ahead is refreshed by one request, however many ask meanwhile`() async throws {
        let id = try await fixture.link(fixture.credential(lifetime: .seconds(300)))
        let provider = try fixture.provider()
        let (tokens, foreseen, now) = (fixture.tokens, foreseen(id), time.now())
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<20 {
                group.addTask {
                    if number % 2 == 0 {
                        try await tokens.refreshAhead(foreseen, provider: provider, until: now)
                    } else {
                        _ = try await tokens.token(for: id, provider: provider, minTTL: .seconds(400))
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(fixture.tokenRequests.count == 1)
        #expect(try await fixture.stored(id).generation == 2)
    }

    @Test func `an idle refresh token is used where it may die of disuse, and only there`() async throws {
        let fixture = try Fixture(
            time: time,
            manifests: [
                "alpha": Manifests.alpha,
                "beta": Manifests.beta.replacing("lifetime: unknown", with: "lifetime: unknown, idle_lifetime: 183d"),
            ], instances: [Manifests.instance("alpha"), Manifests.instance("beta")])
        let lasting = try await fixture.link(fixture.credential(lifetime: nil))
        let dying = try await fixture.link(fixture.credential(lifetime: nil), subject: "2", user: "2", provider: beta)
        let ending = try await fixture.link(
            fixture.credential(lifetime: nil, refreshLifetime: .seconds(90 * 86_400)), subject: "3", user: "3")
        time.advance(by: .seconds(37 * 86_400))
        for (id, provider) in [(lasting, alpha), (dying, beta), (ending, alpha)] {
            try await fixture.tokens.refreshAhead(
                foreseen(id, taken: false), provider: try fixture.provider(provider), until: time.now())
        }
        #expect(try await fixture.stored(lasting).generation == 1)
        #expect(try await fixture.database.credentials.foreseen(lasting) == nil)
        #expect(try await fixture.stored(dying).generation == 2)
        #expect(try await fixture.stored(ending).generation == 2)
        // Just used: not idle any more, and nothing is asked.
        try await fixture.tokens.refreshAhead(
            foreseen(dying, taken: false), provider: try fixture.provider(beta), until: time.now())
        #expect(try await fixture.stored(dying).generation == 2)
        #expect(fixture.tokenRequests.count == 2)
    }

    @Test func `where tokens are refreshed once they were refused, ahead of time is too early`() async throws {
        let fixture = try Fixture(
            time: time,
            manifests: ["alpha": Manifests.alpha.replacing("refresh: {", with: "refresh: {trigger: refusal, ")],
            instances: [Manifests.instance("alpha")])
        let id = try await fixture.link(fixture.credential(lifetime: .seconds(300)))
        try await fixture.tokens.refreshAhead(foreseen(id), provider: try fixture.provider(), until: time.now())
        #expect(fixture.transport.requests.isEmpty)
        #expect(try await fixture.database.credentials.foreseen(id) == nil)
    }

    @Test func `a refresh ahead that fails ends no grant and loses nothing`() async throws {
        let id = try await fixture.link(fixture.credential(lifetime: .seconds(300)))
        fixture.site.on("/token", 503)
        await #expect(throws: AccessTokenError.self) {
            try await fixture.tokens.refreshAhead(foreseen(id), provider: try fixture.provider(), until: time.now())
        }
        #expect(try await fixture.account(id).status == .active)
        #expect(try await fixture.stored(id).generation == 1)
    }
}
