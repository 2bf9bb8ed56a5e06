import Accounts
package import Cryptography
import GRDB

package struct VaultUse: Sendable, Hashable {
    package var keyID: String
    package var rows: Int
    /// New secrets are sealed with it.
    package var isPrimary: Bool
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

/// Keys change while the service runs: what is sealed moves to the primary key a step at a time, and every process that
/// seals or opens learns of the new key from the database and the source of its key ring.
package struct VaultStore: Sendable {
    let connections: Connections

    package var keyRing: KeyRing { connections.vault.ring }

    /// Takes a new ring into use, as after the key file changed. From the moment this returns every process seals with its
    /// primary key. Throws `.wrongKey` where it lacks a key in use.
    package func use(_ keyRing: KeyRing) async throws(StoreError) {
        let vault = connections.vault
        let settled = try await connections.write { try KeyCheck.settle(keyRing, vault, $0.db) }
        vault.use(settled)
    }

    /// Seals up to `limit` rows that are under another key anew under the primary one, in one transaction.
    package func reseal(after cursor: String? = nil, limit: Int) async throws(StoreError) -> VaultStep {
        try await connections.write { transaction in
            let ring = transaction.ring
            let primary = try ring.primary.id
            let old = try KeyCheck.listed(transaction.db).filter { $0 != primary }
            return try Self.step(transaction, cursor, under: old, limit) { table, row in
                let boxes = try zip(row.columns, row.open(ring)).map { column, plaintext in
                    try plaintext.map { try ring.seal($0, at: column.place) }
                }
                try table.update(row, keyID: primary, boxes: boxes, transaction.db)
            }
        }
    }

    /// Opens everything that is sealed, up to `limit` rows a step.
    package func verify(after cursor: String? = nil, limit: Int) async throws(StoreError) -> VaultStep {
        try await connections.read { transaction in
            try Self.step(transaction, cursor, under: [nil], limit) { _, row in _ = try row.open(transaction.ring) }
        }
    }

    /// - Parameter keyIDs: `nil` stands for every key.
    private static func step(
        _ transaction: Transaction, _ cursor: String?, under keyIDs: [String?], _ limit: Int,
        _ body: (SealedTable, SealedRow) throws -> Void
    ) throws -> VaultStep {
        let start = try VaultCursor(cursor)
        var step = VaultStep(rows: 0, damaged: [])
        var left = limit
        for (index, table) in SealedTable.all.enumerated().dropFirst(start.table) {
            for keyID in keyIDs where index > start.table || (keyID ?? "") >= start.keyID {
                let isStart = index == start.table && keyID ?? "" == start.keyID
                let rows = try table.rows(
                    after: isStart ? start.rowID : .min, under: keyID, limit: left, transaction.db)
                for row in rows {
                    do {
                        try body(table, row)
                        step.rows += 1
                    } catch let error as SealingError { step.damaged.append(row.error(error)) }
                }
                left -= rows.count
                if left == 0, let last = rows.last {
                    step.next = VaultCursor(table: index, keyID: keyID ?? "", rowID: last.rowID).text
                    return step
                }
            }
        }
        return step
    }

    /// How many rows need which key; a key in the list that none needs has 0.
    package func uses() async throws(StoreError) -> [VaultUse] {
        try await connections.read { transaction in
            let primary = try KeyCheck.primaryID(transaction.db)
            return try KeyCheck.listed(transaction.db).map { keyID in
                let counts = try SealedTable.all.map { table in
                    try transaction.db.first("SELECT count(*) FROM \(table.name) WHERE key_id = ?", keyID)?.int(0) ?? 0
                }
                return VaultUse(keyID: keyID, rows: counts.reduce(0, +), isPrimary: keyID == primary)
            }
        }
    }

    /// Forgets keys that no row needs and that are not the primary one; returns their ids. The database opens without them
    /// from then on.
    package func retireUnusedKeys() async throws(StoreError) -> [String] {
        try await connections.write { transaction in
            let primary = try transaction.ring.primary.id
            let unused = try KeyCheck.listed(transaction.db).filter { keyID in
                try keyID != primary && !KeyCheck.isNeeded(keyID, transaction.db)
            }
            for keyID in unused { try transaction.db.run("DELETE FROM key_check WHERE key_id = ?", keyID) }
            return unused
        }
    }
}

/// How far a walk has come: the place of a table in `SealedTable.all`, the key, the last row done.
private struct VaultCursor {
    var table: Int
    var keyID: String
    var rowID: Int64

    init(table: Int, keyID: String, rowID: Int64) {
        self.table = table
        self.keyID = keyID
        self.rowID = rowID
    }

    init(_ text: String?) throws(StoreError) {
        guard let text else {
            self.init(table: 0, keyID: "", rowID: .min)
            return
        }
        let parts = text.split(separator: "|", omittingEmptySubsequences: false)
        guard parts.count == 3, let table = Int(parts[0]), SealedTable.all.indices.contains(table),
            let rowID = Int64(parts[2])
        else { throw .inconsistent("after: not a cursor of this walk") }
        self.init(table: table, keyID: String(parts[1]), rowID: rowID)
    }

    var text: String { "\(table)|\(keyID)|\(rowID)" }
}
