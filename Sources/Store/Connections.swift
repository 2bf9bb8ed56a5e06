import Accounts
import Cryptography
import GRDB
import Synchronization

/// Every connection to the file: GRDB's one writer and its readers, and the readers of hot statements.
///
/// A transaction that was begun ends, whatever happens to the task that wants it: tokens that a provider has issued must
/// be stored even when the caller is being cancelled. GRDB's `async` functions would stop half way, so none is used here.
final class Connections: Sendable {
    let path: String
    let time: any TimeSource
    let random: any RandomSource
    let vault: Vault
    let readers: ReadConnections
    let signals = Signals()
    private let pool: DatabasePool
    private let isClosed = Atomic(false)
    /// Transactions that are asked for and not answered.
    private let underWay = Atomic(0)

    init(
        path: String, migrations: [Migration], vault: Vault, time: any TimeSource, random: any RandomSource,
        busyTimeout: Duration
    ) throws {
        self.path = path
        self.time = time
        self.random = random
        self.vault = vault
        var configuration = Configuration()
        configuration.label = "rollcall"
        configuration.busyMode = .timeout(busyTimeout.secondsAsDouble)
        configuration.foreignKeysEnabled = true
        configuration.prepareDatabase { db in
            // Erased means overwritten, in every connection that writes.
            try db.execute(sql: "PRAGMA secure_delete = ON;")
        }
        pool = try DatabasePool(path: path, configuration: configuration)
        try pool.writeWithoutTransaction { db in
            // GRDB sets NORMAL after `prepareDatabase`, under which a commit may be lost with the power.
            try db.execute(sql: "PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864;")
            try Migration.apply(migrations, db, now: time.now())
            try db.inTransaction(.immediate) {
                vault.use(try KeyCheck.settle(vault.ring, vault, db))
                return .commit
            }
        }
        readers = try ReadConnections(path: path, busyTimeout: busyTimeout)
    }

    /// Runs `body` in one IMMEDIATE transaction; it is durable when this returns and undone when this throws.
    @discardableResult
    func write<Value: Sendable>(
        _ body: @escaping @Sendable (Transaction) throws -> Value
    ) async throws(StoreError) -> Value {
        if isClosed.load(ordering: .acquiring) { throw .closed }
        let actor = AuditActor.current
        underWay.add(1, ordering: .acquiringAndReleasing)
        let result: Result<Value, StoreError> = await withCheckedContinuation { continuation in
            pool.asyncWriteWithoutTransaction { [self] db in
                let transaction = Transaction(db: db, vault: vault, now: time.now(), random: random)
                transaction.actor = actor
                let result = Result { () throws -> Value in
                    var value: Value?
                    try db.inTransaction(.immediate) {
                        value = try body(transaction)
                        return .commit
                    }
                    guard let value else { throw StoreError.closed }
                    return value
                }.mapError(StoreError.init)
                if case .success = result, transaction.wroteChange { signals.send() }
                continuation.resume(returning: result)
                underWay.subtract(1, ordering: .acquiringAndReleasing)
            }
        }
        return try result.get()
    }

    /// Nothing is under way. What was has been handed to those who asked before this says so.
    var isIdle: Bool { underWay.load(ordering: .acquiring) == 0 }

    /// Runs `body` on a snapshot.
    func read<Value: Sendable>(
        _ body: @escaping @Sendable (Transaction) throws -> Value
    ) async throws(StoreError) -> Value {
        if isClosed.load(ordering: .acquiring) { throw .closed }
        underWay.add(1, ordering: .acquiringAndReleasing)
        let result: Result<Value, StoreError> = await withCheckedContinuation { continuation in
            pool.asyncRead { [self] connection in
                continuation.resume(
                    returning: Result {
                        try body(
                            Transaction(db: connection.get(), vault: vault, now: time.now(), random: random))
                    }.mapError(StoreError.init))
                underWay.subtract(1, ordering: .acquiringAndReleasing)
            }
        }
        return try result.get()
    }

    /// Runs `body` in a transaction that nobody waits for and whose failure does no harm.
    func writeInBackground(_ body: @escaping @Sendable (Transaction) throws -> Void) {
        if isClosed.load(ordering: .acquiring) { return }
        pool.asyncWriteWithoutTransaction { [self] db in
            let transaction = Transaction(db: db, vault: vault, now: time.now(), random: random)
            // The caller has said that a failure does no harm.
            try? db.inTransaction(.immediate) {
                try body(transaction)
                return .commit
            }
        }
    }

    /// Runs `body` on the writer outside of a transaction, for pragmas and checkpoints.
    func maintain<Value: Sendable>(
        _ body: @escaping @Sendable (Connection) throws -> Value
    ) async throws(StoreError) -> Value {
        if isClosed.load(ordering: .acquiring) { throw .closed }
        let result: Result<Value, StoreError> = await withCheckedContinuation { continuation in
            pool.asyncWriteWithoutTransaction { db in
                continuation.resume(returning: Result { try body(db) }.mapError(StoreError.init))
            }
        }
        return try result.get()
    }

    /// Waits for what is under way.
    func close() {
        if isClosed.exchange(true, ordering: .acquiringAndReleasing) { return }
        readers.close()
        signals.finish()
        // Nothing is lost where it fails: what was committed is in the file, and the process gives up its locks.
        try? pool.close()
    }
}

/// One transaction: its connection, and what is the same throughout.
final class Transaction {
    let db: Connection
    let ring: TransactionRing
    let now: Timestamp
    let random: any RandomSource
    fileprivate(set) var wroteChange = false
    fileprivate(set) var actor = AuditActor.service

    init(db: Connection, vault: Vault, now: Timestamp, random: any RandomSource) {
        self.db = db
        ring = TransactionRing(vault, db)
        self.now = now
        self.random = random
    }

    /// No lease is longer: one that ends later was given before the clock was set back, and counts as free.
    static let leaseMax = Duration.seconds(3600)

    func newID<Kind>() -> Identifier<Kind> { Identifier(at: now, random: random) }

    /// Writes to the feed, and what concerns the link itself to the audit trail.
    func append(
        _ kind: Change.Kind, _ account: AccountID, _ user: UserID, _ provider: ProviderID, version: Int64? = nil,
        patch: String? = nil, problem: AccountProblem.Code? = nil
    ) throws {
        let id: ChangeID = newID()
        try db.run(
            """
            INSERT INTO change (id, kind, account_id, user_id, provider, at, version, problem_code, patch)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
            """, id, kind.rawValue, account, user, provider, now, version, problem?.rawValue, patch)
        wroteChange = true
        if let action = kind.auditAction {
            try audit(action, account: account, user: user, provider: provider, detail: problem?.rawValue)
        }
    }
}

/// Wakes whoever follows the feed.
final class Signals: Sendable {
    private struct State {
        var next = 0
        var followers: [Int: AsyncStream<Void>.Continuation] = [:]
        var isFinished = false
    }

    private let state = Mutex(State())

    func stream() -> AsyncStream<Void> {
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let id: Int? = state.withLock { state in
            if state.isFinished { return nil }
            state.next += 1
            state.followers[state.next] = continuation
            return state.next
        }
        guard let id else {
            continuation.finish()
            return stream
        }
        continuation.onTermination = { [weak self] _ in self?.state.withLock { $0.followers[id] = nil } }
        return stream
    }

    func send() {
        for follower in state.withLock({ Array($0.followers.values) }) { follower.yield() }
    }

    func finish() {
        let followers = state.withLock { state in
            state.isFinished = true
            defer { state.followers = [:] }
            return Array(state.followers.values)
        }
        for follower in followers { follower.finish() }
    }
}
