package import Accounts
import Cryptography
import GRDB

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
    /// What the tokens will be bound to (RFC 9449).
    package var proofKey: Secret?
    /// `Provider.fingerprint` when the flow began.
    package var fingerprint: String
    package var scopes: [Scope]
    package var redirectURI: String
    package var createdAt: Timestamp
}

package struct LinkSessionStore: Sendable {
    let connections: Connections

    /// More than anyone has open in earnest.
    package static let openPerUserMax = 16
    static let authorizationsPerSessionMax = 8
    /// How long a session can still be read after it has expired, so that a page can say so.
    static let afterlife = Duration.seconds(3600)

    /// The token is 32 random bytes in base64url; only its hash is stored. A user has at most `openPerUserMax` open
    /// sessions: the oldest makes room.
    package func create(_ request: LinkSessionRequest) async throws(StoreError) -> (LinkSession, token: Secret) {
        let token = Base64URL.encode(connections.random.bytes(32))
        let session = try await connections.write { transaction in
            try transaction.db.run(
                """
                DELETE FROM link_session WHERE id IN (
                    SELECT id FROM link_session WHERE user_id = ? AND status = 'open' ORDER BY id DESC LIMIT 100 OFFSET ?)
                """, request.userID, Self.openPerUserMax - 1)
            let id: LinkSessionID = transaction.newID()
            try transaction.db.run(
                """
                INSERT INTO link_session (id, token_hash, user_id, user_label, provider, scopes, return_to, confirm,
                    created_at, expires_at)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """, id, Self.hash(token), request.userID, request.userLabel, request.provider, request.scopes,
                request.returnTo, request.confirm, transaction.now, transaction.now + request.lifetime)
            guard let session = try transaction.session("id = ?", id) else { throw StoreError.corrupt }
            return session
        }
        return (session, Secret(token))
    }

    /// `nil` where the token is unknown or the session has expired.
    package func session(token: String) async throws(StoreError) -> LinkSession? {
        let hash = Self.hash(token)
        return try await connections.read { transaction in
            try transaction.session("token_hash = ? AND expires_at > ?", hash, transaction.now)
        }
    }

    /// Expired ones too, for a while.
    package func session(_ id: LinkSessionID) async throws(StoreError) -> LinkSession? {
        try await connections.read { transaction in try transaction.session("id = ?", id) }
    }

    /// The first browser wins, and comes back as often as it likes. `nil` for any other, and where the session is over.
    package func bind(token: String, browser: String) async throws(StoreError) -> LinkSession? {
        let hash = Self.hash(token)
        let browserHash = Self.hash(browser)
        return try await connections.write { transaction in
            let bound = try transaction.db.run(
                """
                UPDATE link_session SET browser_hash = ?1
                WHERE token_hash = ?2 AND status = 'open' AND expires_at > ?3
                    AND (browser_hash IS NULL OR browser_hash = ?1)
                """, browserHash, hash, transaction.now)
            return bound == 1 ? try transaction.session("token_hash = ?", hash) : nil
        }
    }

    /// Stores what the callback needs: `state` hashed, verifier, nonce and key sealed. Throws `.inconsistent` where the session
    /// is over.
    package func beginAuthorization(
        session: LinkSessionID, provider: ProviderID, state: Secret, codeVerifier: Secret?, nonce: Secret?,
        proofKey: Secret? = nil, fingerprint: String, scopes: [Scope], redirectURI: String
    ) async throws(StoreError) {
        let stateHash = state.reveal { Self.hash($0) }
        try await connections.write { transaction in
            guard let open = try transaction.session("id = ?", session), open.status == .open,
                open.expiresAt > transaction.now
            else { throw StoreError.inconsistent("the link session is over") }
            try transaction.db.run(
                """
                DELETE FROM pending_authorization WHERE state_hash IN (
                    SELECT state_hash FROM pending_authorization WHERE session_id = ?
                    ORDER BY created_at DESC LIMIT 100 OFFSET ?)
                """, session, Self.authorizationsPerSessionMax - 1)
            func seal(_ secret: Secret?, _ column: String) throws -> [UInt8]? {
                let place = Self.place(column, stateHash, provider, open.userID)
                return try secret.map { try transaction.ring.seal($0, at: place) }
            }
            try transaction.db.run(
                """
                INSERT INTO pending_authorization (state_hash, session_id, provider, fingerprint, scopes, redirect_uri,
                    created_at, key_id, code_verifier, nonce, proof_key)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """, stateHash, session, provider, fingerprint, scopes, redirectURI, transaction.now,
                transaction.ring.primary.id, seal(codeVerifier, "code_verifier"), seal(nonce, "nonce"),
                seal(proofKey, "proof_key"))
        }
    }

    /// Atomic and once: `nil` where the state is unknown, used, expired, of another provider or another browser, or where
    /// the session is over. Another browser or provider does not use it up.
    package func consume(
        state: String, provider: ProviderID, browser: String
    ) async throws(StoreError) -> PendingAuthorization? {
        let stateHash = Self.hash(state)
        let browserHash = Self.hash(browser)
        return try await connections.write { transaction in
            let row = try transaction.db.first(
                """
                DELETE FROM pending_authorization WHERE state_hash = ?1 AND provider = ?2 AND session_id IN (
                    SELECT id FROM link_session
                    WHERE id = session_id AND browser_hash = ?3 AND status = 'open' AND expires_at > ?4)
                RETURNING session_id, fingerprint, scopes, redirect_uri, created_at, key_id, code_verifier, nonce,
                    proof_key
                """, stateHash, provider, browserHash, transaction.now)
            guard let row else { return nil }
            let id: LinkSessionID = try row.id(0)
            guard let session = try transaction.session("id = ?", id) else { throw StoreError.corrupt }
            let keyID = try row.text(5)
            func open(_ sealed: [UInt8]?, _ column: String) throws -> Secret? {
                let place = Self.place(column, stateHash, provider, session.userID)
                do { return try sealed.map { try transaction.ring.openSecret($0, keyID: keyID, at: place) } } catch {
                    throw StoreError.damaged("an authorization request")
                }
            }
            return PendingAuthorization(
                session: session, provider: provider, codeVerifier: try open(row.optionalBytes(6), "code_verifier"),
                nonce: try open(row.optionalBytes(7), "nonce"),
                proofKey: try open(row.optionalBytes(8), "proof_key"), fingerprint: try row.text(1),
                scopes: try row.scopes(2),
                redirectURI: try row.text(3), createdAt: try row.time(4))
        }
    }

    /// Ends an open session with a stable code.
    package func fail(_ id: LinkSessionID, error: String) async throws(StoreError) {
        try await connections.write { transaction in
            try transaction.db.run(
                "UPDATE link_session SET status = 'failed', error = ? WHERE id = ? AND status = 'open'", error, id)
            try transaction.db.run("DELETE FROM pending_authorization WHERE session_id = ?", id)
        }
    }

    /// Deletes a bounded number of sessions that expired an hour ago, with their authorizations; returns how many.
    @discardableResult
    package func purgeExpired() async throws(StoreError) -> Int {
        try await connections.write { transaction in
            try transaction.db.run(Self.purge, transaction.now - Self.afterlife, 1000)
        }
    }

    static let purge =
        "DELETE FROM link_session WHERE id IN (SELECT id FROM link_session WHERE expires_at <= ? LIMIT ?)"

    static func hash(_ text: String) -> [UInt8] { Digest.sha256(Array(text.utf8)) }

    static func place(_ column: String, _ stateHash: [UInt8], _ provider: ProviderID, _ user: UserID) -> SealedPlace {
        SealedPlace(
            table: "pending_authorization", column: column, row: Hexadecimal.encode(stateHash),
            provider: provider.rawValue, user: user.rawValue)
    }
}

