import Accounts
import OAuth
import Providers
import Transfer

/// Tokens of the application itself: in memory alone, one request at a time for each provider, never a user's and never
/// handed out. A server that could not be asked is not asked again for a minute.
actor ApplicationTokens {
    /// One that ends sooner is renewed before it is used, or at three quarters of its life.
    private static let margin: Duration = .seconds(60)
    /// Of one that says nothing of its end.
    private static let lifetimeDefault: Duration = .seconds(3600)
    private static let failureFor: Duration = .seconds(60)

    private struct Held {
        var credential: Credential
        /// Of the configuration that it was asked for with.
        var fingerprint: String
    }

    private let client: ProviderClient
    private let servers: AuthorizationServers
    private let time: any TimeSource
    private var held: [ProviderID: Held] = [:]
    private var failures: [ProviderID: (error: AccessTokenError, at: Timestamp)] = [:]
    private var underWay: [ProviderID: Task<Result<Credential, AccessTokenError>, Never>] = [:]

    init(client: ProviderClient, servers: AuthorizationServers, time: any TimeSource) {
        self.client = client
        self.servers = servers
        self.time = time
    }

    /// - Parameter rejected: one that the resource server refused, and that is not to be returned again.
    func token(
        for provider: Provider, replacing rejected: Secret? = nil, urgency: Urgency
    ) async throws(AccessTokenError) -> Secret {
        let now = time.now()
        if let held = held[provider.id], held.fingerprint == provider.fingerprint,
            held.credential.accessToken != rejected, lasts(held.credential, now)
        {
            return held.credential.accessToken
        }
        if underWay[provider.id] == nil, let failed = failures[provider.id], failed.at <= now,
            now - failed.at < Self.failureFor
        {
            throw failed.error
        }
        let task =
            underWay[provider.id]
            ?? Task {
                let result = await ask(provider, urgency)
                underWay[provider.id] = nil
                return keep(result, of: provider)
            }
        underWay[provider.id] = task
        guard let result = await task.valueUnlessCancelled() else { throw .cutShort }
        return try result.get().accessToken
    }

    private func keep(
        _ result: Result<Credential, AccessTokenError>, of provider: Provider
    ) -> Result<Credential, AccessTokenError> {
        switch result {
        case .success(let credential):
            failures[provider.id] = nil
            held[provider.id] = Held(credential: credential, fingerprint: provider.fingerprint)
        case .failure(let error):
            // Kept from being sent at all says nothing of the server.
            if case .request = error { break }
            failures[provider.id] = (error, time.now())
        }
        return result
    }

    private func lasts(_ credential: Credential, _ now: Timestamp) -> Bool {
        let end = credential.expiresAt ?? credential.obtainedAt + Self.lifetimeDefault
        let life = end - credential.obtainedAt
        let margin = min(Self.margin, .milliseconds(max(life.wholeMilliseconds, 0) / 4))
        return now >= credential.obtainedAt && end - now > margin
    }

    private func ask(_ provider: Provider, _ urgency: Urgency) async -> Result<Credential, AccessTokenError> {
        guard let grant = provider.applicationGrant else {
            return .failure(.unavailable("The provider's manifest has no application_token."))
        }
        let requestedAt = time.now()
        do {
            let server = try await servers.server(for: provider, urgency: urgency)
            let response = try await client.send(
                grant.tokenRequest(
                    server: server, client: provider.client, dialect: provider.tokenDialect, moment: client.moment),
                to: provider, urgency: urgency)
            do {
                var credential = try TokenEndpoint.read(
                    response, dialect: provider.tokenDialect, requestedScopes: grant.scopes, requestedAt: requestedAt
                ).credential
                // None is expected (RFC 6749 §4.4.3): the grant itself is as good.
                credential.refreshToken = nil
                return .success(credential)
            } catch {
                var failure = provider.failure(error, of: response, now: time.now())
                // No user's grant: the application itself is refused.
                if failure == .grantRefused { failure = .registrationRefused }
                return .failure(.answer(failure, word: provider.word(for: error, response, now: time.now())))
            }
        } catch let error as ProviderRequestError {
            return .failure(.request(error))
        } catch let error as AuthorizationServerError {
            return .failure(.server(error))
        } catch {
            return .failure(.cutShort)
        }
    }
}

extension Provider {
    /// What the server said, and, where an assertion was refused, what its clock says to that: one that is ahead or behind
    /// by more than a minute takes an assertion for expired or for not yet made.
    func word(for error: TokenRequestError, _ response: TransferResponse, now: Timestamp) -> String {
        let asserts =
            client.authentication == .privateKeyJWT || client.authentication == .clientSecretJWT
            || applicationGrant?.kind == .jwtBearer
        guard asserts, case .refused = error, let difference = clockDifference(in: response, now: now) else {
            return error.word
        }
        let seconds = abs(difference.components.seconds)
        guard seconds > 60 else { return error.word }
        return
            "\(error.word); the server's clock is \(seconds) s \(difference < .zero ? "behind" : "ahead of") this machine's"
    }
}
