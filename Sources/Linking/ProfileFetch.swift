package import Accounts
package import JSON
import OAuth
package import Providers
import Transfer

/// Pulls one account's profile from the provider's resource server: each request of the manifest, conditional where
/// validators are known, and the mapping of what came.
package struct ProfileFetch: Sendable {
    private let client: ProviderClient
    private let servers: AuthorizationServers
    private let time: any TimeSource
    private let applications: ApplicationTokens

    package init(client: ProviderClient, servers: AuthorizationServers, time: any TimeSource) {
        self.client = client
        self.servers = servers
        self.time = time
        applications = ApplicationTokens(client: client, servers: servers, time: time)
    }

    /// What was fetched before.
    package struct Previous: Sendable {
        package var validators: [String: Validators]
        /// Of the mapping that made the claims; `nil` takes it for the provider's.
        package var mapping: String?
        /// There is a profile.
        package var isThere: Bool
        /// The responses as stored, by request name: read only where they are needed.
        package let raw: @Sendable () throws -> String?

        package init(raw: String? = nil, validators: [String: Validators] = [:], mapping: String? = nil) {
            self.init(validators: validators, mapping: mapping, isThere: raw != nil) { raw }
        }

        package init(
            validators: [String: Validators], mapping: String?, isThere: Bool,
            raw: @escaping @Sendable () throws -> String?
        ) {
            self.validators = validators
            self.mapping = mapping
            self.isThere = isThere
            self.raw = raw
        }

        fileprivate func members() -> JSONObject { read { _ in true } }

        /// Of the responses that are held, and of what else is kept beside them.
        fileprivate func names() -> [String] {
            guard let text else { return [] }
            return JSONObject.names(in: text) ?? members().names
        }

        /// As above where there is more in it than responses, or one of `requests` is wanted: mostly it need not be read
        /// as JSON at all.
        fileprivate func members(needing requests: [String]) -> JSONObject {
            read { raw in
                guard requests.isEmpty, let names = JSONObject.names(in: raw) else { return true }
                return names.contains { ["id_token", "callback", "token"].contains($0) }
            }
        }

        // Stored by us; were it unreadable, here or as JSON, everything would be fetched anew once it is needed.
        private var text: String? { isThere ? try? raw() : nil }

        private func read(where isNeeded: (String) -> Bool) -> JSONObject {
            // As above.
            guard let text, isNeeded(text),
                let document = try? JSONValue(parsing: text, depthMax: JSONValue.composedDepthMax)
            else { return JSONObject() }
            return document.object ?? JSONObject()
        }
    }

    /// - Parameters:
    ///   - account: `nil` while a link is not complete.
    ///   - idTokenClaims: of the verified ID token, where the link brought one.
    ///   - callback: what was kept of the link's callback; a sync has it from `previous`.
    ///   - token: what was kept of the token endpoint's answer; so too.
    package func fetch(
        provider: Provider, account: AccountID?, credential: Credential, previous: Previous = Previous(),
        idTokenClaims: JSONObject? = nil, callback: JSONObject? = nil, token: JSONObject? = nil, urgency: Urgency
    ) async -> ProfileFetchResult {
        let server: AuthorizationServer
        do { server = try await servers.server(for: provider, urgency: urgency) } catch {
            return .failed(.server(error))
        }
        // Where anything was said of scopes, the answer is known without asking.
        if !credential.scopes.isEmpty, !provider.requiredScopes(lackingIn: credential.scopes).isEmpty {
            return .failed(.resource(.insufficientScope))
        }
        let isMappedAlike = previous.mapping.map { $0 == provider.mappingFingerprint } ?? true
        // Claims that another mapping made are not confirmed by a 304: all is fetched anew, once.
        var usable = isMappedAlike ? previous.validators : [:]
        // A validator without the body that it validates would leave a hole.
        if !usable.isEmpty, !(provider.hasOneResponse && previous.mapping != nil) {
            let held = previous.names()
            usable = usable.filter { held.contains($0.key) }
        }
        let keepsOfLink = !provider.keptParameters.isEmpty || !provider.keptMembers.isEmpty
        var known = keepsOfLink ? previous.members() : nil
        let requests = provider.profileRequests(
            server: server, credential: credential, validators: usable,
            callback: callback ?? known?["callback"]?.object ?? JSONObject(),
            token: token ?? known?["token"]?.object ?? JSONObject())
        var responses: [String: JSONValue] = [:]
        if requests.contains(where: \.carriesApplicationToken) {
            // Whom they are about may be said by the ID token alone.
            known = known ?? previous.members()
            responses["id_token"] = known?["id_token"]
        }
        var validators: [String: Validators] = [:]
        var freshFor: Duration?
        var isModified = !previous.isThere || !isMappedAlike
        var unmodified: [String] = []
        for request in requests {
            let response: TransferResponse
            do {
                response = try await send(
                    request, of: provider, account: account, credential: credential,
                    subject: request.carriesApplicationToken
                        ? provider.subject(in: responses, idTokenClaims: idTokenClaims) : nil, urgency: urgency)
            } catch {
                return .failed(error)
            }
            if let age = response.minimumAge { freshFor = max(freshFor ?? .zero, age) }
            if response.status == 304, usable[request.name] != nil {
                responses[request.name] = known?[request.name]
                unmodified.append(request.name)
                validators[request.name] = response.validators ?? usable[request.name]
                continue
            }
            guard provider.isResource(response) else {
                var failure = provider.failure(of: response, now: time.now())
                // Of the application's own token: it says nothing of the account's.
                if request.carriesApplicationToken, failure == .unauthorized || failure == .insufficientScope {
                    failure = .refused(status: response.status)
                }
                if request.isOptional, failure.leavesClaimsOut {
                    known = known ?? previous.members()
                    isModified = isModified || known?[request.name] != nil
                    continue
                }
                // An account that was there is gone; before the first profile it is the manifest that may be wrong. What
                // the application may see of others is another matter.
                if account != nil, !request.carriesApplicationToken,
                    failure == .refused(status: 404) || failure == .refused(status: 410)
                {
                    return .failed(.resource(.gone))
                }
                return .failed(.resource(failure))
            }
            isModified = true
            do {
                responses[request.name] =
                    request.isUserinfo && Self.isSigned(response)
                    ? .object(try await verified(response, provider: provider, server: server))
                    : try JSONValue(parsing: response.body)
            } catch let error as AuthorizationServerError {
                return .failed(.server(error))
            } catch let error as IDTokenError {
                return .failed(.unreadable(request: request.name, reason: "its signature does not hold: \(error)"))
            } catch {
                return .failed(.unreadable(request: request.name, reason: "\(error)"))
            }
            validators[request.name] = response.validators
        }
        guard isModified else { return .notModified(validators: validators, freshFor: freshFor) }
        // Where the manifest keeps no more than responses, and all have been answered anew, nothing held is needed.
        let needsHeld = keepsOfLink || provider.issuer != nil || !unmodified.isEmpty
        let stored = known ?? (needsHeld ? previous.members(needing: unmodified) : JSONObject())
        for name in unmodified {
            guard let body = stored[name] else {
                // Only its name could be read: all is fetched anew.
                var previous = previous
                previous.validators = [:]
                return await fetch(
                    provider: provider, account: account, credential: credential, previous: previous,
                    idTokenClaims: idTokenClaims, callback: callback, token: token, urgency: urgency)
            }
            responses[name] = body
        }
        responses["id_token"] = stored["id_token"]
        responses["callback"] = .object(callback ?? stored["callback"]?.object ?? JSONObject())
        responses["token"] = .object(token ?? stored["token"]?.object ?? JSONObject())
        do {
            return .profile(
                try provider.profile(from: responses, validators: validators, idTokenClaims: idTokenClaims),
                freshFor: freshFor)
        } catch {
            return .failed(.mapping(error))
        }
    }

    private func send(
        _ request: ProfileRequest, of provider: Provider, account: AccountID?, credential: Credential, subject: String?,
        urgency: Urgency
    ) async throws(ProfileFetchFailure) -> TransferResponse {
        guard request.carriesApplicationToken else {
            do {
                let isBound = credential.tokenType == DPoP.tokenType
                return try await client.send(
                    to: provider, account: account, route: request.name, urgency: urgency,
                    key: isBound ? credential.proofKey.flatMap { DPoPKey($0) } : nil,
                    accessToken: credential.accessToken
                ) { _ in request.request }
            } catch { throw .request(error) }
        }
        var rejected: Secret?
        while true {
            let token: Secret
            do {
                token = try await applications.token(for: provider, replacing: rejected, urgency: urgency)
            } catch { throw .application(error) }
            guard let authorized = request.authorized(by: token, subject: subject) else {
                throw .mapping(.subjectMissing)
            }
            let response: TransferResponse
            do {
                response = try await client.send(authorized, to: provider, route: request.name, urgency: urgency)
            } catch { throw .request(error) }
            // Ended before its time: one new one is tried.
            guard response.status == 401, rejected == nil else { return response }
            rejected = token
        }
    }

    private static func isSigned(_ response: TransferResponse) -> Bool {
        let type = (response.fields["content-type"] ?? "").prefix { $0 != ";" && $0 != " " }
        return type.lowercased() == SignedUserinfo.mediaType
    }

    /// The claims of a signed userinfo response, with the same keys and algorithms as ID tokens.
    private func verified(
        _ response: TransferResponse, provider: Provider, server: AuthorizationServer
    ) async throws -> JSONObject {
        guard let token = String(validating: response.body, as: UTF8.self), let issuer = server.issuer else {
            throw IDTokenError.malformed(reason: "not text")
        }
        for refetching in [false, true] {
            do {
                let keys = try await servers.keys(for: provider, server: server, refetching: refetching)
                return try SignedUserinfo.verify(
                    token, keys: keys, issuer: issuer, issuerAliases: provider.issuerAliases,
                    clientID: provider.client.clientID, algorithms: server.idTokenAlgorithms, now: time.now())
            } catch IDTokenError.unknownKey where !refetching {
                continue
            }
        }
        throw IDTokenError.unknownKey
    }
}

