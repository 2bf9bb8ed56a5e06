import Accounts
import Cryptography
import OAuth
import YAML

extension ManifestReader {
    mutating func readAssertion() -> Manifest.Assertion {
        let node = root["client_assertion"]
        let hasIssuer = root["issuer"] != nil
        var audience: Manifest.Assertion.Audience = hasIssuer ? .issuer : .endpoint
        switch node?["audience"]?.text {
        case nil: break
        case "endpoint": audience = .endpoint
        case "issuer":
            if !hasIssuer, let place = node?["audience"]?.place {
                report(place, "client_assertion.audience: expected endpoint or a URL, for there is no issuer")
            }
            audience = .issuer
        default:
            if let url = template(node?["audience"], "client_assertion.audience") { audience = .fixed(url) }
        }
        var issuer: URLTemplate?
        if let stated = node?["issuer"], let text = stated.text {
            issuer = URLTemplate(text)
            let known = variables.map(\.name) + [URLTemplate.redirectHost]
            if issuer?.variables.allSatisfy(known.contains) != true {
                report(
                    stated.place,
                    "client_assertion.issuer: expected no places but declared variables and {\(URLTemplate.redirectHost)}"
                )
            }
        }
        let lifetime = node?["lifetime"]?.time ?? ClientAssertionRule.lifetimeMax
        if let place = node?["lifetime"]?.place, !(.seconds(1)...ClientAssertionRule.lifetimeMax).contains(lifetime) {
            report(place, "client_assertion.lifetime: expected at least 1s and at most 5m")
        }
        return Manifest.Assertion(
            parameter: node?["parameter"]?.text.flatMap { .init(rawValue: $0) } ?? .clientAssertion,
            algorithm: node?["algorithm"]?.text.flatMap { SignatureAlgorithm(rawValue: $0) }, audience: audience,
            issuer: issuer, lifetime: lifetime, requiresKeyID: node?["requires_key_id"]?.bool ?? false)
    }

    mutating func readPushing(_ node: YAMLNode?) -> Manifest.Pushing {
        guard let node else { return .discovered }
        if node.text != nil { return .off }
        return .endpoint(template(node["endpoint"], "authorization.pushed_authorization_request.endpoint"))
    }

    mutating func readResources() -> [URLTemplate] {
        var resources: [URLTemplate] = []
        for (text, place) in root["resource"]?.texts ?? [] {
            guard let template = URLTemplate(text) else { continue }
            for name in template.variables where !variables.contains(where: { $0.name == name }) {
                report(place, "resource: the variable {\(name)} has no value; expected one declared under variables")
            }
            if resources.contains(template) { report(place, "resource: \(text) is there twice") }
            resources.append(template)
        }
        let token = root["token"]
        let isJSON = ["request", "refresh", "exchange"].contains { token?[$0]?["format"]?.text == "json" }
        if resources.count > 1, isJSON, let place = root["resource"]?.place {
            report(place, "resource: expected one at most, for token requests are JSON, where a name stands once")
        }
        return resources
    }

    mutating func readApplicationToken() -> Manifest.ApplicationToken? {
        guard let node = root["application_token"],
            let kind = node["grant"]?.text.flatMap({ ApplicationGrant.Kind(rawValue: $0) })
        else { return nil }
        for name in ["subject", "scopes_in_assertion"] {
            if let stated = node[name], kind != .jwtBearer {
                report(stated.place, "application_token.\(name): expected together with grant: jwt_bearer")
            }
        }
        var subject: URLTemplate?
        if let stated = node["subject"], let text = stated.text {
            subject = URLTemplate(text)
            if subject?.variables.allSatisfy({ name in variables.contains { $0.name == name } }) != true {
                report(stated.place, "application_token.subject: expected no places but declared variables")
            }
        }
        return Manifest.ApplicationToken(
            kind: kind, scopes: node["scopes"]?.texts.compactMap { Scope($0.text) } ?? [], subject: subject,
            scopesInAssertion: node["scopes_in_assertion"]?.bool ?? false)
    }
}
