import Accounts
import JSONPath
import Transfer
import YAML

extension ManifestReader {
    mutating func readRequests(kept: [KeptParameter], members: [KeptMember]) -> [ProfileRequestRule] {
        let node = root["profile"]?["requests"]
        let places =
            [URLTemplate.userinfoEndpoint]
            + kept.filter { $0.pattern != nil }.map { URLTemplate.callback + $0.name }
            + members.filter { $0.hosts != nil }.map { URLTemplate.token + $0.name }
        var rules: [ProfileRequestRule] = []
        for (key, node) in node?.mapping ?? [] {
            guard let name = key.string else { continue }
            let path = "profile.requests.\(name)"
            if name == ProfileMapping.idToken {
                report(key.place, "\(path): the name stands for the ID token's claims; expected another")
            }
            if name == ProfileMapping.callback {
                report(key.place, "\(path): the name stands for what is kept of the callback; expected another")
            }
            if name == ProfileMapping.token {
                report(key.place, "\(path): the name stands for what is kept of the token answer; expected another")
            }
            if let url = node["url"], url.text?.contains("{\(URLTemplate.userinfoEndpoint)}") == true,
                root["issuer"] == nil
            {
                report(url.place, "\(path).url: {userinfo_endpoint} has no value without an issuer")
            }
            let isApplications = readToken(node, path)
            guard
                let url = template(
                    node["url"], "\(path).url", places: places + (isApplications ? [URLTemplate.subject] : []))
            else { continue }
            let method: Transfer.Method = node["method"]?.text == "POST" ? .post : .get
            let tokenPlace = readTokenPlace(node["authorization"], "\(path).authorization")
            if method == .get, node["body"] != nil || tokenPlace.isBody {
                report(node.place, "\(path): a GET has no body; expected method: POST beside it")
            }
            rules.append(
                ProfileRequestRule(
                    name: name, method: method, url: url, carriesApplicationToken: isApplications,
                    tokenPlace: tokenPlace,
                    fields: readHeaders(node["headers"], "\(path).headers"), body: readBody(node["body"]),
                    isOptional: node["optional"]?.bool ?? false,
                    requiredScopes: node["scopes"]?.texts.compactMap { Scope($0.text) } ?? []))
        }
        if let node, node.mapping?.isEmpty == true, root["issuer"] == nil, members.isEmpty {
            report(node.place, "profile.requests: expected at least one request, for there is no ID token")
        }
        return rules
    }

    private mutating func readTokenPlace(_ node: YAMLNode?, _ path: String) -> ProfileRequestRule.TokenPlace {
        guard let node, let members = node.mapping else { return .scheme(node?.text ?? "Bearer") }
        if members.count != 1 {
            report(node.place, "\(path): expected one of header, query and body")
        }
        if let name = node["query"]?.text { return .query(name) }
        if let name = node["body"]?.text { return .body(name) }
        let name = node["header"]?.text ?? "Authorization"
        if name.lowercased() != "authorization", Self.reservedHeaders.contains(name.lowercased()) {
            report(node.place, "\(path).header: the program sets this field itself; expected another")
        }
        return .field(name)
    }

    private func readBody(_ node: YAMLNode?) -> ProfileRequestRule.Body? {
        guard let node else { return nil }
        return ProfileRequestRule.Body(
            isJSON: node["format"]?.text == "json",
            parameters: node["parameters"]?.table.map { ($0.name, $0.text) } ?? [])
    }

    /// Whether the request carries the application's own token.
    private mutating func readToken(_ node: YAMLNode, _ path: String) -> Bool {
        guard let token = node["token"], token.text == "application" else { return false }
        if root["application_token"] == nil {
            report(token.place, "\(path).token: expected together with application_token")
        }
        if let scopes = node["scopes"] {
            report(scopes.place, "\(path).scopes: expected without token: application, which has scopes of its own")
        }
        return true
    }

    mutating func readClaims(
        requests: [ProfileRequestRule], kept: [KeptParameter], members: [KeptMember]
    ) -> [ClaimRule] {
        guard let node = root["profile"]?["claims"] else { return [] }
        let told = sources(requests, members)
        let sources = told + (kept.isEmpty ? [] : [ProfileMapping.callback])
        if let subject = node["sub"], let place = subject.texts.first?.place {
            let found = subject.texts.filter { path in sources.contains { path.text.reads($0) } }
            let dependable = self.sources(requests.filter { !$0.isOptional }, members)
            if !found.isEmpty, !found.contains(where: { path in dependable.contains { path.text.reads($0) } }) {
                report(
                    place, "profile.claims.sub: expected a path into a request that is not optional, or the ID token")
            }
        }
        return ClaimType.all.compactMap { type in
            guard let value = node[type.name] else { return nil }
            let name = "profile.claims.\(type.name)"
            let places = value["path"] ?? value["join"] ?? value
            let found = paths(places, name)
            // What came through the browser may be anybody's word: it identifies nobody and vouches for nothing.
            let isClaimed = ["sub", "email", "email_verified", "phone_number", "phone_number_verified"]
                .contains(type.name)
            checkSources(places, name, isClaimed ? told : sources)
            let accepts = value["accept"]?.texts.compactMap { BooleanForm(rawValue: $0.text) } ?? []
            return ClaimRule(type: type, paths: found, accepts: Set(accepts), joins: value["join"] != nil)
        }
    }

    mutating func readVolatile(
        requests: [ProfileRequestRule], kept: [KeptParameter], members: [KeptMember]
    ) -> [JSONPath] {
        let node = root["profile"]?["volatile"]
        let found = paths(node, "profile.volatile")
        // A path that finds nothing is of no use, and one that finds everything makes a profile that never changes.
        if let node {
            checkSources(
                node, "profile.volatile", sources(requests, members) + (kept.isEmpty ? [] : [ProfileMapping.callback]))
        }
        return found
    }

    /// What a path may begin with.
    private func sources(_ requests: [ProfileRequestRule], _ members: [KeptMember]) -> [String] {
        requests.map(\.name) + (root["issuer"] == nil ? [] : [ProfileMapping.idToken])
            + (members.isEmpty ? [] : [ProfileMapping.token])
    }

    private mutating func checkSources(_ node: YAMLNode, _ name: String, _ sources: [String]) {
        for path in node.texts where !sources.contains(where: { path.text.reads($0) }) {
            report(
                path.place,
                "\(name): expected a path that begins with \(sources.map { "$.\($0)" }.joined(separator: " or "))")
        }
    }

    mutating func paths(_ node: YAMLNode?, _ name: String) -> [JSONPath] {
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
}

extension String {
    /// A path into the response of that request: `$.user…` or `$['user']…`.
    fileprivate func reads(_ request: String) -> Bool {
        if self == "$.\(request)" { return true }
        return ["$.\(request).", "$.\(request)[", "$['\(request)']", "$[\"\(request)\"]"].contains { hasPrefix($0) }
    }
}
