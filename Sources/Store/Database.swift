/// The database: one SQLite file in WAL mode, its migrations, the vault, the cache and the schedule.
///
/// This module alone touches GRDB and SQL. Its operations are named after what they keep true, and each is one
/// transaction; claims are leases with a time in the row, never a lock in memory, so that several processes can share the
/// file and another engine could stand behind the same names. What is sealed is sealed by `Cryptography`; what a provider
/// says, and when the next sync is due, is for `Linking` and `Sync` to find out.

package import Accounts
package import Cryptography
import GRDB

package final class Database: Sendable {
    package let path: String
    package let accounts: AccountStore
    package let credentials: CredentialStore
    package let linkSessions: LinkSessionStore
    package let deviceLinks: DeviceLinkStore
    package let signals: SignalStore
    package let schedule: SyncScheduleStore
    package let profiles: ProfileCache
    package let changes: ChangeFeed
    package let apiKeys: APIKeyStore
    package let revocations: RevocationOutbox
    package let allowances: RequestAllowanceStore
    package let idempotency: IdempotencyStore
    package let vault: VaultStore
    package let providers: ProviderStateStore
    package let audit: AuditTrail
    /// What an operator should know of the file and its directory.
    package let warnings: [String]

    let connections: Connections

    /// Opens or creates, migrates, checks the key. Refuses what a newer version wrote, and a key ring that lacks a key in
    /// use, before anything is written.
    /// - Parameter source: gives the key ring as it is by then; asked for where a key turns up that is not in `keyRing`,
    ///   for another process may have added it.
    package convenience init(
        path: String, keyRing: KeyRing, rereadingKeysFrom source: (@Sendable () throws -> KeyRing)? = nil,
        time: any TimeSource, random: any RandomSource, busyTimeout: Duration = .seconds(5)
    ) throws(StoreError) {
        try self.init(
            path: path, migrations: Migration.all, keyRing: keyRing, rereadingKeysFrom: source, time: time,
            random: random, busyTimeout: busyTimeout)
    }

    init(
        path: String, migrations: [Migration], keyRing: KeyRing,
        rereadingKeysFrom source: (@Sendable () throws -> KeyRing)? = nil, time: any TimeSource,
        random: any RandomSource, busyTimeout: Duration
    ) throws(StoreError) {
        self.path = path
        let vault = Vault(keyRing, rereading: source)
        var warnings = try DatabaseFile.prepare(path)
        do {
            try Database.inspect(path, migrations: migrations, vault: vault, busyTimeout: busyTimeout)
            connections = try Connections(
                path: path, migrations: migrations, vault: vault, time: time, random: random, busyTimeout: busyTimeout)
        } catch { throw StoreError(error) }
        warnings += DatabaseFile.restrict(path)
        self.warnings = warnings
        accounts = AccountStore(connections: connections)
        credentials = CredentialStore(connections: connections)
        linkSessions = LinkSessionStore(connections: connections)
        deviceLinks = DeviceLinkStore(connections: connections)
        signals = SignalStore(connections: connections)
        schedule = SyncScheduleStore(connections: connections)
        profiles = ProfileCache(connections: connections)
        changes = ChangeFeed(connections: connections)
        apiKeys = APIKeyStore(connections: connections)
        revocations = RevocationOutbox(connections: connections)
        allowances = RequestAllowanceStore(connections: connections)
        idempotency = IdempotencyStore(connections: connections)
        providers = ProviderStateStore(connections: connections)
        audit = AuditTrail(connections: connections)
        self.vault = VaultStore(connections: connections)
    }

    /// Looks before anything is opened for writing: a refused database stays as it is, byte for byte.
    private static func inspect(
        _ path: String, migrations: [Migration], vault: Vault, busyTimeout: Duration
    ) throws {
        if DatabaseFile.isEmpty(path) { return }
        var configuration = Configuration()
        configuration.readonly = true
        configuration.busyMode = .timeout(busyTimeout.secondsAsDouble)
        let queue = try DatabaseQueue(path: path, configuration: configuration)
        try queue.read { db in
            if try Migration.check(migrations, db) > 0 {
                if try !KeyCheck.listed(db).allSatisfy(vault.ring.contains), let newer = vault.reread() {
                    vault.use(newer)
                }
                try KeyCheck.check(vault.ring, db)
            }
        }
        try queue.close()
    }

    /// Waits for what is under way; nothing can be read or written afterwards.
    package func close() { connections.close() }

    /// Nothing is being read or written: for whoever lets virtual time pass.
    package var isIdle: Bool { connections.isIdle }

    /// Throws where the database does not answer, can't be written or is not migrated: another process may have moved on.
    package func check() async throws(StoreError) {
        try await connections.maintain { db in
            try db.inTransaction(.immediate) {
                guard try Migration.check(Migration.all, db) == Migration.all.count else { throw StoreError.corrupt }
                return .rollback
            }
        }
    }

    /// Moves everything in the write-ahead log into the file and empties the log, so that what was erased is gone from
    /// both. False where a reader was in the way.
    @discardableResult
    package func checkpoint() async throws(StoreError) -> Bool {
        try await connections.maintain { db in
            try db.first("PRAGMA wal_checkpoint(TRUNCATE)")?.int64(0) == 0
        }
    }

    /// Reads every page and every index. Slow; for `doctor`. Throws `.corrupt`.
    package func checkIntegrity() async throws(StoreError) {
        try await connections.read { transaction in
            let answer = try transaction.db.first("PRAGMA integrity_check(1)")?.text(0)
            let orphans = try transaction.db.first("PRAGMA foreign_key_check") != nil
            if answer != "ok" || orphans { throw StoreError.corrupt }
        }
    }

    /// For tests of this module: SQL on the writer, outside of a transaction.
    @discardableResult
    func maintain<Value: Sendable>(
        _ body: @escaping @Sendable (Connection) throws -> Value
    ) async throws(StoreError) -> Value { try await connections.maintain(body) }

    var readers: ReadConnections { connections.readers }
}
