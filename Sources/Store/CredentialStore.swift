package import Accounts

package enum RefreshClaim: Sendable, Equatable {
    /// The intent is durable; the request may leave. `wasInDoubt`: an earlier one with the same refresh token may have
    /// reached the provider.
    case claimed(StoredCredential, wasInDoubt: Bool)
    case heldElsewhere(until: Timestamp)
    case gone
}

/// The sealed tokens of linked accounts.
package struct CredentialStore: Sendable {
    let connections: Connections

    /// Throws `.credentialDamaged` where it does not open. `refreshInDoubtSince` is set where a refresh was begun, not
    /// finished, and is no longer under way.
    package func read(_ id: AccountID) async throws(StoreError) -> StoredCredential? {
        try await connections.read { transaction in
            try transaction.credentialRow(id).map { try transaction.open($0) }
        }
    }

    /// Leases the refresh and writes down the intent. Durable before it returns: intent before request. Throws
    /// `.credentialDamaged`, with nothing leased.
    package func beginRefresh(
        _ id: AccountID, owner: String, lease: Duration
    ) async throws(StoreError) -> RefreshClaim {
        try await connections.write { transaction in
            guard let row = try transaction.credentialRow(id) else { return .gone }
            if row.isLeased(at: transaction.now) { return .heldElsewhere(until: row.leaseUntil) }
            let stored = try transaction.open(row)
            let wasInDoubt = row.refreshStartedAt != nil
            let changed = try transaction.db.run(
                """
                UPDATE credential SET lease_owner = ?1, lease_until = ?2,
                    refresh_started_at = coalesce(refresh_started_at, ?3), refresh_in_doubt = ?4
                WHERE account_id = ?5 AND generation = ?6
                """, owner, transaction.now + min(lease, Transaction.leaseMax), transaction.now, wasInDoubt, id,
                row.generation)
            guard changed == 1 else { throw StoreError.corrupt }
            return .claimed(stored, wasInDoubt: wasInDoubt)
        }
    }

    /// Stores what a refresh brought, durably, and clears intent and lease. False where the generation moved or the account
    /// is gone. The owner need not hold the lease any more: an answer made from the stored generation is newer than it, and
    /// with a rotating provider the only one that still counts. For the same reason an account that was marked meanwhile
    /// recovers.
    package func commitRefresh(
        _ id: AccountID, owner: String, from generation: Int64, _ new: Credential
    ) async throws(StoreError) -> Bool {
        try await connections.write { transaction in
            guard let row = try transaction.credentialRow(id), row.generation == generation else { return false }
            var merged = new
            // Whoever calls has put that right before: this is the last place where the only one could be lost.
            if merged.refreshToken == nil, row.refreshToken != nil {
                merged = try transaction.open(row).credential.refreshed(by: new)
            }
            try transaction.replace(row, with: merged, isRefreshed: true)
            if let account = try transaction.account(id), account.statusBeneathPause == .needsRelink {
                try transaction.revive(account)
            }
            return true
        }
    }

    /// Frees the lease. The intent stays where the token may be spent, by this request or by one before it.
    package func abandonRefresh(
        _ id: AccountID, owner: String, generation: Int64, tokenMayBeSpent: Bool
    ) async throws(StoreError) {
        try await connections.write { transaction in
            try transaction.db.run(
                """
                UPDATE credential SET lease_owner = NULL, lease_until = 0,
                    refresh_started_at = CASE WHEN ?1 OR refresh_in_doubt THEN refresh_started_at END,
                    refresh_in_doubt = (?1 OR refresh_in_doubt)
                WHERE account_id = ?2 AND generation = ?3 AND lease_owner = ?4
                """, tokenMayBeSpent, id, generation, owner)
        }
    }

    /// Accounts whose last refresh was begun, not finished, and is no longer under way; the oldest first.
    package func refreshesInDoubt(limit: Int) async throws(StoreError) -> [AccountID] {
        try await connections.read { transaction in
            try transaction.db.rows(Self.inDoubt, transaction.now, limit).map { try $0.id(0) }
        }
    }

    static let inDoubt = """
        SELECT account_id FROM credential
        WHERE refresh_started_at IS NOT NULL AND (lease_owner IS NULL OR lease_until <= ?)
        ORDER BY refresh_started_at LIMIT ?
        """
}
