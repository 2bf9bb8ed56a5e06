import Synchronization

/// Tokens of applications themselves: client credentials (RFC 6749 §4.4) and assertions of service accounts (RFC 7523
/// §2.1). At OpenID sites they open the directory.
extension Site {
    /// `nil` where the request is for another grant.
    func applicationToken(_ form: Form, _ call: Call) -> Reply? {
        let type = form["grant_type"]
        guard type == "client_credentials" || type == "urn:ietf:params:oauth:grant-type:jwt-bearer" else { return nil }
        guard case .openID = name, !form.repeats() else { return rules.refusal(.unsupportedGrantType, call) }
        var scope = form["scope"]
        if type == "client_credentials" {
            guard case .success(let client) = authenticateClient(call, form) else {
                return rules.refusal(.invalidClient, call)
            }
            // A public client has nothing to prove itself with (§4.4).
            guard !client.secret.isEmpty || client.publicKey != nil else {
                return rules.refusal(.word("unauthorized_client"), call)
            }
        } else {
            let issuer = state.withLock { $0.switches.assertionIssuer }
            let claims = form["assertion"].flatMap { assertion in
                verified(assertion, call) { claims, clients in
                    issuer == nil
                        ? clients[claims.iss]
                        : claims.iss == issuer ? clients.values.first { $0.publicKey != nil } : nil
                }
            }
            guard let claims, claims.sub != nil else { return rules.refusal(.word("invalid_grant"), call) }
            scope = claims.scope ?? scope
        }
        let (token, lifetime) = state.withLock { state in
            let token = "EXAMPLE-application-\(state.generator.text(24))"
            let lifetime = state.switches.accessTokenLifetime ?? 3600
            state.applicationTokens[token] = call.now + Int64(lifetime) * 1000
            state.counters.applicationTokens += 1
            return (token, lifetime)
        }
        return .json(
            200,
            [
                "access_token": .string(token), "token_type": "Bearer", "expires_in": .integer(Int64(lifetime)),
                "scope": .string(scope ?? ""),
            ], fields: [("cache-control", "no-store")])
    }

    /// `GET /directory/<sub>`: what the organization says of a person, for applications alone.
    func directory(_ call: Call) -> Reply {
        let id = Form.decoded(Array((call.path.split(separator: "/").last ?? "").utf8))
        let (isKnown, resident) = state.withLock { state in
            let end = call.token().flatMap { state.applicationTokens[$0] } ?? 0
            return (end > call.now, state.resident(id, site: name))
        }
        guard isKnown else { return rules.unauthorized(call) }
        guard let resident else { return .json(404, ["error": "not_found"]) }
        return .json(200, ["id": .string(resident.person.id), "nickname": .string(resident.person.username)])
    }
}
