import Accounts
import JSON
import Linking
import OAuth
import Providers
import TestSupport
import Testing
import Transfer

@Suite(.timeLimit(.minutes(10))) struct PushedAuthorizationLinkTests {
    let time = VirtualTime()

    private static func metadata(_ members: String) -> String {
        AccountLinkingTests.metadata.replacing(#"{"issuer""#, with: "{\(members),\"issuer\"")
    }

    private static let required =
        #""require_pushed_authorization_requests":true,"pushed_authorization_request_endpoint":"https://op.example/par""#
    private static let offered = #""pushed_authorization_request_endpoint":"https://op.example/par""#

    private func fixture(_ metadata: String, manifest: String? = nil) throws -> Fixture {
        var manifests = Manifests.usual
        if let manifest { manifests["oidc"] = manifest }
        let fixture = try Fixture(time: time, manifests: manifests)
        fixture.site.on("/openid-configuration", 200, [:], Self.metadata(metadata))
        let uris = Record<String>()
        fixture.site.on("/par") { _ in
            uris.append("urn:EXAMPLE:\(uris.values.count + 1)")
            return .json(201, body: #"{"request_uri":"\#(uris.values.last ?? "")","expires_in":60}"#)
        }
        return fixture
    }

    private func begin(_ fixture: Fixture, _ provider: ProviderID = gamma) async throws -> (token: String, url: String)
    {
        let (_, url) = try await fixture.main.linking.begin(.init(userID: "42"))
        let token = try #require(url.text.split(separator: "/").last.map(String.init))
        return (
            token,
            try await fixture.main.linking.authorize(token: token, browser: "EXAMPLE-browser", provider: provider)
        )
    }

    @Test(arguments: [required, offered])
    func `security 45: where the metadata names an endpoint, the browser carries a reference, each used once`(
        members: String
    ) async throws {
        let fixture = try fixture(members)
        let (token, url) = try await begin(fixture)
        #expect(url == "https://op.example/authorize?client_id=client-123.example&request_uri=urn%3AEXAMPLE%3A1")
        let pushed = try #require(fixture.requests("/par").first)
        #expect(pushed.credentials.first?.value.hasPrefix("Basic ") == true)
        #expect(pushed.form["scope"] == "openid profile email")
        #expect(pushed.form["code_challenge_method"] == "S256")
        let state = try #require(pushed.form["state"])
        // Another try in the same browser, within the reference's life or after it, has one of its own.
        let again = try await fixture.main.linking.authorize(token: token, browser: "EXAMPLE-browser", provider: gamma)
        #expect(again.hasSuffix("request_uri=urn%3AEXAMPLE%3A2"))
        let states = fixture.requests("/par").compactMap { $0.form["state"] }
        #expect(states.count == 2 && Set(states).count == 2)
        // The state is as good as one that the browser carried.
        let ended = await fixture.main.linking.complete(
            provider: gamma, query: "error=access_denied&state=\(state)&iss=https://op.example",
            browser: "EXAMPLE-browser")
        guard case .failed("access_denied", _, _) = ended else {
            Issue.record("\(ended)")
            return
        }
    }

    @Test(arguments: [
        (400, #"{"error":"invalid_target"}"#, "client_refused"),
        (401, #"{"error":"invalid_client"}"#, "client_refused"),
        (503, "{}", "provider_unavailable"), (201, "{}", "provider_unavailable"),
    ])
    func `security 45: a request that is not taken begins no flow, and says why`(
        status: Int, body: String, code: String
    ) async throws {
        let fixture = try fixture(Self.required)
        fixture.site.on("/par", status, [:], body)
        let error = try await #require(throws: LinkStartError.self) { _ = try await begin(fixture) }
        guard case .provider(let refusal) = error else {
            Issue.record("\(error)")
            return
        }
        #expect((refusal.disposition == .fixConfiguration) == (code == "client_refused"))
        #expect(refusal.detail.contains(status == 201 ? "no request_uri" : status == 503 ? "503" : "invalid_"))
        if body.contains("target") { #expect(refusal.detail.contains("compare 'resource'")) }
        #expect(!refusal.detail.contains("EXAMPLE"))
    }

    @Test func `security 45: metadata that requires what it does not name is not used, nor one that leads elsewhere`()
        async throws
    {
        for members in [
            #""require_pushed_authorization_requests":true"#,
            Self.required.replacing("https://op.example/par", with: "https://evil.example/par"),
        ] {
            let fixture = try fixture(members)
            let error = try await #require(throws: LinkStartError.self) { _ = try await begin(fixture) }
            guard case .provider(.discovery) = error else {
                Issue.record("\(error)")
                continue
            }
            #expect(fixture.requests("/par").isEmpty)
        }
        // Merely offered elsewhere: the browser carries the request, as without the offer.
        let fixture = try fixture(Self.offered.replacing("https://op.example/par", with: "https://evil.example/par"))
        #expect(try await begin(fixture).url.contains("&state="))
    }

    @Test func `a manifest turns pushing off, or on without metadata`() async throws {
        let oidc = """
            id: oidc
            name: Example
            variables: {issuer: {description: the issuer}}
            issuer: "{issuer}"
            authorization: {scopes: [openid], pushed_authorization_request: none}
            client_authentication: client_secret_basic
            profile: {requests: {}, claims: {sub: $.id_token.sub}}

            """
        let off = try fixture(Self.offered, manifest: oidc)
        #expect(try await begin(off).url.contains("&state="))
        #expect(off.requests("/par").isEmpty)

        let pushing = Manifests.alpha.replacing(
            "scopes: [profile]",
            with: "scopes: [profile], pushed_authorization_request: {endpoint: \"https://alpha.example/par\"}")
        let on = try Fixture(
            time: time, manifests: ["alpha": pushing], instances: [Manifests.instance("alpha")])
        on.site.on("/par", 201, [:], #"{"request_uri":"urn:EXAMPLE","expires_in":60}"#)
        #expect(
            try await begin(on, alpha).url
                == "https://alpha.example/authorize?client_id=EXAMPLE-alpha&request_uri=urn%3AEXAMPLE")
    }

    @Test func `security 46: a resource is named wherever tokens are asked for, and a refusal says where to look`()
        async throws
    {
        let manifest = Manifests.alpha.replacing(
            "client_authentication:", with: "resource: [\"https://api.alpha.example/\"]\nclient_authentication:")
        let fixture = try Fixture(time: time, manifests: ["alpha": manifest], instances: [Manifests.instance("alpha")])
        fixture.site.on("/me", 200, [:], AccountLinkingTests.octocat)
        let (_, url) = try await begin(fixture, alpha)
        let query = parameters(String(url.drop { $0 != "?" }.dropFirst()))
        #expect(query["resource"] == "https://api.alpha.example/")
        let linked = await fixture.main.linking.complete(
            provider: alpha, query: "code=EXAMPLE&state=\(query["state"] ?? "")", browser: "EXAMPLE-browser")
        let account = try #require(linked.account)
        #expect(fixture.tokenRequests.last?.form["resource"] == "https://api.alpha.example/")
        time.advance(by: .seconds(7200))
        _ = try await fixture.tokens.token(for: account.id, provider: fixture.provider(), minTTL: .seconds(60))
        #expect(fixture.tokenRequests.last?.form["grant_type"] == "refresh_token")
        #expect(fixture.tokenRequests.last?.form["resource"] == "https://api.alpha.example/")

        fixture.site.on("/token", 400, [:], #"{"error":"invalid_target"}"#)
        time.advance(by: .seconds(7200))
        let error = try await #require(throws: AccessTokenError.self) {
            try await fixture.tokens.token(for: account.id, provider: fixture.provider(), minTTL: .seconds(60))
        }
        #expect(error.disposition == .fixConfiguration)
        #expect(error.detail.contains("compare 'resource'"))
        let (_, other) = try await begin(fixture, alpha)
        let state = parameters(String(other.drop { $0 != "?" }.dropFirst()))["state"] ?? ""
        let refused = await fixture.main.linking.complete(
            provider: alpha, query: "error=invalid_target&state=\(state)", browser: "EXAMPLE-browser")
        guard case .failed("client_refused", let detail, _) = refused else {
            Issue.record("\(refused)")
            return
        }
        #expect(detail.contains("compare 'resource'"))
    }
}
