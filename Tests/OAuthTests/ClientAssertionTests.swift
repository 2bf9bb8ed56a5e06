import Accounts
import Cryptography
import Foundation
import JSON
import OAuth
import TestSupport
import Testing
import Transfer

/// A JWT of ours, taken apart and its signature verified.
struct ReceivedToken {
    let header: JSONObject
    let claims: JSONObject

    init(_ text: String, key: SigningKey, _ algorithm: SignatureAlgorithm) throws {
        let segments = text.split(separator: ".", omittingEmptySubsequences: false)
        try #require(segments.count == 3)
        let signature = try #require(Base64URL.decode(segments[2]))
        try #require(
            key.publicKey.isValid(
                signature: signature, for: Array("\(segments[0]).\(segments[1])".utf8), algorithm: algorithm))
        header = try Self.object(segments[0])
        claims = try Self.object(segments[1])
        #expect(header["alg"]?.string == algorithm.rawValue)
    }

    private static func object(_ segment: Substring) throws -> JSONObject {
        let bytes = try #require(Base64URL.decode(segment))
        return try #require(JSONValue(parsing: bytes).object)
    }

    func seconds(_ name: String) throws -> Int64 { try #require(claims[name]?.number?.int64) }
}

func parameters(_ request: TransferRequest) -> [String: String] {
    var found: [String: String] = [:]
    for pair in request.bodyText.split(separator: "&") {
        let sides = pair.split(separator: "=", maxSplits: 1).map {
            String($0).replacing("+", with: " ").removingPercentEncoding ?? ""
        }
        #expect(found.updateValue(sides.last ?? "", forKey: sides[0]) == nil, "\(sides[0]) is there twice")
    }
    return found
}

@Suite struct ClientAssertionTests {
    private let key: SigningKey

    init() throws { key = try SigningKey(pem: Secret(ExampleKeys.p256)) }

    private func client(
        _ rule: ClientAssertionRule = ClientAssertionRule(), key: SigningKey? = nil
    ) -> ClientRegistration {
        ClientRegistration(
            clientID: "client-EXAMPLE", clientSecret: nil, signingKey: key ?? self.key, authentication: .privateKeyJWT,
            assertion: rule, redirectURI: "https://rollcall.example/callback/op")
    }

    private func refresh(
        _ client: ClientRegistration, server: AuthorizationServer = .example, dialect: TokenDialect = TokenDialect()
    ) -> TransferRequest {
        RefreshTokenGrant.tokenRequest(
            refreshToken: Secret("r"), server: server, client: client, dialect: dialect, moment: .example)
    }

