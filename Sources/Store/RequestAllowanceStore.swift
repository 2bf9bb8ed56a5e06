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
package struct RequestAllowanceStore: Sendable {
    /// Grants up to `want` of `count` requests in any `window`, leaving `reserve` of them to others; over all processes no
    /// span of that length ever holds more than `count`.
    package func withdraw(
        provider: ProviderID, key: String, count: Int, window: Duration, want: Int, reserve: Int = 0
    ) async throws(StoreError) -> Allowance { throw .closed }
}
