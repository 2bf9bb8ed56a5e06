import Synchronization

/// RFC 6749 and 7009 to the letter, around recorded bodies.
struct FixtureRules: SiteRules {
    let fixture: SimulatedFixtureSite
    let keys = SigningKeys()

    var site: SimulatedSite { .fixture(fixture.name) }
    var defaultSwitches: SimulatorSwitches { fixture.switches }

    func endpoint(_ method: String, _ path: Substring) -> SimulatedEndpoint? {
        switch (method, String(path)) {
        case ("GET", fixture.authorizationPath), ("GET", fixture.landingPath): .authorize
        case ("POST", "/consent"): .consent
        case (_, let path) where tokenForm(method, path) != nil: .token
        case ("POST", fixture.revocationPath): .revocation
        case (fixture.revocationRequest?.method, fixture.revocationRequest?.path): .revocation
        case ("GET", fixture.validationPath): .validation
        case ("GET", fixture.openID.map { $0.issuerPath + "/.well-known/openid-configuration" }): .metadata
        case ("GET", fixture.openID.map { _ in "/keys" }): .keys
        case (_, let path) where fixture.resources["\(method) \(path)"] != nil: .profile
        case ("GET", let path) where path.hasPrefix("/avatars/"): .avatar
        default: nil
        }
    }

    // MARK: Authorization

    func scopes(requested text: String) -> [String]? {
        let scopes = text.split(separator: fixture.scopeSeparator).map(String.init)
        return scopes.contains(where: fixture.refusedScopes.contains) ? nil : scopes
    }
    var bulkScopes: String { "" }
    func meaning(of scope: String) -> String { scope }
    func isOptional(_ scope: String) -> Bool { false }
    var redirectsOnMismatch: Bool { false }
    func responseParameters(_ draft: GrantLedger.Draft, scopes: [String]) -> [(String, String)] {
        fixture.answerParameters.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }
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
    ) -> Bool {
        switches.accessTokenLifetime != nil && (fixture.offlineScope.map(draft.scopes.contains) ?? true)
    }

    func refusal(of call: Call, _ form: Form) -> TokenRefusal? {
        for (name, value) in fixture.requiredTokenFields where call.field(name) != value {
            return .invalidRequest("the field \(name) is missing or wrong")
        }
        for (name, value) in fixture.requiredTokenParameters
        where value.isEmpty ? form[name] == nil : form[name] != value {
            return .invalidRequest("the parameter \(name) is missing or wrong")
        }
        return nil
    }

    func unreadableBody(_ call: Call) -> Reply { refusal(.invalidRequest("the body is of another type"), call) }

    func refusal(_ refusal: TokenRefusal, _ call: Call) -> Reply {
        let (status, code): (Int, JSONText) =
            switch refusal {
            case .invalidClient: (401, "invalid_client")
            case .invalidRequest: (400, "invalid_request")
            case .unsupportedGrantType: (400, "unsupported_grant_type")
            case .word(let code): (400, .string(code))
            case .device(.pending): (400, "authorization_pending")
            case .device(.slowDown): (400, "slow_down")
            case .device(.denied): (400, "access_denied")
            case .device(.expired): (400, "expired_token")
            case .device(.unknown): (400, "invalid_grant")
            case .code, .codeVerifier, .redirectURI, .refreshToken: (400, "invalid_grant")
            }
        switch code {
        case .string("invalid_grant"): if let recorded = fixture.refusals[.invalidGrant] { return reply(recorded) }
        case .string("invalid_client"): if let recorded = fixture.refusals[.invalidClient] { return reply(recorded) }
        default: break
        }
        return .json(status, ["error": code])
    }

    func tokenResponse(
        _ issued: IssuedTokens, person: SimulatedPerson?, switches: SimulatorSwitches, _ call: Call
    ) -> Reply {
        var idToken: String?
        do {
            if let person, !issued.isRefreshed { idToken = try self.idToken(issued, person, call) }
        } catch { return .text(500, "The ID token could not be signed.") }
        if let write = fixture.tokenResponse {
            return reply(
                write(
                    .init(
                        accessToken: issued.accessToken, refreshToken: issued.refreshToken,
                        expiresIn: issued.accessLifetime, scopes: issued.scopes, idToken: idToken,
                        base: self.issuer(base: call.base),
                        isRefreshed: issued.isRefreshed)))
        }
        let scope = issued.scopes.joined(separator: String(fixture.scopeSeparator))
        var members: [(String, JSONText)] = [("access_token", .string(issued.accessToken)), ("token_type", "Bearer")]
        if let lifetime = issued.accessLifetime { members.append(("expires_in", .integer(Int64(lifetime)))) }
        if let refresh = issued.refreshToken { members.append(("refresh_token", .string(refresh))) }
        if switches.sendsScope { members.append(("scope", .string(scope))) }
        if let idToken { members.append(("id_token", .string(idToken))) }
        return .json(200, .object(members), fields: [("cache-control", "no-store")])
    }

    private func reply(_ body: SimulatedFixtureSite.Body) -> Reply {
        let fields = body.fields.sorted { $0.key < $1.key }.map { (name: $0.key, value: $0.value) }
        return Reply(body.status, fields: [("content-type", body.contentType)] + fields, body: body.bytes)
    }

    func other(_ endpoint: SimulatedEndpoint, _ site: Site, _ call: Call) -> Reply {
        switch endpoint {
        case .metadata: return .json(200, metadata(call.base))
        case .keys:
            do { return .json(200, try keys.document()) } catch { return .text(500, "The keys could not be made.") }
        case .validation: return site.validate(call)
        default: break
        }
        if let way = fixture.revocationRequest, way.path == call.path { return revoke(way, site, call) }
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
        if let recorded = fixture.refusals[.unauthorized] { return reply(recorded) }
        return standardUnauthorized
    }

    private var standardUnauthorized: Reply {
        .json(401, ["error": "invalid_token"], fields: [("www-authenticate", "Bearer error=\"invalid_token\"")])
    }

    func missingUserAgent() -> Reply { .text(403, "A User-Agent is required.") }

    func resource(
        _ endpoint: SimulatedEndpoint, _ bearer: Bearer, switches: SimulatorSwitches, _ call: Call
    ) -> Reply {
        if bearer.person.isSuspended { return unauthorized(call) }
        for (name, value) in fixture.requiredFields {
            guard call.field(name) == (value == "{client_id}" ? bearer.client : value) else {
                return .json(400, ["error": .string("the field \(name) is missing or wrong")])
            }
        }
        for (name, value) in fixture.requiredParameters where call.parameters[name] != value {
            return .json(400, ["error": .string("the parameter \(name) is missing or wrong")])
        }
        let body = filled(fixture.resources["\(call.method) \(call.path)"] ?? [], bearer.person)
        return tagged(Reply(200, fields: [("content-type", fixture.resourceType)], body: body), switches, call)
    }

    func limitKey(_ bearer: Bearer, _ endpoint: SimulatedEndpoint) -> String { bearer.token }
    func limitFields(_ use: RequestWindows.Use?, _ call: Call) -> [(name: String, value: String)] { [] }

    func limited(_ hit: LimitHit, _ call: Call) -> Reply {
        if let answer = fixture.limitAnswer { return reply(answer(.init(wait: hit.wait, now: call.now))) }
        return .json(
            hit.status ?? 429, ["error": "too_many_requests"],
            fields: [("retry-after", hit.retryAfter ?? String((hit.wait + 999) / 1000))])
    }
}
