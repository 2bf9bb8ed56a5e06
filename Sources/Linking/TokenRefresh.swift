import Accounts
import Logging
import OAuth
import Providers
import Store
import Telemetry
import Transfer

/// One refresh of one account, from the lease to the stored answer.
///
/// The order that no crash may break: the intent is durable before the request leaves, and the new tokens are durable
/// before anyone may use them. What may take long, and what may fail with nothing sent, comes before the intent: the
/// endpoints, and the provider's leave to send. So the lease has to cover no more than the request and the storing of
/// its answer, and it does. From the intent on, nothing that happens to the caller cuts the refresh short.
///
/// What a refusal means is decided only after the row was read again.
struct TokenRefresh: Sendable {
    typealias Outcome = Result<StoredCredential, AccessTokenError>

    /// Covers `sentMax`; nobody else may use the refresh token before the answer is stored or lost.
    static let lease: Duration = .seconds(120)
    /// How long a request that has left holds up the end of the service: its own limit, and the storing.
    static let sentMax: Duration = TransferLimits().total + storingMax
    /// The pauses between attempts to store, 25.5 s together, and nine attempts at a locked database of 5 s each.
    private static let storingMax: Duration = .seconds(75)
    /// Attempts to store a refreshed token end before this pause.
    private static let storePauseMax: Duration = .seconds(20)
    /// How long to wait for another process that refreshes the same account.
    private static let elsewhereWait: Duration = lease + .seconds(5)

    let database: Database
    let client: ProviderClient
    let servers: AuthorizationServers
    let revocations: RevocationSender
    let owner: String
    let time: any TimeSource
    let logger: Logger

    private enum Claim {
        case over(Outcome)
        /// Another process holds the lease, or too little of ours is left to send anything.
        case notNow
        case leased(Lease)
    }

    private struct Lease {
        let stored: StoredCredential
        let refreshToken: Secret
        let account: LinkedAccount
        let wasInDoubt: Bool
        /// When there was enough of it left; the request leaves at once, and lifetimes count from here.
        let checkedAt: Timestamp
    }

    private enum Standing {
        case over(Outcome)
        case refreshable(LinkedAccount, Secret)
    }

    func read(_ account: AccountID) async throws(AccessTokenError) -> StoredCredential {
        do {
            guard let stored = try await database.credentials.read(account) else { throw AccessTokenError.gone }
            return stored
        } catch {
            throw AccessTokenError(error)
        }
    }

    /// - Parameter generation: the one to be replaced; a newer one that is found on the way is the answer.
    func run(
        _ account: AccountID, provider: Provider, replacing generation: Int64, urgency: Urgency
    ) async -> Outcome {
        let deadline = time.now() + Self.elsewhereWait
        var pause: Duration = .milliseconds(50)
        do {
            while true {
                let standing = try await standing(of: read(account), account, replacing: generation)
                if case .over(let outcome) = standing { return outcome }
                let server = try await servers.server(for: provider, urgency: urgency)
                let admission = try await client.admission(to: provider, account: account, urgency: urgency)
                // Detached: what cancels the caller must not leave the refresh token in doubt, or lose the one that
                // takes its place.
                let claim = await Task {
                    let claim = await self.claim(account, replacing: generation)
                    guard case .leased(let lease) = claim else {
                        await client.giveBack(admission)
                        return claim
                    }
                    let outcome = await exchange(lease, provider: provider, server: server, admission: admission)
                    client.telemetry.refreshed(provider.id, Telemetry.RefreshOutcome(outcome))
                    return .over(outcome)
                }.value
                if case .over(let outcome) = claim { return outcome }
                guard time.now() < deadline else {
                    return .failure(.unavailable("Another process is refreshing this account and does not finish."))
                }
                try await time.sleep(for: pause)
                pause = min(pause * 2, .seconds(1))
            }
        } catch {
            return .failure(AccessTokenError(error))
        }
    }

    /// What the rows already say.
    private func standing(
        of stored: StoredCredential, _ account: AccountID, replacing generation: Int64
    ) async throws(StoreError) -> Standing {
        guard stored.generation == generation, let refreshToken = stored.credential.refreshToken else {
            return .over(.success(stored))
        }
        guard let linked = try await database.accounts.account(account) else { return .over(.failure(.gone)) }
        // A dead grant costs no request: providers count those against this program's address.
        if linked.status == .needsRelink, let problem = linked.problem {
            return .over(.failure(.relink(problem.code, detail: problem.detail)))
        }
        return .refreshable(linked, refreshToken)
    }

    private func claim(_ account: AccountID, replacing generation: Int64) async -> Claim {
        do {
            let began = time.now()
            switch try await database.credentials.beginRefresh(account, owner: owner, lease: Self.lease) {
            case .gone: return .over(.failure(.gone))
            case .heldElsewhere: return .notNow
            case .claimed(let stored, let wasInDoubt):
                var claim = Claim.notNow
                do {
                    switch try await standing(of: stored, account, replacing: generation) {
                    case .over(let outcome): claim = .over(outcome)
                    case .refreshable(let linked, let refreshToken):
                        let now = time.now()
                        if Self.lease - (now - began) >= Self.sentMax {
                            return .leased(
                                Lease(
                                    stored: stored, refreshToken: refreshToken, account: linked, wasInDoubt: wasInDoubt,
                                    checkedAt: now))
                        }
                    }
                } catch {
                    claim = .over(.failure(.store(error)))
                }
                try await database.credentials.abandonRefresh(
                    account, owner: owner, generation: stored.generation, tokenMayBeSpent: wasInDoubt)
                return claim
            }
        } catch {
            return .over(.failure(AccessTokenError(error)))
        }
    }

