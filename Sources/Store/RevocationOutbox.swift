package import Accounts
import Cryptography
import GRDB

/// Tokens of an unlinked account that the provider has yet to be told of.
package struct PendingRevocation: Sendable {
    package var id: Int64
    package var accountID: AccountID
    package var provider: ProviderID
    package var credential: Credential
    package var createdAt: Timestamp
    /// Attempts that failed so far.
    package var attempts: Int
}

package struct RevocationOutbox: Sendable {
    /// What `AccountStore.unlink` leaves to its caller before the outbox tries by itself.
    package static let firstAttemptDelay = Duration.seconds(60)
    /// No attempt is put off longer: one that seems to be was planned by a clock that was ahead, and is due.
    package static let horizon = Duration.seconds(7 * 86_400)

    let connections: Connections

    /// For a token that arrived after its account was unlinked. Due after `firstAttemptDelay`.
    package func add(
        account: AccountID, user: UserID, provider: ProviderID, credential: Credential
    ) async throws(StoreError) -> PendingRevocation {
        try await connections.write { transaction in
            try transaction.addRevocation(account: account, user: user, provider: provider, credential: credential)
        }
    }

    /// Leases what is due, the oldest first. A row that does not open is dropped: nothing can be done with it.
    package func due(
        now: Timestamp, owner: String, lease: Duration, limit: Int = 20
    ) async throws(StoreError) -> [PendingRevocation] {
        try await connections.write { transaction in
            let rows = try transaction.db.rows(
                Self.dueSQL, owner, now + min(lease, Transaction.leaseMax), now, limit, now + Transaction.leaseMax,
                now + Self.horizon)
            return try rows.compactMap { row in
                do { return try transaction.revocation(row) } catch SealingError.damaged {
                    try transaction.db.run("DELETE FROM revocation WHERE id = ?", try row.int64(0))
                    return nil
                } catch SealingError.unknownKey {
                    // A process with the newer key ring will open it.
                    return nil
                }
            }.sorted { ($0.createdAt, $0.id) < ($1.createdAt, $1.id) }
        }
    }

    static let dueSQL = """
        UPDATE revocation SET lease_owner = ?1, lease_until = ?2
        WHERE id IN (
            SELECT * FROM (
                SELECT id FROM revocation WHERE next_attempt_at <= ?3 AND (lease_until <= ?3 OR lease_until > ?5)
                ORDER BY next_attempt_at LIMIT ?4)
            UNION ALL
            SELECT id FROM revocation WHERE next_attempt_at > ?6 AND (lease_until <= ?3 OR lease_until > ?5)
            LIMIT ?4)
        RETURNING id, account_id, user_id, provider, key_id, token_type, scopes, expires_at, refresh_token_expires_at,
            obtained_at, created_at, attempts, access_token, refresh_token, proof_key
        """

    /// The provider knows.
    package func done(_ id: Int64) async throws(StoreError) {
        try await connections.write { try $0.db.run("DELETE FROM revocation WHERE id = ?", id) }
    }

    /// Counts a failed attempt.
    package func retry(_ id: Int64, at: Timestamp) async throws(StoreError) {
        try await connections.write { transaction in
            try transaction.db.run(
                """
                UPDATE revocation SET next_attempt_at = ?, attempts = attempts + 1, lease_owner = NULL, lease_until = 0
                WHERE id = ?
                """, min(at, transaction.now + Self.horizon), id)
        }
    }

    /// Frees the lease of one whose attempt was cut short, and counts nothing.
    package func release(_ id: Int64) async throws(StoreError) {
        try await connections.write { transaction in
            try transaction.db.run("UPDATE revocation SET lease_owner = NULL, lease_until = 0 WHERE id = ?", id)
        }
    }

    /// A refreshed credential in place of the one it came from.
    package func renew(_ id: Int64, _ credential: Credential) async throws(StoreError) {
        try await connections.write { try $0.renewRevocation(id, credential) }
    }

    /// Gives up: the tokens are erased, and the provider never told.
    package func drop(_ id: Int64) async throws(StoreError) { try await done(id) }

    package func count() async throws(StoreError) -> Int {
        try await connections.read { try $0.db.first("SELECT count(*) FROM revocation")?.int(0) ?? 0 }
    }

    package func nextDueAt() async throws(StoreError) -> Timestamp? {
        try await connections.read { transaction in
            try transaction.db.first("SELECT next_attempt_at FROM revocation ORDER BY next_attempt_at LIMIT 1")?
                .optionalTime(0)
        }
    }
}

