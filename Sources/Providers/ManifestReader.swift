import Accounts
import JSON
import JSONPath
import OAuth
import Transfer
import YAML

/// Makes a manifest of a file's text, or tells all that is wrong with it. What a shape can't say is checked here: paths
/// that do not parse, variables nobody declared, headers that belong to the program.
struct ManifestReader {
    private var problems: [ConfigurationProblem] = []
    private var variables: [Manifest.Variable] = []
    private let root: YAMLNode

    static func read(_ text: String, file: String, isBuiltIn: Bool) throws(ConfigurationErrors) -> Manifest {
        let root: YAMLNode
        do { root = try YAMLNode(parsing: text, file: file) } catch {
            throw ConfigurationErrors([.init(place: error.place, message: error.reason)])
        }
        var check = ShapeCheck()
        check.check(root, ManifestVocabulary.manifest)
        var reader = ManifestReader(root: root)
        let manifest = reader.manifest(file: file, isBuiltIn: isBuiltIn)
        let problems = (check.problems + reader.problems).uniqued.sorted { $0.isBefore($1) }
        guard problems.isEmpty else { throw ConfigurationErrors(problems) }
        return manifest
    }

    private init(root: YAMLNode) { self.root = root }

    private mutating func report(_ place: SourcePlace, _ message: String) {
        problems.append(.init(place: place, message: message))
    }

    private mutating func manifest(file: String, isBuiltIn: Bool) -> Manifest {
        let id = root["id"]?.text ?? ""
        let stem = file.split(separator: "/").last.map { String($0.prefix { $0 != "." }) } ?? ""
        if let node = root["id"], id != stem { report(node.place, "id: expected \(stem), as the file is named") }
        readVariables()
        let issuer = template(root["issuer"], "issuer", base: true)
        let authorization = root["authorization"]
        let token = root["token"]
        if issuer == nil, root["issuer"] == nil {
            for (name, node) in [("authorization", authorization), ("token", token)] where node?["endpoint"] == nil {
                report(
                    node?.place ?? root.place,
                    "\(name): the key endpoint is missing; expected a URL, for there is no issuer to tell it")
            }
        }
        for name in ["issuer_aliases", "metadata_hosts"] {
            if let node = root[name], root["issuer"] == nil {
                report(node.place, "\(name): expected together with issuer")
            }
        }
        if let node = token?["grants"], !node.texts.contains(where: { $0.text == "authorization_code" }) {
            report(node.place, "token.grants: expected authorization_code among them")
        }
        let requests = readRequests()
        let plugin = root["profile"]?["plugin"]?.text.flatMap { ProfilePlugin(rawValue: $0) }
        if let plugin, let place = root["profile"]?["plugin"]?.place {
            for name in plugin.variables where !variables.contains(where: { $0.name == name }) {
                report(place, "profile.plugin: \(plugin.rawValue) needs the variable \(name), which is not declared")
            }
        }
        return Manifest(
            id: id, name: root["name"]?.text ?? "", documentation: root["documentation"]?.text,
            registration: root["registration"]?.text, redirectURINote: root["redirect_uri_note"]?.text,
            variables: variables, file: file, isBuiltIn: isBuiltIn, issuer: issuer,
            issuerAliases: root["issuer_aliases"]?.texts.map(\.text) ?? [],
            metadataHosts: root["metadata_hosts"]?.texts.map(\.text) ?? [], userAgent: readUserAgent(),
            authorizationEndpoint: template(authorization?["endpoint"], "authorization.endpoint"),
            scopes: readScopes(authorization), pkce: authorization?["pkce"]?.text == "none" ? .none : .s256,
            nonce: authorization?["nonce"]?.bool,
            authorizationParameters: readParameters(
                authorization?["parameters"], "authorization.parameters", reserved: Self.authorizationParameters),
            authorizationParameterNames: dictionary(authorization?["parameter_names"]),
            clientAuthentication: root["client_authentication"]?.text.flatMap { ClientAuthentication(rawValue: $0) }
                ?? .none,
            tokenEndpoint: template(token?["endpoint"], "token.endpoint"),
            refreshEndpoint: template(token?["refresh"]?["endpoint"], "token.refresh.endpoint"),
            tokenDialect: readTokenDialect(token, separator: authorization?["scope_separator"]?.text),
            refreshRotation: token?["refresh"]?["rotation"]?.text.flatMap { RefreshRotation(rawValue: $0) }
                ?? .reusable,
            grants: token?["grants"]?.texts.map(\.text) ?? ["authorization_code", "refresh_token"],
            revocation: readRevocation(),
            deviceAuthorizationEndpoint: template(
                root["device_authorization"]?["endpoint"], "device_authorization.endpoint"),
            introspectionEndpoint: template(root["introspection"]?["endpoint"], "introspection.endpoint"),
            requests: requests, claims: readClaims(requests: requests.map(\.name)), plugin: plugin,
            volatile: paths(root["profile"]?["volatile"], "profile.volatile"),
            failureMarkers: FailureMarkers(
                insufficientScope: paths(
                    root["profile"]?["failures"]?["insufficient_scope"], "profile.failures.insufficient_scope"),
                suspended: paths(root["profile"]?["failures"]?["suspended"], "profile.failures.suspended")),
            limits: readLimits(),
            sync: InstanceConfiguration.SyncOverrides(
                interval: root["sync"]?["interval"]?.time,
                minimumInterval: root["sync"]?["minimum_interval"]?.time,
                maximumAge: root["sync"]?["maximum_age"]?.time))
    }

