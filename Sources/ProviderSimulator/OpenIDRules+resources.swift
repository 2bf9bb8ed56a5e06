import Crypto
import Synchronization

extension OpenIDRules {
    // MARK: ID tokens

    /// OpenID Connect Core §2 and §3.1.3.6; a flaw makes one claim wrong.
    func idTokenClaims(_ issued: IssuedTokens, _ person: SimulatedPerson, _ call: Call) -> JSONText {
        let flaw = call.idTokenFlaw
        let now = call.now / 1000
        let issuedAt =
            switch flaw {
            case .expired: now - 90_000
            case .future: now + 3600
            default: now
            }
        let hashed = Array(SHA256.hash(data: Array(issued.accessToken.utf8)).prefix(16))
        let hash = flaw == .accessTokenHash ? hashed.map { ~$0 } : hashed
        var members: [(String, JSONText)] = [
            ("iss", .string(flaw == .issuer ? call.base + "/elsewhere" : issuer(base: call.base))),
            ("azp", .string(issued.holder.client)),
            ("aud", .string(flaw == .audience ? "another-client" : issued.holder.client)),
            ("sub", .string(flaw == .subject ? "999" : person.id)), ("at_hash", .string(base64URL(hash))),
            ("iat", .integer(issuedAt)), ("exp", .integer(issuedAt + 3600)),
        ]
        // A refreshed ID token repeats no nonce (OpenID Connect Core §12.2).
        if let nonce = issued.nonce { members.append(("nonce", .string(flaw == .nonce ? nonce + "x" : nonce))) }
        members += claims(of: person, base: call.base, scopes: issued.scopes).filter { $0.0 != "sub" }
        return .object(members)
    }

    private func claims(of person: SimulatedPerson, base: String, scopes: [String]) -> [(String, JSONText)] {
        let showsProfile =
            scopes.contains("profile") || scopes.contains("https://www.googleapis.com/auth/userinfo.profile")
        let showsEmail = scopes.contains("email") || scopes.contains("https://www.googleapis.com/auth/userinfo.email")
        var members: [(String, JSONText)] = [("sub", .string(person.id))]
        let picture = JSONText.string("\(base)/\(site)/avatars/\(person.id)/\(person.avatar ?? "default")")
        if showsProfile {
            if let name = person.name {
                let words = name.split(separator: " ")
                members.append(("name", .string(name)))
                if let given = words.first { members.append(("given_name", .string(String(given)))) }
                if words.count > 1 {
                    members.append(("family_name", .string(words.dropFirst().joined(separator: " "))))
                }
            }
            if site != .google {
                members.append(("preferred_username", .string(person.username)))
                if let locale = person.locale { members.append(("locale", .string(locale))) }
            }
        }
        if showsProfile || site == .google { members.append(("picture", picture)) }
        if showsEmail, let email = person.email {
            members += [("email", .string(email)), ("email_verified", .bool(person.emailVerified))]
        }
        if let domain = person.hostedDomain { members.append(("hd", .string(domain))) }
        return members
    }

    // MARK: The resource server

    func unauthorized(_ call: Call) -> Reply {
        .json(
            401, ["error": "invalid_request", "error_description": "Invalid Credentials"],
            fields: [
                ("www-authenticate", "Bearer realm=\"\(issuer(base: call.base))\", error=\"invalid_token\"")
            ], contentType: "application/json; charset=utf-8")
    }

    func missingUserAgent() -> Reply { .text(403, "A User-Agent is required.") }

    func resource(
        _ endpoint: SimulatedEndpoint, _ bearer: Bearer, switches: SimulatorSwitches, _ call: Call
    ) -> Reply {
        if bearer.person.isSuspended { return unauthorized(call) }
        guard bearer.has("openid") else {
            return .json(
                403,
                [
                    "error": [
                        "code": 403, "message": "Request had insufficient authentication scopes.",
                        "status": "PERMISSION_DENIED",
                    ]
                ],
                fields: [("www-authenticate", "Bearer error=\"insufficient_scope\", scope=\"openid\"")])
        }
        let document = JSONText.object(claims(of: bearer.person, base: call.base, scopes: bearer.scopes))
        return tagged(.json(200, document, contentType: "application/json; charset=utf-8"), switches, call)
    }

    // MARK: Metadata, keys, revocation

    func other(_ endpoint: SimulatedEndpoint, _ site: Site, _ call: Call) -> Reply {
        switch endpoint {
        case .metadata:
            return .json(
                200, metadata(site.state.withLock { $0.switches }, call.base),
                fields: [("cache-control", "public, max-age=3600")])
        case .keys:
            do {
                return .json(200, try keys.document(), fields: [("cache-control", "public, max-age=3600")])
            } catch { return .text(500, "The keys could not be made.") }
        default: return revoke(site, call)
        }
    }

