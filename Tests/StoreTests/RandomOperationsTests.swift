import Accounts
import Foundation
import TestSupport
import Testing

@testable import Store

/// Long runs of operations in an order that a seed picks; what must always hold is checked after each.
@Suite(.timeLimit(.minutes(10))) struct RandomOperationsTests {
    @Test(arguments: 1...12) func `every order of operations keeps what must always hold`(seed: UInt64) async throws {
        let run = try RandomRun(seed: seed)
        for step in 0..<150 {
            let operation = try await run.step()
            do { try await run.check() } catch {
                Issue.record("seed \(seed), step \(step), after \(operation): \(error)")
                return
            }
        }
        try await run.database.checkIntegrity()
        #expect(try await run.database.vault.verify(limit: 10_000).damaged == [])
    }
}

private struct Violation: Error, CustomStringConvertible { let description: String }

/// One run: the database, and what the test remembers to hold it against.
private final class RandomRun {
    let fixture: Fixture
    private(set) var database: Database
    private let random: SeededRandom
    private var generations: [AccountID: Int64] = [:]
    private var feed: [Change] = []
    private var claims: [SyncClaim] = []
    private var refreshes: [(id: AccountID, owner: String, generation: Int64)] = []
    private var next = 0

    init(seed: UInt64) throws {
        fixture = try Fixture(seed: seed)
        database = fixture.database
        random = SeededRandom(seed: seed &* 977)
    }

    private func pick(_ count: Int) -> Int { Int(random.unitInterval() * Double(count)) }
    private func fresh(_ what: String) -> String {
        next += 1
        return "\(what)-EXAMPLE-\(next)"
    }
    private func credential() -> Credential {
        .example(access: fresh("access"), refresh: pick(4) == 0 ? nil : fresh("refresh"))
    }
    private func profile(_ subject: String) throws -> Profile { try .example(subject, name: "N\(pick(4))") }

    private func someAccount() async throws -> LinkedAccount? {
        let accounts = try await database.accounts.list(AccountFilter(), limit: 100).items
        return accounts.isEmpty ? nil : accounts[pick(accounts.count)]
    }

    /// Does something and says what.
    func step() async throws -> String {
        let now = fixture.time.now()
        let kind = pick(17)
        switch kind {
        case 0, 1, 2, 3:
            let subject = "\(pick(5))"
            var link = try fixture.newLink(
                subject, user: "user-\(pick(3))", provider: pick(2) == 0 ? "github" : "discord",
                credential: credential(), profile: profile(subject), nextSyncAfter: .seconds(pick(100)),
                moves: pick(3) == 0)
            link.nextSyncAt = now + .seconds(pick(100))
            return "link \(try await database.accounts.link(link))"
        case 4:
            guard let account = try await someAccount() else { return "nothing" }
            return "unlink \(try await database.accounts.unlink(account.id) != nil)"
        case 5, 6:
            guard let account = try await someAccount() else { return "nothing" }
            let owner = fresh("owner")
            if case .claimed(let stored, _) = try await database.credentials.beginRefresh(
                account.id, owner: owner, lease: .seconds(30))
            {
                refreshes.append((account.id, owner, stored.generation))
            }
            return "begin refresh"
        case 7:
            guard !refreshes.isEmpty else { return "nothing" }
            let refresh = refreshes.remove(at: pick(refreshes.count))
            let before = try await database.credentials.read(refresh.id)
            let new = credential()
            let stored = try await database.credentials.commitRefresh(
                refresh.id, owner: refresh.owner, from: refresh.generation, new)
            if stored != (before?.generation == refresh.generation) {
                throw Violation(
                    description:
                        "commit \(stored) from \(refresh.generation) over \(String(describing: before?.generation))")
            }
            return "commit \(stored)"
        case 8:
            guard !refreshes.isEmpty else { return "nothing" }
            let refresh = refreshes.remove(at: pick(refreshes.count))
            try await database.credentials.abandonRefresh(
                refresh.id, owner: refresh.owner, generation: refresh.generation, tokenMayBeSpent: pick(2) == 0)
            return "abandon"
        case 9:
            guard let account = try await someAccount() else { return "nothing" }
            let generation = try await database.credentials.read(account.id)?.generation ?? 0
            return
                "mark \(try await database.accounts.markNeedsRelink(account.id, generation: generation - Int64(pick(2)), code: .consentRevoked, detail: "x"))"
        case 10, 11:
            let found = try await database.schedule.claimDue(
                now: now, owner: fresh("owner"), lease: .seconds(20), slots: [github: 2, discord: 1])
            claims += found
            return "claim \(found.count)"
        case 12, 13:
            guard !claims.isEmpty else { return "nothing" }
            return "record \(try await record(claims.remove(at: pick(claims.count)), now))"
        case 14:
            try await database.schedule.release(claims)
            claims = []
            return "release"
        case 15:
            fixture.time.advance(by: .seconds(pick(60)))
            return "wait"
        default:
            if pick(3) > 0 {
                guard let account = try await someAccount() else { return "nothing" }
                if account.status == .paused {
                    _ = try await database.accounts.resume(account.id, nextSyncAt: now)
                    return "resume"
                }
                _ = try await database.accounts.pause(account.id)
                return "pause"
            }
            // Without a word to the one before, which goes on with a file that others write too.
            database = try fixture.another(seed: UInt64(1000 + next))
            return "reopen"
        }
    }

