import Accounts
import GRDB
import GRDBSQLite

/// The statements that every sync runs.
enum WriterStatement: Int, CaseIterable {
    case claimDue, claim, record, claimedProfile, updateProfile, updateProfileNames, appendUpdate

    var sql: String {
        switch self {
        case .claimDue: SyncScheduleStore.claimDueSQL
        case .claim: Transaction.claimSQL
        case .record: SyncScheduleStore.recordSQL
        case .claimedProfile: SyncScheduleStore.claimedProfileSQL
        case .updateProfile: SyncScheduleStore.updateProfileSQL
        case .updateProfileNames: SyncScheduleStore.updateProfileNamesSQL
        case .appendUpdate: SyncScheduleStore.appendUpdateSQL
        }
    }
}

/// The writer's prepared statements of `WriterStatement`, bound and read without GRDB's rows and arguments between, which
/// cost several times what the statements do; and whether its commits wait for the disk.
///
/// `@unchecked`: GRDB runs everything on the writer's connection on one serial queue, and nothing else touches this.
final class WriterStatements: @unchecked Sendable {
    private var prepared = [OpaquePointer?](repeating: nil, count: WriterStatement.allCases.count)

    private var flushesCommits = true

    /// To be said before a transaction, for within one SQLite refuses to change it. What is not flushed is in the log all
    /// the same, and durable with the next commit that is.
    func flushCommits(_ flushes: Bool, _ db: Connection) throws {
        if flushes == flushesCommits { return }
        // No transaction that has to be durable begins on the word of one that failed half way.
        flushesCommits = false
        try db.execute(sql: "PRAGMA synchronous = \(flushes ? "FULL" : "NORMAL");")
        flushesCommits = flushes
    }

    /// Calls `row` for each row; returns how many rows were changed.
    @discardableResult
    func run(
        _ kind: WriterStatement, _ db: Connection, _ bind: (Binding) -> Void, row: (RawRow) throws -> Void = { _ in }
    ) throws -> Int {
        let statement = try statement(kind, db)
        defer {
            sqlite3_reset(statement)
            sqlite3_clear_bindings(statement)
        }
        bind(Binding(statement: statement))
        while true {
            let code = sqlite3_step(statement)
            if code == SQLITE_DONE { return Int(sqlite3_changes(db.sqliteConnection)) }
            guard code == SQLITE_ROW else { throw error(code, db) }
            try row(RawRow(statement: statement))
        }
    }

    private func statement(_ kind: WriterStatement, _ db: Connection) throws -> OpaquePointer {
        if let statement = prepared[kind.rawValue] { return statement }
        var statement: OpaquePointer?
        let code = sqlite3_prepare_v3(
            db.sqliteConnection, kind.sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil)
        guard code == SQLITE_OK, let statement else { throw error(code, db) }
        prepared[kind.rawValue] = statement
        return statement
    }

    private func error(_ code: Int32, _ db: Connection) -> StoreError {
        StoreError(code: code, message: String(cString: sqlite3_errmsg(db.sqliteConnection)))
    }

    /// To be called before the connection is closed.
    func finalize() {
        for statement in prepared { sqlite3_finalize(statement) }
        prepared = [OpaquePointer?](repeating: nil, count: prepared.count)
    }

    /// The parameters of a statement, from 1; what is not bound is NULL.
    struct Binding {
        fileprivate let statement: OpaquePointer

        // A value that SQLite does not take (one beyond its limit) stays NULL, which the schema refuses.
        func text(_ index: Int32, _ text: String?) {
            guard var text else { return }
            text.withUTF8 { bytes in
                bytes.withMemoryRebound(to: CChar.self) {
                    _ = sqlite3_bind_text64(
                        statement, index, $0.baseAddress, UInt64($0.count), transient, UInt8(SQLITE_UTF8))
                }
            }
        }

        func integer(_ index: Int32, _ value: Int64?) {
            if let value { sqlite3_bind_int64(statement, index, value) }
        }

        func integer(_ index: Int32, _ value: Int) { integer(index, Int64(value)) }
        func time(_ index: Int32, _ time: Timestamp?) { integer(index, time?.millisecondsSinceEpoch) }
        func bool(_ index: Int32, _ value: Bool?) { integer(index, value.map { $0 ? 1 : 0 }) }

        func real(_ index: Int32, _ value: Double?) {
            if let value { sqlite3_bind_double(statement, index, value) }
        }
    }
}

/// A row of a prepared statement, valid until its next step.
struct RawRow: Columns {
    let statement: OpaquePointer

    func optionalText(_ index: Int) -> String? {
        guard sqlite3_column_type(statement, Int32(index)) == SQLITE_TEXT else { return nil }
        return withBytes(index) { String(decoding: $0, as: UTF8.self) }
    }

    func optionalInt64(_ index: Int) -> Int64? {
        sqlite3_column_type(statement, Int32(index)) == SQLITE_INTEGER
            ? sqlite3_column_int64(statement, Int32(index)) : nil
    }

    func optionalDouble(_ index: Int) -> Double? {
        let type = sqlite3_column_type(statement, Int32(index))
        return type == SQLITE_FLOAT || type == SQLITE_INTEGER ? sqlite3_column_double(statement, Int32(index)) : nil
    }

    func optionalBytes(_ index: Int) -> [UInt8]? {
        sqlite3_column_type(statement, Int32(index)) == SQLITE_BLOB ? withBytes(index) { Array($0) } : nil
    }

    private func withBytes<Value>(_ index: Int, _ body: (UnsafeBufferPointer<UInt8>) -> Value) -> Value {
        // Of a text this is the text itself, in the database's encoding, UTF-8.
        let start = sqlite3_column_blob(statement, Int32(index))
        let count = Int(sqlite3_column_bytes(statement, Int32(index)))
        return body(
            UnsafeBufferPointer(start: start?.assumingMemoryBound(to: UInt8.self), count: start == nil ? 0 : count))
    }
}
