/// Keeping the cache true: trigger → pass → one account → outcome → when next.
///
/// `SyncService` starts a pass whenever something may be due, `SyncPass` claims what is due within every provider's
/// free slots, `AccountSync` takes one account through token, fetch and record, `SyncSchedule` says when it is due
/// again, and `SyncOnDemand` does the same for a caller who waits. Tokens and fetching are `Linking`'s, rows are
/// `Store`'s; this module sees no OAuth message.
package import Accounts

/// What came of one attempt to sync one account.
package enum SyncOutcome: Sendable, Equatable {
    /// The provider answered and the content differs from what was cached.
    case updated
    case unchanged
    case failed(SyncFailure)
    /// The attempt was cut short by the end of the program, or the account is gone; nothing was recorded.
    case abandoned
}

package struct SyncFailure: Sendable, Equatable {
    package var disposition: Disposition
    package var code: AccountProblem.Code
    /// One sentence for a person; no secret, no response body.
    package var detail: String

    package init(disposition: Disposition, code: AccountProblem.Code, detail: String) {
        self.disposition = disposition
        self.code = code
        self.detail = detail
    }
}

/// How many attempts ended how.
package struct SyncTally: Sendable, Equatable {
    package var updated = 0
    package var unchanged = 0
    package var failed = 0

    package init() {}

    package var attempts: Int { updated + unchanged + failed }

    mutating func count(_ outcome: SyncOutcome) {
        switch outcome {
        case .updated: updated += 1
        case .unchanged: unchanged += 1
        case .failed: failed += 1
        case .abandoned: break
        }
    }
}
