import Accounts
import TestSupport
import Testing

@testable import Store

/// What was written by a clock that was ahead, and has been put right since.
@Suite struct WrongClockTests {
    @Test func `security 68: an account that waits longer than any may is due`() async throws {
        let fixture = try Fixture()
        let right = fixture.time.now()
        fixture.time.jump(to: right + .seconds(400 * 86_400))
        let account = try await fixture.link(nextSyncAfter: .zero)
        fixture.time.jump(to: right)
        let healthy = try await fixture.link("2", nextSyncAfter: .seconds(60))
        let claims = try await fixture.database.schedule.claimDue(
            now: right, owner: "a", lease: .seconds(60), slots: [github: 5])
        #expect(claims.map(\.account.id) == [account.id])
        let claim = try #require(claims.first)
        let result = SyncResult(
            content: .unchanged(validators: nil), at: right, nextSyncAt: right + .seconds(400 * 86_400))
        #expect(try await fixture.database.schedule.record(result, for: claim))
        // No plan reaches beyond what counts as a plan: the account would be due for ever.
        #expect(
            try await fixture.database.schedule.state(of: account.id)?.nextSyncAt == right + SyncScheduleStore.horizon)
        #expect(
            try await fixture.database.schedule.claimDue(
                now: right, owner: "a", lease: .seconds(60), slots: [github: 5]) == [])
        #expect(try await fixture.database.accounts.account(healthy.id)?.nextSyncAt == right + .seconds(60))
    }

    @Test func `a pause that lasts longer than any may has ended, and gives way to a real one`() async throws {
        let fixture = try Fixture()
        let schedule = fixture.database.schedule
        let right = fixture.time.now()
        try await fixture.link(nextSyncAfter: .zero)
        fixture.time.jump(to: right + .seconds(400 * 86_400))
        try await schedule.pauseProvider(github, until: fixture.time.now() + .seconds(600), reason: "EXAMPLE")
        fixture.time.jump(to: right)
        #expect(try await schedule.providerPauses() == [])
        let claims = try await schedule.claimDue(now: right, owner: "a", lease: .seconds(60), slots: [github: 1])
        #expect(claims.count == 1)
        try await schedule.release(claims)
        try await schedule.pauseProvider(github, until: right + .seconds(60), reason: "EXAMPLE")
        #expect(try await schedule.providerPauses().map(\.until) == [right + .seconds(60)])
        #expect(
            try await schedule.claimDue(now: right, owner: "a", lease: .seconds(60), slots: [github: 1]).isEmpty)
    }

    @Test func `a revocation put off or leased by a clock that was ahead is due`() async throws {
        let fixture = try Fixture()
        let outbox = fixture.database.revocations
        let right = fixture.time.now()
        let leased = try await fixture.link()
        fixture.time.jump(to: right + .seconds(400 * 86_400))
        _ = try await fixture.database.accounts.unlink(leased.id)
        fixture.time.advance(by: .seconds(60))
        #expect(
            try await outbox.due(now: fixture.time.now(), owner: "a", lease: .seconds(60)).count == 1)
        fixture.time.jump(to: right)
        let due = try await outbox.due(now: right, owner: "a", lease: .seconds(60))
        #expect(due.map(\.accountID) == [leased.id])
        #expect(try await outbox.due(now: right, owner: "a", lease: .seconds(60)).isEmpty)
        let revocation = try #require(due.first)
        try await outbox.retry(revocation.id, at: right + .seconds(400 * 86_400))
        #expect(try await outbox.due(now: right, owner: "a", lease: .seconds(60)).isEmpty)
    }
}

@Suite struct AllowanceAgeTests {
    @Test func `slices that no window sees are deleted, and none that counts`() async throws {
        let fixture = try Fixture()
        let allowances = fixture.database.allowances
        for account in 0..<3 {
            _ = try await allowances.withdraw(
                provider: github, key: "acc_\(account)/60000", count: 10, window: .seconds(60), want: 1)
        }
        #expect(try await allowances.purge(longestWindow: .seconds(60)) == 0)
        fixture.time.advance(by: .seconds(60))
        #expect(try await allowances.purge(longestWindow: .seconds(60)) == 0)
        fixture.time.advance(by: .seconds(8))
        #expect(try await allowances.purge(longestWindow: .seconds(60)) == 3)
    }

    @Test func `with an account goes what was counted for its token`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link()
        for key in [account.id.rawValue, account.id.rawValue + "0", "client"] {
            _ = try await fixture.database.allowances.withdraw(
                provider: github, key: key + "/60000", count: 10, window: .seconds(60), want: 1)
        }
        _ = try await fixture.database.accounts.unlink(account.id)
        let left = try await fixture.database.maintain { db in
            try db.rows("SELECT key FROM request_allowance ORDER BY key").map { try $0.text(0) }
        }
        #expect(left == [account.id.rawValue + "0/60000", "client/60000"])
    }
}

@Suite struct PausedAccountTests {
    @Test func `a grant that dies during an operator's pause ends no pause`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link()
        let accounts = fixture.database.accounts
        #expect(try await accounts.pause(account.id))
        #expect(try await accounts.markNeedsRelink(account.id, generation: 1, code: .consentRevoked, detail: "dead"))
        let paused = try #require(try await accounts.account(account.id))
        #expect(paused.status == .paused && paused.problem?.code == .consentRevoked)
        #expect(try await accounts.resume(account.id, nextSyncAt: fixture.time.now()))
        #expect(try await accounts.account(account.id)?.status == .needsRelink)
    }

    @Test func `a refused mark frees the lease of the refresh that found the grant dead`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link()
        let database = fixture.database
        #expect(
            try await database.accounts.markNeedsRelink(account.id, generation: 1, code: .consentRevoked, detail: "x"))
        _ = try await database.credentials.beginRefresh(account.id, owner: "a", lease: .seconds(60))
        #expect(
            try await !database.accounts.markNeedsRelink(account.id, generation: 1, code: .consentRevoked, detail: "x"))
        guard case .claimed = try await database.credentials.beginRefresh(account.id, owner: "b", lease: .seconds(60))
        else {
            Issue.record("still leased")
            return
        }
    }
}
