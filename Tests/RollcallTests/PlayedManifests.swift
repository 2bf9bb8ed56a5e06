import Accounts
import Foundation
import JSON
import ProviderSimulator
import TestSupport

@testable import Rollcall

/// Built-in manifests and the simulated sites that play them, from the answers recorded for `ProvidersTests`.
enum PlayedManifests {
    static let ids = [
        "apple", "discord", "enterprise", "github", "github-app", "gitlab", "google", "keyed", "microsoft", "notion",
        "reddit",
        "slack",
        "spotify", "strava", "twitch", "work", "x",
    ]

    static func provider(_ id: String) throws -> DemoProvider {
        if let known = DemoProvider.all.first(where: { $0.id == id }) { return known }
        switch id {
        case "apple":
            var apple = try played(id, ["site"], "/auth/authorize", "/auth/token", person: "000123.EXAMPLE.0001") {
                site in
                site.openID = .init(claims: ["email": "EXAMPLE@privaterelay.example", "email_verified": "true"])
                site.revocationPath = "/auth/revoke"
                site.postsOnce = true
                site.postedParameters = ["user": #"{"name":{"firstName":"Mira","lastName":"Example"}}"#]
                site.switches.acceptsBasic = false
                site.switches.requiresAssertions = true
                site.switches.requiresKeyID = true
                site.switches.assertionIssuer = "TEAMEXAMPL"
                site.refusals = [
                    .invalidGrant: try answer(id, "invalid_grant"), .invalidClient: try answer(id, "invalid_client"),
                ]
            }
            apple.clientKey = (private: Secret(ExampleKeys.p256), public: ExampleKeys.p256Public)
            apple.keyID = "EXAMPLE-kid"
            apple.settings = ["team": "TEAMEXAMPL"]
            apple.tellsChanges = false
            // No request of a profile is there to be refused before the token's end.
            apple.refreshes = false
            return apple
        case "work": return DemoProvider(id: id, manifest: "oidc", site: .openID("work"))
        case "keyed":
            return DemoProvider(
                id: id, manifest: "oidc", site: .openID("work"),
                clientKey: (private: Secret(ExampleKeys.p256), public: ExampleKeys.p256Public),
                resources: ["https://api.example.com"], bindsTokens: true)
        case "enterprise": return DemoProvider(id: id, manifest: "github", site: .github)
        case "github-app": return DemoProvider(id: id, site: .github)
        case "gitlab":
            return try played(id, ["site"], "/oauth/authorize", "/oauth/token", person: "2") { site in
                site.revocationPath = "/oauth/revoke"
                site.resources["GET /api/v4/user"] = try body(id, "user", [["name"]: "{{name}}"])
                site.switches.refreshEndsAccessTokens = true
                // Asked for with a refresh as well.
                site.requiredTokenParameters = ["redirect_uri": ""]
                site.refusals[.unauthorized] = try answer(id, "user_401")
            }
        case "microsoft":
            let tenant = "11111111-1111-1111-1111-111111111111"
            var microsoft = try played(
                id, ["site", "api"], "/common/oauth2/v2.0/authorize", "/common/oauth2/v2.0/token",
                person: "00000000-1111-2222-3333-444444444444"
            ) { site in
                site.openID = .init(
                    issuerPath: "/common/v2.0", documentIssuerPath: "/{tenantid}/v2.0",
                    tokenIssuerPath: "/\(tenant)/v2.0", claims: ["tid": tenant])
                site.resources["GET /v1.0/me"] = try body(id, "graph_me", [["displayName"]: "{{name}}"])
                site.refusals = [
                    .invalidGrant: try answer(id, "invalid_grant_revoked"),
                    .invalidClient: try answer(id, "invalid_client"), .unauthorized: try answer(id, "graph_401"),
                ]
            }
            microsoft.revokes = false
            return microsoft
        case "notion":
            return try played(
                id, ["api"], "/v1/oauth/authorize", "/v1/oauth/token", person: "11111111-2222-3333-4444-555555555555"
            ) { site in
                // An end that no answer tells of.
                site.switches.accessTokenLifetime = 3600
                site.switches.acceptsPost = false
                site.readsJSONTokenRequests = true
                site.requiredFields = ["notion-version": "2022-06-28"]
                site.requiredTokenFields = ["notion-version": "2022-06-28", "content-type": "application/json"]
                site.revocationRequest = .init("POST", "/v1/oauth/revoke", proof: .basic, member: "token")
                site.resources["GET /v1/users/me"] = try body(
                    id, "bot", [["bot", "owner", "user", "name"]: "{{name}}"])
                site.refusals[.unauthorized] = try answer(id, "bot_401")
            }
        case "reddit":
            return try played(id, ["site", "api"], "/api/v1/authorize", "/api/v1/access_token", person: "1a2b3c") {
                site in
                site.revocationPath = "/api/v1/revoke_token"
                site.switches.acceptsPost = false
                site.switches.requiresUserAgent = true
                site.resources["GET /api/v1/me"] = try body(id, "me", [["subreddit", "title"]: "{{name}}"])
                site.refusals = [
                    .invalidGrant: try answer(id, "refresh_400"), .invalidClient: try answer(id, "invalid_client"),
                    .unauthorized: try answer(id, "me_401"),
                ]
            }
        case "slack":
            var slack = try played(
                id, ["site"], "/openid/connect/authorize", "/api/openid.connect.token", person: "U0EXAMPLE"
            ) { site in
                site.openID = .init(userinfoPath: "/api/openid.connect.userInfo")
                site.revocationRequest = .init("POST", "/api/auth.revoke", proof: .bearer)
                site.resources["GET /api/openid.connect.userInfo"] = try body(id, "userinfo", [["name"]: "{{name}}"])
                site.refusals = [
                    .invalidGrant: try answer(id, "token_error"), .invalidClient: try answer(id, "token_bad_secret"),
                    .unauthorized: try answer(id, "userinfo_invalid_auth"),
                ]
            }
            slack.refreshes = false
            return slack
        case "spotify":
            var spotify = try played(
                id, ["site", "api"], "/authorize", "/api/token", refreshed: "token_refreshed_no_refresh_token",
                person: "0123456789abcdefghijkl"
            ) { site in
                site.switches.acceptsPost = false
                site.resources["GET /v1/me"] = try body(id, "me", [["display_name"]: "{{name}}"])
                site.refusals[.unauthorized] = try answer(id, "me_401")
            }
            spotify.revokes = false
            return spotify
        case "strava":
            return try played(id, ["site"], "/oauth/authorize", "/api/v3/oauth/token", person: "134815") { site in
                site.scopeSeparator = ","
                site.switches.acceptsBasic = false
                site.revocationRequest = .init("POST", "/oauth/deauthorize", proof: .bearer)
                site.resources["GET /api/v3/athlete"] = try body(
                    id, "athlete", [["firstname"]: "{{given_name}}", ["lastname"]: "{{family_name}}"])
                site.refusals = [
                    .invalidGrant: try answer(id, "invalid_grant_refresh"),
                    .invalidClient: try answer(id, "invalid_client"), .unauthorized: try answer(id, "athlete_401"),
                ]
            }
        case "twitch":
            return try played(id, ["site", "api"], "/oauth2/authorize", "/oauth2/token", person: "900000001") { site in
                site.revocationPath = "/oauth2/revoke"
                site.switches.acceptsBasic = false
                site.requiredFields = ["client-id": "{client_id}"]
                site.validationPath = "/oauth2/validate"
                site.switches.validationInterval = 3600
                site.resources["GET /helix/users"] = try body(
                    id, "helix_users", [["data", "0", "display_name"]: "{{name}}"])
                site.refusals = [
                    .invalidGrant: try answer(id, "refresh_400"),
                    .invalidClient: try answer(id, "token_403_client_secret"),
                    .unauthorized: try answer(id, "helix_401"),
                ]
            }
        case "x":
            return try played(
                id, ["site", "api"], "/i/oauth2/authorize", "/2/oauth2/token", person: "2244994945123456789"
            ) { site in
                site.revocationPath = "/2/oauth2/revoke"
                site.switches.acceptsPost = false
                site.switches.requiresPKCE = true
                site.switches.reuseRevokesFamily = true
                site.requiredTokenParameters = ["client_id": "demo-x"]
                site.resources["GET /2/users/me"] = try body(id, "me", [["data", "name"]: "{{name}}"])
                site.refusals[.unauthorized] = try answer(id, "me_401")
            }
        default: throw Unknown(id: id)
        }
    }

    struct Unknown: Error { let id: String }

    // MARK: Recorded answers

    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "ProvidersTests/Fixtures")

