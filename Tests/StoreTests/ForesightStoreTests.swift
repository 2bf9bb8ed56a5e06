import Accounts
import GRDB
import TestSupport
import Testing

@testable import Store

@Suite(.timeLimit(.minutes(10))) struct ForesightStoreTests {
    let fixture: Fixture

    init() throws { fixture = try Fixture() }

    private var now: Timestamp { fixture.time.now() }
    private var credentials: CredentialStore { fixture.database.credentials }

    private func credential(
        _ number: Int = 1, lifetime: Duration = .seconds(3600), refresh: Bool = true, refreshLifetime: Duration? = nil
    ) -> Credential {
        Credential(
            accessToken: Secret("access-EXAMPLE-\(number)"), expiresAt: now + lifetime,
            refreshToken: refresh ? Secret("refresh-EXAMPLE-\(number)") : nil,
            refreshTokenExpiresAt: refreshLifetime.map { now + $0 }, scopes: [], obtainedAt: now)
    }

    private func refresh(_ id: AccountID, to new: Credential) async throws {
        guard case .claimed(let held, _) = try await credentials.beginRefresh(id, owner: "a", lease: .seconds(60))
        else {
            Issue.record("not claimed")
            return
        }
        #expect(try await credentials.commitRefresh(id, owner: "a", from: held.generation, new))
    }

    private func claim(until horizon: Timestamp? = nil, limit: Int = 50) async throws -> [AccountID] {
        try await credentials.claimForeseen(
            of: github, until: horizon ?? now, limit: limit, retryAfter: .seconds(60)
        ).map(\.account)
    }

    @Test func `a token that was taken is due ahead of its end, once, and again if nothing comes of it`() async throws {
        let taken = try await fixture.link(credential: credential()).id
        _ = try await fixture.link("2", user: "2", credential: credential(2)).id
        try await credentials.noteTaken(taken, credential())
        #expect(try await claim() == [])
        fixture.time.advance(by: .seconds(3240))
        let claimed = try await credentials.claimForeseen(
            of: github, until: now, limit: 50, retryAfter: .seconds(60))
        #expect(claimed == [ForeseenRefresh(account: taken, takenAt: now - .seconds(3240))])
        #expect(try await claim() == [])
        fixture.time.advance(by: .seconds(60))
        #expect(try await claim() == [taken])
    }

    @Test func `what a refresh brought is planned anew, and what was taken lately stays ahead`() async throws {
        let id = try await fixture.link(credential: credential()).id
        let idle = try #require(try await credentials.foreseen(id))
        #expect(idle >= now + .seconds(24 * 86_400))
        try await credentials.noteTaken(id, credential())
        fixture.time.advance(by: .seconds(3000))
        try await refresh(id, to: credential(2))
        let next = try #require(try await credentials.foreseen(id))
        #expect(next > now + .seconds(2800) && next < now + .seconds(3600))
        // Nobody has come for a day: back to a touch a month.
        fixture.time.advance(by: .seconds(86_400))
        try await refresh(id, to: credential(3))
        #expect(try #require(try await credentials.foreseen(id)) >= now + .seconds(24 * 86_400))
    }

    @Test func `noting a take never puts off what is due earlier`() async throws {
        let id = try await fixture.link(credential: credential()).id
        try await credentials.foresee(id, at: now + .seconds(10))
        try await credentials.noteTaken(id, credential())
        #expect(try await credentials.foreseen(id) == now + .seconds(10))
    }

    @Test func `the earliest come first, so many at a time, and none while the provider rests`() async throws {
        var ids: [AccountID] = []
        for number in 0..<5 {
            let id = try await fixture.link("\(number)", user: "\(number)").id
            try await credentials.foresee(id, at: now - .seconds(Int64(number)))
            ids.append(id)
        }
        #expect(try await credentials.countForeseen(of: github, until: now) == 5)
        try await fixture.database.schedule.pauseProvider(github, until: now + .seconds(10), reason: "EXAMPLE")
        #expect(try await claim() == [])
        try await fixture.database.schedule.resumeProvider(github)
        #expect(try await claim(limit: 2).sorted() == ids.suffix(2).sorted())
        #expect(try await claim().count == 3)
        #expect(
            try await credentials.claimForeseen(of: discord, until: now, limit: 50, retryAfter: .seconds(60)) == [])
    }

    @Test func `a dead grant is not refreshed ahead`() async throws {
        let id = try await fixture.link().id
        _ = try await fixture.database.accounts.markNeedsRelink(
            id, generation: 1, code: .consentRevoked, detail: "EXAMPLE")
        #expect(try await credentials.foreseen(id) == nil)
    }

    @Test func `the forecast names those whose end no refresh moves, the soonest first`() async throws {
        let day = Duration.seconds(86_400)
        func end(of id: AccountID) async throws -> Timestamp? {
            try await credentials.expiring(of: github, until: now + day * 365, limit: 10).first { $0.account.id == id }?
                .grantEndsAt
        }
        let last = try await fixture.link("1", user: "1", credential: credential(lifetime: day * 20, refresh: false)).id
        let fixed = try await fixture.link("2", user: "2", credential: credential(refreshLifetime: day * 10)).id
        let moving = try await fixture.link("3", user: "3", credential: credential(refreshLifetime: day * 10)).id
        let dead = try await fixture.link("4", user: "4", credential: credential(lifetime: day, refresh: false)).id
        _ = try await fixture.database.accounts.markNeedsRelink(
            dead, generation: 1, code: .consentRevoked, detail: "EXAMPLE")
        #expect(try await end(of: fixed) == nil)
        fixture.time.advance(by: day)
        try await refresh(fixed, to: credential(2, refreshLifetime: day * 9))
        try await refresh(moving, to: credential(2, refreshLifetime: day * 10))
        let all = try await credentials.expiring(of: github, until: now + day * 30, limit: 10)
        #expect(all.map(\.account.id) == [fixed, last])
        #expect(all.map(\.grantEndsAt) == [now + day * 9, now + day * 19])
        let rest = try await credentials.expiring(of: github, until: now + day * 30, after: all.first, limit: 10)
        #expect(rest.map(\.account.id) == [last])
        #expect(try await credentials.expiring(of: github, until: now + day * 10, limit: 10).count == 1)
        #expect(try await credentials.countExpiring(of: github, until: now + day * 7) == 0)
        #expect(try await credentials.countExpiring(of: github, until: now + day * 30) == 2)
        // Fresh consent: nobody knows of its end.
        _ = try await fixture.link("2", user: "2", credential: credential(3, refreshLifetime: day * 10))
        #expect(try await end(of: fixed) == nil)
    }

    @Test func `accounts of a database from before are planned for as well`() async throws {
        let folder = Fixture.newDirectory()
        let path = Fixture.path(in: folder)
        let old = Array(Migration.all.prefix { !$0.name.contains("foresee_tokens") })
        #expect(old.count < Migration.all.count)
        let before = try Database(
            path: path, migrations: old, keyRing: fixture.ring, time: fixture.time, random: SeededRandom(),
            busyTimeout: .seconds(5))
        let at = now.millisecondsSinceEpoch
        let (one, two) = (
            AccountID(at: .epoch, random: SeededRandom(seed: 1)), AccountID(at: .epoch, random: SeededRandom(seed: 2))
        )
        try await before.maintain { db in
            try db.inTransaction {
                for (id, refresh) in zip([one, two].map(\.rawValue), ["x'00'", "NULL"]) {
                    try db.execute(
                        sql: """
                            INSERT INTO linked_account (id, user_id, provider, subject, status, scopes, linked_at)
                                VALUES ('\(id)', 'u', 'github', '\(id)', 'active', '', 0);
                            INSERT INTO credential (account_id, generation, key_id, token_type, expires_at, obtained_at,
                                access_token, refresh_token)
                                SELECT '\(id)', 1, key_id, 'Bearer', \(at + 1000), \(at), x'00', \(refresh) FROM key_check;
                            INSERT INTO sync_schedule (account_id, provider) VALUES ('\(id)', 'github');
                            """)
                }
                return .commit
            }
        }
        before.close()
        let after = try Database(
            path: path, keyRing: fixture.ring, time: fixture.time, random: SeededRandom(), busyTimeout: .seconds(5))
        defer { after.close() }
        let planned = try #require(try await after.credentials.foreseen(one))
        #expect(planned >= now + .seconds(30 * 86_400) && planned < now + .seconds(31 * 86_400))
        #expect(try await after.credentials.foreseen(two) == nil)
        let expiring = try await after.credentials.expiring(of: github, until: now + .seconds(1), limit: 10)
        #expect(expiring.map(\.account.id) == [two])
    }
}
