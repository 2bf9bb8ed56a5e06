import Synchronization

/// RFC 6749 and 7009 to the letter, around recorded bodies.
struct FixtureRules: SiteRules {
    let fixture: SimulatedFixtureSite

    var site: SimulatedSite { .fixture(fixture.name) }
    var defaultSwitches: SimulatorSwitches { fixture.switches }

    func endpoint(_ method: String, _ path: Substring) -> SimulatedEndpoint? {
        switch (method, String(path)) {
        case ("GET", fixture.authorizationPath): .authorize
        case ("POST", "/consent"): .consent
        case ("POST", fixture.tokenPath): .token
        case ("POST", fixture.revocationPath): .revocation
        case (_, let path) where fixture.resources["\(method) \(path)"] != nil: .profile
        case ("GET", let path) where path.hasPrefix("/avatars/"): .avatar
        default: nil
        }
    }

    // MARK: Authorization

    func scopes(requested text: String) -> [String]? { text.split(separator: fixture.scopeSeparator).map(String.init) }
    var bulkScopes: String { "" }
    func meaning(of scope: String) -> String { scope }
    func isOptional(_ scope: String) -> Bool { false }
    var redirectsOnMismatch: Bool { false }
    func responseParameters(_ draft: GrantLedger.Draft, scopes: [String]) -> [(String, String)] { [] }
    func errorParameters(_ error: String) -> [(String, String)] { [("error", error)] }
    func silentError(isSignedIn: Bool) -> String? { nil }
    func issuer(base: String) -> String { "\(base)/\(site)" }

    // MARK: Tokens

    func accessToken(using generator: inout SeededGenerator) -> String { "EXAMPLE-access-" + generator.text(24) }
    func refreshToken(using generator: inout SeededGenerator) -> String { "EXAMPLE-refresh-" + generator.text(24) }
    var readsJSONTokenRequests: Bool { fixture.readsJSONTokenRequests }
    var grantTypeIsOptional: Bool { false }

    func wantsRefreshToken(
        _ draft: GrantLedger.Draft, consentedBefore: Bool, switches: SimulatorSwitches
    ) -> Bool { switches.accessTokenLifetime != nil }

    func unreadableBody(_ call: Call) -> Reply { refusal(.invalidRequest("the body is of another type"), call) }

    func refusal(_ refusal: TokenRefusal, _ call: Call) -> Reply {
        let (status, code): (Int, JSONText) =
            switch refusal {
            case .invalidClient: (401, "invalid_client")
            case .invalidRequest: (400, "invalid_request")
            case .unsupportedGrantType: (400, "unsupported_grant_type")
            case .code, .codeVerifier, .redirectURI, .refreshToken: (400, "invalid_grant")
            }
        return .json(status, ["error": code])
    }

    func tokenResponse(
        _ issued: IssuedTokens, person: SimulatedPerson?, switches: SimulatorSwitches, _ call: Call
    ) -> Reply {
        if let write = fixture.tokenResponse {
            let body = write(
                .init(
                    accessToken: issued.accessToken, refreshToken: issued.refreshToken,
                    expiresIn: issued.accessLifetime, scopes: issued.scopes))
            return Reply(body.status, fields: [("content-type", body.contentType)], body: body.bytes)
        }
        let scope = issued.scopes.joined(separator: String(fixture.scopeSeparator))
        var members: [(String, JSONText)] = [("access_token", .string(issued.accessToken)), ("token_type", "Bearer")]
        if let lifetime = issued.accessLifetime { members.append(("expires_in", .integer(Int64(lifetime)))) }
        if let refresh = issued.refreshToken { members.append(("refresh_token", .string(refresh))) }
        if switches.sendsScope { members.append(("scope", .string(scope))) }
        return .json(200, .object(members), fields: [("cache-control", "no-store")])
    }

    func other(_ endpoint: SimulatedEndpoint, _ site: Site, _ call: Call) -> Reply {
        guard let form = site.readBody(call) else { return unreadableBody(call) }
        switch site.authenticateClient(call, form) {
        case .failure(let refusal): return self.refusal(refusal, call)
        case .success(let client):
            site.state.withLock { state in
                state.counters.revocations += 1
                guard let token = form["token"], state.ledger.holder(ofToken: token)?.client == client.id,
                    let family = state.ledger.family(ofToken: token)
                else { return }
                state.ledger.end(family: family)
            }
            return .json(200, .object([]))
        }
    }

    // MARK: The resource server

    var tokenSchemes: [String] { [fixture.tokenScheme.lowercased()] }

    func unauthorized(_ call: Call) -> Reply {
        .json(401, ["error": "invalid_token"], fields: [("www-authenticate", "Bearer error=\"invalid_token\"")])
    }

    func missingUserAgent() -> Reply { .text(403, "A User-Agent is required.") }

    func resource(
        _ endpoint: SimulatedEndpoint, _ bearer: Bearer, switches: SimulatorSwitches, _ call: Call
    ) -> Reply {
        if bearer.person.isSuspended { return unauthorized(call) }
        let body = fixture.resources["\(call.method) \(call.path)"] ?? []
        return tagged(
            Reply(200, fields: [("content-type", "application/json; charset=utf-8")], body: body), switches, call)
    }

    func limitKey(_ bearer: Bearer, _ endpoint: SimulatedEndpoint) -> String { bearer.token }
    func limitFields(_ use: RequestWindows.Use?, _ call: Call) -> [(name: String, value: String)] { [] }

    func limited(_ hit: LimitHit, _ call: Call) -> Reply {
        .json(
            hit.status ?? 429, ["error": "too_many_requests"],
            fields: [("retry-after", hit.retryAfter ?? String((hit.wait + 999) / 1000))])
    }
}
