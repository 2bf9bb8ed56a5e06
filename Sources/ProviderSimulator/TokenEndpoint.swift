import Crypto
import Synchronization

/// RFC 6749 §4.1.3, §6 and §2.3, RFC 7523 §2.2: client authentication, codes, refresh tokens.
extension Site {
    func token(_ call: Call) -> Reply {
        switch grant(call) {
        case .success(let (issued, person, switches)):
            withProofNonce(rules.tokenResponse(issued, person: person, switches: switches, call), switches)
        case .failure(let answer): answer.reply
        }
    }

    /// A success brings the nonce of the next request (RFC 9449 §8.2).
    func withProofNonce(_ reply: Reply, _ switches: SimulatorSwitches) -> Reply {
        guard switches.demandsProofNonces else { return reply }
        var reply = reply
        reply.set("dpop-nonce", state.withLock { $0.renewProofNonce() })
        return reply
    }

    private struct Answer: Error { var reply: Reply }

    private func grant(_ call: Call) -> Result<(IssuedTokens, SimulatedPerson?, SimulatorSwitches), Answer> {
        func refuse<T>(_ refusal: TokenRefusal) -> Result<T, Answer> {
            .failure(Answer(reply: rules.refusal(refusal, call)))
        }
        guard let form = rules.readTokenRequest(call) else {
            return .failure(Answer(reply: rules.unreadableBody(call)))
        }
        if let reply = applicationToken(form, call) { return .failure(Answer(reply: reply)) }
        if form.repeats(except: ["resource"]) { return refuse(.invalidRequest("a parameter is repeated")) }
        if let refusal = rules.refusal(of: call, form) { return refuse(refusal) }
        let thumbprint: String?
        switch proof(call, accessToken: nil) {
        case .absent where state.withLock({ $0.switches.requiresDPoP }): return refuse(.word("invalid_dpop_proof"))
        case .absent: thumbprint = nil
        case .valid(let key):
            let offers = state.withLock { $0.switches.offersDPoP || $0.switches.requiresDPoP }
            thumbprint = offers ? key : nil
        case .wrong: return refuse(.word("invalid_dpop_proof"))
        case .wantsNonce(let nonce):
            var reply = rules.refusal(.word("use_dpop_nonce"), call)
            reply.set("dpop-nonce", nonce)
            return .failure(Answer(reply: reply))
        }
        switch authenticateClient(call, form) {
        case .failure(let refusal): return refuse(refusal)
        case .success(let client):
            let (outcome, switches) = state.withLock { state in
                (issue(form, client, thumbprint, &state, call), state.switches)
            }
            switch outcome {
            case .failure(let refusal): return refuse(refusal)
            case .success(let issued):
                let person = state.withLock { $0.resident(issued.holder.person, site: name)?.person }
                return .success((issued, person, switches))
            }
        }
    }

    func readBody(_ call: Call) -> Form? {
        if call.hasFormBody { return call.form }
        if rules.readsJSONTokenRequests, call.hasJSONBody { return Form(jsonObject: call.body) }
        return nil
    }

