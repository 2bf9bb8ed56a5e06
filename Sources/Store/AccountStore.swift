package import Accounts

/// Linked accounts: made, listed, marked, moved and erased.
package struct AccountStore: Sendable {
    /// In one transaction: account, sealed credential, profile, schedule, changes, session. Where the same user links the
    /// account again, an old refresh token stays if the new answer has none, and an account that needed a relink recovers.
    package func link(_ link: NewLink) async throws(StoreError) -> LinkOutcome { throw .closed }

    package func account(_ id: AccountID) async throws(StoreError) -> LinkedAccount? { throw .closed }

    package func account(provider: ProviderID, subject: Subject) async throws(StoreError) -> LinkedAccount? {
        throw .closed
    }

    /// In the order in which they were linked.
    package func accounts(of user: UserID) async throws(StoreError) -> [AccountWithClaims] { throw .closed }

    /// `after` is a `Page.next` of the same filter. Throws `.inconsistent` for a cursor that is none.
    package func list(
        _ filter: AccountFilter, after: String? = nil, limit: Int
    ) async throws(StoreError) -> Page<LinkedAccount> { throw .closed }

    /// Erases the account, its tokens and its profile, and moves the credential into the revocation outbox. A refresh
    /// under way finds nothing to commit to. `nil` where there is no such account.
    package func unlink(_ id: AccountID) async throws(StoreError) -> UnlinkedAccount? { throw .closed }

    /// Unlinks everything of a user and ends their link sessions.
    package func eraseUser(_ user: UserID) async throws(StoreError) -> [UnlinkedAccount] { throw .closed }

    /// Compare-and-swap: false where the credential's generation moved, the account is gone or is marked already.
    package func markNeedsRelink(
        _ id: AccountID, generation: Int64, code: AccountProblem.Code, detail: String
    ) async throws(StoreError) -> Bool { throw .closed }

    /// By an operator: no sync and no refresh until `resume`. False where there is no such account.
    package func pause(_ id: AccountID) async throws(StoreError) -> Bool { throw .closed }

    package func resume(_ id: AccountID, nextSyncAt: Timestamp) async throws(StoreError) -> Bool { throw .closed }

    /// One transaction for the batch; an outcome for each, in order.
    package func importAccounts(_ batch: [ImportedAccount]) async throws(StoreError) -> [ImportOutcome] {
        throw .closed
    }

    /// Tokens in the clear: for `accounts export` alone.
    package func exportAccounts(after: String? = nil, limit: Int) async throws(StoreError) -> Page<ExportedAccount> {
        throw .closed
    }

    /// How many accounts each provider has, by status. Kept by the database, not counted.
    package func counts() async throws(StoreError) -> [ProviderID: [AccountStatus: Int]] { throw .closed }
}
