import Accounts
import Cryptography
import JSON
import OAuth
import TestSupport
import Testing
import Transfer

@Suite struct ApplicationGrantTests {
    private func request(_ grant: ApplicationGrant, _ client: ClientRegistration) -> TransferRequest {
        grant.tokenRequest(server: .example, client: client, dialect: TokenDialect(), moment: .example)
    }

    @Test func `security 76: client credentials are the client's proof, the grant type and a scope`() {
        let grant = ApplicationGrant(kind: .clientCredentials, scopes: scopes("a", "b"))
        let basic = request(grant, .example(.clientSecretBasic))
        #expect(basic.bodyText == "grant_type=client_credentials&scope=a+b")
        #expect(basic.authorization?.hasPrefix("Basic ") == true)
        #expect(basic.redirects == .refuse)
        let bare = request(ApplicationGrant(kind: .clientCredentials), .example(.clientSecretPost))
        #expect(bare.bodyText == "grant_type=client_credentials&client_id=client-EXAMPLE&client_secret=secret-EXAMPLE")
    }

    private func bearer(
        _ grant: ApplicationGrant, _ rule: ClientAssertionRule = ClientAssertionRule()
    ) throws -> (sent: [String: String], token: ReceivedToken) {
        let key = try SigningKey(pem: Secret(ExampleKeys.rsa))
        let client = ClientRegistration(
            clientID: "client-EXAMPLE", clientSecret: Secret("secret-EXAMPLE"), signingKey: key,
            authentication: .clientSecretPost, assertion: rule, redirectURI: "https://rollcall.example/callback/op")
        let request = request(grant, client)
        #expect(request.credentials.isEmpty)
        let sent = parameters(request)
        return (sent, try ReceivedToken(#require(sent["assertion"]), key: key, .rs256))
    }

    @Test func `security 80: a service account's assertion is short, new, and for one server`() throws {
        var seen: Set<String> = []
        for _ in 0..<10 {
            let (sent, token) = try bearer(
                ApplicationGrant(kind: .jwtBearer, scopes: scopes("a"), subject: "admin@example.com"),
                ClientAssertionRule(audience: .endpoint, issuer: "robot@example.com", keyID: "key-EXAMPLE"))
            #expect(sent["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer")
            #expect(sent["scope"] == "a")
            // Nothing of the client that users know.
            #expect(sent.keys.sorted() == ["assertion", "grant_type", "scope"])
            #expect(token.claims["iss"]?.string == "robot@example.com")
            #expect(token.claims["sub"]?.string == "admin@example.com")
            #expect(token.claims["aud"]?.string == "https://op.example/token")
            #expect(try token.seconds("iat") == requestedAt.secondsSinceEpoch)
            #expect(try token.seconds("exp") - token.seconds("iat") == 300)
            #expect(token.header["kid"]?.string == "key-EXAMPLE")
            #expect(token.claims["scope"] == nil)
            #expect(try seen.insert(#require(token.claims["jti"]?.string)).inserted)
        }
    }

    @Test func `scopes stand in the assertion where the server reads them there`() throws {
        let (sent, token) = try bearer(
            ApplicationGrant(kind: .jwtBearer, scopes: scopes("a", "b"), scopesInAssertion: true))
        #expect(sent["scope"] == nil)
        #expect(token.claims["scope"]?.string == "a b")
        #expect(token.claims["iss"]?.string == "client-EXAMPLE")
        #expect(token.claims["sub"]?.string == "client-EXAMPLE")
    }
}
