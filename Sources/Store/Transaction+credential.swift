import Accounts
import Cryptography
import GRDB

/// Where the tokens of an account belong.
struct CredentialPlace {
    var account: AccountID
    var provider: ProviderID
    var user: UserID
    var generation: Int64
    var table = "credential"

    func column(_ name: String) -> SealedPlace {
        SealedPlace(
            table: table, column: name, row: account.rawValue, provider: provider.rawValue, user: user.rawValue,
            generation: generation)
    }
}

/// A row of `credential`, its tokens still sealed.
struct CredentialRow {
    static let columns = """
        c.generation, c.key_id, c.token_type, c.expires_at, c.refresh_token_expires_at, c.obtained_at, c.access_token,
            c.refresh_token, c.lease_owner, c.lease_until, c.refresh_started_at, c.refresh_in_doubt, c.import_digest,
            c.proof_key
        """

    static let select = """
        SELECT c.account_id, a.provider, a.user_id, a.scopes, \(columns)
        FROM credential c JOIN linked_account a ON a.id = c.account_id
        """

    let place: CredentialPlace
    let keyID: String
    let tokenType: String
    let expiresAt: Timestamp?
    let refreshTokenExpiresAt: Timestamp?
    let obtainedAt: Timestamp
    let scopes: [Scope]
    let accessToken: [UInt8]
    let refreshToken: [UInt8]?
    let leaseOwner: String?
    let leaseUntil: Timestamp
    let refreshStartedAt: Timestamp?
    let isInDoubt: Bool
    let importDigest: [UInt8]?
    let proofKey: [UInt8]?

    var id: AccountID { place.account }
    var generation: Int64 { place.generation }

    /// From the columns of `select`.
    init(_ row: Row) throws {
        try self.init(
            row, from: 4, account: row.id(0), provider: row.provider(1), user: row.user(2), scopes: row.scopes(3))
    }

    /// `columns` begin at `index`.
    init(
        _ row: some Columns, from index: Int, account: AccountID, provider: ProviderID, user: UserID, scopes: [Scope]
    ) throws {
        place = CredentialPlace(
            account: account, provider: provider, user: user, generation: try row.int64(index))
        keyID = try row.text(index + 1)
        tokenType = try row.text(index + 2)
        expiresAt = row.optionalTime(index + 3)
        refreshTokenExpiresAt = row.optionalTime(index + 4)
        obtainedAt = try row.time(index + 5)
        self.scopes = scopes
        accessToken = try row.bytes(index + 6)
        refreshToken = row.optionalBytes(index + 7)
        leaseOwner = row.optionalText(index + 8)
        leaseUntil = try row.time(index + 9)
        refreshStartedAt = row.optionalTime(index + 10)
        isInDoubt = try row.bool(index + 11)
        importDigest = row.optionalBytes(index + 12)
        proofKey = row.optionalBytes(index + 13)
    }

    func isLeased(at now: Timestamp) -> Bool {
        leaseOwner != nil && leaseUntil > now && leaseUntil - now <= Transaction.leaseMax
    }
}

extension Transaction {
    func credentialRow(_ id: AccountID) throws -> CredentialRow? {
        try db.first(CredentialRow.select + " WHERE c.account_id = ?", id).map(CredentialRow.init)
    }

    func seal(
        _ credential: Credential, _ place: CredentialPlace
    ) throws(StoreError) -> (access: [UInt8], refresh: [UInt8]?, proofKey: [UInt8]?) {
        func seal(_ secret: Secret?, _ column: String) throws(StoreError) -> [UInt8]? {
            guard let secret else { return nil }
            return try ring.seal(secret, at: place.column(column))
        }
        return (
            try ring.seal(credential.accessToken, at: place.column("access_token")),
            try seal(credential.refreshToken, "refresh_token"), try seal(credential.proofKey, "proof_key")
        )
    }

    /// Throws `.credentialDamaged`.
    func open(_ row: CredentialRow) throws(StoreError) -> StoredCredential {
        do throws(SealingError) {
            let access = try ring.openSecret(row.accessToken, keyID: row.keyID, at: row.place.column("access_token"))
            var proofKey: Secret?
            if let sealed = row.proofKey {
                proofKey = try ring.openSecret(sealed, keyID: row.keyID, at: row.place.column("proof_key"))
            }
            var refresh: Secret?
            if let sealed = row.refreshToken {
                refresh = try ring.openSecret(sealed, keyID: row.keyID, at: row.place.column("refresh_token"))
            }
            let credential = Credential(
                accessToken: access, tokenType: row.tokenType, expiresAt: row.expiresAt, refreshToken: refresh,
                refreshTokenExpiresAt: row.refreshTokenExpiresAt, scopes: row.scopes, proofKey: proofKey,
                obtainedAt: row.obtainedAt)
            return StoredCredential(
                credential: credential, generation: row.generation,
                refreshInDoubtSince: row.isLeased(at: now) ? nil : row.refreshStartedAt)
        } catch {
            if case .unknownKey(let key) = error { throw .credentialDamaged(row.id, missingKey: key) }
            throw .credentialDamaged(row.id)
        }
    }

    /// Puts the next generation in a row's place and forgets its intent and lease.
    /// - Parameter isRefreshed: a refresh brought it, not consent or an import.
    func replace(
        _ row: CredentialRow, with new: Credential, isRefreshed: Bool, importDigest: [UInt8]? = nil
    ) throws {
        var place = row.place
        place.generation += 1
        let tokens = try seal(new, place)
        try db.run(
            """
            UPDATE credential SET generation = ?, key_id = ?, token_type = ?, expires_at = ?,
                refresh_token_expires_at = ?, obtained_at = ?, import_digest = coalesce(?, import_digest),
                access_token = ?, refresh_token = ?, proof_key = ?, lease_owner = NULL, lease_until = 0, refresh_started_at = NULL,
                refresh_in_doubt = 0
            WHERE account_id = ?
            """, place.generation, ring.primary.id, new.tokenType, new.expiresAt, new.refreshTokenExpiresAt,
            new.obtainedAt, importDigest, tokens.access, tokens.refresh, tokens.proofKey, row.id)
        let old = TokenForesight.Replaced(
            refreshTokenExpiresAt: row.refreshTokenExpiresAt, obtainedAt: row.obtainedAt)
        try foresee(row.id, new, replacing: isRefreshed ? old : nil)
        if new.scopes != row.scopes {
            try db.run("UPDATE linked_account SET scopes = ? WHERE id = ?", new.scopes, row.id)
            let change = [row.scopes, new.scopes].map { $0.map(\.rawValue).joined(separator: " ") }
            try audit(
                .scopesChanged, account: row.id, user: row.place.user, provider: row.place.provider,
                detail: change.joined(separator: " -> "))
        }
    }
}
