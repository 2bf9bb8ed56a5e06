package import Accounts

/// How a request asks for a sync. Closures, for the server can do without a scheduler behind it.
package struct SyncRequests: Sendable {
    /// Syncs the account ahead of its time, waiting at most so long; without a time it only makes the account due.
    package var now: @Sendable (AccountID, Duration?) async -> SyncNowResult
    /// The same where a read is worth it; returns the chance that the copy there is then is the provider's, as far as that
    /// is known.
    package var ifWorthIt: @Sendable (AccountID, Duration) async -> Double?

    package init(
        now: @escaping @Sendable (AccountID, Duration?) async -> SyncNowResult,
        ifWorthIt: @escaping @Sendable (AccountID, Duration) async -> Double? = { _, _ in nil }
    ) {
        self.now = now
        self.ifWorthIt = ifWorthIt
    }
}

package enum SyncNowResult: Sendable, Equatable {
    /// The provider has confirmed the cached profile, changed or not, just now or within its minimum interval.
    case synced
    /// Under way or waiting its turn; the time was too short, or none was given.
    case pending
    /// An attempt was made and failed, or none can be made; the account's own record says the same.
    case failed(AccountProblem)
    /// An operator has stopped the syncing of the account.
    case paused
    case noSuchAccount
}
