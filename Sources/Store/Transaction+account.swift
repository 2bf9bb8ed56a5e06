import Accounts
import Cryptography
import GRDB
import JSON

/// The rows of a linked account: written together, erased together.
extension Transaction {
    static let accountColumns = """
        a.id, a.user_id, a.provider, a.subject, a.status, a.scopes, a.linked_at,
        a.problem_code, a.problem_since, a.problem_detail, a.problem_next_attempt_at,
        s.synced_at, s.next_sync_at, p.changed_at, a.requested_scopes
        """

    static let accountTables = """
        linked_account a JOIN sync_schedule s ON s.account_id = a.id LEFT JOIN profile p ON p.account_id = a.id
        """

    static func account(_ row: some Columns) throws -> LinkedAccount {
        var problem: AccountProblem?
        if row.optionalText(7) != nil {
            problem = AccountProblem(
                code: try row.word(7), since: try row.time(8), detail: try row.text(9),
                nextAttemptAt: row.optionalTime(10))
        }
        return LinkedAccount(
            id: try row.id(0), userID: try row.user(1), provider: try row.provider(2), subject: try row.subject(3),
            status: try row.word(4), scopes: try row.scopes(5), requestedScopes: try row.scopes(14),
            linkedAt: try row.time(6),
            syncedAt: row.optionalTime(11), changedAt: row.optionalTime(13), nextSyncAt: row.optionalTime(12),
            problem: problem)
    }

    func account(_ id: AccountID) throws -> LinkedAccount? {
        try db.first("SELECT \(Self.accountColumns) FROM \(Self.accountTables) WHERE a.id = ?", id).map(Self.account)
    }

    func account(provider: ProviderID, subject: Subject) throws -> LinkedAccount? {
        try db.first(
            "SELECT \(Self.accountColumns) FROM \(Self.accountTables) WHERE a.provider = ? AND a.subject = ?",
            provider, subject
        ).map(Self.account)
    }

    /// A new account with its credential, its place in the schedule and `account.linked`.
    func insertAccount(
        user: UserID, provider: ProviderID, subject: Subject, credential: Credential, linkedAt: Timestamp,
        nextSyncAt: Timestamp, importDigest: [UInt8]? = nil
    ) throws -> AccountID {
        let id: AccountID = newID()
        try db.run(
            """
            INSERT INTO linked_account (id, user_id, provider, subject, status, scopes, linked_at)
            VALUES (?, ?, ?, ?, 'active', ?, ?)
            """, id, user, provider, subject, credential.scopes, linkedAt)
        let tokens = try seal(credential, CredentialPlace(account: id, provider: provider, user: user, generation: 1))
        try db.run(
            """
            INSERT INTO credential (account_id, generation, key_id, token_type, expires_at, refresh_token_expires_at,
                obtained_at, import_digest, access_token, refresh_token, proof_key)
            VALUES (?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """, id, ring.primary.id, credential.tokenType, credential.expiresAt, credential.refreshTokenExpiresAt,
            credential.obtainedAt, importDigest, tokens.access, tokens.refresh, tokens.proofKey)
        try db.run(
            "INSERT INTO sync_schedule (account_id, provider, next_sync_at) VALUES (?, ?, ?)", id, provider,
            withinHorizon(nextSyncAt))
        try foresee(id, credential, replacing: nil)
        try append(.accountLinked, id, user, provider)
        return id
    }

    /// Fresh consent, or an import, for an account that is held: new tokens, no problem, no lease of the old ones.
    func renewAccount(
        _ account: LinkedAccount, credential: Credential, nextSyncAt: Timestamp, importDigest: [UInt8]? = nil
    ) throws {
        guard let held = try credentialRow(account.id) else { throw StoreError.corrupt }
        var merged = credential
        // A damaged one is as good as none; the new answer stands alone then.
        if merged.refreshToken == nil, let kept = try? open(held).credential {
            merged.refreshToken = kept.refreshToken
            merged.refreshTokenExpiresAt = kept.refreshTokenExpiresAt
            // What the kept one is bound to; a new access token is bound to its own key or to none.
            if merged.proofKey == nil { merged.proofKey = kept.proofKey }
        }
        try replace(held, with: merged, isRefreshed: false, importDigest: importDigest)
        // Only an operator ends a pause that an operator began.
        let status: AccountStatus = account.status == .paused ? .paused : .active
        try db.run(
            """
            UPDATE linked_account SET status = ?, problem_code = NULL, problem_since = NULL, problem_detail = NULL,
                problem_next_attempt_at = NULL WHERE id = ?
            """, status.rawValue, account.id)
        try db.run(
            """
            UPDATE sync_schedule SET next_sync_at = ?, failures = 0, lease_owner = NULL, lease_until = 0
            WHERE account_id = ?
            """, status == .paused ? nil : withinHorizon(nextSyncAt), account.id)
        try audit(.accountRelinked, account: account.id, user: account.userID, provider: account.provider)
        if account.statusBeneathPause != .active {
            try append(.accountRecovered, account.id, account.userID, account.provider)
        }
    }

