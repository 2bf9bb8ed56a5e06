/// Tokens, expiry and granted scope of one linked account, as one answer of a token endpoint left them.
package struct Credential: Sendable, Equatable {
    package var accessToken: Secret
    /// As it must be written in an `Authorization` field, `Bearer` for nearly everyone (RFC 6749 §7.1).
    package var tokenType: String
    /// `nil` where the token does not expire, or nothing says when.
    package var expiresAt: Timestamp?
    package var refreshToken: Secret?
    package var refreshTokenExpiresAt: Timestamp?
    package var scopes: [Scope]
    /// The private key that the tokens are bound to (RFC 9449), in the words of whoever made it; `nil` for bearer tokens.
    package var proofKey: Secret?
    /// When the request that brought it was sent: lifetimes count from there.
    package var obtainedAt: Timestamp

    package init(
        accessToken: Secret, tokenType: String = "Bearer", expiresAt: Timestamp? = nil, refreshToken: Secret? = nil,
        refreshTokenExpiresAt: Timestamp? = nil, scopes: [Scope], proofKey: Secret? = nil, obtainedAt: Timestamp
    ) {
        self.accessToken = accessToken
        self.tokenType = tokenType
        self.expiresAt = expiresAt
        self.refreshToken = refreshToken
        self.refreshTokenExpiresAt = refreshTokenExpiresAt
        self.scopes = scopes
        self.proofKey = proofKey
        self.obtainedAt = obtainedAt
    }
}

/// A credential as stored, with what compare-and-swap and crash recovery need.
package struct StoredCredential: Sendable, Equatable {
    package var credential: Credential
    /// Grows by one with each credential stored for the account; a new one replaces only the generation it was made
    /// from.
    package var generation: Int64
    /// A refresh request with this generation's refresh token may have left and its answer never arrived.
    package var refreshInDoubtSince: Timestamp?

    package init(credential: Credential, generation: Int64, refreshInDoubtSince: Timestamp? = nil) {
        self.credential = credential
        self.generation = generation
        self.refreshInDoubtSince = refreshInDoubtSince
    }
}

/// What the cache holds of one account at the provider. Both documents are JSON text, stored and served as they are.
package struct Profile: Sendable, Equatable {
    package var subject: Subject
    /// A JSON object of OpenID Connect Core §5.1 claims.
    package var claims: String
    /// A JSON object: each resource server response as received, by the manifest's request name.
    package var raw: String
    /// Over claims and raw without the manifest's volatile paths: equal hashes mean that nothing changed.
    package var contentHash: String
    package var email: String?
    package var emailVerified: Bool?
    package var preferredUsername: String?
    /// Validators by request name, for the next conditional request.
    package var validators: [String: Validators]
    /// Tells the mapping that made this from another; empty where that is not known.
    package var mapping: String

    package init(
        subject: Subject, claims: String, raw: String, contentHash: String, email: String? = nil,
        emailVerified: Bool? = nil, preferredUsername: String? = nil, validators: [String: Validators] = [:],
        mapping: String = ""
    ) {
        self.subject = subject
        self.claims = claims
        self.raw = raw
        self.contentHash = contentHash
        self.email = email
        self.emailVerified = emailVerified
        self.preferredUsername = preferredUsername
        self.validators = validators
        self.mapping = mapping
    }
}

/// `ETag` and `Last-Modified` of a response, sent back as `If-None-Match` and `If-Modified-Since` (RFC 9110 §13.1).
package struct Validators: Sendable, Equatable {
    package var etag: String?
    package var lastModified: String?

    package init(etag: String? = nil, lastModified: String? = nil) {
        self.etag = etag
        self.lastModified = lastModified
    }

    package var isEmpty: Bool { etag == nil && lastModified == nil }
}
