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
            // Braces that hold no name are the value's own.
            for variable in URLTemplate(text)?.variables ?? [] where variable != URLTemplate.clientID {
                report(place, "\(path).\(name): {\(variable)} has no value here; expected no place but {client_id}")
            }
            fields[name] = text
        }
        return fields
    }

    /// What a provider may call otherwise; `state` may come back by another name than it left by.
    static let renamedInAuthorization = [
        "response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method",
        "nonce",
    ]
    static let renamedInCallback = ["code", "state"]
    /// The members of an answer that are read (RFC 6749 §5.1; OpenID Connect Core §3.1.3.3).
    static let renamedInAnswer = [
        "access_token", "token_type", "expires_in", "refresh_token", "refresh_token_expires_in", "scope", "id_token",
    ]
    static let tokenParameters: Set = [
        "grant_type", "code", "redirect_uri", "client_id", "client_secret", "code_verifier", "refresh_token", "scope",
        "resource", "client_assertion", "client_assertion_type", "assertion",
    ]

    mutating func readParameters(_ node: YAMLNode?, _ path: String, reserved: Set<String>) -> [String: String] {
        for (name, _, place) in node?.table ?? [] where reserved.contains(name) {
            report(place, "\(path).\(name): the program sets this parameter itself; expected another")
        }
        return dictionary(node)
    }

    /// The provider's own names of standard ones. Two of one name would be one; `taken` are those that have it without
    /// being renamed.
    mutating func readNames(_ node: YAMLNode?, _ path: String, taken: Set<String> = []) -> [String: String] {
        var taken = taken.subtracting(node?.table.map(\.name) ?? [])
        for (name, text, place) in node?.table ?? [] where !taken.insert(text).inserted {
            report(place, "\(path).\(name): \(text) is the name of another already; expected another")
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
        var dialect = TokenDialect(
            requestFormat: request?["format"]?.text.flatMap { TokenDialect.RequestFormat(rawValue: $0) } ?? .form,
            requestFields: readHeaders(request?["headers"], "token.request.headers"),
            requestParameters: parameters.sorted { $0.key < $1.key }.map { ($0.key, $0.value) },
            parameterNames: readNames(
                request?["parameter_names"], "token.request.parameter_names", taken: Self.tokenParameters),
            repeatsClientID: request?["repeats_client_id"]?.bool ?? false,
            acceptsContentTypes: response?["content_types"]?.texts.map(\.text) ?? [],
            responsePath: response?["path"]?.texts.map(\.text) ?? [],
            memberNames: readNames(response?["member_names"], "token.response.member_names"),
            bearerTokenTypes: response?["bearer_token_types"]?.texts.map(\.text) ?? [],
            accessTokenLifetime: token?["access_token_lifetime"]?.time,
            refreshTokenLifetime: token?["refresh"]?["lifetime"]?.time,
            zeroLifetimeIsForever: response?["zero_lifetime_is_forever"]?.bool ?? false,
            errorCodes: dictionary(response?["errors"]).compactMapValues { TokenErrorCode(standard: $0) },
            scopeSeparator: separator ?? " ")
        dialect.requestMethod = readMethod(request, "token.request", format: dialect.requestFormat)
        dialect.sendsState = request?["sends_state"]?.bool ?? false
        if let plugin = request?["plugin"]?.text.flatMap({ TokenPlugin(rawValue: $0) }) { dialect.sign = plugin.sign }
        for (key, node) in response?["member_names"]?.mapping ?? [] where node.text == nil {
            if let name = key.string { dialect.memberPaths[name] = node.texts.map(\.text) }
        }
        dialect.lifetimeUnit =
            response?["lifetime_unit"]?.text.flatMap { LifetimeUnit(rawValue: $0) } ?? .seconds
        dialect.refresh = readRequest(token?["refresh"], "token.refresh", dialect)
        dialect.refreshesByAccessToken = token?["refresh"]?["token"]?.text == "access_token"
        if let node = token?["exchange"] { dialect.exchange = readRequest(node, "token.exchange", dialect) }
        return dialect
    }

    private mutating func readMethod(
        _ node: YAMLNode?, _ path: String, format: TokenDialect.RequestFormat
    ) -> Transfer.Method {
        guard let text = node?["method"]?.text, let method = Transfer.Method(rawValue: text) else { return .post }
        if method == .get, format != .query, let place = node?["method"]?.place {
            report(place, "\(path).method: a GET has no body; expected format: query beside it")
        }
        return method
    }

    /// What the record does not say is that of the token request.
    private mutating func readRequest(
        _ node: YAMLNode?, _ path: String, _ dialect: TokenDialect
    ) -> TokenDialect.Request {
        let format = node?["format"]?.text.flatMap { TokenDialect.RequestFormat(rawValue: $0) } ?? dialect.requestFormat
        let method = node?["method"] == nil ? dialect.requestMethod : readMethod(node, path, format: format)
        var request = TokenDialect.Request(method: method, format: format)
        request.grantType = node?["grant_type"]?.text
        if node?["parameters"] != nil {
            request.parameters = readExtraParameters(node?["parameters"], path + ".parameters")
        }
        if let names = node?["parameter_names"] {
            for (name, _, place) in names.table where !Self.tokenParameters.union(["access_token"]).contains(name) {
                report(place, "\(path).parameter_names.\(name): expected the name of a standard parameter")
            }
            request.parameterNames = readNames(names, path + ".parameter_names")
        }
        return request
    }

    /// With {redirect_uri} as it stands.
    private mutating func readExtraParameters(_ node: YAMLNode?, _ path: String) -> [(String, String)] {
        for (name, text, place) in node?.table ?? [] {
            let places = URLTemplate(text)?.variables ?? []
            for variable in places where variable != URLTemplate.redirectURI {
                report(place, "\(path).\(name): {\(variable)} has no value here; expected no place but {redirect_uri}")
            }
        }
        let parameters = readParameters(
            node, path, reserved: Self.tokenParameters.subtracting([URLTemplate.redirectURI]))
        return parameters.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    mutating func readValidation(_ node: YAMLNode?) -> Manifest.Validation? {
        guard let node else { return nil }
        return Manifest.Validation(
            endpoint: template(node["endpoint"], "token.validation.endpoint"),
            scheme: node["authorization"]?.text ?? "Bearer", interval: node["interval"]?.time ?? .zero)
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
