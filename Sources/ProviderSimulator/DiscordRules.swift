import Synchronization

/// Discord as of API v10: forms only, single-use refresh tokens, one revocation for everything, limits by bucket.
/// Facts: https://docs.discord.com/developers/topics/oauth2 and …/rate-limits.
struct DiscordRules: SiteRules {
    let site = SimulatedSite.discord

    var defaultSwitches: SimulatorSwitches {
        var switches = SimulatorSwitches()
        switches.accessTokenLifetime = 604_800
        switches.requiresUserAgent = true
        switches.clientLimit = SimulatedLimit(count: 50, seconds: 1)
        switches.invalidRequestLimit = SimulatedLimit(count: 10_000, seconds: 600)
        return switches
    }

    func endpoint(_ method: String, _ path: Substring) -> SimulatedEndpoint? {
        switch (method, Self.withoutVersion(path)) {
        case ("GET", "/oauth2/authorize"), ("GET", "/api/oauth2/authorize"): .authorize
        case ("POST", "/consent"): .consent
        case ("POST", "/api/oauth2/token"): .token
        case ("POST", "/api/oauth2/token/revoke"): .revocation
        case ("POST", "/api/oauth2/device/authorize"): .deviceAuthorization
        case ("GET", "/activate"), ("POST", "/activate"): .device
        case ("GET", "/api/users/@me"): .profile
        case ("GET", "/api/users/@me/guilds"): .guilds
        case ("GET", "/api/users/@me/connections"): .connections
        case ("GET", "/api/oauth2/@me"): .authorization
        case ("GET", "/api/oauth2/userinfo"): .userinfo
        case ("GET", let path) where path.hasPrefix("/avatars/"): .avatar
        default: nil
        }
    }

    /// `/api/v10/…` and `/api/…` are the same.
    private static func withoutVersion(_ path: Substring) -> Substring {
        guard path.hasPrefix("/api/v") else { return path }
        let rest = path.dropFirst(6).drop { $0.isNumber }
        return rest.hasPrefix("/") ? "/api" + rest : path
    }

    // MARK: Authorization

    private static let meanings = [
        "identify": "Your user name, avatar and banner", "email": "Your e-mail address",
        "guilds": "The servers you are in", "connections": "Your accounts elsewhere", "openid": "Who you are",
    ]

    func scopes(requested text: String) -> [String]? {
        let scopes = text.split(separator: " ").map(String.init)
        return scopes.isEmpty || scopes.contains { Self.meanings[$0] == nil } ? nil : scopes
    }

    var bulkScopes: String { "identify email" }
    func meaning(of scope: String) -> String { Self.meanings[scope] ?? scope }
    func isOptional(_ scope: String) -> Bool { false }
    var redirectsOnMismatch: Bool { false }
    func responseParameters(_ draft: GrantLedger.Draft, scopes: [String]) -> [(String, String)] { [] }

    func errorParameters(_ error: String) -> [(String, String)] {
        let descriptions = [
            "access_denied": "The resource owner or authorization server denied the request",
            "invalid_scope": "The requested scope is invalid, unknown, or malformed.",
        ]
        return [("error", error)] + (descriptions[error].map { [("error_description", $0)] } ?? [])
    }

    var devicePage: String { "/activate" }

    func silentError(isSignedIn: Bool) -> String? { nil }
    func issuer(base: String) -> String { base + "/discord" }

    // MARK: Tokens

    func accessToken(using generator: inout SeededGenerator) -> String { "EXAMPLE-dc-access-" + generator.text(24) }
    func refreshToken(using generator: inout SeededGenerator) -> String { "EXAMPLE-dc-refresh-" + generator.text(24) }
    var readsJSONTokenRequests: Bool { false }
    var grantTypeIsOptional: Bool { false }
    func wantsRefreshToken(
        _ draft: GrantLedger.Draft, consentedBefore: Bool, switches: SimulatorSwitches
    ) -> Bool { true }

    func unreadableBody(_ call: Call) -> Reply { .json(400, ["message": "400: Bad Request", "code": 0]) }

