import Accounts
import Cryptography
import TestSupport
import Testing

@testable import Store

@Suite(.timeLimit(.minutes(10))) struct ChangeFeedTests {
    @Test func `the feed is read in order, each change once, across restarts`() async throws {
        let fixture = try Fixture()
        for number in 0..<5 { try await fixture.link("\(number)") }
        var database = fixture.database
        var seen: [Change] = []
        var cursor: ChangeID?
        var more = true
        while more {
            let page = try #require(try await database.changes.changes(after: cursor, limit: 3))
            #expect(page.changes.count <= 3)
            seen += page.changes
            cursor = page.next
            more = page.hasMore
            if database === fixture.database { database = try fixture.another() }
        }
        defer { database.close() }
        #expect(seen == (try await fixture.changes()))
        #expect(seen.count == 10)
        #expect(Set(seen.map(\.id)).count == 10)
        #expect(cursor == (try await fixture.database.changes.latest()))
        let empty = try #require(try await database.changes.changes(after: cursor, limit: 3))
        #expect(empty.changes == [])
        #expect(empty.next == cursor)
        try await fixture.link("9")
        #expect(
            try await database.changes.changes(after: cursor, limit: 3)?.changes.map(\.kind) == [
                .accountLinked, .profileCreated,
            ])
    }

    @Test func `a cursor that is unknown or no longer kept is told apart from the end`() async throws {
        let fixture = try Fixture()
        #expect(try await fixture.database.changes.latest() == nil)
        #expect(try await fixture.database.changes.changes(after: nil, limit: 3)?.changes == [])
        for number in 0..<3 {
            try await fixture.link("\(number)")
            fixture.time.advance(by: .seconds(60))
        }
        let all = try await fixture.changes()
        let feed = fixture.database.changes
        #expect(try await feed.changes(after: ChangeID(at: .epoch, random: SeededRandom()), limit: 3) == nil)
        #expect(try await feed.prune(before: all[4].at) == 4)
        #expect(try await feed.changes(after: all[0].id, limit: 9) == nil)
        #expect(try await fixture.changes() == Array(all[4...]))
        // The newest stays, so that a reader at the end is never told to begin again.
        #expect(try await feed.prune(before: .distantFuture) == 1)
        #expect(try await feed.changes(after: all[5].id, limit: 9)?.changes == [])
        #expect(try await feed.prune(before: .distantFuture) == 0)
    }

    @Test func `a follower is woken by each transaction that wrote a change, and ends with the database`() async throws
    {
        let fixture = try Fixture()
        var signals = fixture.database.changes.signals().makeAsyncIterator()
        try await fixture.link("1")
        #expect(await signals.next() != nil)
        // Nothing that is not a change wakes.
        _ = try await fixture.database.apiKeys.create(name: "x", scopes: [])
        try await fixture.link("2")
        try await fixture.link("3")
        #expect(await signals.next() != nil)
        fixture.database.close()
        #expect(await signals.next() == nil)
        var late = fixture.database.changes.signals().makeAsyncIterator()
        #expect(await late.next() == nil)
    }
}

