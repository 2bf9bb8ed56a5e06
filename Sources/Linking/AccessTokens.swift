package import Accounts
package import Logging
import OAuth
package import Providers
package import Store
import Transfer

/// A valid access token on demand. At most one refresh of an account is under way: single flight here, a lease in the
/// row across processes.
///
/// The order that no crash may break: the intent is durable before the request leaves, and the new tokens are durable
/// before anyone may use them. What a refusal means is decided only after the row was read again.
package actor AccessTokens {
    /// A token that ends sooner than this is renewed before it is used: skew and the time a request takes.
    private static let margin: Duration = .seconds(60)
    /// Between refreshes of one account that nothing but a short lifetime asks for.
    private static let refreshMinimumInterval: Duration = .seconds(10)
    private static let lease: Duration = .seconds(60)
    /// Attempts to store a refreshed token end after as long again, within the lease.
    private static let commitPauseMax: Duration = .seconds(20)
    /// How long to wait for another process that refreshes the same account.
    private static let elsewhereWait: Duration = .seconds(65)

    private typealias Outcome = Result<StoredCredential, AccessTokenError>

    private let database: Database
    private let catalog: ProviderCatalog
    private let client: ProviderClient
    private let servers: AuthorizationServers
    private let revocations: RevocationSender
    private let owner: String
    private let time: any TimeSource
    private let logger: Logger
    private var underWay: [AccountID: Task<Outcome, Never>] = [:]
    private var refreshedAt: [AccountID: Timestamp] = [:]

    /// - Parameter owner: tells this process's leases from another's.
    package init(
        database: Database, catalog: ProviderCatalog, client: ProviderClient, servers: AuthorizationServers,
        revocations: RevocationSender, owner: String, time: any TimeSource, logger: Logger
    ) {
        self.database = database
        self.catalog = catalog
        self.client = client
        self.servers = servers
        self.revocations = revocations
        self.owner = owner
        self.time = time
        self.logger = logger
    }

    /// A credential whose access token is good for at least `minTTL`, as far as the provider gives such tokens.
    package func token(
        for account: AccountID, provider: Provider, minTTL: Duration, urgency: Urgency = .callerWaits
    ) async throws(AccessTokenError) -> StoredCredential {
        let stored = try await read(account)
        guard needsRefresh(stored, account: account, minTTL: minTTL) else { return stored }
        guard stored.credential.refreshToken != nil, provider.refreshesTokens else {
            guard hasExpired(stored.credential) else { return stored }
            throw await relink(
                account, stored, code: .refreshExpired,
                detail: "The access token expired and there is no refresh token.")
        }
        return try await refresh(account, provider: provider, replacing: stored.generation, urgency: urgency).get()
    }

    /// After a resource server refused `rejected`: the credential that took its place, or a refreshed one.
    package func renew(
        after rejected: StoredCredential, for account: AccountID, provider: Provider, urgency: Urgency
    ) async throws(AccessTokenError) -> StoredCredential {
        let stored = try await read(account)
        if stored.generation != rejected.generation { return stored }
        guard stored.credential.refreshToken != nil, provider.refreshesTokens else {
            throw await relink(
                account, stored, code: .consentRevoked, detail: "The provider no longer accepts the access token.")
        }
        return try await refresh(account, provider: provider, replacing: stored.generation, urgency: urgency).get()
    }

    /// At start: refresh tokens whose use a crash left unfinished are tried first, and once.
    package func recoverInDoubt() async {
        do {
            let accounts = try await database.credentials.refreshesInDoubt(limit: 1000)
            for id in accounts where !Task.isCancelled {
                guard let account = try await database.accounts.account(id), account.status == .active,
                    let provider = catalog[account.provider], provider.isReady, provider.refreshesTokens
                else { continue }
                let outcome = await refresh(id, provider: provider, replacing: nil, urgency: .background)
                logger.notice(
                    "A refresh that was cut short was made good",
                    metadata: ["account": "\(id)", "outcome": "\(outcome.isSuccess ? "refreshed" : "failed")"])
            }
        } catch {
            logger.error("Unfinished refreshes can't be read", metadata: ["error": "\(error)"])
        }
    }

    // MARK: - When

    private func needsRefresh(_ stored: StoredCredential, account: AccountID, minTTL: Duration) -> Bool {
        // In doubt: the refresh token may be spent, and the sooner it is tried again the likelier it is honoured.
        if stored.refreshInDoubtSince != nil, stored.credential.refreshToken != nil { return true }
        guard let expiresAt = stored.credential.expiresAt else { return false }
        let now = time.now()
        if expiresAt - now > max(minTTL, Self.margin) { return false }
        if hasExpired(stored.credential) { return true }
        // A provider whose tokens never live that long would otherwise be asked without end.
        if let last = refreshedAt[account], now - last < Self.refreshMinimumInterval { return false }
        if minTTL <= Self.margin {
            let lifetime = expiresAt - stored.credential.obtainedAt
            return expiresAt - now <= min(Self.margin, .milliseconds(lifetime.wholeMilliseconds / 4))
        }
        return true
    }

    private func hasExpired(_ credential: Credential) -> Bool {
        guard let expiresAt = credential.expiresAt else { return false }
        return expiresAt <= time.now() + .seconds(1)
    }

    private func read(_ account: AccountID) async throws(AccessTokenError) -> StoredCredential {
        do {
            guard let stored = try await database.credentials.read(account) else { throw AccessTokenError.gone }
            return stored
        } catch let error as StoreError {
            if case .credentialDamaged = error { throw .damaged }
            throw .store(error)
        } catch {
            throw .gone
        }
    }

    // MARK: - Refresh

    /// - Parameter generation: the one to be replaced; a newer one that is found on the way is the answer. `nil`
    ///   refreshes whichever is stored.
    private func refresh(
        _ account: AccountID, provider: Provider, replacing generation: Int64?, urgency: Urgency
    ) async -> Outcome {
        if let task = underWay[account] { return await task.value }
        // Detached from the caller: one who leaves must not cut short what others wait for, or lose a rotated token.
        let task = Task {
            // Over with the flight itself: a caller who comes after it must not be given what it found.
            defer { underWay[account] = nil }
            return await self.refreshAlone(account, provider: provider, replacing: generation, urgency: urgency)
        }
        underWay[account] = task
        return await task.value
    }

    private func refreshAlone(
        _ account: AccountID, provider: Provider, replacing generation: Int64?, urgency: Urgency
    ) async -> Outcome {
        let deadline = time.now() + Self.elsewhereWait
        var pause: Duration = .milliseconds(50)
        while true {
            do {
                switch try await database.credentials.beginRefresh(account, owner: owner, lease: Self.lease) {
                case .gone:
                    return .failure(.gone)
                case .claimed(let stored, let wasInDoubt):
                    if let generation, stored.generation != generation {
                        try await database.credentials.abandonRefresh(
                            account, owner: owner, generation: stored.generation, tokenMayBeSpent: wasInDoubt)
                        return .success(stored)
                    }
                    return try await exchange(
                        stored, of: account, provider: provider, wasInDoubt: wasInDoubt, urgency: urgency)
                case .heldElsewhere:
                    guard time.now() < deadline else {
                        return .failure(.unavailable("Another process is refreshing this account and does not finish."))
                    }
                    try await time.sleep(for: pause)
                    pause = min(pause * 2, .seconds(1))
                    if let generation, let stored = try await database.credentials.read(account),
                        stored.generation != generation
                    {
                        return .success(stored)
                    }
                }
            } catch StoreError.credentialDamaged {
                return .failure(.damaged)
            } catch let error as StoreError {
                return .failure(.store(error))
            } catch {
                return .failure(.unavailable("The refresh was cut short."))
            }
        }
    }

    private func exchange(
        _ stored: StoredCredential, of account: AccountID, provider: Provider, wasInDoubt: Bool, urgency: Urgency
    ) async throws -> Outcome {
        guard let refreshToken = stored.credential.refreshToken else {
            try await database.credentials.abandonRefresh(
                account, owner: owner, generation: stored.generation, tokenMayBeSpent: false)
            return .success(stored)
        }
        // Known before the request, for a token that arrives after the account was unlinked.
        guard let linked = try await database.accounts.account(account) else { return .failure(.gone) }
        // A dead grant costs no request: providers count those against this program's address.
        if linked.status == .needsRelink, let problem = linked.problem {
            try await database.credentials.abandonRefresh(
                account, owner: owner, generation: stored.generation, tokenMayBeSpent: wasInDoubt)
            return .failure(.relink(problem.code, detail: problem.detail))
        }
        let user = linked.userID
        let spendsToken = provider.refreshRotation == .singleUse
        do {
            let server = try await servers.server(for: provider, urgency: urgency)
            let requestedAt = time.now()
            let response = try await client.send(
                RefreshTokenGrant.tokenRequest(
                    refreshToken: refreshToken, server: server, client: provider.client,
                    dialect: provider.tokenDialect), to: provider, account: account, urgency: urgency)
            let answer = try TokenEndpoint.read(
                response, dialect: provider.tokenDialect, requestedScopes: stored.credential.scopes,
                requestedAt: requestedAt)
            return try await commit(
                stored.credential.refreshed(by: answer.credential), of: account, user: user, provider: provider,
                after: stored)
        } catch let error as TokenRequestError {
            return try await settle(error, stored, of: account, provider: provider, wasInDoubt: wasInDoubt)
        } catch let error as ProviderRequestError {
            let mayBeSpent: Bool
            if case .transfer(let failure) = error { mayBeSpent = failure.mayHaveBeenSent } else { mayBeSpent = false }
            try await database.credentials.abandonRefresh(
                account, owner: owner, generation: stored.generation,
                tokenMayBeSpent: wasInDoubt || mayBeSpent && spendsToken)
            return .failure(.request(error))
        } catch let error as AuthorizationServerError {
            try await database.credentials.abandonRefresh(
                account, owner: owner, generation: stored.generation, tokenMayBeSpent: wasInDoubt)
            return .failure(.server(error))
        }
    }

    private func commit(
        _ credential: Credential, of account: AccountID, user: UserID, provider: Provider,
        after stored: StoredCredential
    ) async throws -> Outcome {
        guard try await store(credential, of: account, after: stored.generation) else {
            // Unlinked, or linked again, while the answer was on its way.
            guard let newer = try await database.credentials.read(account) else {
                await revocations.revokeLate(credential, of: account, user: user, provider: provider)
                return .failure(.gone)
            }
            return .success(newer)
        }
        if refreshedAt.count > 10_000 {
            let now = time.now()
            refreshedAt = refreshedAt.filter { now - $0.value < Self.refreshMinimumInterval }
        }
        refreshedAt[account] = time.now()
        logger.debug("Access token refreshed", metadata: ["account": "\(account)", "provider": "\(provider.id)"])
        return .success(StoredCredential(credential: credential, generation: stored.generation + 1))
    }

    /// The only copy of a token that may have spent the one before it: a database that is locked or full for a moment
    /// must not lose it. False where the generation moved or the account is gone.
    private func store(
        _ credential: Credential, of account: AccountID, after generation: Int64
    ) async throws -> Bool {
        var pause: Duration = .milliseconds(100)
        while true {
            let failure: StoreError
            do throws(StoreError) {
                return try await database.credentials.commitRefresh(account, owner: owner, from: generation, credential)
            } catch {
                failure = error
            }
            guard failure.mayPass, pause < Self.commitPauseMax else { throw failure }
            logger.error(
                "A refreshed token can't be stored yet", metadata: ["account": "\(account)", "error": "\(failure)"])
            try await time.sleep(for: pause)
            pause = pause * 2
        }
    }

    /// What a refusal means for the account: nothing, unless the grant itself was refused and the row is as it was.
    private func settle(
        _ error: TokenRequestError, _ stored: StoredCredential, of account: AccountID, provider: Provider,
        wasInDoubt: Bool
    ) async throws -> Outcome {
        let mayBeSpent = error.tokenMayBeSpent && provider.refreshRotation == .singleUse
        switch error.disposition {
        case .relink:
            let expired = stored.credential.refreshTokenExpiresAt.map { $0 <= time.now() } ?? false
            let mayBeLost = wasInDoubt && provider.refreshRotation != .reusable
            let code: AccountProblem.Code = mayBeLost ? .rotationLost : expired ? .refreshExpired : .consentRevoked
            let refusal = await relink(account, stored, code: code, detail: Self.sentence(for: code))
            // Marked only if the row is as it was: another's newer credential is the answer.
            guard let current = try await database.credentials.read(account) else { return .failure(.gone) }
            return current.generation == stored.generation ? .failure(refusal) : .success(current)
        case .fixConfiguration:
            try await database.credentials.abandonRefresh(
                account, owner: owner, generation: stored.generation, tokenMayBeSpent: wasInDoubt)
            // A scope or a parameter that is refused may be this account's alone.
            if error == .refused(.invalidClient) || error == .refused(.unauthorizedClient) {
                await client.pause(
                    provider.id, for: .seconds(600), reason: "it refuses this service's registration (\(error.word))")
            }
            return .failure(.clientRefused(error.word))
        case .retry, .wait, .suspend:
            try await database.credentials.abandonRefresh(
                account, owner: owner, generation: stored.generation, tokenMayBeSpent: wasInDoubt || mayBeSpent)
            return .failure(.unavailable("The token endpoint gave no usable answer (\(error.word))."))
        }
    }

    private static func sentence(for code: AccountProblem.Code) -> String {
        switch code {
        case .rotationLost: "A refresh was cut short and the provider does not accept the refresh token a second time."
        case .refreshExpired: "The refresh token expired."
        default: "The provider no longer accepts the refresh token."
        }
    }

    private func relink(
        _ account: AccountID, _ stored: StoredCredential, code: AccountProblem.Code, detail: String
    ) async -> AccessTokenError {
        do {
            let marked = try await database.accounts.markNeedsRelink(
                account, generation: stored.generation, code: code, detail: detail)
            if marked {
                logger.notice(
                    "An account has to be linked again",
                    metadata: ["account": "\(account)", "problem": "\(code.rawValue)"])
            }
        } catch {
            return .store(error)
        }
        return .relink(code, detail: detail)
    }
}

