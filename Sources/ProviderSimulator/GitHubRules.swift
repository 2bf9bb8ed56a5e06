import Synchronization

/// GitHub OAuth apps: errors with status 200, forms unless JSON is asked for, tokens that never expire unless the app
/// says otherwise, conditional requests that cost nothing. Facts: https://docs.github.com/en/apps/oauth-apps.
struct GitHubRules: SiteRules {
    let site = SimulatedSite.github

    var defaultSwitches: SimulatorSwitches {
        var switches = SimulatorSwitches()
        switches.refreshTokenLifetime = 15_811_200
        switches.refreshEndsAccessTokens = true
        switches.requiresUserAgent = true
        switches.sendsETags = true
        switches.tokensPerGrantMax = 10
        switches.tokenLimit = SimulatedLimit(count: 5000, seconds: 3600)
        return switches
    }

    func endpoint(_ method: String, _ path: Substring) -> SimulatedEndpoint? {
        let parts = path.split(separator: "/", omittingEmptySubsequences: true)
        switch (method, path) {
        case ("GET", "/login/oauth/authorize"): return .authorize
        case ("POST", "/consent"): return .consent
        case ("POST", "/login/oauth/access_token"): return .token
        case ("POST", "/login/device/code"): return .deviceAuthorization
        case ("GET", "/login/device"), ("POST", "/login/device"): return .device
        case ("GET", "/api/user"): return .profile
        case ("GET", "/api/user/emails"): return .emails
        case ("GET", _) where path.hasPrefix("/avatars/"): return .avatar
        default: break
        }
        guard parts.count == 4, parts[0] == "api", parts[1] == "applications" else { return nil }
        switch (method, parts[3]) {
        case ("DELETE", "token"): return .revocation
        case ("DELETE", "grant"): return .grant
        case ("POST", "token"): return .check
        default: return nil
        }
    }

    // MARK: Authorization

    private static let meanings = [
        "read:user": "Your profile, private parts too", "user": "Your profile, to read and to change",
        "user:email": "Your e-mail addresses", "offline_access": "Access while you are away",
        "read:org": "Your organizations",
    ]

    /// Spaces or commas; what GitHub does not know it leaves out.
    func scopes(requested text: String) -> [String]? {
        text.split { $0 == " " || $0 == "," }.map(String.init).filter { Self.meanings[$0] != nil }
    }

    var bulkScopes: String { "read:user user:email" }
    func meaning(of scope: String) -> String { Self.meanings[scope] ?? scope }
    func isOptional(_ scope: String) -> Bool { false }
    var redirectsOnMismatch: Bool { true }
    func responseParameters(_ draft: GrantLedger.Draft, scopes: [String]) -> [(String, String)] { [] }

    func errorParameters(_ error: String) -> [(String, String)] {
        let descriptions = [
            "access_denied": "The user has denied your application access.",
            "redirect_uri_mismatch": "The redirect_uri MUST match the registered callback URL for this application.",
        ]
        return [
            ("error", error), ("error_description", descriptions[error] ?? "The request was not valid."),
            (
                "error_uri",
                "https://docs.github.com/apps/managing-oauth-apps/troubleshooting-authorization-request-errors/"
            ),
        ]
    }

    var devicePage: String { "/login/device" }

    func silentError(isSignedIn: Bool) -> String? { nil }
    func issuer(base: String) -> String { base + "/github/login/oauth" }

    // MARK: Tokens

    func accessToken(using generator: inout SeededGenerator) -> String { "gho_EXAMPLE" + generator.text(29) }
    func refreshToken(using generator: inout SeededGenerator) -> String { "ghr_EXAMPLE" + generator.text(69) }
    var readsJSONTokenRequests: Bool { true }
    var grantTypeIsOptional: Bool { true }

    /// None while access tokens never expire.
    func wantsRefreshToken(
        _ draft: GrantLedger.Draft, consentedBefore: Bool, switches: SimulatorSwitches
    ) -> Bool { switches.accessTokenLifetime != nil }

    func unreadableBody(_ call: Call) -> Reply { refusal(.invalidClient, call) }

