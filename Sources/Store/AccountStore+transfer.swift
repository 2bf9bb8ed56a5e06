import Accounts
import Cryptography

extension AccountStore {
    /// One transaction for the batch; an outcome for each, in order. Running the same import again changes nothing: tokens
    /// that were imported before are known by their digest, so that spent ones do not replace what they were refreshed to.
    package func importAccounts(_ batch: [ImportedAccount]) async throws(StoreError) -> [ImportOutcome] {
        try await connections.write { transaction in try batch.map { try Self.store($0, transaction) } }
    }

    private static func store(_ imported: ImportedAccount, _ transaction: Transaction) throws -> ImportOutcome {
        if let profile = imported.profile, profile.subject != imported.subject {
            throw StoreError.inconsistent("the profile is of another subject")
        }
        let digest = digest(imported)
        guard let held = try transaction.account(provider: imported.provider, subject: imported.subject) else {
            let id = try transaction.insertAccount(
                user: imported.userID, provider: imported.provider, subject: imported.subject,
                credential: imported.credential, linkedAt: imported.linkedAt ?? transaction.now,
                nextSyncAt: imported.nextSyncAt, importDigest: digest)
            if let profile = imported.profile {
                try transaction.store(profile, of: id, imported.userID, imported.provider, nil)
                try transaction.confirmProfile(
                    of: id, at: transaction.now, validators: profile.validators, mapping: profile.mapping)
            }
            return .created(id)
        }
        guard held.userID == imported.userID else { return .conflict }
        guard let row = try transaction.credentialRow(held.id) else { throw StoreError.corrupt }
        if row.importDigest == digest { return .unchanged(held.id) }
        // What does not open can only get better.
        if let stored = try? transaction.open(row).credential, stored.accessToken == imported.credential.accessToken,
            stored.refreshToken == imported.credential.refreshToken
        {
            return .unchanged(held.id)
        }
        try transaction.renewAccount(
            held, credential: imported.credential, nextSyncAt: imported.nextSyncAt, importDigest: digest)
        return .replaced(held.id)
    }

    /// Bound to the account, so that equal tokens of two accounts do not show.
    private static func digest(_ imported: ImportedAccount) -> [UInt8] {
        let tokens = [imported.credential.accessToken, imported.credential.refreshToken].map { token in
            token.map { $0.reveal { Digest.sha256(Array($0.utf8)) } } ?? []
        }
        let account = "\(imported.provider)|\(imported.subject)|"
        return Digest.sha256(Array(account.utf8) + tokens[0] + tokens[1])
    }

    /// Tokens in the clear: for `accounts export` alone. Keyset by account id, each page a snapshot of its own.
    package func exportAccounts(after: String? = nil, limit: Int) async throws(StoreError) -> Page<ExportedAccount> {
        if let after, AccountID(after) == nil { throw .inconsistent("after: not a cursor of this list") }
        return try await connections.read { transaction in
            let rows = try transaction.db.rows(Self.export, after ?? "", limit + 1)
            let items = try rows.prefix(limit).map { row in
                let account = try Transaction.account(row)
                // One that does not open is exported without tokens: `vault verify` says why.
                let credential = try transaction.credentialRow(account.id).flatMap {
                    try? transaction.open($0).credential
                }
                var profile: ProfileContent?
                if let claims = row.optionalText(15), let raw = row.optionalText(16) {
                    profile = ProfileContent(claims: claims, raw: raw)
                }
                return ExportedAccount(account: account, credential: credential, profile: profile)
            }
            return Page(items: items, next: rows.count > limit ? items.last?.account.id.rawValue : nil)
        }
    }

    static let export = """
        SELECT \(Transaction.accountColumns), p.claims, p.raw FROM \(Transaction.accountTables)
        WHERE a.id > ? ORDER BY a.id LIMIT ?
        """
}