@Suite(.timeLimit(.minutes(10))) struct APIKeyStoreTests {
    @Test func `security 93: a key is shown once, found by its secret, and stored as a hash`() async throws {
        let fixture = try Fixture()
        let keys = fixture.database.apiKeys
        let (key, secret) = try await keys.create(name: "app", scopes: [.accountsRead, .linksWrite])
        let text = secret.reveal { $0 }
        #expect(text.hasPrefix("rck_"))
        #expect(text.utf8.count == 4 + 43)
        #expect(key.prefix == String(text.prefix(12)))
        let found = try #require(try keys.authenticate(text))
        #expect(found == key)
        #expect(found.scopes == [.accountsRead, .linksWrite])
        #expect(try fixture.filesContain(text) == false)
        #expect(try fixture.filesContain(String(text.dropFirst(12))) == false)
        for wrong in ["", "rck_", text + "x", String(text.dropLast()), String(text.prefix(12)), text.uppercased()] {
            #expect(try keys.authenticate(wrong) == nil, "\(wrong.count)")
        }
    }

    @Test func `security 93: a key revoked here counts at once, one revoked elsewhere within a second`() async throws {
        let fixture = try Fixture()
        let other = try fixture.another()
        defer { other.close() }
        let (key, secret) = try await fixture.database.apiKeys.create(name: "app", scopes: [.admin])
        let text = secret.reveal { $0 }
        #expect(try other.apiKeys.authenticate(text) != nil)
        #expect(try fixture.database.apiKeys.authenticate(text) != nil)
        #expect(try await fixture.database.apiKeys.revoke(key.id))
        #expect(try await fixture.database.apiKeys.revoke(key.id) == false)
        #expect(try fixture.database.apiKeys.authenticate(text) == nil)
        fixture.time.advance(by: .milliseconds(1000))
        #expect(try other.apiKeys.authenticate(text) == nil)
        #expect(try await other.apiKeys.list().map(\.revokedAt) == [fixture.time.now() - .seconds(1)])
    }

    @Test func `within its second a key is not looked up again`() async throws {
        let fixture = try Fixture()
        let other = try fixture.another()
        defer { other.close() }
        let (key, secret) = try await fixture.database.apiKeys.create(name: "app", scopes: [.admin])
        let text = secret.reveal { $0 }
        #expect(try fixture.database.apiKeys.authenticate(text) != nil)
        _ = try await other.apiKeys.revoke(key.id)
        fixture.time.advance(by: .milliseconds(999))
        #expect(try fixture.database.apiKeys.authenticate(text) != nil)
        // A clock that was set back does not stretch the second.
        fixture.time.jump(to: fixture.time.now() - .seconds(3600))
        #expect(try fixture.database.apiKeys.authenticate(text) == nil)
    }

    @Test func `security 93: a key expires on time`() async throws {
        let fixture = try Fixture()
        let (_, secret) = try await fixture.database.apiKeys.create(
            name: "app", scopes: [.admin], expiresAt: fixture.time.now() + .milliseconds(500))
        let text = secret.reveal { $0 }
        #expect(try fixture.database.apiKeys.authenticate(text) != nil)
        fixture.time.advance(by: .milliseconds(500))
        #expect(try fixture.database.apiKeys.authenticate(text) == nil)
    }

    @Test func `security 93: the last use is written once a minute`() async throws {
        let fixture = try Fixture()
        let keys = fixture.database.apiKeys
        let (_, secret) = try await keys.create(name: "app", scopes: [.admin])
        let text = secret.reveal { $0 }
        let first = fixture.time.now()
        #expect(try await keys.list()[0].lastUsedAt == nil)
        func lastUse() async throws -> Timestamp? {
            // The write behind an authentication stands in the queue before this one.
            try await fixture.database.maintain { _ in }
            return try await keys.list()[0].lastUsedAt
        }
        _ = try keys.authenticate(text)
        #expect(try await lastUse() == first)
        for _ in 0..<59 {
            fixture.time.advance(by: .seconds(1))
            _ = try keys.authenticate(text)
        }
        #expect(try await lastUse() == first)
        fixture.time.advance(by: .seconds(1))
        _ = try keys.authenticate(text)
        #expect(try await lastUse() == first + .seconds(60))
    }

    @Test func `a key has a name`() async throws {
        let fixture = try Fixture()
        let error = await storeError { try await fixture.database.apiKeys.create(name: "", scopes: []).0 }
        #expect(error == .inconsistent("the name of a key has 1 to 255 characters"))
    }
}

