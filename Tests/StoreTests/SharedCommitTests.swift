import Accounts
import GRDB
import Synchronization
import TestSupport
import Testing

@testable import Store

/// Records of many syncs in one commit.
@Suite(.timeLimit(.minutes(10))) struct SharedCommitTests {
    private func claims(_ fixture: Fixture, _ count: Int) async throws -> [SyncClaim] {
        for number in 0..<count {
            try await fixture.link("\(number)", profile: .example("\(number)"), nextSyncAfter: .zero)
        }
        return try await fixture.database.schedule.claimDue(
            now: fixture.time.now(), owner: "a", lease: .seconds(60), slots: [github: count])
    }

    /// Runs `body` while nothing can be written, and lets what it has begun be written together.
    private func together<Value: Sendable>(
        _ fixture: Fixture, _ count: Int, _ body: @escaping @Sendable (Int) async throws -> Value
    ) async throws -> [Result<Value, any Error>] {
        let gate = Gate()
        let database = fixture.database
        let blocked = Task { try await database.maintain { _ in while !gate.isOpen {} } }
        return try await withThrowingTaskGroup(of: (Int, Result<Value, any Error>).self) { group in
            for number in 0..<count {
                group.addTask {
                    do { return (number, .success(try await body(number))) } catch { return (number, .failure(error)) }
                }
            }
            while database.connections.waitingToShare < count { await Task.yield() }
            gate.open()
            var results: [Int: Result<Value, any Error>] = [:]
            for try await (number, result) in group { results[number] = result }
            try await blocked.value
            return (0..<count).compactMap { results[$0] }
        }
    }

    private func commits(_ fixture: Fixture) async throws -> Commits {
        let commits = Commits()
        try await fixture.database.maintain { db in
            db.trace(options: .statement) { event in
                guard case .statement(let statement) = event else { return }
                if statement.sql.hasPrefix("COMMIT") { commits.add() }
            }
        }
        return commits
    }

    @Test func `records that wait together share a commit, each with its own change in the feed`() async throws {
        let fixture = try Fixture()
        let claims = try await claims(fixture, 20)
        let commits = try await commits(fixture)
        let now = fixture.time.now()
        let results = try await together(fixture, 20) { number in
            let profile = try Profile.example(claims[number].account.subject.rawValue, name: "New \(number)")
            return try await fixture.database.schedule.record(
                SyncResult(content: .profile(profile, patch: "[]"), at: now, nextSyncAt: now + .seconds(60)),
                for: claims[number])
        }
        #expect(try results.allSatisfy { try $0.get() })
        #expect(commits.count <= 2)
        let updates = try await fixture.changes().filter { $0.kind == .profileUpdated }
        #expect(Set(updates.map(\.accountID)) == Set(claims.map(\.account.id)))
        #expect(updates.allSatisfy { $0.version == 2 && $0.patch == "[]" })
        for claim in claims {
            let state = try #require(try await fixture.database.schedule.state(of: claim.account.id))
            #expect(state.leaseUntil == nil && state.nextSyncAt == now + .seconds(60) && state.syncedAt == now)
        }
    }

    @Test func `one that fails fails alone`() async throws {
        let fixture = try Fixture()
        let claims = try await claims(fixture, 5)
        let now = fixture.time.now()
        let results = try await together(fixture, 5) { number in
            // Another person's is refused by the transaction.
            let profile = try Profile.example(
                number == 2 ? "else" : claims[number].account.subject.rawValue, name: "New")
            return try await fixture.database.schedule.record(
                SyncResult(content: .profile(profile, patch: "[]"), at: now, nextSyncAt: now), for: claims[number])
        }
        for (number, result) in results.enumerated() {
            if number == 2 {
                #expect(throws: StoreError.inconsistent("the profile is of another subject")) { try result.get() }
            } else {
                #expect(try result.get())
            }
        }
        #expect(try await fixture.changes().count { $0.kind == .profileUpdated } == 4)
        let held = try await fixture.database.schedule.state(of: claims[2].account.id)
        #expect(held?.leaseUntil != nil && held?.syncedAt == claims[2].account.syncedAt)
    }

    @Test func `a full disk refuses all of them and keeps nothing`() async throws {
        let fixture = try Fixture()
        let claims = try await claims(fixture, 4)
        let now = fixture.time.now()
        try await fixture.database.maintain { db in
            let pages = try db.first("PRAGMA page_count")?.int64(0) ?? 0
            try db.run("PRAGMA max_page_count = \(pages)")
        }
        let long = #"{"a":"\#(String(repeating: "x", count: 500_000))"}"#
        let results = try await together(fixture, 4) { number in
            var profile = try Profile.example(claims[number].account.subject.rawValue, name: "New")
            profile.raw = long
            return try await fixture.database.schedule.record(
                SyncResult(content: .profile(profile, patch: nil), at: now, nextSyncAt: now), for: claims[number])
        }
        for result in results { #expect(throws: StoreError.diskFull) { try result.get() } }
        #expect(try await fixture.changes().allSatisfy { $0.kind != .profileUpdated })
        try await fixture.database.maintain { db in try db.run("PRAGMA max_page_count = 1073741823") }
        #expect(
            try await fixture.database.schedule.record(
                SyncResult(content: .unchanged(validators: nil), at: now, nextSyncAt: now), for: claims[0]))
    }

    @Test func `a status that was set during a sync outlives its success`() async throws {
        let fixture = try Fixture()
        let claims = try await claims(fixture, 1)
        let claim = try #require(claims.first)
        _ = try await fixture.database.accounts.pause(claim.account.id)
        let now = fixture.time.now()
        #expect(
            try await fixture.database.schedule.record(
                SyncResult(content: .unchanged(validators: nil), at: now, nextSyncAt: now + .seconds(9)), for: claim))
        let account = try #require(try await fixture.database.accounts.account(claim.account.id))
        #expect(account.status == .paused && account.nextSyncAt == nil && account.syncedAt == now)
    }

    @Test func `all active accounts are made due page by page`() async throws {
        let fixture = try Fixture()
        let ids = try await claims(fixture, 5).map(\.account.id).sorted()
        try await fixture.database.maintain { db in try db.run("UPDATE sync_schedule SET next_sync_at = 9999999999999")
        }
        _ = try await fixture.database.accounts.pause(ids[1])
        let now = fixture.time.now()
        let schedule = fixture.database.schedule
        var last: AccountID?
        var pages = 0
        repeat {
            last = try await schedule.expediteActive(after: last, limit: 2, at: now)
            pages += 1
        } while last != nil
        #expect(pages == 3)
        for id in ids {
            let state = try #require(try await schedule.state(of: id))
            #expect(state.nextSyncAt == (id == ids[1] ? nil : now))
        }
    }
}

private final class Commits: Sendable {
    private let value = Mutex(0)

    var count: Int { value.withLock { $0 } }
    func add() { value.withLock { $0 += 1 } }
}

private final class Gate: Sendable {
    private let value = Atomic(false)

    var isOpen: Bool { value.load(ordering: .acquiring) }
    func open() { value.store(true, ordering: .releasing) }
}
