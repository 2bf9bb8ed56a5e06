import Accounts
import JSON
import Linking
import Store
import Testing
import Transfer

/// What the callback brings besides a code.
@Suite struct CallbackTests {
    static let manifests = [
        "alpha": Manifests.alpha.replacing(
            "client_authentication:",
            with: #"callback: {keep: [user, {name: realmId, pattern: "[0-9]+"}]}"# + "\nclient_authentication:"
        ).replacing("api.alpha.example/me", with: "api.alpha.example/{callback.realmId}/me")
            .replacing("name: $.user.name", with: "name: $.callback.user.name"),
        "beta": Manifests.beta,
    ]

    private func link(_ fixture: Fixture, _ parameters: String, user: String = "42") async throws -> LinkCompletion {
        let linking = fixture.main.linking
        let (_, url) = try await linking.begin(AccountLinking.Order(userID: user, provider: "alpha"))
        let token = String(url.text.suffix(43))
        let address = try await linking.authorize(token: token, browser: "EXAMPLE-browser", provider: alpha)
        let state = try #require(parametersOfQuery(address)["state"])
        return await linking.complete(
            provider: alpha, query: "code=EXAMPLE&state=\(state)&\(parameters)", browser: "EXAMPLE-browser")
    }

    private func parametersOfQuery(_ url: String) -> [String: String] {
        parameters(String(url.drop { $0 != "?" }.dropFirst()))
    }

    private func document(_ fixture: Fixture, _ completion: LinkCompletion) throws -> JSONValue {
        guard case .linked(let account, _) = completion else {
            throw StoreError.inconsistent("not linked: \(completion)")
        }
        let document = try #require(try fixture.database.profiles.document(account: account.id))
        return try JSONValue(parsing: document.bytes)
    }

    private static let ada = "user=%7B%22name%22%3A%22Ada%22%7D"

    private func fixture() throws -> Fixture {
        let fixture = try Fixture(manifests: Self.manifests)
        fixture.site.on("/me", 200, [:], #"{"id":583231,"login":"octocat"}"#)
        return fixture
    }

    @Test func `quirk B4: a name from the first callback ever survives syncs and further links`() async throws {
        let fixture = try fixture()
        let first = try document(fixture, try await link(fixture, "realmId=7&\(Self.ada)"))
        #expect(first["claims"]?["name"]?.string == "Ada")
        let raw = try #require(first["raw"])
        #expect(raw["callback"]?["user"]?["name"]?.string == "Ada" && raw["callback"]?["code"] == nil)

        // A sync, which asks where the kept realm is.
        let asked = fixture.requests("/me").count
        let synced = await fixture.main.profiles.fetch(
            provider: try fixture.provider(), account: nil, credential: fixture.credential(),
            previous: .init(raw: raw.text), urgency: .callerWaits)
        guard case .profile(let profile, _) = synced else { throw StoreError.inconsistent("\(synced)") }
        #expect(try JSONValue(parsing: profile.claims)["name"]?.string == "Ada")
        #expect(fixture.requests("/7/me").count == asked + 1)

        // Another link, whose callback says nothing of the person and names another realm.
        let second = try document(fixture, try await link(fixture, "realmId=8"))
        #expect(second["claims"]?["name"]?.string == "Ada")
        #expect(second["raw"]?["callback"]?["realmId"]?.string == "8")
        #expect(fixture.requests("/8/me").count == 1)
        // And one that has a newer word.
        let third = try document(fixture, try await link(fixture, "realmId=8&user=%7B%22name%22%3A%22Countess%22%7D"))
        #expect(third["claims"]?["name"]?.string == "Countess")
    }

    @Test func `quirk B2: a callback without what the URLs need is refused before the code is sent`() async throws {
        let fixture = try fixture()
        for parameters in [Self.ada, "realmId=", "realmId=7a", "realmId=..%2F7"] {
            guard case .failed(let code, _, _) = try await link(fixture, parameters) else {
                throw StoreError.inconsistent("linked by \(parameters)")
            }
            #expect(code == "invalid_callback")
        }
        // Twice there: not even the state is used up.
        guard case .refused("invalid_callback") = try await link(fixture, "realmId=7&realmId=8") else {
            throw StoreError.inconsistent("linked by two realms")
        }
        #expect(fixture.tokenRequests.isEmpty)
    }

    @Test func `what another user's callback said is nobody else's`() async throws {
        let fixture = try fixture()
        _ = try document(fixture, try await link(fixture, "realmId=7&\(Self.ada)"))
        guard case .failed("account_held", _, _) = try await link(fixture, "realmId=7", user: "43") else {
            throw StoreError.inconsistent("taken over")
        }
    }
}