@Suite(.timeLimit(.minutes(10))) struct RevocationOutboxTests {
    @Test func `what unlinking left is due after a minute, once per lease`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link()
        let unlinked = try #require(try await fixture.database.accounts.unlink(account.id))
        let outbox = fixture.database.revocations
        func due(_ owner: String) async throws -> [PendingRevocation] {
            try await outbox.due(now: fixture.time.now(), owner: owner, lease: .seconds(30))
        }
        #expect(try await due("a").isEmpty)
        #expect(try await outbox.nextDueAt() == fixture.time.now() + RevocationOutbox.firstAttemptDelay)
        fixture.time.advance(by: RevocationOutbox.firstAttemptDelay)
        let found = try #require(try await due("a").first)
        #expect(found.id == unlinked.revocation?.id)
        #expect(found.credential == .example())
        #expect(found.accountID == account.id)
        #expect(found.provider == github)
        #expect(found.attempts == 0)
        #expect(try await due("b").isEmpty)
        fixture.time.advance(by: .seconds(30))
        #expect(try await due("b").map(\.id) == [found.id])
        try await outbox.retry(found.id, at: fixture.time.now() + .seconds(100))
        #expect(try await due("b").isEmpty)
        fixture.time.advance(by: .seconds(100))
        #expect(try await due("b").map(\.attempts) == [1])
        try await outbox.done(found.id)
        #expect(try await outbox.count() == 0)
        #expect(try await outbox.nextDueAt() == nil)
    }

    @Test func `a late token joins the outbox`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link()
        _ = try await fixture.database.accounts.unlink(account.id)
        let late = Credential.example(access: "access-EXAMPLE-late", refresh: nil)
        _ = try await fixture.database.revocations.add(
            account: account.id, user: account.userID, provider: github, credential: late)
        fixture.time.advance(by: .seconds(60))
        let due = try await fixture.database.revocations.due(
            now: fixture.time.now(), owner: "a", lease: .seconds(30))
        #expect(Set(due.map(\.credential.accessToken)) == [Secret("access-EXAMPLE-1"), Secret("access-EXAMPLE-late")])
        for revocation in due { try await fixture.database.revocations.drop(revocation.id) }
        #expect(try await fixture.database.revocations.count() == 0)
    }

    @Test func `a row that was changed is dropped and holds nobody up`() async throws {
        let fixture = try Fixture()
        for subject in ["1", "2"] {
            let account = try await fixture.link(subject)
            _ = try await fixture.database.accounts.unlink(account.id)
        }
        try await fixture.database.maintain { db in
            try db.run("UPDATE revocation SET access_token = zeroblob(60) WHERE id = (SELECT min(id) FROM revocation)")
        }
        fixture.time.advance(by: .seconds(60))
        let due = try await fixture.database.revocations.due(
            now: fixture.time.now(), owner: "a", lease: .seconds(30))
        #expect(due.count == 1)
        #expect(try await fixture.database.revocations.count() == 1)
    }

    @Test func `a bounded number comes at a time, the oldest first`() async throws {
        let fixture = try Fixture()
        var ids: [Int64] = []
        for number in 0..<5 {
            let account = try await fixture.link("\(number)")
            ids.append(try #require(try await fixture.database.accounts.unlink(account.id)?.revocation?.id))
            fixture.time.advance(by: .seconds(1))
        }
        fixture.time.advance(by: .seconds(60))
        let due = try await fixture.database.revocations.due(
            now: fixture.time.now(), owner: "a", lease: .seconds(30), limit: 3)
        #expect(due.map(\.id) == Array(ids.prefix(3)))
    }
}

