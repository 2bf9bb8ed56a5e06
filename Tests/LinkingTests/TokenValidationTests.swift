import Accounts
import Linking
import Providers
import Store
import TestSupport
import Testing
import Transfer

/// Providers that want to be asked whether a token is good before it is used.
@Suite(.timeLimit(.minutes(10))) struct TokenValidationTests {
    let time = VirtualTime()
    let fixture: Fixture

    static let manifest = Manifests.alpha.replacing(
        "refresh: {",
        with:
            #"validation: {endpoint: "https://alpha.example/validate", authorization: OAuth, interval: 1h}, refresh: {"#
    )

    init() throws {
        fixture = try Fixture(
            time: time, manifests: ["alpha": Self.manifest], instances: [Manifests.instance("alpha")])
        fixture.site.on("/validate", 200)
    }

    /// Of a token that was issued an hour ago.
    private func link(_ subject: String = "1") async throws -> AccountID {
        try await fixture.link(fixture.credential(lifetime: .seconds(1_000_000)), subject: subject)
    }

    private func token(_ id: AccountID, from instance: Fixture.Instance? = nil) async throws -> String {
        try await (instance ?? fixture.main).tokens.token(for: id, provider: try fixture.provider(), minTTL: .zero)
            .credential.accessToken.text
    }

    private var asked: Int { fixture.requests("/validate").count }

    @Test func `quirk E15: a token in use is validated once an hour, one that nobody uses never`() async throws {
        let id = try await link()
        _ = try await link("2")
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<100 {
                group.addTask {
                    let text = try await token(id)
                    #expect(text == "EXAMPLE-access-1")
                }
            }
            try await group.waitForAll()
        }
        #expect(asked == 1)
        let request = try #require(fixture.requests("/validate").first)
        #expect(request.method == .get && request.credentials.map(\.value) == ["OAuth EXAMPLE-access-1"])
        time.advance(by: .seconds(3599))
        _ = try await token(id)
        #expect(asked == 1)
        time.advance(by: .seconds(1))
        _ = try await token(id)
        #expect(asked == 2)
        // A program that starts asks anew, as such terms have it.
        _ = try await token(id, from: try fixture.another())
        #expect(asked == 3)
        #expect(fixture.tokenRequests.isEmpty)
    }

    @Test func `quirk E15: a token that is dead is renewed before it is used, and the new one is good for an hour`()
        async throws
    {
        let id = try await link()
        fixture.site.on("/validate", 401, [:], #"{"status":401,"message":"invalid access token"}"#)
        #expect(try await token(id) == "EXAMPLE-access-2")
        fixture.site.on("/validate", 200)
        time.advance(by: .seconds(3000))
        #expect(try await token(id) == "EXAMPLE-access-2")
        #expect(asked == 1 && fixture.tokenRequests.count == 1)
        fixture.site.on("/token", 400, [:], #"{"error":"invalid_grant"}"#)
        fixture.site.on("/validate", 401)
        let bare = try await fixture.link(fixture.credential(refresh: nil, lifetime: nil), subject: "3")
        await #expect(throws: AccessTokenError.self) { try await token(bare) }
        #expect(try await fixture.account(bare).status == .needsRelink)
    }

    @Test func `quirk E15: a server that does not say is asked again in an hour, one that was not asked at once`()
        async throws
    {
        let id = try await link()
        fixture.site.on("/validate", 503)
        #expect(try await token(id) == "EXAMPLE-access-1")
        #expect(try await token(id) == "EXAMPLE-access-1")
        #expect(asked == 1)
        time.advance(by: .seconds(3600))
        await fixture.main.client.pause(alpha, for: .seconds(60), reason: .registrationRefused("EXAMPLE"))
        #expect(try await token(id) == "EXAMPLE-access-1")
        #expect(asked == 1)
        time.advance(by: .seconds(60))
        _ = try await token(id)
        #expect(asked == 2)
    }

    @Test func `quirk E15: validation counts against the limits, and in what a sync costs`() async throws {
        let fixture = try Fixture(
            time: time,
            manifests: ["alpha": Self.manifest.replacing("count: 10000, window: 1s", with: "count: 2, window: 1h")],
            instances: [Manifests.instance("alpha")])
        fixture.site.on("/validate", 200)
        #expect(try fixture.provider().syncRequestCount == 2)
        for subject in 1...3 {
            let id = try await fixture.link(fixture.credential(lifetime: .seconds(1_000_000)), subject: "\(subject)")
            _ = try await fixture.tokens.token(for: id, provider: fixture.provider(), minTTL: .zero)
        }
        #expect(fixture.requests("/validate").count == 2)
    }
}
