import Accounts
import Cryptography
import JSON
import OAuth
import TestSupport
import Testing
import Transfer

/// RFC 7662, and userinfo responses that are signed (OpenID Connect Core §5.3.2).
@Suite struct IntrospectionTests {
    private static let server = AuthorizationServer(
        authorizationEndpoint: "https://op.example/authorize", tokenEndpoint: "https://op.example/token",
        introspectionEndpoint: "https://op.example/introspect")

    private func request(_ client: ClientRegistration, _ server: AuthorizationServer = server) -> TransferRequest? {
        TokenIntrospection.request(
            accessToken: Secret("EXAMPLE-access"), server: server, client: client, dialect: TokenDialect(),
            moment: .example)
    }

    @Test func `security 74: a token is asked about with client authentication alone`() throws {
        let basic = try #require(request(.example(.clientSecretBasic)))
        #expect(basic.url == "https://op.example/introspect" && basic.method == .post)
        #expect(basic.bodyText == "token=EXAMPLE-access&token_type_hint=access_token")
        #expect(basic.authorization?.hasPrefix("Basic ") == true)
        #expect(request(.example(.clientSecretPost))?.bodyText.contains("client_secret=") == true)
        #expect(request(.example(.none)) == nil)
        #expect(request(.example(.clientSecretBasic), .example) == nil)
    }

    @Test func `security 74: active is what the server says, and nothing else stands for it`() throws {
        func read(_ status: Int, _ body: String) throws -> TokenIntrospection {
            try TokenIntrospection.read(.json(status, body), dialect: TokenDialect())
        }
        let active = try read(200, #"{"active":true,"exp":1795189373,"scope":"a b","sub":"7"}"#)
        #expect(active.isActive && active.scopes == scopes("a", "b") && active.subject == "7")
        #expect(active.expiresAt == Timestamp(secondsSinceEpoch: 1_795_189_373))
        let inactive = try read(200, #"{"active":false,"scope":"a"}"#)
        #expect(!inactive.isActive && inactive.scopes == nil)
        #expect(try read(200, #"{"active":true,"exp":1e300}"#).expiresAt == nil)
        for body in ["{}", #"{"active":"true"}"#, #"{"active":1}"#, "[]", "x"] {
            #expect(throws: TokenRequestError.self, "\(body)") { try read(200, body) }
        }
        #expect(throws: TokenRequestError.refused(.invalidClient)) { try read(401, #"{"error":"invalid_client"}"#) }
        #expect(throws: TokenRequestError.unavailable(status: 503)) { try read(503, #"{"active":false}"#) }
    }

    private static let key = SigningKey.generateP256(random: SeededRandom(seed: 3))

    private func token(_ claims: JSONObject, _ header: JSONObject = [:]) throws -> String {
        var header = header
        header["alg"] = "ES256"
        let signed =
            Base64URL.encode(Array(JSONValue.object(header).text.utf8)) + "."
            + Base64URL.encode(Array(JSONValue.object(claims).text.utf8))
        return signed + "." + Base64URL.encode(try Self.key.signature(for: Array(signed.utf8), algorithm: .es256))
    }

    private func verify(
        _ token: String, algorithms: [SignatureAlgorithm] = [.es256]
    ) throws -> JSONObject {
        let point = try #require(Self.key.p256Point)
        let keys = try JSONWebKeySet([
            "keys": [
                [
                    "kty": "EC", "crv": "P-256", "x": .string(Base64URL.encode(point.x)),
                    "y": .string(Base64URL.encode(point.y)),
                ]
            ]
        ])
        return try SignedUserinfo.verify(
            token, keys: keys, issuer: "https://op.example", clientID: "client-EXAMPLE", algorithms: algorithms,
            now: requestedAt)
    }

    @Test func `security 53: a signed userinfo response is the issuer's and for this client, or refused`() throws {
        let good: JSONObject = ["iss": "https://op.example", "aud": "client-EXAMPLE", "sub": "7", "name": "Ada"]
        #expect(try verify(token(good))["name"]?.string == "Ada")
        var both = good
        both["aud"] = ["other", "client-EXAMPLE"]
        #expect(try verify(token(both))["sub"]?.string == "7")
        func refused(_ name: String, _ value: JSONValue?) throws {
            var claims = good
            claims[name] = value
            #expect(throws: IDTokenError.self, "\(name)") { try verify(token(claims)) }
        }
        try refused("iss", "https://op.example/")
        try refused("iss", nil)
        try refused("aud", "other")
        try refused("aud", nil)
        try refused("exp", .number(JSONNumber(requestedAt.secondsSinceEpoch - 61)))
        // Tokens that mean something else.
        try refused("nonce", "n")
        try refused("at_hash", "h")
        try refused("events", [:])
        #expect(throws: IDTokenError.notAnIDToken) { try verify(token(good, ["typ": "at+jwt"])) }
        #expect(throws: IDTokenError.algorithmNotAllowed) { try verify(token(good), algorithms: [.rs256]) }
        let signed = try token(good)
        #expect(throws: IDTokenError.self) { try verify(String(signed.dropLast(2)) + "AA") }
        #expect(throws: IDTokenError.self) { try verify(signed + ".x.y") }
    }
}
