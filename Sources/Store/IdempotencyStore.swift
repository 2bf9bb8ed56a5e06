package import Accounts
import Cryptography
import FoundationEssentials
import GRDB

/// A response kept for a client that repeats its request.
package struct StoredResponse: Sendable, Equatable {
    package var status: Int
    package var body: [UInt8]

    package init(status: Int, body: [UInt8]) {
        self.status = status
        self.body = body
    }
}

package enum IdempotentRequest: Sendable, Equatable {
    /// Not seen before: do it, then `finish` or `abandon`.
    case new
    case repeated(StoredResponse)
    /// The first request with this key has not been answered yet.
    case underWay
    /// The key was used with another request.
    case conflict
}

/// Keys live for 24 hours; responses are sealed, for a link session's URL is a secret.
package struct IdempotencyStore: Sendable {
    package static let lifetime = Duration.seconds(86_400)
    /// After which a first request that never ended may be repeated.
    /// Twice the longest wait that a client may ask for.
    static let underWayMax = Duration.seconds(120)

    let connections: Connections

    /// `request` is anything that tells requests apart, such as method, path and body; only its hash is stored.
    package func begin(
        key: String, apiKey: APIKeyID, request: [UInt8]
    ) async throws(StoreError) -> IdempotentRequest {
        let keyHash = Digest.sha256(Array(key.utf8))
        let requestHash = Digest.sha256(request)
        return try await connections.write { transaction in
            let db = transaction.db
            let row = try db.first(
                """
                SELECT request_hash, key_id, response FROM idempotent_request
                WHERE key_hash = ? AND api_key_id = ? AND expires_at > ?
                """, keyHash, apiKey, transaction.now)
            guard let row else {
                try db.run(
                    """
                    INSERT OR REPLACE INTO idempotent_request (key_hash, api_key_id, request_hash, expires_at)
                    VALUES (?, ?, ?, ?)
                    """, keyHash, apiKey, requestHash, transaction.now + Self.underWayMax)
                return .new
            }
            guard constantTimeEqual(try row.bytes(0), requestHash) else { return .conflict }
            guard let sealed = row.optionalBytes(2) else { return .underWay }
            do {
                let bytes = try transaction.ring.open(sealed, keyID: row.text(1), at: Self.place(keyHash, apiKey))
                let answer = try JSONDecoder().decode(SealedResponse.self, from: Data(bytes))
                return .repeated(StoredResponse(status: answer.status, body: Array(answer.body)))
            } catch { throw StoreError.damaged("the stored response of a repeated request") }
        }
    }

    /// Nothing where the key has been taken for another request meanwhile.
    package func finish(
        key: String, apiKey: APIKeyID, request: [UInt8], _ response: StoredResponse
    ) async throws(StoreError) {
        let keyHash = Digest.sha256(Array(key.utf8))
        let answer = SealedResponse(status: response.status, body: Data(response.body))
        try await connections.write { transaction in
            let bytes = Array(try JSONEncoder().encode(answer))
            try transaction.db.run(
                """
                UPDATE idempotent_request SET response = ?, key_id = ?, expires_at = ?
                WHERE key_hash = ? AND api_key_id = ? AND request_hash = ? AND response IS NULL
                """, transaction.ring.seal(bytes, at: Self.place(keyHash, apiKey)), transaction.ring.primary.id,
                transaction.now + Self.lifetime, keyHash, apiKey, Digest.sha256(request))
        }
    }

    /// The request failed and may be tried again.
    package func abandon(key: String, apiKey: APIKeyID, request: [UInt8]) async throws(StoreError) {
        let keyHash = Digest.sha256(Array(key.utf8))
        try await connections.write { transaction in
            try transaction.db.run(
                """
                DELETE FROM idempotent_request
                WHERE key_hash = ? AND api_key_id = ? AND request_hash = ? AND response IS NULL
                """, keyHash, apiKey, Digest.sha256(request))
        }
    }

    /// Deletes a bounded number; returns how many.
    @discardableResult
    package func purgeExpired() async throws(StoreError) -> Int {
        try await connections.write { transaction in
            try transaction.db.run(
                """
                DELETE FROM idempotent_request WHERE rowid IN (
                    SELECT rowid FROM idempotent_request WHERE expires_at <= ? LIMIT 1000)
                """, transaction.now)
        }
    }

    private static func place(_ keyHash: [UInt8], _ apiKey: APIKeyID) -> SealedPlace {
        SealedPlace(
            table: "idempotent_request", column: "response", row: Hexadecimal.encode(keyHash), user: apiKey.rawValue)
    }
}

/// What is sealed, as JSON.
private struct SealedResponse: Codable {
    var status: Int
    var body: Data
}