    private func record(_ claim: SyncClaim, _ now: Timestamp) async throws -> Bool {
        var result = SyncResult(content: .unchanged(validators: nil), at: now, nextSyncAt: now + .seconds(pick(100)))
        switch pick(5) {
        case 0: break
        case 1, 2:
            let difference: ProfileDifference = { _, _ in "[]" }
            result.content = .profile(
                try profile(claim.account.subject.rawValue), difference: pick(2) == 0 ? difference : nil)
        default:
            result.content = .failed
            result.failures = claim.failures + 1
            result.problem = AccountProblem(code: .providerUnavailable, since: now, detail: "503")
            if pick(4) == 0 {
                result.status = pick(2) == 0 ? .suspended : .needsRelink
                result.problem?.code = result.status == .suspended ? .userSuspended : .scopeLost
                // As last seen: it may have moved, and then nothing is marked.
                result.generation = generations[claim.account.id] ?? 1
            }
        }
        return try await database.schedule.record(result, for: claim)
    }

    /// Throws a `Violation` that says what no longer holds.
    func check() async throws {
        func require(_ condition: Bool, _ what: @autoclosure () -> String) throws {
            if !condition { throw Violation(description: what()) }
        }
        let accounts = try await database.accounts.list(AccountFilter(), limit: 100).items
        let held = Dictionary(uniqueKeysWithValues: accounts.map { ($0.id, $0) })
        try require(
            Set(accounts.map { "\($0.provider) \($0.subject)" }).count == accounts.count, "an account held twice")

        var counts: [ProviderID: [AccountStatus: Int]] = [:]
        for account in accounts {
            counts[account.provider, default: [:]][account.status, default: 0] += 1
            guard let stored = try await database.credentials.read(account.id) else {
                throw Violation(description: "no credential for \(account.id)")
            }
            try require(stored.generation >= generations[account.id] ?? 1, "the generation of \(account.id) went back")
            generations[account.id] = stored.generation
            try require(
                (account.nextSyncAt == nil) == (account.status == .needsRelink || account.status == .paused),
                "\(account.status) with next sync \(String(describing: account.nextSyncAt))")
            try require(account.status != .needsRelink || account.problem != nil, "needs a relink for no reason")
        }
        for (provider, statuses) in try await database.accounts.counts() {
            for (status, count) in statuses {
                try require(count == counts[provider]?[status] ?? 0, "counted \(count) \(status) of \(provider)")
            }
        }

        let changes = try #require(try await database.changes.changes(after: nil, limit: 100_000)).changes
        // What was in the feed stays, but for patches of what was erased.
        for (old, new) in zip(feed, changes) where old != new {
            var erased = old
            erased.patch = nil
            try require(erased == new && held[new.accountID] == nil, "a change was altered")
        }
        try require(changes.count >= feed.count, "changes were lost")
        feed = changes

        // The feed, replayed, gives what the tables hold.
        var live: [AccountID: (needsRelink: Bool, version: Int64)] = [:]
        for change in changes {
            let state = live[change.accountID]
            switch change.kind {
            case .accountLinked:
                try require(state == nil, "linked twice")
                live[change.accountID] = (false, 0)
            case .accountUnlinked:
                try require(state != nil, "unlinked twice")
                live[change.accountID] = nil
            case .accountNeedsRelink:
                try require(state?.needsRelink == false, "marked twice")
                live[change.accountID]?.needsRelink = true
            case .accountRecovered:
                try require(state != nil, "recovered when gone")
                live[change.accountID]?.needsRelink = false
            case .profileCreated, .profileUpdated:
                try require(change.version == (state?.version ?? -9) + 1, "versions with a gap")
                try require((change.version == 1) == (change.kind == .profileCreated), "created twice")
                live[change.accountID]?.version += 1
            }
        }
        try require(Set(live.keys) == Set(held.keys), "the feed does not tell who is linked")
        for (id, state) in live {
            try require(
                (held[id]?.statusBeneathPause == .needsRelink) == state.needsRelink,
                "the feed does not tell who is dead")
            let document = try database.profiles.document(account: id)
            try require((document?.version ?? 0) == state.version, "the feed does not tell the version")
        }
    }
}
