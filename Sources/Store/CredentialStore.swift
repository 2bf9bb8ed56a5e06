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
    /// Throws `.credentialDamaged` where it does not open. `refreshInDoubtSince` is set where a refresh was begun, not
    /// finished, and is no longer under way.
    package func read(_ id: AccountID) async throws(StoreError) -> StoredCredential? { throw .closed }

    /// Durable before it returns: intent before request.
    package func beginRefresh(
        _ id: AccountID, owner: String, lease: Duration
    ) async throws(StoreError) -> RefreshClaim { throw .closed }

    /// Stores what a refresh brought, durably, and clears intent and lease. False where the generation moved or the account
    /// is gone. The owner need not hold the lease any more: an answer made from the stored generation is newer than it.
    package func commitRefresh(
        _ id: AccountID, owner: String, from generation: Int64, _ new: Credential
    ) async throws(StoreError) -> Bool { throw .closed }

    /// Frees the lease. The intent stays where the token may be spent, by this request or by one before it.
    package func abandonRefresh(
        _ id: AccountID, owner: String, generation: Int64, tokenMayBeSpent: Bool
    ) async throws(StoreError) { throw .closed }

    /// Accounts whose last refresh was begun, not finished, and is no longer under way; the oldest first.
    package func refreshesInDoubt(limit: Int) async throws(StoreError) -> [AccountID] { throw .closed }
}
