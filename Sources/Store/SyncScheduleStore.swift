package import Accounts

/// The right to sync one account until `leaseUntil`, with what the sync needs.
package struct SyncClaim: Sendable, Equatable {
    package var account: LinkedAccount
    package var owner: String
    package var leaseUntil: Timestamp
    /// Consecutive failures so far.
    package var failures: Int
    /// Generation of the credential at the time of the claim.
    package var generation: Int64
    /// By request name, for conditional requests.
    package var validators: [String: Validators]
    /// `nil` before the first sync of an imported account.
    package var content: ProfileContent?
    package var contentHash: String?

    package var provider: ProviderID { account.provider }
    package var raw: String? { content?.raw }
    package var claims: String? { content?.claims }
}

/// What a sync found, and when the next one is due.
package struct SyncResult: Sendable {
    package enum Content: Sendable {
        /// Nothing was learned of the profile: the cached one and its age stay.
        case failed
        /// The provider confirmed the cached profile, by 304 or with equal content; `validators` for the next request,
        /// `nil` keeps those stored.
        case unchanged(validators: [String: Validators]?)
        /// Stored where its hash differs from the cached one. `patch`: RFC 6902, over `{"claims": …, "raw": …}`; `nil`
        /// says that both were replaced.
        case profile(Profile, patch: String?)
    }

    package var content: Content
    /// When the provider answered: `fetched_at` of the profile where the content is not `failed`.
    package var at: Timestamp
    package var nextSyncAt: Timestamp?
    package var failures: Int
    package var problem: AccountProblem?
    /// `nil` leaves the status as it is.
    package var status: AccountStatus?

    package init(
        content: Content, at: Timestamp, nextSyncAt: Timestamp?, failures: Int = 0, problem: AccountProblem? = nil,
        status: AccountStatus? = nil
    ) {
        self.content = content
        self.at = at
        self.nextSyncAt = nextSyncAt
        self.failures = failures
        self.problem = problem
        self.status = status
    }
}

package struct ProviderPause: Sendable, Equatable {
    package var provider: ProviderID
    package var until: Timestamp
    /// For the operator, one sentence without secrets.
    package var reason: String

    package init(provider: ProviderID, until: Timestamp, reason: String) {
        self.provider = provider
        self.until = until
        self.reason = reason
    }
}

/// How a provider stands in the schedule.
package struct ScheduleState: Sendable, Equatable {
    package var provider: ProviderID
    /// Counted up to `SyncScheduleStore.dueCountMax`.
    package var dueNow: Int
    package var oldestDueAt: Timestamp?
}

package struct SyncScheduleStore: Sendable {
    package static let dueCountMax = 10_000

    /// Leases accounts that are due, the longest due first, at most `slots[provider]` of each provider; a lease that has
    /// run out counts as free. Providers that are paused yield none.
    package func claimDue(
        now: Timestamp, owner: String, lease: Duration, slots: [ProviderID: Int]
    ) async throws(StoreError) -> [SyncClaim] { throw .closed }

    /// Leases one account, due or not; `nil` where someone else holds it or it is gone.
    package func claim(_ id: AccountID, owner: String, lease: Duration) async throws(StoreError) -> SyncClaim? {
        throw .closed
    }

    /// In one transaction: profile and change where it changed, `synced_at`, next due time, failures, problem, status; frees
    /// the lease. False, with nothing stored, where the lease went to someone else or the account is gone.
    package func record(_ result: SyncResult, for claim: SyncClaim) async throws(StoreError) -> Bool {
        throw .closed
    }

    /// Hands back what was claimed and not synced.
    package func release(_ claims: [SyncClaim]) async throws(StoreError) { throw .closed }

    /// When the next account of any other provider comes due or its lease runs out; `nil` where none ever will.
    package func nextDueAt(excluding providers: Set<ProviderID> = []) async throws(StoreError) -> Timestamp? {
        throw .closed
    }

    /// Makes an account due at `at`, where it would come due later.
    package func expedite(_ id: AccountID, at: Timestamp) async throws(StoreError) -> Bool { throw .closed }

    /// Stops a provider until then; a later end that is already set stays.
    package func pauseProvider(_ id: ProviderID, until: Timestamp, reason: String) async throws(StoreError) {
        throw .closed
    }

    package func resumeProvider(_ id: ProviderID) async throws(StoreError) { throw .closed }

    /// Those that have not run out.
    package func providerPauses() async throws(StoreError) -> [ProviderPause] { throw .closed }

    package func states(of providers: [ProviderID], now: Timestamp) async throws(StoreError) -> [ScheduleState] {
        throw .closed
    }
}
