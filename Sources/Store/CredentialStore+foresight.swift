package import Accounts
import GRDB

/// A token that is to be refreshed ahead of need.
package struct ForeseenRefresh: Sendable, Equatable {
    package var account: AccountID
    /// When a caller last took it, as far as was noted.
    package var takenAt: Timestamp?

    package init(account: AccountID, takenAt: Timestamp?) {
        self.account = account
        self.takenAt = takenAt
    }
}

/// An account that will need its user.
package struct ExpiringAccount: Sendable, Equatable {
    package var account: LinkedAccount
    package var grantEndsAt: Timestamp
}

extension CredentialStore {
    /// Those of one provider whose time to be refreshed has come by `horizon`, the earliest first. Each is due again
    /// after `retryAfter`, unless a refresh moves it before that. None while the provider is paused.
    package func claimForeseen(
        of provider: ProviderID, until horizon: Timestamp, limit: Int, retryAfter: Duration
    ) async throws(StoreError) -> [ForeseenRefresh] {
        // Mostly nothing is due: a look keeps nobody from writing.
        let isDue = try await connections.read { transaction in
            try transaction.db.first(Self.isForeseenDueSQL, provider, horizon) != nil
        }
        guard isDue else { return [] }
        return try await connections.write { transaction in
            if try transaction.pause(of: provider, now: transaction.now) != nil { return [] }
            return try transaction.db.rows(
                Self.claimForeseenSQL, transaction.now + retryAfter, provider, horizon, limit
            ).map { ForeseenRefresh(account: try $0.id(0), takenAt: $0.optionalTime(1)) }
        }
    }

    static let isForeseenDueSQL = """
        SELECT 1 FROM sync_schedule WHERE provider = ? AND token_refresh_at <= ? ORDER BY token_refresh_at LIMIT 1
        """

    static let claimForeseenSQL = """
        UPDATE sync_schedule SET token_refresh_at = ?1
        WHERE account_id IN (
            SELECT account_id FROM sync_schedule
            WHERE provider = ?2 AND token_refresh_at <= ?3 ORDER BY token_refresh_at LIMIT ?4)
        RETURNING account_id, token_taken_at
        """

    /// How many tokens of a provider are to be refreshed by then, counted up to `SyncScheduleStore.dueCountMax`.
    package func countForeseen(of provider: ProviderID, until time: Timestamp) async throws(StoreError) -> Int {
        try await connections.read { transaction in
            try transaction.db.first(Self.countForeseenSQL, provider, time, SyncScheduleStore.dueCountMax)?.int(0) ?? 0
        }
    }

    static let countForeseenSQL = """
        SELECT count(*) FROM (
            SELECT 1 FROM sync_schedule WHERE provider = ? AND token_refresh_at <= ? LIMIT ?)
        """

    /// `nil`: nobody refreshes the token before somebody asks for it.
    package func foresee(_ id: AccountID, at time: Timestamp?) async throws(StoreError) {
        try await connections.write { transaction in
            try transaction.db.run("UPDATE sync_schedule SET token_refresh_at = ? WHERE account_id = ?", time, id)
        }
    }

    /// When the token of an account is to be refreshed though nobody asks.
    package func foreseen(_ id: AccountID) async throws(StoreError) -> Timestamp? {
        try await connections.read { transaction in
            try transaction.db.first("SELECT token_refresh_at FROM sync_schedule WHERE account_id = ?", id)?
                .optionalTime(0)
        }
    }

    /// A caller took the access token: from now on it is refreshed ahead of its end.
    package func noteTaken(_ id: AccountID, _ credential: Credential) async throws(StoreError) {
        try await connections.write { transaction in
            let plan = TokenForesight.plan(for: credential, of: id, takenAt: transaction.now, now: transaction.now)
            try transaction.db.run(
                """
                UPDATE sync_schedule SET token_taken_at = ?1,
                    token_refresh_at = CASE WHEN token_refresh_at < ?2 THEN token_refresh_at ELSE ?2 END
                WHERE account_id = ?3
                """, transaction.now, plan?.at, id)
        }
    }

    /// Accounts of a provider that still work, and will need their user by `time`: the soonest first.
    /// - Parameter after: the last one of the page before.
    package func expiring(
        of provider: ProviderID, until time: Timestamp, after last: ExpiringAccount? = nil, limit: Int
    ) async throws(StoreError) -> [ExpiringAccount] {
        try await connections.read { transaction in
            try transaction.db.rows(
                Self.expiringSQL, provider, time, last?.grantEndsAt ?? Timestamp(millisecondsSinceEpoch: .min),
                last?.account.id.rawValue ?? "", limit
            ).map { ExpiringAccount(account: try Transaction.account($0), grantEndsAt: try $0.time(15)) }
        }
    }

    static let expiringSQL = """
        SELECT \(Transaction.accountColumns), s.grant_ends_at FROM sync_schedule s
            CROSS JOIN linked_account a ON a.id = s.account_id LEFT JOIN profile p ON p.account_id = a.id
        WHERE s.provider = ?1 AND s.grant_ends_at <= ?2 AND (s.grant_ends_at, s.account_id) > (?3, ?4)
            AND a.status <> 'needs_relink'
        ORDER BY s.grant_ends_at, s.account_id LIMIT ?5
        """

    /// How many accounts of a provider still work and will need their user by `time`, up to
    /// `SyncScheduleStore.dueCountMax`.
    package func countExpiring(of provider: ProviderID, until time: Timestamp) async throws(StoreError) -> Int {
        try await connections.read { transaction in
            try transaction.db.first(Self.countExpiringSQL, provider, time, SyncScheduleStore.dueCountMax)?.int(0) ?? 0
        }
    }

    static let countExpiringSQL = """
        SELECT count(*) FROM (
            SELECT 1 FROM sync_schedule s JOIN linked_account a ON a.id = s.account_id
            WHERE s.provider = ? AND s.grant_ends_at <= ? AND a.status <> 'needs_relink' LIMIT ?)
        """
}

extension Transaction {
    /// Plans ahead for what was just stored.
    /// - Parameter old: `nil` where consent or an import brought `credential`.
    func foresee(_ id: AccountID, _ credential: Credential, replacing old: TokenForesight.Replaced?) throws {
        let takenAt = try db.first("SELECT token_taken_at FROM sync_schedule WHERE account_id = ?", id)?.optionalTime(0)
        let plan = TokenForesight.plan(for: credential, of: id, takenAt: takenAt, now: now)
        try db.run(
            "UPDATE sync_schedule SET token_refresh_at = ?, grant_ends_at = ? WHERE account_id = ?", plan?.at,
            TokenForesight.grantEnd(of: credential, replacing: old), id)
    }
}