    private static func recorded(_ id: String, _ name: String) throws -> JSONValue {
        try JSONValue(parsing: Array(Data(contentsOf: folder.appending(path: "\(id)/\(name).json"))))
    }

    private static func answer(_ id: String, _ name: String) throws -> SimulatedFixtureSite.Body {
        let recorded = try recorded(id, name)
        return .init(
            status: recorded["status"]?.number?.int64.map { Int($0) } ?? 200,
            contentType: recorded["headers"]?["content-type"]?.string ?? "application/json",
            bytes: Array((recorded["body"]?.text ?? recorded["body_text"]?.string ?? "").utf8))
    }

    /// The body with other values at some places.
    private static func body(_ id: String, _ name: String, _ changes: [[String]: String]) throws -> [UInt8] {
        var body = try recorded(id, name)["body"] ?? .null
        for (path, value) in changes { body = body.setting(path[...], to: .string(value)) }
        return Array(body.text.utf8)
    }

    /// A site that grants and refreshes with the recorded token answers, the tokens in them its own.
    private static func played(
        _ id: String, _ variables: [String], _ authorization: String, _ token: String,
        refreshed: String = "token_refreshed", person: String, _ change: (inout SimulatedFixtureSite) throws -> Void
    ) throws -> DemoProvider {
        var site = SimulatedFixtureSite(
            name: id, authorizationPath: authorization, tokenPath: token, resources: [:])
        site.people = [
            SimulatedPerson(site: .fixture(id), id: person, username: "mira", name: "Mira Example")
        ]
        let first = try recorded(id, "token")["body"] ?? .null
        let hasRefresh = first["refresh_token"]?.string != nil
        let second = hasRefresh ? try recorded(id, refreshed)["body"] ?? .null : first
        site.switches.accessTokenLifetime = first["expires_in"]?.number?.int64.map { Int($0) }
        site.switches.rotatesRefreshTokens =
            second["refresh_token"].map { $0 != first["refresh_token"] && $0 != .null } ?? false
        site.tokenResponse = { members in
            var body = (members.isRefreshed ? second : first).setting(
                ["access_token"], to: .string(members.accessToken))
            for (name, value) in [("refresh_token", members.refreshToken), ("id_token", members.idToken)]
            where body[name] != nil {
                body = body.setting([name], to: value.map { .string($0) } ?? .null)
            }
            return .init(bytes: Array(body.text.utf8))
        }
        try change(&site)
        var provider = DemoProvider(id: id, site: .fixture(id))
        provider.fixture = site
        provider.variables = variables
        return provider
    }
}

extension JSONValue {
    /// With another value at the place that names and indices lead to.
    fileprivate func setting(_ path: ArraySlice<String>, to value: JSONValue) -> JSONValue {
        guard let name = path.first else { return value }
        switch self {
        case .object(var members):
            members[name] = (members[name] ?? .null).setting(path.dropFirst(), to: value)
            return .object(members)
        case .array(var elements):
            if let index = Int(name), elements.indices.contains(index) {
                elements[index] = elements[index].setting(path.dropFirst(), to: value)
            }
            return .array(elements)
        default: return self
        }
    }
}