@Suite(.timeLimit(.minutes(10))) struct RequestAllowanceStoreTests {
    private func withdraw(
        _ database: Database, _ want: Int, of count: Int = 10, in window: Duration = .seconds(60),
        key: String = "client",
        reserve: Int = 0
    ) async throws -> Allowance {
        try await database.allowances.withdraw(
            provider: github, key: key, count: count, window: window, want: want, reserve: reserve)
    }

    @Test func `no span of the window ever holds more than the limit, whoever asks`() async throws {
        let fixture = try Fixture()
        let other = try fixture.another()
        defer { other.close() }
        let random = SeededRandom(seed: 5)
        let window = Duration.seconds(60)
        var grants: [(at: Timestamp, count: Int)] = []
        for step in 0..<400 {
            fixture.time.advance(by: .milliseconds(Int64(random.unitInterval() * 4000)))
            let allowance = try await withdraw(
                step % 2 == 0 ? fixture.database : other, 1 + Int(random.unitInterval() * 4))
            let now = fixture.time.now()
            if allowance.granted > 0 { grants.append((now, allowance.granted)) }
            let recent = grants.filter { now - $0.at < window }.reduce(0) { $0 + $1.count }
            #expect(recent <= 10)
        }
        let total = grants.reduce(0) { $0 + $1.count }
        let span = (grants.last?.at ?? .epoch) - (grants.first?.at ?? .epoch)
        // And the limit is made use of: nine tenths of it at least.
        #expect(Double(total) >= 0.9 * 10 * span.secondsAsDouble / 60)
    }

    @Test func `many at once share one limit`() async throws {
        let fixture = try Fixture()
        let granted = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<40 { group.addTask { try await self.withdraw(fixture.database, 3).granted } }
            return try await group.reduce(0, +)
        }
        #expect(granted == 10)
    }

    @Test func `what is refused is told when to come back, and then gets it`() async throws {
        let fixture = try Fixture()
        let start = fixture.time.now()
        #expect(try await withdraw(fixture.database, 4) == Allowance(granted: 4, nextAt: start))
        fixture.time.advance(by: .seconds(30))
        let full = try await withdraw(fixture.database, 100)
        #expect(full.granted == 6)
        #expect(full.nextAt > start + .seconds(60))
        #expect(full.nextAt <= start + .seconds(64))
        let refused = try await withdraw(fixture.database, 1)
        #expect(refused == Allowance(granted: 0, nextAt: full.nextAt))
        fixture.time.advance(by: full.nextAt - fixture.time.now())
        #expect(try await withdraw(fixture.database, 100).granted == 4)
    }

    @Test func `a reserve is left to those who ask without one`() async throws {
        let fixture = try Fixture()
        #expect(try await withdraw(fixture.database, 100, reserve: 2).granted == 8)
        #expect(try await withdraw(fixture.database, 1, reserve: 2).granted == 0)
        #expect(try await withdraw(fixture.database, 100).granted == 2)
    }

    @Test func `limits are told apart by provider and key`() async throws {
        let fixture = try Fixture()
        #expect(try await withdraw(fixture.database, 100).granted == 10)
        #expect(try await withdraw(fixture.database, 100, key: "token:1").granted == 10)
        let other = try await fixture.database.allowances.withdraw(
            provider: discord, key: "client", count: 5, window: .seconds(1), want: 9)
        #expect(other.granted == 5)
    }

    @Test func `what was granted before the clock was set back still counts, for one window`() async throws {
        let fixture = try Fixture()
        #expect(try await withdraw(fixture.database, 7).granted == 7)
        fixture.time.jump(to: fixture.time.now() - .seconds(86_400))
        #expect(try await withdraw(fixture.database, 100).granted == 3)
        fixture.time.advance(by: .seconds(64))
        #expect(try await withdraw(fixture.database, 100).granted == 10)
    }

    @Test(arguments: [Duration.milliseconds(1), .milliseconds(50), .seconds(1), .seconds(86_400), .zero])
    func `any window works`(window: Duration) async throws {
        let fixture = try Fixture()
        #expect(try await withdraw(fixture.database, 3, of: 1, in: window).granted == 1)
        #expect(try await withdraw(fixture.database, 3, of: 1, in: window).granted == 0)
        fixture.time.advance(by: window * 1.07 + .milliseconds(20))
        #expect(try await withdraw(fixture.database, 3, of: 1, in: window).granted == 1)
        #expect(try await withdraw(fixture.database, 3, of: 0, in: window).granted == 0)
    }

    @Test func `old slices are deleted`() async throws {
        let fixture = try Fixture()
        for _ in 0..<100 {
            _ = try await withdraw(fixture.database, 1)
            fixture.time.advance(by: .seconds(5))
        }
        let rows = try await fixture.database.maintain { db in
            try db.first("SELECT count(*) FROM request_allowance")?.int(0) ?? 0
        }
        #expect(rows <= 65)
    }
}

@Suite(.timeLimit(.minutes(10))) struct GovernorStoreTests {
    @Test func `what happened is counted for a window, over all processes, and not refused`() async throws {
        let fixture = try Fixture()
        let other = try fixture.another()
        defer { other.close() }
        func count(_ database: Database) async throws -> Int {
            try await database.allowances.count(provider: github, key: "invalid", window: .seconds(600))
        }
        #expect(try await count(fixture.database) == 1)
        fixture.time.advance(by: .seconds(300))
        #expect(try await count(other) == 2)
        #expect(
            try await other.allowances.counted(provider: github, key: "invalid", window: .seconds(600)) == 2)
        #expect(
            try await other.allowances.counted(provider: discord, key: "invalid", window: .seconds(600)) == 0)
        // What happened before a clock was set back did happen.
        fixture.time.jump(to: fixture.time.now() - .seconds(3600))
        #expect(try await count(other) == 3)
        fixture.time.jump(to: fixture.time.now() + .seconds(3600 + 310))
        #expect(try await count(other) == 2)
    }

    @Test func `what a provider taught is kept, the newest word for each`() async throws {
        let fixture = try Fixture()
        let providers = fixture.database.providers
        #expect(try await providers.governors().isEmpty)
        let now = fixture.time.now()
        var governor = StoredGovernor(
            changedAt: now, rate: 0.7, rateAt: now, openUntil: now + .seconds(30), openings: 1, closedAt: nil)
        try await providers.store(governor, of: github)
        try await providers.store(governor, of: discord)
        governor.openUntil = nil
        governor.openings = 0
        governor.closedAt = now + .seconds(60)
        try await providers.store(governor, of: github)
        let other = try fixture.another()
        defer { other.close() }
        let held = try await other.providers.governors()
        #expect(held[github] == governor)
        #expect(held[discord]?.openUntil == now + .seconds(30))
    }
}

