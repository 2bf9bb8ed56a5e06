package import Accounts
import GRDB

/// One thing that changed. Written by the transaction that changed it, never altered but for the patch, which is erased
/// with its account.
package struct Change: Sendable, Equatable {
    package enum Kind: String, Sendable, CaseIterable {
        case accountLinked = "account.linked"
        case accountUnlinked = "account.unlinked"
        case accountNeedsRelink = "account.needs_relink"
        case accountRecovered = "account.recovered"
        case profileCreated = "profile.created"
        case profileUpdated = "profile.updated"
    }

    /// Also the cursor that continues after it.
    package var id: ChangeID
    package var kind: Kind
    package var accountID: AccountID
    package var userID: UserID
    package var provider: ProviderID
    package var at: Timestamp
    /// Of the profile, for `profile.created` and `profile.updated`.
    package var version: Int64?
    /// RFC 6902 text for `profile.updated`.
    package var patch: String?
    /// For `account.needs_relink`.
    package var problem: AccountProblem.Code?
}

package struct ChangePage: Sendable {
    package var changes: [Change]
    /// Continues after the last one; the cursor that was given where there are none.
    package var next: ChangeID?
    /// There were more than the limit.
    package var hasMore: Bool
}

package struct ChangeFeed: Sendable {
    let connections: Connections

    /// Oldest first, each once. `nil` as a cursor begins with the oldest kept. Returns `nil` where the cursor is unknown or
    /// older than what is kept.
    package func changes(after cursor: ChangeID?, limit: Int) async throws(StoreError) -> ChangePage? {
        try await connections.read { transaction in
            var sequence: Int64 = 0
            if let cursor {
                guard let row = try transaction.db.first("SELECT sequence FROM change WHERE id = ?", cursor) else {
                    return nil
                }
                sequence = try row.int64(0)
            }
            let rows = try transaction.db.rows(Self.page, sequence, limit + 1)
            let changes = try rows.prefix(limit).map(Change.init)
            return ChangePage(changes: changes, next: changes.last?.id ?? cursor, hasMore: rows.count > limit)
        }
    }

    static let page = """
        SELECT id, kind, account_id, user_id, provider, at, version, patch, problem_code
        FROM change WHERE sequence > ? ORDER BY sequence LIMIT ?
        """

    /// The newest cursor: where a reader begins that wants only what comes.
    package func latest() async throws(StoreError) -> ChangeID? {
        try await connections.read { transaction in
            try transaction.db.first("SELECT id FROM change ORDER BY sequence DESC LIMIT 1")?.id(0)
        }
    }

    /// An element after each transaction of this process that wrote a change, for live streams; several may arrive as one.
    /// What another process writes is not signalled: a reader looks every few seconds as well. Ends when the database closes.
    package func signals() -> AsyncStream<Void> { connections.signals.stream() }

    /// Deletes a bounded number of the oldest changes, those before `instant`, never the newest one; returns how many.
    @discardableResult
    package func prune(before instant: Timestamp, limit: Int = 10_000) async throws(StoreError) -> Int {
        try await connections.write { transaction in
            try transaction.db.run(
                """
                DELETE FROM change WHERE sequence IN (SELECT sequence FROM change ORDER BY sequence LIMIT ?)
                    AND at < ? AND sequence < (SELECT max(sequence) FROM change)
                """, limit, instant)
        }
    }
}

extension Change {
    /// From the columns of `ChangeFeed.page`.
    init(_ row: Row) throws {
        self.init(
            id: try row.id(0), kind: try row.value(1), accountID: try row.id(2), userID: try row.user(3),
            provider: try row.provider(4), at: try row.time(5),
            version: try row.optionalText(6).map { _ in try row.int64(6) },
            patch: row.optionalText(7), problem: try row.optionalText(8).map { _ in try row.value(8) })
    }
}