    private func exchange(
        _ lease: Lease, provider: Provider, server: AuthorizationServer, admission: Admission
    ) async -> Outcome {
        let stored = lease.stored
        do {
            let key = stored.credential.proofKey.flatMap { DPoPKey($0) }
            let response = try await client.send(with: admission, at: lease.checkedAt, key: key) { moment in
                RefreshTokenGrant.tokenRequest(
                    refreshToken: lease.refreshToken, server: server, client: provider.client,
                    dialect: provider.tokenDialect, moment: moment)
            }
            do {
                let answer = try TokenEndpoint.read(
                    response, dialect: provider.tokenDialect, requestedScopes: stored.credential.scopes,
                    requestedAt: lease.checkedAt, binding: stored.credential.binding(server))
                return try await commit(
                    stored.credential.refreshed(by: answer.credential), of: lease.account, provider: provider,
                    after: stored)
            } catch let error as TokenRequestError {
                return try await settle(error, response, lease, provider: provider)
            }
        } catch let error as ProviderRequestError {
            var mayBeSpent = false
            if case .transfer(let failure) = error { mayBeSpent = failure.mayHaveBeenSent }
            return await abandon(lease, mayBeSpent: mayBeSpent, .request(error))
        } catch {
            return .failure(AccessTokenError(error))
        }
    }

    private func commit(
        _ credential: Credential, of account: LinkedAccount, provider: Provider, after stored: StoredCredential
    ) async throws -> Outcome {
        guard try await store(credential, of: account.id, after: stored.generation) else {
            // Unlinked, or linked again, while the answer was on its way.
            guard let newer = try await database.credentials.read(account.id) else {
                await revocations.revokeLate(credential, of: account.id, user: account.userID, provider: provider)
                return .failure(.gone)
            }
            return .success(newer)
        }
        logger.debug("Access token refreshed", metadata: ["account": "\(account.id)", "provider": "\(provider.id)"])
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
            guard failure.mayPass, pause < Self.storePauseMax else { throw failure }
            logger.error(
                "A refreshed token can't be stored yet", metadata: ["account": "\(account)", "error": "\(failure)"])
            try await time.sleep(for: pause)
            pause = pause * 2
        }
    }

    /// What a refusal means for the account: nothing, unless the grant itself was refused and the row is as it was.
    /// Where the token may be spent the intent stays, whatever the manifest says of rotation: that setting only names the
    /// problem.
    private func settle(
        _ error: TokenRequestError, _ response: TransferResponse, _ lease: Lease, provider: Provider
    ) async throws -> Outcome {
        let stored = lease.stored
        let account = lease.account.id
        let failure = provider.failure(error, of: response, now: time.now())
        guard failure == .grantRefused else {
            if let pause = failure.providerPause {
                await client.pause(provider.id, for: pause, reason: .registrationRefused(error.word))
            }
            return await abandon(
                lease, mayBeSpent: error.tokenMayBeSpent,
                .answer(failure, word: provider.word(for: error, response, now: time.now())))
        }
        let expired = stored.credential.refreshTokenExpiresAt.map { $0 <= time.now() } ?? false
        let mayBeLost = lease.wasInDoubt && provider.refreshRotation != .reusable
        let code: AccountProblem.Code = mayBeLost ? .rotationLost : expired ? .refreshExpired : failure.problemCode
        let refusal = await relink(account, stored, code: code, detail: Self.sentence(for: code))
        // Marked only if the row is as it was: another's newer credential is the answer.
        guard let current = try await database.credentials.read(account) else { return .failure(.gone) }
        return current.generation == stored.generation ? .failure(refusal) : .success(current)
    }

    private func abandon(_ lease: Lease, mayBeSpent: Bool, _ error: AccessTokenError) async -> Outcome {
        do {
            try await database.credentials.abandonRefresh(
                lease.account.id, owner: owner, generation: lease.stored.generation,
                tokenMayBeSpent: lease.wasInDoubt || mayBeSpent)
            return .failure(error)
        } catch {
            return .failure(.store(error))
        }
    }

    private static func sentence(for code: AccountProblem.Code) -> String {
        switch code {
        case .rotationLost: "A refresh was cut short and the provider does not accept the refresh token a second time."
        case .refreshExpired: "The refresh token expired."
        default: "The provider no longer accepts the refresh token."
        }
    }

    /// Marks the account unless its credential is a newer one by now.
    func relink(
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

extension Credential {
    /// What an answer to its refresh token may be: a link that began without a key goes on without one.
    func binding(_ server: AuthorizationServer) -> DPoP.Use {
        guard proofKey != nil else { return .none }
        return server.dpop == .required ? .required : .offered
    }
}

extension AccessTokenError {
    /// What was thrown on the way to a token.
    fileprivate init(_ error: any Error) {
        switch error {
        case let error as AccessTokenError: self = error
        case StoreError.credentialDamaged: self = .damaged
        case let error as StoreError: self = .store(error)
        case let error as ProviderRequestError: self = .request(error)
        case AuthorizationServerError.request(let error) where error == .transfer(.cancelled): self = .cutShort
        case let error as AuthorizationServerError: self = .server(error)
        default: self = .cutShort
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
