import Accounts
import Cryptography
import JSON
import JSONPath
import OAuth
import Transfer

extension Manifest {
    /// The manifest with an instance's settings. Throws all that is wrong with them; what is merely missing is in the
    /// provider's `missing`.
    func provider(
        _ instance: InstanceConfiguration, publicURL: String, syncInterval: Duration?
    ) throws(ConfigurationErrors) -> Provider {
        var settings = InstanceSettings(manifest: self, instance: instance)
        let values = settings.variables()
        let moved = movedIssuer(instance)
        let clientID = instance.clientID ?? ""
        let uses: [String: EndpointURL.Use] = ["issuer": .base, "authorization.endpoint": .browser]
        func url(_ template: URLTemplate?, _ key: String) -> String? {
            guard let text = template?.expanded(values) else { return nil }
            if let problem = EndpointURL.problem(with: text, allowing: uses[key] ?? .endpoint) {
                settings.report("", "\(key) of the manifest becomes \(text): \(problem)")
            }
            return text
        }

        let issuerURL = url(issuer, "issuer")
        var dialect = tokenDialect
        dialect.keptMembers = keptMembers.map(\.name)
        dialect.refresh.endpoint = url(refreshEndpoint, "token.refresh.endpoint")
        dialect.exchange?.endpoint = url(exchangeEndpoint, "token.exchange.endpoint")
        let agent = userAgent?.expanded(["public_url": publicURL])
        if let agent { dialect.requestFields["User-Agent"] = agent }
        dialect.requestFields.fill(clientID: clientID)
        let endpoints = Endpoints(
            authorization: url(authorizationEndpoint, "authorization.endpoint"),
            token: url(tokenEndpoint, "token.endpoint"),
            revocation: revocationRule(values, userAgent: agent, clientID: clientID, url: url),
            pushing: pushingRule(url: url))
        for request in requests where !request.isUserinfo {
            _ = url(request.url, "profile.requests.\(request.name).url")
        }

        settings.checkClient()
        let authentication = settings.authentication()
        let scopes = settings.scopes()
        var parameters = authorizationParameters
        parameters.merge(settings.authorizationParameters()) { $1 }
        let resources = settings.resources(values)
        let dpop = settings.dpop()
        dialect.requestParameters += resources.map { ("resource", $0) }
        let policy = settings.syncPolicy(everyones: syncInterval)
        let device = deviceAuthorization.map {
            DeviceAuthorizationRule(
                url: url($0.endpoint, "device_authorization.endpoint"), authenticated: $0.authenticated,
                memberNames: $0.memberNames)
        }
        let validation = tokenValidation.flatMap { rule in
            url(rule.endpoint, "token.validation.endpoint").map {
                TokenValidationRule(url: $0, scheme: rule.scheme, interval: rule.interval)
            }
        }
        let introspection = url(introspectionEndpoint, "introspection.endpoint")
        var signalRule = signals?.rule
        signalRule?.issuer = url(signals?.issuer, "signals.issuer")
        let signalKey = settings.signalPublicKey()
        let id = settings.id()
        let signingKey = settings.signingKey()
        var base = publicURL
        while base.hasSuffix("/") { base.removeLast() }
        let redirectURI = "\(base)/callback/\(instance.id)"
        let assertion = settings.assertion(values, redirectURI: redirectURI)
        guard settings.problems.isEmpty, let id else { throw ConfigurationErrors(settings.problems) }

        let client = ClientRegistration(
            clientID: clientID, clientSecret: instance.clientSecret, signingKey: signingKey,
            authentication: authentication, assertion: assertion, redirectURI: redirectURI)
        dialect.refresh.fill(redirectURI: redirectURI)
        dialect.exchange?.fill(redirectURI: redirectURI)
        let mapping = ProfileMapping(
            requests: requests.map { $0.filled(values, clientID: clientID) }, claims: claims, plugin: plugin,
            volatile: volatile,
            variables: values)
        return Provider(
            id: id, name: name, manifestID: self.id, documentation: documentation, registration: registration,
            redirectURINote: redirectURINote, client: client, missing: settings.missing(), issuer: issuerURL,
            issuerAliases: issuerAliases.filter { moved == nil || $0.variables.contains(moved ?? "") }
                .map { $0.filled(values).text },
            metadataHosts: hosts(issuer: issuerURL, values, isMoved: moved != nil), scopes: scopes,
            resources: resources, pkce: pkce, sendsNonce: issuerURL != nil && nonce != false,
            authorizationParameters: parameters,
            authorizationParameterNames: authorizationParameterNames, responseMode: responseMode,
            keptParameters: keptParameters, keptMembers: keptMembers, callbackParameterNames: callbackParameterNames,
            responseType: responseType == "omitted" ? nil : responseType,
            statePlace: statePlace, tokenDialect: dialect, refreshRotation: refreshRotation,
            refreshTrigger: refreshTrigger, refreshAhead: refreshAhead,
            refreshTokenIdleLifetime: refreshTokenIdleLifetime, tokenSettling: tokenSettling,
            tokenValidation: validation, grants: grants,
            dpop: dpop, applicationGrant: applicationGrant(values),
            limits: limits, syncPolicy: policy, userAgent: agent,
            deviceAuthorization: device, introspectionEndpoint: introspection,
            signals: signalRule, signalSecret: instance.signalSecret, signalPublicKey: signalKey,
            fingerprint: fingerprint(
                client, variables: values, scopes: scopes, resources: resources, parameters: parameters),
            mappingFingerprint: mapping.fingerprint, endpoints: endpoints, mapping: mapping,
            failureMarkers: failureMarkers)
    }

