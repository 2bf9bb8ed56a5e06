import Accounts
import Cryptography
import GRDB

/// The files in `migrations/`, built into the program: applied in order, each in one transaction, and never again.
struct Migration: Sendable {
    /// The file's name; its first four characters are the number.
    var name: String
    var sql: String

    var sha256: String { Hexadecimal.encode(Digest.sha256(Array(sql.utf8))) }

    static let all = EmbeddedFiles.all.map { Migration(name: $0.name, sql: $0.text) }

    /// Marks the file as ours ("Roll" in ASCII), so that another program's database is refused.
    static let applicationID: Int64 = 0x526f_6c6c

    /// Throws `.notADatabase`, `.newerDatabase` or `.editedMigration`; writes nothing. Returns how many are applied.
    static func check(_ migrations: [Migration], _ db: Connection) throws -> Int {
        let tables = try db.first("SELECT count(*) FROM sqlite_schema")?.int(0) ?? 0
        if tables == 0 { return 0 }
        let application = try db.first("PRAGMA application_id")?.int64(0)
        let hasTable = try db.first("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'migration'") != nil
        guard application == applicationID, hasTable else { throw StoreError.notADatabase }
        let applied = try db.rows("SELECT name, sha256 FROM migration ORDER BY name")
        for (index, row) in applied.enumerated() {
            let name = try row.text(0)
            guard index < migrations.count else { throw StoreError.newerDatabase(migration: name) }
            let known = migrations[index]
            if known.name != name {
                // One we know under a later place was skipped; one we don't know came from a newer program.
                let isKnown = migrations.contains { $0.name == name }
                throw isKnown ? StoreError.editedMigration(known.name) : StoreError.newerDatabase(migration: name)
            }
            guard try row.text(1) == known.sha256 else { throw StoreError.editedMigration(name) }
        }
        return applied.count
    }

    /// Applies what is missing. Safe against another process that does the same.
    static func apply(_ migrations: [Migration], _ db: Connection, now: Timestamp) throws {
        while true {
            var isDone = false
            try db.inTransaction(.immediate) {
                let applied = try check(migrations, db)
                guard applied < migrations.count else {
                    isDone = true
                    return .commit
                }
                if applied == 0 {
                    try db.execute(
                        sql: """
                            PRAGMA application_id = \(applicationID);
                            CREATE TABLE migration (
                                name TEXT NOT NULL PRIMARY KEY,
                                sha256 TEXT NOT NULL,
                                applied_at INTEGER NOT NULL
                            ) STRICT, WITHOUT ROWID;
                            """)
                }
                let next = migrations[applied]
                try db.execute(sql: next.sql)
                try db.run(
                    "INSERT INTO migration (name, sha256, applied_at) VALUES (?, ?, ?)", next.name, next.sha256, now)
                return .commit
            }
            if isDone { return }
        }
    }
}