package enum ProfileFetchResult: Sendable {
    /// `freshFor`: what `Cache-Control: max-age` asked for.
    case profile(Profile, freshFor: Duration?)
    /// Every response was 304. Also where a provider has nothing to ask: an OpenID provider without a userinfo endpoint
    /// tells of the person with a link alone (OpenID Connect Core §12.2), and a profile is as fresh as its grant, which
    /// the refresh before each sync confirms.
    case notModified(validators: [String: Validators], freshFor: Duration?)
    case failed(ProfileFetchFailure)
}

package enum ProfileFetchFailure: Error, Sendable, Equatable {
    case resource(ResourceFailure)
    case request(ProviderRequestError)
    case server(AuthorizationServerError)
    case unreadable(request: String, reason: String)
    case mapping(MappingError)
    /// There is no token of the application's own.
    case application(AccessTokenError)

    package var disposition: Disposition {
        switch self {
        case .resource(let failure): failure.failure.disposition
        case .request(let error): error.disposition
        case .server(let error): error.disposition
        case .unreadable, .mapping: Failure.answerUnreadable.disposition
        case .application(let error): error.disposition
        }
    }

    package var problemCode: AccountProblem.Code {
        switch self {
        case .resource(let failure): failure.failure.problemCode
        case .unreadable, .mapping: Failure.answerUnreadable.problemCode
        case .application(let error): error.problemCode
        case .request(let error): error.problemCode
        case .server(let error): error.problemCode
        }
    }

    package var detail: String {
        switch self {
        case .resource(.unauthorized): "The provider no longer accepts the access token."
        case .resource(.insufficientScope): "The access token lacks a scope that the profile needs."
        case .resource(.limited(let signal)): "The provider asked for a pause until \(signal.until)."
        case .resource(.unavailable(let status)): "The provider answers \(status)."
        case .resource(.gone): "The provider says that this user is suspended or gone."
        case .resource(.refused(let status)): "The provider refuses the request for the profile with \(status)."
        case .unreadable(let request, let reason): "The response '\(request)' is not JSON: \(reason)."
        case .mapping(let error): "The responses make no profile: \(error)."
        case .application(let error): "There is no token of the application's own: \(error.detail)"
        case .request(let error): error.detail
        case .server(let error): error.detail
        }
    }
}

