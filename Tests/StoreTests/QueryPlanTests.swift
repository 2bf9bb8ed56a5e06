import Accounts
import GRDB
import Synchronization
import TestSupport
import Testing

@testable import Store

/// With a hundred thousand accounts no statement may walk a table from end to end.
@Suite(.timeLimit(.minutes(10))) struct QueryPlanTests {
    /// Small by nature, or read in the order of their key with a LIMIT.
    private static let mayBeScanned = [
        "SCAN account_count", "SCAN key_check", "SCAN provider_pause", "SCAN migration", "SCAN CONSTANT ROW",
        "SCAN (subquery", "SCAN api_key", "SCAN sqlite_schema",
        // Has no rows but those that are counted.
        "SCAN linked_account USING COVERING INDEX linked_account_problem",
    ]

    private func plan(_ sql: String, _ db: Connection) throws -> [String] {
        let statement = try db.makeStatement(sql: "EXPLAIN QUERY PLAN " + sql)
        let nothing = [DatabaseValue](repeating: .null, count: sqlParameters(sql))
        return try Row.fetchAll(statement, arguments: StatementArguments(nothing)).map { try $0.text(3) }
    }

    private func sqlParameters(_ sql: String) -> Int {
        let numbered = (1...30).reversed().first { sql.contains("?\($0)") }
        return numbered ?? sql.count { $0 == "?" }
    }

    private func offending(_ steps: [String]) -> [String] {
        steps.filter { step in step.hasPrefix("SCAN") && !Self.mayBeScanned.contains { step.hasPrefix($0) } }
    }

    @Test func `hot statements search`() async throws {
        let fixture = try Fixture()
        var statements =
            ReadStatement.allCases.map(\.sql) + WriterStatement.allCases.map(\.sql).filter { !$0.hasPrefix("INSERT") }
        statements += [
            SyncScheduleStore.claimDueSQL, SyncScheduleStore.isDueSQL, SyncScheduleStore.nextDueSQL,
            SyncScheduleStore.nextLeaseSQL, SyncScheduleStore.claimAheadSQL, SyncScheduleStore.expediteActiveSQL,
            SyncScheduleStore.statesSQL, AccountStore.problemCountsSQL, Transaction.claimSQL, ChangeFeed.page,
            AccountStore.accountsOfUser,
            AccountStore.export, CredentialStore.inDoubt, CredentialRow.select + " WHERE c.account_id = ?",
            RevocationOutbox.dueSQL, LinkSessionStore.purge, RequestAllowanceStore.purge,
            CredentialStore.isForeseenDueSQL, CredentialStore.claimForeseenSQL, CredentialStore.countForeseenSQL,
            CredentialStore.expiringSQL, CredentialStore.countExpiringSQL,
        ]
        for sql in statements {
            let steps = try await fixture.database.maintain { db in try self.plan(sql, db) }
            #expect(!steps.isEmpty)
            #expect(offending(steps) == [], "\(sql)")
        }
    }

    @Test func `what is claimed next is found without sorting`() async throws {
        let fixture = try Fixture()
        for sql in [
            SyncScheduleStore.claimDueSQL, SyncScheduleStore.claimAheadSQL, SyncScheduleStore.nextDueSQL,
            SyncScheduleStore.statesSQL,
        ] {
            let steps = try await fixture.database.maintain { db in try self.plan(sql, db) }
            #expect(steps.contains { $0.contains("sync_schedule_due") }, "\(steps)")
            #expect(!steps.contains { $0.contains("TEMP B-TREE") }, "\(steps)")
        }
    }

    @Test func `every combination of filters has an index that leads`() async throws {
        let fixture = try Fixture()
        for bits in 0..<64 {
            for after in [false, true] {
                func has(_ bit: Int) -> Bool { bits & 1 << bit != 0 }
                let filter = AccountFilter(
                    provider: has(0) ? github : nil, status: has(1) ? .active : nil,
                    userID: has(2) ? UserID("42") : nil, email: has(3) ? "a@example.com" : nil,
                    username: has(4) ? "alice" : nil, changedSince: has(5) ? .epoch : nil)
                let byChange = has(5) && !has(2) && !has(3) && !has(4)
                let id = AccountID(at: .epoch, random: SeededRandom())
                let query = try ListQuery(filter, after: after ? (byChange ? "1-\(id)" : id.rawValue) : nil)
                let steps = try await fixture.database.maintain { db in try self.plan(query.sql, db) }
                #expect(offending(steps) == [], "\(query.sql)")
                let lead = try #require(steps.first)
                if has(2) {
                    #expect(lead.contains("linked_account_user"), "\(query.sql): \(lead)")
                } else if has(3) || has(4) {
                    #expect(lead.contains("profile_email") || lead.contains("profile_username"), "\(lead)")
                } else if has(5) {
                    #expect(lead.contains("profile_changed"), "\(lead)")
                }
                // Only what one user, address or name leads to may be sorted.
                if !has(2) && !has(3) && !has(4) {
                    #expect(!steps.contains { $0.contains("TEMP B-TREE") }, "\(query.sql): \(steps)")
                }
            }
        }
    }

    @Test func `no write walks a table`() async throws {
        let fixture = try Fixture()
        let seen = Recorder()
        try await fixture.database.maintain { db in
            db.trace(options: .statement) { event in
                if case .statement(let statement) = event { seen.add(statement.sql) }
            }
        }
        try await everyWrite(fixture)
        try await fixture.database.maintain { db in db.trace(options: .statement) }
        let statements = seen.statements.filter { sql in
            ["SELECT", "INSERT", "UPDATE", "DELETE"].contains { sql.hasPrefix($0) }
        }
        #expect(statements.count > 40)
        for sql in statements {
            let steps = try await fixture.database.maintain { db in try self.plan(sql, db) }
            // The feed is trimmed from its beginning, and no further than the LIMIT says.
            let bounded = sql.contains("FROM change ORDER BY sequence LIMIT") || sql.contains("max(sequence)")
            #expect(offending(steps).filter { !(bounded && $0.hasPrefix("SCAN change")) } == [], "\(sql)")
        }
    }

    /// Every operation that writes, once.
    private func everyWrite(_ fixture: Fixture) async throws {
        let database = fixture.database
        let account = try await fixture.link(nextSyncAfter: .zero)
        try await fixture.link(profile: .example(name: "Mona"))
        _ = try await database.accounts.link(fixture.newLink(user: "other", moves: true))
        let moved = try await fixture.link(user: "other", nextSyncAfter: .zero)
        #expect(moved.id != account.id)
        _ = try await database.credentials.beginRefresh(moved.id, owner: "a", lease: .seconds(1))
        try await database.credentials.abandonRefresh(moved.id, owner: "a", generation: 2, tokenMayBeSpent: true)
        _ = try await database.credentials.beginRefresh(moved.id, owner: "a", lease: .seconds(1))
        #expect(
            try await database.credentials.commitRefresh(
                moved.id, owner: "a", from: 2, .example(access: "access-EXAMPLE-2", scopes: ["other"])))
        let now = fixture.time.now()
        let claims = try await database.schedule.claimDue(now: now, owner: "a", lease: .seconds(9), slots: [github: 5])
        let claim = try #require(claims.first)
        let problem = AccountProblem(code: .providerUnavailable, since: now, detail: "503")
        _ = try await database.schedule.record(
            SyncResult(content: .failed, at: now, nextSyncAt: now, failures: 1, problem: problem), for: claim)
        let again = try #require(try await database.schedule.claim(moved.id, owner: "a", lease: .seconds(9)))
        _ = try await database.schedule.record(
            SyncResult(content: .profile(.example(name: "Third"), difference: nil), at: now, nextSyncAt: now),
            for: again)
        let third = try #require(try await database.schedule.claim(moved.id, owner: "a", lease: .seconds(9)))
        try await database.schedule.release([third])
        _ = try await database.schedule.expedite(moved.id, at: now)
        try await database.schedule.pauseProvider(github, until: now + .seconds(1), reason: "x")
        try await database.schedule.resumeProvider(github)
        _ = try await database.accounts.pause(moved.id)
        _ = try await database.accounts.resume(moved.id, nextSyncAt: now)
        _ = try await database.accounts.markNeedsRelink(moved.id, generation: 3, code: .consentRevoked, detail: "x")
        let imported = ImportedAccount(
            userID: moved.userID, provider: github, subject: moved.subject, credential: .example(access: "i"),
            nextSyncAt: now)
        _ = try await database.accounts.importAccounts([imported])
        let sessions = database.linkSessions
        let (session, secret) = try await sessions.create(LinkSessionRequest(userID: moved.userID))
        _ = try await sessions.bind(token: secret.reveal { $0 }, browser: "b")
        try await sessions.beginAuthorization(
            session: session.id, provider: github, state: Secret("s"), codeVerifier: Secret("v"), nonce: nil,
            fingerprint: "f", scopes: [], redirectURI: "https://accounts.example.com/callback/github")
        _ = try await sessions.consume(state: "s", provider: github, browser: "b")
        try await sessions.fail(session.id, error: "x")
        try await sessions.purgeExpired()
        let (key, text) = try await database.apiKeys.create(name: "k", scopes: [])
        _ = try database.apiKeys.authenticate(text.reveal { $0 })
        _ = try await database.apiKeys.revoke(key.id)
        _ = try await database.idempotency.begin(key: "k", apiKey: key.id, request: [])
        try await database.idempotency.finish(
            key: "k", apiKey: key.id, request: [], StoredResponse(status: 200, body: []))
        try await database.idempotency.abandon(key: "k", apiKey: key.id, request: [])
        try await database.idempotency.purgeExpired()
        _ = try await database.allowances.withdraw(
            provider: github, key: "c", count: 5, window: .seconds(1), want: 1)
        let gone = try #require(try await database.accounts.unlink(moved.id))
        let id = try #require(gone.revocation?.id)
        _ = try await database.revocations.due(now: now + .seconds(100), owner: "a", lease: .seconds(1))
        try await database.revocations.retry(id, at: now)
        try await database.revocations.done(id)
        _ = try await database.accounts.eraseUser(moved.userID)
        try await database.changes.prune(before: now)
    }
}

private final class Recorder: Sendable {
    private let all = Mutex<Set<String>>([])

    var statements: [String] { all.withLock { $0.sorted() } }
    func add(_ sql: String) { _ = all.withLock { $0.insert(sql) } }
}
