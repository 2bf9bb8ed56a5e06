package import Accounts
import Cryptography
package import JSON
import JSONPath

/// The requests of a profile and how their responses become claims.
struct ProfileMapping: Sendable {
    /// To be raised where this program makes other claims of the same manifest and responses.
    static let version = "2"

    var requests: [ProfileRequestRule]
    /// In the order of OpenID Connect Core §5.1.
    var claims: [ClaimRule]
    var plugin: ProfilePlugin?
    var volatile: [JSONPath]
    /// The variables' values, for the plugin.
    var variables: [String: String]

    /// Where claims find those of the ID token.
    static let idToken = "id_token"
    /// Where claims find what was kept of the token endpoint's answer.
    static let token = "token"
    /// Where claims find what was kept of the callback.
    static let callback = "callback"

    /// What an ID token says of itself and of one authentication (OpenID Connect Core §2, §3.3.2.11; RFC 7519 §4.1),
    /// not of the person: it differs with each link, and a nonce is nobody's to keep.
    private static let protocolClaims: Set = [
        "iss", "aud", "exp", "iat", "nbf", "nonce", "at_hash", "c_hash", "s_hash", "auth_time", "acr", "amr", "azp",
        "jti", "sid",
    ]

    /// What an ID token says of the person.
    static func personal(_ claims: JSONObject) -> JSONObject {
        var personal = JSONObject()
        for (name, value) in claims where !protocolClaims.contains(name) { personal[name] = value }
        return personal
    }
}

struct ClaimRule: Sendable {
    var type: ClaimType
    /// The first that finds a value of the right type counts.
    var paths: [JSONPath]
    var accepts: Set<BooleanForm>
    /// What the paths find is one text together.
    var joins = false

    func value(in document: JSONValue) -> JSONValue? {
        if joins {
            let parts = paths.compactMap { path in
                path.values(in: document).lazy.compactMap { type.kind.claim(from: $0)?.string }.first
            }
            return parts.isEmpty ? nil : .string(parts.joined(separator: " "))
        }
        for path in paths {
            for value in path.values(in: document) {
                if let claim = type.kind.claim(from: value, accepting: accepts) { return claim }
            }
        }
        return nil
    }
}

extension ClaimType.Kind {
    /// `nil` for what is null, empty or of another type: such a claim counts as absent, never as a guess.
    func claim(from value: JSONValue, accepting forms: Set<BooleanForm> = []) -> JSONValue? {
        switch (self, value) {
        case (.subject, .string(let text)), (.string, .string(let text)): text.isEmpty ? nil : value
        case (.subject, .number(let number)): number.integerText.map { .string($0) }
        case (.url, .string(let text)): ["https://", "http://"].contains { text.hasPrefix($0) } ? value : nil
        case (.boolean, .bool): value
        case (.boolean, .null) where forms.contains(.time): .bool(false)
        case (.boolean, .string(let text)) where forms.contains(.time) && Timestamp(rfc3339: text) != nil: .bool(true)
        case (.boolean, .number(let number)) where forms.contains(.integer):
            switch number.text {
            case "0": .bool(false)
            case "1": .bool(true)
            default: nil
            }
        case (.boolean, .string(let text)) where forms.contains(.string):
            switch text {
            case "false": .bool(false)
            case "true": .bool(true)
            default: nil
            }
        case (.time, .number): value
        case (.time, .string(let text)): Timestamp(rfc3339: text).map { .number(JSONNumber($0.secondsSinceEpoch)) }
        case (.address, .object(let object)): object.isEmpty ? nil : value
        default: nil
        }
    }
}

extension Provider {
    /// Every profile of this mapping was made from the one response that there is.
    package var hasOneResponse: Bool {
        mapping.requests.count == 1 && mapping.requests.allSatisfy { !$0.isOptional && !$0.isUserinfo }
    }

