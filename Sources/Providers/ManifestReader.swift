import Cryptography
import OAuth
import YAML

/// Makes a manifest of a file's text, or tells all that is wrong with it. What a shape can't say is checked here: paths
/// that do not parse, variables nobody declared, headers that belong to the program.
struct ManifestReader {
    var problems: [ConfigurationProblem] = []
    var variables: [Manifest.Variable] = []
    let root: YAMLNode

    static func read(_ source: ManifestFile) throws(ConfigurationErrors) -> Manifest {
        let root: YAMLNode
        do { root = try YAMLNode(parsing: source.text, file: source.path) } catch {
            throw ConfigurationErrors([.init(place: error.place, message: error.reason)])
        }
        var check = ShapeCheck()
        check.check(root, ManifestVocabulary.manifest)
        var reader = ManifestReader(root: root)
        let manifest = reader.manifest(source)
        let problems = (check.problems + reader.problems).uniqued.sorted { $0.isBefore($1) }
        guard problems.isEmpty else { throw ConfigurationErrors(problems) }
        return manifest
    }

    init(root: YAMLNode) { self.root = root }

    mutating func report(_ place: SourcePlace, _ message: String) {
        problems.append(.init(place: place, message: message))
    }

    mutating func manifest(_ source: ManifestFile) -> Manifest {
        let id = root["id"]?.text ?? ""
        if let node = root["id"], id != source.id {
            report(node.place, "id: expected \(source.id), as the file is named")
        }
        readVariables()
        let issuer = template(root["issuer"], "issuer", use: .base)
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
        let kept = readKeptParameters()
        let members = readKeptMembers()
        let requests = readRequests(kept: kept, members: members)
        let plugin = root["profile"]?["plugin"]?.text.flatMap { ProfilePlugin(rawValue: $0) }
        if let plugin, let place = root["profile"]?["plugin"]?.place {
            for name in plugin.requests where !requests.contains(where: { $0.name == name && !$0.isOptional }) {
                report(
                    place,
                    "profile.plugin: \(plugin.rawValue) needs a request \(name) that is not optional, which is not declared"
                )
            }
            for name in plugin.variables where !variables.contains(where: { $0.name == name }) {
                report(place, "profile.plugin: \(plugin.rawValue) needs the variable \(name), which is not declared")
            }
        }
        return Manifest(
            id: id, name: root["name"]?.text ?? "", documentation: root["documentation"]?.text,
            registration: root["registration"]?.text, redirectURINote: root["redirect_uri_note"]?.text,
            variables: variables, file: source.path, isBuiltIn: source.isBuiltIn, issuer: issuer,
            issuerAliases: readIssuerAliases(),
            metadataHosts: root["metadata_hosts"]?.texts.map(\.text) ?? [], userAgent: readUserAgent(),
            authorizationEndpoint: template(
                authorization?["endpoint"], "authorization.endpoint", use: .browser),
            responseType: authorization?["response_type"]?.text ?? "code",
            statePlace: authorization?["state_in"]?.text.flatMap { StatePlace(rawValue: $0) } ?? .parameter,
            scopes: readScopes(authorization), pkce: authorization?["pkce"]?.text == "none" ? .none : .s256,
            pushing: readPushing(authorization?["pushed_authorization_request"]),
            dpop: token?["dpop"]?.text.flatMap { DPoP.Use(rawValue: $0) },
            resources: readResources(), nonce: authorization?["nonce"]?.bool,
            responseMode: authorization?["response_mode"]?.text.flatMap { ResponseMode(rawValue: $0) } ?? .query,
            keptParameters: kept, keptMembers: members,
            callbackParameterNames: readNames(
                root["callback"]?["parameter_names"], "callback.parameter_names", taken: AuthorizationResponse.known),
            authorizationParameters: readParameters(
                authorization?["parameters"], "authorization.parameters",
                reserved: AuthorizationRequest.reservedParameters),
            authorizationParameterNames: readNames(
                authorization?["parameter_names"], "authorization.parameter_names",
                taken: AuthorizationRequest.reservedParameters),
            clientAuthentication: root["client_authentication"]?.text.flatMap { ClientAuthentication(rawValue: $0) }
                ?? .none,
            clientAssertion: readAssertion(),
            tokenEndpoint: template(token?["endpoint"], "token.endpoint"),
            refreshEndpoint: template(token?["refresh"]?["endpoint"], "token.refresh.endpoint"),
            exchangeEndpoint: template(token?["exchange"]?["endpoint"], "token.exchange.endpoint"),
            tokenDialect: readTokenDialect(token, separator: authorization?["scope_separator"]?.text),
            refreshRotation: token?["refresh"]?["rotation"]?.text.flatMap { RefreshRotation(rawValue: $0) }
                ?? .reusable,
            refreshTrigger: token?["refresh"]?["trigger"]?.text.flatMap { RefreshTrigger(rawValue: $0) } ?? .expiry,
            refreshAhead: token?["refresh"]?["ahead"]?.time ?? .zero,
            refreshTokenIdleLifetime: token?["refresh"]?["idle_lifetime"]?.time,
            tokenSettling: token?["refresh"]?["settling"]?.time ?? .zero,
            tokenValidation: readValidation(token?["validation"]),
            grants: token?["grants"]?.texts.map(\.text) ?? ["authorization_code", "refresh_token"],
            revocation: readRevocation(),
            deviceAuthorization: readDeviceAuthorization(),
            introspectionEndpoint: template(root["introspection"]?["endpoint"], "introspection.endpoint"),
            applicationToken: readApplicationToken(), signals: readSignals(), requests: requests,
            claims: readClaims(requests: requests, kept: kept, members: members), plugin: plugin,
            volatile: readVolatile(requests: requests, kept: kept, members: members),
            failureMarkers: FailureMarkers(
                error: paths(root["profile"]?["failures"]?["error"], "profile.failures.error"),
                unauthorized: paths(root["profile"]?["failures"]?["unauthorized"], "profile.failures.unauthorized"),
                insufficientScope: paths(
                    root["profile"]?["failures"]?["insufficient_scope"], "profile.failures.insufficient_scope"),
                suspended: paths(root["profile"]?["failures"]?["suspended"], "profile.failures.suspended")),
            limits: readLimits(),
            sync: readSync(), digest: Hexadecimal.encode(Digest.sha256(source.text.utf8)))
    }

