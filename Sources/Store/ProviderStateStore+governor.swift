package import Accounts

/// What a provider's answers have taught. Plain values here; `Linking` gives them their meaning.
package struct StoredGovernor: Sendable, Equatable {
    package var changedAt: Timestamp
    /// The share of the configured rate that was believed at `rateAt`; over 0, at most 1.
    package var rate: Double
    package var rateAt: Timestamp
    /// `nil` where the circuit is closed.
    package var openUntil: Timestamp?
    package var openings: Int
    /// When the circuit last closed.
    package var closedAt: Timestamp?

    package init(
        changedAt: Timestamp, rate: Double, rateAt: Timestamp, openUntil: Timestamp?, openings: Int,
        closedAt: Timestamp?
    ) {
        self.changedAt = changedAt
        self.rate = rate
        self.rateAt = rateAt
        self.openUntil = openUntil
        self.openings = openings
        self.closedAt = closedAt
    }
}

extension ProviderStateStore {
    package func governors() async throws(StoreError) -> [ProviderID: StoredGovernor] {
        try await connections.read { transaction in
            var governors: [ProviderID: StoredGovernor] = [:]
            let rows = try transaction.db.rows(
                """
                SELECT provider, changed_at, rate, rate_at, open_until, openings, closed_at FROM provider_governor
                """)
            for row in rows {
                governors[try row.provider(0)] = StoredGovernor(
                    changedAt: try row.time(1), rate: try row.double(2), rateAt: try row.time(3),
                    openUntil: row.optionalTime(4), openings: try row.int(5), closedAt: row.optionalTime(6))
            }
            return governors
        }
    }

    package func store(_ governor: StoredGovernor, of provider: ProviderID) async throws(StoreError) {
        try await connections.write { transaction in
            try transaction.db.run(
                """
                INSERT INTO provider_governor (provider, changed_at, rate, rate_at, open_until, openings, closed_at)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                ON CONFLICT DO UPDATE SET changed_at = ?2, rate = ?3, rate_at = ?4, open_until = ?5, openings = ?6,
                    closed_at = ?7
                """, provider, governor.changedAt, governor.rate, governor.rateAt, governor.openUntil,
                governor.openings, governor.closedAt)
        }
    }
}