    func refusal(_ refusal: TokenRefusal, _ call: Call) -> Reply {
        switch refusal {
        case .invalidClient: .json(401, ["error": "invalid_client"])
        case .invalidRequest(let reason): error("invalid_request", reason)
        case .unsupportedGrantType: error("unsupported_grant_type", "Invalid \"grant_type\" in request.")
        case .word(let code): error(code, "Refused.")
        case .code: error("invalid_grant", "Invalid \"code\" in request.")
        case .codeVerifier: error("invalid_grant", "Invalid \"code_verifier\" in request.")
        case .redirectURI: error("invalid_grant", "Invalid \"redirect_uri\" in request.")
        case .device(.pending):
            error("authorization_pending", "The user has not yet approved the device authorization request")
        case .device(.slowDown): error("slow_down", "The device asks too often")
        case .device(.denied): error("access_denied", "The user has denied the device authorization request")
        case .device(.expired): error("expired_token", "The device code has expired")
        case .device(.unknown): error("invalid_grant", "Invalid \"device_code\" in request.")
        case .refreshToken: error("invalid_grant", "Invalid \"refresh_token\" in request")
        }
    }

    private func error(_ code: String, _ description: String) -> Reply {
        .json(400, ["error": .string(code), "error_description": .string(description)])
    }

    func tokenResponse(
        _ issued: IssuedTokens, person: SimulatedPerson?, switches: SimulatorSwitches, _ call: Call
    ) -> Reply {
        var members: [(String, JSONText)] = [("token_type", "Bearer"), ("access_token", .string(issued.accessToken))]
        if let lifetime = issued.accessLifetime { members.append(("expires_in", .integer(Int64(lifetime)))) }
        if let refresh = issued.refreshToken { members.append(("refresh_token", .string(refresh))) }
        if switches.sendsScope { members.append(("scope", .string(issued.scopes.joined(separator: " ")))) }
        return .json(200, .object(members), fields: [("cache-control", "no-store")])
    }

    /// Any live token of an authorization ends the whole of it; others are answered alike (RFC 7009 §2.2).
    func other(_ endpoint: SimulatedEndpoint, _ site: Site, _ call: Call) -> Reply {
        guard endpoint == .revocation, let form = site.readBody(call) else { return unreadableBody(call) }
        switch site.authenticateClient(call, form) {
        case .failure(let refusal): return self.refusal(refusal, call)
        case .success(let client):
            site.state.withLock { state in
                state.counters.revocations += 1
                guard let holder = form["token"].flatMap({ state.ledger.holder(ofLiveToken: $0, now: call.now) }),
                    holder.client == client.id
                else { return }
                state.ledger.end(holder)
            }
            return .json(200, .object([]))
        }
    }

    // MARK: The resource server

    var tokenSchemes: [String] { ["bearer"] }
    func unauthorized(_ call: Call) -> Reply { .json(401, ["message": "401: Unauthorized", "code": 0]) }
    func missingUserAgent() -> Reply { .text(403, "error code: 1010") }

    /// `DiscordBot (url, version)`, with whatever follows.
    func takesUserAgent(_ value: String, at endpoint: SimulatedEndpoint) -> Bool {
        value.prefixMatch(of: /DiscordBot \([^\s,()]+, [^\s,()]+\)/) != nil
    }

    func resource(
        _ endpoint: SimulatedEndpoint, _ bearer: Bearer, switches: SimulatorSwitches, _ call: Call
    ) -> Reply {
        let person = bearer.person
        if person.isSuspended { return unauthorized(call) }
        switch endpoint {
        case .profile where bearer.has("identify"):
            return tagged(.json(200, user(person, withEmail: bearer.has("email"))), switches, call)
        case .userinfo where bearer.has("openid"): return .json(200, userinfo(person, bearer))
        case .guilds where bearer.scopes.contains("guilds"): return .json(200, guilds(person))
        case .connections where bearer.scopes.contains("connections"): return .json(200, .array([]))
        case .authorization: return .json(200, authorization(bearer))
        default: return .json(403, ["message": "Missing required OAuth2 scope", "code": 50026])
        }
    }