    // MARK: - Variables and URLs

    private mutating func readVariables() {
        for (key, node) in root["variables"]?.mapping ?? [] {
            guard let name = key.string else { continue }
            if Self.reservedVariables.contains(name) {
                report(key.place, "variables.\(name): the name has a meaning of its own; expected another")
            }
            let variable = Manifest.Variable(
                name: name, defaultValue: node.text ?? node["default"]?.text, pattern: node["pattern"]?.text,
                description: node["description"]?.text, place: key.place)
            if let pattern = variable.pattern, VariablePattern(pattern) == nil {
                report(node["pattern"]?.place ?? node.place, "variables.\(name).pattern: expected a regular expression")
            } else if let value = variable.defaultValue, let problem = variable.problem(with: value) {
                report(node["default"]?.place ?? node.place, "variables.\(name): \(problem)")
            }
            variables.append(variable)
        }
    }

    private static let reservedVariables =
        [URLTemplate.userinfoEndpoint, "public_url"] + URLTemplate.revocationPlaces

    /// Checked with the variables' defaults where there are enough of them; an instance's values are checked again.
    private mutating func template(
        _ node: YAMLNode?, _ path: String, base: Bool = false, places: [String] = []
    ) -> URLTemplate? {
        guard let node, let text = node.text, let template = URLTemplate(text) else { return nil }
        var values: [String: String] = [:]
        for name in template.variables {
            if places.contains(name) {
                // The whole URL is one that was checked elsewhere, or a value that is encoded.
                values[name] = name == URLTemplate.userinfoEndpoint ? "https://userinfo.example" : "value"
            } else if let variable = variables.first(where: { $0.name == name }) {
                values[name] = variable.defaultValue ?? (variable.pattern == nil ? "https://value.example" : "value")
            } else {
                report(
                    node.place,
                    "\(path): the variable {\(name)} has no value; expected one declared under variables"
                        + (places.isEmpty ? "" : ", or \(places.map { "{\($0)}" }.joined(separator: ", "))"))
                values[name] = text.hasPrefix("{\(name)}") ? "https://value.example" : "value"
            }
        }
        if let name = template.misplaced(urls: Set(variables.filter { $0.pattern == nil }.map(\.name))) {
            report(
                node.place, "\(path): {\(name)} is a URL; expected it at the beginning, with nothing or a path after it"
            )
            return template
        }
        if let url = template.expanded(values),
            let problem = EndpointURL.problem(with: url, allowing: base ? .base : .endpoint)
        {
            report(node.place, "\(path): \(problem)")
        }
        return template
    }

    private mutating func readUserAgent() -> URLTemplate? {
        guard let node = root["user_agent"], let text = node.text else { return nil }
        guard let template = URLTemplate(text), template.variables.allSatisfy({ $0 == "public_url" }) else {
            report(node.place, "user_agent: expected no variable but {public_url}")
            return nil
        }
        return template
    }

