import Accounts
import Dispatch
import Foundation
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

    @Test func `who has a thread of its own claims and records on it`() async throws {
        let fixture = try Fixture()
        for number in 0..<40 {
            try await fixture.link("\(number)", profile: .example("\(number)"), nextSyncAfter: .zero)
        }
        let thread = OwnThread()
        defer { thread.end() }
        let threads = Mutex<Set<UInt>>([])
        let schedule = fixture.database.schedule
        try await fixture.database.maintain { db in
            db.trace(options: .statement) { _ in threads.withLock { _ = $0.insert(UInt(pthread_self())) } }
        }
        let now = fixture.time.now()
        let run: @Sendable (SyncScheduleStore) async throws -> Set<UInt> = { schedule in
            threads.withLock { $0 = [] }
            let claims = try await schedule.claimDue(
                now: now, owner: "a", lease: .seconds(60), slots: [github: 20], looksFirst: false)
            #expect(claims.count == 20)
            try await withThrowingTaskGroup(of: Bool.self) { group in
                for claim in claims {
                    group.addTask {
                        try await schedule.record(
                            SyncResult(
                                content: .unchanged(validators: nil), at: now, nextSyncAt: now + .seconds(60)),
                            for: claim)
                    }
                }
                for try await isRecorded in group { #expect(isRecorded) }
            }
            return threads.withLock(\.self)
        }
        let own = try await withTaskExecutorPreference(thread) { try await run(schedule.onCallersThread) }
        #expect(own == [thread.id])
        let writers = try await withTaskExecutorPreference(thread) { try await run(schedule) }
        #expect(writers.isEmpty == false)
        #expect(writers.contains(thread.id) == false)
    }

    @Test func `who waits on the writer's thread does not wait for another's`() async throws {
        let fixture = try Fixture()
        let claims = try await claims(fixture, 2)
        let thread = OwnThread()
        defer { thread.end() }
        let now = fixture.time.now()
        let schedule = fixture.database.schedule
        let result = SyncResult(content: .unchanged(validators: nil), at: now, nextSyncAt: now + .seconds(60))
        let (isHeld, isFree) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        let first = Task(executorPreference: thread) {
            async let isRecorded = schedule.onCallersThread.record(result, for: claims[0])
            // It has been added, and its thread is busy with something else.
            await Task.yield()
            isHeld.signal()
            let isInTime = isFree.waits(seconds: 60)
            return (try await isRecorded, isInTime)
        }
        #expect(isHeld.waits(seconds: 60))
        #expect(try await schedule.record(result, for: claims[1]))
        isFree.signal()
        let (isRecorded, isInTime) = try await first.value
        #expect(isRecorded)
        #expect(isInTime)
    }

    @Test func `a claim is not worth a flush of the disk, whatever is written next is`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link(nextSyncAfter: .zero)
        let flushes: @Sendable (Connection) throws -> Int64? = { try $0.first("PRAGMA synchronous")?.int64(0) }
        let seen = Mutex<[Int64?]>([])
        try await fixture.database.maintain { db in
            db.trace(options: .statement) { event in
                guard case .statement(let statement) = event else { return }
                if statement.sql.hasPrefix("PRAGMA synchronous = NORMAL") { seen.withLock { $0.append(1) } }
                if statement.sql.hasPrefix("PRAGMA synchronous = FULL") { seen.withLock { $0.append(2) } }
                if statement.sql.hasPrefix("COMMIT") { seen.withLock { $0.append(nil) } }
            }
        }
        for _ in 0..<2 {
            _ = try await fixture.database.schedule.claimDue(
                now: fixture.time.now(), owner: "a", lease: .seconds(60), slots: [github: 1], looksFirst: false)
        }
        #expect(try await fixture.database.maintain(flushes) == 1)
        _ = try await fixture.database.credentials.beginRefresh(account.id, owner: "a", lease: .seconds(60))
        #expect(try await fixture.database.maintain(flushes) == 2)
        #expect(seen.withLock(\.self) == [1, nil, nil, 2, nil])
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
                SyncResult(
                    content: .profile(profile, difference: { _, _ in "[]" }), at: now, nextSyncAt: now + .seconds(60)),
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
                SyncResult(content: .profile(profile, difference: { _, _ in "[]" }), at: now, nextSyncAt: now),
                for: claims[number])
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
                SyncResult(content: .profile(profile, difference: nil), at: now, nextSyncAt: now), for: claims[number])
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

/// A thread that runs the tasks which prefer it.
private final class OwnThread: TaskExecutor {
    private struct State {
        var jobs: [UnownedJob] = []
        var id: UInt = 0
        var hasEnded = false
    }

    private let state = Mutex(State())
    private let hasWork = DispatchSemaphore(value: 0)

    init() {
        let hasBegun = DispatchSemaphore(value: 0)
        Thread.detachNewThread { [self] in
            state.withLock { $0.id = UInt(pthread_self()) }
            hasBegun.signal()
            while true {
                hasWork.wait()
                let (job, hasEnded) = state.withLock { ($0.jobs.isEmpty ? nil : $0.jobs.removeFirst(), $0.hasEnded) }
                if let job { job.runSynchronously(on: asUnownedTaskExecutor()) } else if hasEnded { return }
            }
        }
        hasBegun.wait()
    }

    var id: UInt { state.withLock { $0.id } }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        state.withLock { $0.jobs.append(job) }
        hasWork.signal()
    }

    func end() {
        state.withLock { $0.hasEnded = true }
        hasWork.signal()
    }
}

extension DispatchSemaphore {
    /// Holds up the thread. False where nobody signals in time.
    fileprivate func waits(seconds: Int) -> Bool { wait(timeout: .now() + .seconds(seconds)) == .success }
}
