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
    private let statements = WriterStatements()
    /// Apart: who waits on the writer's thread must not wait for what else is done on a caller's.
    private let shared = SharedCommits()
    private let sharedByCallersThread = SharedCommits()
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
            // GRDB sets NORMAL after `prepareDatabase`, under which a commit may be lost with the power. The log is carried
            // over every 2 MB: whoever writes next waits for that.
            try db.execute(
                sql: """
                    PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864; PRAGMA wal_autocheckpoint = 500;
                    """)
            try Migration.apply(migrations, db, now: time.now())
            try db.inTransaction(.immediate) {
                vault.use(try KeyCheck.settle(vault.ring, vault, db))
                return .commit
            }
        }
        readers = try ReadConnections(path: path, busyTimeout: busyTimeout)
    }

    /// Where a transaction runs.
    enum Place { case writersThread, callersThread }

    /// Runs `body` in one IMMEDIATE transaction; it is durable when this returns and undone when this throws.
    /// - Parameter survivesPowerLoss: false for what nobody misses after one; it spares the flush of the disk.
    @discardableResult
    func write<Value: Sendable>(
        on place: Place = .writersThread, survivesPowerLoss: Bool = true,
        _ body: @escaping @Sendable (Transaction) throws -> Value
    ) async throws(StoreError) -> Value {
        if isClosed.load(ordering: .acquiring) { throw .closed }
        let actor = AuditActor.current
        underWay.add(1, ordering: .acquiringAndReleasing)
        let result: Result<Value, StoreError> = await withCheckedContinuation { continuation in
            let write: @Sendable (Connection) -> Void = { [self] db in
                continuation.resume(
                    returning: transact(db, as: actor, flushes: survivesPowerLoss, body)
                        .mapError { StoreError(($0 as? BeginFailure)?.cause ?? $0) })
                underWay.subtract(1, ordering: .acquiringAndReleasing)
            }
            switch place {
            case .writersThread: pool.asyncWriteWithoutTransaction(write)
            case .callersThread: pool.writeWithoutTransaction(write)
            }
        }
        return try result.get()
    }

    /// Nothing is under way. What was has been handed to those who asked before this says so.
    var isIdle: Bool { underWay.load(ordering: .acquiring) == 0 }

    /// As `write`, but in a transaction that others who come while the writer is busy may share: it costs them one commit
    /// together. Where it fails for one of them, all are undone and each is run again by itself, so `body` may run
    /// twice. For what is many and small; custody of tokens has its own commit at once.
    @discardableResult
    func writeShared<Value: Sendable>(
        on place: Place = .writersThread, _ body: @escaping @Sendable (Transaction) throws -> Value
    ) async throws(StoreError) -> Value {
        if isClosed.load(ordering: .acquiring) { throw .closed }
        underWay.add(1, ordering: .acquiringAndReleasing)
        let answer = Answer<Value>()
        let write = SharedCommits.Write(actor: AuditActor.current) { transaction in
            let value = try body(transaction)
            return { answer.give(.success(value)) }
        } fail: {
            answer.give(.failure($0))
        }
        if shared(on: place).add(write) {
            // Whoever is ready to run comes first, and what its answers make ready: those that have come back together are
            // written together.
            for _ in 0..<8 { await Task.yield() }
            commitShared(on: place)
        }
        return try await answer.value.get()
    }

    private func shared(on place: Place) -> SharedCommits {
        switch place {
        case .writersThread: shared
        case .callersThread: sharedByCallersThread
        }
    }

    /// For tests: those that no transaction has taken up.
    var waitingToShare: Int { shared.count }

    /// Everything that waits to be shared, a group at a time, each behind whoever is in the writer's queue by then.
    private func commitShared(on place: Place) {
        let shared = shared(on: place)
        switch place {
        case .writersThread:
            pool.asyncWriteWithoutTransaction { [self] db in
                if commitGroup(of: shared, db) { commitShared(on: place) }
            }
        case .callersThread:
            while pool.writeWithoutTransaction({ [self] db in commitGroup(of: shared, db) }) {}
        }
    }

    /// The next group of shared writes; whether there are more.
    private func commitGroup(of shared: SharedCommits, _ db: Connection) -> Bool {
        let (group, hasMore) = shared.next()
        // Together, and on failure one by one.
        let together = transact(db) { transaction in
            try group.map { write in
                transaction.actor = write.actor
                return try write.run(transaction)
            }
        }
        switch together {
        case .success(let answers): for answer in answers { answer() }
        case .failure(let error) where group.count == 1 || error is BeginFailure:
            for write in group { write.fail(StoreError((error as? BeginFailure)?.cause ?? error)) }
        case .failure:
            for write in group {
                switch transact(db, as: write.actor, write.run) {
                case .success(let answer): answer()
                case .failure(let error): write.fail(StoreError((error as? BeginFailure)?.cause ?? error))
                }
            }
        }
        underWay.subtract(group.count, ordering: .acquiringAndReleasing)
        return hasMore
    }

    private func transact<Value>(
        _ db: Connection, as actor: AuditActor = .service, flushes: Bool = true, _ body: (Transaction) throws -> Value
    ) -> Result<Value, any Error> {
        let transaction = Transaction(db: db, statements: statements, vault: vault, now: time.now(), random: random)
        transaction.actor = actor
        var hasBegun = false
        var value: Value?
        do {
            try statements.flushCommits(flushes, db)
            try db.inTransaction(.immediate) {
                hasBegun = true
                value = try body(transaction)
                return .commit
            }
        } catch {
            return .failure(hasBegun ? error : BeginFailure(cause: error))
        }
        guard let value else { return .failure(StoreError.closed) }
        if transaction.wroteChange { signals.send() }
        return .success(value)
    }

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
                            Transaction(
                                db: connection.get(), statements: nil, vault: vault, now: time.now(), random: random))
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
            // The caller has said that a failure does no harm.
            _ = transact(db, body)
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
        pool.writeWithoutTransaction { [statements] _ in statements.finalize() }
        // Nothing is lost where it fails: what was committed is in the file, and the process gives up its locks.
        try? pool.close()
    }
}