    private func pushingRule(url: (URLTemplate?, String) -> String?) -> Endpoints.PushingRule {
        switch pushing {
        case .discovered: .discovered
        case .off: .off
        case .endpoint(let endpoint):
            url(endpoint, "authorization.pushed_authorization_request.endpoint").map { .endpoint($0) } ?? .discovered
        }
    }

    private func applicationGrant(_ values: [String: String]) -> ApplicationGrant? {
        applicationToken.map { token in
            ApplicationGrant(
                kind: token.kind, scopes: token.scopes, subject: token.subject?.expanded(values),
                scopesInAssertion: token.scopesInAssertion)
        }
    }

    private func revocationRule(
        _ values: [String: String], userAgent: String?, clientID: String, url: (URLTemplate?, String) -> String?
    ) -> Endpoints.RevocationRule {
        switch revocation {
        case .none: return .none
        case .discovered: return issuer == nil ? .none : .discovered
        case .rfc7009(let endpoint, let authenticated):
            return .rfc7009(endpoint: url(endpoint, "revocation.endpoint"), authenticated: authenticated)
        case .request(var request, let template):
            request.url = template.filled(values).text
            if let userAgent { request.fields["User-Agent"] = userAgent }
            request.fields.fill(clientID: clientID)
            let sample = Dictionary(uniqueKeysWithValues: URLTemplate.revocationPlaces.map { ($0, "value") })
            _ = url(template.filled(values).filled(sample), "revocation.url")
            return .request(request)
        }
    }
}

extension Manifest {
    /// The variable by which the instance has another issuer than the manifest's; a tenant of the same one is none.
    private func movedIssuer(_ instance: InstanceConfiguration) -> String? {
        issuer?.variables.first { name in
            instance.variables[name] != nil && variables.contains { $0.name == name && $0.pattern == nil }
        }
    }

    /// Where the metadata document may point to: servers that the operator or the manifest has named.
    private func hosts(issuer: String?, _ values: [String: String], isMoved: Bool) -> [String] {
        guard let issuer else { return [] }
        let named = serverVariables.compactMap { values[$0.name] }
        var hosts: [String] = []
        for host in ([issuer] + named).compactMap({ EndpointURL($0, allowing: .base)?.host })
            + (isMoved ? [] : metadataHosts) where !hosts.contains(host)
        {
            hosts.append(host)
        }
        return hosts
    }
}

extension TokenDialect.Request {
    fileprivate mutating func fill(redirectURI: String) {
        parameters = parameters?.map { name, value in
            (name, URLTemplate(value)?.filled([URLTemplate.redirectURI: redirectURI]).text ?? value)
        }
    }
}

extension HeaderFields {
    fileprivate mutating func fill(clientID: String) {
        for field in self where field.value.contains("{\(URLTemplate.clientID)}") {
            self[field.name] = URLTemplate(field.value)?.filled([URLTemplate.clientID: clientID]).text ?? field.value
        }
    }
}

extension ProfileRequestRule {
    /// With what is fixed at start filled in.
    fileprivate func filled(_ values: [String: String], clientID: String) -> ProfileRequestRule {
        var rule = self
        rule.fields.fill(clientID: clientID)
        rule.url = url.filled(values)
        return rule
    }
}

extension Manifest {
    /// `Provider.fingerprint`. The text of the manifest stands for whatever it says, now and in versions to come.
    private func fingerprint(
        _ client: ClientRegistration, variables: [String: String], scopes: [Scope], resources: [String],
        parameters: [String: String]
    ) -> String {
        let content: JSONObject = [
            // The redirect URI holds the instance's id and the public URL.
            "manifest": .string(digest), "variables": .object(strings: variables),
            "redirect_uri": .string(client.redirectURI),
            "client_id": .string(client.clientID), "client_authentication": .string(client.authentication.rawValue),
            "scopes": .array(scopes.map { .string($0.rawValue) }), "resource": .array(resources.map { .string($0) }),
            "authorization_parameters": .object(strings: parameters),
        ]
        return Hexadecimal.encode(Digest.sha256(JSONValue.object(content).canonicalText.utf8))
    }
}

extension ProfileMapping {
    /// `Provider.mappingFingerprint`.
    fileprivate var fingerprint: String {
        let content: JSONObject = [
            "version": .string(Self.version), "plugin": plugin.map { .string($0.rawValue) } ?? .null,
            "variables": plugin == nil ? .null : .object(strings: variables),
            "requests": .array(
                requests.map { request in
                    let fields = request.fields.map { "\($0.name): \($0.value)" }.sorted().joined(separator: "\n")
                    let token = request.carriesApplicationToken ? " application" : ""
                    let what = "\(request.method.rawValue) \(request.url.text) \(request.body?.fingerprint ?? "")"
                    return .string("\(request.name) \(what) \(request.isOptional) \(fields)\(token)")
                }),
            "claims": .array(
                claims.map { claim in
                    let forms = claim.accepts.map(\.rawValue).sorted()
                    let name = claim.joins ? claim.type.name + " joined" : claim.type.name
                    return .string(([name] + claim.paths.map(\.text) + forms).joined(separator: " "))
                }), "volatile": .array(volatile.map { .string($0.text) }),
        ]
        return Hexadecimal.encode(Digest.sha256(JSONValue.object(content).canonicalText.utf8))
    }
}

extension JSONValue {
    fileprivate static func object(strings: [String: String]) -> JSONValue {
        var object = JSONObject()
        for (name, value) in strings { object[name] = .string(value) }
        return .object(object)
    }
}
