package import Accounts

/// How a request asks for a sync. A closure, for the server can do without a scheduler behind it.
package struct SyncRequests: Sendable {
    /// Syncs the account ahead of its time, waiting at most so long; without a time it only makes the account due.
    package var now: @Sendable (AccountID, Duration?) async -> SyncNowResult

    package init(now: @escaping @Sendable (AccountID, Duration?) async -> SyncNowResult) { self.now = now }
}

package enum SyncNowResult: Sendable, Equatable {
    /// The provider has confirmed the cached profile, changed or not.
    case synced
    /// Under way or waiting its turn; the time was too short, or none was given.
    case pending
    /// An attempt was made and failed, or none can be made; the account's own record says the same.
    case failed(AccountProblem)
    /// An operator has stopped the syncing of the account.
    case paused
    case noSuchAccount
}
