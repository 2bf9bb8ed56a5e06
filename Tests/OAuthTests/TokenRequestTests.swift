import Accounts
import JSON
import OAuth
import Testing
import Transfer

@Suite struct TokenRequestTests {
    func exchange(_ client: ClientRegistration, _ dialect: TokenDialect = TokenDialect()) -> TransferRequest {
        AuthorizationCodeGrant.tokenRequest(
            code: Secret("4/0A EXAMPLE"), codeVerifier: Secret("verifier-EXAMPLE"), server: .example, client: client,
            dialect: dialect, moment: .example)
    }

    let code =
        "grant_type=authorization_code&code=4%2F0A+EXAMPLE"
        + "&redirect_uri=https%3A%2F%2Frollcall.example%2Fcallback%2Fop&code_verifier=verifier-EXAMPLE"

    @Test func `security 31: quirk C17: the code exchange is a form POST that follows no redirect`() {
        let request = exchange(.example(.clientSecretBasic))
        #expect(request.method == .post)
        #expect(request.url == "https://op.example/token")
        #expect(request.redirects == .refuse)
        #expect(request.fields["accept"] == "application/json")
        #expect(request.body?.contentType == "application/x-www-form-urlencoded")
        #expect(request.bodyText == code)
    }

    @Test func `security 33: quirk C1, E8: client_secret_basic form-encodes id and secret first`() {
        // `a:b%c+d é` of RFC 6749 §2.3.1 and appendix B.
        let client = ClientRegistration.example(.clientSecretBasic, id: "id:1", secret: "a:b%c+d é")
        let request = exchange(client)
        // base64("id%3A1:a%3Ab%25c%2Bd+%C3%A9")
        #expect(request.authorization == "Basic aWQlM0ExOmElM0FiJTI1YyUyQmQrJUMzJUE5")
        #expect(!request.bodyText.contains("client_"))
    }

    @Test func `quirk C4: client_secret_basic_raw does not`() {
        let request = exchange(.example(.clientSecretBasicRaw, id: "id", secret: "a+b"))
        // base64("id:a+b")
        #expect(request.authorization == "Basic aWQ6YSti")
        #expect(!request.bodyText.contains("client_"))
    }

    @Test func `client_secret_post puts both into the body and no field`() {
        let request = exchange(.example(.clientSecretPost, secret: "a&b"))
        #expect(request.credentials.isEmpty)
        #expect(request.fields["authorization"] == nil)
        #expect(request.bodyText == code + "&client_id=client-EXAMPLE&client_secret=a%26b")
    }

    @Test func `a public client sends its id alone`() {
        let request = exchange(.example(.none))
        #expect(request.credentials.isEmpty)
        #expect(request.bodyText == code + "&client_id=client-EXAMPLE")
    }

    @Test func `quirk C3: a public client may send Basic with an empty password`() {
        // base64("id:"); whatever the secret, there is none.
        #expect(exchange(.example(.noneBasic, id: "id", secret: nil)).authorization == "Basic aWQ6")
        #expect(exchange(.example(.noneBasic, id: "id", secret: "EXAMPLE")).authorization == "Basic aWQ6")
    }

    @Test(arguments: ClientAuthentication.allCases)
    func `security 34: quirk C18, C19: one way of authenticating per request`(authentication: ClientAuthentication) {
        for request in [
            exchange(.example(authentication)),
            RefreshTokenGrant.tokenRequest(
                refreshToken: Secret("r"), server: .example, client: .example(authentication), dialect: TokenDialect(),
                moment: .example),
        ] {
            let ways = [
                request.authorization != nil, request.bodyText.contains("client_secret="),
                request.bodyText.contains("client_assertion="),
            ].filter { $0 }.count
            #expect(ways == (authentication == .none ? 0 : 1))
        }
    }

    @Test func `a refresh names the token alone`() {
        let plain = RefreshTokenGrant.tokenRequest(
            refreshToken: Secret("r/EXAMPLE"), server: .example, client: .example(.none), dialect: TokenDialect(),
            moment: .example)
        #expect(plain.bodyText == "grant_type=refresh_token&refresh_token=r%2FEXAMPLE&client_id=client-EXAMPLE")
    }

    @Test func `quirk E6: a refresh goes to its own endpoint where there is one`() {
        let dialect = TokenDialect(refreshEndpoint: "https://op.example/refresh")
        let request = RefreshTokenGrant.tokenRequest(
            refreshToken: Secret("r"), server: .example, client: .example(.none), dialect: dialect, moment: .example)
        #expect(request.url == "https://op.example/refresh")
        #expect(exchange(.example(.none), dialect).url == "https://op.example/token")
    }

