package import Accounts

/// One thing that changed. Written by the transaction that changed it, never altered but for the patch, which is erased
/// with its account.
package struct Change: Sendable, Equatable {
    package enum Kind: String, Sendable, CaseIterable {
        case accountLinked = "account.linked"
        case accountUnlinked = "account.unlinked"
        case accountNeedsRelink = "account.needs_relink"
        case accountRecovered = "account.recovered"
        case profileCreated = "profile.created"
        case profileUpdated = "profile.updated"
    }

    /// Also the cursor that continues after it.
    package var id: ChangeID
    package var kind: Kind
    package var accountID: AccountID
    package var userID: UserID
    package var provider: ProviderID
    package var at: Timestamp
    /// Of the profile, for `profile.created` and `profile.updated`.
    package var version: Int64?
    /// RFC 6902 text for `profile.updated`.
    package var patch: String?
    /// For `account.needs_relink`.
    package var problem: AccountProblem.Code?
}

package struct ChangePage: Sendable {
    package var changes: [Change]
    /// Continues after the last one; the cursor that was given where there are none.
    package var next: ChangeID?
    /// There were more than the limit.
    package var hasMore: Bool
}

package struct ChangeFeed: Sendable {
    /// Oldest first, each once. `nil` begins with the oldest kept. Returns `nil` where the cursor is unknown or older than
    /// what is kept.
    package func changes(after cursor: ChangeID?, limit: Int) async throws(StoreError) -> ChangePage? {
        throw .closed
    }

    /// The newest cursor: where a reader begins that wants only what comes.
    package func latest() async throws(StoreError) -> ChangeID? { throw .closed }

    /// An element after each transaction of this process that wrote a change, for live streams. Several may arrive as one.
    package func signals() -> AsyncStream<Void> { AsyncStream { $0.finish() } }

    /// Deletes a bounded number of changes older than `instant`, never the newest one; returns how many.
    @discardableResult
    package func prune(before instant: Timestamp, limit: Int = 10_000) async throws(StoreError) -> Int {
        throw .closed
    }
}