    func refusal(_ refusal: TokenRefusal, _ call: Call) -> Reply {
        switch refusal {
        case .invalidClient:
            error("incorrect_client_credentials", "The client_id and/or client_secret passed are incorrect.", call)
        case .code, .codeVerifier, .invalidRequest:
            error("bad_verification_code", "The code passed is incorrect or expired.", call)
        case .redirectURI:
            error(
                "redirect_uri_mismatch",
                "The redirect_uri MUST match the registered callback URL for this application.", call)
        case .refreshToken: error("bad_refresh_token", "The refresh token passed is incorrect or expired.", call)
        case .word(let code): error(code, "Refused.", call)
        case .device(.pending):
            error("authorization_pending", "The authorization request is still pending.", call)
        case .device(.slowDown(let interval)):
            error(
                "slow_down", "Too many requests have been made in the same timeframe.", call,
                [("interval", .integer(interval))])
        case .device(.denied): error("access_denied", "The authorization request was denied.", call)
        case .device(.expired): error("expired_token", "The `device_code` has expired.", call)
        case .device(.unknown): error("incorrect_device_code", "The device_code provided is not valid.", call)
        case .unsupportedGrantType: error("unsupported_grant_type", "The grant_type is not supported.", call)
        }
    }

    private func error(
        _ code: String, _ description: String, _ call: Call, _ more: [(String, JSONText)] = []
    ) -> Reply {
        answer(
            [
                ("error", .string(code)), ("error_description", .string(description)),
                (
                    "error_uri",
                    .string(
                        "https://docs.github.com/apps/managing-oauth-apps/troubleshooting-oauth-app-access-token-request-errors/#"
                            + code.split(separator: "_").joined(separator: "-"))
                ),
            ] + more, call)
    }

    func tokenResponse(
        _ issued: IssuedTokens, person: SimulatedPerson?, switches: SimulatorSwitches, _ call: Call
    ) -> Reply {
        var members: [(String, JSONText)] = [("access_token", .string(issued.accessToken))]
        if let lifetime = issued.accessLifetime { members.append(("expires_in", .integer(Int64(lifetime)))) }
        if let refresh = issued.refreshToken { members.append(("refresh_token", .string(refresh))) }
        if issued.refreshToken != nil, let lifetime = issued.refreshLifetime {
            members.append(("refresh_token_expires_in", .integer(Int64(lifetime))))
        }
        members.append(("token_type", "bearer"))
        if switches.sendsScope { members.append(("scope", .string(issued.scopes.joined(separator: ",")))) }
        return answer(members, call)
    }

    /// A form, unless the request accepts JSON.
    private func answer(_ members: [(String, JSONText)], _ call: Call) -> Reply {
        if call.accept.contains("json") {
            return .json(200, .object(members), contentType: "application/json; charset=utf-8")
        }
        let form = Form(
            members.map { name, value in
                switch value {
                case .string(let text): (name, text)
                case .integer(let number): (name, String(number))
                default: (name, "")
                }
            })
        return .text(200, form.text, contentType: "application/x-www-form-urlencoded; charset=utf-8")
    }

    /// The API alone minds; `github.com`, where tokens are had, does not.
    func takesUserAgent(_ value: String, at endpoint: SimulatedEndpoint) -> Bool {
        endpoint == .token || !value.isEmpty
    }

    // MARK: The app's own requests about tokens

    /// `DELETE /applications/{client_id}/token` and `/grant`, `POST /applications/{client_id}/token`.
    func other(_ endpoint: SimulatedEndpoint, _ site: Site, _ call: Call) -> Reply {
        let named = call.path.split(separator: "/").dropFirst(2).first.map { Form.decoded($0.utf8) }
        guard let basic = call.token(schemes: ["basic"]),
            let (id, secret) = BasicCredentials.read(basic, isFormEncoded: false),
            let client = site.state.withLock({ $0.clients[id] }), client.secret == secret
        else { return problem(401, "Bad credentials", "rest") }
        guard named == id else { return problem(404, "Not Found", "rest") }
        guard let token = Form(jsonObject: call.body)?["access_token"] else {
            return problem(422, "Validation Failed", "rest/apps/oauth-applications#delete-an-app-token")
        }
        return site.state.withLock { state in
            guard let (found, holder) = state.ledger.access(token, now: call.now), holder.client == id,
                let resident = state.resident(holder.person, site: self.site)
            else { return problem(404, "Not Found", "rest/apps/oauth-applications#delete-an-app-token") }
            switch endpoint {
            case .check: return check(token, found, client, resident.person, call)
            case .grant: state.ledger.end(holder)
            default: state.ledger.end(accessToken: token)
            }
            state.counters.revocations += 1
            return Reply(204)
        }
    }

    private func check(
        _ token: String, _ found: GrantLedger.AccessToken, _ client: SimulatedClient, _ person: SimulatedPerson,
        _ call: Call
    ) -> Reply {
        let issued = CalendarTime(milliseconds: found.issuedAt).iso8601 + "Z"
        return .json(
            200,
            [
                "id": 1, "url": .string("\(call.base)/github/api/authorizations/1"),
                "app": ["name": .string(client.name), "url": "https://example.com", "client_id": .string(client.id)],
                "token": .string(token), "token_last_eight": .string(String(token.suffix(8))), "note": .null,
                "created_at": .string(issued), "updated_at": .string(issued), "scopes": .strings(found.scopes),
                "user": GitHubUser.short(person, base: call.base),
                "expires_at": found.expiresAt.map { .string(CalendarTime(milliseconds: $0).iso8601 + "Z") } ?? .null,
            ], contentType: Self.json)
    }

