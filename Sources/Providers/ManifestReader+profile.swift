import Accounts
import JSONPath
import YAML

extension ManifestReader {
    mutating func readRequests(kept: [KeptParameter]) -> [ProfileRequestRule] {
        let node = root["profile"]?["requests"]
        let places =
            [URLTemplate.userinfoEndpoint]
            + kept.filter { $0.pattern != nil }.map { URLTemplate.callback + $0.name }
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
            if let url = node["url"], url.text?.contains("{\(URLTemplate.userinfoEndpoint)}") == true,
                root["issuer"] == nil
            {
                report(url.place, "\(path).url: {userinfo_endpoint} has no value without an issuer")
            }
            guard let url = template(node["url"], "\(path).url", places: places) else { continue }
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

    mutating func readClaims(requests: [ProfileRequestRule], kept: [KeptParameter]) -> [ClaimRule] {
        guard let node = root["profile"]?["claims"] else { return [] }
        let told = sources(requests)
        let sources = told + (kept.isEmpty ? [] : [ProfileMapping.callback])
        if let subject = node["sub"], let place = subject.texts.first?.place {
            let found = subject.texts.filter { path in sources.contains { path.text.reads($0) } }
            let dependable = self.sources(requests.filter { !$0.isOptional })
            if !found.isEmpty, !found.contains(where: { path in dependable.contains { path.text.reads($0) } }) {
                report(
                    place, "profile.claims.sub: expected a path into a request that is not optional, or the ID token")
            }
        }
        return ClaimType.all.compactMap { type in
            guard let value = node[type.name] else { return nil }
            let name = "profile.claims.\(type.name)"
            let found = paths(value["path"] ?? value, name)
            // What came through the browser may be anybody's word: it identifies nobody and vouches for nothing.
            let isClaimed = ["sub", "email", "email_verified", "phone_number", "phone_number_verified"]
                .contains(type.name)
            checkSources(value["path"] ?? value, name, isClaimed ? told : sources)
            let accepts = value["accept"]?.texts.compactMap { BooleanForm(rawValue: $0.text) } ?? []
            return ClaimRule(type: type, paths: found, accepts: Set(accepts))
        }
    }

    mutating func readVolatile(requests: [ProfileRequestRule], kept: [KeptParameter]) -> [JSONPath] {
        let node = root["profile"]?["volatile"]
        let found = paths(node, "profile.volatile")
        // A path that finds nothing is of no use, and one that finds everything makes a profile that never changes.
        if let node {
            checkSources(node, "profile.volatile", sources(requests) + (kept.isEmpty ? [] : [ProfileMapping.callback]))
        }
        return found
    }

    /// What a path may begin with.
    private func sources(_ requests: [ProfileRequestRule]) -> [String] {
        requests.map(\.name) + (root["issuer"] == nil ? [] : [ProfileMapping.idToken])
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
