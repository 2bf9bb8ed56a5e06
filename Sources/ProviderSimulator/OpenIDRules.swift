/// OpenID providers: Google with its habits, and a plain one that keeps to the letter of OpenID Connect Core,
/// Discovery, RFC 7009 and RFC 9207.
struct OpenIDRules: SiteRules {
    let site: SimulatedSite
    let keys = SigningKeys()
    private var isGoogle: Bool { site == .google }

    var defaultSwitches: SimulatorSwitches {
        var switches = SimulatorSwitches()
        if isGoogle {
            switches.accessTokenLifetime = 3599
            switches.rotatesRefreshTokens = false
            switches.refreshTokenOnFirstConsentOnly = true
            switches.tokensPerGrantMax = 100
        } else {
            switches.accessTokenLifetime = 3600
            switches.reuseRevokesFamily = true
            switches.sendsIssuer = true
        }
        return switches
    }

    func endpoint(_ method: String, _ path: Substring) -> SimulatedEndpoint? {
        switch (method, path) {
        case ("GET", "/.well-known/openid-configuration"): .metadata
        case ("POST", "/consent"): .consent
        case ("POST", "/token"): .token
        case ("POST", "/par"): isGoogle ? nil : .par
        case ("GET", let path) where path.hasPrefix("/directory/"): isGoogle ? nil : .directory
        case ("POST", "/revoke"): .revocation
        case ("POST", "/device/code"): isGoogle ? .deviceAuthorization : nil
        case ("POST", "/device_authorization"): isGoogle ? nil : .deviceAuthorization
        case ("GET", "/device"), ("POST", "/device"): .device
        case ("GET", "/o/oauth2/v2/auth"), ("GET", "/o/oauth2/auth"): isGoogle ? .authorize : nil
        case ("GET", "/v1/userinfo"), ("POST", "/v1/userinfo"), ("GET", "/oauth2/v3/userinfo"):
            isGoogle ? .profile : nil
        case ("GET", "/oauth2/v3/certs"): isGoogle ? .keys : nil
        case ("GET", "/authorize"): isGoogle ? nil : .authorize
        case ("GET", "/userinfo"), ("POST", "/userinfo"): isGoogle ? nil : .profile
        case ("GET", "/jwks"): isGoogle ? nil : .keys
        case ("GET", let path) where path.hasPrefix("/avatars/"): .avatar
        default: nil
        }
    }

    // MARK: Authorization

    private static let googleNames = [
        "email": "https://www.googleapis.com/auth/userinfo.email",
        "profile": "https://www.googleapis.com/auth/userinfo.profile",
    ]

    func scopes(requested text: String) -> [String]? {
        let scopes = text.split(separator: " ").map(String.init)
        guard !scopes.isEmpty else { return nil }
        guard isGoogle else { return scopes.contains("openid") ? scopes : nil }
        let known = ["openid"] + Self.googleNames.keys + Self.googleNames.values
        if scopes.contains(where: { !known.contains($0) && !$0.hasPrefix("https://www.googleapis.com/auth/") }) {
            return nil
        }
        // Sign-in always brings `openid` with the other two (quirk D18).
        let expanded = scopes.map { Self.googleNames[$0] ?? $0 }
        return expanded.contains("openid") ? expanded : expanded + ["openid"]
    }

    var bulkScopes: String { "openid profile email" }

    func meaning(of scope: String) -> String {
        switch scope {
        case "openid": "Who you are"
        case "profile", Self.googleNames["profile"]: "Your name and picture"
        case "email", Self.googleNames["email"]: "Your e-mail address"
        case "offline_access": "Access while you are away"
        default: scope
        }
    }

    func isOptional(_ scope: String) -> Bool { scope != "openid" }
    var redirectsOnMismatch: Bool { false }

    func responseParameters(_ draft: GrantLedger.Draft, scopes: [String]) -> [(String, String)] {
        guard isGoogle else { return [] }
        let short = scopes.compactMap { scope in Self.googleNames.first { $0.value == scope }?.key }.sorted()
        return [
            ("scope", (short + scopes).joined(separator: " ")), ("authuser", "0"), ("prompt", draft.prompt ?? "none"),
        ]
    }

    func errorParameters(_ error: String) -> [(String, String)] { [("error", error)] }

    func silentError(isSignedIn: Bool) -> String? {
        if isGoogle { return "interaction_required" }
        return isSignedIn ? "consent_required" : "login_required"
    }

