import Foundation
import JSON
import ProviderSimulator
import Synchronization
import Testing
import Transfer

@testable import Rollcall

/// Habits of real servers that take more than one flow to see, each a switch of the simulator that insists on it.
@Suite(.timeLimit(.minutes(10))) struct QuirkSwitchTests {
    private static func manifest(
        _ id: String, authorization: String, client: String = "client_secret_post", token: String = "",
        revocation: String = "none", profile: String = "requests: {me: {url: \"{site}/me\"}}", claims: String = "",
        more: String = ""
    ) -> String {
        """
        id: \(id)
        name: \(id.capitalized)
        variables: {site: "https://\(id).example"}
        authorization: {\(authorization)}
        client_authentication: \(client)
        token: {endpoint: "{site}/token", \(token)refresh: {rotation: single_use}}
        revocation: \(revocation)
        profile:
          \(profile)
          claims: {sub: $.me.id, name: $.me.name\(claims)}
        \(more)
        """
    }

    private static let plain = #"endpoint: "{site}/authorize", scopes: [a]"#
    private static let me = #"{"id":90071992547409931,"name":"{{name}}"}"#

    private static func claims(_ journey: DemoJourney, _ account: String) async throws -> JSONValue {
        try #require(try await journey.call(.get, "/v1/accounts/\(account)/profile").body?["claims"])
    }

    // MARK: - The authorization request and its answer

    @Test func `quirk A13, B3, B4, F21, R4: the answer is posted, and tells the name the first time alone`()
        async throws
    {
        var site = QuirkWorld.site(
            "posted", ["GET /me": #"{"id":90071992547409931,"name":"{{name}}","changed":"2026-11-20T14:42:53Z"}"#])
        site.postedParameters = ["user": #"{"name":{"firstName":"Mira"}}"#]
        site.postsOnce = true
        try await QuirkWorld.live(
            Self.manifest(
                "posted", authorization: Self.plain + ", response_mode: form_post",
                claims: ", given_name: $.callback.user.name.firstName, updated_at: $.me.changed",
                more: "callback: {keep: [user]}"), site
        ) {
            $0.revokes = false
        } check: {
            #expect($0.consents == 2 && $0.refreshes == 1 && $0.revocations == 0)
        } steps: { journey in
            let account = try await journey.link("posted")
            // The second consent brings no name, and the profile keeps it.
            #expect(try await journey.link("posted") == account)
            let claims = try await Self.claims(journey, account)
            #expect(claims["given_name"] == "Mira")
            #expect(claims["updated_at"]?.number?.int64 == 1_795_185_773)
            try await journey.refresh(["posted": account])
            try await journey.unlink(["posted": account])
        }
    }

    @Test
    func `quirk A14, B7, C3, D2, D8, D13, F10, F12, F21: a page in a fragment, no secret, and numbers that are texts`()
        async throws
    {
        var site = QuirkWorld.site(
            "landing", ["GET /me": #"{"id":90071992547409931,"name":"{{name}}","changed":1795185773}"#])
        site.landingPath = "/app"
        site.codeSuffix = "%2F+/=&;"
        site.switches.publicClientsUseBasic = true
        site.requiredParameters = ["fields": "id,name,changed", "f": "json"]
        site.resourceType = "text/javascript"
        site.tokenResponse = { members in
            .init(
                status: 201,
                bytes: Array(
                    #"{"access_token":"\#(members.accessToken)","refresh_token":"\#(members.refreshToken ?? "")","expires_in":"3600.0"}"#
                        .utf8))
        }
        try await QuirkWorld.live(
            Self.manifest(
                "landing", authorization: #"endpoint: "{site}/app#/authorize", scopes: [a]"#, client: "none_basic",
                profile: #"requests: {me: {url: "{site}/me?fields=id,name,changed&f=json"}}"#,
                claims: ", updated_at: $.me.changed"), site
        ) {
            $0.revokes = false
            $0.isPublic = true
        } check: {
            #expect($0[.authorize].byStatus == ["200": 2] && $0.codesExchanged == 1)
        }
    }

    @Test func `quirk A17, C5, E18, R6: no nonce comes back, the secret is a user name, and a plan lacks a scope`()
        async throws
    {
        var site = QuirkWorld.site("claims", ["GET /me": Self.me])
        site.openID = .init(returnsNonce: false)
        site.switches.secretIsUsername = true
        site.refusedScopes = ["offline"]
        site.offlineScope = "offline"
        site.requiredAuthorizationParameters = ["force_reapprove": "true"]
        let manifest = Self.manifest(
            "claims",
            authorization:
                #"endpoint: "{site}/authorize", scopes: [openid, offline], nonce: false, parameters: {force_reapprove: "true"}"#,
            client: "client_secret_username", more: "issuer: \"{site}\"")
        try await QuirkWorld.live(manifest.replacing("sub: $.me.id", with: "sub: $.id_token.sub"), site) {
            $0.revokes = false
            $0.refreshes = false
            $0.scopes = ["openid"]
        } check: {
            #expect($0.codesExchanged == 1 && $0.refreshTokens == 0)
        }
    }

    @Test
    func `quirk B2, B5, D19: what comes with the code leads to the profile; errors lack state, and come in lists`()
        async throws
    {
        var site = QuirkWorld.site("realm", ["GET /company/4620816365/me": Self.me])
        site.answerParameters = ["realmId": "4620816365"]
        site.errorsLackState = true
        site.refusals[.invalidGrant] = .init(
            status: 400, bytes: Array(#"{"errors":[{"errorType":"invalid_grant","message":"x"}],"success":false}"#.utf8)
        )
        try await QuirkWorld.live(
            Self.manifest(
                "realm", authorization: Self.plain,
                profile: #"requests: {me: {url: "{site}/company/{callback.realmId}/me"}}"#,
                more: #"callback: {keep: [{name: realmId, pattern: "[0-9]{1,20}"}]}"#), site
        ) { _ in
        } check: {
            #expect($0.denials == 1)
        } steps: { journey in
            var (browser, consent, url) = try await journey.begin("realm")
            let refused = try await browser.submit(consent, formHolding: "decision", fields: [("decision", "deny")])
            #expect(refused.status == 400 && refused.html.contains("invalid_callback"))
            // The session is as it was: the same browser begins again.
            let page = try await browser.open(url)
            let account = try await journey.allow("realm", browser.submit(page), in: browser)
            try journey.simulator.inject(SimulatedFault(.expireAccessTokens), at: .fixture("realm"))
            try journey.simulator.inject(SimulatedFault(.invalidGrant), at: .fixture("realm"))
            let synced = try await journey.call(.post, "/v1/accounts/\(account)/sync", fields: ["prefer": "wait=20"])
            #expect(synced.status == 409 && synced.body?["code"] == "needs_relink")
        }
    }

    // MARK: - The token endpoint's answer

    @Test func `quirk D12, D22: zero seconds are for ever, and openid brings no ID token`() async throws {
        var site = QuirkWorld.site("forever", ["GET /me": Self.me])
        site.switches.accessTokenLifetime = nil
        site.tokenResponse = { members in
            .init(bytes: Array(#"{"access_token":"\#(members.accessToken)","expires_in":0,"scope":null}"#.utf8))
        }
        try await QuirkWorld.live(
            Self.manifest(
                "forever", authorization: #"endpoint: "{site}/authorize", scopes: [openid]"#,
                token: "response: {zero_lifetime_is_forever: true}, "), site
        ) {
            $0.revokes = false
            $0.refreshes = false
        } check: {
            #expect($0[.token].requests == 1)
        }
    }

    // MARK: - Limits

    private struct Announcement: Sendable, CustomTestStringConvertible {
        var id: String
        var dialect: String
        /// Seconds until requests may go on, told 40 by the site, at that second since 1970.
        var wait: @Sendable (Int64) -> Int64 = { _ in 40 }
        var answer: @Sendable (SimulatedFixtureSite.Limit) -> SimulatedFixtureSite.Body

        var testDescription: String { id }

        init(
            _ id: String, _ dialect: String, status: Int = 429,
            wait: @escaping @Sendable (Int64) -> Int64 = { _ in 40 },
            _ fields: @escaping @Sendable (SimulatedFixtureSite.Limit) -> [String: String]
        ) {
            self.id = id
            self.dialect = dialect
            self.wait = wait
            answer = { .init(status: status, fields: fields($0), bytes: Array(#"{"error":"limited"}"#.utf8)) }
        }
    }

    private static let announcements = [
        Announcement("G3", "waits: [{header: X-Reset, unit: epoch_milliseconds}]") {
            ["x-reset": String($0.now + $0.wait)]
        },
        Announcement(
            "G5", "statuses_when_spent: [400], remaining: [X-Left], waits: [{header: X-Wait, unit: seconds}]",
            status: 400
        ) { ["x-left": "0", "x-wait": String($0.wait / 1000)] },
        Announcement("G7", "remaining: [X-Left], backoff: 40s") { _ in ["x-left": "0"] },
        Announcement(
            "G8", "usage: {limit: X-Limit, used: X-Used, windows: [1m, 1d]}", wait: { 86_400 - $0 % 86_400 }
        ) { _ in ["x-limit": "10,100", "x-used": "10,100"] },
        Announcement("G9", "waits: [{header: Retry-After, unit: milliseconds}]") { ["retry-after": String($0.wait)] },
    ]

    @Test(arguments: announcements.indices)
    func `quirk G3, G5, G7, G8, G9: a limit is read in the site's own way, and nothing is sent until it is over`(
        _ index: Int
    ) async throws {
        let announcement = Self.announcements[index]
        let id = "limit\(announcement.id.lowercased())"
        var site = QuirkWorld.site(id, ["GET /me": Self.me])
        site.limitAnswer = announcement.answer
        try await QuirkWorld.live(
            Self.manifest(id, authorization: Self.plain, more: "limits: {dialect: {\(announcement.dialect)}}"), site
        ) { _ in
        } check: {
            #expect($0.limited == 1)
        } steps: { journey in
            let account = try await journey.link(id)
            let name = SimulatedSite.fixture(id)
            try journey.simulator.inject(SimulatedFault(.limited, on: .profile) { $0.retryAfter = 40 }, at: name)
            for _ in 0..<2 {
                let synced = try await journey.call(
                    .post, "/v1/accounts/\(account)/sync", fields: ["prefer": "wait=20"])
                #expect(synced.status == 503 && synced.body?["code"] == "provider_unavailable")
                let wait = announcement.wait(SimulatorConfiguration.systemTime() / 1000)
                let said = try #require(synced.fields["retry-after"].flatMap { Int64($0) })
                // Half a minute, or a tenth, so that not everybody comes back at once; and what passed meanwhile.
                #expect((wait - 20...wait + 32).contains(said), "\(announcement.id): \(said) for \(wait)")
            }
            // The link's, and the one that was refused.
            #expect(journey.simulator.counters(of: name)[.profile].requests == 2)
        }
    }

    // MARK: - Signals

    @Test func `quirk V1: the site says that consent was taken back, and the account knows without asking`()
        async throws
    {
        var site = QuirkWorld.site("told", ["GET /me": Self.me])
        site.signal = .init(
            secret: "EXAMPLE-signal", body: Array(#"{"event":"consent_revoked","user":{"id":"{{id}}"}}"#.utf8))
        let signals = """
            signals:
              style: hmac_sha256
              signature: {header: X-Signature}
              event: {path: $.event}
              revoked: [consent_revoked]
              subject: $.user.id
            """
        try await QuirkWorld.live(Self.manifest("told", authorization: Self.plain, more: signals), site) {
            $0.signalSecret = "EXAMPLE-signal"
        } steps: { journey in
            let account = try await journey.link("told")
            let asked = journey.simulator.counters(of: .fixture("told")).requests
            let signal = try #require(
                journey.simulator.takeBackConsent(of: QuirkWorld.person, at: .fixture("told")))
            var fields = HeaderFields()
            for (name, value) in signal.fields { fields[name] = value }
            let answer = try await journey.transport.send(
                TransferRequest(
                    .post, journey.baseURL + "/signals/told", fields: fields,
                    body: .init(contentType: "application/json", bytes: signal.body)))
            #expect(answer.status == 204)
            let shown = try await journey.call(.get, "/v1/accounts/\(account)").body
            #expect(shown?["status"] == "needs_relink" && shown?["problem"]?["code"] == "consent_revoked")
            #expect(journey.simulator.counters(of: .fixture("told")).requests == asked)
        }
    }
}
