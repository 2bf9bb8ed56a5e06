package import Accounts
package import Cryptography

/// The database: one SQLite file, its migrations, and the operations on it.
package final class Database: Sendable {
    package let path: String
    package let accounts = AccountStore()
    package let credentials = CredentialStore()
    package let linkSessions = LinkSessionStore()
    package let schedule = SyncScheduleStore()
    package let profiles = ProfileCache()
    package let changes = ChangeFeed()
    package let apiKeys = APIKeyStore()
    package let revocations = RevocationOutbox()
    package let allowances = RequestAllowanceStore()
    package let idempotency = IdempotencyStore()
    package let vault = VaultStore()
    /// What an operator should know of file modes and the like.
    package let warnings: [String] = []

    /// Opens or creates, migrates, checks the key. Refuses what a newer version wrote, and a key ring that lacks a key in
    /// use, before anything is written.
    package init(
        path: String, keyRing: KeyRing, time: any TimeSource, random: any RandomSource,
        busyTimeout: Duration = .seconds(5)
    ) throws(StoreError) { self.path = path }

    /// Nothing can be read or written afterwards.
    package func close() {}

    /// Throws where the database does not answer, is not writable or not fully migrated.
    package func check() async throws(StoreError) { throw .closed }

    /// Moves everything in the write-ahead log into the file and empties the log, so that what was erased is gone from
    /// both. False where a reader was in the way.
    @discardableResult
    package func checkpoint() async throws(StoreError) -> Bool { throw .closed }
}
