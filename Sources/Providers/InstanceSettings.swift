import Accounts
import Cryptography
import OAuth

/// An instance's settings checked against its manifest.
struct InstanceSettings {
    let manifest: Manifest
    let instance: InstanceConfiguration
    private(set) var problems: [ConfigurationProblem] = []

    init(manifest: Manifest, instance: InstanceConfiguration) {
        self.manifest = manifest
        self.instance = instance
    }

    /// `key` below the instance, empty for the instance itself.
    mutating func report(_ key: String, _ message: String) {
        let path = "providers.\(instance.id)" + (key.isEmpty ? "" : ".\(key)")
        problems.append(.init(place: instance.place, message: "\(path): \(message)"))
    }

    mutating func id() -> ProviderID? {
        guard let id = ProviderID(instance.id) else {
            report("", "expected a name of \(TextRule.id.expected)")
            return nil
        }
        return id
    }

    /// Every variable's value.
    mutating func variables() -> [String: String] {
        let known = manifest.variables.map(\.name)
        for name in instance.variables.keys.sorted() where !known.contains(name) {
            report(
                "variables.\(name)",
                "the manifest \(manifest.id) has no such variable; expected "
                    + (known.isEmpty ? "none" : known.joined(separator: ", ")))
        }
        checkOrigins()
        var values: [String: String] = [:]
        for variable in manifest.variables {
            guard let value = instance.variables[variable.name] else {
                if let value = variable.defaultValue {
                    values[variable.name] = value
                } else {
                    report(
                        "variables.\(variable.name)",
                        "the variable has no value; expected \(variable.description ?? "one")")
                }
                continue
            }
            // Without a value, what is made of it is not complained about as well.
            if let problem = variable.problem(with: value) {
                report("variables.\(variable.name)", problem)
                continue
            }
            values[variable.name] = value
        }
        return values
    }

    /// An instance at another place than the manifest's is there with all of its servers: one that was forgotten would
    /// send its tokens, or its client secret, to the manifest's own.
    private mutating func checkOrigins() {
        let variables = manifest.serverVariables
        let set = variables.map(\.name).filter { instance.variables[$0] != nil }
        guard !set.isEmpty else { return }
        for variable in variables where instance.variables[variable.name] == nil {
            guard let value = variable.defaultValue else { continue }
            report(
                "variables.\(variable.name)",
                "expected a value together with \(set.joined(separator: ", ")), or credentials would go to \(value)")
        }
    }

    /// A line break that came with a file would fail each request in another way. RFC 6749 appendix A allows printable
    /// ASCII alone; servers that hand out more exist, and both ways of sending it encode it.
    mutating func checkClient() {
        let secret = instance.clientSecret?.reveal { $0 } ?? ""
        for (key, text) in [
            ("client_id", instance.clientID ?? ""), ("client_secret", secret), ("key_id", instance.keyID ?? ""),
        ]
        where text.unicodeScalars.contains(where: { $0.value < 0x20 || (0x7f...0x9f).contains($0.value) }) {
            report(key, "expected no line breaks or other control characters")
        }
    }

    mutating func scopes() -> [Scope] {
        let texts = instance.scopes ?? manifest.scopes
        var scopes: [Scope] = []
        for text in texts {
            guard let scope = Scope(text) else {
                report("scopes", "expected each to be \(TextRule.scope.expected)")
                continue
            }
            if !scopes.contains(scope) { scopes.append(scope) }
        }
        if manifest.issuer != nil, !texts.contains("openid") {
            report("scopes", "expected openid among them, for the provider is an OpenID provider")
        }
        return scopes
    }

    mutating func authentication() -> ClientAuthentication {
        guard let name = instance.clientAuthentication else { return manifest.clientAuthentication }
        guard let authentication = ClientAuthentication(rawValue: name) else {
            let known = ClientAuthentication.allCases.map(\.rawValue).joined(separator: ", ")
            report("client_authentication", "expected one of \(known)")
            return manifest.clientAuthentication
        }
        return authentication
    }

    /// Tried once: what can't sign is found before anybody waits for it. The key itself is in no message.
    mutating func signingKey() -> SigningKey? {
        guard let pem = instance.clientKey, !pem.isEmpty else { return nil }
        do throws(SigningKeyError) {
            let key = try SigningKey(pem: pem)
            _ = try key.signature(for: [], algorithm: manifest.clientAssertion.algorithm ?? key.defaultAlgorithm)
            return key
        } catch {
            let wanted = manifest.clientAssertion.algorithm.map { ", and the provider wants \($0.rawValue)" } ?? ""
            report("client_key", "\(error)" + (error == .algorithmDoesNotFit ? wanted : ""))
            return nil
        }
    }

