import Accounts
package import Cryptography
import GRDB

package struct VaultUse: Sendable, Equatable {
    package var keyID: String
    package var rows: Int
}

/// One step of a walk over everything that is sealed.
package struct VaultStep: Sendable, Equatable {
    /// Rows looked at that open, or were sealed anew.
    package var rows: Int
    /// What does not open.
    package var damaged: [StoreError]
    /// Where the next step begins; `nil` at the end.
    package var next: String?
}

/// Keys change while the service runs: what is sealed moves to the primary key a step at a time.
package struct VaultStore: Sendable {
    let connections: Connections

    package var keyRing: KeyRing { connections.vault.ring }

    /// Takes a new ring into use, as after the key file changed: new secrets are sealed with its primary key from now on.
    /// Throws `.wrongKey` where it lacks a key in use.
    package func use(_ keyRing: KeyRing) async throws(StoreError) {
        let vault = connections.vault
        try await connections.write { transaction in
            try KeyCheck.check(keyRing, transaction.db)
            try KeyCheck.list(keyRing, transaction.db)
        }
        vault.replace(with: keyRing)
    }

    /// Seals up to `limit` rows that are under another key anew under the primary one, in one transaction.
    package func reseal(after cursor: String? = nil, limit: Int) async throws(StoreError) -> VaultStep {
        try await connections.write { transaction in
            let ring = transaction.ring
            return try Self.step(transaction, cursor, notUnder: ring.primary.id, limit) { table, row in
                let boxes = try zip(row.columns, row.open(ring)).map { column, plaintext in
                    try plaintext.map { try ring.seal($0, at: column.place) }
                }
                try table.update(row, keyID: ring.primary.id, boxes: boxes, transaction.db)
            }
        }
    }

    /// Opens everything that is sealed, up to `limit` rows a step.
    package func verify(after cursor: String? = nil, limit: Int) async throws(StoreError) -> VaultStep {
        try await connections.read { transaction in
            try Self.step(transaction, cursor, notUnder: nil, limit) { _, row in _ = try row.open(transaction.ring) }
        }
    }

    private static func step(
        _ transaction: Transaction, _ cursor: String?, notUnder keyID: String?, _ limit: Int,
        _ body: (SealedTable, SealedRow) throws -> Void
    ) throws -> VaultStep {
        // A cursor is the place of a table and the last key done in it.
        let parts = (cursor ?? "0|").split(separator: "|", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let first = Int(parts[0]), SealedTable.all.indices.contains(first) else {
            throw StoreError.inconsistent("after: not a cursor of this walk")
        }
        var step = VaultStep(rows: 0, damaged: [])
        var key = String(parts[1])
        var left = limit
        for (index, table) in SealedTable.all.enumerated().dropFirst(first) {
            let rows = try table.rows(after: key, notUnder: keyID, limit: left, transaction.db)
            for row in rows {
                do {
                    try body(table, row)
                    step.rows += 1
                } catch let error as SealingError { step.damaged.append(row.error(error)) }
            }
            left -= rows.count
            if left == 0, let last = rows.last {
                step.next = "\(index)|\(last.key)"
                return step
            }
            key = ""
        }
        return step
    }

    /// How many rows need which key; a key in the list that none needs has 0.
    package func uses() async throws(StoreError) -> [VaultUse] {
        try await connections.read { transaction in
            try transaction.db.rows("SELECT key_id FROM key_check ORDER BY key_id").map { row in
                let keyID = try row.text(0)
                let counts = try SealedTable.all.map { table in
                    try transaction.db.first("SELECT count(*) FROM \(table.name) WHERE key_id = ?", keyID)?.int(0) ?? 0
                }
                return VaultUse(keyID: keyID, rows: counts.reduce(0, +))
            }
        }
    }

    /// Forgets keys that no row needs and that are not the primary one; returns their ids. The database opens without them
    /// from then on.
    package func retireUnusedKeys() async throws(StoreError) -> [String] {
        try await connections.write { transaction in
            let listed = try transaction.db.rows("SELECT key_id FROM key_check ORDER BY key_id").map { try $0.text(0) }
            let unused = try listed.filter { keyID in
                try keyID != transaction.ring.primary.id && !KeyCheck.isNeeded(keyID, transaction.db)
            }
            for keyID in unused { try transaction.db.run("DELETE FROM key_check WHERE key_id = ?", keyID) }
            return unused
        }
    }
}
