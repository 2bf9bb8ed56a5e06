import Accounts
import Foundation
import JSON
import Linking
import OAuth
import Providers
import Store
import TestSupport
import Testing
import Transfer

/// What belongs to one user, one provider or one instance, and to no other.
@Suite(.timeLimit(.minutes(10))) struct BoundaryTests {
    let time = VirtualTime()

    private func link(
        _ fixture: Fixture, _ provider: ProviderID, user: String, scopes: [String]? = nil
    ) async throws -> LinkedAccount {
        let linking = fixture.main.linking
        let (_, url) = try await linking.begin(.init(userID: user, provider: provider.rawValue, scopes: scopes))
        let token = try #require(url.text.split(separator: "/").last.map(String.init))
        let location = try await linking.authorize(token: token, browser: user, provider: provider)
        let state = try #require(parameters(String(location.drop { $0 != "?" }.dropFirst()))["state"])
        return try #require(
            await linking.complete(provider: provider, query: "code=EXAMPLE&state=\(state)", browser: user).account)
    }

    private func accounts(_ fixture: Fixture, of user: String) async throws -> [LinkedAccount] {
        try await fixture.database.accounts.accounts(of: UserID(user)!, limit: 10).items.map(\.account)
    }

    @Test func `security 56: an address that two providers state joins nothing`() async throws {
        let fixture = try Fixture(time: time)
        fixture.site.on("/me", 200, [:], #"{"id":1,"login":"victim","email":"victim@example.com"}"#)
        let victim = try await link(fixture, alpha, user: "victim")
        // Another provider lets anybody say that this is their address.
        fixture.site.on(
            "/me", 200, [:], #"{"id":1,"login":"x","email":"victim@example.com","email_verified":"true"}"#)
        let attacker = try await link(fixture, beta, user: "attacker")
        #expect(victim.id != attacker.id)
        #expect(try await accounts(fixture, of: "victim").map(\.id) == [victim.id])
        #expect(try await accounts(fixture, of: "attacker").map(\.id) == [attacker.id])
        let both = try await fixture.database.accounts.list(
            AccountFilter(email: "victim@example.com"), after: nil, limit: 10
        ).items
        #expect(Set(both.map(\.userID.rawValue)) == ["victim", "attacker"])
    }

    /// An account made in the victim's name before they come: the application's user is all that links hang on.
    @Test func `security 57: who links an address first gets nothing of who comes with it later`() async throws {
        let fixture = try Fixture(time: time)
        fixture.site.on("/revoke", 200)
        fixture.site.on("/me", 200, [:], #"{"id":666,"login":"x","email":"victim@example.com"}"#)
        let attacker = try await link(fixture, alpha, user: "attacker")
        fixture.site.on("/me", 200, [:], #"{"id":1,"login":"victim","email":"victim@example.com"}"#)
        let victim = try await link(fixture, alpha, user: "victim")
        #expect(try await accounts(fixture, of: "attacker").map(\.id) == [attacker.id])
        #expect(try await accounts(fixture, of: "victim").map(\.id) == [victim.id])
        // A changed address moves nothing.
        fixture.site.on("/me", 200, [:], #"{"id":1,"login":"victim","email":"attacker@example.com"}"#)
        #expect(try await link(fixture, alpha, user: "victim").id == victim.id)
        // Unlinking ends the tokens, here at once and there.
        #expect(try await fixture.main.linking.unlink(attacker.id))
        #expect(try await fixture.database.credentials.read(attacker.id) == nil)
        await fixture.main.revocations.finishSending()
        #expect(fixture.requests("/revoke").count == 2)
        #expect(try await fixture.database.credentials.read(victim.id) != nil)
    }

    @Test func `security 59: one subject at two instances is two accounts`() async throws {
        let manifest = Manifests.alpha.replacing("id: alpha", with: "id: forge").replacing(
            "name: Alpha", with: "name: Forge"
        )
        .replacing("https://alpha.example", with: "{site}").replacing("https://api.alpha.example", with: "{site}")
        .replacing("authorization:", with: "variables: {site: https://forge.example}\nauthorization:")
        func instance(_ id: String, _ site: String) -> InstanceConfiguration {
            InstanceConfiguration(
                id: id, manifest: "forge", variables: ["site": site], clientID: "EXAMPLE-\(id)",
                clientSecret: Secret("EXAMPLE-secret"))
        }
        let fixture = try Fixture(
            time: time, manifests: ["forge": manifest],
            instances: [instance("forge-a", "https://a.example"), instance("forge-b", "https://b.example")])
        fixture.site.on("/me", 200, [:], #"{"id":1,"login":"root"}"#)
        let a = try await link(fixture, ProviderID("forge-a")!, user: "1")
        let b = try await link(fixture, ProviderID("forge-b")!, user: "2")
        #expect(a.id != b.id && a.subject == b.subject)
        #expect(try await fixture.account(a.id).userID.rawValue == "1")
        #expect(try await fixture.stored(a.id).credential.accessToken.text == "EXAMPLE-access-2")
        #expect(try await fixture.stored(b.id).credential.accessToken.text == "EXAMPLE-access-3")
        #expect(fixture.requests("/me").map(\.url) == ["https://a.example/me", "https://b.example/me"])
    }

    @Test func `security 13: a server that offers plain alone is sent S256 all the same`() async throws {
        let fixture = try Fixture(time: time)
        fixture.site.on(
            "/.well-known/openid-configuration", 200, [:],
            AccountLinkingTests.metadata.replacing(#"["S256"]"#, with: #"["plain"]"#))
        let (_, url) = try await fixture.main.linking.begin(.init(userID: "42", provider: "gamma"))
        let token = try #require(url.text.split(separator: "/").last.map(String.init))
        let location = try await fixture.main.linking.authorize(token: token, browser: "b", provider: gamma)
        let query = parameters(String(location.drop { $0 != "?" }.dropFirst()))
        #expect(query["code_challenge_method"] == "S256")
        #expect(query["code_challenge"]?.utf8.count == 43)
    }

    @Test(
        arguments: [
            ("profile", ["email", "openid"]), ("profile email", ["openid"]), ("profile email openid extra", []),
            ("profile https://www.api.example/auth/userinfo.email openid", []), (nil, []),
        ] as [(String?, [String])])
    func `security 41: what was asked for and not granted is kept with the account`(
        answered: String?, missing: [String]
    ) async throws {
        let fixture = try Fixture(time: time)
        fixture.site.on("/me", 200, [:], AccountLinkingTests.octocat)
        let scope = answered.map { #","scope":"\#($0)""# } ?? ""
        fixture.site.on("/token", 200, [:], #"{"access_token":"EXAMPLE","token_type":"Bearer"\#(scope)}"#)
        let account = try await link(fixture, alpha, user: "42", scopes: ["email", "openid"])
        #expect(account.missingScopes.map(\.rawValue) == missing)
        #expect(try await fixture.account(account.id).missingScopes.map(\.rawValue) == missing)
        // Linked again with all of it.
        fixture.site.on(
            "/token", 200, [:],
            #"{"access_token":"EXAMPLE","token_type":"Bearer","scope":"openid email profile"}"#)
        #expect(try await link(fixture, alpha, user: "42", scopes: ["email", "openid"]).missingScopes.isEmpty)
    }

    @Test func `security 41: scopes count as granted by the names that servers give them`() throws {
        func isGranted(_ scope: String, by granted: String...) throws -> Bool {
            try #require(Scope(scope)).isGranted(by: granted.compactMap { Scope($0) })
        }
        #expect(try isGranted("email", by: "openid", "email"))
        #expect(try isGranted("email", by: "https://www.api.example/auth/userinfo.email"))
        #expect(try isGranted("User.Read", by: "https://graph.example/User.Read"))
        #expect(try isGranted("user:email", by: "user"))
        #expect(try isGranted("read:user", by: "user"))
        #expect(try isGranted("offline_access"))
        #expect(try !isGranted("email", by: "emails", "myemail", "https://www.api.example/auth/noemail"))
        #expect(try !isGranted("user", by: "user:email"))
        #expect(try !isGranted("repo:write", by: "repo:read"))
        #expect(try !isGranted("https://www.api.example/auth/drive", by: "https://www.api.example/auth/drive.file"))
    }

    @Test func `security 85: a picture is an address in the profile that nobody here asks for`() async throws {
        let manifest = Manifests.alpha.replacing(
            "name: $.user.name,", with: "name: $.user.name, picture: $.user.avatar,")
        let fixture = try Fixture(time: time, manifests: ["alpha": manifest], instances: [Manifests.instance("alpha")])
        fixture.site.on(
            "/me", 200, [:], #"{"id":1,"login":"x","avatar":"https://169.254.169.254/latest/meta-data.svg"}"#)
        let account = try await link(fixture, alpha, user: "42")
        let claims = try #require(try await fixture.database.accounts.accountWithClaims(account.id)?.claims)
        #expect(claims.contains("169.254.169.254"))
        #expect(!fixture.transport.requests.contains { $0.url.contains("169.254") })
    }
}
