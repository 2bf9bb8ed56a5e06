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

/// The numbers are those of the security items that a test stands for.
@Suite(.timeLimit(.minutes(10))) struct AccountLinkingTests {
    let time = VirtualTime()
    let fixture: Fixture

    init() throws {
        fixture = try Fixture(time: time)
        fixture.site.on("/me", 200, [:], Self.octocat)
        fixture.site.on("/revoke", 200)
        fixture.site.on("/.well-known/openid-configuration", 200, [:], Self.metadata)
    }

    static let octocat = #"{"id":583231,"login":"octocat","name":"The Octocat","email":"octocat@example.com"}"#
    static let metadata =
        #"{"issuer":"https://op.example","authorization_endpoint":"https://op.example/authorize","token_endpoint":"https://op.example/token","jwks_uri":"https://op.example/keys","userinfo_endpoint":"https://op.example/userinfo","revocation_endpoint":"https://op.example/revoke","response_types_supported":["code"],"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["RS256"],"code_challenge_methods_supported":["S256"],"authorization_response_iss_parameter_supported":true}"#

    /// A link on its way: the browser stands at the provider.
    struct Journey {
        let session: LinkSession
        let token: String
        let url: String
        var query: [String: String] { parameters(String(url.drop { $0 != "?" }.dropFirst())) }
        var state: String { query["state"] ?? "" }
    }

    private func begin(
        _ provider: ProviderID = alpha, user: String = "42", browser: String = "EXAMPLE-browser",
        returnTo: String? = nil, with linking: AccountLinking? = nil
    ) async throws -> Journey {
        let linking = linking ?? fixture.main.linking
        let (session, url) = try await linking.begin(.init(userID: user, returnTo: returnTo))
        let token = try #require(url.text.split(separator: "/").last.map(String.init))
        return Journey(
            session: session, token: token,
            url: try await linking.authorize(token: token, browser: browser, provider: provider))
    }

    private func complete(
        _ query: String, _ provider: ProviderID = alpha, browser: String = "EXAMPLE-browser",
        with linking: AccountLinking? = nil
    ) async -> LinkCompletion {
        await (linking ?? fixture.main.linking).complete(provider: provider, query: query, browser: browser)
    }

    private func link(_ user: String = "42") async throws -> LinkedAccount {
        let journey = try await begin(user: user)
        return try #require(await complete("code=EXAMPLE-code&state=\(journey.state)").account)
    }

    private func session(_ journey: Journey) async throws -> LinkSession {
        try #require(await fixture.database.linkSessions.session(journey.session.id))
    }

    private func everything() async throws -> [LinkedAccount] {
        try await fixture.database.accounts.list(AccountFilter(), after: nil, limit: 100).items
    }

    // MARK: - A link that succeeds

    @Test func `security 42: links an account, its tokens and its profile`() async throws {
        let journey = try await begin(returnTo: "https://app.example.com/done")
        #expect(journey.url.hasPrefix("https://alpha.example/authorize?"))
        #expect(fixture.transport.requests.isEmpty)
        guard
            case .linked(let account, let returnTo) = await complete("code=EXAMPLE-code&state=\(journey.state)")
        else {
            Issue.record("not linked")
            return
        }
        #expect(returnTo == "https://app.example.com/done")
        #expect(account.subject.rawValue == "583231")
        #expect(account.userID.rawValue == "42")
        #expect(account.status == .active)
        let due = try #require(account.nextSyncAt) - time.now()
        #expect(due >= .seconds(6 * 3600 * 0.95) && due <= .seconds(6 * 3600 * 1.05))
        let stored = try await fixture.stored(account.id)
        #expect(stored.credential.accessToken.text == "EXAMPLE-access-2")
        #expect(stored.credential.refreshToken?.text == "EXAMPLE-refresh-2")
        let ended = try await session(journey)
        #expect(ended.status == .completed)
        #expect(ended.accountID == account.id)
        // 42: whose account it is was read with this very token.
        #expect(fixture.requests("/me").map { $0.credentials.map(\.value) } == [["Bearer EXAMPLE-access-2"]])
    }

    /// RFC 6749 §5.1: what was granted, which may be less or more than what was asked for; silence means all of it.
    @Test(arguments: [
        ("profile", ["profile"]), ("email", ["email"]), ("profile email admin", ["profile", "email", "admin"]),
        (nil, ["profile", "email"]),
    ])
    func `security 41: quirk B8: an account has the scopes that were granted, not those asked for`(
        answered: String?, granted: [String]
    ) async throws {
        let scope = answered.map { #","scope":"\#($0)""# } ?? ""
        fixture.site.on(
            "/token", 200, [:],
            #"{"access_token":"EXAMPLE-access-9","token_type":"Bearer","expires_in":3600\#(scope)}"#)
        let linking = fixture.main.linking
        let (_, link) = try await linking.begin(.init(userID: "42", provider: "alpha", scopes: ["email"]))
        let token = try #require(link.text.split(separator: "/").last.map(String.init))
        let url = try await linking.authorize(token: token, browser: "EXAMPLE-browser", provider: alpha)
        let asked = parameters(String(url.drop { $0 != "?" }.dropFirst()))
        #expect(asked["scope"] == "profile email")
        let state = try #require(asked["state"])
        let account = try #require(await complete("code=EXAMPLE-code&state=\(state)").account)
        #expect(account.scopes.map(\.rawValue) == granted)
        #expect(try await fixture.stored(account.id).credential.scopes.map(\.rawValue) == granted)
        #expect(try await fixture.database.accounts.account(account.id)?.scopes.map(\.rawValue) == granted)
    }

    @Test func `security 13: state, verifier and challenge are fresh and fit`() async throws {
        var seen: Set<String> = []
        for number in 0..<50 {
            let journey = try await begin(user: "user-\(number)", browser: "browser-\(number)")
            let query = journey.query
            #expect(query["code_challenge_method"] == "S256")
            #expect(query["response_type"] == "code")
            let challenge = try #require(query["code_challenge"])
            #expect(Base64URL.decode(journey.state)?.count == 32)
            #expect(!journey.url.contains("user-\(number)"))
            _ = await complete("code=EXAMPLE&state=\(journey.state)", browser: "browser-\(number)")
            let verifier = try #require(fixture.tokenRequests.last?.form["code_verifier"])
            #expect(verifier.utf8.count == 43)
            #expect(AuthorizationRequest.challenge(of: verifier) == challenge)
            for value in [journey.state, verifier] { #expect(seen.insert(value).inserted) }
        }
    }

    @Test func `security 17: the token request repeats the redirect URI and carries the code once`() async throws {
        let journey = try await begin()
        _ = await complete("code=EXAMPLE-code&state=\(journey.state)")
        let form = try #require(fixture.tokenRequests.first?.form)
        #expect(fixture.tokenRequests.count == 1)
        #expect(form["grant_type"] == "authorization_code")
        #expect(form["code"] == "EXAMPLE-code")
        #expect(form["redirect_uri"] == "https://accounts.example.com/callback/alpha")
        #expect(journey.query["redirect_uri"] == form["redirect_uri"])
    }

    // MARK: - Whose link it is

    @Test func `security 2: a state counts once`() async throws {
        let journey = try await begin()
        let query = "code=EXAMPLE-code&state=\(journey.state)"
        let account = try #require(await complete(query).account)
        let before = try await fixture.stored(account.id)
        #expect(await complete(query).refusal == "link_expired")
        #expect(fixture.tokenRequests.count == 1)
        #expect(try await fixture.stored(account.id) == before)
        #expect(try await session(journey).status == .completed)
    }

    @Test func `security 2: of two callbacks at one instant one exchanges the code`() async throws {
        let journey = try await begin()
        let query = "code=EXAMPLE-code&state=\(journey.state)"
        let other = try fixture.another()
        async let first = complete(query)
        async let second = complete(query, with: other.linking)
        let refusals = [await first.refusal, await second.refusal]
        #expect(refusals.compactMap(\.self) == ["link_expired"])
        #expect(fixture.tokenRequests.count == 1)
    }

    @Test func `security 3: a state expires with its session`() async throws {
        let journey = try await begin()
        time.advance(by: .seconds(11 * 60))
        #expect(await complete("code=EXAMPLE-code&state=\(journey.state)").refusal == "link_expired")
        await #expect(throws: LinkStartError.sessionEnded) {
            try await fixture.main.linking.authorize(
                token: journey.token, browser: "EXAMPLE-browser", provider: alpha)
        }
        #expect(fixture.transport.requests.isEmpty)
    }

    @Test func `security 4: another browser neither begins nor ends the link, nor spoils it`() async throws {
        let journey = try await begin()
        await #expect(throws: LinkStartError.sessionEnded) {
            try await fixture.main.linking.authorize(token: journey.token, browser: "another", provider: alpha)
        }
        let query = "code=EXAMPLE-code&state=\(journey.state)"
        for browser in ["another", ""] {
            #expect(await complete(query, browser: browser).refusal == "link_expired")
        }
        #expect(fixture.transport.requests.isEmpty)
        #expect(try await everything().isEmpty)
        #expect(await complete(query).account != nil)
    }

    @Test func `security 8: the state of one provider is worth nothing at another's callback`() async throws {
        let journey = try await begin(alpha)
        let query = "code=EXAMPLE-code&state=\(journey.state)"
        #expect(await complete(query, beta).refusal == "link_expired")
        #expect(await complete(query, ProviderID("unknown")!).refusal == "invalid_callback")
        #expect(fixture.transport.requests.isEmpty)
        #expect(try await everything().isEmpty)
        #expect(await complete(query).account != nil)
    }

    @Test func `a session for one provider begins no link at another`() async throws {
        let (_, url) = try await fixture.main.linking.begin(.init(userID: "42", provider: "alpha"))
        let token = try #require(url.text.split(separator: "/").last.map(String.init))
        for provider in [beta, ProviderID("unknown")!] {
            await #expect(throws: LinkStartError.providerNotOffered) {
                try await fixture.main.linking.authorize(token: token, browser: "EXAMPLE-browser", provider: provider)
            }
        }
    }

    // MARK: - What the browser brings

    @Test(arguments: [
        "", "state=STATE", "code=EXAMPLE", "code=EXAMPLE&state=", "code=EXAMPLE&code=EXAMPLE&state=STATE",
        "code=EXAMPLE&state=STATE&state=STATE", "code=EXAMPLE&state=STATE&access_token=EXAMPLE",
        "code=EXAMPLE&state=STATE&id_token=EXAMPLE", "response=EXAMPLE&state=STATE", "code=%00&state=STATE",
        "code=%ff&state=STATE", "code=%0d%0a&state=STATE",
    ]) func `security 16, 20, 25: a callback that is not one is refused, and the state stays good`(query: String)
        async throws
    {
        let journey = try await begin()
        let refused = await complete(query.replacing("STATE", with: journey.state))
        #expect(refused.refusal == "invalid_callback")
        #expect(fixture.transport.requests.isEmpty)
        #expect(await complete("code=EXAMPLE-code&state=\(journey.state)").account != nil)
    }

    @Test func `quirk B5: an error without state ends nothing`() async throws {
        let journey = try await begin()
        #expect(await complete("error=access_denied").refusal == "invalid_callback")
        #expect(fixture.transport.requests.isEmpty)
        #expect(await complete("code=EXAMPLE-code&state=\(journey.state)").account != nil)
    }

    @Test func `quirk B7: an encoded code is decoded once`() async throws {
        let journey = try await begin()
        #expect(await complete("code=sq0cgp-EXAMPLE%252F%3D&state=\(journey.state)").account != nil)
        #expect(fixture.tokenRequests.first?.form["code"] == "sq0cgp-EXAMPLE%2F=")
    }

    @Test(arguments: [
        ("access_denied", "access_denied"), ("server_error", "provider_error"),
        ("temporarily_unavailable", "provider_error"), ("interaction_required", "provider_error"),
        ("%3Cscript%3E", "provider_error"),
    ]) func `security 21, 22: an error ends the session, even beside a code`(error: String, code: String) async throws {
        let account = try await link()
        let stored = try await fixture.stored(account.id)
        let asked = fixture.transport.requests.count
        let journey = try await begin(returnTo: "https://app.example.com/done")
        guard
            case .failed(let said, let detail, let returnTo) = await complete(
                "error=\(error)&code=EXAMPLE-code&error_description=%3Cscript%3E&state=\(journey.state)")
        else {
            Issue.record("it did not fail")
            return
        }
        #expect(said == code)
        #expect(!detail.contains("<"))
        #expect(returnTo == "https://app.example.com/done")
        #expect(try await session(journey).error == code)
        #expect(fixture.transport.requests.count == asked)
        #expect(try await fixture.stored(account.id) == stored)
        #expect(try await fixture.account(account.id).status == .active)
    }

    @Test(arguments: ["", "&iss=https://evil.example", "&iss=https://op.example/", "&iss=https://OP.example"])
    func `security 11: an issuer that announces iss must be named, byte for byte`(iss: String) async throws {
        let journey = try await begin(gamma)
        let asked = fixture.transport.requests.count
        let completion = await complete("code=EXAMPLE-code&state=\(journey.state)\(iss)", gamma)
        #expect(completion.failure == "invalid_callback")
        #expect(fixture.transport.requests.count == asked)
        #expect(try await everything().isEmpty)
    }

    // MARK: - The configuration of the flow

    @Test func `security 12: a flow ends with the configuration it began with, or is refused`() async throws {
        for (old, new) in [
            ("https://alpha.example/token", "https://evil.example/token"),
            ("https://alpha.example/authorize", "https://alpha.example/authorize2"),
            ("client_secret_basic", "client_secret_post"),
        ] {
            let journey = try await begin()
            let changed = try fixture.another(
                catalog: Fixture.catalog(
                    ["alpha": Manifests.alpha.replacing(old, with: new)], [Manifests.instance("alpha")]))
            let completion = await complete("code=EXAMPLE-code&state=\(journey.state)", with: changed.linking)
            #expect(completion.failure == "configuration_changed")
            #expect(fixture.transport.requests.isEmpty)
        }
    }

    @Test func `security 12, 55: endpoints that discovery moved meanwhile end the flow`() async throws {
        let journey = try await begin(gamma)
        fixture.site.on(
            "/.well-known/openid-configuration", 200, [:],
            Self.metadata.replacing("https://op.example/token", with: "https://op.example/token2"))
        let restarted = try fixture.another()
        let completion = await complete(
            "code=EXAMPLE-code&state=\(journey.state)&iss=https://op.example", gamma, with: restarted.linking)
        #expect(completion.failure == "configuration_changed")
        #expect(fixture.tokenRequests.isEmpty)
    }

    // MARK: - OpenID Connect

    /// Token and keys of the recorded vectors, as every OpenID test of this package uses them.
    static func vectors() throws -> JSONValue {
        let file = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "OAuthTests/Fixtures/oidc/id_token_vectors.json")
        return try JSONValue(parsing: Array(Data(contentsOf: file)))
    }

    private func serveOpenID(_ vector: String, subject: String = "900800700600") throws {
        let vectors = try Self.vectors()
        let found = vectors["vectors"]?.array?.first { $0["name"]?.string == vector }
        let token = try #require(found?["token"]?.string)
        let keys = try #require(vectors["jwks"]).text
        fixture.site.on("/keys", 200, [:], keys)
        fixture.site.on(
            "/token", 200, [:],
            #"{"access_token":"ya29.EXAMPLE-access-0","token_type":"Bearer","expires_in":3600,"id_token":"\#(token)"}"#)
        fixture.site.on("/userinfo", 200, [:], #"{"sub":"\#(subject)","name":"EXAMPLE"}"#)
    }

    /// A flow whose nonce is that of the vectors, which a flow of chance could never have.
    private func beginWithNonceOfVectors() async throws -> String {
        let provider = try fixture.provider(gamma)
        let server = try await fixture.main.servers.server(for: provider)
        let (session, token) = try await fixture.database.linkSessions.create(
            LinkSessionRequest(userID: try #require(UserID("42"))))
        _ = try await fixture.database.linkSessions.bind(token: token.text, browser: "EXAMPLE-browser")
        try await fixture.database.linkSessions.beginAuthorization(
            session: session.id, provider: gamma, state: Secret("EXAMPLE-state"), codeVerifier: nil,
            nonce: Secret("example-nonce-1"),
            fingerprint: provider.fingerprint + "|" + server.authorizationEndpoint + "|" + server.tokenEndpoint,
            scopes: provider.scopes, redirectURI: provider.client.redirectURI)
        return "code=EXAMPLE-code&state=EXAMPLE-state&iss=https://op.example"
    }

    @Test func `links an account by its verified ID token`() async throws {
        let query = try await beginWithNonceOfVectors()
        try serveOpenID("valid_rs256")
        let account = try #require(await complete(query, gamma).account)
        #expect(account.subject.rawValue == "900800700600")
    }

    @Test func `security 15: every flow has a nonce of its own, and an ID token of another flow is refused`()
        async throws
    {
        let first = try await begin(gamma, user: "1", browser: "1")
        let journey = try await begin(gamma)
        let nonce = try #require(journey.query["nonce"])
        #expect(nonce != first.query["nonce"])
        #expect(Base64URL.decode(nonce)?.count == 32)
        try serveOpenID("valid_rs256")
        let completion = await complete("code=EXAMPLE-code&state=\(journey.state)&iss=https://op.example", gamma)
        #expect(completion.failure == "provider_error")
        #expect(fixture.requests("/userinfo").isEmpty)
        #expect(try await everything().isEmpty)
    }

    @Test(arguments: [
        "nonce_missing", "nonce_other", "aud_other", "iss_other", "expired", "alg_none", "payload_tampered",
    ])
    func `security 15, 48, 49: an ID token that is not for us links nothing`(vector: String) async throws {
        let query = try await beginWithNonceOfVectors()
        try serveOpenID(vector)
        #expect(await complete(query, gamma).failure == "provider_error")
        #expect(try await everything().isEmpty)
    }

    @Test func `security 51: an ID token of an unknown key costs one more fetch of the keys, not two`() async throws {
        let query = try await beginWithNonceOfVectors()
        try serveOpenID("kid_unknown")
        #expect(await complete(query, gamma).failure == "provider_error")
        #expect(fixture.requests("/keys").count <= 2)
    }

    @Test(
        arguments: [
            ([:], true), (["sub": "someone-else"], false), (["iss": "https://other.example"], false),
            (["aud": "EXAMPLE-other"], false),
        ] as [([String: String], Bool)])
    func `security 53: a userinfo response that is signed is read with the issuer's keys, or links nothing`(
        changes: [String: String], links: Bool
    ) async throws {
        let key = SigningKey.generateP256(random: SeededRandom(seed: 5))
        let point = try #require(key.p256Point)
        let own =
            #"{"kty":"EC","crv":"P-256","alg":"ES256","kid":"own","x":"\#(Base64URL.encode(point.x))","y":"\#(Base64URL.encode(point.y))"}"#
        fixture.site.on(
            "/.well-known/openid-configuration", 200, [:],
            Self.metadata.replacing(#"["RS256"]"#, with: #"["RS256","ES256"]"#))
        let query = try await beginWithNonceOfVectors()
        try serveOpenID("valid_rs256")
        let keys = try #require(Self.vectors()["jwks"]?["keys"]).text
        fixture.site.on("/keys", 200, [:], #"{"keys":[\#(own),\#(keys.dropFirst())}"#)
        var claims: JSONObject = [
            "iss": "https://op.example", "aud": "client-123.example", "sub": "900800700600", "name": "Signed Example",
        ]
        for (name, value) in changes { claims[name] = .string(value) }
        func signed(_ kid: String) throws -> String {
            let text =
                Base64URL.encode(Array(#"{"alg":"ES256","kid":"\#(kid)"}"#.utf8)) + "."
                + Base64URL.encode(Array(JSONValue.object(claims).text.utf8))
            return text + "." + Base64URL.encode(try key.signature(for: Array(text.utf8), algorithm: .es256))
        }
        let response = try signed("own")
        fixture.site.on("/userinfo", 200, ["Content-Type": "application/jwt"], response)
        let completion = await complete(query, gamma)
        guard links else {
            #expect(completion.account == nil)
            #expect(try await everything().isEmpty)
            return
        }
        let account = try #require(completion.account)
        let document = try #require(try fixture.database.profiles.document(account: account.id))
        #expect(try JSONValue(parsing: document.bytes)["claims"]?["name"] == "Signed Example")
        // A sync reads it in the same way, and not with a key that is nobody's.
        let stranger = try signed("stranger")
        for (body, isRead) in [(response, true), (stranger, false)] {
            fixture.site.on("/userinfo", 200, ["Content-Type": "application/jwt"], body)
            let fetched = await fixture.main.profiles.fetch(
                provider: try fixture.provider(gamma), account: account.id,
                credential: try await fixture.stored(account.id).credential, previous: .init(),
                idTokenClaims: ["sub": "900800700600"], urgency: .background)
            if case .profile(let profile, _) = fetched {
                #expect(isRead && profile.subject.rawValue == "900800700600")
            } else {
                #expect(!isRead)
            }
        }
    }

    @Test func `security 53: userinfo about someone else links nothing`() async throws {
        let query = try await beginWithNonceOfVectors()
        try serveOpenID("valid_rs256", subject: "someone-else")
        #expect(await complete(query, gamma).failure == "profile_unavailable")
        #expect(try await everything().isEmpty)
    }

    @Test func `an answer without an ID token links nothing`() async throws {
        let query = try await beginWithNonceOfVectors()
        fixture.site.on("/token", 200, [:], #"{"access_token":"EXAMPLE","token_type":"Bearer"}"#)
        #expect(await complete(query, gamma).failure == "provider_error")
    }

    // MARK: - One provider account, one owner

    @Test func `security 58: an account that another user holds stays theirs`() async throws {
        let held = try await link("1")
        let stored = try await fixture.stored(held.id)
        let journey = try await begin(user: "2")
        let completion = await complete("code=EXAMPLE-code&state=\(journey.state)")
        #expect(completion.failure == "account_held")
        #expect(completion.detail?.contains("1") == false)
        #expect(try await everything().map(\.userID.rawValue) == ["1"])
        #expect(try await fixture.stored(held.id) == stored)
        #expect(try await session(journey).error == "account_held")
        // At many providers a revocation would end the other user's grant as well.
        await fixture.main.revocations.finishSending()
        #expect(fixture.requests("/revoke").isEmpty)
        #expect(try await fixture.database.revocations.count() == 0)
    }

    @Test func `security 58: of many users at once one gets the account`() async throws {
        var journeys: [Journey] = []
        for number in 0..<50 { journeys.append(try await begin(user: "user-\(number)")) }
        let outcomes = await withTaskGroup(of: LinkCompletion.self) { group in
            for journey in journeys {
                group.addTask { await self.complete("code=EXAMPLE-code&state=\(journey.state)") }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(outcomes.compactMap(\.account).count == 1)
        #expect(outcomes.compactMap(\.failure) == Array(repeating: "account_held", count: 49))
        #expect(try await everything().count == 1)
    }

    @Test func `security 42: two accounts of one user stay two`() async throws {
        let first = try await link()
        fixture.site.on("/me", 200, [:], #"{"id":2,"login":"other"}"#)
        let second = try await link()
        #expect(first.id != second.id)
        #expect(try await fixture.stored(first.id).credential.accessToken.text == "EXAMPLE-access-2")
        #expect(try await fixture.stored(second.id).credential.accessToken.text == "EXAMPLE-access-3")
    }

    @Test func `quirk D20: linking again revives an account and keeps a refresh token that the answer lacks`()
        async throws
    {
        let account = try await link()
        _ = try await fixture.database.accounts.markNeedsRelink(
            account.id, generation: 1, code: .consentRevoked, detail: "EXAMPLE")
        fixture.site.on(
            "/token", 200, [:],
            #"{"access_token":"EXAMPLE-access-9","token_type":"Bearer","expires_in":3600,"scope":"profile"}"#)
        let again = try await link()
        #expect(again.id == account.id)
        #expect(again.status == .active)
        #expect(again.problem == nil)
        let stored = try await fixture.stored(account.id)
        #expect(stored.generation == 2)
        #expect(stored.credential.accessToken.text == "EXAMPLE-access-9")
        #expect(stored.credential.refreshToken?.text == "EXAMPLE-refresh-2")
        #expect(fixture.requests("/revoke").isEmpty)
    }

    // MARK: - An exchange that fails

    static let setbacks: [(String, String, ScriptedTransport.Answer, String)] = [
        ("a code that is used up", "/token", .json(400, body: #"{"error":"invalid_grant"}"#), "provider_error"),
        ("a refused client", "/token", .json(401, body: #"{"error":"invalid_client"}"#), "client_refused"),
        ("503", "/token", .json(503, body: ""), "provider_unavailable"),
        ("a page", "/token", .json(200, ["Content-Type": "text/html"], "<html>"), "provider_unavailable"),
        ("a time-out", "/token", .failure(.timedOut(host: "alpha.example")), "provider_unavailable"),
        ("a redirect", "/token", .json(307, ["Location": "https://evil.example"], ""), "provider_unavailable"),
        ("no profile", "/me", .json(500, body: "{}"), "profile_unavailable"),
        ("a profile of nobody", "/me", .json(200, body: "{}"), "profile_unavailable"),
        ("a profile that is not JSON", "/me", .json(200, body: "<html>"), "profile_unavailable"),
        ("a refused token", "/me", .json(401, body: "{}"), "profile_unavailable"),
        (
            "a missing scope", "/me",
            .json(403, ["WWW-Authenticate": #"Bearer error="insufficient_scope""#], "{}"), "scope_missing"
        ),
    ]

    @Test(arguments: setbacks.indices) func `a failed exchange links nothing and harms nothing`(index: Int) async throws
    {
        let (name, place, answer, code) = Self.setbacks[index]
        let account = try await link()
        let stored = try await fixture.stored(account.id)
        fixture.site.on(place) { _ in answer }
        let journey = try await begin()
        let completion = await complete("code=EXAMPLE-code&state=\(journey.state)")
        #expect(completion.failure == code, "\(name)")
        #expect(completion.detail?.contains("EXAMPLE-code") == false)
        #expect(try await session(journey).status == .failed)
        #expect(try await fixture.stored(account.id) == stored)
        #expect(try await fixture.account(account.id).status == .active)
        #expect(try await everything().count == 1)
        // The new tokens may be of the grant that the linked account lives by: they are left to end by themselves.
        await fixture.main.revocations.finishSending()
        #expect(fixture.requests("/revoke").isEmpty)
        #expect(try await fixture.database.revocations.count() == 0)
        // No second try with the same state.
        #expect(await complete("code=EXAMPLE-code&state=\(journey.state)").refusal == "link_expired")
    }

    @Test func `a user who was erased during the link is not linked`() async throws {
        let journey = try await begin()
        fixture.site.on("/token") { [unowned fixture] _ in
            do { _ = try await fixture.database.accounts.eraseUser(UserID("42")!) } catch { Issue.record(error) }
            return fixture.site.nextTokens()
        }
        #expect(await complete("code=EXAMPLE-code&state=\(journey.state)").failure == "link_expired")
        #expect(try await everything().isEmpty)
    }

    @Test func `a session links one account, however many answers come at once`() async throws {
        let first = try await begin()
        let second = try await fixture.main.linking.authorize(
            token: first.token, browser: "EXAMPLE-browser", provider: beta)
        let state = try #require(parameters(String(second.drop { $0 != "?" }.dropFirst()))["state"])
        let barrier = Barrier()
        fixture.site.on("/token") { [unowned fixture] _ in
            await barrier.pass()
            return fixture.site.nextTokens()
        }
        async let one = complete("code=EXAMPLE-code&state=\(first.state)")
        async let other = complete("code=EXAMPLE-code&state=\(state)", beta)
        await barrier.arrivals(atLeast: 2)
        barrier.open()
        let completions = [await one, await other]
        #expect(completions.compactMap(\.account).count == 1)
        #expect(completions.compactMap(\.failure) == ["link_expired"])
        #expect(try await everything().count == 1)
        #expect(try await session(first).status == .completed)
    }

    // MARK: - Unlink

    @Test func `security 71, 72: unlinking erases at once and revokes at the provider`() async throws {
        let account = try await link()
        #expect(try await fixture.main.linking.unlink(account.id))
        #expect(try await fixture.database.accounts.account(account.id) == nil)
        #expect(try await fixture.database.credentials.read(account.id) == nil)
        await fixture.main.revocations.finishSending()
        #expect(
            fixture.requests("/revoke").map { [$0.form["token"], $0.form["token_type_hint"]] } == [
                ["EXAMPLE-refresh-2", "refresh_token"], ["EXAMPLE-access-2", "access_token"],
            ])
        #expect(try await fixture.database.revocations.count() == 0)
        #expect(try await fixture.main.linking.unlink(account.id) == false)
    }

    @Test(arguments: [503, 0]) func `security 71: unlinking does not wait for a provider in trouble`(status: Int)
        async throws
    {
        let account = try await link()
        fixture.site.on("/revoke") { _ in
            status == 0 ? .failure(.timedOut(host: "alpha.example")) : .json(status, body: "")
        }
        #expect(try await fixture.main.linking.unlink(account.id))
        #expect(try await fixture.database.credentials.read(account.id) == nil)
        await fixture.main.revocations.finishSending()
        #expect(try await fixture.database.revocations.count() == 1)
        fixture.site.on("/revoke", 200)
        time.advance(by: .seconds(120))
        await fixture.main.revocations.sendDue()
        #expect(try await fixture.database.revocations.count() == 0)
    }

    // MARK: - What may be ordered

    @Test(arguments: [
        "//evil.example", "/%5cevil.example", "https:evil.example", "/\\evil.example", "javascript:alert(1)",
        "https://app.example.com@evil.example/", "https://app.example.com.evil.example/", "http://app.example.com/",
        "https://app.example.com:8443/", "https://app.example.com\\@evil.example/", "https://app.example.com /", "",
    ]) func `security 26: no link leads anywhere but back to the application`(address: String) async throws {
        await #expect {
            try await fixture.main.linking.begin(.init(userID: "42", returnTo: address))
        } throws: {
            guard case .invalid(let fields) = $0 as? LinkOrderError else { return false }
            return fields.map(\.pointer) == ["/return_to"]
        }
    }
}

extension LinkCompletion {
    var account: LinkedAccount? { if case .linked(let account, _) = self { account } else { nil } }
    var failure: String? { if case .failed(let code, _, _) = self { code } else { nil } }
    var detail: String? { if case .failed(_, let detail, _) = self { detail } else { nil } }
    var refusal: String? { if case .refused(let code) = self { code } else { nil } }
}
