import Accounts
import Cryptography
import JSON
import JSONPath
import OAuth
import Transfer

extension Manifest {
    func pushingRule(url: (URLTemplate?, String) -> String?) -> Endpoints.PushingRule {
        switch pushing {
        case .discovered: .discovered
        case .off: .off
        case .endpoint(let endpoint):
            url(endpoint, "authorization.pushed_authorization_request.endpoint").map { .endpoint($0) } ?? .discovered
        }
    }

    func applicationGrant(_ values: [String: String]) -> ApplicationGrant? {
        applicationToken.map { token in
            ApplicationGrant(
                kind: token.kind, scopes: token.scopes, subject: token.subject?.expanded(values),
                scopesInAssertion: token.scopesInAssertion)
        }
    }

    func revocationRule(
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
    func movedIssuer(_ instance: InstanceConfiguration) -> String? {
        issuer?.variables.first { name in
            instance.variables[name] != nil && variables.contains { $0.name == name && $0.pattern == nil }
        }
    }

    /// Where the metadata document may point to: servers that the operator or the manifest has named.
    func hosts(issuer: String?, _ values: [String: String], isMoved: Bool) -> [String] {
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
    mutating func fill(redirectURI: String) {
        parameters = parameters?.map { name, value in
            (name, URLTemplate(value)?.filled([URLTemplate.redirectURI: redirectURI]).text ?? value)
        }
    }
}

extension HeaderFields {
    mutating func fill(clientID: String) {
        for field in self where field.value.contains("{\(URLTemplate.clientID)}") {
            self[field.name] = URLTemplate(field.value)?.filled([URLTemplate.clientID: clientID]).text ?? field.value
        }
    }
}

extension ProfileRequestRule {
    /// With what is fixed at start filled in.
    func filled(_ values: [String: String], clientID: String) -> ProfileRequestRule {
        var rule = self
        rule.fields.fill(clientID: clientID)
        rule.url = url.filled(values)
        return rule
    }
}

extension Manifest {
    /// `Provider.fingerprint`. The text of the manifest stands for whatever it says, now and in versions to come.
    func fingerprint(
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
    var fingerprint: String {
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
