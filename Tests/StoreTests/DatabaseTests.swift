import Accounts
import Cryptography
import Foundation
import GRDB
import TestSupport
import Testing

@testable import Store

@Suite(.timeLimit(.minutes(10))) struct DatabaseTests {
    @Test func `security 61, 75: what is committed reaches the disk, claims apart, and what is erased is overwritten`()
        async throws
    {
        let fixture = try Fixture()
        let pragmas = try await fixture.database.maintain { db in
            try ["synchronous", "secure_delete", "foreign_keys", "busy_timeout"].map { name in
                try db.first("PRAGMA \(name)")?.int64(0)
            }
        }
        #expect(pragmas == [2, 1, 1, 5000])
        let mode = try await fixture.database.maintain { db in try db.first("PRAGMA journal_mode")?.text(0) }
        #expect(mode == "wal")
    }

    @Test func `security 92: files are for their owner alone`() throws {
        let fixture = try Fixture()
        #expect(DatabaseFile.mode(of: fixture.directory) == 0o700)
        for suffix in ["", "-wal", "-shm"] {
            #expect(DatabaseFile.mode(of: fixture.path + suffix) == 0o600, "\(suffix)")
        }
        #expect(fixture.database.warnings == [])
    }

    @Test func `security 92: an open file is closed to others and an open directory is named`() throws {
        let fixture = try Fixture()
        fixture.database.close()
        chmod(fixture.path, 0o644)
        chmod(fixture.directory, 0o755)
        let again = try fixture.another()
        defer { again.close() }
        #expect(DatabaseFile.mode(of: fixture.path) == 0o600)
        #expect(again.warnings == ["the directory \(fixture.directory) is open to other users: chmod 700 it"])
    }

    @Test func `the schema is the golden one`() async throws {
        let fixture = try Fixture()
        let schema = try await fixture.database.maintain { db in
            try db.rows("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type, name").map {
                try $0.text(0)
            }
        }
        let text = schema.map { $0 + ";\n" }.joined()
        // The whole text to take over, where the change is meant.
        if text != goldenSchema { Attachment.record(Array(text.utf8), named: "schema.sql") }
        #expect(text == goldenSchema)
    }

    @Test func `every table is strict`() async throws {
        let fixture = try Fixture()
        let loose = try await fixture.database.maintain { db in
            try db.rows("SELECT name FROM pragma_table_list WHERE schema = 'main' AND NOT strict").map {
                try $0.text(0)
            }
        }
        #expect(loose.sorted() == ["sqlite_schema", "sqlite_sequence"])
    }

    @Test func `opening again applies no migration twice`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link()
        fixture.database.close()
        let again = try fixture.another()
        defer { again.close() }
        #expect(try await again.accounts.account(account.id) == account)
        try await again.check()
    }

    @Test func `a later migration is applied to a database in use`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link()
        fixture.database.close()
        let later = Migration(name: "9998_add_note.sql", sql: "ALTER TABLE linked_account ADD COLUMN note TEXT;")
        let migrated = try Database(
            path: fixture.path, migrations: Migration.all + [later], keyRing: fixture.ring, time: fixture.time,
            random: fixture.random, busyTimeout: .seconds(5))
        #expect(try await migrated.accounts.account(account.id) == account)
        migrated.close()
        #expect(throws: StoreError.newerDatabase(migration: "9998_add_note.sql")) { try fixture.another() }
    }

    @Test func `a migration that fails leaves nothing behind`() async throws {
        let fixture = try Fixture()
        fixture.database.close()
        let broken = Migration(
            name: "9998_break.sql", sql: "CREATE TABLE half_done (a INTEGER) STRICT; CREATE TABLE change (a INTEGER);")
        #expect(throws: StoreError.self) {
            try Database(
                path: fixture.path, migrations: Migration.all + [broken], keyRing: fixture.ring, time: fixture.time,
                random: fixture.random, busyTimeout: .seconds(5))
        }
        let again = try fixture.another()
        defer { again.close() }
        let found = try await again.maintain { db in
            try db.first("SELECT 1 FROM sqlite_schema WHERE name = 'half_done'") != nil
        }
        #expect(!found)
    }

    @Test func `a newer database is refused and not touched`() async throws {
        let fixture = try Fixture()
        try await fixture.database.maintain { db in
            try db.run("INSERT INTO migration (name, sha256, applied_at) VALUES ('9999_from_the_future.sql', 'x', 0)")
        }
        fixture.database.close()
        let before = try Data(contentsOf: URL(filePath: fixture.path))
        #expect(throws: StoreError.newerDatabase(migration: "9999_from_the_future.sql")) { try fixture.another() }
        #expect(try Data(contentsOf: URL(filePath: fixture.path)) == before)
    }

    @Test func `an applied migration that was edited is refused`() async throws {
        let fixture = try Fixture()
        fixture.database.close()
        var edited = Migration.all
        edited[0].sql += "-- one more comment"
        #expect(throws: StoreError.editedMigration(edited[0].name)) {
            try Database(
                path: fixture.path, migrations: edited, keyRing: fixture.ring, time: fixture.time,
                random: fixture.random, busyTimeout: .seconds(5))
        }
    }

    @Test func `a wrong key is refused by name and nothing is written`() async throws {
        let fixture = try Fixture()
        try await fixture.link()
        fixture.database.close()
        let before = try Data(contentsOf: URL(filePath: fixture.path))
        let other = try KeyRing.generate(random: SeededRandom(seed: 8))
        #expect(throws: StoreError.wrongKey(missing: [fixture.ring.primary.id])) {
            try fixture.another(keyRing: other)
        }
        #expect(try Data(contentsOf: URL(filePath: fixture.path)) == before)
        try fixture.another().close()
    }

    @Test func `a key check that does not open under its own key is damage`() async throws {
        let fixture = try Fixture()
        try await fixture.database.maintain { db in try db.run("UPDATE key_check SET sealed = zeroblob(64)") }
        fixture.database.close()
        #expect(throws: StoreError.damaged("the check of key \(fixture.ring.primary.id)")) { try fixture.another() }
    }

    @Test func `another program's database is refused`() throws {
        let directory = Fixture.newDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }  // in the temporary directory
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let path = Fixture.path(in: directory)
        let ring = try KeyRing.generate(random: SeededRandom())
        try Data("This is a letter, not a database. ".utf8).write(to: URL(filePath: path))
        #expect(throws: StoreError.notADatabase) {
            try Database(path: path, keyRing: ring, time: VirtualTime(), random: SeededRandom())
        }
        #expect(try Data(contentsOf: URL(filePath: path)) == Data("This is a letter, not a database. ".utf8))
    }

    @Test func `a database without our mark is refused`() async throws {
        let fixture = try Fixture()
        try await fixture.database.maintain { db in try db.run("PRAGMA application_id = 7") }
        fixture.database.close()
        #expect(throws: StoreError.notADatabase) { try fixture.another() }
    }

    @Test func `a damaged page is reported as damage`() async throws {
        let fixture = try Fixture()
        for number in 0..<50 { try await fixture.link("\(1000 + number)") }
        try await fixture.database.checkpoint()
        fixture.database.close()
        let handle = try FileHandle(forUpdating: URL(filePath: fixture.path))
        let size = try handle.seekToEnd()
        // All but the first pages, which hold the schema.
        try handle.seek(toOffset: size / 2)
        try handle.write(contentsOf: Data(repeating: 0xa5, count: Int(size / 2)))
        try handle.close()
        let error = await storeError {
            let again = try fixture.another()
            defer { again.close() }
            try await again.checkIntegrity()
        }
        #expect(error == .corrupt)
    }

    @Test func `a full disk undoes the transaction and the next one works`() async throws {
        let fixture = try Fixture()
        try await fixture.link("1")
        try await fixture.database.maintain { db in
            let pages = try db.first("PRAGMA page_count")?.int64(0) ?? 0
            try db.run("PRAGMA max_page_count = \(pages)")
        }
        let large = try Profile.example("2", name: String(repeating: "x", count: 100_000))
        let error = await storeError { try await fixture.link("2", profile: large) }
        #expect(error == .diskFull)
        #expect(try await fixture.database.accounts.account(provider: github, subject: Subject("2")!) == nil)
        #expect(try await fixture.kinds() == [.accountLinked, .profileCreated])
        try await fixture.database.maintain { db in try db.run("PRAGMA max_page_count = 1073741823") }
        try await fixture.link("2", profile: large)
    }

    @Test func `a database that another program holds is locked, not broken`() async throws {
        let fixture = try Fixture(busyTimeout: .zero)
        let other = try fixture.another(busyTimeout: .zero)
        defer { other.close() }
        let begun = AsyncStream.makeStream(of: Void.self)
        let end = DispatchSemaphore(value: 0)
        async let holding: Void = other.maintain { db in
            try db.inTransaction(.immediate) {
                begun.continuation.yield()
                end.wait()
                return .rollback
            }
        }
        for await _ in begun.stream { break }
        #expect(await storeError { try await fixture.link() } == .locked)
        end.signal()
        try await holding
        try await fixture.link()
    }

    /// SQLite's refusal by a switch; a file that can't be written is `RollcallTests/CommandTests`' own.
    @Test func `a write that is refused as read-only says so`() async throws {
        let fixture = try Fixture()
        try await fixture.database.maintain { db in try db.run("PRAGMA query_only = ON") }
        #expect(await storeError { try await fixture.link() } == .readOnly)
    }

    @Test func `a closed database refuses everything`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link()
        fixture.database.close()
        fixture.database.close()
        #expect(await storeError { try await fixture.database.accounts.account(account.id) } == .closed)
        #expect(await storeError { try await fixture.link("2") } == .closed)
        #expect(await storeError { try await fixture.database.check() } == .closed)
        #expect(throws: StoreError.closed) { try fixture.database.profiles.document(account: account.id) }
        #expect(throws: StoreError.closed) { try fixture.database.apiKeys.authenticate("rck_EXAMPLE") }
    }

    @Test func `a directory that can't be made is refused`() throws {
        let ring = try KeyRing.generate(random: SeededRandom())
        #expect(throws: StoreError.self) {
            try Database(
                path: "/proc/nowhere/rollcall.sqlite", keyRing: ring, time: VirtualTime(), random: SeededRandom())
        }
    }

    @Test func `a transaction that was begun ends though its task is cancelled`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link()
        let task = Task {
            while !Task.isCancelled { await Task.yield() }
            let store = fixture.database.credentials
            guard case .claimed = try await store.beginRefresh(account.id, owner: "a", lease: .seconds(60)) else {
                return false
            }
            return try await store.commitRefresh(
                account.id, owner: "a", from: 1, .example(access: "access-EXAMPLE-2", refresh: "refresh-EXAMPLE-2"))
        }
        task.cancel()
        #expect(try await task.value)
        #expect(try await fixture.database.credentials.read(account.id)?.generation == 2)
    }

    @Test func `every error says what to do`() {
        let id = AccountID(at: .epoch, random: SeededRandom())
        let errors: [StoreError] = [
            .diskFull, .locked, .readOnly, .corrupt, .notADatabase, .newerDatabase(migration: "0009_x.sql"),
            .editedMigration("0001_x.sql"), .wrongKey(missing: ["00ff"]), .credentialDamaged(id),
            .credentialDamaged(id, missingKey: "00ff"), .damaged("a row"), .alreadyServing(pid: 7),
            .alreadyServing(pid: nil), .closed, .inconsistent("why"), .io("disk I/O error"),
        ]
        #expect(Set(errors.map(\.description)).count == errors.count)
    }

    @Test func `one process serves at a time`() throws {
        let directory = Fixture.newDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }  // in the temporary directory
        let path = Fixture.path(in: directory)
        let lock = try ServiceLock.acquire(databasePath: path)
        #expect(throws: StoreError.alreadyServing(pid: getpid())) { try ServiceLock.acquire(databasePath: path) }
        lock.release()
        lock.release()
        let next = try ServiceLock.acquire(databasePath: path)
        #expect(DatabaseFile.mode(of: path + ".lock") == 0o600)
        next.release()
    }
}
