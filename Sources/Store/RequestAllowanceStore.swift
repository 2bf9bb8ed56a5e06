package import Accounts

package struct Allowance: Sendable, Equatable {
    package var granted: Int
    /// When more can be granted: now, where some are left.
    package var nextAt: Timestamp

    package init(granted: Int, nextAt: Timestamp) {
        self.granted = granted
        self.nextAt = nextAt
    }
}

/// What may still be asked of a provider, shared by every process on the database.
///
/// A limit of `count` requests in a `window` is kept as a sliding window in 64 slices, each counting what was granted in
/// it. A bucket that refills would let nearly twice the limit pass within one window, first the burst and then what flows
/// in after it; slices never let more than the limit pass, for up to a sixty-fourth of its speed.
package struct RequestAllowanceStore: Sendable {
    package static let slicesPerWindow = 64
    private static let slices = Int64(slicesPerWindow)

    let connections: Connections

    /// Grants up to `want` of `count` requests in any `window`, leaving `reserve` of them to others; over all processes no
    /// span of that length ever holds more than `count`.
    package func withdraw(
        provider: ProviderID, key: String, count: Int, window: Duration, want: Int, reserve: Int = 0
    ) async throws(StoreError) -> Allowance {
        let (length, slice) = Self.lengths(of: window)
        return try await connections.write { transaction in
            let db = transaction.db
            let now = transaction.now
            let current = now.millisecondsSinceEpoch / slice * slice
            // A clock that was set back leaves grants in the future; they were made by now at the latest.
            let ahead = try db.rows(
                """
                DELETE FROM request_allowance WHERE provider = ? AND key = ? AND started_at > ? RETURNING used
                """, provider, key, current
            ).reduce(0) { try $0 + $1.int(0) }
            // A grant of a slice may be as late as its end: it counts until a window after that.
            try db.run(
                "DELETE FROM request_allowance WHERE provider = ? AND key = ? AND started_at <= ?", provider, key,
                now.millisecondsSinceEpoch - length - slice)
            let used = try db.rows(
                "SELECT started_at, used FROM request_allowance WHERE provider = ? AND key = ? ORDER BY started_at",
                provider, key
            ).map { (endsAt: try $0.int64(0) + slice + length, used: try $0.int(1)) }
            let free = count - reserve - ahead - used.reduce(0) { $0 + $1.used }
            let granted = max(0, min(want, free))
            if granted + ahead > 0 {
                try db.run(
                    """
                    INSERT INTO request_allowance (provider, key, started_at, used) VALUES (?, ?, ?, ?)
                    ON CONFLICT DO UPDATE SET used = used + excluded.used
                    """, provider, key, current, granted + ahead)
            }
            var left = free - granted
            if left > 0 { return Allowance(granted: granted, nextAt: now) }
            for slice in used {
                left += slice.used
                if left > 0 {
                    return Allowance(granted: granted, nextAt: Timestamp(millisecondsSinceEpoch: slice.endsAt))
                }
            }
            return Allowance(granted: granted, nextAt: Timestamp(millisecondsSinceEpoch: current + slice + length))
        }
    }

    /// Counts one that has happened; nothing is refused.
    /// - Returns: how many there were in the last `window`, and for up to a slice longer.
    package func count(provider: ProviderID, key: String, window: Duration) async throws(StoreError) -> Int {
        let (_, slice) = Self.lengths(of: window)
        return try await connections.write { transaction in
            try transaction.db.run(
                """
                INSERT INTO request_allowance (provider, key, started_at, used) VALUES (?, ?, ?, 1)
                ON CONFLICT DO UPDATE SET used = used + 1
                """, provider, key, transaction.now.millisecondsSinceEpoch / slice * slice)
            return try Self.counted(provider, key, window, transaction)
        }
    }

    /// What `count` would return, without another one.
    package func counted(provider: ProviderID, key: String, window: Duration) async throws(StoreError) -> Int {
        try await connections.read { try Self.counted(provider, key, window, $0) }
    }

    /// Those that a clock had made that was ahead count too: they happened.
    private static func counted(
        _ provider: ProviderID, _ key: String, _ window: Duration, _ transaction: Transaction
    ) throws -> Int {
        let (length, slice) = lengths(of: window)
        return try transaction.db.first(
            "SELECT coalesce(sum(used), 0) FROM request_allowance WHERE provider = ? AND key = ? AND started_at > ?",
            provider, key, transaction.now.millisecondsSinceEpoch - length - slice
        )?.int(0) ?? 0
    }

    /// Deletes a bounded number of slices that no window of up to `longestWindow` sees any more; returns how many.
    package func purge(longestWindow: Duration) async throws(StoreError) -> Int {
        let (length, slice) = Self.lengths(of: longestWindow)
        return try await connections.write { transaction in
            try transaction.db.run(Self.purge, transaction.now.millisecondsSinceEpoch - length - slice, 1000)
        }
    }

    static let purge = """
        DELETE FROM request_allowance WHERE (provider, key, started_at) IN (
            SELECT provider, key, started_at FROM request_allowance WHERE started_at <= ? LIMIT ?)
        """

    /// Until when a grant made `at` an instant may be used: later it would no longer be counted where it is.
    package static func endOfSlice(at now: Timestamp, window: Duration) -> Timestamp {
        let slice = lengths(of: window).slice
        return Timestamp(millisecondsSinceEpoch: now.millisecondsSinceEpoch / slice * slice + slice)
    }

    private static func lengths(of window: Duration) -> (window: Int64, slice: Int64) {
        let length = max(window.wholeMilliseconds, 16)
        return (length, (length + slices - 1) / slices)
    }
}
