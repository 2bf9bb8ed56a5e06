package import Accounts

/// The right to sync one account until `leaseUntil`, with what the sync needs.
package struct SyncClaim: Sendable, Equatable {
    package var account: LinkedAccount
    package var owner: String
    package var leaseUntil: Timestamp
    /// Consecutive failures so far.
    package var failures: Int
    /// By request name, for conditional requests.
    package var validators: [String: Validators]
    /// Of the cached profile; `nil` before the first sync of an imported account.
    package var version: Int64?
    package var contentHash: String?
    /// Of the mapping that made the claims; empty where that is not known.
    package var mapping: String
    package var learned: LearnedSchedule
    /// As stored when the account was claimed; `nil` where it does not open, which whoever reads it by itself is told.
    package var credential: StoredCredential?

    package var provider: ProviderID { account.provider }
}

/// What a sync found, and when the next one is due.
package struct SyncResult: Sendable {
    package enum Content: Sendable {
        /// Nothing was learned of the profile: the cached one and its age stay.
        case failed
        /// The provider confirmed the cached profile, by 304 or with equal content; `validators` for the next request,
        /// `nil` keeps those stored.
        case unchanged(validators: [String: Validators]?)
        /// Stored where its hash differs from the cached one; without a difference the feed says that all was replaced.
        case profile(Profile, difference: ProfileDifference?)
    }

    package var content: Content
    /// When the provider answered: `fetched_at` of the profile where the content is not `failed`.
    package var at: Timestamp
    package var nextSyncAt: Timestamp?
    package var failures: Int
    package var problem: AccountProblem?
    /// `nil` leaves the status as it is.
    package var status: AccountStatus?
    /// Of the credential that was used. `.needsRelink` counts only while it is the one stored.
    package var generation: Int64?
    /// The belief and the plan from now on; `nil` leaves them as they are. Reads are counted elsewhere.
    package var learned: LearnedSchedule?

    package init(
        content: Content, at: Timestamp, nextSyncAt: Timestamp?, failures: Int = 0, problem: AccountProblem? = nil,
        status: AccountStatus? = nil, generation: Int64? = nil, learned: LearnedSchedule? = nil
    ) {
        self.content = content
        self.at = at
        self.nextSyncAt = nextSyncAt
        self.failures = failures
        self.problem = problem
        self.status = status
        self.generation = generation
        self.learned = learned
    }
}