    @Test func `security 35: an assertion is for the issuer alone, of the client, for five minutes, and new each time`()
        throws
    {
        var seen: Set<String> = []
        for _ in 0..<20 {
            let request = refresh(client())
            #expect(request.credentials.isEmpty)
            let sent = parameters(request)
            #expect(sent["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
            #expect(sent["client_id"] == "client-EXAMPLE")
            #expect(sent["client_secret"] == nil)
            let token = try ReceivedToken(#require(sent["client_assertion"]), key: key, .es256)
            #expect(token.claims["iss"]?.string == "client-EXAMPLE")
            #expect(token.claims["sub"]?.string == "client-EXAMPLE")
            #expect(token.claims["aud"]?.string == "https://op.example")
            #expect(try token.seconds("iat") == requestedAt.secondsSinceEpoch)
            #expect(try token.seconds("exp") == requestedAt.secondsSinceEpoch + 300)
            #expect(token.header.names.sorted() == ["alg", "typ"])
            let id = try #require(token.claims["jti"]?.string)
            #expect(Base64URL.decode(id)?.count == 16)
            #expect(seen.insert(id).inserted)
        }
    }

    @Test func `security 35: without an issuer, or where it is said so, an assertion is for the endpoint it goes to`()
        throws
    {
        func audience(_ rule: ClientAssertionRule, _ server: AuthorizationServer, _ dialect: TokenDialect) throws
            -> String?
        {
            let sent = parameters(refresh(client(rule), server: server, dialect: dialect))
            return try ReceivedToken(#require(sent["client_assertion"]), key: key, .es256).claims["aud"]?.string
        }
        var nameless = AuthorizationServer.example
        nameless.issuer = nil
        #expect(try audience(ClientAssertionRule(), nameless, TokenDialect()) == "https://op.example/token")
        var template = AuthorizationServer.example
        template.issuer = "https://op.example/{tenantid}"
        #expect(try audience(ClientAssertionRule(), template, TokenDialect()) == "https://op.example/token")
        let endpoint = ClientAssertionRule(audience: .endpoint)
        #expect(try audience(endpoint, .example, TokenDialect()) == "https://op.example/token")
        let elsewhere = TokenDialect(refreshEndpoint: "https://op.example/refresh")
        #expect(try audience(endpoint, .example, elsewhere) == "https://op.example/refresh")
        #expect(try audience(ClientAssertionRule(audience: .issuer), .example, elsewhere) == "https://op.example")
    }

    @Test func `each revocation request has an assertion of its own`() throws {
        var server = AuthorizationServer.example
        server.revocation = .rfc7009(endpoint: "https://op.example/revoke", authenticated: true)
        let credential = Credential(
            accessToken: Secret("a"), refreshToken: Secret("r"), scopes: [], obtainedAt: requestedAt)
        let requests = TokenRevocation.requests(for: credential, server: server, client: client(), moment: .example)
        let ids = try requests.map { request in
            try ReceivedToken(#require(parameters(request)["client_assertion"]), key: key, .es256).claims["jti"]?.string
        }
        #expect(ids.count == 2 && Set(ids).count == 2)
    }

    @Test func `kid and the certificate's thumbprint stand in the header`() throws {
        let sha1 = try #require(
            CertificateThumbprint(hexadecimal: "84:E0:5C:1D:98:BC:E3:A5:42:1D:22:5B:14:0B:36:E8:6A:3D:55:34"))
        let rule = ClientAssertionRule(keyID: "key-EXAMPLE", certificate: sha1)
        let token = try ReceivedToken(
            #require(parameters(refresh(client(rule)))["client_assertion"]), key: key, .es256)
        #expect(token.header["kid"]?.string == "key-EXAMPLE")
        #expect(token.header["x5t"]?.string == "hOBcHZi846VCHSJbFAs26Go9VTQ")
        let sha256 = CertificateThumbprint(hexadecimal: String(repeating: "0a", count: 32))
        #expect(sha256 == CertificateThumbprint(hexadecimal: String(repeating: "0A:", count: 32)))
        for text in ["", "84E05C", String(repeating: "0g", count: 20), String(repeating: "a", count: 41)] {
            #expect(CertificateThumbprint(hexadecimal: text) == nil)
        }
    }

    /// The manifest's word goes before the server's, and that before our habit.
    @Test(
        arguments: [
            (nil, [], SignatureAlgorithm.rs256), (nil, ["HS256", "RS256", "PS256"], .rs256),
            (nil, ["PS256", "ES256"], .ps256),
            (nil, ["ES256"], .rs256), (SignatureAlgorithm.rs512, ["PS256"], .rs512),
        ] as [(SignatureAlgorithm?, [String], SignatureAlgorithm)])
    func `signs with what the server takes`(
        stated: SignatureAlgorithm?, offered: [String], used: SignatureAlgorithm
    ) throws {
        let rsa = try SigningKey(pem: Secret(ExampleKeys.rsa))
        var server = AuthorizationServer.example
        server.clientAssertionAlgorithms = offered
        let sent = parameters(refresh(client(ClientAssertionRule(algorithm: stated), key: rsa), server: server))
        _ = try ReceivedToken(#require(sent["client_assertion"]), key: rsa, used)
    }

    @Test func `client_secret_jwt signs with the secret and does not send it`() throws {
        let sent = parameters(refresh(.example(.clientSecretJWT, secret: "secret-é-EXAMPLE")))
        let segments = try #require(sent["client_assertion"]).split(separator: ".")
        #expect(
            Base64URL.decode(segments[2])
                == Digest.hmacSHA256(
                    key: Array("secret-é-EXAMPLE".utf8), message: Array("\(segments[0]).\(segments[1])".utf8)))
        #expect(try JSONValue(parsing: #require(Base64URL.decode(segments[0])))["alg"]?.string == "HS256")
        #expect(try JSONValue(parsing: #require(Base64URL.decode(segments[1])))["aud"]?.string == "https://op.example")
        #expect(sent["client_secret"] == nil && !sent.values.contains { $0.contains("secret-é") })
    }

    @Test func `quirk C11: the JWT stands in the secret's place, of the team, for a fixed audience`() throws {
        let rule = ClientAssertionRule(
            parameter: .clientSecret, algorithm: .es256, audience: .fixed("https://appleid.example"),
            issuer: "TEAMEXAMPL", keyID: "KEYEXAMPLE")
        let sent = parameters(refresh(client(rule)))
        #expect(sent["client_assertion"] == nil && sent["client_assertion_type"] == nil)
        #expect(sent["client_id"] == "client-EXAMPLE")
        let token = try ReceivedToken(#require(sent["client_secret"]), key: key, .es256)
        #expect(token.claims["iss"]?.string == "TEAMEXAMPL")
        #expect(token.claims["sub"]?.string == "client-EXAMPLE")
        #expect(token.claims["aud"]?.string == "https://appleid.example")
        #expect(token.header["kid"]?.string == "KEYEXAMPLE")
    }

    @Test func `quirk C5: the secret is Basic's user name, without a password`() {
        let request = refresh(.example(.clientSecretUsername, secret: "sk_EXAMPLE"))
        // base64("sk_EXAMPLE:")
        #expect(request.authorization == "Basic c2tfRVhBTVBMRTo=")
        #expect(!request.bodyText.contains("client_"))
    }

    @Test func `quirk C18: the secret is a bearer token and stands nowhere else`() {
        let request = refresh(.example(.clientSecretBearer, secret: "sk_EXAMPLE"))
        #expect(request.authorization == "Bearer sk_EXAMPLE")
        #expect(!request.bodyText.contains("client_"))
        let named = refresh(.example(.clientSecretBearer), dialect: TokenDialect(repeatsClientID: true))
        #expect(parameters(named)["client_id"] == "client-EXAMPLE")
        #expect(parameters(named)["client_secret"] == nil)
    }

    @Test func `no request or registration shows key, secret or assertion`() throws {
        let request = refresh(client())
        let assertion = try #require(parameters(request)["client_assertion"])
        var shown = "\(request)" + String(reflecting: request) + "\(client())"
        dump(request, to: &shown)
        dump(client(), to: &shown)
        #expect(!shown.contains(assertion.prefix(40)))
        for line in ExampleKeys.p256.split(separator: "\n").dropFirst().dropLast() { #expect(!shown.contains(line)) }
    }
}
