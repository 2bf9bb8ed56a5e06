import Cryptography

/// `key_check`: which keys this database is sealed with.
enum KeyCheck {
    private static let plaintext = Array("rollcall".utf8)

    private static func place(_ keyID: String) -> SealedPlace {
        SealedPlace(table: "key_check", column: "sealed", row: keyID)
    }

    /// Throws `.wrongKey` where the ring lacks a key that the database needs, or has another under its id. Writes nothing.
    /// A listed key that no row needs any more may be missing, as long as the ring has one of the others.
    static func check(_ ring: KeyRing, _ db: Connection) throws {
        var missing: [String] = []
        var found = 0
        for row in try db.rows("SELECT key_id, sealed FROM key_check ORDER BY key_id") {
            let keyID = try row.text(0)
            do {
                guard try ring.open(row.bytes(1), keyID: keyID, at: place(keyID)) == plaintext else {
                    throw SealingError.damaged
                }
                found += 1
            } catch SealingError.unknownKey { missing.append(keyID) } catch is SealingError {
                throw StoreError.damaged("the check of key \(keyID)")
            }
        }
        if missing.isEmpty { return }
        if found == 0 { throw StoreError.wrongKey(missing: missing) }
        let needed = try missing.filter { try isNeeded($0, db) }
        if !needed.isEmpty { throw StoreError.wrongKey(missing: needed) }
    }

    /// Checks the ring, and makes its primary key the one that seals. A ring that was read before another process rotated
    /// keys is read again. Returns the ring to use.
    static func settle(_ ring: KeyRing, _ vault: Vault, _ db: Connection) throws -> KeyRing {
        var ring = ring
        if try !listed(db).allSatisfy(ring.contains), let newer = vault.reread() { ring = newer }
        try check(ring, db)
        try list(ring, db)
        return ring
    }

    /// Lists the ring's primary key, before anything is sealed with it, and makes it the one that seals.
    private static func list(_ ring: KeyRing, _ db: Connection) throws {
        let keyID = ring.primary.id
        if try primaryID(db) == keyID { return }
        if try db.first("SELECT 1 FROM key_check WHERE key_id = ?", keyID) == nil {
            try db.run(
                "INSERT INTO key_check (key_id, sealed) VALUES (?, ?)", keyID, ring.seal(plaintext, at: place(keyID)))
        }
        try db.run("UPDATE key_check SET is_primary = 0 WHERE is_primary = 1")
        try db.run("UPDATE key_check SET is_primary = 1 WHERE key_id = ?", keyID)
    }

    /// The key that seals.
    static func primaryID(_ db: Connection) throws -> String? {
        try db.first("SELECT key_id FROM key_check WHERE is_primary = 1")?.text(0)
    }

    static func listed(_ db: Connection) throws -> [String] {
        try db.rows("SELECT key_id FROM key_check ORDER BY key_id").map { try $0.text(0) }
    }

    static func isNeeded(_ keyID: String, _ db: Connection) throws -> Bool {
        // A database about to be migrated may not have them all yet.
        try SealedTable.all.contains { table in
            try db.first("SELECT 1 FROM sqlite_schema WHERE name = ?", table.name) != nil
                && db.first("SELECT 1 FROM \(table.name) WHERE key_id = ? LIMIT 1", keyID) != nil
        }
    }
}
