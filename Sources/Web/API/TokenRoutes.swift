import Accounts
import HTTPTypes
import Hummingbird
import JSON
import Linking
import Providers
import Store

/// The one call that hands a secret out.
struct TokenRoutes: Sendable {
    let database: Database
    let catalog: ProviderCatalog
    let tokens: AccessTokens
    let time: any TimeSource

    static let minimumLifetimeDefault = 60
    /// 30 days, in seconds.
    static let minimumLifetimeMax = 2_592_000

    /// POST /v1/accounts/{id}/access-token
    func accessToken(_ call: APIRequest) async throws -> Response {
        let id = try call.accountID()
        var fields = try await call.http.jsonFields(mayBeEmpty: true).fields
        let seconds = fields.optional("min_ttl", "must be a whole number of seconds from 0 to 2592000") {
            value -> Int? in
            guard let number = value.number?.int64, (0...Int64(Self.minimumLifetimeMax)).contains(number) else {
                return nil
            }
            return Int(number)
        }
        try fields.finish()
        guard let account = try await database.accounts.account(id) else { throw Problem.accountNotFound }
        switch account.status {
        case .active: break
        case .needsRelink: throw Problem.needsRelink(account.problem?.detail ?? "The grant is no longer valid.")
        case .suspended:
            throw Problem(
                .conflict, .accountSuspended, "The provider has suspended the user",
                detail: account.problem?.detail ?? "No token is used meanwhile.")
        case .paused: throw Problem.accountPaused
        }
        guard let provider = catalog[account.provider] else {
            throw Problem(
                .serviceUnavailable, .providerNotConfigured, "The provider is not configured",
                detail: "The configuration no longer has \(account.provider).")
        }
        let stored = try await token(id, provider, minimumLifetime: .seconds(seconds ?? Self.minimumLifetimeDefault))
        let credential = stored.credential
        // Without the key, which stays here, it is of no use; as Bearer it would only be refused.
        guard credential.tokenType == "Bearer" else {
            throw Problem(
                .conflict, .tokenBound, "The access token is bound to a key",
                detail:
                    "Its key (RFC 9449) never leaves this service. Set dpop: none for \(account.provider) and link again."
            )
        }
        if let expiresAt = credential.expiresAt, expiresAt <= time.now() { throw try await expired(credential, of: id) }
        return .json(
            .object([
                ("access_token", .string(credential.accessToken.reveal { $0 })),
                ("token_type", .string(credential.tokenType)), ("expires_at", .time(credential.expiresAt)),
                ("scopes", .strings(credential.scopes.map(\.rawValue))),
            ]),
            fields: [.cacheControl: "no-store"])
    }

    /// An expired token is handed to nobody, and our clock alone ends no grant. Without a refresh token the next sync
    /// settles it, by using the token: it is due at once. With one, the token was just issued and lived too short.
    private func expired(_ credential: Credential, of id: AccountID) async throws -> Problem {
        guard credential.refreshToken == nil else {
            return Problem(
                .serviceUnavailable, .providerUnavailable, "There is no valid access token now",
                detail: "The provider's newest access token has expired already.", headers: [.retryAfter: "10"])
        }
        _ = try await database.schedule.expedite(id, at: time.now())
        return Problem(
            .serviceUnavailable, .providerUnavailable, "There is no valid access token now",
            detail:
                "The access token has expired and there is no refresh token; the provider is asked whether the grant "
                + "has ended.", headers: [.retryAfter: "10"])
    }

    private func token(
        _ id: AccountID, _ provider: Provider, minimumLifetime: Duration
    ) async throws -> StoredCredential {
        do throws(AccessTokenError) {
            return try await tokens.handOut(id, provider: provider, minTTL: minimumLifetime)
        } catch {
            switch error {
            case .gone: throw Problem.accountNotFound
            case .store(let error): throw error
            default:
                let problem = AccountProblem(code: error.problemCode, since: time.now(), detail: error.detail)
                throw Problem(problem, now: time.now())
            }
        }
    }
}
