package import Accounts
import GRDB

/// What was learned of an account, and what its due time was planned with. Plain numbers here; `Freshness` gives them
/// their meaning.
package struct LearnedSchedule: Sendable, Equatable {
    /// The belief about the change rate, shape and rate (seconds); `nil` where nothing was learned yet.
    package var changeShape: Double?
    package var changeRate: Double?
    /// Reads, decayed to `readsAt`.
    package var reads: Double
    package var readsAt: Timestamp
    package var plan: SchedulePlan?

    package init(
        changeShape: Double? = nil, changeRate: Double? = nil, reads: Double = 0, readsAt: Timestamp = .epoch,
        plan: SchedulePlan? = nil
    ) {
        self.changeShape = changeShape
        self.changeRate = changeRate
        self.reads = reads
        self.readsAt = readsAt
        self.plan = plan
    }
}

/// Four numbers of the plan that is in force, so that it can be taken out of its provider's sums again.
package struct SchedulePlan: Sendable, Equatable {
    /// Seconds.
    package var interval: Double
    /// What it adds to the provider's sum: the elastic one, or the fixed one where it is clamped.
    package var share: Double
    package var isClamped: Bool
    package var weight: Double

    package init(interval: Double, share: Double, isClamped: Bool, weight: Double) {
        self.interval = interval
        self.share = share
        self.isClamped = isClamped
        self.weight = weight
    }
}

/// A provider's price of a request, and what its accounts' plans add up to.
package struct StoredPrice: Sendable, Equatable {
    package var price: Double
    /// Of all accounts together, decayed to `readsAt`.
    package var reads: Double
    package var readsAt: Timestamp
    /// When counting began.
    package var since: Timestamp

    package init(price: Double, reads: Double, readsAt: Timestamp, since: Timestamp) {
        self.price = price
        self.reads = reads
        self.readsAt = readsAt
        self.since = since
    }
}

package struct PlanSums: Sendable, Equatable {
    package var elastic = 0.0
    package var fixed = 0.0

    package init() {}
}

/// An account whose reads were counted, for a look at its plan.
package struct ReadAccount: Sendable, Equatable {
    package var id: AccountID
    package var provider: ProviderID
    package var learned: LearnedSchedule
    package var linkedAt: Timestamp
    package var syncedAt: Timestamp?
    package var nextSyncAt: Timestamp?
}

extension SyncScheduleStore {
    package func prices() async throws(StoreError) -> [ProviderID: StoredPrice] {
        try await connections.read { transaction in
            var prices: [ProviderID: StoredPrice] = [:]
            for row in try transaction.db.rows("SELECT provider, price, reads, reads_at, since FROM sync_price") {
                prices[try row.provider(0)] = StoredPrice(
                    price: try row.double(1), reads: try row.double(2), readsAt: try row.time(3),
                    since: try row.time(4))
            }
            return prices
        }
    }

    package func store(_ prices: [ProviderID: StoredPrice]) async throws(StoreError) {
        if prices.isEmpty { return }
        try await connections.write { transaction in
            for (provider, price) in prices {
                try transaction.db.run(
                    """
                    INSERT INTO sync_price (provider, price, reads, reads_at, since) VALUES (?1, ?2, ?3, ?4, ?5)
                    ON CONFLICT DO UPDATE SET price = ?2, reads = ?3, reads_at = ?4
                    """, provider, price.price, price.reads, price.readsAt, price.since)
            }
        }
    }

    /// Over all accounts that are planned: one walk through the schedule, for the start and now and then.
    package func planSums() async throws(StoreError) -> [ProviderID: PlanSums] {
        try await connections.read { transaction in
            var sums: [ProviderID: PlanSums] = [:]
            let rows = try transaction.db.rows(
                """
                SELECT provider, plan_clamped, sum(plan_share) FROM sync_schedule
                WHERE plan_share IS NOT NULL AND next_sync_at IS NOT NULL GROUP BY provider, plan_clamped
                """)
            for row in rows {
                if try row.bool(1) {
                    sums[try row.provider(0), default: PlanSums()].fixed = try row.double(2)
                } else {
                    sums[try row.provider(0), default: PlanSums()].elastic = try row.double(2)
                }
            }
            return sums
        }
    }

    /// Adds to the counts of reads; `decay` makes a count of an earlier instant one of `at`. Those that are gone are left
    /// out.
    package func addReads(
        _ reads: [AccountID: Double], at: Timestamp, decay: @escaping @Sendable (Double, _ since: Timestamp) -> Double
    ) async throws(StoreError) -> [ReadAccount] {
        try await connections.write { transaction in
            try reads.compactMap { id, count in
                let row = try transaction.db.first(
                    """
                    SELECT \(Transaction.learnedColumns), s.provider, a.linked_at, s.synced_at, s.next_sync_at
                    FROM sync_schedule s JOIN linked_account a ON a.id = s.account_id WHERE s.account_id = ?
                    """, id)
                guard let row else { return nil }
                var learned = try Transaction.learned(row, from: 0)
                learned.reads = decay(learned.reads, learned.readsAt) + count
                learned.readsAt = at
                try transaction.db.run(
                    "UPDATE sync_schedule SET reads = ?, reads_at = ? WHERE account_id = ?", learned.reads, at, id)
                return ReadAccount(
                    id: id, provider: try row.provider(8), learned: learned, linkedAt: try row.time(9),
                    syncedAt: row.optionalTime(10), nextSyncAt: row.optionalTime(11))
            }
        }
    }

