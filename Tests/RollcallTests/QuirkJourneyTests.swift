import Foundation
import ProviderSimulator
import Testing

@testable import Rollcall

/// Providers that nobody has met, each with many habits of real ones at once: their sites insist on them, and a link, a
/// change, a refresh and an unlink get through all the same.
@Suite(.timeLimit(.minutes(10))) struct QuirkJourneyTests {
    /// - Parameter expectRefreshes: at least so many refreshes were answered.
    private func live(
        _ manifest: String, _ site: SimulatedFixtureSite, refreshes: Bool = true, revokes: Bool = true,
        expectRefreshes: Int = 0
    ) async throws {
        try await QuirkWorld.live(manifest, site) { provider in
            provider.refreshes = refreshes
            provider.revokes = revokes
        } check: {
            #expect($0.refreshes >= expectRefreshes)
        }
    }

    @Test
    func
        `quirk A1, A4, A5, A6, A7, A15, A16, C6, C16, D4, D6, D7, D14, E6, E10, F4, F9, F13: nothing has its usual name`()
        async throws
    {
        let manifest = """
            id: renamed
            name: Renamed
            variables: {site: "https://renamed.example"}
            authorization:
              endpoint: "{site}/authorize"
              response_type: omitted
              scopes: [a, b]
              scope_separator: ","
              parameters: {type: web_server}
              parameter_names: {client_id: client_key, redirect_uri: redirect_url, scope: perms}
            client_authentication: client_secret_post
            token:
              endpoint: "{site}/token"
              request:
                format: json
                sends_state: true
                parameter_names: {client_id: client_key, client_secret: client_pass, redirect_uri: redirect_url}
              response:
                content_types: [text/plain]
                path: [data]
                member_names: {access_token: [access, token], refresh_token: refreshToken, expires_in: expiresAt}
                lifetime_unit: epoch_milliseconds
              refresh: {endpoint: "{site}/refresh", grant_type: omitted, rotation: single_use}
            revocation: none
            profile:
              requests:
                viewer:
                  url: "{site}/graphql"
                  method: POST
                  authorization: {header: X-Access-Token}
                  body: {format: json, parameters: {query: "{ viewer { id name } }"}}
              claims:
                sub: $.viewer.data.viewer.id
                name: $.viewer.data.viewer.name
            """
        var site = QuirkWorld.site(
            "renamed", ["POST /graphql": #"{"data":{"viewer":{"id":90071992547409931,"name":"{{name}}"}}}"#])
        site.parameterNames = ["client_id": "client_key", "redirect_uri": "redirect_url", "scope": "perms"]
        site.responseType = nil
        site.scopeSeparator = ","
        site.wantsSortedParameters = true
        site.refusesEmptyParameters = true
        site.wantsState = true
        let names = ["client_id": "client_key", "client_secret": "client_pass", "redirect_uri": "redirect_url"]
        site.tokenRequest = .init(encoding: .json, parameterNames: names)
        site.refreshRequest = .init(path: "/refresh", encoding: .json, grantType: "", parameterNames: names)
        site.tokenPlace = .field("x-access-token")
        site.tokenResponse = { members in
            let end = SimulatorConfiguration.systemTime() + Int64(members.expiresIn ?? 0) * 1000
            return .init(
                contentType: "text/plain",
                bytes: Array(
                    #"{"data":{"access":{"token":"\#(members.accessToken)"},"refreshToken":"\#(members.refreshToken ?? "")","expiresAt":\#(end)}}"#
                        .utf8))
        }
        try await live(manifest, site, revokes: false)
    }

    @Test func `quirk A2, C7, D9, D24, E7, F5, R3: everything stands in queries, and tokens renew themselves`()
        async throws
    {
        let manifest = """
            id: queries
            name: Queries
            variables: {site: "https://queries.example"}
            authorization: {endpoint: "{site}/authorize", scopes: [a, b], scope_separator: "+"}
            client_authentication: client_secret_post
            token:
              endpoint: "{site}/token"
              request: {method: GET, format: query}
              response: {member_names: {expires_in: expires}}
              exchange:
                endpoint: "{site}/exchange"
                grant_type: long_lived
                parameter_names: {access_token: short_token}
              refresh:
                endpoint: "{site}/renew"
                grant_type: renewal
                parameter_names: {refresh_token: access_token}
                token: access_token
                ahead: 30d
            revocation: {method: DELETE, url: "{site}/permissions", authentication: bearer, success: [200], already_dead: [401]}
            profile:
              requests:
                me: {url: "{site}/me?fields=id,name", authorization: {query: access_token}}
              claims: {sub: $.me.id, name: $.me.name}
            """
        var site = QuirkWorld.site("queries", ["GET /me": #"{"id":90071992547409931,"name":"{{name}}"}"#])
        site.tokenRequest = .init(method: "GET", encoding: .query)
        site.exchangeRequest = .init(
            path: "/exchange", method: "GET", encoding: .query, grantType: "long_lived",
            parameterNames: ["access_token": "short_token"])
        site.refreshRequest = .init(
            path: "/renew", method: "GET", encoding: .query, grantType: "renewal", parameterNames: [:])
        site.refreshesByAccessToken = true
        site.tokenPlace = .query("access_token")
        site.revocationRequest = .init("DELETE", "/permissions", proof: .bearer)
        site.tokenResponse = { members in
            .init(
                bytes: Array(
                    #"{"access_token":"\#(members.accessToken)","expires":"\#(members.expiresIn ?? 0)"}"#.utf8))
        }
        // One exchange, and a renewal ahead of the end.
        try await live(manifest, site, refreshes: false, expectRefreshes: 2)
    }

    @Test func `quirk A3, A8, C8, C10, D14, F5, F7: a server without state, PUT, and a token in the body`() async throws
    {
        let manifest = """
            id: stateless
            name: Stateless
            variables: {site: "https://stateless.example"}
            authorization:
              endpoint: "{site}/authorize"
              state_in: redirect_uri
              scopes: [a, b]
              scope_separator: "|"
            client_authentication: client_secret_basic
            token:
              endpoint: "{site}/token"
              request: {method: PUT, headers: {client-id: "{client_id}"}}
              response: {lifetime_unit: d_hh_mm}
              refresh: {rotation: single_use}
            revocation: {endpoint: "{site}/revoke", style: rfc7009}
            profile:
              requests:
                me:
                  url: "{site}/me"
                  method: POST
                  authorization: {body: token}
                  headers: {X-Version: "2"}
                  body: {format: form, parameters: {v: "5.199"}}
              claims: {sub: $.me.response.id, name: $.me.response.name}
            """
        var site = QuirkWorld.site(
            "stateless", ["POST /me": #"{"response":{"id":90071992547409931,"name":"{{name}}"}}"#])
        site.revocationPath = "/revoke"
        site.scopeSeparator = "|"
        site.ignoresState = true
        site.tokenRequest = .init(method: "PUT", encoding: .form)
        site.requiredTokenFields = ["client-id": "demo-stateless"]
        site.requiredFields = ["x-version": "2"]
        site.tokenPlace = .body("token")
        site.switches.acceptsPost = false
        site.tokenResponse = { members in
            .init(
                bytes: Array(
                    #"{"access_token":"\#(members.accessToken)","refresh_token":"\#(members.refreshToken ?? "")","expires_in":"0:01:00"}"#
                        .utf8))
        }
        try await live(manifest, site)
    }

    @Test func `quirk A8, B1, D21, D23: the person and their server come with the token, the code by another name`()
        async throws
    {
        let manifest = """
            id: kept
            name: Kept
            variables: {site: "https://kept.example"}
            authorization:
              endpoint: "{site}/authorize"
              scopes: [a]
              parameter_names: {state: customField}
            callback: {parameter_names: {code: auth_code, state: customState}}
            client_authentication: client_secret_post
            token:
              endpoint: "{site}/token"
              response: {keep: [athlete, {name: instance_url, hosts: ["*.kept.example", 127.0.0.1]}]}
              refresh: {rotation: single_use}
            revocation: none
            profile:
              requests:
                me: {url: "{token.instance_url}/me"}
              claims: {sub: $.token.athlete.id, preferred_username: $.token.athlete.username, name: $.me.name}
            """
        var site = QuirkWorld.site("kept", ["GET /server-7/me": #"{"name":"{{name}}"}"#])
        site.parameterNames = ["state": "customField"]
        site.stateName = "customState"
        site.codeName = "auth_code"
        site.tokenResponse = { members in
            let told =
                members.isRefreshed
                ? ""
                : #","athlete":{"id":90071992547409931,"username":"mira"},"instance_url":"\#(members.base)/server-7""#
            return .init(
                bytes: Array(
                    #"{"access_token":"\#(members.accessToken)","refresh_token":"\#(members.refreshToken ?? "")","expires_in":3600\#(told)}"#
                        .utf8))
        }
        try await live(manifest, site, revokes: false)
    }

    @Test func `quirk C9, C13, D14, F1, F12: a POST with everything in its query, and a hash for a secret`()
        async throws
    {
        let manifest = """
            id: hashed
            name: Hashed
            variables: {site: "https://hashed.example"}
            authorization: {endpoint: "{site}/authorize", scopes: [a]}
            client_authentication: none
            token:
              endpoint: "{site}/token"
              request: {format: query, plugin: smartsheet}
              response: {member_names: {expires_in: expires_at}, lifetime_unit: rfc3339}
              refresh: {rotation: single_use}
            revocation: none
            profile:
              requests:
                me: {url: "{site}/me?f=json", authorization: token}
              claims: {sub: $.me.id, name: $.me.name}
            """
        var site = QuirkWorld.site("hashed", ["GET /me": #"{"id":"90071992547409931","name":"{{name}}"}"#])
        site.tokenRequest = .init(encoding: .query)
        site.wantsSecretHash = true
        site.tokenScheme = "token"
        site.tokenResponse = { members in
            let end = Date(timeIntervalSinceNow: Double(members.expiresIn ?? 0)).formatted(.iso8601)
            return .init(
                bytes: Array(
                    #"{"access_token":"\#(members.accessToken)","refresh_token":"\#(members.refreshToken ?? "")","expires_at":"\#(end)"}"#
                        .utf8))
        }
        try await live(manifest, site, revokes: false)
    }
}
