import Accounts
import Cryptography
import JSON
import Linking
import OAuth
import Providers
import Store
import TestSupport
import Testing
import Transfer

/// A provider asked whether a token is good, and userinfo responses that are signed.
@Suite struct TokenCheckTests {
    private func fixture() throws -> Fixture {
        let fixture = try Fixture(manifests: [
            "alpha": Manifests.alpha + #"introspection: {endpoint: "https://alpha.example/introspect"}"# + "\n",
            "beta": Manifests.beta,
        ])
        fixture.site.on("/introspect", 200, [:], #"{"active":false}"#)
        return fixture
    }

    private func check(_ fixture: Fixture, _ id: AccountID, _ provider: ProviderID = alpha) async throws
        -> TokenCheck.Outcome
    {
        let main = fixture.main
        return try await TokenCheck(
            database: main.database, client: main.client, servers: main.servers, tokens: main.tokens
        ).check(id, provider: try fixture.provider(provider))
    }

    @Test func `security 74: an active token is reported, and asked about anew each time`() async throws {
        let fixture = try fixture()
        fixture.site.on("/introspect", 200, [:], #"{"active":true,"exp":1795189373,"scope":"profile"}"#)
        let id = try await fixture.link(fixture.credential(lifetime: .seconds(3600)))
        for asked in 1...2 {
            #expect(
                try await check(fixture, id)
                    == .active(expiresAt: Timestamp(secondsSinceEpoch: 1_795_189_373), scopes: [Scope("profile")!]))
            #expect(fixture.requests("/introspect").count == asked)
        }
        #expect(fixture.requests("/introspect").first?.form["token"] == "EXAMPLE-access-1")
        #expect(fixture.tokenRequests.isEmpty)
    }

    @Test func `security 74: a token that is not active is renewed, and where it can't be the account needs a link`()
        async throws
    {
        let fixture = try fixture()
        let id = try await fixture.link(fixture.credential(lifetime: .seconds(3600)))
        #expect(try await check(fixture, id) == .renewed)
        #expect(try await fixture.stored(id).credential.accessToken.text == "EXAMPLE-access-2")
        fixture.site.on("/token", 400, [:], #"{"error":"invalid_grant"}"#)
        guard case .needsRelink = try await check(fixture, id) else {
            throw StoreError.inconsistent("not marked")
        }
        #expect(try await fixture.account(id).status == .needsRelink)
    }

    @Test func `security 74: without a refresh token inactive means revoked`() async throws {
        let fixture = try fixture()
        let id = try await fixture.link(fixture.credential(refresh: nil, lifetime: nil))
        guard case .needsRelink = try await check(fixture, id) else {
            throw StoreError.inconsistent("not marked")
        }
        let account = try await fixture.account(id)
        #expect(account.status == .needsRelink && account.problem?.code == .consentRevoked)
    }

    @Test func `an answer that settles nothing marks nobody`() async throws {
        let fixture = try fixture()
        let id = try await fixture.link(fixture.credential(lifetime: .seconds(3600)))
        for (status, body) in [(503, #"{"active":false}"#), (401, #"{"error":"invalid_client"}"#), (200, "{}")] {
            fixture.site.on("/introspect", status, [:], body)
            guard case .unavailable = try await check(fixture, id) else {
                throw StoreError.inconsistent("\(status) settles it")
            }
        }
        #expect(try await fixture.account(id).status == .active)
        let other = try await fixture.link(fixture.credential(lifetime: .seconds(3600)), subject: "2", provider: beta)
        #expect(try await check(fixture, other, beta) == .notOffered)
    }
}
