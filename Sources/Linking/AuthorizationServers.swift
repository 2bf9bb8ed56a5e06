package import Accounts
package import Logging
package import OAuth
package import Providers
import Transfer

/// Endpoints, capabilities and keys of every provider: from the manifest, or from the issuer's metadata document,
/// which is cached, fetched once however many ask at once, and fetched again when it grows old or a key is missing.
package actor AuthorizationServers {
    /// How long a metadata document or key set serves before it is fetched again.
    private static let freshFor: Duration = .seconds(3600)
    /// How long one that can't be fetched again goes on serving.
    private static let usableFor: Duration = .seconds(86_400)
    /// Unknown key ids cause at most one fetch in this time, however many tokens name them.
    private static let keysMinimumAge: Duration = .seconds(60)

    private struct Cached<Value: Sendable> {
        var value: Value
        var fetchedAt: Timestamp
    }

    private let client: ProviderClient
    private let time: any TimeSource
    private let logger: Logger
    private var metadata: [ProviderID: Cached<ProviderMetadata>] = [:]
    private var keySets: [ProviderID: Cached<JSONWebKeySet>] = [:]
    private var keyFailures: [ProviderID: (error: AuthorizationServerError, at: Timestamp)] = [:]
    private var metadataTasks: [ProviderID: Task<Result<ProviderMetadata, AuthorizationServerError>, Never>] = [:]
    private var keyTasks: [ProviderID: Task<Result<JSONWebKeySet, AuthorizationServerError>, Never>] = [:]

    package init(client: ProviderClient, time: any TimeSource, logger: Logger) {
        self.client = client
        self.time = time
        self.logger = logger
    }

    package func server(
        for provider: Provider, urgency: Urgency = .callerWaits
    ) async throws(AuthorizationServerError) -> AuthorizationServer {
        do {
            guard let issuer = provider.issuer else { return try provider.authorizationServer(metadata: nil) }
            let document = try await document(of: provider, issuer: issuer, urgency: urgency)
            return try provider.authorizationServer(metadata: document)
        } catch let error as AuthorizationServerError {
            throw error
        } catch {
            throw .misconfigured("\(error)")
        }
    }

    /// - Parameter refetching: a token names a key that the cached set lacks.
    package func keys(
        for provider: Provider, server: AuthorizationServer, refetching: Bool = false
    ) async throws(AuthorizationServerError) -> JSONWebKeySet {
        guard let uri = server.jwksURI else { throw .misconfigured("the issuer's document has no jwks_uri") }
        let now = time.now()
        if let cached = keySets[provider.id] {
            let age = now - cached.fetchedAt
            if age < (refetching ? Self.keysMinimumAge : Self.freshFor), age >= .zero { return cached.value }
        }
        if keyTasks[provider.id] == nil, let failed = keyFailures[provider.id], failed.at <= now,
            now - failed.at < Self.keysMinimumAge
        {
            return try usableKeys(of: provider.id, now: now, or: failed.error)
        }
        let task =
            keyTasks[provider.id]
            ?? Task {
                let result = await self.fetchKeys(of: provider, uri: uri)
                keyTasks[provider.id] = nil
                switch result {
                case .success(let keys):
                    keySets[provider.id] = Cached(value: keys, fetchedAt: now)
                    keyFailures[provider.id] = nil
                case .failure(let error): keyFailures[provider.id] = (error, now)
                }
                return result
            }
        keyTasks[provider.id] = task
        switch await task.value {
        case .success(let keys): return keys
        case .failure(let error): return try usableKeys(of: provider.id, now: now, or: error)
        }
    }

    private func usableKeys(
        of id: ProviderID, now: Timestamp, or error: AuthorizationServerError
    ) throws(AuthorizationServerError) -> JSONWebKeySet {
        guard let cached = keySets[id], now - cached.fetchedAt < Self.usableFor else { throw error }
        return cached.value
    }

    private func document(
        of provider: Provider, issuer: String, urgency: Urgency
    ) async throws(AuthorizationServerError) -> ProviderMetadata {
        let now = time.now()
        if let cached = metadata[provider.id], now - cached.fetchedAt < Self.freshFor, now >= cached.fetchedAt {
            return cached.value
        }
        let task =
            metadataTasks[provider.id]
            ?? Task {
                let result = await self.fetchMetadata(of: provider, issuer: issuer, urgency: urgency)
                metadataTasks[provider.id] = nil
                if case .success(let document) = result {
                    if let old = metadata[provider.id]?.value, old.tokenEndpoint != document.tokenEndpoint {
                        logger.warning(
                            "The token endpoint of an issuer changed", metadata: ["provider": "\(provider.id)"])
                    }
                    metadata[provider.id] = Cached(value: document, fetchedAt: now)
                }
                return result
            }
        metadataTasks[provider.id] = task
        switch await task.value {
        case .success(let document): return document
        case .failure(let error):
            if let cached = metadata[provider.id], now - cached.fetchedAt < Self.usableFor { return cached.value }
            throw error
        }
    }

    private func fetchMetadata(
        of provider: Provider, issuer: String, urgency: Urgency
    ) async -> Result<ProviderMetadata, AuthorizationServerError> {
        let response: TransferResponse
        do {
            response = try await client.send(
                ProviderMetadata.request(issuer: issuer), to: provider, route: "discovery", urgency: urgency)
        } catch {
            return .failure(.request(error))
        }
        do {
            return .success(
                try ProviderMetadata.read(
                    response, issuer: issuer, issuerAliases: provider.issuerAliases,
                    allowedHosts: provider.metadataHosts))
        } catch {
            return .failure(.discovery(error))
        }
    }

    private func fetchKeys(
        of provider: Provider, uri: String
    ) async -> Result<JSONWebKeySet, AuthorizationServerError> {
        let response: TransferResponse
        do {
            response = try await client.send(
                JSONWebKeySet.request(uri: uri), to: provider, route: "keys", urgency: .callerWaits)
        } catch {
            return .failure(.request(error))
        }
        do { return .success(try JSONWebKeySet.read(response)) } catch { return .failure(.keys(error)) }
    }
}

/// Why a provider's endpoints or keys are not known.
package enum AuthorizationServerError: Error, Equatable {
    case request(ProviderRequestError)
    case discovery(DiscoveryError)
    case keys(JSONWebKeySetError)
    case misconfigured(String)

    package var disposition: Disposition {
        switch self {
        case .request(let error): error.disposition
        case .discovery(.unavailable), .keys: .retry
        case .discovery, .misconfigured: .fixConfiguration
        }
    }

    package var problemCode: AccountProblem.Code {
        switch self {
        case .request(let error): error.problemCode
        case .discovery(.unavailable): .providerUnavailable
        case .keys: .unexpectedResponse
        case .discovery, .misconfigured: .clientRefused
        }
    }

    package var detail: String {
        switch self {
        case .request(let error): error.detail
        case .discovery(.unavailable(let status)): "The issuer's metadata document answers \(status)."
        case .discovery(.malformed(let reason)): "The issuer's metadata document can't be used: \(reason)."
        case .discovery(.issuerMismatch): "The issuer's metadata document speaks for another issuer."
        case .discovery(.endpointRefused(let member, let reason)):
            "The issuer's metadata document sends \(member) where it may not: \(reason)."
        case .keys: "The issuer's keys can't be read."
        case .misconfigured(let reason): "The provider's configuration can't be used: \(reason)."
        }
    }
}
