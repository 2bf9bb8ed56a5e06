package import Accounts
package import Cryptography
package import JSON

/// Verification of an ID token (OpenID Connect Core §3.1.3.7, with RFC 7515, RFC 7519 and RFC 8725). Only signed tokens
/// in compact form; nothing that the token's header offers (`jwk`, `jku`, `x5c`, `x5u`) is looked at.
package enum IDToken {
    /// The claims of a token that holds in every point.
    ///
    /// `issuer` may be a template with `{tenantid}`, filled from the claim `tid`; `issuerAliases` are further values of
    /// `iss` that the provider is known to use. `nonce` is the one sent, `nil` where none was; `accessToken` the one that
    /// came along, for `at_hash`. `.unknownKey` asks for one refetch of the keys.
    package static func verify(
        _ token: String, keys: JSONWebKeySet, issuer: String, issuerAliases: [String] = [], clientID: String,
        nonce: String?, accessToken: String?, algorithms: [SignatureAlgorithm], now: Timestamp,
        clockSkew: Duration = .seconds(60)
    ) throws(IDTokenError) -> JSONObject {
        let (claims, algorithm) = try verifySignature(token, keys: keys, algorithms: algorithms)
        try checkIssuer(claims, [issuer] + issuerAliases)
        try checkAudience(claims, clientID)
        try checkTimes(claims, now: now, clockSkew: clockSkew)
        if let nonce {
            guard let stated = claims["nonce"]?.string, constantTimeEqual(stated, nonce) else { throw .nonceMismatch }
        }
        guard let subject = claims["sub"]?.string, (1...255).contains(subject.utf8.count), subject.isVisibleASCII
        else { throw .subjectInvalid }
        // A security event or a logout token says what happened to a person, not who is here (Back-Channel Logout §2.4).
        guard claims["events"] == nil else { throw .notAnIDToken }
        if let accessToken, let stated = claims["at_hash"] {
            guard let text = stated.string, constantTimeEqual(text, hash(of: accessToken, algorithm)) else {
                throw .accessTokenMismatch
            }
        }
        return claims
    }

    /// Half the hash of the access token, by the token's own algorithm (Core §3.1.3.6).
    private static func hash(of accessToken: String, _ algorithm: SignatureAlgorithm) -> String {
        let digest =
            switch algorithm {
            case .rs256, .ps256, .es256: Digest.sha256(accessToken.utf8)
            case .rs384, .es384: Digest.sha384(accessToken.utf8)
            case .rs512, .edDSA: Digest.sha512(accessToken.utf8)
            }
        return Base64URL.encode(digest.prefix(digest.count / 2))
    }

    /// What `typ` may say of an ID token.
    static let types: Set = ["jwt", "application/jwt", "jose"]

    /// The claims of a token of one of these types, or of no stated one, whose signature holds.
    static func verifySignature(
        _ token: String, keys: JSONWebKeySet, algorithms: [SignatureAlgorithm], types: Set<String> = types
    ) throws(IDTokenError) -> (claims: JSONObject, algorithm: SignatureAlgorithm) {
        guard token.utf8.count <= 64 << 10 else { throw .malformed(reason: "too long") }
        let segments = token.split(separator: ".", omittingEmptySubsequences: false)
        guard segments.count == 3 else { throw .malformed(reason: "not three segments") }
        let header = try object(segments[0], "header")
        guard let signature = Base64URL.decode(segments[2]) else {
            throw .malformed(reason: "the signature is not base64url")
        }
        guard let algorithm = header["alg"]?.string.flatMap({ SignatureAlgorithm(rawValue: $0) }),
            algorithms.contains(algorithm)
        else { throw .algorithmNotAllowed }
        guard header["crit"] == nil else { throw .criticalHeader }
        if let type = header["typ"] {
            // Other kinds of JWT name themselves here so as not to be taken for this one (RFC 8725 §3.11).
            guard let text = type.string?.lowercased(), types.contains(text) else {
                throw .notAnIDToken
            }
        }
        let candidates: [JSONWebKeySet.Key]
        let keyID = header["kid"]
        if let keyID {
            guard let text = keyID.string else { throw .malformed(reason: "kid is not a string") }
            let named = keys.keys.filter { $0.id == text }
            guard !named.isEmpty else { throw .unknownKey }
            candidates = named.filter { $0.fits(algorithm) }
            guard !candidates.isEmpty else { throw .keyDoesNotFit }
        } else {
            candidates = keys.keys.filter { $0.fits(algorithm) }
            guard !candidates.isEmpty else { throw .unknownKey }
        }
        let signed = Array("\(segments[0]).\(segments[1])".utf8)
        guard
            candidates.contains(where: {
                $0.publicKey.isValid(signature: signature, for: signed, algorithm: algorithm)
            })
        else {
            // Without a kid a rotation looks like this.
            throw keyID == nil ? .unknownKey : .signatureInvalid
        }
        return (try object(segments[1], "payload"), algorithm)
    }

    private static func object(_ segment: Substring, _ name: String) throws(IDTokenError) -> JSONObject {
        guard let bytes = Base64URL.decode(segment) else { throw .malformed(reason: "the \(name) is not base64url") }
        let document: JSONValue
        do { document = try JSONValue(parsing: bytes) } catch { throw .malformed(reason: "the \(name) is not JSON") }
        guard let object = document.object else { throw .malformed(reason: "the \(name) is not an object") }
        return object
    }

    static func checkIssuer(_ claims: JSONObject, _ expected: [String]) throws(IDTokenError) {
        let tenant = claims["tid"]?.string
        guard let stated = claims["iss"]?.string,
            expected.contains(where: { IssuerTemplate.matches(stated, $0, tenant: tenant) })
        else { throw .issuerMismatch }
    }

    /// `aud` holds our client; where it holds others too, `azp` has to be ours; where `azp` stands, it has to be ours.
    private static func checkAudience(_ claims: JSONObject, _ clientID: String) throws(IDTokenError) {
        let audiences: [String?] =
            switch claims["aud"] {
            case .string(let audience): [audience]
            case .array(let values): values.map(\.string)
            default: []
            }
        guard !audiences.contains(nil), audiences.contains(where: { $0?.isIdentical(to: clientID) == true }) else {
            throw .audienceMismatch
        }
        let party = claims["azp"]
        guard party != nil || audiences.count == 1 else { throw .authorizedPartyMismatch }
        if let party, party.string?.isIdentical(to: clientID) != true { throw .authorizedPartyMismatch }
    }

    private static func checkTimes(
        _ claims: JSONObject, now: Timestamp, clockSkew: Duration
    ) throws(IDTokenError) {
        func instant(_ name: String) throws(IDTokenError) -> Double? {
            guard let value = claims[name] else { return nil }
            guard let seconds = value.number?.double, seconds.isFinite, (0...253_402_300_799).contains(seconds) else {
                throw .malformed(reason: "\(name) is not a time")
            }
            return seconds
        }
        let now = Double(now.millisecondsSinceEpoch) / 1000
        let skew = clockSkew.secondsAsDouble
        guard let expiry = try instant("exp") else { throw .malformed(reason: "exp is missing") }
        guard let issued = try instant("iat") else { throw .malformed(reason: "iat is missing") }
        guard now < expiry + skew else { throw .expired }
        guard issued <= now + skew else { throw .notYetValid }
        if let notBefore = try instant("nbf"), now + skew < notBefore { throw .notYetValid }
    }
}

/// Why an ID token is not believed. Nothing of the token enters it.
package enum IDTokenError: Error, Equatable {
    case malformed(reason: String)
    /// Another kind of JWT: a logout token, an access token, a security event.
    case notAnIDToken
    case algorithmNotAllowed
    case criticalHeader
    /// None of the keys has the token's `kid`: fetch them again, once.
    case unknownKey
    /// The named key is for another algorithm.
    case keyDoesNotFit
    case signatureInvalid
    case issuerMismatch
    case audienceMismatch
    case authorizedPartyMismatch
    case expired
    case notYetValid
    case nonceMismatch
    case subjectInvalid
    /// `at_hash` belongs to another access token.
    case accessTokenMismatch
}