    package func readAccount(_ id: AccountID) async throws(StoreError) -> ReadAccount? {
        try await connections.read { transaction in
            try transaction.db.first(
                """
                SELECT \(Transaction.learnedColumns), s.provider, a.linked_at, s.synced_at, s.next_sync_at
                FROM sync_schedule s JOIN linked_account a ON a.id = s.account_id WHERE s.account_id = ?
                """, id
            ).map { row in
                ReadAccount(
                    id: id, provider: try row.provider(8), learned: try Transaction.learned(row, from: 0),
                    linkedAt: try row.time(9), syncedAt: row.optionalTime(10), nextSyncAt: row.optionalTime(11))
            }
        }
    }

    /// Leases those that come due next, though they are not due: healthy ones, nobody at them, whose copy is older than
    /// half their interval and than `minimum`. One whose interval is a bound's is left: either it is no use to ask
    /// earlier, or not wanted.
    package func claimAhead(
        _ provider: ProviderID, count: Int, minimum: Duration, owner: String, lease: Duration
    ) async throws(StoreError) -> [SyncClaim] {
        try await connections.write(on: place, survivesPowerLoss: false) { transaction in
            let now = transaction.now
            let rows = try transaction.db.rows(
                Self.claimAheadSQL, owner, now + min(lease, Transaction.leaseMax), provider, now, count,
                minimum.wholeMilliseconds)
            return try rows.compactMap { try transaction.syncClaim($0.text(0)) }
        }
    }

    /// The inner limit bounds the walk: where the first are too young, so are the rest.
    static let claimAheadSQL = """
        UPDATE sync_schedule SET lease_owner = ?1, lease_until = ?2
        WHERE account_id IN (
            SELECT account_id FROM (
                SELECT account_id, synced_at, plan_interval, plan_clamped, failures, lease_until FROM sync_schedule
                WHERE provider = ?3 AND next_sync_at > ?4 ORDER BY next_sync_at LIMIT ?5)
            WHERE lease_until <= ?4 AND failures = 0 AND plan_clamped = 0
                AND ?4 - synced_at >= max(500 * plan_interval, ?6))
        RETURNING account_id
        """

    /// Accounts of a provider in the order of their ids, those that are synced at all.
    package func sample(
        provider: ProviderID, after id: String, limit: Int
    ) async throws(StoreError) -> (accounts: [ReadAccount], next: String?) {
        try await connections.read { transaction in
            let rows = try transaction.db.rows(
                """
                SELECT \(Transaction.learnedColumns), a.id, a.linked_at, s.synced_at, s.next_sync_at
                FROM linked_account a CROSS JOIN sync_schedule s ON s.account_id = a.id
                WHERE a.provider = ? AND a.id > ? ORDER BY a.id LIMIT ?
                """, provider, id, limit)
            let accounts = try rows.compactMap { row -> ReadAccount? in
                guard row.optionalTime(11) != nil else { return nil }
                return ReadAccount(
                    id: try row.id(8), provider: provider, learned: try Transaction.learned(row, from: 0),
                    linkedAt: try row.time(9), syncedAt: row.optionalTime(10), nextSyncAt: row.optionalTime(11))
            }
            return (accounts, rows.count == limit ? try rows.last?.text(8) : nil)
        }
    }

    /// A plan that brings an account forward, where it would come due later and nobody is at it.
    package func bringForward(_ id: AccountID, to due: Timestamp, plan: SchedulePlan) async throws(StoreError) -> Bool {
        try await connections.write { transaction in
            try transaction.db.run(
                """
                UPDATE sync_schedule SET next_sync_at = ?2, \(Transaction.planAssignments(from: 4))
                WHERE account_id = ?1 AND next_sync_at > ?2 AND lease_until <= ?3
                """, values: [id, due, transaction.now] + Transaction.planValues(plan)) == 1
        }
    }

    /// Hands back an account that was due by an older plan and is not by this one.
    package func postpone(_ claim: SyncClaim, to due: Timestamp, plan: SchedulePlan) async throws(StoreError) -> Bool {
        try await connections.write { transaction in
            try transaction.db.run(
                """
                UPDATE sync_schedule SET lease_owner = NULL, lease_until = 0, next_sync_at = ?4,
                    \(Transaction.planAssignments(from: 5))
                WHERE account_id = ?1 AND lease_owner = ?2 AND lease_until = ?3 AND next_sync_at IS NOT NULL
                """,
                values: [claim.account.id, claim.owner, claim.leaseUntil, transaction.withinHorizon(due)]
                    + Transaction.planValues(plan)) == 1
        }
    }
}

extension Transaction {
    static let learnedColumns = """
        s.change_shape, s.change_rate, s.reads, s.reads_at, s.plan_interval, s.plan_share, s.plan_clamped, s.plan_weight
        """

    static func learned(_ row: some Columns, from index: Int) throws -> LearnedSchedule {
        var learned = LearnedSchedule(
            changeShape: row.optionalDouble(index), changeRate: row.optionalDouble(index + 1),
            reads: try row.double(index + 2), readsAt: try row.time(index + 3))
        if let interval = row.optionalDouble(index + 4) {
            learned.plan = SchedulePlan(
                interval: interval, share: try row.double(index + 5), isClamped: try row.bool(index + 6),
                weight: try row.double(index + 7))
        }
        return learned
    }

    static func planAssignments(from index: Int) -> String {
        "plan_interval = ?\(index), plan_share = ?\(index + 1), plan_clamped = ?\(index + 2), "
            + "plan_weight = ?\(index + 3)"
    }

    static func planValues(_ plan: SchedulePlan?) -> [(any Bound)?] {
        [plan?.interval, plan?.share, plan?.isClamped ?? false, plan?.weight]
    }
}