    /// Basic (RFC 6749 §2.3.1: id and secret are form-encoded first), in the body, or an assertion: never two.
    func authenticateClient(_ call: Call, _ form: Form) -> Result<SimulatedClient, TokenRefusal> {
        let (clients, switches) = state.withLock { ($0.clients, $0.switches) }
        if let basic = call.token(schemes: ["basic"]) {
            guard switches.acceptsBasic else { return .failure(.invalidClient) }
            if switches.secretIsUsername {
                guard let client = Self.client(secretAsUsername: basic, form, clients) else {
                    return .failure(.invalidClient)
                }
                return .success(client)
            }
            if form["client_secret"] != nil || form["client_assertion"] != nil {
                return .failure(.invalidRequest("the client authenticates in two ways"))
            }
            guard let (id, secret) = BasicCredentials.read(basic, isFormEncoded: switches.decodesBasic),
                let client = clients[id], client.secret == secret, client.publicKey == nil,
                !switches.requiresAssertions,
                form["client_id"] == nil || form["client_id"] == id
            else { return .failure(.invalidClient) }
            return .success(client)
        }
        if let assertion = form["client_assertion"] {
            if form["client_secret"] != nil {
                return .failure(.invalidRequest("the client authenticates in two ways"))
            }
            guard form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                let client = client(assertion: assertion, call),
                form["client_id"] == nil || form["client_id"] == client.id
            else { return .failure(.invalidClient) }
            return .success(client)
        }
        guard let id = form["client_id"], let client = clients[id] else { return .failure(.invalidClient) }
        if client.publicKey != nil || switches.requiresAssertions {
            // A JWT in the secret's place (quirk C11).
            let signer = form["client_secret"].flatMap { self.client(assertion: $0, call) }
            return signer?.id == id ? .success(client) : .failure(.invalidClient)
        }
        if switches.secretIsUsername || switches.publicClientsUseBasic && client.secret.isEmpty {
            return .failure(.invalidClient)
        }
        guard rules.proves(client, form) else { return .failure(.invalidClient) }
        if !switches.acceptsPost, !client.secret.isEmpty { return .failure(.invalidClient) }
        return .success(client)
    }

    /// The secret alone tells who it is (quirk C5).
    private static func client(
        secretAsUsername basic: String, _ form: Form, _ clients: [String: SimulatedClient]
    ) -> SimulatedClient? {
        guard let (secret, password) = BasicCredentials.read(basic, isFormEncoded: false), password.isEmpty,
            form["client_secret"] == nil, form["client_assertion"] == nil
        else { return nil }
        return clients.values.first { client in
            !client.secret.isEmpty && client.secret == secret && form["client_id"] ?? client.id == client.id
        }
    }

    private func issue(
        _ form: Form, _ client: SimulatedClient, _ thumbprint: String?, _ state: inout SiteState, _ call: Call
    ) -> Result<IssuedTokens, TokenRefusal> {
        switch form["grant_type"] ?? (rules.grantTypeIsOptional ? "authorization_code" : nil) {
        case "authorization_code": exchange(form, client, thumbprint, &state, call)
        case "refresh_token": refresh(form, client, thumbprint, &state, call)
        case "access_token_renewal": renew(form, client, &state, call)
        case "urn:ietf:params:oauth:grant-type:device_code": exchangeDevice(form, client, thumbprint, &state, call)
        case nil: .failure(.invalidRequest("grant_type is missing"))
        default: .failure(.unsupportedGrantType)
        }
    }

    private func exchange(
        _ form: Form, _ client: SimulatedClient, _ thumbprint: String?, _ state: inout SiteState, _ call: Call
    ) -> Result<IssuedTokens, TokenRefusal> {
        guard let text = form["code"] else { return .failure(.invalidRequest("code is missing")) }
        guard let (code, isReplay) = state.ledger.use(text) else { return .failure(.code) }
        if isReplay {
            state.counters.codeReplays += 1
            return .failure(.code)
        }
        guard code.draft.client.id == client.id,
            call.now - code.issuedAt < Int64(state.switches.codeLifetime) * 1000
        else { return .failure(.code) }
        if rules.wantsState, form["state"] != code.draft.state { return .failure(.invalidRequest("state is wrong")) }
        let redirectURI = form["redirect_uri"]
        if code.draft.namesRedirectURI || redirectURI != nil, redirectURI != code.draft.redirectURI {
            return .failure(.redirectURI)
        }
        // A verifier without a challenge is refused as well: RFC 9700 §2.1.1 against downgrade.
        let verifier = form["code_verifier"]
        guard verifier.map(Self.challenge) == code.draft.challenge else { return .failure(.codeVerifier) }
        if let verifier, !(43...128).contains(verifier.utf8.count) { return .failure(.codeVerifier) }
        guard state.takes(form.values("resource"), of: code.draft.resources) else {
            return .failure(.word("invalid_target"))
        }
        state.counters.codesExchanged += 1
        if let key = code.draft.keyThumbprint, key != thumbprint { return .failure(.word("invalid_dpop_proof")) }
        var issued = state.ledger.issue(for: text, code, switches: state.switches, texts: rules, now: call.now)
        if let thumbprint { state.ledger.bind(&issued, to: thumbprint) }
        return .success(issued)
    }

