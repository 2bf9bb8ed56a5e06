package import Accounts
import GRDB

/// On whose behalf something is done. Whoever takes a request or a command sets it; what is done below is entered into
/// the audit trail under it.
package struct AuditActor: Sendable, Equatable {
    /// `user` for a browser, an API key's id, `operator:` and a login name for the command line, or `service`.
    package var name: String
    /// The address that the request came from.
    package var origin: String?

    package init(_ name: String, origin: String? = nil) {
        self.name = name
        self.origin = origin
    }

    /// The service's own work.
    package static let service = AuditActor("service")

    @TaskLocal package static var current = AuditActor.service
}

package enum AuditAction: String, Sendable, CaseIterable {
    case accountLinked = "account.linked"
    /// The same user linked the account again.
    case accountRelinked = "account.relinked"
    case accountUnlinked = "account.unlinked"
    /// A refresh was refused for good; `detail` has the problem's code.
    case accountNeedsRelink = "account.needs_relink"
    case accountRecovered = "account.recovered"
    case accountPaused = "account.paused"
    case accountResumed = "account.resumed"
    /// `detail`: the scopes before and after.
    case scopesChanged = "scopes.changed"
    case apiKeyCreated = "api_key.created"
    case apiKeyRevoked = "api_key.revoked"
    /// A key of the vault; `detail` has its id. Entered by the database itself.
    case keyAdded = "key.added"
    case keyRetired = "key.retired"
    case providerAdded = "provider.added"
    /// A manifest or an instance's settings, but for client secret and sync policy.
    case providerChanged = "provider.changed"
    case providerRemoved = "provider.removed"
    /// An operator takes the endpoints that the issuer moved to.
    case metadataAccepted = "provider.metadata_accepted"
}

package struct AuditEntry: Sendable, Equatable {
    /// Grows; never used twice.
    package var sequence: Int64
    package var at: Timestamp
    package var action: String
    package var actor: AuditActor
    package var accountID: AccountID?
    package var userID: UserID?
    package var provider: ProviderID?
    package var detail: String?
}

/// Written by the transaction that does what it tells of; never changed.
package struct AuditTrail: Sendable {
    let connections: Connections

    /// The newest first, those before `sequence` where one is given.
    package func entries(
        account: AccountID? = nil, before sequence: Int64? = nil, limit: Int
    ) async throws(StoreError) -> [AuditEntry] {
        try await connections.read { transaction in
            let before = sequence ?? .max
            let rows =
                if let account {
                    try transaction.db.rows(Self.ofAccount, account, before, limit)
                } else { try transaction.db.rows(Self.all, before, limit) }
            return try rows.map(AuditEntry.init)
        }
    }

    private static let columns = "sequence, at, action, actor, origin, account_id, user_id, provider, detail"
    static let all = "SELECT \(columns) FROM audit WHERE sequence < ? ORDER BY sequence DESC LIMIT ?"
    static let ofAccount = """
        SELECT \(columns) FROM audit WHERE account_id = ? AND sequence < ? ORDER BY sequence DESC LIMIT ?
        """

    /// Deletes a bounded number of the oldest entries, those before `instant`; returns how many. The database refuses for
    /// entries of the last 90 days.
    @discardableResult
    package func prune(before instant: Timestamp, limit: Int = 10_000) async throws(StoreError) -> Int {
        try await connections.write { transaction in
            try transaction.db.run(
                "DELETE FROM audit WHERE sequence IN (SELECT sequence FROM audit ORDER BY sequence LIMIT ?) AND at < ?",
                limit, instant)
        }
    }
}

extension Transaction {
    func audit(
        _ action: AuditAction, account: AccountID? = nil, user: UserID? = nil, provider: ProviderID? = nil,
        detail: String? = nil
    ) throws {
        try db.run(
            """
            INSERT INTO audit (at, action, actor, origin, account_id, user_id, provider, detail)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)
            """, now, action.rawValue, actor.name, actor.origin, account, user, provider, detail)
    }
}

extension Change.Kind {
    /// What the trail has of a change; `nil` for profiles, which the feed alone tells of.
    var auditAction: AuditAction? {
        switch self {
        case .accountLinked: .accountLinked
        case .accountUnlinked: .accountUnlinked
        case .accountNeedsRelink: .accountNeedsRelink
        case .accountRecovered: .accountRecovered
        case .profileCreated, .profileUpdated: nil
        }
    }
}

extension AuditEntry {
    init(_ row: Row) throws {
        self.init(
            sequence: try row.int64(0), at: try row.time(1), action: try row.text(2),
            actor: AuditActor(try row.text(3), origin: row.optionalText(4)),
            accountID: try row.optionalText(5).map { _ in try row.id(5) },
            userID: try row.optionalText(6).map { _ in try row.user(6) },
            provider: try row.optionalText(7).map { _ in try row.provider(7) }, detail: row.optionalText(8))
    }
}
