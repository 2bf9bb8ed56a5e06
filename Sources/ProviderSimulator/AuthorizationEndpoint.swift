import Synchronization

/// RFC 6749 §4.1.1 and §4.1.2: the authorization request, the page that asks, the response.
extension Site {
    func authorize(_ call: Call) -> Reply {
        if let page = rules.landingPage(call) { return page }
        guard let parameters = authorizationParameters(call) else {
            return errorPage(
                "The request is not in the form that this site wants, or its request_uri is used or expired.",
                code: "invalid_request")
        }
        let (client, switches) = state.withLock { state in
            (parameters["client_id"].flatMap { state.clients[$0] }, state.switches)
        }
        // Until the client and its redirect URI are certain, an error is a page and goes nowhere (RFC 9700 §4.11).
        guard let client else { return errorPage("There is no client with this client_id.", code: "invalid_client") }
        let named = parameters["redirect_uri"]
        guard let redirectURI = named ?? (client.redirectURIs.count == 1 ? client.redirectURIs[0] : nil) else {
            return errorPage("The request has no redirect_uri.", code: "invalid_request")
        }
        guard rules.isRegistered(redirectURI, for: client) else {
            if rules.redirectsOnMismatch, let first = client.redirectURIs.first {
                return .redirect(first, rules.errorParameters("redirect_uri_mismatch") + stateParameter(parameters))
            }
            return errorPage("This redirect_uri is not registered for the client.", code: "redirect_uri_mismatch")
        }
        func fail(_ error: String) -> Reply {
            .redirect(
                redirectURI,
                rules.errorParameters(error) + stateParameter(parameters) + issuerParameter(switches, call))
        }
        if parameters.repeats(except: ["resource"]) { return fail("invalid_request") }
        let resources = parameters.values("resource")
        guard state.withLock({ $0.takes(resources: resources) }) else { return fail("invalid_target") }
        guard parameters["response_type"] == "code" || rules.redirectsOnMismatch && parameters["response_type"] == nil
        else { return fail("unsupported_response_type") }
        let challenge = parameters["code_challenge"]
        // A missing method means `plain` (RFC 7636 §4.3), which none of the sites takes here.
        if challenge != nil, parameters["code_challenge_method"] != "S256" || challenge?.utf8.count != 43 {
            return fail("invalid_request")
        }
        if switches.requiresPKCE, challenge == nil { return fail("invalid_request") }
        guard let scopes = rules.scopes(requested: parameters["scope"] ?? "") else { return fail("invalid_scope") }
        let draft = GrantLedger.Draft(
            client: client, redirectURI: redirectURI, namesRedirectURI: named != nil, scopes: scopes,
            state: parameters["state"], nonce: parameters["nonce"], challenge: challenge,
            wantsOfflineAccess: parameters["access_type"] == "offline", prompt: parameters["prompt"],
            loginHint: parameters["login_hint"], isPosted: parameters["response_mode"] == "form_post",
            resources: resources,
            keyThumbprint: parameters["dpop_jkt"], createdAt: call.now)
        if let person = switches.autoConsent { return approve(draft, person: person, scopes: scopes, call) }
        if draft.prompt == "none" {
            switch silently(draft, call) {
            case .approved(let person): return approve(draft, person: person, scopes: scopes, call)
            case .failed(let error): return fail(error)
            case .mustAsk: break
            }
        }
        let (id, people) = state.withLock { ($0.ledger.keep(draft), $0.people) }
        let page = ConsentPage(
            site: name, requestID: id, draft: draft, people: people, base: call.base,
            selected: call.rememberedPerson(), scopes: scopes.map { ($0, rules.meaning(of: $0), rules.isOptional($0)) })
        var reply = Reply.html(200, page.html)
        reply.set("x-simulator-request", id)
        return reply
    }

    private enum Silence {
        case approved(String)
        case failed(String)
        case mustAsk
    }

    /// `prompt=none`: only a person the browser remembers, who consented to all of it before, passes without a page.
    private func silently(_ draft: GrantLedger.Draft, _ call: Call) -> Silence {
        let person = call.rememberedPerson()
        let consented = state.withLock { state in
            person.flatMap { state.ledger.consented(.init(client: draft.client.id, person: $0)) }
        }
        if let person, let consented, consented.isSuperset(of: draft.scopes) { return .approved(person) }
        guard let error = rules.silentError(isSignedIn: person != nil) else { return .mustAsk }
        return .failed(error)
    }

