import Accounts
package import Cryptography
import JSON

/// How a client's assertions about itself are made (RFC 7523 §2.2 and §3, OpenID Connect Core §9).
package struct ClientAssertionRule: Sendable, Equatable {
    package enum Parameter: String, Sendable, CaseIterable {
        /// With its type beside it, as RFC 7523 §2.2 has it.
        case clientAssertion = "client_assertion"
        /// The JWT stands where a secret would.
        case clientSecret = "client_secret"
    }

    /// The one value of `aud`: who may believe the assertion.
    package enum Audience: Sendable, Equatable {
        /// The server's own, which no metadata document of another can put in place of another's (RFC 9700 §4.4).
        case issuer
        /// The URL that the assertion is sent to.
        case endpoint
        case fixed(String)
    }

    package var parameter: Parameter
    /// `nil`: one that fits the key and that the server takes.
    package var algorithm: SignatureAlgorithm?
    package var audience: Audience
    /// `iss`; the client id where `nil`.
    package var issuer: String?
    /// Until `exp`.
    package var lifetime: Duration
    /// The header's `kid`.
    package var keyID: String?
    package var certificate: CertificateThumbprint?

    /// Longest lifetime, and the usual one: whoever sees an assertion can use it no longer.
    package static let lifetimeMax: Duration = .seconds(300)

    package init(
        parameter: Parameter = .clientAssertion, algorithm: SignatureAlgorithm? = nil, audience: Audience = .issuer,
        issuer: String? = nil, lifetime: Duration = lifetimeMax, keyID: String? = nil,
        certificate: CertificateThumbprint? = nil
    ) {
        self.parameter = parameter
        self.algorithm = algorithm
        self.audience = audience
        self.issuer = issuer
        self.lifetime = lifetime
        self.keyID = keyID
        self.certificate = certificate
    }
}

/// The hash of the certificate that holds the public key (RFC 7515 §4.1.7 and §4.1.8).
package struct CertificateThumbprint: Sendable, Equatable {
    let headerName: String
    let value: String

    /// Reads hexadecimal, with or without colons: SHA-1 becomes `x5t`, SHA-256 `x5t#S256`; `nil` for anything else.
    package init?(hexadecimal text: String) {
        let digits = text.filter { $0 != ":" }.compactMap(\.hexDigitValue).map(UInt8.init)
        guard digits.count == text.count(where: { $0 != ":" }), digits.count == 40 || digits.count == 64 else {
            return nil
        }
        headerName = digits.count == 40 ? "x5t" : "x5t#S256"
        value = Base64URL.encode(
            stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] })
    }
}

extension ClientRegistration {
    static let assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

    /// The claims of RFC 7523 §3 with a fresh `jti`; `nil` where key or secret is missing.
    func assertion(at endpoint: String, of server: AuthorizationServer, _ moment: Moment) -> String? {
        let claims = assertionClaims(
            issuer: assertion.issuer ?? clientID, subject: clientID, at: endpoint, of: server, moment)
        guard authentication == .privateKeyJWT else {
            return clientSecret?.reveal { secret in
                SignedToken.make(header: ["typ": .string("JWT")], claims: claims, secret: secret)
            }
        }
        return signedAssertion(claims, algorithms: server.clientAssertionAlgorithms)
    }

    func assertionClaims(
        issuer: String, subject: String, at endpoint: String, of server: AuthorizationServer, _ moment: Moment
    ) -> JSONObject {
        let audience =
            switch assertion.audience {
            // A template of issuers names no server.
            case .issuer: server.issuer.flatMap { IssuerTemplate.isTemplate($0) ? nil : $0 } ?? endpoint
            case .endpoint: endpoint
            case .fixed(let audience): audience
            }
        let lifetime = assertion.lifetime.wholeSeconds
        return [
            "iss": .string(issuer), "sub": .string(subject), "aud": .string(audience),
            "iat": .number(JSONNumber(moment.seconds)), "exp": .number(JSONNumber(moment.seconds + lifetime)),
            "jti": .string(moment.identifier),
        ]
    }

    /// Signed with the client's key; `nil` where there is none. `algorithms` are those that the server names, by their
    /// names; empty where it names none.
    func signedAssertion(_ claims: JSONObject, algorithms: [String]) -> String? {
        guard let key = signingKey else { return nil }
        var header: JSONObject = ["typ": .string("JWT")]
        if let id = assertion.keyID { header["kid"] = .string(id) }
        if let certificate = assertion.certificate { header[certificate.headerName] = .string(certificate.value) }
        let fitting = SignatureAlgorithm.allCases.filter(key.publicKey.fits)
        let usual = key.defaultAlgorithm
        let taken =
            algorithms.isEmpty || algorithms.contains(usual.rawValue)
            ? usual : fitting.first { algorithms.contains($0.rawValue) } ?? usual
        return SignedToken.make(header: header, claims: claims, key: key, algorithm: assertion.algorithm ?? taken)
    }
}

extension Duration {
    var wholeSeconds: Int64 { components.seconds }
}
