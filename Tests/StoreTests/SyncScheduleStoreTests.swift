import Accounts
import TestSupport
import Testing

@testable import Store

@Suite(.timeLimit(.minutes(10))) struct SyncScheduleStoreTests {
    private func claim(
        _ fixture: Fixture, owner: String = "a", lease: Duration = .seconds(60), _ slots: [ProviderID: Int]
    ) async throws -> [SyncClaim] {
        try await fixture.database.schedule.claimDue(
            now: fixture.time.now(), owner: owner, lease: lease, slots: slots)
    }

    @Test func `what is due longest is claimed first, within each provider's slots`() async throws {
        let fixture = try Fixture()
        for number in 0..<5 {
            try await fixture.link("\(number)", nextSyncAfter: .seconds(100 - number))
            try await fixture.link("\(number)", provider: "discord", nextSyncAfter: .seconds(50 - number))
        }
        #expect(try await claim(fixture, [github: 9, discord: 9]) == [])
        fixture.time.advance(by: .seconds(98))
        let claims = try await claim(fixture, [github: 2, discord: 3])
        #expect(claims.map(\.account.subject.rawValue) == ["4", "3", "2", "4", "3"])
        #expect(claims.map(\.provider) == [discord, discord, discord, github, github])
        #expect(try await claim(fixture, [github: 0]) == [])
        #expect(try await claim(fixture, [github: 9]).map(\.account.subject.rawValue) == ["2"])
    }

    @Test func `a claim brings what the sync needs`() async throws {
        let fixture = try Fixture()
        let profile = try Profile.example(
            validators: ["user": Validators(etag: "\"v1\"", lastModified: "Sat, 21 Nov 2026 09:30:00 GMT")])
        let account = try await fixture.link(profile: profile, nextSyncAfter: .zero)
        let claims = try await claim(fixture, [github: 1])
        let found = try #require(claims.first)
        #expect(found.account == account)
        #expect(found.validators == profile.validators)
        let content = try fixture.database.schedule.content(of: account.id)
        #expect(content == ProfileContent(claims: profile.claims, raw: profile.raw))
        #expect(found.version == 1)
        let stored = try await fixture.database.credentials.read(account.id)
        #expect(found.credential == stored && stored != nil)
        #expect(found.contentHash == profile.contentHash)
        #expect(found.failures == 0)
        #expect(found.leaseUntil == fixture.time.now() + .seconds(60))
    }

    @Test func `no account is claimed twice, by any number of processes`() async throws {
        let fixture = try Fixture()
        for number in 0..<40 { try await fixture.link("\(number)", nextSyncAfter: .zero) }
        let other = try fixture.another()
        defer { other.close() }
        let now = fixture.time.now()
        let ids = try await withThrowingTaskGroup(of: [SyncClaim].self) { group in
            for number in 0..<20 {
                let schedule = number % 2 == 0 ? fixture.database.schedule : other.schedule
                group.addTask {
                    try await schedule.claimDue(now: now, owner: "o\(number)", lease: .seconds(60), slots: [github: 3])
                }
            }
            var ids: [AccountID] = []
            for try await claims in group { ids += claims.map(\.account.id) }
            return ids
        }
        #expect(ids.count == 40)
        #expect(Set(ids).count == 40)
    }

    @Test func `a lease that ran out is free, and its holder's result refused`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link(nextSyncAfter: .zero)
        let first = try #require(try await claim(fixture, owner: "a", [github: 1]).first)
        #expect(try await claim(fixture, owner: "b", [github: 1]) == [])
        #expect(try await fixture.database.schedule.claim(account.id, owner: "b", lease: .seconds(1)) == nil)
        fixture.time.advance(by: .seconds(60))
        // The same owner's name does not bring the old lease back.
        let second = try #require(try await claim(fixture, owner: "a", [github: 1]).first)
        let now = fixture.time.now()
        let result = SyncResult(
            content: .profile(try .example(name: "Late"), difference: nil), at: now, nextSyncAt: now + .seconds(60))
        #expect(try await fixture.database.schedule.record(result, for: first) == false)
        #expect(try await fixture.database.accounts.account(account.id) == account)
        #expect(try await fixture.database.schedule.record(result, for: second))
        #expect(try await fixture.database.schedule.record(result, for: second) == false)
    }

    @Test func `a changed profile is stored with version, change and patch`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link(nextSyncAfter: .zero)
        fixture.time.advance(by: .seconds(10))
        let now = fixture.time.now()
        let found = try #require(try await claim(fixture, [github: 1]).first)
        let patch = #"[{"op":"replace","path":"/claims/name","value":"Mona"}]"#
        let profile = try Profile.example(name: "Mona", validators: ["user": Validators(etag: "\"v2\"")])
        let result = SyncResult(
            content: .profile(profile, difference: { _, _ in patch }), at: now, nextSyncAt: now + .seconds(60))
        #expect(try await fixture.database.schedule.record(result, for: found))
        let after = try #require(try await fixture.database.accounts.account(account.id))
        #expect(after.syncedAt == now)
        #expect(after.changedAt == now)
        #expect(after.nextSyncAt == now + .seconds(60))
        let change = try #require(try await fixture.changes().last)
        #expect(change.kind == .profileUpdated)
        #expect(change.version == 2)
        #expect(change.patch == patch)
        let document = try #require(try fixture.database.profiles.document(account: account.id))
        #expect(document.version == 2)
        let history = try await fixture.database.profiles.history(of: account.id, limit: 10)
        #expect(history.items.map(\.version) == [2, 1])
        #expect(history.items.map(\.patch) == [patch, nil])
        #expect(history.next == nil)
        let next = try #require(
            try await fixture.database.schedule.claim(account.id, owner: "a", lease: .seconds(1)))
        #expect(next.validators == profile.validators)
    }

    @Test func `an account is found by the names that the latest profile has`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link(nextSyncAfter: .zero)
        let (schedule, accounts) = (fixture.database.schedule, fixture.database.accounts)
        func isFound(email: String? = nil, username: String? = nil) async throws -> Bool {
            try await !accounts.list(AccountFilter(email: email, username: username), after: nil, limit: 9).items
                .isEmpty
        }
        for (number, (email, username)) in [
            ("mona@example.com", "octocat"), ("mona@example.com", "mona"), (nil, "mona"), (nil, nil),
            ("octocat@example.com", "octocat"),
        ].enumerated() {
            let claim = try #require(try await schedule.claim(account.id, owner: "a", lease: .seconds(60)))
            let profile = try Profile.example(name: "\(number)", email: email, username: username)
            let result = SyncResult(
                content: .profile(profile, difference: nil), at: fixture.time.now(), nextSyncAt: fixture.time.now())
            #expect(try await schedule.record(result, for: claim))
            for known in ["octocat@example.com", "mona@example.com"] {
                #expect(try await isFound(email: known) == (known == email))
            }
            for known in ["octocat", "mona"] { #expect(try await isFound(username: known) == (known == username)) }
        }
    }

    @Test func `equal content moves the age alone`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link(nextSyncAfter: .zero)
        let schedule = fixture.database.schedule
        for (index, content) in [
            SyncResult.Content.unchanged(validators: nil),
            .unchanged(validators: ["user": Validators(etag: "\"v2\"")]),
            .profile(try .example(validators: ["user": Validators(etag: "\"v3\"")]), difference: nil),
        ].enumerated() {
            fixture.time.advance(by: .seconds(10))
            let now = fixture.time.now()
            let claim = try #require(try await schedule.claim(account.id, owner: "a", lease: .seconds(60)))
            #expect(claim.validators == ["user": Validators(etag: "\"v\(max(index, 1))\"")])
            #expect(try await schedule.record(SyncResult(content: content, at: now, nextSyncAt: now), for: claim))
            let after = try #require(try await fixture.database.accounts.account(account.id))
            #expect(after.syncedAt == now)
            #expect(after.changedAt == account.changedAt)
        }
        #expect(try await fixture.kinds() == [.accountLinked, .profileCreated])
    }

    @Test func `a failure changes nothing but the record of failure`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link(nextSyncAfter: .zero)
        let schedule = fixture.database.schedule
        let document = try fixture.database.profiles.document(account: account.id)
        fixture.time.advance(by: .seconds(10))
        let since = fixture.time.now()
        for failures in 1...3 {
            fixture.time.advance(by: .seconds(5))
            let now = fixture.time.now()
            let found = try #require(try await schedule.claim(account.id, owner: "a", lease: .seconds(60)))
            #expect(found.failures == failures - 1)
            let problem = AccountProblem(
                code: .providerUnavailable, since: failures == 1 ? since : now, detail: "503 from the provider",
                nextAttemptAt: now + .seconds(30))
            let result = SyncResult(
                content: .failed, at: now, nextSyncAt: now + .seconds(30), failures: failures, problem: problem)
            #expect(try await schedule.record(result, for: found))
            let after = try #require(try await fixture.database.accounts.account(account.id))
            #expect(after.syncedAt == account.syncedAt)
            #expect(after.status == .active)
            #expect(after.problem?.since == since)
            #expect(after.problem?.nextAttemptAt == now + .seconds(30))
            #expect(try await schedule.state(of: account.id)?.attemptedAt == now)
        }
        #expect(try fixture.database.profiles.document(account: account.id) == document)
        let found = try #require(try await schedule.claim(account.id, owner: "a", lease: .seconds(60)))
        let result = SyncResult(content: .unchanged(validators: nil), at: fixture.time.now(), nextSyncAt: nil)
        #expect(try await schedule.record(result, for: found))
        #expect(try await fixture.database.accounts.account(account.id)?.problem == nil)
        #expect(try await fixture.kinds() == [.accountLinked, .profileCreated])
    }

    @Test func `a suspended account recovers when the provider answers again`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link(nextSyncAfter: .zero)
        let schedule = fixture.database.schedule
        let now = fixture.time.now()
        let problem = AccountProblem(
            code: .userSuspended, since: now, detail: "The provider says that the user is gone.")
        let first = try #require(try await schedule.claim(account.id, owner: "a", lease: .seconds(60)))
        let gone = SyncResult(
            content: .failed, at: now, nextSyncAt: now, failures: 1, problem: problem, status: .suspended)
        #expect(try await schedule.record(gone, for: first))
        #expect(try await fixture.database.accounts.account(account.id)?.status == .suspended)
        // Looked at again, unlike a dead grant.
        let second = try #require(try await claim(fixture, [github: 1]).first)
        let back = SyncResult(content: .unchanged(validators: nil), at: now, nextSyncAt: now)
        #expect(try await schedule.record(back, for: second))
        #expect(try await fixture.database.accounts.account(account.id)?.status == .active)
        #expect(try await fixture.kinds().last == .accountRecovered)
    }

    @Test func `a dead grant stays dead whatever the sync under way reports`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link(nextSyncAfter: .zero)
        let schedule = fixture.database.schedule
        let found = try #require(try await claim(fixture, [github: 1]).first)
        _ = try await fixture.database.accounts.markNeedsRelink(
            account.id, generation: 1, code: .consentRevoked, detail: "The provider says invalid_grant.")
        let now = fixture.time.now()
        let result = SyncResult(
            content: .profile(try .example(name: "Mona"), difference: nil), at: now, nextSyncAt: now, status: .active)
        #expect(try await schedule.record(result, for: found))
        let after = try #require(try await fixture.database.accounts.account(account.id))
        #expect(after.status == .needsRelink)
        #expect(after.problem?.code == .consentRevoked)
        #expect(after.nextSyncAt == nil)
        #expect(try await schedule.expedite(account.id, at: now) == false)
        #expect(try await claim(fixture, [github: 1]) == [])
    }

    @Test func `a result may say that the grant is dead`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link(nextSyncAfter: .zero)
        let found = try #require(try await claim(fixture, [github: 1]).first)
        let now = fixture.time.now()
        var result = SyncResult(
            content: .failed, at: now, nextSyncAt: now, failures: 1, status: .needsRelink, generation: 1)
        let error = await storeError { [result] in try await fixture.database.schedule.record(result, for: found) }
        #expect(error == .inconsistent("an account needs a relink for a reason"))
        result.problem = AccountProblem(code: .scopeLost, since: now, detail: "The scope read:user is gone.")
        #expect(try await fixture.database.schedule.record(result, for: found))
        let after = try #require(try await fixture.database.accounts.account(account.id))
        #expect(after.status == .needsRelink)
        #expect(after.nextSyncAt == nil)
        #expect(try await fixture.changes().last?.problem == .scopeLost)
    }

    @Test func `an account that was unlinked meanwhile takes no result`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link(nextSyncAfter: .zero)
        let found = try #require(try await claim(fixture, [github: 1]).first)
        _ = try await fixture.database.accounts.unlink(account.id)
        let result = SyncResult(
            content: .profile(try .example(name: "Late"), difference: nil), at: fixture.time.now(), nextSyncAt: nil)
        #expect(try await fixture.database.schedule.record(result, for: found) == false)
        #expect(try await fixture.kinds() == [.accountLinked, .profileCreated, .accountUnlinked])
    }

    @Test func `a result for another subject is refused`() async throws {
        let fixture = try Fixture()
        try await fixture.link(nextSyncAfter: .zero)
        let found = try #require(try await claim(fixture, [github: 1]).first)
        let result = SyncResult(
            content: .profile(try .example("999", name: "Mallory"), difference: nil), at: fixture.time.now(),
            nextSyncAt: nil
        )
        let error = await storeError { try await fixture.database.schedule.record(result, for: found) }
        #expect(error == .inconsistent("the profile is of another subject"))
        // Undone as a whole: the lease is still held.
        #expect(try await claim(fixture, [github: 1]) == [])
    }

    @Test func `what is handed back can be claimed at once`() async throws {
        let fixture = try Fixture()
        for number in 0..<3 { try await fixture.link("\(number)", nextSyncAfter: .zero) }
        let claims = try await claim(fixture, owner: "a", [github: 3])
        try await fixture.database.schedule.release(claims)
        #expect(try await claim(fixture, owner: "b", [github: 3]).count == 3)
        // Not somebody else's.
        try await fixture.database.schedule.release(claims)
        #expect(try await claim(fixture, owner: "c", [github: 3]) == [])
    }

    @Test func `the next due time sees accounts, leases and pauses`() async throws {
        let fixture = try Fixture()
        let schedule = fixture.database.schedule
        #expect(try await schedule.nextDueAt() == nil)
        let start = fixture.time.now()
        let first = try await fixture.link("1", nextSyncAfter: .seconds(100))
        try await fixture.link("2", provider: "discord", nextSyncAfter: .seconds(50))
        #expect(try await schedule.nextDueAt() == start + .seconds(50))
        #expect(try await schedule.nextDueAt(excluding: [discord]) == start + .seconds(100))
        #expect(try await schedule.nextDueAt(excluding: [discord, github]) == nil)
        try await schedule.pauseProvider(discord, until: start + .seconds(300), reason: "limit")
        #expect(try await schedule.nextDueAt() == start + .seconds(100))
        try await schedule.resumeProvider(discord)
        #expect(try await schedule.nextDueAt() == start + .seconds(50))
        _ = try await schedule.claim(first.id, owner: "a", lease: .seconds(500))
        #expect(try await schedule.nextDueAt(excluding: [discord]) == start + .seconds(500))
        #expect(try await schedule.expedite(first.id, at: start + .seconds(10)))
        #expect(try await fixture.database.accounts.account(first.id)?.nextSyncAt == start + .seconds(10))
        #expect(try await schedule.expedite(first.id, at: start + .seconds(20)))
        #expect(try await fixture.database.accounts.account(first.id)?.nextSyncAt == start + .seconds(10))
    }

    @Test func `a pause outlives a restart, is never shortened and yields no claims`() async throws {
        let fixture = try Fixture()
        try await fixture.link(nextSyncAfter: .zero)
        let start = fixture.time.now()
        let schedule = fixture.database.schedule
        try await schedule.pauseProvider(github, until: start + .seconds(60), reason: "429")
        try await schedule.pauseProvider(github, until: start + .seconds(30), reason: "shorter")
        fixture.database.close()
        let again = try fixture.another()
        defer { again.close() }
        #expect(
            try await again.schedule.providerPauses() == [
                ProviderPause(provider: github, until: start + .seconds(60), reason: "429")
            ])
        func claims() async throws -> Int {
            try await again.schedule.claimDue(
                now: fixture.time.now(), owner: "a", lease: .seconds(60), slots: [github: 1]
            ).count
        }
        #expect(try await claims() == 0)
        fixture.time.advance(by: .seconds(60))
        #expect(try await again.schedule.providerPauses() == [])
        #expect(try await claims() == 1)
    }

    @Test func `the schedule tells what is due and since when`() async throws {
        let fixture = try Fixture()
        let start = fixture.time.now()
        for number in 0..<3 { try await fixture.link("\(number)", nextSyncAfter: .seconds(number)) }
        fixture.time.advance(by: .seconds(1))
        let states = try await fixture.database.schedule.states(of: [github, discord], now: fixture.time.now())
        #expect(
            states == [
                ScheduleState(provider: github, dueNow: 2, oldestDueAt: start),
                ScheduleState(provider: discord, dueNow: 0, oldestDueAt: nil),
            ])
    }

    @Test func `a lease from before the clock was set back holds nobody up`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link(nextSyncAfter: .seconds(-100_000))
        _ = try await claim(fixture, [github: 1])
        fixture.time.jump(to: fixture.time.now() - .seconds(86_400))
        #expect(try await claim(fixture, owner: "b", [github: 1]).map(\.account.id) == [account.id])
    }
}