    /// An access token for a newer one of the same grant.
    private func renew(
        _ form: Form, _ client: SimulatedClient, _ state: inout SiteState, _ call: Call
    ) -> Result<IssuedTokens, TokenRefusal> {
        guard let text = form["access_token"] ?? form["refresh_token"],
            let issued = state.ledger.renew(
                text, client: client.id, switches: state.switches, texts: rules, now: call.now)
        else { return .failure(.refreshToken) }
        state.counters.refreshes += 1
        return .success(issued)
    }

    private func exchangeDevice(
        _ form: Form, _ client: SimulatedClient, _ thumbprint: String?, _ state: inout SiteState, _ call: Call
    ) -> Result<IssuedTokens, TokenRefusal> {
        guard let text = form["device_code"] else { return .failure(.invalidRequest("device_code is missing")) }
        switch takeDevice(text, client: client, &state, call) {
        case .failure(let refusal): return .failure(.device(refusal))
        case .success(let text):
            guard let (code, _) = state.ledger.use(text) else { return .failure(.device(.unknown)) }
            var issued = state.ledger.issue(for: text, code, switches: state.switches, texts: rules, now: call.now)
            if let thumbprint { state.ledger.bind(&issued, to: thumbprint) }
            return .success(issued)
        }
    }

    private func refresh(
        _ form: Form, _ client: SimulatedClient, _ thumbprint: String?, _ state: inout SiteState, _ call: Call
    ) -> Result<IssuedTokens, TokenRefusal> {
        guard let text = form["refresh_token"] else { return .failure(.invalidRequest("refresh_token is missing")) }
        if let (number, step) = BulkPerson.number(ofRefreshToken: text) {
            let outcome =
                state.switches.remembersBulkTokens
                ? state.bulkGrants.use(number, step: step, switches: state.switches, now: call.now) : .refreshed
            switch outcome {
            case .refreshed: state.counters.refreshes += 1
            case .replayed: state.counters.graceReplays += 1
            case .reused:
                state.counters.reuseDetections += 1
                return .failure(.refreshToken)
            case .refused: return .failure(.refreshToken)
            }
            var issued = IssuedTokens(
                accessToken: BulkPerson.accessToken(number),
                accessLifetime: state.switches.accessTokenLifetime,
                scopes: rules.scopes(requested: rules.bulkScopes) ?? [],
                holder: .init(client: client.id, person: BulkPerson.id(number, site: name)))
            issued.isRefreshed = true
            if state.switches.rotatesRefreshTokens {
                issued.refreshToken = "\(BulkPerson.refreshToken(number))-\(step + 1)"
            }
            return .success(issued)
        }
        if let holder = state.ledger.holder(ofToken: text),
            state.resident(holder.person, site: name)?.person.isSuspended == true
        {
            return .failure(.refreshToken)
        }
        if let family = state.ledger.family(ofToken: text).flatMap({ state.ledger.families[$0] }),
            !state.takes(form.values("resource"), of: family.resources)
        {
            return .failure(.word("invalid_target"))
        }
        let bound = state.ledger.family(ofToken: text).flatMap { state.ledger.families[$0]?.keyThumbprint }
        if let bound, bound != thumbprint { return .failure(.word("invalid_dpop_proof")) }
        switch state.ledger.refresh(text, client: client.id, switches: state.switches, texts: rules, now: call.now) {
        case .refreshed(var issued):
            state.counters.refreshes += 1
            issued.isBound = bound != nil
            return .success(issued)
        case .replayed(var issued):
            state.counters.graceReplays += 1
            issued.isBound = bound != nil
            return .success(issued)
        case .reused:
            state.counters.reuseDetections += 1
            return .failure(.refreshToken)
        case .refused: return .failure(.refreshToken)
        }
    }

    /// RFC 7636 §4.2, S256.
    static func challenge(of verifier: String) -> String {
        base64URL(Array(SHA256.hash(data: Array(verifier.utf8))))
    }
}