    func issuer(base: String) -> String { "\(base)/\(site)" }
    /// As drafts of RFC 8628 had it.
    var verificationMember: String { isGoogle ? "verification_url" : "verification_uri" }

    // MARK: Tokens

    func accessToken(using generator: inout SeededGenerator) -> String {
        isGoogle ? "ya29.EXAMPLE-" + generator.text(32) : "EXAMPLE-oidc-access-" + generator.text(24)
    }

    func refreshToken(using generator: inout SeededGenerator) -> String {
        isGoogle ? "1//0EXAMPLE-" + generator.text(32) : "EXAMPLE-oidc-refresh-" + generator.text(24)
    }

    var readsJSONTokenRequests: Bool { false }
    var grantTypeIsOptional: Bool { false }

    func wantsRefreshToken(
        _ draft: GrantLedger.Draft, consentedBefore: Bool, switches: SimulatorSwitches
    ) -> Bool {
        guard switches.refreshTokenOnFirstConsentOnly else { return true }
        let asksAgain = draft.prompt?.split(separator: " ").contains("consent") == true
        return draft.wantsOfflineAccess && (asksAgain || !consentedBefore)
    }

    func unreadableBody(_ call: Call) -> Reply { error(400, "invalid_request", "Bad Request") }

    func refusal(_ refusal: TokenRefusal, _ call: Call) -> Reply {
        switch refusal {
        case .invalidClient:
            var reply = error(401, "invalid_client", "Unauthorized")
            if call.token(schemes: ["basic"]) != nil { reply.set("www-authenticate", "Basic realm=\"\(site)\"") }
            return reply
        case .invalidRequest(let reason): return error(400, "invalid_request", reason)
        case .unsupportedGrantType: return error(400, "unsupported_grant_type", "Invalid grant_type")
        case .word(let code): return error(400, code, "Refused.")
        case .code: return error(400, "invalid_grant", isGoogle ? "Bad Request" : "The code is unknown or spent.")
        case .codeVerifier:
            return error(400, "invalid_grant", isGoogle ? "Invalid code verifier." : "The code verifier is wrong.")
        case .redirectURI:
            if isGoogle { return error(400, "redirect_uri_mismatch", "Bad Request") }
            return error(400, "invalid_grant", "The redirect URI is not that of the authorization request.")
        case .device(.pending):
            return error(isGoogle ? 428 : 400, "authorization_pending", isGoogle ? "Precondition Required" : "Pending.")
        case .device(.slowDown): return error(isGoogle ? 403 : 400, "slow_down", isGoogle ? "Forbidden" : "Too fast.")
        case .device(.denied): return error(isGoogle ? 403 : 400, "access_denied", isGoogle ? "Forbidden" : "Denied.")
        case .device(.expired): return error(400, "expired_token", "The device code has expired.")
        case .device(.unknown): return error(400, "invalid_grant", "The device code is unknown.")
        case .refreshToken: return error(400, "invalid_grant", "Token has been expired or revoked.")
        }
    }

    private func error(_ status: Int, _ code: String, _ description: String) -> Reply {
        .json(
            status, ["error": .string(code), "error_description": .string(description)],
            fields: [("cache-control", "no-store")], contentType: Self.json)
    }

    func tokenResponse(
        _ issued: IssuedTokens, person: SimulatedPerson?, switches: SimulatorSwitches, _ call: Call
    ) -> Reply {
        var members: [(String, JSONText)] = [
            ("access_token", .string(issued.accessToken)),
            ("token_type", issued.isBound ? "DPoP" : "Bearer"),
        ]
        if let lifetime = issued.accessLifetime { members.append(("expires_in", .integer(Int64(lifetime)))) }
        if let refresh = issued.refreshToken { members.append(("refresh_token", .string(refresh))) }
        if isGoogle, issued.refreshToken != nil, let lifetime = issued.refreshLifetime {
            members.append(("refresh_token_expires_in", .integer(Int64(lifetime))))
        }
        if switches.sendsScope { members.append(("scope", .string(issued.scopes.joined(separator: " ")))) }
        if issued.scopes.contains("openid"), let person, call.idTokenFlaw != .missing {
            do {
                members.append(
                    ("id_token", .string(try keys.sign(idTokenClaims(issued, person, call), flaw: call.idTokenFlaw))))
            } catch { return self.error(500, "server_error", "The ID token could not be signed.") }
        }
        return .json(200, .object(members), fields: [("cache-control", "no-store")], contentType: Self.json)
    }

    private static let json = "application/json; charset=utf-8"
    var tokenSchemes: [String] { ["bearer", "dpop"] }
}
