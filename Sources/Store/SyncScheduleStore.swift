package import Accounts
import GRDB

/// The right to sync one account until `leaseUntil`, with what the sync needs.
package struct SyncClaim: Sendable, Equatable {
    package var account: LinkedAccount
    package var owner: String
    package var leaseUntil: Timestamp
    /// Consecutive failures so far.
    package var failures: Int
    /// By request name, for conditional requests.
    package var validators: [String: Validators]
    /// `nil` before the first sync of an imported account.
    package var content: ProfileContent?
    package var contentHash: String?
    /// Of the mapping that made the claims; empty where that is not known.
    package var mapping: String
    package var learned: LearnedSchedule

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

/// How one account stands in the schedule.
package struct AccountSchedule: Sendable, Equatable {
    package var attemptedAt: Timestamp?
    package var syncedAt: Timestamp?
    package var nextSyncAt: Timestamp?
    package var failures: Int
    /// A sync is under way until then at the latest.
    package var leaseUntil: Timestamp?
}

package struct SyncScheduleStore: Sendable {
    package static let dueCountMax = 10_000
    /// No account waits longer: one that seems to was planned by a clock that was ahead, and is due.
    package static let horizon: Duration = .seconds(7 * 86_400)
    /// No pause is longer: one that seems to be was begun by a clock that was ahead, and has ended.
    package static let pauseMax: Duration = .seconds(86_400)

    let connections: Connections

    /// Leases accounts that are due, the longest due first, at most `slots[provider]` of each provider; a lease that has
    /// run out counts as free. Providers that are paused yield none.
    package func claimDue(
        now: Timestamp, owner: String, lease: Duration, slots: [ProviderID: Int]
    ) async throws(StoreError) -> [SyncClaim] {
        // Mostly nothing is due: a look keeps nobody from writing.
        let due = try await connections.read { transaction in
            try slots.filter { provider, count in
                try count > 0
                    && transaction.db.first(
                        Self.isDueSQL, provider, now, now + Transaction.leaseMax, now + Self.horizon) != nil
            }
        }
        if due.isEmpty { return [] }
        return try await connections.write { transaction in
            var claims: [SyncClaim] = []
            for (provider, count) in due.sorted(by: { $0.key < $1.key }) where count > 0 {
                if try transaction.pause(of: provider, now: now) != nil { continue }
                let rows = try transaction.db.rows(
                    Self.claimDueSQL, owner, now + min(lease, Transaction.leaseMax), provider, now, count,
                    now + Transaction.leaseMax, now + Self.horizon)
                for row in rows { if let claim = try transaction.syncClaim(row.id(0)) { claims.append(claim) } }
            }
            return claims.sorted {
                ($0.account.nextSyncAt ?? .distantFuture, $0.account.id)
                    < ($1.account.nextSyncAt ?? .distantFuture, $1.account.id)
            }
        }
    }

    static let isDueSQL = """
        SELECT * FROM (
            SELECT 1 FROM sync_schedule
            WHERE provider = ?1 AND next_sync_at <= ?2 AND (lease_until <= ?2 OR lease_until > ?3)
            ORDER BY next_sync_at LIMIT 1)
        UNION ALL
        SELECT 1 FROM sync_schedule
        WHERE provider = ?1 AND next_sync_at > ?4 AND (lease_until <= ?2 OR lease_until > ?3)
        LIMIT 1
        """

    static let claimDueSQL = """
        UPDATE sync_schedule SET lease_owner = ?1, lease_until = ?2
        WHERE account_id IN (
            SELECT * FROM (
                SELECT account_id FROM sync_schedule
                WHERE provider = ?3 AND next_sync_at <= ?4 AND (lease_until <= ?4 OR lease_until > ?6)
                ORDER BY next_sync_at LIMIT ?5)
            UNION ALL
            SELECT account_id FROM sync_schedule
            WHERE provider = ?3 AND next_sync_at > ?7 AND (lease_until <= ?4 OR lease_until > ?6)
            LIMIT ?5)
        RETURNING account_id
        """

    /// Leases one account, due or not; `nil` where someone else holds it or it is gone.
    package func claim(_ id: AccountID, owner: String, lease: Duration) async throws(StoreError) -> SyncClaim? {
        try await connections.write { transaction in
            let changed = try transaction.db.run(
                """
                UPDATE sync_schedule SET lease_owner = ?1, lease_until = ?2 
                WHERE account_id = ?3 AND (lease_until <= ?4 OR lease_until > ?5)
                """, owner, transaction.now + min(lease, Transaction.leaseMax), id, transaction.now,
                transaction.now + Transaction.leaseMax)
            return changed == 1 ? try transaction.syncClaim(id) : nil
        }
    }

    /// Moves the end of a lease to `lease` from now. `nil` where it went to someone else or the account is gone.
    package func prolong(_ claim: SyncClaim, lease: Duration) async throws(StoreError) -> SyncClaim? {
        try await connections.write { transaction in
            var prolonged = claim
            prolonged.leaseUntil = transaction.now + min(lease, Transaction.leaseMax)
            let changed = try transaction.db.run(
                "UPDATE sync_schedule SET lease_until = ? WHERE account_id = ? AND lease_owner = ? AND lease_until = ?",
                prolonged.leaseUntil, claim.account.id, claim.owner, claim.leaseUntil)
            return changed == 1 ? prolonged : nil
        }
    }

    /// Whether the user has to link the account again, as far as is known.
    package func needsRelink(_ id: AccountID) async throws(StoreError) -> Bool {
        try await connections.read { try $0.account(id)?.statusBeneathPause == .needsRelink }
    }

    /// In one transaction: profile and change where it changed, `synced_at`, next due time, failures, problem, status; frees
    /// the lease. False, with nothing stored, where the lease went to someone else or the account is gone. A status that a
    /// relink, a dead grant or an operator set meanwhile stays, as does one whose dead grant is no longer the one held, and `since` of a problem that goes on.
    package func record(_ result: SyncResult, for claim: SyncClaim) async throws(StoreError) -> Bool {
        try await connections.write { transaction in
            let id = claim.account.id
            let freed = try transaction.db.run(
                """
                UPDATE sync_schedule SET lease_owner = NULL, lease_until = 0
                WHERE account_id = ? AND lease_owner = ? AND lease_until = ?
                """, id, claim.owner, claim.leaseUntil)
            guard freed == 1, let account = try transaction.account(id) else { return false }
            switch result.content {
            case .failed:
                try transaction.db.run("UPDATE sync_schedule SET attempted_at = ? WHERE account_id = ?", result.at, id)
            case .unchanged(let validators):
                try transaction.confirmProfile(of: id, at: result.at, validators: validators)
            case .profile(let profile, let patch):
                guard profile.subject == account.subject else {
                    throw StoreError.inconsistent("the profile is of another subject")
                }
                var difference: ProfileDifference?
                if let patch { difference = { _, _ in patch } }
                try transaction.store(profile, of: id, account.userID, account.provider, patch: difference)
                try transaction.confirmProfile(
                    of: id, at: result.at, validators: profile.validators, mapping: profile.mapping)
            }
            // The refusal of a token that another has replaced says nothing: the account is tried again at once.
            var result = result
            if result.status == .needsRelink, account.statusBeneathPause != .needsRelink,
                try transaction.credentialRow(id)?.generation != result.generation
            {
                result.status = nil
                result.problem = account.problem
                result.nextSyncAt = transaction.now
            }
            let status = try transaction.settle(account, result)
            let isStopped = status == .needsRelink || status == .paused
            try transaction.db.run(
                "UPDATE sync_schedule SET next_sync_at = ?, failures = ? WHERE account_id = ?",
                isStopped ? nil : result.nextSyncAt.map(transaction.withinHorizon), result.failures, id)
            if let learned = result.learned {
                try transaction.db.run(
                    """
                    UPDATE sync_schedule SET change_shape = ?2, change_rate = ?3, \(Transaction.planAssignments(from: 4))
                    WHERE account_id = ?1
                    """,
                    values: [id, learned.changeShape, learned.changeRate] + Transaction.planValues(learned.plan))
            }
            return true
        }
    }

    /// Hands back what was claimed and not synced.
    package func release(_ claims: [SyncClaim]) async throws(StoreError) {
        if claims.isEmpty { return }
        try await connections.write { transaction in
            for claim in claims {
                try transaction.db.run(
                    """
                    UPDATE sync_schedule SET lease_owner = NULL, lease_until = 0
                    WHERE account_id = ? AND lease_owner = ? AND lease_until = ?
                    """, claim.account.id, claim.owner, claim.leaseUntil)
            }
        }
    }

    /// When there is something to claim again: an account of any other provider comes due, a pause ends with accounts due,
    /// or a lease runs out. `nil` where nothing ever will.
    package func nextDueAt(excluding providers: Set<ProviderID> = []) async throws(StoreError) -> Timestamp? {
        try await connections.read { transaction in
            var earliest: Timestamp?
            for row in try transaction.db.rows("SELECT DISTINCT provider FROM account_count") {
                let provider = try row.provider(0)
                if providers.contains(provider) { continue }
                let due = try transaction.db.first(Self.nextDueSQL, provider, transaction.now)?.optionalTime(0)
                let lease = try transaction.db.first(Self.nextLeaseSQL, provider, transaction.now)?.optionalTime(0)
                let pause = try transaction.pause(of: provider, now: transaction.now)
                for time in [due, lease].compactMap({ $0 }) {
                    earliest = min(earliest ?? .distantFuture, max(time, pause?.until ?? time))
                }
            }
            return earliest
        }
    }

    static let nextDueSQL = """
        SELECT next_sync_at FROM sync_schedule
        WHERE provider = ? AND next_sync_at IS NOT NULL AND lease_until <= ? ORDER BY next_sync_at LIMIT 1
        """

    static let nextLeaseSQL = """
        SELECT lease_until FROM sync_schedule
        WHERE provider = ? AND lease_owner IS NOT NULL AND lease_until > ? AND next_sync_at IS NOT NULL
        ORDER BY lease_until LIMIT 1
        """

    /// Makes an account due at `at`, where it would come due later. False where there is none, or its status keeps it from
    /// being synced.
    package func expedite(_ id: AccountID, at: Timestamp) async throws(StoreError) -> Bool {
        try await connections.write { transaction in
            try transaction.db.run(
                """
                UPDATE sync_schedule SET next_sync_at = min(coalesce(next_sync_at, ?1), ?1), plan_interval = NULL,
                    plan_share = NULL
                WHERE account_id = ?2 AND (SELECT status FROM linked_account WHERE id = ?2) IN ('active', 'suspended')
                """, at, id) == 1
        }
    }

    package func state(of id: AccountID) async throws(StoreError) -> AccountSchedule? {
        try await connections.read { transaction in
            try transaction.db.first(
                """
                SELECT attempted_at, synced_at, next_sync_at, failures, CASE WHEN lease_until > ? THEN lease_until END
                FROM sync_schedule WHERE account_id = ?
                """, transaction.now, id
            ).map { row in
                AccountSchedule(
                    attemptedAt: row.optionalTime(0), syncedAt: row.optionalTime(1), nextSyncAt: row.optionalTime(2),
                    failures: try row.int(3), leaseUntil: row.optionalTime(4))
            }
        }
    }

    /// - Parameter countMax: where counting ends.
    package func states(
        of providers: [ProviderID], now: Timestamp, countMax: Int = dueCountMax
    ) async throws(StoreError) -> [ScheduleState] {
        try await connections.read { transaction in
            try providers.map { provider in
                let row = try transaction.db.first(Self.statesSQL, provider, now, countMax)
                return ScheduleState(
                    provider: provider, dueNow: try row?.int(0) ?? 0, oldestDueAt: row?.optionalTime(1))
            }
        }
    }

    static let statesSQL = """
        SELECT count(*), min(next_sync_at) FROM (
            SELECT next_sync_at FROM sync_schedule WHERE provider = ? AND next_sync_at <= ? ORDER BY next_sync_at LIMIT ?)
        """
}

extension SyncScheduleStore {
    /// Stops a provider until then, across restarts; a later end that is already set stays.
    package func pauseProvider(_ id: ProviderID, until: Timestamp, reason: String) async throws(StoreError) {
        try await connections.write { transaction in
            try transaction.db.run(
                """
                INSERT INTO provider_pause (provider, until, reason) VALUES (?, ?, ?)
                ON CONFLICT DO UPDATE SET until = excluded.until, reason = excluded.reason
                    WHERE excluded.until > until OR until > ?
                """, id, min(until, transaction.now + Self.pauseMax), reason, transaction.now + Self.pauseMax)
        }
    }

    package func resumeProvider(_ id: ProviderID) async throws(StoreError) {
        try await connections.write { try $0.db.run("DELETE FROM provider_pause WHERE provider = ?", id) }
    }

    /// Those that have not run out.
    package func providerPauses() async throws(StoreError) -> [ProviderPause] {
        try await connections.read { transaction in
            try transaction.db.rows(
                "SELECT provider, until, reason FROM provider_pause WHERE until > ? AND until <= ? ORDER BY provider",
                transaction.now, transaction.now + Self.pauseMax
            ).map { row in
                ProviderPause(provider: try row.provider(0), until: try row.time(1), reason: try row.text(2))
            }
        }
    }
}

extension Transaction {
    func withinHorizon(_ time: Timestamp) -> Timestamp { min(time, now + SyncScheduleStore.horizon) }

    func pause(of provider: ProviderID, now: Timestamp) throws -> ProviderPause? {
        try db.first(
            "SELECT until, reason FROM provider_pause WHERE provider = ? AND until > ? AND until <= ?", provider, now,
            now + SyncScheduleStore.pauseMax
        ).map {
            ProviderPause(provider: provider, until: try $0.time(0), reason: try $0.text(1))
        }
    }

    static let claimSQL = """
        SELECT \(accountColumns), s.lease_owner, s.lease_until, s.failures, s.validators, p.claims, p.raw,
            p.content_hash, s.mapping, \(learnedColumns)
        FROM \(accountTables) WHERE a.id = ?
        """

    /// What a sync needs of an account that has just been leased.
    func syncClaim(_ id: AccountID) throws -> SyncClaim? {
        try db.first(Self.claimSQL, id).map { row in
            var content: ProfileContent?
            if let claims = row.optionalText(19), let raw = row.optionalText(20) {
                content = ProfileContent(claims: claims, raw: raw)
            }
            return SyncClaim(
                account: try Self.account(row), owner: try row.text(15), leaseUntil: try row.time(16),
                failures: try row.int(17),
                validators: try Self.validators(row.text(18)), content: content, contentHash: row.optionalText(21),
                mapping: try row.text(22), learned: try Self.learned(row, from: 23))
        }
    }

    /// Status and problem of an account after a sync. Returns the status.
    func settle(_ account: LinkedAccount, _ result: SyncResult) throws -> AccountStatus {
        var isConfirmed = true
        if case .failed = result.content { isConfirmed = false }
        // Only the user mends a dead grant, only an operator ends a pause; their problems stay as they are.
        if account.status == .needsRelink || account.status == .paused { return account.status }
        let status = result.status ?? (isConfirmed && account.status == .suspended ? .active : account.status)
        var problem = result.problem
        if let held = account.problem, held.code == problem?.code { problem?.since = held.since }
        if status == .needsRelink {
            guard let problem else { throw StoreError.inconsistent("an account needs a relink for a reason") }
            try markNeedsRelink(account, problem: problem)
        } else if status != account.status || problem != account.problem {
            try setStatus(status, problem: problem, of: account.id)
            if account.status == .suspended && status == .active {
                try append(.accountRecovered, account.id, account.userID, account.provider)
            }
        }
        return status
    }
}
