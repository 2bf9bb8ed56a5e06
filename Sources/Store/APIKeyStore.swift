package import Accounts
import Cryptography
import GRDB
import Synchronization

package enum APIKeyScope: String, Sendable, CaseIterable {
    case linksWrite = "links:write"
    case accountsRead = "accounts:read"
    case accountsWrite = "accounts:write"
    case tokensRead = "tokens:read"
    case admin
}

package struct APIKey: Sendable, Equatable {
    package var id: APIKeyID
    package var name: String
    /// The first characters of the key, to tell keys apart.
    package var prefix: String
    package var scopes: Set<APIKeyScope>
    package var createdAt: Timestamp
    package var expiresAt: Timestamp?
    /// To the minute.
    package var lastUsedAt: Timestamp?
    package var revokedAt: Timestamp?
}

package struct APIKeyStore: Sendable {
    /// How long a key counts as valid without looking it up again.
    static let cacheLifetime = Duration.seconds(1)
    /// How exact `lastUsedAt` is.
    static let usePrecision = Duration.seconds(60)
    private static let cacheMax = 1024

    let connections: Connections
    private let cache = KeyCache()

    init(connections: Connections) { self.connections = connections }

    /// The secret is `rck_` and 32 random bytes in base64url, shown here and never again.
    package func create(
        name: String, scopes: Set<APIKeyScope>, expiresAt: Timestamp? = nil
    ) async throws(StoreError) -> (APIKey, secret: Secret) {
        guard (1...255).contains(name.unicodeScalars.count) else {
            throw .inconsistent("the name of a key has 1 to 255 characters")
        }
        let secret = "rck_" + Base64URL.encode(connections.random.bytes(32))
        let key = try await connections.write { transaction in
            let key = APIKey(
                id: transaction.newID(), name: name, prefix: Self.prefix(secret), scopes: scopes,
                createdAt: transaction.now, expiresAt: expiresAt)
            try transaction.db.run(
                """
                INSERT INTO api_key (id, name, prefix, hash, scopes, created_at, expires_at)
                VALUES (?, ?, ?, ?, ?, ?, ?)
                """, key.id, name, key.prefix, Digest.sha256(Array(secret.utf8)),
                scopes.map(\.rawValue).sorted().joined(separator: " "), key.createdAt, expiresAt)
            try transaction.audit(.apiKeyCreated, detail: key.id.rawValue)
            return key
        }
        return (key, Secret(secret))
    }

    /// Synchronous and cached for at most a second, so that a revocation by another process counts within that. Unknown
    /// and wrong secrets take the same path (a look-up, and one comparison of hashes at least).
    package func authenticate(_ secret: String) throws(StoreError) -> APIKey? {
        let now = connections.time.now()
        let hash = Digest.sha256(Array(secret.utf8))
        let held = cache.entries.withLock { $0[hash] }
        // A clock set back must not make an entry live longer.
        if let held, held.readAt <= now, now - held.readAt < Self.cacheLifetime {
            return isValid(held.key, now) ? noteUse(of: held.key, now) : nil
        }
        let rows = try connections.readers.run(.keyByPrefix, [Self.prefix(secret)]) { (row) throws(StoreError) in
            (hash: row.bytes(0), key: try APIKey(row))
        }
        var found: APIKey?
        for row in rows where constantTimeEqual(row.hash, hash) { found = row.key }
        if rows.isEmpty { _ = constantTimeEqual(hash, Digest.sha256(hash)) }
        cache.entries.withLock { entries in
            if entries.count >= Self.cacheMax { entries = [:] }
            entries[hash] = found.map { KeyCache.Entry(key: $0, readAt: now) }
        }
        guard let found, isValid(found, now) else { return nil }
        return noteUse(of: found, now)
    }

    private func isValid(_ key: APIKey, _ now: Timestamp) -> Bool {
        if let end = key.expiresAt, end <= now { return false }
        return key.revokedAt == nil
    }

    /// Writes behind the request's back, at most once a minute and key.
    private func noteUse(of key: APIKey, _ now: Timestamp) -> APIKey {
        let isDue = cache.uses.withLock { uses in
            let last = uses[key.id] ?? key.lastUsedAt
            if let last, last <= now, now - last < Self.usePrecision { return false }
            if uses.count >= Self.cacheMax { uses = [:] }
            uses[key.id] = now
            return true
        }
        if isDue {
            connections.writeInBackground { transaction in
                try transaction.db.run(
                    "UPDATE api_key SET last_used_at = max(coalesce(last_used_at, ?1), ?1) WHERE id = ?2", now, key.id)
            }
        }
        return key
    }

    /// Revoked ones too, in the order in which they were made.
    package func list() async throws(StoreError) -> [APIKey] {
        try await connections.read { transaction in
            try transaction.db.rows(
                """
                SELECT NULL, id, name, prefix, scopes, created_at, expires_at, last_used_at, revoked_at
                FROM api_key ORDER BY id
                """
            ).map { row in
                APIKey(
                    id: try row.id(1), name: try row.text(2), prefix: try row.text(3),
                    scopes: APIKey.scopes(try row.text(4)), createdAt: try row.time(5), expiresAt: row.optionalTime(6),
                    lastUsedAt: row.optionalTime(7), revokedAt: row.optionalTime(8))
            }
        }
    }

    /// False where there is none, or it is revoked already.
    package func revoke(_ id: APIKeyID) async throws(StoreError) -> Bool {
        let isRevoked = try await connections.write { transaction in
            let isRevoked =
                try transaction.db.run(
                    "UPDATE api_key SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", transaction.now, id) == 1
            if isRevoked { try transaction.audit(.apiKeyRevoked, detail: id.rawValue) }
            return isRevoked
        }
        cache.entries.withLock { $0 = [:] }
        return isRevoked
    }

    private static func prefix(_ secret: String) -> String { String(secret.prefix(12)) }
}

/// By hash of the secret; bounded.
private final class KeyCache: Sendable {
    struct Entry {
        var key: APIKey
        var readAt: Timestamp
    }

    let entries = Mutex<[[UInt8]: Entry]>([:])
    let uses = Mutex<[APIKeyID: Timestamp]>([:])
}

extension APIKey {
    /// From the columns of `ReadStatement.keyByPrefix`.
    init(_ row: borrowing ReadRow) throws(StoreError) {
        guard let id = APIKeyID(row.text(1)), let createdAt = row.optionalTime(5) else { throw .corrupt }
        self.init(
            id: id, name: row.text(2), prefix: row.text(3), scopes: Self.scopes(row.text(4)), createdAt: createdAt,
            expiresAt: row.optionalTime(6), lastUsedAt: row.optionalTime(7), revokedAt: row.optionalTime(8))
    }

    /// A scope that a later version introduced grants nothing here.
    static func scopes(_ text: String) -> Set<APIKeyScope> {
        Set(text.split(separator: " ").compactMap { APIKeyScope(rawValue: String($0)) })
    }
}
