package import Accounts

/// Tokens of an unlinked account that the provider has yet to be told of.
package struct PendingRevocation: Sendable {
    package var id: Int64
    package var accountID: AccountID
    package var provider: ProviderID
    package var credential: Credential
    package var createdAt: Timestamp
    /// Attempts that failed so far.
    package var attempts: Int
}

package struct RevocationOutbox: Sendable {
    /// What `AccountStore.unlink` leaves to its caller before the outbox tries by itself.
    package static let firstAttemptDelay = Duration.seconds(60)

    /// For a token that arrived after its account was unlinked. Due after `firstAttemptDelay`.
    package func add(
        account: AccountID, user: UserID, provider: ProviderID, credential: Credential
    ) async throws(StoreError) -> PendingRevocation { throw .closed }

    /// Leases what is due, the oldest first. A row that does not open is dropped.
    package func due(
        now: Timestamp, owner: String, lease: Duration, limit: Int = 20
    ) async throws(StoreError) -> [PendingRevocation] { throw .closed }

    package func done(_ id: Int64) async throws(StoreError) { throw .closed }

    /// Counts a failed attempt.
    package func retry(_ id: Int64, at: Timestamp) async throws(StoreError) { throw .closed }

    /// Gives up.
    package func drop(_ id: Int64) async throws(StoreError) { throw .closed }

    package func count() async throws(StoreError) -> Int { throw .closed }

    package func nextDueAt() async throws(StoreError) -> Timestamp? { throw .closed }
}
