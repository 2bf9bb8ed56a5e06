import Foundation
import ProviderSimulator
import Testing

@Suite(.timeLimit(.minutes(10))) struct FixtureSiteTests {
    private func run(
        _ change: @Sendable (inout SimulatedFixtureSite) -> Void = { _ in }, _ body: (Journey) async throws -> Void
    ) async throws {
        var fixture = SimulatedFixtureSite(
            name: "example", authorizationPath: "/oauth/authorize", tokenPath: "/oauth/token",
            revocationPath: "/oauth/revoke",
            resources: [
                "GET /v1/me": Array(#"{"data":{"id":90071992547409931,"name":"Recorded"}}"#.utf8),
                "POST /graphql": Array(#"{"data":{"viewer":{"id":"x"}}}"#.utf8),
            ])
        change(&fixture)
        let site = SimulatedSite.fixture("example")
        try await Journey.run(
            site,
            {
                $0.fixtureSites = [fixture]
                $0.clients.append(
                    SimulatedClient(
                        site: site, id: Journey.clientID, secret: Journey.clientSecret,
                        redirectURIs: [Journey.redirectURI]))
            }, body)
    }

    @Test func `links and shows the recorded bodies, byte for byte`() async throws {
        try await run { journey in
            let tokens = try await journey.link()
            let access = try #require(tokens["access_token"])
            #expect(await journey.profile(access).text == #"{"data":{"id":90071992547409931,"name":"Recorded"}}"#)
            let posted = await journey.client.send(
                "POST", "/fixture/example/graphql", ["authorization": "Bearer \(access)"], body: "{}")
            #expect(posted.status == 200)
            #expect(await journey.profile("x").status == 401)
            let refreshed = await journey.refresh(try #require(tokens["refresh_token"]))
            #expect(refreshed["refresh_token"] != tokens["refresh_token"])
            let revoked = await journey.client.post(
                "/fixture/example/oauth/revoke",
                form: [
                    ("token", try #require(refreshed["refresh_token"])), ("client_id", Journey.clientID),
                    ("client_secret", Journey.clientSecret),
                ])
            #expect(revoked.status == 200)
            #expect(try await journey.profile(#require(refreshed["access_token"])).status == 401)
            let site = "\(journey.simulator.baseURL)/fixture/example"
            #expect(journey.simulator.variables(for: journey.site) == ["site": site, "api": site])
        }
    }

    @Test func `quirk E15: a token is refused that was neither issued nor validated within the hour`() async throws {
        try await run({ $0.validationPath = "/validate" }) { journey in
            let turned = await journey.control(
                #"{"site":"fixture/example","switches":{"validation_interval":3600,"access_token_lifetime":86400}}"#)
            #expect(turned.status == 200, "\(turned.text)")
            let access = try #require(try await journey.link()["access_token"])
            journey.clock.advance(seconds: 3600)
            #expect(await journey.profile(access).status == 200)
            journey.clock.advance(seconds: 1)
            #expect(await journey.profile(access).status == 403)
            for (token, status) in [("x", 401), (access, 200)] {
                let answer = await journey.client.get(
                    "/fixture/example/validate", ["authorization": "OAuth \(token)"])
                #expect(answer.status == status)
            }
            #expect(await journey.profile(access).status == 200)
            #expect(journey.counters.unvalidatedUses == 1 && journey.counters[.validation].requests == 2)
        }
    }

    @Test func `says things in a provider's own way`() async throws {
        try await run({
            $0.scopeSeparator = ","
            $0.tokenScheme = "OAuth"
            $0.tokenResponse = { members in
                .init(bytes: Array(#"{"ok":true,"authed_user":{"access_token":"\#(members.accessToken)"}}"#.utf8))
            }
        }) { journey in
            let code = try await journey.code(["scope": "a,b"])
            let tokens = await journey.exchange(code)
            #expect(tokens.json["ok"] as? Bool == true)
            let user = try #require(tokens.json["authed_user"] as? [String: Any])
            let access = try #require(user["access_token"] as? String)
            #expect(await journey.profile(access).status == 401)
            #expect(await journey.profile("", ["authorization": "OAuth \(access)"]).status == 200)
        }
    }
}
