/// Linking: begin, authorize, complete, unlink; a valid token on demand; the profile from the provider.
///
/// The requests and responses of the grants are `OAuth`'s, what a provider is `Providers'`, rows are `Store`'s, pages
/// and cookies `Web`'s. Here they meet: every request to a provider leaves through `ProviderClient`, every credential
/// in use comes from `AccessTokens`, and an account comes to be in one transaction at the end of `complete`.
package import Accounts
import Foundation
import JSON
package import Logging
import OAuth
package import Providers
package import Store
import Transfer

package struct AccountLinking: Sendable {
    private let returnTo: [String]
    private let publicURL: String
    private let database: Database
    private let catalog: ProviderCatalog
    private let client: ProviderClient
    private let servers: AuthorizationServers
    private let newAccounts: NewAccounts
    private let revocations: RevocationSender
    private let time: any TimeSource
    private let random: any RandomSource
    private let logger: Logger

    /// - Parameters:
    ///   - publicURL: what browsers see; link URLs begin with it.
    ///   - returnTo: the origins that a link may send the browser back to.
    package init(
        publicURL: String, returnTo: [String], database: Database, catalog: ProviderCatalog, client: ProviderClient,
        servers: AuthorizationServers, profiles: ProfileFetch, revocations: RevocationSender, time: any TimeSource,
        random: any RandomSource, logger: Logger
    ) {
        self.publicURL = publicURL
        self.returnTo = returnTo
        self.database = database
        self.catalog = catalog
        self.client = client
        self.servers = servers
        newAccounts = NewAccounts(
            database: database, servers: servers, profiles: profiles, time: time, random: random)
        self.revocations = revocations
        self.time = time
        self.random = random
        self.logger = logger
    }

    /// What an application asks for, as it came.
    package struct Order: Sendable {
        package var userID: String
        package var userLabel: String?
        package var provider: String?
        package var scopes: [String]?
        package var returnTo: String?
        package var confirm: Bool

        package init(
            userID: String, userLabel: String? = nil, provider: String? = nil, scopes: [String]? = nil,
            returnTo: String? = nil, confirm: Bool = true
        ) {
            self.userID = userID
            self.userLabel = userLabel
            self.provider = provider
            self.scopes = scopes
            self.returnTo = returnTo
            self.confirm = confirm
        }
    }

    /// Makes a link session; its URL is for the user's browser, once, for ten minutes.
    package func begin(_ order: Order) async throws(LinkOrderError) -> (session: LinkSession, url: Secret) {
        let request = try validated(order)
        let created: (LinkSession, token: Secret)
        do { created = try await database.linkSessions.create(request) } catch { throw .store(error) }
        return (created.0, created.token.reveal { Secret("\(publicURL)/link/\($0)") })
    }

    /// Every field of `order` that `begin` would refuse; nothing is made.
    package func faults(in order: Order) -> [LinkOrderError.InvalidField] {
        do {
            _ = try validated(order)
            return []
        } catch {
            guard case .invalid(let faults) = error else { return [] }
            return faults
        }
    }

    /// Where the browser goes for consent. May be repeated in the same browser until the link is complete; the new
    /// request takes the old one's place.
    ///
    /// - Parameters:
    ///   - token: of the link session.
    ///   - browser: the secret in this browser's cookie; the session is bound to it.
    package func authorize(
        token: String, browser: String, provider id: ProviderID
    ) async throws(LinkStartError) -> String {
        let session: LinkSession
        do {
            guard let bound = try await database.linkSessions.bind(token: token, browser: browser),
                bound.status == .open
            else { throw LinkStartError.sessionEnded }
            session = bound
        } catch let error as StoreError {
            throw .store(error)
        } catch {
            throw .sessionEnded
        }
        guard session.provider == nil || session.provider == id, let provider = catalog[id], provider.isReady else {
            throw .providerNotOffered
        }
        let server: AuthorizationServer
        do { server = try await servers.server(for: provider) } catch {
            logger.warning(
                "A link can't begin", metadata: ["provider": "\(id)", "detail": "\(error.detail)"])
            throw .provider(error)
        }
        let scopes = provider.scopes + (session.scopes ?? []).filter { !provider.scopes.contains($0) }
        let key = server.dpop == .none ? nil : DPoPKey(random: random)
        let request = AuthorizationRequest(
            server: server, client: provider.client, scopes: scopes, scopeSeparator: provider.scopeSeparator,
            parameters: provider.authorizationParameters, parameterNames: provider.authorizationParameterNames,
            resources: provider.resources, keyThumbprint: key?.thumbprint, pkce: provider.pkce,
            sendsNonce: provider.sendsNonce, responseType: provider.responseType,
            statePlace: provider.statePlace, responseMode: provider.responseMode, random: random)
        let url = try await address(of: request, server: server, provider: provider)
        do {
            try await database.linkSessions.beginAuthorization(
                session: session.id, provider: id, state: request.state, codeVerifier: request.codeVerifier,
                nonce: request.nonce, proofKey: key?.secret, fingerprint: Self.fingerprint(provider, server),
                scopes: scopes,
                redirectURI: provider.client.redirectURI)
        } catch {
            throw .store(error)
        }
        return url
    }

    /// The whole request, or a reference to it where it is pushed. A reference counts once: each call pushes anew, just
    /// before the browser is sent there.
    private func address(
        of request: AuthorizationRequest, server: AuthorizationServer, provider: Provider
    ) async throws(LinkStartError) -> String {
        guard let endpoint = server.pushedAuthorizationEndpoint else { return request.url }
        do {
            let response = try await client.send(
                PushedAuthorization.request(
                    request, endpoint: endpoint, server: server, client: provider.client, moment: client.moment),
                to: provider, route: "par", urgency: .callerWaits)
            return PushedAuthorization.url(
                requestURI: try PushedAuthorization.read(response), server: server, client: provider.client,
                parameterNames: provider.authorizationParameterNames)
        } catch {
            let refusal: AuthorizationServerError =
                switch error {
                case let error as TokenRequestError: .pushing(error)
                case let error as ProviderRequestError: .request(error)
                default: .request(.transfer(.cancelled))
                }
            logger.warning(
                "A link can't begin", metadata: ["provider": "\(provider.id)", "detail": "\(refusal.detail)"])
            throw .provider(refusal)
        }
    }

    /// Takes the provider's answer that the browser brought back. Before state, browser, provider, configuration and
    /// issuer were found to be those that the link began with, nothing of it is sent anywhere; the configuration is known
    /// once the issuer's metadata document is, which may be fetched for that.
    ///
    /// - Parameter query: the raw query of the callback, without `?`, or the form that was posted.
    package func complete(provider id: ProviderID, query: String, browser: String) async -> LinkCompletion {
        guard let provider = catalog[id] else { return .refused("invalid_callback") }
        let state: String
        let answer: AuthorizationResponse
        let issuer: String?
        let parameters: [String: String]
        do {
            (state, answer, issuer) = try AuthorizationResponse.read(
                query: query, names: provider.callbackParameterNames)
            parameters = try AuthorizationResponse.parameters(provider.keptParameters.map(\.name), of: query)
        } catch {
            log("A callback is refused", id, "invalid_callback", detail: "\(error)")
            return .refused("invalid_callback")
        }
        let pending: PendingAuthorization
        do {
            guard let found = try await database.linkSessions.consume(state: state, provider: id, browser: browser)
            else {
                log("A callback is refused", id, "link_expired", detail: "its state is not one of this browser")
                return .refused("link_expired")
            }
            pending = found
        } catch {
            log("A callback is refused", id, "server_error", detail: "\(error)")
            return .refused("server_error")
        }
        let session = pending.session
        do {
            let account = try await finish(
                pending, answer: answer, state: state, issuer: issuer, parameters: parameters, provider: provider)
            logger.info(
                "Account linked",
                metadata: ["account": "\(account.id)", "provider": "\(id)", "session": "\(session.id)"])
            return .linked(account, returnTo: session.returnTo)
        } catch {
            log("A link failed", id, error.code, detail: error.detail, session: session.id)
            do {
                try await database.linkSessions.fail(session.id, error: error.code)
            } catch {
                logger.error("A failed link can't be recorded", metadata: ["error": "\(error)"])
            }
            return .failed(error.code, detail: error.detail, returnTo: session.returnTo)
        }
    }

    /// The account is gone when this returns; its tokens are revoked at once where the provider can be reached, later
    /// where not. False where there is no such account.
    package func unlink(_ id: AccountID) async throws(StoreError) -> Bool {
        guard let unlinked = try await database.accounts.unlink(id) else { return false }
        logger.info("Account unlinked", metadata: ["account": "\(id)", "provider": "\(unlinked.account.provider)"])
        if let revocation = unlinked.revocation { revocations.sendSoon(revocation) }
        return true
    }

    // MARK: - From the answer to the account

    private func finish(
        _ pending: PendingAuthorization, answer: AuthorizationResponse, state: String, issuer: String?,
        parameters: [String: String],
        provider: Provider
    ) async throws(LinkFailure) -> LinkedAccount {
        let server: AuthorizationServer
        do { server = try await servers.server(for: provider) } catch {
            throw LinkFailure(Self.code(for: error.disposition), error.detail)
        }
        guard pending.fingerprint == Self.fingerprint(provider, server),
            pending.redirectURI == provider.client.redirectURI
        else { throw LinkFailure("configuration_changed", "The provider's configuration changed during the link.") }
        do {
            try AuthorizationResponse.checkIssuer(issuer, server: server)
            // An answer of another provider of ours, sent here to have its code exchanged here.
            if let issuer, server.issuer == nil, catalog.providers.contains(where: { $0.issuer == issuer }) {
                throw AuthorizationResponseError.issuerMismatch
            }
        } catch {
            throw LinkFailure("invalid_callback", "The answer comes from another issuer.")
        }
        let code: Secret
        switch answer {
        case .error("invalid_target"):
            throw LinkFailure(
                "client_refused", "The provider refuses this service: \(TokenErrorCode.invalidTarget.explanation).")
        case .error(let error):
            throw LinkFailure(error == "access_denied" ? error : "provider_error", "The provider answers '\(error)'.")
        case .code(let value): code = value
        }
        let callback: JSONObject
        do { callback = try provider.kept(of: parameters) } catch {
            throw LinkFailure("invalid_callback", "The answer can't be used: \(error).")
        }
        let key = pending.proofKey.flatMap { DPoPKey($0) }
        let response = try await client.tokens(of: provider, server: server, scopes: pending.scopes, key: key) {
            client, dialect, moment in
            AuthorizationCodeGrant.tokenRequest(
                code: code, codeVerifier: pending.codeVerifier, state: Secret(state),
                redirectURI: provider.statePlace == .redirectURI
                    ? AuthorizationRequest.redirectURI(of: client, state: state) : nil,
                server: server, client: client, dialect: dialect, moment: moment)
        }
        let claims = try await newAccounts.verifiedClaims(
            response, scopes: pending.scopes, nonce: pending.nonce, server: server, provider: provider)
        let kept: JSONObject
        do { kept = try provider.kept(of: response) } catch {
            throw LinkFailure("provider_error", "The answer can't be used: \(error).")
        }
        let credential = try await client.lasting(
            response.credential, of: provider, server: server, scopes: pending.scopes, key: key)
        let user = pending.session.userID
        let profile = try await newAccounts.profile(
            credential, claims, callback: callback, token: kept, user: user, provider: provider)
        return try await newAccounts.link(
            NewLink(
                sessionID: pending.session.id, userID: user, provider: provider.id, subject: profile.subject,
                credential: credential, requestedScopes: pending.scopes, profile: profile,
                nextSyncAt: .epoch), provider: provider)
    }

    /// A flow ends with the configuration and the endpoints it began with, or is refused.
    private static func fingerprint(_ provider: Provider, _ server: AuthorizationServer) -> String {
        provider.fingerprint + "|" + server.authorizationEndpoint + "|" + server.tokenEndpoint
    }

    private static func code(for disposition: Disposition) -> String {
        disposition == .fixConfiguration ? "client_refused" : "provider_unavailable"
    }

    private func log(
        _ message: Logger.Message, _ provider: ProviderID, _ code: String, detail: String, session: LinkSessionID? = nil
    ) {
        var metadata: Logger.Metadata = ["provider": "\(provider)", "code": "\(code)", "detail": "\(detail)"]
        if let session { metadata["session"] = "\(session)" }
        logger.notice(message, metadata: metadata)
    }
}

