package import Accounts

package struct LinkSessionRequest: Sendable, Equatable {
    package var userID: UserID
    /// What the user would recognise as themselves at the application.
    package var userLabel: String?
    /// `nil`: the user picks one.
    package var provider: ProviderID?
    package var scopes: [Scope]?
    package var returnTo: String?
    package var confirm: Bool
    package var lifetime: Duration

    package init(
        userID: UserID, userLabel: String? = nil, provider: ProviderID? = nil, scopes: [Scope]? = nil,
        returnTo: String? = nil, confirm: Bool = true, lifetime: Duration = .seconds(600)
    ) {
        self.userID = userID
        self.userLabel = userLabel
        self.provider = provider
        self.scopes = scopes
        self.returnTo = returnTo
        self.confirm = confirm
        self.lifetime = lifetime
    }
}

/// A link begun and not yet completed, or what became of it.
package struct LinkSession: Sendable, Equatable {
    package enum Status: String, Sendable { case open, completed, failed }

    package var id: LinkSessionID
    package var userID: UserID
    package var userLabel: String?
    package var provider: ProviderID?
    package var scopes: [Scope]?
    package var returnTo: String?
    package var confirm: Bool
    package var createdAt: Timestamp
    package var expiresAt: Timestamp
    package var status: Status
    /// A stable code, where `status` is `failed`.
    package var error: String?
    /// Where `status` is `completed`.
    package var accountID: AccountID?
    /// A browser has opened the session; no other one can.
    package var isBound: Bool
}

/// What the callback needs of an authorization request that left, given out once.
package struct PendingAuthorization: Sendable {
    package var session: LinkSession
    package var provider: ProviderID
    package var codeVerifier: Secret?
    package var nonce: Secret?
    /// `Provider.fingerprint` when the flow began.
    package var fingerprint: String
    package var scopes: [Scope]
    package var redirectURI: String
    package var createdAt: Timestamp
}

package struct LinkSessionStore: Sendable {
    /// The token is 32 random bytes; only its hash is stored. A user has at most `openPerUserMax` open sessions: the oldest
    /// makes room.
    package func create(_ request: LinkSessionRequest) async throws(StoreError) -> (LinkSession, token: Secret) {
        throw .closed
    }

    package static let openPerUserMax = 16

    /// `nil` where the token is unknown or the session has expired.
    package func session(token: String) async throws(StoreError) -> LinkSession? { throw .closed }

    package func session(_ id: LinkSessionID) async throws(StoreError) -> LinkSession? { throw .closed }

    /// The first browser wins, and comes back as often as it likes. `nil` for any other, and where the session is over.
    package func bind(token: String, browser: String) async throws(StoreError) -> LinkSession? { throw .closed }

    /// Stores what the callback needs: `state` hashed, verifier and nonce sealed.
    package func beginAuthorization(
        session: LinkSessionID, provider: ProviderID, state: Secret, codeVerifier: Secret?, nonce: Secret?,
        fingerprint: String, scopes: [Scope], redirectURI: String
    ) async throws(StoreError) { throw .closed }

    /// Atomic and once: `nil` where the state is unknown, used, expired, of another provider or another browser, or where
    /// the session is over. Another browser or provider does not use it up.
    package func consume(
        state: String, provider: ProviderID, browser: String
    ) async throws(StoreError) -> PendingAuthorization? { throw .closed }

    /// Ends an open session with a stable code.
    package func fail(_ id: LinkSessionID, error: String) async throws(StoreError) { throw .closed }

    /// Deletes a bounded number of expired sessions and authorizations; returns how many.
    @discardableResult
    package func purgeExpired() async throws(StoreError) -> Int { throw .closed }
}
