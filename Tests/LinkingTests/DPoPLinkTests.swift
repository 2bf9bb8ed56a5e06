import Accounts
import Cryptography
import Foundation
import JSON
import Linking
import OAuth
import Providers
import Store
import TestSupport
import Testing
import Transfer

/// Links whose tokens are bound to a key (RFC 9449).
@Suite(.timeLimit(.minutes(10))) struct DPoPLinkTests {
    let time = VirtualTime()

    private static func manifest(_ use: String) -> String {
        Manifests.alpha.replacing(
            "refresh: {rotation: single_use", with: "dpop: \(use), refresh: {rotation: single_use")
    }

    private func fixture(_ use: String = "required", type: String = "DPoP") throws -> Fixture {
        let fixture = try Fixture(
            time: time, manifests: ["alpha": Self.manifest(use)], instances: [Manifests.instance("alpha")])
        fixture.site.on("/me", 200, [:], AccountLinkingTests.octocat)
        let issued = Record<Int>()
        fixture.site.on("/token") { _ in
            issued.append(1)
            let number = issued.values.count
            return .json(
                200,
                body:
                    #"{"access_token":"EXAMPLE-access-\#(number)","token_type":"\#(type)","expires_in":3600,"refresh_token":"EXAMPLE-refresh-\#(number)"}"#
            )
        }
        return fixture
    }

    private func begin(_ fixture: Fixture, _ user: String = "42") async throws -> [String: String] {
        let (_, url) = try await fixture.main.linking.begin(.init(userID: user))
        let token = try #require(url.text.split(separator: "/").last.map(String.init))
        let address = try await fixture.main.linking.authorize(
            token: token, browser: "EXAMPLE-browser", provider: alpha)
        return parameters(String(address.drop { $0 != "?" }.dropFirst()))
    }

    private func complete(_ fixture: Fixture, _ query: [String: String]) async -> LinkCompletion {
        await fixture.main.linking.complete(
            provider: alpha, query: "code=EXAMPLE-code&state=\(query["state"] ?? "")", browser: "EXAMPLE-browser")
    }

    private func link(_ fixture: Fixture, _ user: String = "42") async throws -> (AccountID, thumbprint: String) {
        let query = try await begin(fixture, user)
        let account = try #require(await complete(fixture, query).account)
        return (account.id, try #require(query["dpop_jkt"]))
    }

    /// The claims of a request's proof, and the thumbprint of its key.
    private func proof(_ request: TransferRequest) throws -> (claims: JSONObject, thumbprint: String) {
        let field = try #require(request.credentials.first { $0.name == "DPoP" })
        let segments = field.value.split(separator: ".")
        func object(_ segment: Substring) throws -> JSONObject {
            let bytes = try #require(Base64URL.decode(segment))
            return try #require(JSONValue(parsing: bytes).object)
        }
        let jwk = try #require(object(segments[0])["jwk"]?.object)
        return (
            try object(segments[1]), Base64URL.encode(Digest.sha256(JSONValue.object(jwk).canonicalText.utf8))
        )
    }

    private func nonceWanted(_ nonce: String) -> ScriptedTransport.Answer {
        .json(400, ["DPoP-Nonce": nonce], #"{"error":"use_dpop_nonce"}"#)
    }

    @Test func `security 44: one key proves the code, the profile and each refresh of a link, another the next link`()
        async throws
    {
        let fixture = try fixture()
        let (account, thumbprint) = try await link(fixture)
        let exchange = try #require(fixture.tokenRequests.first)
        #expect(try proof(exchange).thumbprint == thumbprint)
        #expect(try proof(exchange).claims["ath"] == nil)
        let profile = try #require(fixture.requests("/me").first)
        #expect(profile.credentials.first { $0.name == "Authorization" }?.value == "DPoP EXAMPLE-access-1")
        #expect(try proof(profile).thumbprint == thumbprint)
        #expect(
            try proof(profile).claims["ath"]?.string == Base64URL.encode(Digest.sha256("EXAMPLE-access-1".utf8)))
        let stored = try await fixture.stored(account)
        #expect(stored.credential.tokenType == "DPoP")

        time.advance(by: .seconds(7200))
        let renewed = try await fixture.tokens.token(for: account, provider: fixture.provider(), minTTL: .seconds(60))
        #expect(renewed.credential.accessToken.text == "EXAMPLE-access-2")
        let refresh = try #require(fixture.tokenRequests.last)
        #expect(refresh.form["grant_type"] == "refresh_token")
        #expect(try proof(refresh).thumbprint == thumbprint)
        #expect(try await fixture.stored(account).credential.proofKey == stored.credential.proofKey)

        fixture.site.on("/me", 200, [:], AccountLinkingTests.octocat.replacing("583231", with: "2"))
        let (_, other) = try await link(fixture, "43")
        #expect(other != thumbprint)
        let ids = try fixture.transport.requests.compactMap { request in
            request.credentials.contains { $0.name == "DPoP" } ? try proof(request).claims["jti"]?.string : nil
        }
        #expect(ids.count == 5 && Set(ids).count == 5)
    }

    @Test func `security 44: the key is sealed, in the link's row, the outbox and the pending request`() async throws {
        let fixture = try fixture()
        _ = try await begin(fixture)
        let (account, _) = try await link(fixture)
        let key = try #require(try await fixture.stored(account).credential.proofKey?.text)
        fixture.site.on("/revoke", 503)
        _ = try await fixture.main.linking.unlink(account)
        await fixture.main.revocations.finishSending()
        time.advance(by: .seconds(600))
        let due = try await fixture.database.revocations.due(now: time.now(), owner: "test", lease: .seconds(60))
        #expect(due.first?.credential.proofKey?.text == key)
        for suffix in ["", "-wal"] {
            guard let bytes = FileManager.default.contents(atPath: fixture.path + suffix) else { continue }
            let text = String(decoding: bytes, as: UTF8.self)
            #expect(!text.contains(key))
            let raw = try #require(Base64URL.decode(key))
            #expect(bytes.firstRange(of: raw) == nil)
        }
    }

    @Test
    func `security 44: a nonce that is asked for is sent once more, with a fresh proof, and kept for the next request`()
        async throws
    {
        let fixture = try fixture()
        let issued = Record<String>()
        fixture.site.on("/token") { request in
            issued.append(request.form["code"] ?? request.form["refresh_token"] ?? "")
            if issued.values.count == 1 { return nonceWanted("EXAMPLE-nonce-1") }
            return .json(
                200, ["DPoP-Nonce": "EXAMPLE-nonce-2"],
                #"{"access_token":"EXAMPLE-a","token_type":"DPoP","expires_in":3600,"refresh_token":"EXAMPLE-r"}"#)
        }
        let (account, _) = try await link(fixture)
        #expect(issued.values == ["EXAMPLE-code", "EXAMPLE-code"])
        let claims = try fixture.tokenRequests.map { try proof($0).claims }
        #expect(claims.map { $0["nonce"]?.string } == [nil, "EXAMPLE-nonce-1"])
        #expect(claims[0]["jti"] != claims[1]["jti"])
        // The resource server is another origin, with nonces of its own.
        #expect(try proof(#require(fixture.requests("/me").first)).claims["nonce"] == nil)
        time.advance(by: .seconds(7200))
        _ = try await fixture.tokens.token(for: account, provider: fixture.provider(), minTTL: .seconds(60))
        #expect(fixture.tokenRequests.count == 3)
        #expect(try proof(#require(fixture.tokenRequests.last)).claims["nonce"]?.string == "EXAMPLE-nonce-2")
    }

    @Test func `security 44: a server that asks for a nonce again is not asked a third time, and no token is spent`()
        async throws
    {
        let fixture = try fixture()
        let (account, _) = try await link(fixture)
        let nonces = Record<Int>()
        fixture.site.on("/token") { _ in
            nonces.append(1)
            return nonceWanted("EXAMPLE-nonce-\(nonces.values.count)")
        }
        time.advance(by: .seconds(7200))
        let error = try await #require(throws: AccessTokenError.self) {
            try await fixture.tokens.token(for: account, provider: fixture.provider(), minTTL: .seconds(60))
        }
        #expect(nonces.values.count == 2)
        #expect(error.detail.contains("use_dpop_nonce"))
        #expect(error.disposition == .retry)
        #expect(try await fixture.stored(account).refreshInDoubtSince == nil)
        #expect(try await fixture.account(account).status == .active)
    }

    @Test func `security 44: the resource server's nonce is sent once more, too`() async throws {
        let fixture = try fixture()
        let asked = Record<Int>()
        fixture.site.on("/me") { _ in
            asked.append(1)
            return asked.values.count == 1
                ? .json(
                    401, ["DPoP-Nonce": "EXAMPLE-n", "WWW-Authenticate": #"DPoP error="use_dpop_nonce""#], "{}")
                : .json(200, body: AccountLinkingTests.octocat)
        }
        _ = try await link(fixture)
        let claims = try fixture.requests("/me").map { try proof($0).claims }
        #expect(claims.map { $0["nonce"]?.string } == [nil, "EXAMPLE-n"])
    }

    @Test
    func `security 44: where binding is required a bearer token makes no link; where it is offered it is used as one`()
        async throws
    {
        let strict = try fixture("required", type: "Bearer")
        guard case .failed(let code, let detail, _) = await complete(strict, try await begin(strict)) else {
            Issue.record("linked")
            return
        }
        #expect(code == "provider_unavailable")
        #expect(detail.contains("token_type is not DPoP"))
        #expect(strict.requests("/me").isEmpty)

        let lenient = try fixture("offered", type: "Bearer")
        let (account, _) = try await link(lenient)
        let profile = try #require(lenient.requests("/me").first)
        #expect(profile.credentials.map(\.value) == ["Bearer EXAMPLE-access-1"])
        #expect(try await lenient.stored(account).credential.proofKey == nil)

        let none = try fixture("none", type: "Bearer")
        let query = try await begin(none)
        #expect(query["dpop_jkt"] == nil)
        #expect(await complete(none, query).account != nil)
        #expect(none.transport.requests.allSatisfy { !$0.credentials.contains { $0.name == "DPoP" } })
    }

    @Test func `a link that began without a key is refreshed without one`() async throws {
        let fixture = try fixture("required", type: "Bearer")
        let account = try await fixture.link(fixture.credential())
        _ = try await fixture.tokens.token(for: account, provider: fixture.provider(), minTTL: .seconds(60))
        #expect(try #require(fixture.tokenRequests.last).credentials.map(\.name) == ["Authorization"])
    }

    @Test(arguments: [(nil, false), ("none", false), ("offered", true)] as [(String?, Bool)])
    func `security 44: metadata that lists ES256 is an offer, which an instance takes or leaves`(
        instance use: String?, binds: Bool
    ) async throws {
        var gamma = Manifests.oidc
        gamma.dpop = use
        let fixture = try Fixture(time: time, instances: [gamma])
        fixture.site.on(
            "/openid-configuration", 200, [:],
            AccountLinkingTests.metadata.replacing(
                #"{"issuer""#, with: #"{"dpop_signing_alg_values_supported":["ES512","ES256"],"issuer""#))
        let server = try await fixture.main.servers.server(for: fixture.provider(ProviderID("gamma")!))
        #expect(server.dpop == (binds ? .offered : .none))
    }
}