    /// With their places as they stand.
    mutating func readIssuerAliases() -> [URLTemplate] {
        var aliases: [URLTemplate] = []
        for (text, place) in root["issuer_aliases"]?.texts ?? [] {
            let template = URLTemplate(text)
            let known = variables.map(\.name) + [URLTemplate.tenantID]
            guard let template, template.variables.allSatisfy(known.contains) else {
                report(place, "issuer_aliases: expected no places but {tenantid} and those of variables")
                continue
            }
            aliases.append(template)
        }
        return aliases
    }

    /// What contradicts itself here is the file's fault, and not an instance's.
    mutating func readSync() -> InstanceConfiguration.SyncOverrides {
        let node = root["sync"]
        let stated = InstanceConfiguration.SyncOverrides(
            interval: node?["interval"]?.time, minimumInterval: node?["minimum_interval"]?.time,
            maximumAge: node?["maximum_age"]?.time)
        if let interval = stated.interval, let place = node?["interval"]?.place {
            if interval < stated.minimumInterval ?? SyncPolicy().minimumInterval {
                report(place, "sync.interval: is shorter than minimum_interval")
            }
            if let age = stated.maximumAge, age < interval {
                report(node?["maximum_age"]?.place ?? place, "sync.maximum_age: is shorter than interval")
            }
        }
        return stated
    }

    mutating func readVariables() {
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

    static let reservedVariables =
        [
            URLTemplate.userinfoEndpoint, URLTemplate.tenantID, URLTemplate.redirectURI, URLTemplate.redirectHost,
            URLTemplate.subject, "public_url",
        ] + URLTemplate.revocationPlaces

    /// Checked with the variables' defaults where there are enough of them; an instance's values are checked again.
    mutating func template(
        _ node: YAMLNode?, _ path: String, use: EndpointURL.Use = .endpoint, places: [String] = []
    ) -> URLTemplate? {
        guard let node, let text = node.text, let template = URLTemplate(text) else { return nil }
        var values: [String: String] = [:]
        for name in template.variables {
            if places.contains(name) {
                // The whole URL is one that was checked elsewhere, or a value that is encoded.
                let isURL = name == URLTemplate.userinfoEndpoint || name.hasPrefix(URLTemplate.token)
                values[name] = isURL ? "https://value.example" : "value"
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
            let problem = EndpointURL.problem(with: url, allowing: use)
        {
            report(node.place, "\(path): \(problem)")
        }
        return template
    }

    mutating func readUserAgent() -> URLTemplate? {
        guard let node = root["user_agent"], let text = node.text else { return nil }
        guard let template = URLTemplate(text), template.variables.allSatisfy({ $0 == "public_url" }) else {
            report(node.place, "user_agent: expected no variable but {public_url}")
            return nil
        }
        return template
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