    // MARK: The resource server

    private static let json = "application/json; charset=utf-8"
    var tokenSchemes: [String] { ["bearer", "token"] }

    func unauthorized(_ call: Call) -> Reply {
        // The limits of a 401 are those of the address, not of a token.
        var reply = problem(401, "Bad credentials", "rest")
        reply.fields += limitFields(
            .init(limit: 60, used: 1, resetsAt: call.now + 3_600_000, isExceeded: false), call)
        return reply
    }

    func missingUserAgent() -> Reply {
        .text(
            403,
            "Request forbidden by administrative rules. Please make sure your request has a User-Agent header "
                + "(https://docs.github.com/rest/overview/resources-in-the-rest-api#user-agent-required).\n",
            contentType: "text/html; charset=utf-8")
    }

    func resource(
        _ endpoint: SimulatedEndpoint, _ bearer: Bearer, switches: SimulatorSwitches, _ call: Call
    ) -> Reply {
        var reply: Reply
        if bearer.person.isSuspended {
            reply = problem(403, "Sorry. Your account was suspended.", "rest")
        } else if endpoint == .emails {
            reply =
                bearer.has("user:email") || bearer.has("user")
                ? .json(200, GitHubUser.emails(bearer.person), contentType: Self.json)
                : problem(404, "Not Found", "rest/users/emails#list-email-addresses-for-the-authenticated-user")
        } else {
            let isPrivate = bearer.has("read:user") || bearer.has("user")
            reply = .json(
                200, GitHubUser.document(bearer.resident, isPrivate: isPrivate, base: call.base),
                contentType: Self.json)
        }
        reply.fields += [
            ("cache-control", "private, max-age=60, s-maxage=60"),
            ("x-oauth-scopes", bearer.scopes.joined(separator: ", ")),
            ("x-accepted-oauth-scopes", endpoint == .emails ? "user, user:email" : ""),
            ("x-oauth-client-id", bearer.client), ("x-github-api-version-selected", "2022-11-28"),
            ("x-github-request-id", "EXAMPLE:1234:5678:9ABC:DEF0"),
        ]
        if reply.status == 200 {
            reply.fields.append(("last-modified", CalendarTime(milliseconds: bearer.resident.changedAt).httpDate))
        }
        return tagged(reply, switches, call)
    }

    private func problem(_ status: Int, _ message: String, _ documentation: String) -> Reply {
        .json(
            status,
            [
                "message": .string(message), "documentation_url": .string("https://docs.github.com/" + documentation),
                "status": .string(String(status)),
            ], contentType: Self.json)
    }

    // MARK: Limits

    /// Per person, over all their tokens.
    func limitKey(_ bearer: Bearer, _ endpoint: SimulatedEndpoint) -> String { "person/\(bearer.person.id)" }

    func limitFields(_ use: RequestWindows.Use?, _ call: Call) -> [(name: String, value: String)] {
        let use = use ?? .init(limit: 5000, used: 1, resetsAt: call.now + 3_600_000, isExceeded: false)
        return [
            ("x-ratelimit-limit", String(use.limit)), ("x-ratelimit-remaining", String(use.remaining)),
            ("x-ratelimit-reset", String((use.resetsAt + 999) / 1000)), ("x-ratelimit-used", String(use.used)),
            ("x-ratelimit-resource", "core"),
        ]
    }

    /// Primary: 403 and nothing remaining. Secondary: 403 or 429, Retry-After mostly, remaining as it was.
    func limited(_ hit: LimitHit, _ call: Call) -> Reply {
        let isPrimary = (hit.reach ?? "primary") == "primary"
        let message =
            isPrimary
            ? "API rate limit exceeded for user ID \(hit.person ?? "0"). If you reach out to GitHub Support for help, "
                + "please include the request ID EXAMPLE:1234:5678:9ABC:DEF0."
            : "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
        var reply = problem(hit.status ?? 403, message, "rest/overview/rate-limits-for-the-rest-api")
        let used = isPrimary ? 5000 : 13
        reply.fields += limitFields(
            hit.use ?? .init(limit: 5000, used: used, resetsAt: call.now + hit.wait, isExceeded: true), call)
        if let seconds = hit.retryAfter { reply.fields.append(("retry-after", seconds)) }
        return reply
    }
}
