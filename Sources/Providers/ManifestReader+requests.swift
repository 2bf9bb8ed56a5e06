import JSON
import OAuth
import Transfer
import YAML

/// Headers, parameters, the token endpoint and revocation.
extension ManifestReader {
    /// Set by the program; a manifest that could set them could send a credential elsewhere, or break a message.
    static let reservedHeaders = [
        "host", "content-length", "transfer-encoding", "authorization", "cookie", "connection", "te", "upgrade",
        "proxy-authorization", "content-type", "if-none-match", "if-modified-since", "user-agent",
    ]

    mutating func readHeaders(_ node: YAMLNode?, _ path: String) -> HeaderFields {
        var fields = HeaderFields()
        for (name, text, place) in node?.table ?? [] {
            if Self.reservedHeaders.contains(name.lowercased()) {
                report(place, "\(path).\(name): the program sets this field itself; expected another")
            }
            if fields[name] != nil { report(place, "\(path).\(name): the field is there twice") }
            fields[name] = text
        }
        return fields
    }

    static let authorizationParameters = [
        "response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method",
        "nonce", "response_mode", "request", "request_uri",
    ]
    static let tokenParameters = [
        "grant_type", "code", "redirect_uri", "client_id", "client_secret", "code_verifier", "refresh_token", "scope",
    ]

    mutating func readParameters(_ node: YAMLNode?, _ path: String, reserved: [String]) -> [String: String] {
        for (name, _, place) in node?.table ?? [] where reserved.contains(name) {
            report(place, "\(path).\(name): the program sets this parameter itself; expected another")
        }
        return dictionary(node)
    }

    func dictionary(_ node: YAMLNode?) -> [String: String] {
        Dictionary(node?.table.map { ($0.name, $0.text) } ?? []) { first, _ in first }
    }

    mutating func readScopes(_ node: YAMLNode?) -> [String] {
        let scopes = node?["scopes"]?.texts ?? []
        if root["issuer"] != nil, let place = node?["scopes"]?.place, !scopes.contains(where: { $0.text == "openid" }) {
            report(place, "authorization.scopes: expected openid among them, for there is an issuer")
        }
        for (index, scope) in scopes.enumerated() where scopes[..<index].contains(where: { $0.text == scope.text }) {
            report(scope.place, "authorization.scopes: \(scope.text) is there twice")
        }
        return scopes.map(\.text)
    }

    mutating func readTokenDialect(_ token: YAMLNode?, separator: String?) -> TokenDialect {
        let request = token?["request"]
        let response = token?["response"]
        let parameters = readParameters(
            request?["parameters"], "token.request.parameters", reserved: Self.tokenParameters)
        return TokenDialect(
            requestFormat: request?["format"]?.text.flatMap { TokenDialect.RequestFormat(rawValue: $0) } ?? .form,
            requestFields: readHeaders(request?["headers"], "token.request.headers"),
            requestParameters: parameters.sorted { $0.key < $1.key }.map { ($0.key, $0.value) },
            parameterNames: dictionary(request?["parameter_names"]),
            repeatsClientID: request?["repeats_client_id"]?.bool ?? false,
            acceptsContentTypes: response?["content_types"]?.texts.map(\.text) ?? [],
            responsePath: response?["path"]?.texts.map(\.text) ?? [],
            memberNames: dictionary(response?["member_names"]),
            bearerTokenTypes: response?["bearer_token_types"]?.texts.map(\.text) ?? [],
            accessTokenLifetime: token?["access_token_lifetime"]?.time,
            refreshTokenLifetime: token?["refresh"]?["lifetime"]?.time,
            zeroLifetimeIsForever: response?["zero_lifetime_is_forever"]?.bool ?? false,
            errorCodes: dictionary(response?["errors"]).compactMapValues { TokenErrorCode(standard: $0) },
            scopeSeparator: separator ?? " ")
    }

    mutating func readRevocation() -> Manifest.Revocation {
        guard let node = root["revocation"] else { return .discovered }
        if node.text != nil { return .none }
        guard let method = node["method"]?.text.flatMap({ Transfer.Method(rawValue: $0) }) else {
            if node["endpoint"] == nil, root["issuer"] == nil {
                report(
                    node.place,
                    "revocation: the key endpoint is missing; expected a URL, for there is no issuer to tell it")
            }
            return .rfc7009(
                endpoint: template(node["endpoint"], "revocation.endpoint"),
                authenticated: node["client_authentication"]?.bool ?? true)
        }
        guard let url = template(node["url"], "revocation.url", places: URLTemplate.revocationPlaces) else {
            return .none
        }
        var members = JSONObject()
        for (name, text, place) in node["body"]?["parameters"]?.table ?? [] {
            let known =
                URLTemplate(text).map { $0.variables.allSatisfy(URLTemplate.revocationPlaces.contains) } ?? false
            if !known {
                report(
                    place,
                    "revocation.body.parameters.\(name): expected no places but \(URLTemplate.revocationPlaces.map { "{\($0)}" }.joined(separator: ", "))"
                )
            }
            members[name] = .string(text)
        }
        let body: RevocationRequest.Body =
            switch node["body"]?["format"]?.text {
            case "form": .form(members)
            case "json": .json(.object(members))
            default: .none
            }
        let request = RevocationRequest(
            method: method, url: "", fields: readHeaders(node["headers"], "revocation.headers"),
            authentication: node["authentication"]?.text.flatMap { .init(rawValue: $0) } ?? .none, body: body,
            successStatuses: node["success"]?.sequence?.compactMap(\.int) ?? [200, 204],
            alreadyDeadStatuses: node["already_dead"]?.sequence?.compactMap(\.int) ?? [404, 422])
        return .request(request, url: url)
    }
}