    /// OpenID Connect Discovery §3, RFC 8414 §2.
    private func metadata(_ switches: SimulatorSwitches, _ base: String) -> JSONText {
        let issuer = issuer(base: base)
        let isGoogle = self.site == .google
        let methods =
            (switches.acceptsBasic ? ["client_secret_basic"] : [])
            + (switches.acceptsPost ? ["client_secret_post"] : []) + ["client_secret_jwt", "private_key_jwt"]
        let pushes = !isGoogle && (switches.offersPushedRequests || switches.requiresPushedRequests)
        let pushing: [(String, JSONText)] = [
            ("pushed_authorization_request_endpoint", .string(issuer + "/par")),
            ("require_pushed_authorization_requests", .bool(switches.requiresPushedRequests)),
        ]
        let binds = !isGoogle && (switches.offersDPoP || switches.requiresDPoP)
        let binding: [(String, JSONText)] = [("dpop_signing_alg_values_supported", .strings(["ES256"]))]
        let members: [(String, JSONText)] = [
            ("issuer", .string(issuer)),
            ("authorization_endpoint", .string(issuer + (isGoogle ? "/o/oauth2/v2/auth" : "/authorize"))),
            ("token_endpoint", .string(issuer + "/token")),
            ("userinfo_endpoint", .string(issuer + (isGoogle ? "/v1/userinfo" : "/userinfo"))),
            ("revocation_endpoint", .string(issuer + "/revoke")),
            ("device_authorization_endpoint", .string(issuer + (isGoogle ? "/device/code" : "/device_authorization"))),
            ("jwks_uri", .string(issuer + (isGoogle ? "/oauth2/v3/certs" : "/jwks"))),
            ("response_types_supported", .strings(["code"])), ("subject_types_supported", .strings(["public"])),
            ("id_token_signing_alg_values_supported", .strings(["RS256"])),
            ("scopes_supported", .strings(["openid", "email", "profile"] + (isGoogle ? [] : ["offline_access"]))),
            ("token_endpoint_auth_methods_supported", .strings(methods)),
            ("token_endpoint_auth_signing_alg_values_supported", .strings(["HS256", "RS256", "PS256", "ES256"])),
            (
                "claims_supported",
                .strings([
                    "aud", "email", "email_verified", "exp", "family_name", "given_name", "iat", "iss", "name",
                    "picture",
                    "sub",
                ])
            ), ("code_challenge_methods_supported", .strings(["S256"])),
            (
                "grant_types_supported",
                .strings(
                    ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"]
                        + (isGoogle ? [] : ["client_credentials", "urn:ietf:params:oauth:grant-type:jwt-bearer"]))
            ),
            ("authorization_response_iss_parameter_supported", .bool(switches.sendsIssuer)),
        ]
        return .object(members + (pushes ? pushing : []) + (binds ? binding : []))
    }

    /// RFC 7009. Google asks for no client authentication and minds a token that is dead already.
    private func revoke(_ site: Site, _ call: Call) -> Reply {
        let form = call.hasFormBody ? call.form : Form()
        guard let token = form["token"] ?? call.parameters["token"] else { return unreadableBody(call) }
        var client: SimulatedClient?
        if self.site != .google {
            switch site.authenticateClient(call, form) {
            case .failure(let refusal): return self.refusal(refusal, call)
            case .success(let authenticated): client = authenticated
            }
        }
        let wasLive = site.state.withLock { state in
            state.counters.revocations += 1
            guard let family = state.ledger.family(ofToken: token), let holder = state.ledger.holder(ofToken: token),
                client == nil || client?.id == holder.client
            else { return false }
            if self.site == .google { state.ledger.end(holder) } else { state.ledger.end(family: family) }
            return true
        }
        if self.site == .google, !wasLive {
            return .json(400, ["error": "invalid_token", "error_description": "Token expired or revoked"])
        }
        return .json(200, .object([]))
    }

    func rotateKeys(forgetting: Bool) throws { try keys.rotate(forgetting: forgetting) }

    // MARK: Limits

    func limitKey(_ bearer: Bearer, _ endpoint: SimulatedEndpoint) -> String { "person/\(bearer.person.id)" }
    func limitFields(_ use: RequestWindows.Use?, _ call: Call) -> [(name: String, value: String)] { [] }

    /// Google's two forms, `user` (403) and `quota` (429, with RetryInfo); a plain 429 elsewhere.
    func limited(_ hit: LimitHit, _ call: Call) -> Reply {
        let seconds = (hit.wait + 999) / 1000
        var reply: Reply
        if site != .google {
            reply = .json(hit.status ?? 429, ["error": "too_many_requests"])
            reply.fields.append(("retry-after", hit.retryAfter ?? String(seconds)))
            return reply
        }
        if hit.reach == "quota" {
            let message: JSONText =
                "Quota exceeded for quota metric 'Read requests' of service 'openidconnect.googleapis.com'."
            reply = .json(
                hit.status ?? 429,
                [
                    "error": [
                        "code": 429, "message": message, "status": "RESOURCE_EXHAUSTED",
                        "details": .array([
                            [
                                "@type": "type.googleapis.com/google.rpc.RetryInfo",
                                "retryDelay": .string("\(seconds)s"),
                            ]
                        ]),
                    ]
                ])
        } else {
            reply = .json(
                hit.status ?? 403,
                [
                    "error": [
                        "code": 403,
                        "message":
                            "User Rate Limit Exceeded. Rate of requests for user exceed configured project quota.",
                        "errors": .array([
                            [
                                "message": "User Rate Limit Exceeded", "domain": "usageLimits",
                                "reason": "userRateLimitExceeded",
                            ]
                        ]), "status": "PERMISSION_DENIED",
                    ]
                ])
        }
        if let seconds = hit.retryAfter { reply.fields.append(("retry-after", seconds)) }
        return reply
    }
}
