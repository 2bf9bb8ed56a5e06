package import Accounts

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
    /// The secret is `rck_` and 32 random bytes in base64url, shown here and never again.
    package func create(
        name: String, scopes: Set<APIKeyScope>, expiresAt: Timestamp? = nil
    ) async throws(StoreError) -> (APIKey, secret: Secret) { throw .closed }

    /// Synchronous and cached for at most a second, so that a revocation by another process counts within that.
    package func authenticate(_ secret: String) throws(StoreError) -> APIKey? { throw .closed }

    /// Revoked ones too, in the order in which they were made.
    package func list() async throws(StoreError) -> [APIKey] { throw .closed }

    /// False where there is none, or it is revoked already.
    package func revoke(_ id: APIKeyID) async throws(StoreError) -> Bool { throw .closed }
}