/// One transaction: its connection, and what is the same throughout.
final class Transaction {
    let db: Connection
    /// The writer's; `nil` in a read.
    private let statements: WriterStatements?
    let ring: TransactionRing
    let now: Timestamp
    let random: any RandomSource
    fileprivate(set) var wroteChange = false
    fileprivate(set) var actor = AuditActor.service

    init(
        db: Connection, statements: WriterStatements?, vault: Vault, now: Timestamp, random: any RandomSource
    ) {
        self.db = db
        self.statements = statements
        ring = TransactionRing(vault, db)
        self.now = now
        self.random = random
    }

    /// No lease is longer: one that ends later was given before the clock was set back, and counts as free.
    static let leaseMax = Duration.seconds(3600)

    func newID<Kind>() -> Identifier<Kind> { Identifier(at: now, random: random) }

    /// Runs one of the writer's prepared statements; returns how many rows it changed.
    @discardableResult
    func run(
        _ statement: WriterStatement, _ bind: (WriterStatements.Binding) -> Void,
        row: (RawRow) throws -> Void = { _ in }
    ) throws -> Int {
        guard let statements else { throw StoreError.readOnly }
        return try statements.run(statement, db, bind, row: row)
    }

    /// `profile.updated`, by a prepared statement.
    func appendUpdate(_ account: LinkedAccount, version: Int64, patch: String) throws {
        let id: ChangeID = newID()
        try run(.appendUpdate) { parameters in
            parameters.text(1, id.rawValue)
            parameters.text(2, account.id.rawValue)
            parameters.text(3, account.userID.rawValue)
            parameters.text(4, account.provider.rawValue)
            parameters.time(5, now)
            parameters.integer(6, version)
            parameters.text(7, patch)
        }
        wroteChange = true
    }

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

/// What one waits for and another gives, whoever comes first.
private final class Answer<Value: Sendable>: Sendable {
    private enum State {
        case open
        case awaited(CheckedContinuation<Result<Value, StoreError>, Never>)
        case given(Result<Value, StoreError>)
    }

    private let state = Mutex(State.open)

    func give(_ result: Result<Value, StoreError>) {
        let waiter: CheckedContinuation<Result<Value, StoreError>, Never>? = state.withLock { state in
            defer { state = .given(result) }
            if case .awaited(let continuation) = state { return continuation }
            return nil
        }
        waiter?.resume(returning: result)
    }

    /// For one who waits.
    var value: Result<Value, StoreError> {
        get async {
            await withCheckedContinuation { continuation in
                let result: Result<Value, StoreError>? = state.withLock { state in
                    if case .given(let result) = state { return result }
                    state = .awaited(continuation)
                    return nil
                }
                if let result { continuation.resume(returning: result) }
            }
        }
    }
}

/// No transaction could be begun: nobody's share of it is to blame.
private struct BeginFailure: Error { var cause: any Error }

/// Writes that wait for a commit which they share.
private final class SharedCommits: Sendable {
    /// A whole group of usual profiles keeps others from writing for about a millisecond.
    private static let groupMax = 32

    struct Write: Sendable {
        let actor: AuditActor
        /// Writes, and returns what tells the caller once that is durable.
        let run: @Sendable (Transaction) throws -> @Sendable () -> Void
        let fail: @Sendable (StoreError) -> Void
    }

    private struct State {
        var waiting: [Write] = []
        var isScheduled = false
    }

    private let state = Mutex(State())

    var count: Int { state.withLock { $0.waiting.count } }

    /// True where a commit has to be scheduled for it.
    func add(_ write: Write) -> Bool {
        state.withLock { state in
            state.waiting.append(write)
            defer { state.isScheduled = true }
            return !state.isScheduled
        }
    }

    /// Whether more wait behind these; a commit has to be scheduled for them.
    func next() -> (group: [Write], hasMore: Bool) {
        state.withLock { state in
            let group = Array(state.waiting.prefix(Self.groupMax))
            state.waiting.removeFirst(group.count)
            state.isScheduled = !state.waiting.isEmpty
            return (group, state.isScheduled)
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