extension Transaction {
    static func revocationPlace(
        _ column: String, _ id: Int64, _ account: AccountID, _ provider: ProviderID, _ user: UserID
    ) -> SealedPlace {
        SealedPlace(
            table: "revocation", column: column, row: account.rawValue, provider: provider.rawValue,
            user: user.rawValue, generation: id)
    }

    func addRevocation(
        account: AccountID, user: UserID, provider: ProviderID, credential: Credential
    ) throws -> PendingRevocation {
        // Chosen here, not by SQLite, for the seal needs it. 62 random bits do not meet.
        let id = random.bytes(8).reduce(0 as Int64) { $0 << 8 | Int64($1) } & (1 << 62 - 1)
        func place(_ column: String) -> SealedPlace { Self.revocationPlace(column, id, account, provider, user) }
        try db.run(
            """
            INSERT INTO revocation (id, account_id, user_id, provider, key_id, token_type, scopes, expires_at,
                refresh_token_expires_at, obtained_at, created_at, next_attempt_at, access_token, refresh_token, proof_key)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """, id, account, user, provider, ring.primary.id, credential.tokenType, credential.scopes,
            credential.expiresAt, credential.refreshTokenExpiresAt, credential.obtainedAt, now,
            now + RevocationOutbox.firstAttemptDelay, ring.seal(credential.accessToken, at: place("access_token")),
            credential.refreshToken.map { try ring.seal($0, at: place("refresh_token")) },
            credential.proofKey.map { try ring.seal($0, at: place("proof_key")) })
        return PendingRevocation(
            id: id, accountID: account, provider: provider, credential: credential, createdAt: now, attempts: 0)
    }

    func renewRevocation(_ id: Int64, _ credential: Credential) throws {
        guard let row = try db.first("SELECT account_id, provider, user_id FROM revocation WHERE id = ?", id) else {
            return
        }
        let account: AccountID = try row.id(0)
        let provider = try row.provider(1)
        let user = try row.user(2)
        func place(_ column: String) -> SealedPlace { Self.revocationPlace(column, id, account, provider, user) }
        try db.run(
            """
            UPDATE revocation SET key_id = ?, token_type = ?, scopes = ?, expires_at = ?, refresh_token_expires_at = ?,
                obtained_at = ?, access_token = ?, refresh_token = ?, proof_key = ?
            WHERE id = ?
            """, ring.primary.id, credential.tokenType, credential.scopes, credential.expiresAt,
            credential.refreshTokenExpiresAt, credential.obtainedAt,
            ring.seal(credential.accessToken, at: place("access_token")),
            credential.refreshToken.map { try ring.seal($0, at: place("refresh_token")) },
            credential.proofKey.map { try ring.seal($0, at: place("proof_key")) }, id)
    }

    /// Throws `SealingError` where it does not open.
    func revocation(_ row: Row) throws -> PendingRevocation {
        let id = try row.int64(0)
        let account: AccountID = try row.id(1)
        let user = try row.user(2)
        let provider = try row.provider(3)
        let keyID = try row.text(4)
        func open(_ sealed: [UInt8], _ column: String) throws -> Secret {
            try ring.openSecret(
                sealed, keyID: keyID, at: Self.revocationPlace(column, id, account, provider, user))
        }
        let credential = Credential(
            accessToken: try open(row.bytes(12), "access_token"), tokenType: try row.text(5),
            expiresAt: row.optionalTime(7),
            refreshToken: try row.optionalBytes(13).map { try open($0, "refresh_token") },
            refreshTokenExpiresAt: row.optionalTime(8), scopes: try row.scopes(6),
            proofKey: try row.optionalBytes(14).map { try open($0, "proof_key") }, obtainedAt: try row.time(9))
        return PendingRevocation(
            id: id, accountID: account, provider: provider, credential: credential, createdAt: try row.time(10),
            attempts: try row.int(11))
    }
}
