import Accounts
import HTTPTypes
import Hummingbird
import JSON
import Linking
import Providers
import Store

/// Linked accounts: reading, unlinking, and the one call that hands out an access token.
struct AccountRoutes: Sendable {
    let database: Database
    let catalog: ProviderCatalog
    let linking: AccountLinking

    /// GET /v1/accounts
    func list(_ call: APIRequest) async throws -> Response {
        var query = try QueryReader(call.http)
        let page = query.page()
        var filter = AccountFilter()
        filter.provider = query.value("provider", "is not the id of a provider") { ProviderID($0) }
        filter.status = query.value("status", "must be active, needs_relink, suspended or paused") {
            AccountStatus(rawValue: $0)
        }
        filter.userID = query.value("user_id", "must have 1 to 255 characters") { UserID($0) }
        filter.email = query.value("email", "must have 1 to 320 characters", Self.term)
        filter.username = query.value("username", "must have 1 to 320 characters", Self.term)
        filter.changedSince = query.value("changed_since", "must be a time as of RFC 3339") { Timestamp(rfc3339: $0) }
        try query.finish()
        let accounts: Page<LinkedAccount>
        do {
            accounts = try await database.accounts.list(filter, after: page.after, limit: page.limit)
        } catch {
            guard page.after != nil, case .inconsistent = error else { throw error }
            throw Problem.invalid(query: "after", "is not a cursor of this list")
        }
        return .json(.list(accounts.items.map { catalog.explaining($0).output() }, next: accounts.next))
    }

    private static func term(_ text: String) -> String? { (1...320).contains(text.unicodeScalars.count) ? text : nil }

    /// GET /v1/users/{user_id}/accounts
    func ofUser(_ call: APIRequest) async throws -> Response {
        var query = try QueryReader(call.http)
        let page = query.page()
        try query.finish()
        let after = page.after.flatMap { AccountID($0) }
        if page.after != nil, after == nil { throw Problem.invalid(query: "after", "is not a cursor of this list") }
        guard let user = UserID(call.parameter("user_id")) else { return .json(.list([], next: nil)) }
        let accounts = try await database.accounts.accounts(of: user, after: after, limit: page.limit)
        return .json(
            .list(
                accounts.items.map { catalog.explaining($0.account).output(claims: $0.claims) }, next: accounts.next))
    }

    /// GET /v1/accounts/{id}
    func one(_ call: APIRequest) async throws -> Response {
        var query = try QueryReader(call.http)
        try query.finish()
        guard let account = try await database.accounts.account(call.accountID()) else { throw Problem.accountNotFound }
        return .json(catalog.explaining(account).output())
    }

    /// DELETE /v1/accounts/{id}
    func unlink(_ call: APIRequest) async throws -> Response {
        guard try await linking.unlink(call.accountID()) else { throw Problem.accountNotFound }
        return Response(status: .noContent)
    }
}

extension LinkedAccount {
    /// As every call shows an account. Absent times are null, an absent problem is no member.
    func output(claims: String? = nil) -> JSONOutput {
        var members: [(String, JSONOutput)] = [
            ("id", .string(id.rawValue)), ("user_id", .string(userID.rawValue)),
            ("provider", .string(provider.rawValue)), ("subject", .string(subject.rawValue)),
            ("status", .string(status.rawValue)), ("scopes", .strings(scopes.map(\.rawValue))),
            ("linked_at", .time(linkedAt)), ("synced_at", .time(syncedAt)), ("changed_at", .time(changedAt)),
            ("next_sync_at", .time(nextSyncAt)),
        ]
        if !missingScopes.isEmpty { members.append(("missing_scopes", .strings(missingScopes.map(\.rawValue)))) }
        if let problem { members.append(("problem", problem.output)) }
        if let claims { members.append(("claims", .stored(claims))) }
        return .object(members)
    }
}

extension AccountProblem {
    var output: JSONOutput {
        var members: [(String, JSONOutput)] = [
            ("code", .string(code.rawValue)), ("since", .time(since)), ("detail", .string(detail)),
        ]
        if let nextAttemptAt { members.append(("next_attempt_at", .time(nextAttemptAt))) }
        members.append(("action", .string(action.rawValue)))
        return .object(members)
    }
}