@Suite(.timeLimit(.minutes(10))) struct IdempotencyStoreTests {
    private let key = APIKeyID(at: .epoch, random: SeededRandom(seed: 1))
    private let response = StoredResponse(
        status: 201, body: Array(#"{"url":"https://accounts.example.com/link/token-EXAMPLE"}"#.utf8))

    @Test func `a repeated request gets the stored response for a day`() async throws {
        let fixture = try Fixture()
        let store = fixture.database.idempotency
        func begin(_ request: String, key name: String = "k1", by apiKey: APIKeyID? = nil) async throws
            -> IdempotentRequest
        {
            try await store.begin(key: name, apiKey: apiKey ?? key, request: Array(request.utf8))
        }
        #expect(try await begin("POST a") == .new)
        #expect(try await begin("POST a") == .underWay)
        #expect(try await begin("POST b") == .conflict)
        try await store.finish(key: "k1", apiKey: key, request: Array("POST a".utf8), response)
        #expect(try await begin("POST a") == .repeated(response))
        #expect(try await begin("POST b") == .conflict)
        #expect(try await begin("POST a", key: "k2") == .new)
        #expect(try await begin("POST a", by: APIKeyID(at: .epoch, random: SeededRandom(seed: 2))) == .new)
        #expect(try fixture.filesContain("token-EXAMPLE") == false)
        fixture.time.advance(by: .seconds(86_399))
        #expect(try await begin("POST a") == .repeated(response))
        fixture.time.advance(by: .seconds(1))
        #expect(try await begin("POST b") == .new)
    }

    @Test func `a request that failed, or never ended, may be tried again`() async throws {
        let fixture = try Fixture()
        let store = fixture.database.idempotency
        #expect(try await store.begin(key: "k", apiKey: key, request: [1]) == .new)
        try await store.abandon(key: "k", apiKey: key, request: [1])
        #expect(try await store.begin(key: "k", apiKey: key, request: [2]) == .new)
        fixture.time.advance(by: IdempotencyStore.underWayMax)
        #expect(try await store.begin(key: "k", apiKey: key, request: [3]) == .new)
        // The one that took so long ends at last: the key is another request's by now.
        try await store.finish(key: "k", apiKey: key, request: [2], StoredResponse(status: 200, body: []))
        try await store.abandon(key: "k", apiKey: key, request: [2])
        #expect(try await store.begin(key: "k", apiKey: key, request: [3]) == .underWay)
        try await store.finish(key: "k", apiKey: key, request: [3], response)
        try await store.abandon(key: "k", apiKey: key, request: [3])
        #expect(try await store.begin(key: "k", apiKey: key, request: [3]) == .repeated(response))
        #expect(try await store.purgeExpired() == 0)
        fixture.time.advance(by: IdempotencyStore.lifetime)
        #expect(try await store.purgeExpired() == 1)
    }

    @Test func `of two at once one is new`() async throws {
        let fixture = try Fixture()
        let answers = try await withThrowingTaskGroup(of: IdempotentRequest.self) { group in
            for _ in 0..<20 {
                group.addTask { try await fixture.database.idempotency.begin(key: "k", apiKey: self.key, request: [1]) }
            }
            var answers: [IdempotentRequest] = []
            for try await answer in group { answers.append(answer) }
            return answers
        }
        #expect(answers.count { $0 == .new } == 1)
        #expect(answers.count { $0 == .underWay } == 19)
    }
}
