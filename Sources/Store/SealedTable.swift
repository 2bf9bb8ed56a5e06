import Accounts
import Cryptography
import GRDB

/// The tables that hold sealed columns, for what is done to all of them: changing keys, and proving that all opens. Each
/// has a rowid, a column `key_id` and an index that leads with it.
struct SealedTable {
    let name: String
    let columns: [String]
    /// Row, provider, user and generation of `SealedPlace`, as SQL.
    let place: [String]
    var join = ""

    static let all = [
        SealedTable(
            name: "credential", columns: ["access_token", "refresh_token", "proof_key"],
            place: ["t.account_id", "a.provider", "a.user_id", "t.generation"],
            join: "CROSS JOIN linked_account a ON a.id = t.account_id"),
        SealedTable(
            name: "revocation", columns: ["access_token", "refresh_token", "proof_key"],
            place: ["t.account_id", "t.provider", "t.user_id", "t.id"]),
        SealedTable(
            name: "pending_authorization", columns: ["code_verifier", "nonce", "proof_key"],
            place: ["lower(hex(t.state_hash))", "t.provider", "s.user_id", "0"],
            join: "CROSS JOIN link_session s ON s.id = t.session_id"),
        SealedTable(
            name: "device_link", columns: ["device_code", "granted"],
            place: ["t.id", "t.provider", "t.user_id", "0"]),
        SealedTable(
            name: "idempotent_request", columns: ["response"],
            place: ["lower(hex(t.key_hash))", "''", "t.api_key_id", "0"]),
    ]

    /// Up to `limit` rows behind a rowid: those under `keyID`, or all that are sealed.
    func rows(after rowID: Int64, under keyID: String?, limit: Int, _ db: Connection) throws -> [SealedRow] {
        try db.rows(select(under: keyID != nil), keyID, rowID, limit).map { row in
            let places = try columns.map { column in
                SealedPlace(
                    table: name, column: column, row: try row.text(2), provider: try row.text(3), user: try row.text(4),
                    generation: try row.int64(5))
            }
            let boxes = columns.indices.map { row.optionalBytes(6 + $0) }
            return SealedRow(rowID: try row.int64(0), keyID: try row.text(1), columns: Array(zip(places, boxes)))
        }
    }

    func select(under key: Bool) -> String {
        """
        SELECT t.rowid, t.key_id, \((place + columns.map { "t.\($0)" }).joined(separator: ", "))
        FROM \(name) t \(join)
        WHERE t.rowid > ?2 AND \(key ? "t.key_id = ?1" : "?1 IS NULL AND t.key_id IS NOT NULL") ORDER BY t.rowid LIMIT ?3
        """
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
    let keyID: String
    let columns: [(place: SealedPlace, box: [UInt8]?)]

    /// The plaintexts. Throws `SealingError`.
    func open(_ ring: TransactionRing) throws -> [[UInt8]?] {
        try columns.map { column in try column.box.map { try ring.open($0, keyID: keyID, at: column.place) } }
    }

    /// What to tell an operator of a row that does not open.
    func error(_ cause: any Error) -> StoreError {
        guard let place = columns.first?.place else { return .corrupt }
        var missing: String?
        if case SealingError.unknownKey(let id) = cause { missing = id }
        if place.table == "credential", let id = AccountID(place.row) {
            return .credentialDamaged(id, missingKey: missing)
        }
        return missing.map { .wrongKey(missing: [$0]) } ?? .damaged("a row of \(place.table)")
    }
}