extension Transaction {
    func session(_ condition: String, _ values: (any Bound)...) throws -> LinkSession? {
        let row = try db.rows(
            """
            SELECT id, user_id, user_label, provider, scopes, return_to, confirm, created_at, expires_at, status, error,
                account_id, browser_hash IS NOT NULL
            FROM link_session WHERE \(condition)
            """, values: values
        ).first
        guard let row else { return nil }
        return LinkSession(
            id: try row.id(0), userID: try row.user(1), userLabel: row.optionalText(2),
            provider: try row.optionalText(3).map { _ in try row.provider(3) },
            scopes: try row.optionalText(4).map { _ in try row.scopes(4) }, returnTo: row.optionalText(5),
            confirm: try row.bool(6), createdAt: try row.time(7), expiresAt: try row.time(8), status: try row.word(9),
            error: row.optionalText(10), accountID: try row.optionalText(11).map { _ in try row.id(11) },
            isBound: try row.bool(12))
    }

    /// An open session has brought an account and is over.
    func completeSession(_ id: LinkSessionID, account: AccountID) throws {
        try db.run(
            "UPDATE link_session SET status = 'completed', account_id = ? WHERE id = ? AND status = 'open'", account, id
        )
        try db.run("DELETE FROM pending_authorization WHERE session_id = ?", id)
    }
}
