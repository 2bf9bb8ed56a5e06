package import Accounts
import OAuth
package import Providers
package import Store
import Transfer

/// Asks a provider whether an account's access token is good (RFC 7662), and acts on the answer. Nothing is kept of it:
/// the next check asks again.
package struct TokenCheck: Sendable {
    package enum Outcome: Sendable, Equatable {
        /// With what the provider says of the token.
        case active(expiresAt: Timestamp?, scopes: [Scope]?)
        /// The token was not good any more, and a refresh brought one that is.
        case renewed
        /// The grant is gone; the account says so now.
        case needsRelink(String)
        /// The provider has no introspection endpoint, or no client authentication to be asked with.
        case notOffered
        case unavailable(String)
    }

    private let database: Database
    private let client: ProviderClient
    private let servers: AuthorizationServers
    private let tokens: AccessTokens

    package init(
        database: Database, client: ProviderClient, servers: AuthorizationServers, tokens: AccessTokens
    ) {
        self.database = database
        self.client = client
        self.servers = servers
        self.tokens = tokens
    }

    package func check(_ account: AccountID, provider: Provider) async throws(StoreError) -> Outcome {
        let server: AuthorizationServer
        do { server = try await servers.server(for: provider) } catch { return .unavailable(error.detail) }
        guard server.introspectionEndpoint != nil, provider.client.authentication.proves else { return .notOffered }
        let stored: StoredCredential
        do {
            stored = try await tokens.token(
                for: account, provider: provider, minTTL: .zero, urgency: .callerWaits)
        } catch {
            return try Self.outcome(of: error)
        }
        let said: TokenIntrospection
        do { said = try await ask(stored.credential, server, provider) } catch { return .unavailable(error.sentence) }
        if said.isActive { return .active(expiresAt: said.expiresAt, scopes: said.scopes) }
        guard stored.credential.refreshToken != nil, provider.refreshesTokens else {
            let detail = "The provider says that the access token is not active."
            _ = try await database.accounts.markNeedsRelink(
                account, generation: stored.generation, code: .consentRevoked, detail: detail)
            return .needsRelink(detail)
        }
        do {
            // Whether the grant is gone with the token, a refresh tells.
            _ = try await tokens.renew(after: stored, for: account, provider: provider, urgency: .callerWaits)
            return .renewed
        } catch {
            return try Self.outcome(of: error)
        }
    }

    private struct Failure: Error { var sentence: String }

    private func ask(
        _ credential: Credential, _ server: AuthorizationServer, _ provider: Provider
    ) async throws(Failure) -> TokenIntrospection {
        guard
            let request = TokenIntrospection.request(
                accessToken: credential.accessToken, server: server, client: provider.client,
                dialect: provider.tokenDialect, moment: client.moment)
        else { throw Failure(sentence: "The provider has no introspection endpoint.") }
        let response: TransferResponse
        do {
            response = try await client.send(request, to: provider, route: "introspection", urgency: .callerWaits)
        } catch {
            throw Failure(sentence: error.detail)
        }
        do { return try TokenIntrospection.read(response, dialect: provider.tokenDialect) } catch {
            throw Failure(sentence: "The introspection endpoint gave no usable answer (\(error.word)).")
        }
    }

    private static func outcome(of error: AccessTokenError) throws(StoreError) -> Outcome {
        switch error {
        case .store(let error): throw error
        case .relink(_, let detail): .needsRelink(detail)
        default: .unavailable(error.detail)
        }
    }
}