    /// Checked where it is set: a key that verifies nothing would be noticed when consent is gone and nobody knows.
    mutating func signalPublicKey() -> PublicKey? {
        for (key, isSet, style) in [
            ("signal_secret", instance.signalSecret != nil, SignalRule.Style.hmacSHA256),
            ("signal_public_key", instance.signalPublicKey != nil, .ed25519),
        ] where isSet && manifest.signals?.rule.style != style {
            report(key, "the manifest \(manifest.id) has no signals of the style \(style.rawValue)")
        }
        guard let text = instance.signalPublicKey else { return nil }
        // The reason is always that it is no such key.
        guard let bytes = Hexadecimal.decode(text), let key = try? PublicKey(ed25519: bytes) else {
            report("signal_public_key", "expected 64 hexadecimal digits, as the provider shows them")
            return nil
        }
        return key
    }

    mutating func assertion(_ values: [String: String], redirectURI: String) -> ClientAssertionRule {
        let stated = manifest.clientAssertion
        var places = values
        places[URLTemplate.redirectHost] = EndpointURL(redirectURI, allowing: .page)?.host
        var certificate: CertificateThumbprint?
        if let text = instance.certificateThumbprint {
            certificate = CertificateThumbprint(hexadecimal: text)
            if certificate == nil {
                report(
                    "certificate_thumbprint", "expected a SHA-1 or SHA-256 in hexadecimal, as the registration shows it"
                )
            }
        }
        let audience: ClientAssertionRule.Audience =
            switch stated.audience {
            case .issuer: .issuer
            case .endpoint: .endpoint
            case .fixed(let url): .fixed(url.expanded(values) ?? "")
            }
        return ClientAssertionRule(
            parameter: stated.parameter, algorithm: stated.algorithm, audience: audience,
            issuer: stated.issuer?.expanded(places), lifetime: stated.lifetime,
            keyID: instance.keyID.flatMap { $0.isEmpty ? nil : $0 }, certificate: certificate)
    }

    mutating func dpop() -> DPoP.Use? {
        guard let name = instance.dpop else { return manifest.dpop }
        guard let use = DPoP.Use(rawValue: name) else {
            report("dpop", "expected one of \(DPoP.Use.allCases.map(\.rawValue).joined(separator: ", "))")
            return nil
        }
        return use
    }

    mutating func resources(_ values: [String: String]) -> [String] {
        let resources = instance.resources ?? manifest.resources.compactMap { $0.expanded(values) }
        for resource in resources where !resource.isAbsoluteURI {
            report("resource", "expected each to be \(TextRule.resource.expected)")
        }
        if resources.count > 1, manifest.tokenDialect.writesJSON {
            report("resource", "expected one at most, for token requests are JSON, where a name stands once")
        }
        return resources
    }

    mutating func authorizationParameters() -> [String: String] {
        for (name, value) in instance.authorizationParameters.sorted(by: { $0.key < $1.key }) {
            let key = "authorization.parameters.\(name)"
            if AuthorizationRequest.reservedParameters.contains(name) {
                report(key, "the program sets this parameter itself; expected another")
            } else if !TextRule.parameterName.accepts(name) {
                report(key, "expected \(TextRule.parameterName.expected)")
            }
            if !TextRule.line.accepts(value) { report(key, "expected \(TextRule.line.expected)") }
        }
        return instance.authorizationParameters
    }

    /// The instance's word goes before the operator's for all providers, and that before the manifest's. An interval for
    /// all is kept within what the manifest and the instance allow; the instance's own must be.
    mutating func syncPolicy(everyones interval: Duration?) -> SyncPolicy {
        var policy = SyncPolicy()
        let stated = manifest.sync
        policy.minimumInterval = instance.sync.minimumInterval ?? stated.minimumInterval ?? policy.minimumInterval
        policy.interval =
            instance.sync.interval ?? interval.map { max($0, policy.minimumInterval) } ?? stated.interval
            ?? max(policy.interval, policy.minimumInterval)
        policy.maximumAge = instance.sync.maximumAge ?? max(stated.maximumAge ?? policy.maximumAge, policy.interval)
        let all = [policy.interval, policy.minimumInterval, policy.maximumAge]
        if all.contains(where: { $0 <= .zero }) { report("sync", "expected durations longer than none") }
        if policy.interval < policy.minimumInterval { report("sync.interval", "is shorter than minimum_interval") }
        if policy.maximumAge < policy.interval { report("sync.maximum_age", "is shorter than interval") }
        return policy
    }

    /// What a flow needs and the configuration does not have.
    func missing() -> [String] {
        var missing: [String] = []
        if instance.clientID?.isEmpty ?? true { missing.append("client_id") }
        let authentication =
            instance.clientAuthentication.flatMap { ClientAuthentication(rawValue: $0) }
            ?? manifest.clientAuthentication
        if authentication.needsSecret, instance.clientSecret?.isEmpty ?? true { missing.append("client_secret") }
        // Its own way of taking tokens back wants the secret, whatever the token endpoint wants.
        if authentication.needsKey, manifest.revokesWithSecret, instance.clientSecret?.isEmpty ?? true {
            missing.append("client_secret")
        }
        if authentication.needsKey || manifest.applicationToken?.kind == .jwtBearer {
            if instance.clientKey?.isEmpty ?? true { missing.append("client_key") }
            if manifest.clientAssertion.requiresKeyID, instance.keyID?.isEmpty ?? true { missing.append("key_id") }
        }
        return missing
    }
}