/// Why there is no valid access token.
package enum AccessTokenError: Error, Equatable {
    /// The account was unlinked.
    case gone
    /// The grant is dead, and the account says so.
    case relink(AccountProblem.Code, detail: String)
    /// The provider refuses our registration; the word is its error code.
    case clientRefused(String)
    case unavailable(String)
    case request(ProviderRequestError)
    case server(AuthorizationServerError)
    case damaged
    case store(StoreError)

    package var disposition: Disposition {
        switch self {
        case .gone, .unavailable, .store: .retry
        case .relink(let code, _): .relink(code)
        case .clientRefused, .damaged: .fixConfiguration
        case .request(let error): error.disposition
        case .server(let error): error.disposition
        }
    }

    package var problemCode: AccountProblem.Code {
        switch self {
        case .gone, .unavailable, .store: .providerUnavailable
        case .relink(let code, _): code
        case .clientRefused: .clientRefused
        case .damaged: .credentialDamaged
        case .request(let error): error.problemCode
        case .server(let error): error.problemCode
        }
    }

    package var detail: String {
        switch self {
        case .gone: "The account is not linked any more."
        case .relink(_, let detail): detail
        case .clientRefused(let word): "The provider refuses this service's registration (\(word))."
        case .unavailable(let detail): detail
        case .request(let error): error.detail
        case .server(let error): error.detail
        case .damaged: "The sealed tokens do not open; link the account again."
        case .store(let error): "The database failed: \(error)."
        }
    }
}

extension TokenRequestError {
    /// For a log or a person: OAuth's own word, a status, never a body.
    var word: String {
        switch self {
        case .refused(let code): code.rawValue
        case .unavailable(let status): "HTTP \(status)"
        case .transfer(let error): error.sentence
        case .malformed(let reason): reason
        }
    }
}

extension StoreError {
    /// Whether the same write may succeed a little later.
    fileprivate var mayPass: Bool {
        switch self {
        case .diskFull, .locked, .readOnly, .io: true
        default: false
        }
    }
}

extension Result {
    fileprivate var isSuccess: Bool { if case .success = self { true } else { false } }
}
