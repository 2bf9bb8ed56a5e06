import Accounts
import Foundation
import Providers
import Store
import TestSupport
import Testing
import Transfer

@testable import Web

/// Attacks between the providers of one service: `honest` does as the standards say, `mallory` is configured here like any
/// other and does what it likes with what it is sent. Users' browsers go where they are redirected.
@Suite(.timeLimit(.minutes(10))) struct HostileProviderTests {
    private static func manifest(_ name: String) -> String {
        Service.alpha.replacingOccurrences(of: "alpha", with: name).replacingOccurrences(
            of: "Alpha", with: name.capitalized)
    }

    private static func instance(_ id: String, manifest: String? = nil, issuer: String? = nil) -> InstanceConfiguration
    {
        InstanceConfiguration(
            id: id, manifest: manifest, variables: issuer.map { ["issuer": $0] } ?? [:], clientID: "EXAMPLE-\(id)",
            clientSecret: Secret("EXAMPLE-\(id)-secret"))
    }

    /// A service with both providers; Mallory's token endpoint answers with what it can, the tokens of another person.
    private func run(
        _ honest: HonestServer, issuer: String? = nil, _ body: @Sendable (Service) async throws -> Void
    ) async throws {
        var options = Service.Options()
        options.manifests["mallory"] = Self.manifest("mallory")
        if issuer == nil { options.manifests["honest"] = Self.manifest("honest") }
        options.instances = [
            Self.instance("honest", manifest: issuer.map { _ in "oidc" }, issuer: issuer), Self.instance("mallory"),
        ]
        options.reply = { request in
            if request.url == "https://mallory.example/token" {
                return HonestServer.json(200, #"{"access_token":"EXAMPLE-mallory","token_type":"Bearer"}"#)
            }
            if request.url == "https://api.mallory.example/me" {
                return HonestServer.json(200, #"{"id":666,"login":"mallory"}"#)
            }
            return honest.answer(request)
        }
        try await Service.run(options, body)
    }

    /// The authorization request that a browser leaves with.
    private func depart(_ browser: Browser, _ service: Service, _ provider: String, user: String) async throws
        -> URLComponents
    {
        let path = try await service.linkPath(#"{"user_id":"\#(user)","provider":"\#(provider)"}"#)
        let csrf = try #require(try await browser.get(path).csrf)
        let response = try await browser.post(path, "csrf=\(csrf)")
        return try #require(response["location"].flatMap { URLComponents(string: $0) })
    }

    /// Mallory's authorization endpoint sends the browser on to the honest one, with what it likes changed.
    private func redirected(_ request: URLComponents, _ changes: [String: String]) -> String {
        var forged = request
        forged.host = "honest.example"
        forged.queryItems = request.queryItems?.map { .init(name: $0.name, value: changes[$0.name] ?? $0.value) }
        return forged.string ?? ""
    }

    /// The request that a browser makes of a redirect to us: dot segments are gone before it leaves (WHATWG URL §4.4).
    private func target(_ location: String) throws -> String {
        let url = try #require(URL(string: location)?.standardized)
        return url.path() + "?" + (url.query() ?? "")
    }

    private func accounts(_ service: Service) async throws -> [LinkedAccount] {
        try await service.database.accounts.list(AccountFilter(), after: nil, limit: 10).items
    }

    @Test func `an honest link works in this world`() async throws {
        let honest = HonestServer()
        try await run(honest) { service in
            let browser = Browser(service: service)
            let request = try await depart(browser, service, "honest", user: "42")
            let back = try #require(honest.authorize(request.string ?? "", person: 7))
            #expect(try await browser.get(target(back)).status == 303)
            #expect(try await accounts(service).map(\.subject.rawValue) == ["7"])
        }
    }

    @Test func `security 8, 9: a provider that sends the browser on to another gets no code of it and makes no link`()
        async throws
    {
        let honest = HonestServer()
        try await run(honest) { service in
            let victim = Browser(service: service)
            let request = try await depart(victim, service, "mallory", user: "42")
            let forged = redirected(
                request, ["client_id": "EXAMPLE-honest", "redirect_uri": HonestServer.callback])
            let back = try #require(honest.authorize(forged, person: 7))
            let answer = try await victim.get(target(back))
            #expect(answer.status == 400 && answer.text.contains("link_expired"))
            #expect(service.transport.requests.isEmpty)
            #expect(try await accounts(service).isEmpty)
        }
    }

    /// The honest server compares by prefix and says whose answer it is (RFC 9207).
    @Test
    func `security 9, 11: a code that a prefix leads to another callback is not sent there where its issuer is named`()
        async throws
    {
        let honest = HonestServer(matchesByPrefix: true, sendsIssuer: true)
        try await run(honest, issuer: "https://honest.example") { service in
            let victim = Browser(service: service)
            let request = try await depart(victim, service, "mallory", user: "42")
            let forged = redirected(
                request,
                ["client_id": "EXAMPLE-honest", "redirect_uri": HonestServer.callback + "/../mallory"])
            let back = try #require(honest.authorize(forged, person: 7))
            #expect(try target(back).hasPrefix("/callback/mallory?code="))
            #expect(try await victim.get(target(back)).status == 303)
            #expect(try await victim.get("/linked").text.contains("<code>invalid_callback</code>"))
            #expect(service.tokenRequests.isEmpty)
            #expect(try await accounts(service).isEmpty)
        }
    }

    /// The honest server compares by prefix and names no issuer, so Mallory gets the code. It is worth nothing: not with
    /// the challenge of the attacker's own flow, for the redirect URI differs; not with any other, for the verifier does.
    @Test(arguments: [true, false])
    func `security 9: a code that a prefix led astray can't be put into the attacker's own flow`(ownChallenge: Bool)
        async throws
    {
        let honest = HonestServer(matchesByPrefix: true)
        try await run(honest) { service in
            let (attacker, victim) = (Browser(service: service), Browser(service: service))
            let own = try await depart(attacker, service, "honest", user: "66")
            func value(_ name: String) -> String { own.queryItems?.first { $0.name == name }?.value ?? "" }
            let request = try await depart(victim, service, "mallory", user: "42")
            var changes = ["client_id": "EXAMPLE-honest", "redirect_uri": HonestServer.callback + "/../mallory"]
            if ownChallenge { changes["code_challenge"] = value("code_challenge") }
            let back = try #require(honest.authorize(redirected(request, changes), person: 7))
            _ = try await victim.get(target(back))
            let stolen = FormParameters(bytes: service.tokenRequests.last?.body?.bytes ?? [])?["code"] ?? ""
            let before = service.tokenRequests.count
            _ = try await attacker.get("/callback/honest?code=\(stolen)&state=\(value("state"))")
            #expect(service.tokenRequests.count == before + 1)
            #expect(honest.refused == 1)
            // What the victim has is the account that Mallory made up, and nothing of person 7.
            #expect(try await accounts(service).map(\.subject.rawValue) == ["666"])
            #expect(try await accounts(service).map(\.provider.rawValue) == ["mallory"])
        }
    }

    @Test func `security 10: a hostile provider's own code at an honest callback links nothing and shows no success`()
        async throws
    {
        let honest = HonestServer()
        try await run(honest) { service in
            let victim = Browser(service: service)
            let request = try await depart(victim, service, "honest", user: "42")
            let state = request.queryItems?.first { $0.name == "state" }?.value ?? ""
            let answer = try await victim.get("/callback/honest?code=EXAMPLE-mallory-code&state=\(state)")
            #expect(answer["location"] == "/linked")
            let page = try await victim.get("/linked")
            #expect(page.text.contains("<code>provider_error</code>") && !page.text.contains("is linked</h1>"))
            #expect(honest.refused == 1)
            #expect(service.tokenRequests.map(\.url) == ["https://honest.example/token"])
            #expect(try await accounts(service).isEmpty)
        }
    }

    /// Mix-up by metadata (RFC 9700 §4.4): an issuer that names another one's endpoint.
    @Test(arguments: ["authorization_endpoint", "token_endpoint"])
    func `security 9, 55: an issuer can't name another provider's endpoints for its own`(member: String) async throws {
        var options = Service.Options()
        options.manifests["honest"] = Self.manifest("honest")
        options.instances = [
            Self.instance("honest"), Self.instance("mallory", manifest: "oidc", issuer: "https://mallory.example"),
        ]
        options.reply = { request in
            guard request.url.hasPrefix("https://mallory.example/.well-known/") else { return nil }
            var endpoints = [
                "authorization_endpoint": "https://mallory.example/authorize",
                "token_endpoint": "https://mallory.example/token",
            ]
            endpoints[member] = "https://honest.example/\(member.prefix { $0 != "_" })"
            let members = endpoints.map { #""\#($0.key)":"\#($0.value)""# }.joined(separator: ",")
            return HonestServer.json(
                200,
                #"{"issuer":"https://mallory.example","jwks_uri":"https://mallory.example/keys","response_types_supported":["code"],\#(members)}"#
            )
        }
        try await Service.run(options) { service in
            let browser = Browser(service: service)
            let path = try await service.linkPath(#"{"user_id":"42","provider":"mallory"}"#)
            let csrf = try #require(try await browser.get(path).csrf)
            let response = try await browser.post(path, "csrf=\(csrf)")
            #expect(response.status == 503 && response["location"] == nil)
            #expect(response.text.contains("client_refused"))
        }
    }

    // MARK: - Between people

    @Test func `security 4: a callback that was begun in another browser links nobody, with no cookie or one's own`()
        async throws
    {
        let honest = HonestServer()
        try await run(honest) { service in
            let (attacker, victim) = (Browser(service: service), Browser(service: service))
            for hasCookie in [false, true] {
                let request = try await depart(attacker, service, "honest", user: "66")
                if hasCookie { _ = try await depart(victim, service, "honest", user: "42") }
                let back = try #require(honest.authorize(request.string ?? "", person: 7))
                let answer = try await victim.get(target(back))
                #expect(answer.status == 400)
                #expect(service.transport.requests.isEmpty)
                #expect(try await accounts(service).isEmpty)
            }
        }
    }

    @Test func `security 5: who began as one user can't end as another at the same browser`() async throws {
        let honest = HonestServer()
        try await run(honest) { service in
            let browser = Browser(service: service)
            let first = try await depart(browser, service, "honest", user: "1")
            let back = try #require(honest.authorize(first.string ?? "", person: 7))
            _ = try await depart(browser, service, "honest", user: "2")
            #expect(try await browser.get(target(back)).status == 400)
            #expect(try await accounts(service).isEmpty)
        }
    }

    @Test func `security 6: a link that somebody else made says whose account it will join before anything begins`()
        async throws
    {
        let honest = HonestServer()
        try await run(honest) { service in
            let path = try await service.linkPath(
                #"{"user_id":"66","user_label":"mallory@example.com","provider":"honest"}"#)
            let victim = Browser(service: service)
            let page = try await victim.get(
                path,
                [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")])
            #expect(page.status == 200 && page["location"] == nil)
            #expect(page.text.contains("mallory@example.com"))
            #expect(service.transport.requests.isEmpty)
            // Only what the page itself sends goes on.
            #expect(try await victim.post(path, "provider=honest").status == 403)
            // One that its maker has opened is nobody else's any more.
            let opened = try await service.linkPath(#"{"user_id":"66","provider":"honest"}"#)
            _ = try await Browser(service: service).get(opened)
            #expect(try await victim.get(opened).status == 400)
            #expect(try await accounts(service).isEmpty)
        }
    }

    /// A session fixed beforehand: the cookie of the attacker planted in the victim's browser, beside its own or alone.
    @Test func `security 4, 6: a planted cookie beside one's own is none`() async throws {
        let honest = HonestServer()
        try await run(honest) { service in
            let (attacker, victim) = (Browser(service: service), Browser(service: service))
            let planted = try await depart(attacker, service, "honest", user: "66")
            _ = try await depart(victim, service, "honest", user: "42")
            let back = try #require(honest.authorize(planted.string ?? "", person: 7))
            let cookie = attacker.cookies["__Host-rollcall"] ?? ""
            let answer = try await victim.get(try target(back), [("Cookie", "__Host-rollcall=\(cookie)")])
            #expect(answer.status == 400)
            #expect(service.transport.requests.isEmpty)
        }
    }
}
