import Accounts
import Cryptography
import Foundation
import GRDB
import Synchronization
import TestSupport
import Testing

@testable import Store

@Suite(.timeLimit(.minutes(10))) struct VaultTests {
    /// Something sealed in every table that seals.
    private func populated() async throws -> (Fixture, LinkedAccount) {
        let fixture = try Fixture()
        for number in 0..<7 { try await fixture.link("\(number)") }
        let gone = try await fixture.link("gone")
        _ = try await fixture.database.accounts.unlink(gone.id)
        let store = fixture.database.linkSessions
        let (session, secret) = try await store.create(LinkSessionRequest(userID: gone.userID, provider: github))
        _ = try await store.bind(token: secret.reveal { $0 }, browser: "browser-EXAMPLE")
        for number in 0..<2 {
            try await store.beginAuthorization(
                session: session.id, provider: github, state: Secret("state-EXAMPLE-\(number)"),
                codeVerifier: Secret("verifier-EXAMPLE"), nonce: nil, fingerprint: "f", scopes: [],
                redirectURI: "https://accounts.example.com/callback/github")
        }
        _ = try await fixture.database.deviceLinks.create(
            DeviceLinkRequest(
                userID: gone.userID, provider: github, scopes: [], confirm: true, fingerprint: "f",
                deviceCode: Secret("device-EXAMPLE"), userCode: "U", verificationURI: "https://example.com",
                expiresAt: fixture.time.now() + .seconds(900), interval: .seconds(5)))
        let key = APIKeyID(at: .epoch, random: SeededRandom())
        _ = try await fixture.database.idempotency.begin(key: "k", apiKey: key, request: [1])
        _ = try await fixture.database.idempotency.begin(key: "k2", apiKey: key, request: [1])
        try await fixture.database.idempotency.finish(
            key: "k", apiKey: key, request: [1], StoredResponse(status: 201, body: [0x7b, 0x7d]))
        let account = try #require(
            try await fixture.database.accounts.account(provider: github, subject: Subject("3")!))
        return (fixture, account)
    }

    private func walk(_ step: (String?) async throws -> VaultStep) async throws -> (rows: Int, damaged: [StoreError]) {
        var rows = 0
        var damaged: [StoreError] = []
        var cursor: String?
        repeat {
            let found = try await step(cursor)
            rows += found.rows
            damaged += found.damaged
            cursor = found.next
        } while cursor != nil
        return (rows, damaged)
    }

    @Test(arguments: [1, 3, 1000])
    func `security 90: keys change while the service runs, and the old one is not needed after`(
        limit: Int
    ) async throws {
        let (fixture, account) = try await populated()
        let old = fixture.ring
        let vault = fixture.database.vault
        let new = try old.withNewPrimary(random: SeededRandom(seed: 21))
        try await vault.use(new)
        // New secrets under the new key, old ones still open.
        #expect(try await fixture.database.credentials.read(account.id)?.credential == .example())
        try await fixture.link("new")
        #expect(
            Set(try await vault.uses().map { "\($0.keyID) \($0.rows)" })
                == ["\(old.primary.id) 12", "\(new.primary.id) 1"])
        #expect(try await vault.retireUnusedKeys() == [])
        let resealed = try await walk { try await vault.reseal(after: $0, limit: limit) }
        #expect(resealed.rows == 12)
        #expect(resealed.damaged == [])
        #expect(try await vault.reseal(limit: 100) == VaultStep(rows: 0, damaged: [], next: nil))
        #expect(
            Set(try await vault.uses()) == [
                VaultUse(keyID: old.primary.id, rows: 0, isPrimary: false),
                VaultUse(keyID: new.primary.id, rows: 13, isPrimary: true),
            ])
        #expect(try await vault.retireUnusedKeys() == [old.primary.id])
        #expect(try await walk { try await vault.verify(after: $0, limit: limit) }.rows == 13)
        fixture.database.close()
        // The old key alone no longer opens the database; the new one alone does.
        #expect(throws: StoreError.wrongKey(missing: [new.primary.id])) { try fixture.another(keyRing: old) }
        let again = try fixture.another(keyRing: new.primaryAlone)
        defer { again.close() }
        #expect(try await again.credentials.read(account.id)?.credential == .example())
        #expect(
            try await again.linkSessions.consume(
                state: "state-EXAMPLE-1", provider: github, browser: "browser-EXAMPLE")?.codeVerifier
                == Secret("verifier-EXAMPLE"))
    }

    @Test func `security 90: a ring without a key in use is refused, one without an unused key is not`() async throws {
        let (fixture, _) = try await populated()
        let vault = fixture.database.vault
        let new = try fixture.ring.withNewPrimary(random: SeededRandom(seed: 21))
        #expect(
            await storeError { try await vault.use(new.primaryAlone) }
                == .wrongKey(missing: [fixture.ring.primary.id]))
        #expect(vault.keyRing.primary.id == fixture.ring.primary.id)
        try await vault.use(new)
        let other = await storeError { try await vault.use(new.primaryAlone) }
        #expect(other == .wrongKey(missing: [fixture.ring.primary.id]))
        _ = try await walk { try await vault.reseal(after: $0, limit: 100) }
        try await vault.use(new.primaryAlone)
        fixture.database.close()
        // The old key is still listed, but nothing needs it.
        try fixture.another(keyRing: new.primaryAlone).close()
    }

    @Test func `a process with the older ring names the key it lacks`() async throws {
        let (fixture, account) = try await populated()
        let other = try fixture.another()
        defer { other.close() }
        let new = try fixture.ring.withNewPrimary(random: SeededRandom(seed: 21))
        try await other.vault.use(new)
        _ = try await other.vault.reseal(limit: 1000)
        #expect(
            await storeError { try await fixture.database.credentials.read(account.id) }
                == .credentialDamaged(account.id, missingKey: new.primary.id))
        // It does not throw away what it can't open.
        fixture.time.advance(by: .seconds(61))
        #expect(
            try await fixture.database.revocations.due(now: fixture.time.now(), owner: "a", lease: .seconds(1)).isEmpty)
        #expect(try await fixture.database.revocations.count() == 1)
    }

    @Test func `security 90: a process with the older ring reads its source again, and no read or write fails`()
        async throws
    {
        let (fixture, account) = try await populated()
        let new = try fixture.ring.withNewPrimary(random: SeededRandom(seed: 21))
        let file = Mutex(fixture.ring)
        let reads = Atomic(0)
        let other = try Database(
            path: fixture.path, keyRing: fixture.ring,
            rereadingKeysFrom: {
                reads.add(1, ordering: .relaxed)
                return file.withLock { $0 }
            }, time: fixture.time, random: SeededRandom(seed: 4))
        defer { other.close() }
        #expect(try await other.credentials.read(account.id)?.credential == .example())
        #expect(reads.load(ordering: .relaxed) == 0)
        file.withLock { $0 = new }
        try await fixture.database.vault.use(new)
        _ = try await walk { try await fixture.database.vault.reseal(after: $0, limit: 100) }
        #expect(try await fixture.database.vault.retireUnusedKeys() == [fixture.ring.primary.id])
        file.withLock { $0 = new.primaryAlone }
        // A write first: it seals with a key of which this process has not heard, never with the retired one.
        let key = APIKeyID(at: .epoch, random: SeededRandom())
        _ = try await other.idempotency.begin(key: "k3", apiKey: key, request: [1])
        try await other.idempotency.finish(
            key: "k3", apiKey: key, request: [1], StoredResponse(status: 201, body: []))
        #expect(try await other.credentials.read(account.id)?.credential == .example())
        #expect(
            try await other.linkSessions.consume(
                state: "state-EXAMPLE-1", provider: github, browser: "browser-EXAMPLE") != nil)
        #expect(
            try await other.idempotency.begin(key: "k3", apiKey: key, request: [1])
                == .repeated(StoredResponse(status: 201, body: [])))
        #expect(try await other.vault.verify(limit: 1000).damaged == [])
        #expect(reads.load(ordering: .relaxed) == 1)
        #expect(
            try await fixture.database.vault.uses()
                == [VaultUse(keyID: new.primary.id, rows: 12, isPrimary: true)])
        // Keys once known stay with the process: a read that began before the change may need one.
        #expect(other.vault.keyRing.contains(fixture.ring.primary.id))
    }

    @Test func `security 90: a ring read before the keys changed does not bring the old primary key back`() async throws
    {
        let (fixture, _) = try await populated()
        let new = try fixture.ring.withNewPrimary(random: SeededRandom(seed: 21))
        try await fixture.database.vault.use(new)
        let late = try Database(
            path: fixture.path, keyRing: fixture.ring, rereadingKeysFrom: { new }, time: fixture.time,
            random: SeededRandom(seed: 4))
        defer { late.close() }
        #expect(late.vault.keyRing.primary.id == new.primary.id)
        try await late.vault.use(fixture.ring)
        #expect(try await late.vault.uses().filter(\.isPrimary).map(\.keyID) == [new.primary.id])
        // Whoever puts another known key first means it.
        let back = try #require(new.withPrimary(fixture.ring.primary.id))
        try await late.vault.use(back)
        #expect(try await late.vault.uses().filter(\.isPrimary).map(\.keyID) == [fixture.ring.primary.id])
        let account = try await fixture.link("after")
        let row = try await fixture.database.maintain { db in
            try db.first("SELECT key_id FROM credential WHERE account_id = ?", account.id)?.text(0)
        }
        #expect(row == fixture.ring.primary.id)
    }

    @Test func `security 90: a source that can't be read leaves the key unknown and the row as it is`() async throws {
        struct Unreadable: Error {}
        let (fixture, account) = try await populated()
        let other = try Database(
            path: fixture.path, keyRing: fixture.ring, rereadingKeysFrom: { throw Unreadable() }, time: fixture.time,
            random: SeededRandom(seed: 4))
        defer { other.close() }
        let new = try fixture.ring.withNewPrimary(random: SeededRandom(seed: 21))
        try await fixture.database.vault.use(new)
        _ = try await walk { try await fixture.database.vault.reseal(after: $0, limit: 100) }
        #expect(
            await storeError { try await other.credentials.read(account.id) }
                == .credentialDamaged(account.id, missingKey: new.primary.id))
        let written = await storeError {
            try await other.linkSessions.consume(
                state: "state-EXAMPLE-1", provider: github, browser: "browser-EXAMPLE")
        }
        #expect(written == .damaged("an authorization request"))
        #expect(
            try await fixture.database.linkSessions.consume(
                state: "state-EXAMPLE-1", provider: github, browser: "browser-EXAMPLE") != nil)
    }

    /// A column that somebody adds and forgets here would keep needing an old key, or lie in the clear.
    @Test func `security 91: every BLOB of the schema is sealed or a hash, and every sealed table can be walked`()
        async throws
    {
        let fixture = try Fixture()
        let columns = try await fixture.database.maintain { db in
            try db.rows(
                """
                SELECT s.name, c.name, c.type FROM sqlite_schema s JOIN pragma_table_info(s.name) c
                WHERE s.type = 'table' ORDER BY s.name, c.cid
                """
            ).map { (table: try $0.text(0), column: try $0.text(1), type: try $0.text(2)) }
        }
        let blobs = columns.filter { $0.type == "BLOB" && $0.table != "key_check" }
        let sealed = blobs.filter { !$0.column.hasSuffix("hash") && !$0.column.hasSuffix("digest") }
        let listed = SealedTable.all.flatMap { table in table.columns.map { "\(table.name).\($0)" } }
        #expect(sealed.map { "\($0.table).\($0.column)" }.sorted() == listed.sorted())
        #expect(
            columns.filter { $0.column == "key_id" && $0.table != "key_check" }.map(\.table)
                == SealedTable.all.map(\.name).sorted())
        for table in SealedTable.all {
            for byKey in [true, false] {
                let plan = try await fixture.database.maintain { db in
                    let statement = try db.makeStatement(sql: "EXPLAIN QUERY PLAN " + table.select(under: byKey))
                    return try Row.fetchAll(statement, arguments: ["k", 1, 1]).map { try $0.text(3) }
                }
                #expect(plan.first?.hasPrefix("SEARCH t USING") == true, "\(plan)")
                #expect(!byKey || plan.first?.contains("(key_id=? AND rowid>?)") == true, "\(plan)")
                #expect(!plan.contains { $0.contains("TEMP B-TREE") || $0.hasPrefix("SCAN") }, "\(plan)")
            }
        }
    }

    @Test func `security 89: what does not open is named, and neither stops the walk nor is sealed anew`() async throws
    {
        let (fixture, account) = try await populated()
        let id = account.id.rawValue
        try await fixture.database.maintain { db in
            try db.run("UPDATE credential SET refresh_token = access_token WHERE account_id = '\(id)'")
            try db.run("UPDATE revocation SET access_token = zeroblob(40)")
        }
        let vault = fixture.database.vault
        let expected: [StoreError] = [.credentialDamaged(account.id), .damaged("a row of revocation")]
        let verified = try await walk { try await vault.verify(after: $0, limit: 2) }
        #expect(verified.damaged == expected)
        #expect(verified.rows == 10)
        try await vault.use(fixture.ring.withNewPrimary(random: SeededRandom(seed: 21)))
        let resealed = try await walk { try await vault.reseal(after: $0, limit: 2) }
        #expect(resealed.damaged == expected)
        #expect(resealed.rows == 10)
        #expect(try await vault.uses().first { $0.keyID == fixture.ring.primary.id }?.rows == 2)
        #expect(try await vault.retireUnusedKeys() == [])
    }

    @Test func `security 89: what was sealed for one account of a user does not open at another`() async throws {
        let fixture = try Fixture()
        let one = try await fixture.link("1", user: "same")
        let two = try await fixture.link("2", user: "same")
        try await fixture.database.maintain { db in
            try db.run(
                """
                UPDATE credential SET access_token =
                    (SELECT access_token FROM credential AS other WHERE other.account_id = '\(one.id.rawValue)')
                WHERE account_id = '\(two.id.rawValue)'
                """)
        }
        #expect(try await fixture.database.credentials.read(one.id) != nil)
        let error = await storeError { try await fixture.database.credentials.read(two.id) }
        #expect(error == .credentialDamaged(two.id))
    }

    @Test func `a cursor that is none is refused`() async throws {
        let fixture = try Fixture()
        for cursor in ["", "x", "99||1", "-1||1", "0||x", "0|1"] {
            let error = await storeError { try await fixture.database.vault.verify(after: cursor, limit: 1) }
            #expect(error == .inconsistent("after: not a cursor of this walk"))
        }
    }
}

