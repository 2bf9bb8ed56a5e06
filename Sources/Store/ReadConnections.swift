import Accounts
import GRDBSQLite
import Synchronization

/// Connections of their own for the statements that every request needs: prepared once, run synchronously on the calling
/// thread. GRDB's readers cost a change of thread, several times what the look-up does.
final class ReadConnections: Sendable {
    /// One connection behind its lock; `nil` once closed.
    private final class Slot: Sendable {
        let connection: Mutex<ReadConnection?>
        init(_ connection: sending ReadConnection) { self.connection = Mutex(connection) }
    }

    private let slots: [Slot]

    init(path: String, busyTimeout: Duration, count: Int = 4) throws(StoreError) {
        var slots: [Slot] = []
        for _ in 0..<count { slots.append(Slot(try ReadConnection(path: path, busyTimeout: busyTimeout))) }
        self.slots = slots
    }

    /// Takes the first connection that is free, else waits for one.
    func run<Value: Sendable>(
        _ statement: ReadStatement, _ arguments: [String],
        _ body: @Sendable (borrowing ReadRow) throws(StoreError) -> Value
    ) throws(StoreError) -> [Value] {
        for slot in slots {
            let result = slot.connection.withLockIfAvailable { connection in
                Self.run(connection, statement, arguments, body)
            }
            if let result { return try result.get() }
        }
        let slot = slots[Int(arguments.first?.utf8.last ?? 0) % slots.count]
        return try slot.connection.withLock { Self.run($0, statement, arguments, body) }.get()
    }

    private static func run<Value: Sendable>(
        _ connection: ReadConnection?, _ statement: ReadStatement, _ arguments: [String],
        _ body: @Sendable (borrowing ReadRow) throws(StoreError) -> Value
    ) -> Result<[Value], StoreError> {
        guard let connection else { return .failure(.closed) }
        do throws(StoreError) { return .success(try connection.run(statement, arguments, body)) } catch {
            return .failure(error)
        }
    }

    func close() {
        for slot in slots { slot.connection.withLock { $0 = nil } }
    }
}

/// The hot statements.
enum ReadStatement: Int, CaseIterable {
    case documentByAccount, documentBySubject, contentByAccount, keyByPrefix

    var sql: String {
        switch self {
        case .documentByAccount: Self.document + "WHERE p.account_id = ?1"
        case .documentBySubject: Self.document + "WHERE p.provider = ?1 AND p.subject = ?2"
        case .contentByAccount: "SELECT claims, raw FROM profile WHERE account_id = ?1"
        case .keyByPrefix:
            """
            SELECT hash, id, name, prefix, scopes, created_at, expires_at, last_used_at, revoked_at
            FROM api_key WHERE prefix = ?1
            """
        }
    }

    private static let document = """
        SELECT p.account_id, p.user_id, p.provider, p.subject, s.synced_at, p.version, p.changed_at, p.claims, p.raw
        FROM profile p JOIN sync_schedule s ON s.account_id = p.account_id

        """
}

/// A row of a hot statement, valid until the next one.
struct ReadRow: ~Copyable {
    fileprivate let statement: OpaquePointer

    func int64(_ column: Int32) -> Int64 { sqlite3_column_int64(statement, column) }

    func optionalTime(_ column: Int32) -> Timestamp? {
        sqlite3_column_type(statement, column) == SQLITE_NULL
            ? nil : Timestamp(millisecondsSinceEpoch: int64(column))
    }

    /// The bytes of a text or a blob.
    func withBytes<Value>(_ column: Int32, _ body: (UnsafeBufferPointer<UInt8>) -> Value) -> Value {
        // Of a text this is the text itself, in the database's encoding, UTF-8.
        let start = sqlite3_column_blob(statement, column)
        let count = Int(sqlite3_column_bytes(statement, column))
        return body(
            UnsafeBufferPointer(start: start?.assumingMemoryBound(to: UInt8.self), count: start == nil ? 0 : count))
    }

    func text(_ column: Int32) -> String { withBytes(column) { String(decoding: $0, as: UTF8.self) } }
    func bytes(_ column: Int32) -> [UInt8] { withBytes(column) { Array($0) } }
}

/// Used by one thread at a time: its owner's lock sees to it, so SQLite need not lock again.
private final class ReadConnection {
    private let handle: OpaquePointer
    private var statements: [OpaquePointer] = []

    init(path: String, busyTimeout: Duration) throws(StoreError) {
        var opened: OpaquePointer?
        let code = sqlite3_open_v2(path, &opened, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, nil)
        guard code == SQLITE_OK, let opened else {
            let message = opened.map { String(cString: sqlite3_errmsg($0)) } ?? "out of memory"
            sqlite3_close_v2(opened)
            throw StoreError(code: code, message: message)
        }
        handle = opened
        sqlite3_busy_timeout(handle, Int32(clamping: busyTimeout.wholeMilliseconds))
        // Two MiB of pages hold the upper levels of every tree; measured at 100,000 accounts, more is no faster. Not
        // `mmap_size`: an unreadable page would then end the process with SIGBUS instead of an error.
        _ = sqlite3_exec(handle, "PRAGMA cache_size = -2048", nil, nil, nil)
        for statement in ReadStatement.allCases { statements.append(try prepare(statement.sql)) }
    }

    deinit {
        for statement in statements { sqlite3_finalize(statement) }
        sqlite3_close_v2(handle)
    }

    private func prepare(_ sql: String) throws(StoreError) -> OpaquePointer {
        var statement: OpaquePointer?
        let code = sqlite3_prepare_v3(handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil)
        guard code == SQLITE_OK, let statement else { throw error(code) }
        return statement
    }

    /// Each run sees what was committed before it: the reset at the end closes the read transaction.
    func run<Value>(
        _ kind: ReadStatement, _ arguments: [String], _ body: @Sendable (borrowing ReadRow) throws(StoreError) -> Value
    ) throws(StoreError) -> [Value] {
        let statement = statements[kind.rawValue]
        defer {
            sqlite3_reset(statement)
            sqlite3_clear_bindings(statement)
        }
        for (index, argument) in arguments.enumerated() {
            let code = sqlite3_bind_text(statement, Int32(index + 1), argument, Int32(argument.utf8.count), transient)
            guard code == SQLITE_OK else { throw error(code) }
        }
        var values: [Value] = []
        while true {
            let code = sqlite3_step(statement)
            if code == SQLITE_DONE { return values }
            guard code == SQLITE_ROW else { throw error(code) }
            values.append(try body(ReadRow(statement: statement)))
        }
    }

    private func error(_ code: Int32) -> StoreError {
        StoreError(code: code, message: String(cString: sqlite3_errmsg(handle)))
    }
}

/// SQLITE_TRANSIENT, whose C macro Swift does not import: SQLite copies the text at once.
let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)
