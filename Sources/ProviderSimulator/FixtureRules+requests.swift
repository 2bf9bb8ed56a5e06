import Crypto

/// Requests in a site's own form, read into the standard's.
extension FixtureRules {
    // MARK: Authorization

    func authorizationRequest(_ call: Call) -> Form? {
        let own = call.parameters
        let names = own.parameters.map(\.name)
        if fixture.wantsSortedParameters, names != names.sorted() { return nil }
        if fixture.refusesEmptyParameters, own.parameters.contains(where: \.value.isEmpty) { return nil }
        if fixture.requiredAuthorizationParameters.contains(where: { own[$0.key] != $0.value }) { return nil }
        if fixture.postedParameters != nil, own["response_mode"] != "form_post" { return nil }
        guard let form = standard(own, fixture.parameterNames), form["response_type"] == fixture.responseType else {
            return nil
        }
        let others = form.parameters.filter {
            $0.name != "response_type" && !(fixture.ignoresState && $0.name == "state")
        }
        return Form(others.map { ($0.name, $0.value) } + [("response_type", "code")])
    }

    func isRegistered(_ redirectURI: String, for client: SimulatedClient) -> Bool {
        client.redirectURIs.contains(
            fixture.ignoresState ? String(redirectURI.prefix { $0 != "?" }) : redirectURI)
    }

    var codeParameter: String { fixture.codeName }
    var stateParameter: String { fixture.stateName }
    var codeSuffix: String { fixture.codeSuffix }
    var errorsLackState: Bool { fixture.errorsLackState }
    func postedParameters(isFirstConsent: Bool) -> [String: String]? {
        fixture.postsOnce && !isFirstConsent ? fixture.postedParameters.map { _ in [:] } : fixture.postedParameters
    }
    func landingPage(_ call: Call) -> Reply? {
        guard let path = fixture.landingPath, call.path == path else { return nil }
        return .html(200, ConsentPage.landing(before: "/\(site)\(fixture.authorizationPath)"))
    }
    var wantsState: Bool { fixture.wantsState }

    // MARK: Tokens

    private func forms() -> [(form: SimulatedFixtureSite.RequestForm, grantType: String?)] {
        [
            fixture.exchangeRequest.map { ($0, "access_token_renewal") },
            fixture.refreshRequest.map {
                ($0, fixture.refreshesByAccessToken ? "access_token_renewal" : "refresh_token")
            },
            (fixture.tokenRequest, nil),
        ].compactMap { $0 }
    }

    func tokenForm(_ method: String, _ path: String) -> (form: SimulatedFixtureSite.RequestForm, grantType: String?)? {
        forms().first { ($0.form.path ?? fixture.tokenPath) == path && $0.form.method == method }
    }

    func readTokenRequest(_ call: Call) -> Form? {
        guard let (request, grantType) = tokenForm(call.method, String(call.path)) else { return nil }
        let own: Form?
        switch request.encoding {
        case .query: own = call.body.isEmpty ? call.parameters : nil
        case .json: own = call.hasJSONBody ? Form(jsonObject: call.body) : nil
        case .form: own = call.hasFormBody ? call.form : nil
        case nil:
            own =
                call.hasFormBody
                ? call.form : readsJSONTokenRequests && call.hasJSONBody ? Form(jsonObject: call.body) : nil
        }
        guard let own, let form = standard(own, request.parameterNames ?? fixture.parameterNames) else { return nil }
        guard let grantType else { return form }
        guard form["grant_type"] ?? "" == request.grantType ?? grantType else { return nil }
        let others = form.parameters.filter { $0.name != "grant_type" }
        return Form(others.map { ($0.name, $0.value) } + [("grant_type", grantType)])
    }

    /// By the standard's names; `nil` where one of them stands that the site calls otherwise.
    private func standard(_ own: Form, _ names: [String: String]) -> Form? {
        let ours = Dictionary(names.map { ($0.value, $0.key) }) { first, _ in first }
        guard own.parameters.allSatisfy({ names[$0.name] == nil || ours[$0.name] != nil }) else { return nil }
        return Form(own.parameters.map { (ours[$0.name] ?? $0.name, $0.value) })
    }

    func proves(_ client: SimulatedClient, _ form: Form) -> Bool {
        guard fixture.wantsSecretHash else { return client.secret == form["client_secret"] ?? "" }
        let grant = form["code"] ?? form["refresh_token"] ?? ""
        return form["client_secret"] == nil
            && form["hash"] == hexadecimal(SHA256.hash(data: Array("\(client.secret)|\(grant)".utf8)))
    }

    // MARK: The resource server

    func accessToken(in call: Call) -> String? {
        switch fixture.tokenPlace {
        case nil: call.token(schemes: tokenSchemes)
        case .field(let name): call.field(name)
        case .query(let name): call.parameters[name]
        case .body(let name): (call.hasJSONBody ? Form(jsonObject: call.body) : call.form)?[name]
        }
    }
}
