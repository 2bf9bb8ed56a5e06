import Accounts
import OAuth
import Providers
import Transfer

/// Token requests that make a link.
extension ProviderClient {
    /// What a server that was asked for tokens answered, or why there is no link.
    ///
    /// - Parameters:
    ///   - key: what tokens are to be bound to; `nil` where they are not.
    ///   - request: `nil` where the manifest has no such request.
    func tokens(
        of provider: Provider, server: AuthorizationServer, scopes: [Scope], key: DPoPKey?,
        _ request: @Sendable (ClientRegistration, TokenDialect, Moment) -> TransferRequest?
    ) async throws(LinkFailure) -> AccessTokenResponse {
        guard let first = request(provider.client, provider.tokenDialect, moment) else {
            throw LinkFailure("server_error", "The provider's manifest has no such request.")
        }
        // Lifetimes count from before the request was sent.
        let requestedAt = time.now()
        do {
            let response = try await send(to: provider, urgency: .callerWaits, key: key) { moment in
                request(provider.client, provider.tokenDialect, moment) ?? first
            }
            do {
                var answer = try TokenEndpoint.read(
                    response, dialect: provider.tokenDialect, requestedScopes: scopes, requestedAt: requestedAt,
                    binding: key == nil ? .none : server.dpop)
                answer.bind(to: key)
                return answer
            } catch {
                let said = TokenEndpoint.detail(of: response, dialect: provider.tokenDialect).map { " (\($0))" } ?? ""
                let code = LinkFailure.code(for: provider.failure(error, of: response, now: time.now()))
                throw LinkFailure(
                    code,
                    (code == "client_refused"
                        ? "The provider refuses this service: " : "The code could not be exchanged: ")
                        + "\(provider.word(for: error, response, now: time.now()))\(said).")
            }
        } catch let failure as LinkFailure {
            throw failure
        } catch let error as ProviderRequestError {
            throw LinkFailure("provider_unavailable", error.detail)
        } catch {
            throw LinkFailure("provider_unavailable", "The provider could not be asked.")
        }
    }

    /// The token that lasts, where the provider gives one for the first (quirk D24); else the first.
    func lasting(
        _ first: Credential, of provider: Provider, server: AuthorizationServer, scopes: [Scope], key: DPoPKey?
    ) async throws(LinkFailure) -> Credential {
        guard provider.tokenDialect.exchange != nil else { return first }
        let answer = try await tokens(of: provider, server: server, scopes: scopes, key: key) {
            client, dialect, moment in
            AccessTokenExchange.tokenRequest(
                accessToken: first.accessToken, server: server, client: client, dialect: dialect, moment: moment)
        }
        return first.refreshed(by: answer.credential)
    }
}

extension AccessTokenResponse {
    /// A token that came back bound is of use with that key alone.
    mutating func bind(to key: DPoPKey?) {
        if credential.tokenType == DPoP.tokenType { credential.proofKey = key?.secret }
    }
}
