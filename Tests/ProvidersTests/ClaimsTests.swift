import Accounts
import JSON
import Providers
import Testing

/// What the responses of a provider must become: `Fixtures/<id>/claims.json`.
@Suite struct ClaimsTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var provider: String
        var name: String
        var responses: [String: JSONValue]
        var idToken: JSONObject?
        var claims: JSONValue
        var testDescription: String { "\(provider): \(name)" }
    }

    static let all: [Case] = {
        // A fixture that can't be read leaves no cases, which the count below notices.
        (try? Fixture.manifests().flatMap { try cases(of: $0) }) ?? []
    }()

    private static func cases(of provider: String) throws -> [Case] {
        try (Fixture.json("\(provider)/claims.json").array ?? []).map { document in
            var responses: [String: JSONValue] = [:]
            for (name, value) in document["responses"]?.object ?? [:] {
                responses[name] = try value.string.map { try Fixture(provider, $0).body() } ?? value
            }
            return Case(
                provider: provider, name: document["case"]?.string ?? "", responses: responses,
                idToken: document["id_token"]?.object, claims: document["claims"] ?? .null)
        }
    }

    @Test func `every provider has claims to become`() throws {
        let manifests = try Fixture.manifests()
        #expect(Set(Self.all.map(\.provider)) == Set(manifests))
        #expect(Self.all.count >= 16)
    }

    @Test(arguments: all)
    func `quirk F13, F14, F17, F21: responses become exactly these claims`(_ sample: Case) throws {
        let profile = try provider(sample.provider).profile(from: sample.responses, idTokenClaims: sample.idToken)
        #expect(try JSONValue(parsing: profile.claims) == sample.claims)
        #expect(profile.subject.rawValue == sample.claims["sub"]?.string)
        #expect(profile.email == sample.claims["email"]?.string)
        #expect(profile.emailVerified == sample.claims["email_verified"]?.bool)
        #expect(profile.preferredUsername == sample.claims["preferred_username"]?.string)
    }

    @Test(arguments: all)
    func `raw holds the responses as they came`(_ sample: Case) throws {
        let profile = try provider(sample.provider).profile(from: sample.responses, idTokenClaims: sample.idToken)
        let raw = try #require(JSONValue(parsing: profile.raw).object)
        for (name, body) in sample.responses { #expect(raw[name]?.text == body.text) }
    }
}
