import Crypto
import Synchronization

/// What a fixture site says of people: recorded bodies with the person's own words in them, and ID tokens.
extension FixtureRules {
    /// With `{{name}}` and its like replaced.
    func filled(_ body: [UInt8], _ person: SimulatedPerson) -> [UInt8] {
        let text = String(decoding: body, as: UTF8.self)
        guard text.contains("{{") else { return body }
        let name = person.name ?? person.username
        let words = name.split(separator: " ", maxSplits: 1).map(String.init)
        let values = [
            "id": person.id, "name": name, "given_name": words.first ?? "",
            "family_name": words.dropFirst().first ?? "",
        ]
        var filled = ""
        var rest = text[...]
        while let start = rest.firstRange(of: "{{"), let end = rest[start.upperBound...].firstRange(of: "}}") {
            filled += rest[..<start.lowerBound]
            // As it stands inside of a JSON string.
            let value = JSONText.string(values[String(rest[start.upperBound..<end.lowerBound])] ?? "").bytes
            filled += String(decoding: value.dropFirst().dropLast(), as: UTF8.self)
            rest = rest[end.upperBound...]
        }
        return Array((filled + rest).utf8)
    }

    // MARK: OpenID Connect

    func idToken(_ issued: IssuedTokens, _ person: SimulatedPerson, _ call: Call) throws -> String? {
        guard let openID = fixture.openID, issued.scopes.contains("openid"), call.idTokenFlaw != .missing else {
            return nil
        }
        let now = call.now / 1000
        var members: [(String, JSONText)] = [
            ("iss", .string(issuer(base: call.base) + (openID.tokenIssuerPath ?? openID.issuerPath))),
            ("aud", .string(issued.holder.client)), ("sub", .string(person.id)), ("iat", .integer(now)),
            ("exp", .integer(now + 3600)),
        ]
        if let nonce = issued.nonce, openID.returnsNonce { members.append(("nonce", .string(nonce))) }
        members += openID.claims.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) }
        return try keys.sign(.object(members), flaw: call.idTokenFlaw)
    }

    /// OpenID Connect Discovery §3.
    func metadata(_ base: String) -> JSONText {
        let site = issuer(base: base)
        let openID = fixture.openID ?? .init()
        var members: [(String, JSONText)] = [
            ("issuer", .string(site + (openID.documentIssuerPath ?? openID.issuerPath))),
            ("authorization_endpoint", .string(site + fixture.authorizationPath)),
            ("token_endpoint", .string(site + fixture.tokenPath)), ("jwks_uri", .string(site + "/keys")),
            ("response_types_supported", .strings(["code"])), ("subject_types_supported", .strings(["pairwise"])),
            ("id_token_signing_alg_values_supported", .strings(["RS256"])),
        ]
        if let path = openID.userinfoPath { members.append(("userinfo_endpoint", .string(site + path))) }
        return .object(members)
    }

    func rotateKeys(forgetting: Bool) throws { try keys.rotate(forgetting: forgetting) }

    // MARK: Signals

    func signal(about person: SimulatedPerson) -> SimulatedSignal? {
        guard let signal = fixture.signal else { return nil }
        let body = filled(signal.body, person)
        let key = SymmetricKey(data: Array(signal.secret.utf8))
        return SimulatedSignal(
            fields: [("x-signature", hexadecimal(HMAC<SHA256>.authenticationCode(for: body, using: key)))], body: body)
    }

    // MARK: Revocation in the provider's own way

    func revoke(_ way: SimulatedFixtureSite.RevocationRequest, _ site: Site, _ call: Call) -> Reply {
        let body = call.hasJSONBody ? Form(jsonObject: call.body) : call.form
        var client: String?
        switch way.proof {
        case .basic:
            switch site.authenticateClient(call, Form()) {
            case .failure(let refusal): return self.refusal(refusal, call)
            case .success(let found): client = found.id
            }
        case .bearer: break
        }
        guard let token = way.member.flatMap({ body?[$0] }) ?? call.token(schemes: tokenSchemes) else {
            return .json(400, ["error": "there is no token"])
        }
        let isKnown = site.state.withLock { state in
            state.counters.revocations += 1
            guard let holder = state.ledger.holder(ofToken: token), client == nil || client == holder.client,
                let family = state.ledger.family(ofToken: token)
            else { return false }
            state.ledger.end(family: family)
            return true
        }
        return isKnown ? .json(200, ["ok": true]) : unauthorized(call)
    }
}