/// How a callback ended.
package enum LinkCompletion: Sendable {
    case linked(LinkedAccount, returnTo: String?)
    /// The session is over; the code is stable: `access_denied`, `provider_error`, `provider_unavailable`,
    /// `client_refused`, `profile_unavailable`, `scope_missing`, `account_held`, `configuration_changed`,
    /// `link_expired`, `invalid_callback`, `server_error`.
    case failed(String, detail: String, returnTo: String?)
    /// Nothing of ours was touched: the callback belongs to no link of this browser. `invalid_callback`,
    /// `link_expired`, `server_error`.
    case refused(String)
}

/// Why the browser can't be sent to the provider.
package enum LinkStartError: Error, Equatable {
    /// Expired, used, or another browser's.
    case sessionEnded
    case providerNotOffered
    case provider(AuthorizationServerError)
    case store(StoreError)
}

/// Why there is no link session.
package enum LinkOrderError: Error, Equatable {
    /// Every wrong field, by its JSON pointer.
    case invalid([InvalidField])
    case store(StoreError)

    package struct InvalidField: Sendable, Equatable {
        package var pointer: String
        package var detail: String
    }
}

// MARK: - What may be ordered

extension AccountLinking {
    private func validated(_ order: Order) throws(LinkOrderError) -> LinkSessionRequest {
        var faults = order.faults(in: catalog)
        if let address = order.returnTo, !mayReturn(to: address) {
            faults.append(
                .init(
                    pointer: "/return_to",
                    detail: "must be a URL whose scheme, host and port are in application.return_to"))
        }
        guard faults.isEmpty, let userID = UserID(order.userID) else { throw .invalid(faults) }
        return LinkSessionRequest(
            userID: userID, userLabel: order.userLabel, provider: order.provider.flatMap { ProviderID($0) },
            scopes: order.scopes?.compactMap { Scope($0) }, returnTo: order.returnTo, confirm: order.confirm)
    }