extension ResourceFailure {
    /// The answer of an optional request that says that its claims are not for us; a server in trouble says nothing.
    fileprivate var leavesClaimsOut: Bool {
        switch self {
        case .refused, .insufficientScope: true
        case .unauthorized, .limited, .unavailable, .gone: false
        }
    }
}

extension TransferResponse {
    fileprivate var validators: Validators? {
        let validators = Validators(etag: fields["etag"], lastModified: fields["last-modified"])
        return validators.isEmpty ? nil : validators
    }

    /// How old a copy is to become before it is asked for again, at most a week: `max-age` of `Cache-Control` (RFC 9111
    /// §5.2.2.1), or the seconds of `X-Poll-Interval`, whichever is more.
    fileprivate var minimumAge: Duration? {
        let ages = fields.values("cache-control").flatMap { $0.split(separator: ",") }.map { directive -> Substring? in
            let parts = directive.split(separator: "=", maxSplits: 1)
            guard parts.count == 2, parts[0].filter({ $0 != " " }).lowercased() == "max-age" else { return nil }
            return parts[1]
        }
        return (ages + [fields["x-poll-interval"].map { $0[...] }]).compactMap { text -> Int64? in
            text.flatMap { Int64($0.filter { $0 != " " && $0 != "\"" }) }
        }.filter { $0 > 0 }.max().map { .seconds(min($0, 604_800)) }
    }
}
