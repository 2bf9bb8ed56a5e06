import Accounts
import JSON
import Linking
import OAuth
import Providers
import Store
import TestSupport
import Testing
import Transfer

@Suite(.timeLimit(.minutes(10))) struct AuthorizationServersTests {
    let time = VirtualTime()
    let fixture: Fixture

    init() throws {
        fixture = try Fixture(time: time)
        fixture.site.on("/openid-configuration", 200, [:], AccountLinkingTests.metadata)
        fixture.site.on("/keys", 200, [:], try #require(AccountLinkingTests.vectors()["jwks"]).text)
    }

    private var discoveries: Int { fixture.requests("/openid-configuration").count }
    private var keyFetches: Int { fixture.requests("/keys").count }

    private func server() async throws -> AuthorizationServer {
        try await fixture.main.servers.server(for: try fixture.provider(gamma))
    }

    private func keys(refetching: Bool = false) async throws -> JSONWebKeySet {
        try await fixture.main.servers.keys(
            for: try fixture.provider(gamma), server: try await server(), refetching: refetching)
    }

    @Test func `a manifest's endpoints need no request`() async throws {
        let server = try await fixture.main.servers.server(for: try fixture.provider(alpha))
        #expect(server.tokenEndpoint == "https://alpha.example/token")
        #expect(fixture.transport.requests.isEmpty)
    }

    @Test func `security 55: a metadata document serves for an hour`() async throws {
        #expect(try await server().tokenEndpoint == "https://op.example/token")
        time.advance(by: .seconds(3599))
        _ = try await server()
        #expect(discoveries == 1)
        time.advance(by: .seconds(1))
        let barrier = Barrier()
        fixture.site.on("/openid-configuration") { _ in
            await barrier.pass()
            return .json(200, body: AccountLinkingTests.metadata.replacing("example/token", with: "example/token2"))
        }
        // The old one serves while the new one is on its way.
        #expect(try await server().tokenEndpoint == "https://op.example/token")
        await barrier.arrivals()
        #expect(try await server().tokenEndpoint == "https://op.example/token")
        barrier.open()
        while try await server().tokenEndpoint != "https://op.example/token2" { await Task.yield() }
        #expect(discoveries == 2)
    }

    @Test func `however many ask at once, one request leaves`() async throws {
        let barrier = Barrier()
        fixture.site.on("/openid-configuration") { _ in
            await barrier.pass()
            return .json(200, body: AccountLinkingTests.metadata)
        }
        try await withThrowingTaskGroup(of: AuthorizationServer.self) { group in
            for _ in 0..<50 { group.addTask { try await self.server() } }
            await barrier.arrivals()
            barrier.open()
            for try await server in group { #expect(server.issuer == "https://op.example") }
        }
        #expect(discoveries == 1)
    }

    @Test func `an old document serves on while the issuer is down, for a day`() async throws {
        _ = try await server()
        fixture.site.fail("/openid-configuration", .timedOut(host: "op.example"))
        time.advance(by: .seconds(86_399))
        #expect(try await server().issuer == "https://op.example")
        while discoveries < 2 { await Task.yield() }
        time.advance(by: .seconds(61))
        await #expect(throws: AuthorizationServerError.request(.transfer(.timedOut(host: "op.example")))) {
            try await server()
        }
        #expect(discoveries == 3)
    }

    @Test func `nobody waits for an issuer that hangs while there is a document to go by`() async throws {
        _ = try await server()
        let barrier = Barrier()
        fixture.site.on("/openid-configuration") { _ in
            await barrier.pass()
            return .failure(.timedOut(host: "op.example"))
        }
        time.advance(by: .seconds(3600))
        for _ in 0..<50 { #expect(try await server().issuer == "https://op.example") }
        await barrier.arrivals()
        #expect(discoveries == 2)
        barrier.open()
    }

    @Test func `a failure is remembered for a minute`() async throws {
        fixture.site.on("/openid-configuration", 503)
        for _ in 0..<10 {
            await #expect(throws: AuthorizationServerError.discovery(.unavailable(status: 503))) { try await server() }
        }
        #expect(discoveries == 1)
        fixture.site.on("/openid-configuration", 200, [:], AccountLinkingTests.metadata)
        time.advance(by: .seconds(60))
        #expect(try await server().issuer == "https://op.example")
    }

    @Test func `an issuer's document that fails says nothing of its endpoints`() async throws {
        fixture.site.on("/openid-configuration", 503)
        for _ in 0..<10 {
            _ = try? await server()  // Its failure is another test's matter.
            time.advance(by: .seconds(60))
        }
        #expect(discoveries == 10)
        fixture.site.on("/userinfo", 200)
        let response = try await fixture.main.client.send(
            TransferRequest(.get, "https://op.example/userinfo"), to: try fixture.provider(gamma), urgency: .background)
        #expect(response.status == 200)
    }

    @Test func `a caller who leaves does not wait for the issuer`() async throws {
        let barrier = Barrier()
        fixture.site.on("/openid-configuration") { _ in
            await barrier.pass()
            return .json(200, body: AccountLinkingTests.metadata)
        }
        let caller = Task { try await server() }
        await barrier.arrivals()
        caller.cancel()
        await #expect(throws: AuthorizationServerError.request(.transfer(.cancelled))) { try await caller.value }
        barrier.open()
        #expect(try await server().issuer == "https://op.example")
    }

    @Test func `security 55: an endpoint that moves to another host is held for an operator`() async throws {
        let delta = """
            id: delta
            name: Delta
            issuer: https://op.example
            metadata_hosts: [tokens.op.example, elsewhere.op.example]
            authorization: {scopes: [openid]}
            client_authentication: client_secret_post
            token: {refresh: {rotation: reusable, lifetime: unknown}}
            profile:
              requests: {userinfo: {url: "{userinfo_endpoint}"}}
              claims: {sub: $.userinfo.sub}
            """
        let fixture = try Fixture(
            time: time, manifests: ["delta": delta], instances: [Manifests.instance("delta")])
        let provider = try fixture.provider(ProviderID("delta")!)
        func publish(_ endpoint: String) {
            fixture.site.on(
                "/openid-configuration", 200, [:],
                AccountLinkingTests.metadata.replacing("https://op.example/token", with: endpoint))
        }
        func endpointAfterAnHour() async throws -> String {
            time.advance(by: .seconds(3600))
            let count = fixture.transport.requests.count
            while fixture.transport.requests.count == count { _ = try await fixture.main.servers.server(for: provider) }
            return try await fixture.main.servers.server(for: provider).tokenEndpoint
        }
        publish("https://tokens.op.example/token")
        #expect(
            try await fixture.main.servers.server(for: provider).tokenEndpoint == "https://tokens.op.example/token")
        // Another path, at the same host.
        publish("https://tokens.op.example/v2/token")
        while try await endpointAfterAnHour() != "https://tokens.op.example/v2/token" {}
        publish("https://elsewhere.op.example/token")
        for _ in 0..<30 { #expect(try await endpointAfterAnHour() == "https://tokens.op.example/v2/token") }
        // A restart is no consent.
        for _ in 0..<2 {
            let restarted = try fixture.another("restarted").servers
            #expect(try await restarted.server(for: provider).tokenEndpoint == "https://tokens.op.example/v2/token")
        }
        #expect(try await fixture.database.providers.forgetMetadata(of: provider.id))
        while try await endpointAfterAnHour() != "https://elsewhere.op.example/token" {}
        let restarted = try fixture.another("restarted").servers
        #expect(try await restarted.server(for: provider).tokenEndpoint == "https://elsewhere.op.example/token")
        #expect(try await fixture.database.audit.entries(limit: 1).map(\.action) == ["provider.metadata_accepted"])
    }

    @Test func `security 55: an operator who changes the configuration takes the endpoints of that day`() async throws {
        _ = try await server()
        let provider = try fixture.provider(gamma)
        let held = try #require(
            try await fixture.database.providers.metadata(of: gamma, fingerprint: provider.fingerprint))
        #expect(String(decoding: held, as: UTF8.self) == AccountLinkingTests.metadata)
        #expect(try await fixture.database.providers.metadata(of: gamma, fingerprint: "another") == nil)
    }

    @Test(arguments: ["https://evil.example", "https://op.example/", "http://op.example", "HTTPS://op.example"])
    func `security 54: a document that speaks for another issuer is refused`(issuer: String) async throws {
        fixture.site.on(
            "/openid-configuration", 200, [:],
            AccountLinkingTests.metadata.replacing(
                #""issuer":"https://op.example""#, with: #""issuer":"\#(issuer)""#))
        await #expect(throws: AuthorizationServerError.discovery(.issuerMismatch)) { try await server() }
    }

    @Test func `security 55: a document can't send requests to another host`() async throws {
        fixture.site.on(
            "/openid-configuration", 200, [:],
            AccountLinkingTests.metadata.replacing("https://op.example/token", with: "https://evil.example/token"))
        do {
            _ = try await server()
            Issue.record("accepted")
        } catch let error as AuthorizationServerError {
            guard case .discovery(.endpointRefused) = error else {
                Issue.record("\(error)")
                return
            }
            #expect(error.disposition == .fixConfiguration)
        }
    }

    @Test func `keys serve for an hour`() async throws {
        for _ in 0..<3 { _ = try await keys() }
        #expect(keyFetches == 1)
        time.advance(by: .seconds(3600))
        _ = try await keys()
        #expect(keyFetches == 2)
    }

    @Test func `security 51: unknown keys cause at most one fetch a minute, however many there are`() async throws {
        _ = try await keys()
        for _ in 0..<1000 { _ = try await keys(refetching: true) }
        #expect(keyFetches == 1)
        time.advance(by: .seconds(60))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<100 { group.addTask { _ = try await self.keys(refetching: true) } }
            try await group.waitForAll()
        }
        #expect(keyFetches == 2)
    }

    @Test func `security 51: the last good keys serve on while new ones can't be had, and that costs a fetch a minute`()
        async throws
    {
        _ = try await keys()
        fixture.site.on("/keys", 200, [:], "<html>")
        time.advance(by: .seconds(61))
        for _ in 0..<100 { _ = try await keys(refetching: true) }
        #expect(keyFetches == 2)
        time.advance(by: .seconds(60))
        for _ in 0..<100 { _ = try await keys(refetching: true) }
        #expect(keyFetches == 3)
        time.advance(by: .seconds(86_400))
        await #expect(throws: AuthorizationServerError.self) { try await keys() }
    }
}
