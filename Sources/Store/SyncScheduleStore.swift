package import Accounts
import GRDB

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
    /// Where claims and records are written.
    var place = Connections.Place.writersThread

    /// The same, claiming and recording on the caller's thread, which waits for the writer and the disk: for tasks on a
    /// thread of their own, never for those that share theirs with callers. So a sync keeps one processor busy, not two, and
    /// whoever wants an answer meanwhile finds another free.
    package var onCallersThread: SyncScheduleStore {
        SyncScheduleStore(connections: connections, place: .callersThread)
    }

    /// Leases accounts that are due, the longest due first, at most `slots[provider]` of each provider; a lease that has
    /// run out counts as free. Providers that are paused yield none.
    /// - Parameter looksFirst: mostly nothing is due, and a look keeps nobody from writing; false where something likely is.
    package func claimDue(
        now: Timestamp, owner: String, lease: Duration, slots: [ProviderID: Int], looksFirst: Bool = true
    ) async throws(StoreError) -> [SyncClaim] {
        let due =
            !looksFirst
            ? slots
            : try await connections.read { transaction in
                try slots.filter { provider, count in
                    try count > 0
                        && transaction.db.first(
                            Self.isDueSQL, provider, now, now + Transaction.leaseMax, now + Self.horizon) != nil
                }
            }
        if due.isEmpty { return [] }
        return try await connections.write(on: place, survivesPowerLoss: false) { transaction in
            var claims: [SyncClaim] = []
            for (provider, count) in due.sorted(by: { $0.key < $1.key }) where count > 0 {
                if try transaction.pause(of: provider, now: now) != nil { continue }
                var ids: [String] = []
                try transaction.run(.claimDue) { parameters in
                    parameters.text(1, owner)
                    parameters.time(2, now + min(lease, Transaction.leaseMax))
                    parameters.text(3, provider.rawValue)
                    parameters.time(4, now)
                    parameters.integer(5, count)
                    parameters.time(6, now + Transaction.leaseMax)
                    parameters.time(7, now + Self.horizon)
                } row: {
                    ids.append(try $0.text(0))
                }
                for id in ids { if let claim = try transaction.syncClaim(id) { claims.append(claim) } }
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
            return changed == 1 ? try transaction.syncClaim(id.rawValue) : nil
        }
    }

    /// The cached profile as it is now; `nil` before the first sync. Synchronous, a few microseconds.
    package func content(of id: AccountID) throws(StoreError) -> ProfileContent? {
        try connections.readers.run(.contentByAccount, [id.rawValue]) { row in
            ProfileContent(claims: row.text(0), raw: row.text(1))
        }.first
    }

    /// Moves the end of a lease to `lease` from now. `nil` where it went to someone else or the account is gone.
    package func prolong(_ claim: SyncClaim, lease: Duration) async throws(StoreError) -> SyncClaim? {
        try await prolong([claim], lease: lease)[0]
    }

    /// As above, for each by itself but in one transaction.
    package func prolong(_ claims: [SyncClaim], lease: Duration) async throws(StoreError) -> [SyncClaim?] {
        try await connections.write { transaction in
            try claims.map { claim in
                var prolonged = claim
                prolonged.leaseUntil = transaction.now + min(lease, Transaction.leaseMax)
                let changed = try transaction.db.run(
                    """
                    UPDATE sync_schedule SET lease_until = ?
                    WHERE account_id = ? AND lease_owner = ? AND lease_until = ?
                    """, prolonged.leaseUntil, claim.account.id, claim.owner, claim.leaseUntil)
                return changed == 1 ? prolonged : nil
            }
        }
    }

    /// Whether the user has to link the account again, as far as is known.
    package func needsRelink(_ id: AccountID) async throws(StoreError) -> Bool {
        try await connections.read { try $0.account(id)?.statusBeneathPause == .needsRelink }
    }

    /// Hands back what was claimed and not synced.
    package func release(_ claims: [SyncClaim]) async throws(StoreError) {
        if claims.isEmpty { return }
        try await connections.writeShared { transaction in
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

    /// As above for active accounts in the order of their ids, `limit` of those after `after`. Returns the last one, `nil`
    /// where there are no more.
    package func expediteActive(
        after id: AccountID?, limit: Int, at: Timestamp
    ) async throws(StoreError) -> AccountID? {
        try await connections.write { transaction in
            let rows = try transaction.db.rows(Self.expediteActiveSQL, at, id?.rawValue ?? "", limit)
            let ids: [AccountID] = try rows.map { try $0.id(0) }
            return ids.max()
        }
    }

    static let expediteActiveSQL = """
        UPDATE sync_schedule SET next_sync_at = min(coalesce(next_sync_at, ?1), ?1), plan_interval = NULL,
            plan_share = NULL
        WHERE account_id IN (
            SELECT id FROM linked_account WHERE status = 'active' AND id > ?2 ORDER BY id LIMIT ?3)
        RETURNING account_id
        """

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
        SELECT \(accountColumns), s.lease_owner, s.lease_until, s.failures, s.validators, p.version, p.content_hash,
            s.mapping, \(learnedColumns), \(CredentialRow.columns)
        FROM \(accountTables) JOIN credential c ON c.account_id = a.id WHERE a.id = ?1
        """

    /// What a sync needs of an account that has just been leased.
    func syncClaim(_ id: String) throws -> SyncClaim? {
        var claim: SyncClaim?
        try run(.claim) {
            $0.text(1, id)
        } row: { row in
            let account = try Self.account(row)
            // A damaged one is found again by whoever needs it, and said there.
            let credential = try? open(
                CredentialRow(
                    row, from: 30, account: account.id, provider: account.provider, user: account.userID,
                    scopes: account.scopes))
            claim = SyncClaim(
                account: account, owner: try row.text(15), leaseUntil: try row.time(16),
                failures: try row.int(17), validators: try Self.validators(row.text(18)),
                version: row.optionalInt64(19), contentHash: row.optionalText(20), mapping: try row.text(21),
                learned: try Self.learned(row, from: 22),
                credential: credential)
        }
        return claim
    }
}