    /// Pure: the responses by request name → profile. A 304 is given as the body stored before; a request that was left
    /// out, or whose refusal leaves its claims out, is not given.
    ///
    /// What the ID token says of the person is kept in `raw` beside the responses. It comes with a link and not with each
    /// sync: a sync gives what is stored back as `responses["id_token"]`, or what is mapped from it would come and go. So
    /// does what was kept of the callback, as `responses["callback"]`.
    package func profile(
        from responses: [String: JSONValue], validators: [String: Validators] = [:], idTokenClaims: JSONObject? = nil
    ) throws(MappingError) -> Profile {
        var raw = JSONObject()
        let idToken = (idTokenClaims ?? responses[ProfileMapping.idToken]?.object).map(ProfileMapping.personal)
        for request in mapping.requests {
            let body = responses[request.name]
            if let body {
                raw[request.name] = body
            } else if !request.isOptional, !request.isUserinfo {
                throw .responseMissing(request: request.name)
            }
            if request.isUserinfo, let body, let stated = idToken?["sub"], body["sub"] != stated {
                throw body["sub"] == nil ? .subjectMissing : .subjectMismatch
            }
        }
        if let idToken { raw[ProfileMapping.idToken] = .object(idToken) }
        for name in [ProfileMapping.callback, ProfileMapping.token] {
            if let kept = responses[name]?.object, !kept.isEmpty { raw[name] = .object(kept) }
        }
        let claims = mapping.claims(in: raw)
        guard let text = claims["sub"]?.string else { throw .subjectMissing }
        guard let subject = Subject(text) else { throw .subjectInvalid }

        return Profile(
            subject: subject, claims: JSONValue.object(claims).text, raw: JSONValue.object(raw).text,
            contentHash: mapping.contentHash(of: raw, claims), email: claims["email"]?.string,
            emailVerified: claims["email_verified"]?.bool,
            preferredUsername: claims["preferred_username"]?.string, validators: validators,
            mapping: mappingFingerprint)
    }
}

extension Provider {
    /// Who the responses so far are about; `nil` where they do not say yet. A name that is a path of its own (`.`, `..`)
    /// is no one's.
    package func subject(in responses: [String: JSONValue], idTokenClaims: JSONObject?) -> String? {
        var raw = JSONObject()
        for (name, body) in responses { raw[name] = body }
        if let idTokenClaims { raw[ProfileMapping.idToken] = .object(idTokenClaims) }
        let subject = mapping.claims(in: raw)["sub"]?.string
        return subject.flatMap { $0 == "." || $0 == ".." ? nil : $0 }
    }
}

extension ProfileMapping {
    func claims(in document: JSONObject) -> JSONObject {
        var claims = JSONObject()
        for rule in self.claims {
            let source = source(of: rule, in: document)
            if let value = rule.value(in: .object(source)) { claims[rule.type.name] = value }
        }
        guard let plugin else { return claims }
        for (name, value) in plugin.claims(from: document, variables: variables) { claims[name] = value }
        return claims
    }

    private static let statedWith = ["email_verified": "email", "phone_number_verified": "phone_number"]

    /// Whether an address is verified is said by whoever states the address: an ID token's word on one must not vouch for
    /// another in a response.
    private func source(of rule: ClaimRule, in document: JSONObject) -> JSONObject {
        guard let idToken = document[Self.idToken], let stated = Self.statedWith[rule.type.name],
            let address = claims.first(where: { $0.type.name == stated })
        else { return document }
        var responses = document
        responses[Self.idToken] = nil
        return address.value(in: .object(responses)) == nil ? [Self.idToken: idToken] : responses
    }

    /// Over claims and responses as they are without the volatile locations: what is mapped from one is left out with it.
    func contentHash(of raw: JSONObject, _ claims: JSONObject) -> String {
        let stable = volatile.reduce(JSONValue.object(raw)) { document, path in path.removing(from: document) }
        let claims = volatile.isEmpty ? claims : self.claims(in: stable.object ?? JSONObject())
        let text = JSONValue.object(["claims": .object(claims), "raw": stable]).canonicalUTF8
        return Hexadecimal.encode(Digest.sha256(text))
    }
}