    /// Scheme, host and port must be those of an allowed origin; nothing that browsers read differently than we do.
    private func mayReturn(to address: String) -> Bool {
        guard address.utf8.count <= 2048, address.utf8.allSatisfy({ (0x21...0x7e).contains($0) && $0 != 0x5c }),
            let origin = Self.origin(of: address)
        else { return false }
        return returnTo.contains { Self.origin(of: $0) == origin }
    }

    /// `https://app.example:443`; `nil` for anything but a plain absolute http(s) URL without user information.
    static func origin(of address: String) -> String? {
        guard let url = URLComponents(string: address), let scheme = url.scheme?.lowercased(),
            scheme == "https" || scheme == "http", let host = url.host?.lowercased(), !host.isEmpty, url.user == nil,
            url.password == nil, address.lowercased().hasPrefix(scheme + "://"),
            !address.dropFirst(scheme.count + 3).prefix(while: { !"/?#".contains($0) }).contains("@")
        else { return nil }
        return "\(scheme)://\(host):\(url.port ?? (scheme == "https" ? 443 : 80))"
    }
}

extension AccountLinking.Order {
    /// Every field that is wrong, but for `return_to`, whichever way the link is to be made.
    func faults(in catalog: ProviderCatalog) -> [LinkOrderError.InvalidField] {
        var faults: [LinkOrderError.InvalidField] = []
        func fault(_ pointer: String, _ detail: String) { faults.append(.init(pointer: pointer, detail: detail)) }

        if UserID(userID) == nil {
            fault("/user_id", "must have 1 to 255 characters, none of them a control character")
        }
        if let userLabel, UserID(userLabel) == nil {
            fault("/user_label", "must have 1 to 255 characters, none of them a control character")
        }
        if let provider {
            switch ProviderID(provider).flatMap({ catalog[$0] }) {
            case nil: fault("/provider", "is not the id of a configured provider")
            case .some(let found) where !found.isReady:
                fault("/provider", "is not completely configured; missing: \(found.missing.joined(separator: ", "))")
            default: break
            }
        }
        if let scopes {
            for (index, name) in scopes.enumerated() where Scope(name) == nil {
                fault("/scopes/\(index)", "is not a scope (RFC 6749 §3.3)")
            }
            if provider == nil { fault("/scopes", "can be asked for only with a provider") }
            if scopes.count > 100 { fault("/scopes", "are more than 100") }
        }
        return faults
    }
}