    // MARK: - Requests

    /// Set by the program; a manifest that could set them could send a credential elsewhere, or break a message.
    private static let reservedHeaders = [
        "host", "content-length", "transfer-encoding", "authorization", "cookie", "connection", "te", "upgrade",
        "proxy-authorization", "content-type", "if-none-match", "if-modified-since", "user-agent",
    ]

    private mutating func readHeaders(_ node: YAMLNode?, _ path: String) -> HeaderFields {
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
    private static let tokenParameters = [
        "grant_type", "code", "redirect_uri", "client_id", "client_secret", "code_verifier", "refresh_token", "scope",
    ]

    private mutating func readParameters(_ node: YAMLNode?, _ path: String, reserved: [String]) -> [String: String] {
        for (name, _, place) in node?.table ?? [] where reserved.contains(name) {
            report(place, "\(path).\(name): the program sets this parameter itself; expected another")
        }
        return dictionary(node)
    }

    private func dictionary(_ node: YAMLNode?) -> [String: String] {
        Dictionary(node?.table.map { ($0.name, $0.text) } ?? []) { first, _ in first }
    }

    private mutating func readScopes(_ node: YAMLNode?) -> [String] {
        let scopes = node?["scopes"]?.texts ?? []
        if root["issuer"] != nil, let place = node?["scopes"]?.place, !scopes.contains(where: { $0.text == "openid" }) {
            report(place, "authorization.scopes: expected openid among them, for there is an issuer")
        }
        for (index, scope) in scopes.enumerated() where scopes[..<index].contains(where: { $0.text == scope.text }) {
            report(scope.place, "authorization.scopes: \(scope.text) is there twice")
        }
        return scopes.map(\.text)
    }

    private mutating func readTokenDialect(_ token: YAMLNode?, separator: String?) -> TokenDialect {
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

    private mutating func readRevocation() -> Manifest.Revocation {
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

    // MARK: - Profile

    private mutating func readRequests() -> [ProfileRequestRule] {
        let node = root["profile"]?["requests"]
        var rules: [ProfileRequestRule] = []
        for (key, node) in node?.mapping ?? [] {
            guard let name = key.string else { continue }
            let path = "profile.requests.\(name)"
            if name == ProfileMapping.idToken {
                report(key.place, "\(path): the name stands for the ID token's claims; expected another")
            }
            if let url = node["url"], url.text?.contains("{\(URLTemplate.userinfoEndpoint)}") == true,
                root["issuer"] == nil
            {
                report(url.place, "\(path).url: {userinfo_endpoint} has no value without an issuer")
            }
            guard let url = template(node["url"], "\(path).url", places: [URLTemplate.userinfoEndpoint]) else {
                continue
            }
            rules.append(
                ProfileRequestRule(
                    name: name, url: url, authorization: node["authorization"]?.text ?? "Bearer",
                    fields: readHeaders(node["headers"], "\(path).headers"),
                    isOptional: node["optional"]?.bool ?? false,
                    requiredScopes: node["scopes"]?.texts.compactMap { Scope($0.text) } ?? []))
        }
        if let node, node.mapping?.isEmpty == true, root["issuer"] == nil {
            report(node.place, "profile.requests: expected at least one request, for there is no ID token")
        }
        return rules
    }

    private mutating func readClaims(requests: [String]) -> [ClaimRule] {
        guard let node = root["profile"]?["claims"] else { return [] }
        let sources = requests + (root["issuer"] == nil ? [] : [ProfileMapping.idToken])
        return ClaimType.all.compactMap { type in
            guard let value = node[type.name] else { return nil }
            let name = "profile.claims.\(type.name)"
            let found = paths(value["path"] ?? value, name)
            for path in value["path"]?.texts ?? value.texts where !sources.contains(where: { path.text.reads($0) }) {
                report(
                    path.place,
                    "\(name): expected a path that begins with \(sources.map { "$.\($0)" }.joined(separator: " or "))")
            }
            let accepts = value["accept"]?.texts.compactMap { BooleanForm(rawValue: $0.text) } ?? []
            return ClaimRule(type: type, paths: found, accepts: Set(accepts))
        }
    }

    private mutating func paths(_ node: YAMLNode?, _ name: String) -> [JSONPath] {
        var paths: [JSONPath] = []
        for (text, place) in node?.texts ?? [] where text.hasPrefix("$") {
            do { paths.append(try JSONPath(text)) } catch {
                report(
                    place,
                    "\(name): \(text) is no JSONPath (RFC 9535): at character \(error.position + 1), \(error.reason)")
            }
        }
        return paths
    }

    // MARK: - Limits

    private mutating func readLimits() -> ProviderLimits {
        let node = root["limits"]
        let requests = node?["requests"]
        let invalid = node?["invalid_requests"]
        return ProviderLimits(
            requests: (requests?.sequence ?? requests.map { [$0] } ?? []).compactMap { node in
                guard let per = node["per"]?.text.flatMap({ RequestLimit.Sharing(rawValue: $0) }),
                    let count = node["count"]?.int, let window = node["window"]?.time
                else { return nil }
                return RequestLimit(per: per, count: count, window: window)
            },
            concurrency: node?["concurrency"]?.int ?? 16,
            invalidRequests: invalid.flatMap { node in
                guard let count = node["count"]?.int, let window = node["window"]?.time else { return nil }
                return InvalidRequestLimit(
                    count: count, window: window, statuses: node["statuses"]?.sequence?.compactMap(\.int) ?? [])
            },
            dialect: readDialect(node?["dialect"]))
    }

    private mutating func readDialect(_ node: YAMLNode?) -> LimitDialect {
        guard let node, node.mapping != nil else {
            switch node?.text {
            case "ietf": return .ietf
            case "github": return .github
            case "discord": return .discord
            default: return .retryAfter
            }
        }
        var table = HeaderTable()
        table.statuses = node["statuses"]?.sequence?.compactMap(\.int) ?? []
        table.statusesWhenSpent = node["statuses_when_spent"]?.sequence?.compactMap(\.int) ?? []
        for marker in node["markers"]?.sequence ?? [] {
            let reach = marker["reach"]?.text.flatMap { LimitSignal.Reach(rawValue: $0) }
            for path in paths(marker["path"], "limits.dialect.markers.path") {
                table.markers.append(.init(path: path, reach: reach))
            }
        }
        table.remaining = node["remaining"]?.texts.map(\.text) ?? []
        for (index, wait) in (node["waits"]?.sequence ?? []).enumerated() {
            let name = "limits.dialect.waits[\(index)]"
            let path = paths(wait["body"], "\(name).body").first
            if (wait["header"] == nil) == (wait["body"] == nil) {
                report(wait.place, "\(name): expected either header or body")
            }
            guard let unit = wait["unit"]?.text.flatMap({ WaitUnit(rawValue: $0) }) else { continue }
            table.waits.append(.init(field: wait["header"]?.text, path: path, unit: unit))
        }
        if let usage = node["usage"] {
            table.usage = .init(
                limit: usage["limit"]?.text ?? "", used: usage["used"]?.text ?? "",
                windows: usage["windows"]?.sequence?.compactMap(\.time) ?? [])
        }
        table.backoff = node["backoff"]?.time ?? LimitSignal.waitDefault
        table.reach = node["reach"]?.text.flatMap { LimitSignal.Reach(rawValue: $0) } ?? .everyone
        return .table(table)
    }
}

extension String {
    /// A path into the response of that request: `$.user…` or `$['user']…`.
    fileprivate func reads(_ request: String) -> Bool {
        if self == "$.\(request)" { return true }
        return ["$.\(request).", "$.\(request)[", "$['\(request)']", "$[\"\(request)\"]"].contains { hasPrefix($0) }
    }
}

extension ConfigurationProblem {
    fileprivate func isBefore(_ other: ConfigurationProblem) -> Bool {
        ((place?.line ?? 0), (place?.column ?? 0)) < ((other.place?.line ?? 0), (other.place?.column ?? 0))
    }
}

extension [ConfigurationProblem] {
    fileprivate var uniqued: [ConfigurationProblem] {
        reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    }
}
