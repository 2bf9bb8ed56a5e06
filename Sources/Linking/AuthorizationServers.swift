package import Accounts
package import Logging
package import OAuth
package import Providers
import Store
import Transfer

/// Endpoints, capabilities and keys of every provider: from the manifest, or from the issuer's metadata document,
/// which is cached, fetched once however many ask at once, and fetched again when it grows old or a key is missing.
/// While a usable copy is fetched again, it serves; what could not be fetched is not asked for again for a minute.
package actor AuthorizationServers {
    /// How long a metadata document or key set serves before it is fetched again.
    private static let freshFor: Duration = .seconds(3600)
    /// How long one that can't be fetched again goes on serving.
    private static let usableFor: Duration = .seconds(86_400)
    /// Unknown key ids cause at most one fetch in this time, however many tokens name them.
    private static let keysMinimumAge: Duration = .seconds(60)
    /// For how long an issuer that could not be asked for its document is not asked again.
    private static let failureFor: Duration = .seconds(60)

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
    private var metadataFailures: [ProviderID: (error: AuthorizationServerError, at: Timestamp)] = [:]
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
        let cached = metadata[provider.id]
        if let cached, now - cached.fetchedAt < Self.freshFor, now >= cached.fetchedAt { return cached.value }
        let usable = cached.flatMap { now - $0.fetchedAt < Self.usableFor ? $0.value : nil }
        if let failed = metadataFailures[provider.id], failed.at <= now, now - failed.at < Self.failureFor {
            guard let usable else { throw failed.error }
            return usable
        }
        let task =
            metadataTasks[provider.id]
            ?? Task {
                let result = await self.fetchMetadata(of: provider, issuer: issuer, urgency: urgency)
                metadataTasks[provider.id] = nil
                return result
            }
        metadataTasks[provider.id] = task
        // Nobody waits for an issuer that hangs while there is something to go by.
        if let usable { return usable }
        guard let result = await task.valueUnlessCancelled() else { throw .request(.transfer(.cancelled)) }
        return try result.get()
    }

    private func fetchMetadata(
        of provider: Provider, issuer: String, urgency: Urgency
    ) async -> Result<ProviderMetadata, AuthorizationServerError> {
        let began = time.now()
        let response: TransferResponse
        do {
            response = try await client.send(
                ProviderMetadata.request(issuer: issuer), to: provider, route: ProviderClient.discoveryRoute,
                urgency: urgency)
        } catch {
            return failed(.request(error), provider)
        }
        do {
            let accepted = await settle(response, try Self.read(response, of: provider, issuer: issuer), provider)
            metadataFailures[provider.id] = nil
            metadata[provider.id] = Cached(value: accepted, fetchedAt: began)
            return .success(accepted)
        } catch {
            return failed(.discovery(error), provider)
        }
    }

    private static func read(
        _ response: TransferResponse, of provider: Provider, issuer: String
    ) throws(DiscoveryError) -> ProviderMetadata {
        try ProviderMetadata.read(
            response, issuer: issuer, issuerAliases: provider.issuerAliases, allowedHosts: provider.metadataHosts)
    }

    private func failed(
        _ error: AuthorizationServerError, _ provider: Provider
    ) -> Result<ProviderMetadata, AuthorizationServerError> {
        if error.isOfIssuer { metadataFailures[provider.id] = (error, time.now()) }
        return .failure(error)
    }

    /// The document to go by: the new one, unless it moves endpoints to another host. Whoever has the issuer's page for an
    /// hour must not have everybody's tokens, and a restart in that hour changes nothing about it.
    private func settle(
        _ response: TransferResponse, _ document: ProviderMetadata, _ provider: Provider
    ) async -> ProviderMetadata {
        let store = client.database.providers
        do {
            if let held = try await store.metadata(of: provider.id, fingerprint: provider.fingerprint) {
                var stored = response
                stored.body = held
                // One that this version does not take any more is as good as none.
                if let issuer = provider.issuer, let old = try? Self.read(stored, of: provider, issuer: issuer) {
                    let moved = document.endpointsMoved(since: old)
                    guard moved.isEmpty else {
                        logger.error(
                            """
                            An issuer moves endpoints to another host; the old ones stay in use. An operator who knows \
                            of the move runs 'rollcall providers accept'
                            """, metadata: ["provider": "\(provider.id)", "moved": "\(moved.joined(separator: ","))"])
                        return old
                    }
                }
                if held == response.body { return document }
            }
            try await store.keep(metadata: response.body, of: provider.id, fingerprint: provider.fingerprint)
        } catch {
            logger.error(
                "An issuer's document can't be kept", metadata: ["provider": "\(provider.id)", "error": "\(error)"])
            // What is in use stays in use rather than be replaced unseen.
            if let cached = metadata[provider.id]?.value, !document.endpointsMoved(since: cached).isEmpty {
                return cached
            }
        }
        return document
    }

    private func fetchKeys(
        of provider: Provider, uri: String
    ) async -> Result<JSONWebKeySet, AuthorizationServerError> {
        let response: TransferResponse
        do {
            response = try await client.send(
                JSONWebKeySet.request(uri: uri), to: provider, route: ProviderClient.keysRoute, urgency: .callerWaits)
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
    /// The authorization request was pushed and not taken (RFC 9126 §2.3).
    case pushing(TokenRequestError)

    package var disposition: Disposition {
        switch self {
        case .request(let error): error.disposition
        case .discovery(.unavailable), .keys: .retry
        case .discovery, .misconfigured: .fixConfiguration
        case .pushing(let error): error.failure.disposition
        }
    }

    package var problemCode: AccountProblem.Code {
        switch self {
        case .request(let error): error.problemCode
        case .discovery(.unavailable): .providerUnavailable
        case .keys: .unexpectedResponse
        case .discovery, .misconfigured: .clientRefused
        case .pushing(let error): error.failure.problemCode
        }
    }

    /// Not one that kept the request from being sent at all.
    fileprivate var isOfIssuer: Bool {
        switch self {
        case .request(.paused), .request(.store), .request(.transfer(.cancelled)): false
        case .request(.transfer), .discovery, .keys, .misconfigured, .pushing: true
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
        case .pushing(.refused(let code)):
            "The provider refuses the authorization request: \(code.explanation)."
        case .pushing(let error): "The authorization request could not be pushed (\(error.word))."
        }
    }
}