    /// Stores a profile where its hash differs from the cached one, with the change that says so. Returns whether it did.
    @discardableResult
    func store(
        _ profile: Profile, of id: AccountID, _ user: UserID, _ provider: ProviderID, _ difference: ProfileDifference?
    ) throws -> Bool {
        let held = try db.first("SELECT version, content_hash, claims, raw FROM profile WHERE account_id = ?", id)
        guard let held else {
            try db.run(
                """
                INSERT INTO profile (account_id, user_id, provider, subject, version, changed_at, content_hash, email,
                    email_verified, preferred_username, claims, raw)
                SELECT id, user_id, provider, subject, 1, ?, ?, ?, ?, ?, ?, ? FROM linked_account WHERE id = ?
                """, now, profile.contentHash, profile.email, profile.emailVerified, profile.preferredUsername,
                profile.claims, profile.raw, id)
            try append(.profileCreated, id, user, provider, version: 1)
            return true
        }
        if try held.text(1) == profile.contentHash { return false }
        let version = try held.int64(0) + 1
        let old = ProfileContent(claims: try held.text(2), raw: try held.text(3))
        let new = ProfileContent(claims: profile.claims, raw: profile.raw)
        try db.run(
            """
            UPDATE profile SET version = ?, changed_at = ?, content_hash = ?, email = ?, email_verified = ?,
                preferred_username = ?, claims = ?, raw = ? WHERE account_id = ?
            """, version, now, profile.contentHash, profile.email, profile.emailVerified, profile.preferredUsername,
            profile.claims, profile.raw, id)
        let text = difference?(old, new) ?? Self.replacement(new)
        try append(.profileUpdated, id, user, provider, version: version, patch: text)
        return true
    }

    /// The patch that says only that everything is new.
    static func replacement(_ content: ProfileContent) -> String {
        #"[{"op":"replace","path":"/claims","value":\#(content.claims)},"#
            + #"{"op":"replace","path":"/raw","value":\#(content.raw)}]"#
    }

    /// The provider confirmed the profile at `time`.
    func confirmProfile(
        of id: AccountID, at time: Timestamp, validators: [String: Validators]?, mapping: String? = nil
    ) throws {
        try db.run(
            """
            UPDATE sync_schedule SET synced_at = ?, attempted_at = ?, validators = coalesce(?, validators),
                mapping = coalesce(?, mapping)
            WHERE account_id = ?
            """, time, time, validators.map(Self.text), mapping, id)
    }

    static func text(_ validators: [String: Validators]) -> String {
        var table = JSONObject()
        for (name, value) in validators.sorted(by: { $0.key < $1.key }) {
            var members = JSONObject()
            members["etag"] = value.etag.map { .string($0) }
            members["last_modified"] = value.lastModified.map { .string($0) }
            table[name] = .object(members)
        }
        return table.text
    }

    static func validators(_ text: String) throws -> [String: Validators] {
        if text == "{}" { return [:] }
        guard let table = try JSONValue(parsing: text).object else { throw StoreError.corrupt }
        var validators: [String: Validators] = [:]
        for (name, value) in table {
            validators[name] = Validators(etag: value["etag"]?.string, lastModified: value["last_modified"]?.string)
        }
        return validators
    }

    /// Erases everything held about an account but the fact that there was one; the credential is the caller's affair.
    func eraseAccount(_ account: LinkedAccount) throws {
        try db.run("DELETE FROM linked_account WHERE id = ?", account.id)
        // Limits per token are counted under the account's id and the window.
        try db.run(
            "DELETE FROM request_allowance WHERE provider = ? AND key >= ? AND key < ?", account.provider,
            account.id.rawValue + "/", account.id.rawValue + "0")
        // Patches quote the profile.
        try db.run("UPDATE change SET patch = NULL WHERE account_id = ? AND patch IS NOT NULL", account.id)
        try append(.accountUnlinked, account.id, account.userID, account.provider)
    }

    /// Erases, and leaves the credential to the revocation outbox.
    func unlink(_ account: LinkedAccount) throws -> UnlinkedAccount {
        let held = try credentialRow(account.id)
        // One that does not open can't be revoked; the user can still do so at the provider.
        let credential = held.flatMap { try? open($0).credential }
        try eraseAccount(account)
        let revocation = try credential.map {
            try addRevocation(account: account.id, user: account.userID, provider: account.provider, credential: $0)
        }
        return UnlinkedAccount(account: account, revocation: revocation)
    }

    /// A refresh succeeded after all: the grant is alive.
    func revive(_ account: LinkedAccount) throws {
        let isPaused = account.status == .paused
        try setStatus(isPaused ? .paused : .active, problem: nil, of: account.id)
        if !isPaused {
            try db.run("UPDATE sync_schedule SET next_sync_at = ?, failures = 0 WHERE account_id = ?", now, account.id)
        }
        try append(.accountRecovered, account.id, account.userID, account.provider)
    }

    /// Marks an account whose grant is dead: no sync until the user links again. One that an operator paused stays
    /// paused, and its problem tells what it will be.
    func markNeedsRelink(_ account: LinkedAccount, problem: AccountProblem) throws {
        try setStatus(account.status == .paused ? .paused : .needsRelink, problem: problem, of: account.id)
        try db.run(
            "UPDATE sync_schedule SET next_sync_at = NULL, token_refresh_at = NULL WHERE account_id = ?", account.id)
        try append(.accountNeedsRelink, account.id, account.userID, account.provider, problem: problem.code)
    }

    func setStatus(_ status: AccountStatus, problem: AccountProblem?, of id: AccountID) throws {
        try db.run(
            """
            UPDATE linked_account SET status = ?, problem_code = ?, problem_since = ?, problem_detail = ?,
                problem_next_attempt_at = ? WHERE id = ?
            """, status.rawValue, problem?.code.rawValue, problem?.since, problem?.detail, problem?.nextAttemptAt, id)
    }
}

extension LinkedAccount {
    /// What the status is, or was when an operator paused the account: its problem stays as it was and tells.
    var statusBeneathPause: AccountStatus {
        guard status == .paused else { return status }
        switch problem?.code {
        case .consentRevoked, .refreshExpired, .rotationLost, .scopeLost: return .needsRelink
        case .userSuspended: return .suspended
        default: return .active
        }
    }
}