    @Test func `quirk C2, C14: the dialect adds fields and parameters and renames`() {
        let dialect = TokenDialect(
            requestFields: ["Accept": "application/vnd.example+json", "Example-Version": "2"],
            requestParameters: [("action", "requesttoken")], parameterNames: ["client_id": "client_key"],
            repeatsClientID: true)
        let request = exchange(.example(.clientSecretBasic), dialect)
        #expect(request.fields.values("accept") == ["application/vnd.example+json"])
        #expect(request.fields["example-version"] == "2")
        #expect(request.bodyText == code + "&action=requesttoken&client_key=client-EXAMPLE")
        #expect(request.authorization != nil)
    }

    @Test func `quirk C6: a JSON dialect sends one object`() throws {
        let request = exchange(.example(.clientSecretPost), TokenDialect(requestFormat: .json))
        #expect(request.body?.contentType == "application/json")
        #expect(
            try JSONValue(parsing: request.bodyText)
                == .object([
                    "grant_type": .string("authorization_code"), "code": .string("4/0A EXAMPLE"),
                    "redirect_uri": .string("https://rollcall.example/callback/op"),
                    "code_verifier": .string("verifier-EXAMPLE"), "client_id": .string("client-EXAMPLE"),
                    "client_secret": .string("secret-EXAMPLE"),
                ]))
    }

    @Test func `quirk C7: a query dialect sends a GET whose description hides the query`() {
        var dialect = TokenDialect(requestFormat: .query)
        dialect.requestMethod = .get
        let request = exchange(.example(.clientSecretPost), dialect)
        #expect(request.method == .get)
        #expect(request.body == nil)
        #expect(request.url.hasPrefix("https://op.example/token?grant_type=authorization_code&code=4%2F0A%20EXAMPLE"))
        #expect(!request.description.contains("EXAMPLE"))
    }

    @Test func `no request shows its secrets`() {
        let request = exchange(.example(.clientSecretBasic, secret: "CANARY"))
        var shown = "\(request)" + String(reflecting: request)
        dump(request, to: &shown)
        for secret in ["CANARY", "verifier-EXAMPLE", "0A"] { #expect(!shown.contains(secret)) }
    }
}

@Suite struct RefreshedCredentialTests {
    func credential(
        _ token: String, refreshToken: String?, refreshExpiry: Int64? = nil, scopes: [Scope] = scopes("a", "b")
    ) -> Credential {
        Credential(
            accessToken: Secret(token), expiresAt: requestedAt + .seconds(3600),
            refreshToken: refreshToken.map { Secret($0) },
            refreshTokenExpiresAt: refreshExpiry.map { requestedAt + .seconds($0) }, scopes: scopes,
            obtainedAt: requestedAt)
    }

    @Test func `quirk E5: keeps the old refresh token and its expiry when the response omits one`() {
        let merged = credential("old", refreshToken: "r1", refreshExpiry: 9000)
            .refreshed(by: credential("new", refreshToken: nil))
        #expect(merged == credential("new", refreshToken: "r1", refreshExpiry: 9000))
    }

    @Test func `quirk E1, E4: a new refresh token replaces the old one and its expiry`() {
        let merged = credential("old", refreshToken: "r1", refreshExpiry: 9000)
            .refreshed(by: credential("new", refreshToken: "r2"))
        #expect(merged == credential("new", refreshToken: "r2"))
    }

    @Test func `the same refresh token again keeps the expiry it had`() {
        let merged = credential("old", refreshToken: "r1", refreshExpiry: 9000)
            .refreshed(by: credential("new", refreshToken: "r1"))
        #expect(merged.refreshTokenExpiresAt == requestedAt + .seconds(9000))
    }

    @Test func `quirk D18: scopes stay where the response names none and shrink where it names fewer`() {
        let old = credential("old", refreshToken: "r1")
        #expect(old.refreshed(by: credential("new", refreshToken: "r2", scopes: [])).scopes == scopes("a", "b"))
        #expect(old.refreshed(by: credential("new", refreshToken: "r2", scopes: scopes("a"))).scopes == scopes("a"))
    }

    @Test func `an access token that no longer says when it expires does not inherit an expiry`() {
        var answer = credential("new", refreshToken: nil)
        answer.expiresAt = nil
        #expect(credential("old", refreshToken: "r1").refreshed(by: answer).expiresAt == nil)
    }
}