@Suite(.timeLimit(.minutes(10))) struct ErasureTests {
    @Test func `security 75, 91: tokens are never in the clear, and nothing of an unlinked account is left`()
        async throws
    {
        let fixture = try Fixture()
        // Bystanders around it, so that its rows share pages with others.
        for number in 0..<30 { try await fixture.link("\(number)") }
        let secrets = [
            "access-MARKER-EXAMPLE", "refresh-MARKER-EXAMPLE", "access-MARKER-SECOND", "refresh-MARKER-SECOND",
        ]
        let personal = [
            "Name-MARKER-EXAMPLE", "mail-MARKER@example.com", "user-MARKER-EXAMPLE", "Name-MARKER-SECOND",
            "etag-MARKER",
        ]
        func profile(_ name: String) throws -> Profile {
            // Long enough for overflow pages.
            var profile = try Profile.example(
                "777", name: name, email: personal[1], username: personal[2],
                validators: ["user": Validators(etag: "\"etag-MARKER\"")])
            profile.raw = #"{"user":{"bio":"\#(String(repeating: name, count: 500))"}}"#
            return profile
        }
        let account = try await fixture.link(
            "777", credential: .example(access: secrets[0], refresh: secrets[1]), profile: profile(personal[0]),
            nextSyncAfter: .zero)
        let found = try #require(
            try await fixture.database.schedule.claim(account.id, owner: "a", lease: .seconds(60)))
        let patch = #"[{"op":"replace","path":"/claims/name","value":"\#(personal[3])"}]"#
        let result = SyncResult(
            content: .profile(try profile(personal[3]), difference: { _, _ in patch }), at: fixture.time.now(),
            nextSyncAt: nil)
        #expect(try await fixture.database.schedule.record(result, for: found))
        _ = try await fixture.database.credentials.beginRefresh(account.id, owner: "a", lease: .seconds(60))
        #expect(
            try await fixture.database.credentials.commitRefresh(
                account.id, owner: "a", from: 1, .example(access: secrets[2], refresh: secrets[3])))
        for number in 100..<110 { try await fixture.link("\(number)") }
        for checkpoint in [false, true] {
            if checkpoint { #expect(try await fixture.database.checkpoint()) }
            for secret in secrets { #expect(try fixture.filesContain(secret) == false, "\(secret)") }
        }
        for text in personal.dropFirst() { #expect(try fixture.filesContain(text), "\(text)") }

        let unlinked = try #require(try await fixture.database.accounts.unlink(account.id))
        try await fixture.database.revocations.done(#require(unlinked.revocation).id)
        #expect(try await fixture.database.checkpoint())
        for text in secrets + personal { #expect(try fixture.filesContain(text) == false, "\(text)") }
        try await fixture.database.checkIntegrity()
        // The feed keeps that there was a change, and no longer what it was.
        #expect(try await fixture.changes().filter { $0.accountID == account.id }.map(\.patch) == [nil, nil, nil, nil])
    }

    @Test func `security 75: a replaced profile leaves nothing of the old one in the file`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link(profile: .example(name: "Old-MARKER-EXAMPLE"), nextSyncAfter: .zero)
        let found = try #require(
            try await fixture.database.schedule.claim(account.id, owner: "a", lease: .seconds(60)))
        let result = SyncResult(
            content: .profile(try .example(name: "New"), difference: nil), at: fixture.time.now(), nextSyncAt: nil)
        #expect(try await fixture.database.schedule.record(result, for: found))
        #expect(try await fixture.database.checkpoint())
        #expect(try fixture.filesContain("Old-MARKER-EXAMPLE") == false)
    }

    @Test func `a reader in the way puts the checkpoint off`() async throws {
        let fixture = try Fixture(busyTimeout: .zero)
        try await fixture.link()
        let other = try fixture.another(busyTimeout: .zero)
        defer { other.close() }
        let reading = AsyncStream.makeStream(of: Void.self)
        let end = DispatchSemaphore(value: 0)
        async let holding: Void = other.maintain { db in
            try db.inTransaction(.deferred) {
                _ = try db.first("SELECT count(*) FROM change")
                reading.continuation.yield()
                end.wait()
                return .commit
            }
        }
        for await _ in reading.stream { break }
        try await fixture.link("2")
        #expect(try await fixture.database.checkpoint() == false)
        end.signal()
        try await holding
        #expect(try await fixture.database.checkpoint())
    }
}
