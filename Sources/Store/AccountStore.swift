package import Accounts
import Cryptography
import GRDB

/// Linked accounts: made, listed, marked, moved and erased.
package struct AccountStore: Sendable {
    let connections: Connections

    /// In one transaction: account, sealed credential, profile, schedule, changes, session. Where the same user links the
    /// account again, an old refresh token stays if the new answer has none, and an account that needed a relink recovers.
    /// An account that moves gets a new id: the old one must not lead its former user to the new one's profile.
    package func link(_ link: NewLink) async throws(StoreError) -> LinkOutcome {
        guard link.profile.subject == link.subject else { throw .inconsistent("the profile is of another subject") }
        return try await connections.write { transaction in
            if let session = link.sessionID, try transaction.session("id = ?", session)?.status != .open {
                return .sessionEnded
            }
            if let device = link.deviceLinkID, try transaction.deviceLink(device)?.nextAt == nil {
                return .sessionEnded
            }
            var id: AccountID?
            if let held = try transaction.account(provider: link.provider, subject: link.subject) {
                if held.userID == link.userID {
                    id = held.id
                    try transaction.renewAccount(held, credential: link.credential, nextSyncAt: link.nextSyncAt)
                } else {
                    guard link.movesFromOtherUser else { return .heldByAnotherUser }
                    // Not into the revocation outbox: at many providers a revocation ends the whole grant, the new one too.
                    try transaction.eraseAccount(held)
                }
            }
            let isNew = id == nil
            let account =
                try id
                ?? transaction.insertAccount(
                    user: link.userID, provider: link.provider, subject: link.subject, credential: link.credential,
                    linkedAt: transaction.now, nextSyncAt: link.nextSyncAt)
            if let requested = link.requestedScopes {
                try transaction.db.run(
                    "UPDATE linked_account SET requested_scopes = ? WHERE id = ?", requested, account)
            }
            try transaction.store(link.profile, of: account, link.userID, link.provider, link.difference)
            try transaction.confirmProfile(
                of: account, at: transaction.now, validators: link.profile.validators,
                mapping: link.profile.mapping)
            if let session = link.sessionID, link.completesSession {
                try transaction.completeSession(session, account: account)
            }
            if let device = link.deviceLinkID { try transaction.completeDeviceLink(device, account: account) }
            guard let linked = try transaction.account(account) else { throw StoreError.corrupt }
            return .linked(linked, isNew: isNew)
        }
    }

    package func account(_ id: AccountID) async throws(StoreError) -> LinkedAccount? {
        try await connections.read { try $0.account(id) }
    }

    package func account(provider: ProviderID, subject: Subject) async throws(StoreError) -> LinkedAccount? {
        try await connections.read { try $0.account(provider: provider, subject: subject) }
    }

    /// In the order in which they were linked.
    /// - Parameter after: the last account of the page before.
    package func accounts(
        of user: UserID, after: AccountID? = nil, limit: Int
    ) async throws(StoreError) -> Page<AccountWithClaims> {
        try await connections.read { transaction in
            let rows = try transaction.db.rows(Self.accountsOfUser, user, after?.rawValue ?? "", limit + 1)
            let accounts = try rows.prefix(limit).map { try Self.withClaims($0) }
            return Page(
                items: accounts, next: rows.count > limit ? accounts.last?.account.id.rawValue : nil)
        }
    }

    package func accountWithClaims(_ id: AccountID) async throws(StoreError) -> AccountWithClaims? {
        try await connections.read { transaction in
            try transaction.db.first(Self.accountAndClaims, id).map { try Self.withClaims($0) }
        }
    }

    private static func withClaims(_ row: Row) throws -> AccountWithClaims {
        AccountWithClaims(account: try Transaction.account(row), claims: row.optionalText(15))
    }

    static let accountAndClaims = """
        SELECT \(Transaction.accountColumns), p.claims FROM \(Transaction.accountTables) WHERE a.id = ?
        """

    static let accountsOfUser = """
        SELECT \(Transaction.accountColumns), p.claims FROM \(Transaction.accountTables)
        WHERE a.user_id = ? AND a.id > ? ORDER BY a.id LIMIT ?
        """

    /// Erases the account, its tokens and its profile, and moves the credential into the revocation outbox. A refresh
    /// under way finds nothing to commit to. `nil` where there is no such account.
    package func unlink(_ id: AccountID) async throws(StoreError) -> UnlinkedAccount? {
        try await connections.write { transaction in
            try transaction.account(id).map { try transaction.unlink($0) }
        }
    }

    /// Unlinks everything of a user and erases their link sessions and device links.
    package func eraseUser(_ user: UserID) async throws(StoreError) -> [UnlinkedAccount] {
        try await connections.write { transaction in
            try transaction.db.run("DELETE FROM link_session WHERE user_id = ?", user)
            try transaction.db.run("DELETE FROM device_link WHERE user_id = ?", user)
            return try transaction.db.rows("SELECT id FROM linked_account WHERE user_id = ? ORDER BY id", user)
                .compactMap { row in try transaction.account(row.id(0)).map { try transaction.unlink($0) } }
        }
    }

    /// Compare-and-swap: false where the credential's generation moved, the account is gone or is marked already.
    package func markNeedsRelink(
        _ id: AccountID, generation: Int64, code: AccountProblem.Code, detail: String
    ) async throws(StoreError) -> Bool {
        try await connections.write { transaction in
            guard let row = try transaction.credentialRow(id), row.generation == generation,
                let account = try transaction.account(id)
            else { return false }
            // Whoever marked it: a refresh of it is over, and what was in doubt is so no more.
            try transaction.db.run(
                """
                UPDATE credential SET lease_owner = NULL, lease_until = 0, refresh_started_at = NULL,
                    refresh_in_doubt = 0 WHERE account_id = ?
                """, id)
            if account.statusBeneathPause == .needsRelink { return false }
            try transaction.markNeedsRelink(
                account, problem: AccountProblem(code: code, since: transaction.now, detail: detail))
            return true
        }
    }

    /// By an operator: no sync until `resume`. False where there is no such account, or it is paused already.
    package func pause(_ id: AccountID) async throws(StoreError) -> Bool {
        try await connections.write { transaction in
            guard let account = try transaction.account(id), account.status != .paused else { return false }
            try transaction.setStatus(.paused, problem: account.problem, of: id)
            try transaction.db.run("UPDATE sync_schedule SET next_sync_at = NULL WHERE account_id = ?", id)
            try transaction.audit(
                .accountPaused, account: id, user: account.userID, provider: account.provider)
            return true
        }
    }

    /// Ends a pause: the account is what it was before, and due at `nextSyncAt` unless its grant is dead.
    package func resume(_ id: AccountID, nextSyncAt: Timestamp) async throws(StoreError) -> Bool {
        try await connections.write { transaction in
            guard let account = try transaction.account(id), account.status == .paused else { return false }
            let status = account.statusBeneathPause
            try transaction.setStatus(status, problem: account.problem, of: id)
            try transaction.db.run(
                "UPDATE sync_schedule SET next_sync_at = ? WHERE account_id = ?",
                status == .needsRelink ? nil : transaction.withinHorizon(nextSyncAt), id)
            try transaction.audit(
                .accountResumed, account: id, user: account.userID, provider: account.provider)
            return true
        }
    }

    /// How many accounts each provider has, by status. Kept by the database, not counted.
    package func counts() async throws(StoreError) -> [ProviderID: [AccountStatus: Int]] {
        try await connections.read { transaction in
            var counts: [ProviderID: [AccountStatus: Int]] = [:]
            for row in try transaction.db.rows("SELECT provider, status, accounts FROM account_count") {
                counts[try row.provider(0), default: [:]][try row.word(1)] = try row.int(2)
            }
            return counts
        }
    }
}
