package import Accounts

extension AccountStore {
    /// `after` is a `Page.next` of the same filter. Throws `.inconsistent` for a cursor that is none. In the order in which
    /// accounts were linked; with `changedSince`, in the order in which profiles changed, so that an account that changes
    /// during the walk comes again rather than being missed.
    package func list(
        _ filter: AccountFilter, after: String? = nil, limit: Int
    ) async throws(StoreError) -> Page<LinkedAccount> {
        let query = try ListQuery(filter, after: after)
        return try await connections.read { transaction in
            let rows = try transaction.db.rows(query.sql, values: query.values + [limit + 1])
            let accounts = try rows.prefix(limit).map(Transaction.account)
            let next = rows.count > limit ? accounts.last.map(query.cursor) : nil
            return Page(items: accounts, next: next)
        }
    }
}

/// A list as SQL: one index leads, the most selective of those the filter offers.
struct ListQuery: Sendable {
    private(set) var sql: String
    private(set) var values: [(any Bound & Sendable)?] = []
    private let isByChange: Bool

    init(_ filter: AccountFilter, after: String?) throws(StoreError) {
        var conditions: [String] = []
        var values: [(any Bound & Sendable)?] = []
        func require(_ condition: String, _ bound: (any Bound & Sendable)...) {
            conditions.append(condition)
            values += bound
        }
        // Few accounts have one user, one address or one name: those lead, and the rest is looked at row by row.
        let leadsByProfile = filter.userID == nil && (filter.email != nil || filter.username != nil)
        isByChange =
            filter.changedSince != nil && filter.userID == nil && filter.email == nil && filter.username == nil
        // A unary plus keeps the planner from walking a broad index that happens to have the right order.
        let broad = leadsByProfile || isByChange || filter.userID != nil ? "+" : ""
        if let user = filter.userID { require("a.user_id = ?", user) }
        if let email = filter.email { require("p.email = ?", email) }
        if let username = filter.username { require("p.preferred_username = ?", username) }
        if let provider = filter.provider { require("\(broad)a.provider = ?", provider) }
        if let status = filter.status { require("\(broad)a.status = ?", status.rawValue) }
        if let since = filter.changedSince { require("p.changed_at >= ?", since) }
        if let after {
            if isByChange {
                let parts = after.split(separator: "-", omittingEmptySubsequences: false)
                guard parts.count == 2, let time = Int64(parts[0]), let id = AccountID(String(parts[1])) else {
                    throw .inconsistent("after: not a cursor of this list")
                }
                require("(p.changed_at, p.account_id) > (?, ?)", time, id)
            } else {
                guard let id = AccountID(after) else { throw .inconsistent("after: not a cursor of this list") }
                require("a.id > ?", id)
            }
        }
        let tables =
            if leadsByProfile || isByChange {
                "profile p CROSS JOIN linked_account a ON a.id = p.account_id "
                    + "JOIN sync_schedule s ON s.account_id = a.id"
            } else { Transaction.accountTables }
        sql = "SELECT \(Transaction.accountColumns) FROM \(tables)"
        if !conditions.isEmpty { sql += " WHERE " + conditions.joined(separator: " AND ") }
        sql += isByChange ? " ORDER BY p.changed_at, p.account_id LIMIT ?" : " ORDER BY a.id LIMIT ?"
        self.values = values
    }

    func cursor(_ account: LinkedAccount) -> String {
        guard isByChange, let changedAt = account.changedAt else { return account.id.rawValue }
        return "\(changedAt.millisecondsSinceEpoch)-\(account.id)"
    }
}