    /// The submitted consent page: `request`, `person`, `decision` (`allow` or `deny`) and, where `scopes=chosen`,
    /// one `scope` for each that stayed ticked.
    func decide(_ call: Call) -> Reply {
        guard call.hasFormBody else { return errorPage("The consent page sends a form.", code: "invalid_request") }
        let form = call.form
        let (draft, switches) = state.withLock { state in
            (form["request"].flatMap { state.ledger.takeDraft($0) }, state.switches)
        }
        guard let draft else { return errorPage("This request was decided already, or never made.", code: "expired") }
        func fail(_ error: String) -> Reply {
            if let device = draft.deviceCode { return decided(device, code: nil) }
            return .redirect(
                draft.redirectURI,
                rules.errorParameters(error)
                    + (rules.errorsLackState ? [] : draft.state.map { [("state", $0)] } ?? [])
                    + issuerParameter(switches, call))
        }
        if form["decision"] != "allow" {
            state.withLock { $0.counters.denials += 1 }
            return fail("access_denied")
        }
        guard let person = form["person"] else { return errorPage("Nobody was chosen.", code: "invalid_request") }
        var scopes = draft.scopes
        if form["scopes"] == "chosen" {
            let ticked = Set(form.values("scope"))
            scopes = scopes.filter { !rules.isOptional($0) || ticked.contains($0) }
        }
        let resident = state.withLock { $0.resident(person, site: name) }
        guard let resident else { return errorPage("There is no such person here.", code: "invalid_request") }
        if resident.person.isSuspended { return fail("access_denied") }
        return approve(draft, person: person, scopes: scopes, call)
    }

    private func approve(_ draft: GrantLedger.Draft, person: String, scopes: [String], _ call: Call) -> Reply {
        let (code, isFirst, switches) = state.withLock { state in
            let before = state.ledger.consented(.init(client: draft.client.id, person: person)) != nil
            state.counters.consents += 1
            let code = state.ledger.approve(
                draft, person: person, scopes: scopes,
                withRefreshToken: rules.wantsRefreshToken(draft, consentedBefore: before, switches: state.switches),
                suffix: rules.codeSuffix, lifetime: state.switches.codeLifetime, now: call.now)
            return (code, !before, state.switches)
        }
        if let device = draft.deviceCode { return decided(device, code: code) }
        let parameters =
            [(rules.codeParameter, code)] + (draft.state.map { [(rules.stateParameter, $0)] } ?? [])
            + rules.responseParameters(draft, scopes: scopes) + issuerParameter(switches, call)
        var reply: Reply
        let posted = rules.postedParameters(isFirstConsent: isFirst)
        if let posted = posted ?? (draft.isPosted ? [:] : nil) {
            reply = .html(
                200, ConsentPage.form(to: draft.redirectURI, parameters + posted.map { ($0.key, $0.value) }))
        } else {
            reply = .redirect(draft.redirectURI, parameters)
        }
        reply.set("set-cookie", "simulated_person=\(person); Path=/\(name); HttpOnly; SameSite=Lax")
        return reply
    }

    private func stateParameter(_ parameters: Form) -> [(String, String)] {
        parameters["state"].map { [("state", $0)] } ?? []
    }

    private func issuerParameter(_ switches: SimulatorSwitches, _ call: Call) -> [(String, String)] {
        switches.sendsIssuer ? [("iss", rules.issuer(base: call.base))] : []
    }

    private func errorPage(_ text: String, code: String) -> Reply {
        .html(400, ConsentPage.error(site: name, text: text, code: code))
    }

    func avatar(_ call: Call) -> Reply {
        let parts = call.path.split(separator: "/")
        let seed = parts.dropFirst().joined(separator: "/")
        return Reply(
            200, fields: [("content-type", "image/svg+xml"), ("cache-control", "max-age=86400")],
            body: Array(Avatar.svg(seed: seed).utf8))
    }
}
