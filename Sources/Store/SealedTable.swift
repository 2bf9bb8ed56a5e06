import Accounts
import Cryptography
import GRDB

/// The tables that hold sealed columns, for what is done to all of them: changing keys, and proving that all opens.
struct SealedTable {
    let name: String
    /// Unique, and ordered: a walk goes along it. As text.
    let key: String
    let columns: [String]
    /// Row, provider, user and generation of `SealedPlace`, as SQL.
    let place: [String]
    var join = ""

    static let all = [
        SealedTable(
            name: "credential", key: "t.account_id", columns: ["access_token", "refresh_token"],
            place: ["t.account_id", "a.provider", "a.user_id", "t.generation"],
            join: "JOIN linked_account a ON a.id = t.account_id"),
        SealedTable(
            name: "revocation", key: "printf('%020d', t.id)", columns: ["access_token", "refresh_token"],
            place: ["t.account_id", "t.provider", "t.user_id", "t.id"]),
        SealedTable(
            name: "pending_authorization", key: "lower(hex(t.state_hash))", columns: ["code_verifier", "nonce"],
            place: ["lower(hex(t.state_hash))", "t.provider", "s.user_id", "0"],
            join: "JOIN link_session s ON s.id = t.session_id"),
        SealedTable(
            name: "idempotent_request", key: "lower(hex(t.key_hash)) || t.api_key_id", columns: ["response"],
            place: ["lower(hex(t.key_hash))", "''", "t.api_key_id", "0"]),
    ]

    /// Up to `limit` rows after `key` that are sealed at all, under another key than `keyID` where one is given.
    func rows(after key: String, notUnder keyID: String?, limit: Int, _ db: Connection) throws -> [SealedRow] {
        let columns = columns.map { "t.\($0)" }
        return try db.rows(
            """
            SELECT t.rowid, \(self.key), t.key_id, \((place + columns).joined(separator: ", "))
            FROM \(name) t \(join)
            WHERE \(self.key) > ? AND t.key_id IS NOT NULL AND t.key_id IS NOT ? ORDER BY \(self.key) LIMIT ?
            """, key, keyID, limit
        ).map { row in
            let place = try self.columns.map { column in
                SealedPlace(
                    table: name, column: column, row: try row.text(3), provider: try row.text(4), user: try row.text(5),
                    generation: try row.int64(6))
            }
            let boxes = self.columns.indices.map { row.optionalBytes(7 + $0) }
            return SealedRow(
                rowID: try row.int64(0), key: try row.text(1), keyID: try row.text(2), columns: Array(zip(place, boxes))
            )
        }
    }

    func update(_ row: SealedRow, keyID: String, boxes: [[UInt8]?], _ db: Connection) throws {
        let assignments = columns.enumerated().map { "\($1) = ?\($0 + 3)" }.joined(separator: ", ")
        let values: [(any Bound)?] = [keyID, row.rowID]
        try db.run(
            "UPDATE \(name) SET key_id = ?1, \(assignments) WHERE rowid = ?2", values: values + boxes.map { $0 })
    }
}

struct SealedRow {
    let rowID: Int64
    let key: String
    let keyID: String
    let columns: [(place: SealedPlace, box: [UInt8]?)]

    /// The plaintexts. Throws `SealingError`.
    func open(_ ring: KeyRing) throws -> [[UInt8]?] {
        try columns.map { column in try column.box.map { try ring.open($0, keyID: keyID, at: column.place) } }
    }

    /// What to tell an operator of a row that does not open.
    func error(_ cause: any Error) -> StoreError {
        let table = columns.first?.place.table ?? ""
        var missing: String?
        if case SealingError.unknownKey(let id) = cause { missing = id }
        if table == "credential", let id = AccountID(key) { return .credentialDamaged(id, missingKey: missing) }
        return missing.map { .wrongKey(missing: [$0]) } ?? .damaged("a row of \(table)")
    }
}