    private func user(_ person: SimulatedPerson, withEmail: Bool) -> JSONText {
        var members = Self.partialUser(person)
        members += [
            ("banner", .null), ("accent_color", .null), ("avatar_decoration_data", .null), ("collectibles", .null),
            ("primary_guild", .null), ("mfa_enabled", true), ("locale", .optional(person.locale)),
            ("premium_type", 0),
        ]
        if withEmail {
            members.append(("email", .optional(person.email)))
            members.append(("verified", .bool(person.email != nil && person.emailVerified)))
        }
        return .object(members)
    }

    private static func partialUser(_ person: SimulatedPerson) -> [(String, JSONText)] {
        [
            ("id", .string(person.id)), ("username", .string(person.username)), ("avatar", .optional(person.avatar)),
            ("discriminator", .string(person.discriminator)), ("public_flags", 0), ("flags", 0),
            ("global_name", .optional(person.name)),
        ]
    }

    private func userinfo(_ person: SimulatedPerson, _ bearer: Bearer) -> JSONText {
        var members: [(String, JSONText)] = [
            ("sub", .string(person.id)), ("preferred_username", .string(person.username)),
            ("nickname", .optional(person.name)), ("locale", .optional(person.locale)),
        ]
        if bearer.has("email") {
            members += [("email", .optional(person.email)), ("email_verified", .bool(person.emailVerified))]
        }
        return .object(members)
    }

    private func guilds(_ person: SimulatedPerson) -> JSONText {
        .array([
            [
                "id": "522345678901234567", "name": "Café & <b>Co</b>", "icon": .null, "banner": .null, "owner": false,
                "permissions": "36953089", "features": .array([]),
            ]
        ])
    }

    private func authorization(_ bearer: Bearer) -> JSONText {
        let expires = CalendarTime(milliseconds: bearer.expiresAt ?? 253_402_300_799_000).iso8601
        return [
            "application": [
                "id": "159000000000000001", "name": "Example Application", "icon": .null, "description": "",
                "type": .null,
            ],
            "expires": .string(expires + ".000000+00:00"), "scopes": .strings(bearer.scopes.sorted()),
            "user": .object(Self.partialUser(bearer.person)),
        ]
    }

    // MARK: Limits

    func limitKey(_ bearer: Bearer, _ endpoint: SimulatedEndpoint) -> String { "\(endpoint.rawValue)/\(bearer.token)" }

    func limitFields(_ use: RequestWindows.Use?, _ call: Call) -> [(name: String, value: String)] {
        let use = use ?? .init(limit: 10, used: 1, resetsAt: call.now + 1000, isExceeded: false)
        return [
            ("x-ratelimit-limit", String(use.limit)), ("x-ratelimit-remaining", String(use.remaining)),
            ("x-ratelimit-reset", decimalSeconds(milliseconds: use.resetsAt)),
            ("x-ratelimit-reset-after", decimalSeconds(milliseconds: use.resetsAt - call.now)),
            ("x-ratelimit-bucket", "example0"),
        ]
    }

    func limited(_ hit: LimitHit, _ call: Call) -> Reply {
        let reach = hit.reach ?? "user"
        let seconds = hit.retryAfter ?? String((hit.wait + 999) / 1000)
        if reach == "ban" {
            var reply = Reply.text(429, "error code: 1015")
            reply.fields += [("server", "cloudflare"), ("retry-after", seconds)]
            return reply
        }
        var fields: [(name: String, value: String)] = [("retry-after", seconds)]
        if reach == "global" {
            fields.append(("x-ratelimit-global", "true"))
        } else {
            var use = hit.use ?? .init(limit: 10, used: 10, resetsAt: call.now + hit.wait, isExceeded: true)
            if reach == "shared" { use.used = 1 }
            fields += limitFields(use, call)
        }
        fields.append(("x-ratelimit-scope", reach))
        let message = reach == "shared" ? "The resource is being rate limited." : "You are being rate limited."
        return .json(
            429,
            [
                "message": .string(message), "retry_after": .number(decimalSeconds(milliseconds: hit.wait)),
                "global": .bool(reach == "global"),
            ], fields: fields)
    }
}
