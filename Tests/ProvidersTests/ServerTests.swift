import Accounts
import Cryptography
import JSON
import OAuth
import Providers
import Testing
import Transfer

private func credential(_ scopes: [String]) -> Credential {
    Credential(
        accessToken: Secret("EXAMPLE-access"), refreshToken: Secret("EXAMPLE-refresh"),
        scopes: scopes.compactMap { Scope($0) }, obtainedAt: sampleTime)
}

@Suite struct ServerTests {
    @Test func `Discord's endpoints and dialect are its manifest's`() throws {
        let discord = try provider("discord")
        let server = try discord.authorizationServer(metadata: nil)
        #expect(server.authorizationEndpoint == "https://discord.com/oauth2/authorize")
        #expect(server.tokenEndpoint == "https://discord.com/api/v10/oauth2/token")
        #expect(
            server.revocation
                == .rfc7009(endpoint: "https://discord.com/api/v10/oauth2/token/revoke", authenticated: true))
        #expect(server.issuer == nil && !discord.sendsNonce && discord.pkce == .s256)
        #expect(discord.refreshRotation == .singleUse)
        #expect(discord.tokenDialect.accessTokenLifetime == .seconds(604_800))
        #expect(discord.scopes.map(\.rawValue) == ["identify", "email"])
        #expect(discord.limits.requests == [RequestLimit(per: .client, count: 50, window: .seconds(1))])
        #expect(
            discord.limits.invalidRequests
                == InvalidRequestLimit(count: 10000, window: .seconds(600), statuses: [401, 403, 429]))
    }

    @Test func `quirk F8: Discord sees its own form of User-Agent on every request`() throws {
        let discord = try provider("discord")
        let server = try discord.authorizationServer(metadata: nil)
        let expected = "DiscordBot (https://accounts.example.com, 1)"
        let token = RefreshTokenGrant.tokenRequest(
            refreshToken: Secret("EXAMPLE"), server: server, client: discord.client,
            dialect: discord.tokenDialect, moment: .example)
        #expect(token.fields["user-agent"] == expected)
        let requests = discord.profileRequests(server: server, credential: credential(["identify"]))
        #expect(requests.map(\.request.url) == ["https://discord.com/api/v10/users/@me"])
        #expect(requests.allSatisfy { $0.request.fields["user-agent"] == expected })
        #expect(discord.userAgent == expected)
    }

    @Test func `quirk C15, F7: GitHub is asked in its way`() throws {
        let github = try provider("github")
        let server = try github.authorizationServer(metadata: nil)
        let token = AuthorizationCodeGrant.tokenRequest(
            code: Secret("EXAMPLE-code"), codeVerifier: Secret("EXAMPLE-verifier"), server: server,
            client: github.client, dialect: github.tokenDialect, moment: .example)
        #expect(token.url == "https://github.com/login/oauth/access_token")
        #expect(token.fields["accept"] == "application/json")
        #expect(token.credentials.isEmpty)
        let body = try #require(token.body.map { String(decoding: $0.bytes, as: UTF8.self) })
        #expect(body.contains("client_id=Iv1.EXAMPLE") && body.contains("client_secret=EXAMPLE-secret"))

        let requests = github.profileRequests(
            server: server, credential: credential(["read:user", "user:email"]),
            validators: ["user": Validators(etag: "\"v1\"", lastModified: "Thu, 19 Nov 2026 11:02:03 GMT")])
        #expect(requests.map(\.name) == ["user", "emails"])
        #expect(requests.map(\.isOptional) == [false, true])
        #expect(requests.allSatisfy { $0.request.fields["x-github-api-version"] == "2022-11-28" })
        #expect(requests.allSatisfy { $0.request.fields["accept"] == "application/vnd.github+json" })
        #expect(requests.allSatisfy { $0.request.credentials.map(\.value) == ["Bearer EXAMPLE-access"] })
        #expect(requests[0].request.fields["if-none-match"] == "\"v1\"")
        #expect(requests[0].request.fields["if-modified-since"] == "Thu, 19 Nov 2026 11:02:03 GMT")
        #expect(requests[1].request.fields["if-none-match"] == nil)
    }

    @Test(arguments: [
        (["read:user", "user:email"], true), (["user"], true), (["read:user"], false),
        // A GitHub App's tokens say nothing of scopes: its permissions decide.
        ([], true),
    ])
    func `the addresses are asked for where they may be had`(_ granted: [String], _ asks: Bool) throws {
        let github = try provider("github")
        let requests = github.profileRequests(
            server: try github.authorizationServer(metadata: nil), credential: credential(granted))
        #expect(requests.map(\.name).contains("emails") == asks)
    }

    @Test func `quirk R2: GitHub's grant is deleted with Basic`() throws {
        let github = try provider("github")
        let server = try github.authorizationServer(metadata: nil)
        let requests = TokenRevocation.requests(
            for: credential([]), server: server, client: github.client, moment: .example)
        #expect(requests.map(\.method) == [.delete])
        #expect(requests.map(\.url) == ["https://api.github.com/applications/Iv1.EXAMPLE/grant"])
        #expect(requests[0].credentials.map(\.name) == ["Authorization"])
        #expect(requests[0].credentials[0].value.hasPrefix("Basic "))
        #expect(
            requests[0].body.map { String(decoding: $0.bytes, as: UTF8.self) } == #"{"access_token":"EXAMPLE-access"}"#)
    }

    @Test func `Google's endpoints come from its metadata document`() throws {
        let google = try provider("google")
        #expect(throws: ProviderError.metadataRequired) { try google.authorizationServer(metadata: nil) }
        let server = try google.authorizationServer(metadata: metadata(google))
        #expect(server.issuer == "https://accounts.google.com")
        #expect(google.issuerAliases == ["accounts.google.com"])
        #expect(
            google.metadataHosts == [
                "accounts.google.com", "oauth2.googleapis.com", "openidconnect.googleapis.com", "www.googleapis.com",
            ])
        #expect(server.revocation == .rfc7009(endpoint: "https://oauth2.googleapis.com/revoke", authenticated: false))
        #expect(google.authorizationParameters == ["access_type": "offline", "prompt": "consent"])
        #expect(google.sendsNonce)
        let requests = google.profileRequests(server: server, credential: credential(["openid"]))
        #expect(requests.map(\.request.url) == ["https://openidconnect.googleapis.com/v1/userinfo"])
    }

    @Test func `Google can be played by another issuer, which gets neither its aliases nor its hosts`() throws {
        let catalog = try ProviderCatalog(
            files: [],
            instances: [
                InstanceConfiguration(
                    id: "google", variables: ["issuer": "http://127.0.0.1:8081/google"], clientID: "EXAMPLE",
                    clientSecret: Secret("EXAMPLE"))
            ], publicURL: "http://127.0.0.1:8080")
        let google = try catalog.provider("google")
        #expect(google.issuer == "http://127.0.0.1:8081/google")
        #expect(google.issuerAliases.isEmpty)
        #expect(google.metadataHosts == ["127.0.0.1"])
        let base = "http://127.0.0.1:8081/google"
        let document = """
            {"issuer": "\(base)", "authorization_endpoint": "\(base)/authorize", "token_endpoint": "\(base)/token",
             "jwks_uri": "\(base)/keys", "userinfo_endpoint": "\(base)/userinfo"}
            """
        let response = TransferResponse(
            status: 200, fields: ["content-type": "application/json"], body: Array(document.utf8))
        let metadata = try ProviderMetadata.read(
            response, issuer: base, issuerAliases: google.issuerAliases, allowedHosts: google.metadataHosts)
        let server = try google.authorizationServer(metadata: metadata)
        #expect(server.tokenEndpoint == "\(base)/token")
        // A document that offers none is one of the time before it had to: RS256 is what every server has.
        #expect(server.idTokenAlgorithms == [.rs256])
        #expect(server.revocation == .none)
    }

    @Test func `a provider without userinfo endpoint is asked nothing`() throws {
        let oidc = try provider("oidc")
        let document = """
            {"issuer": "https://op.example", "authorization_endpoint": "https://op.example/authorize",
             "token_endpoint": "https://op.example/token", "jwks_uri": "https://op.example/keys",
             "id_token_signing_alg_values_supported": ["ES256", "none"],
             "authorization_response_iss_parameter_supported": true,
             "revocation_endpoint": "https://op.example/revoke"}
            """
        let metadata = try ProviderMetadata.read(
            TransferResponse(status: 200, fields: ["content-type": "application/json"], body: Array(document.utf8)),
            issuer: "https://op.example", allowedHosts: oidc.metadataHosts)
        let server = try oidc.authorizationServer(metadata: metadata)
        #expect(oidc.profileRequests(server: server, credential: credential(["openid"])).isEmpty)
        #expect(server.authorizationResponseIssRequired)
        #expect(server.idTokenAlgorithms == [.es256])
        #expect(server.revocation == .rfc7009(endpoint: "https://op.example/revoke", authenticated: true))
    }

    @Test func `the issuer in force is the document's, which may be the declared template`() throws {
        let manifest = exampleManifest(replacing: [
            (
                "limits:",
                "issuer: https://login.example/common/v2.0\nissuer_aliases: [\"https://login.example/{tenantid}/v2.0\"]\nrevocation: none\nlimits:"
            ),
            ("scopes: [profile]", "scopes: [openid]\n  nonce: false"),
            ("{site}/me", "{userinfo_endpoint}"), ("$.user.id", "$.user.sub"),
        ])
        let example = try exampleProvider(manifest)
        let issuer = try #require(example.issuer)
        let document = """
            {"issuer": "https://login.example/{tenantid}/v2.0", "token_endpoint": "https://login.example/token",
             "authorization_endpoint": "https://login.example/authorize", "jwks_uri": "https://login.example/keys",
             "authorization_response_iss_parameter_supported": true}
            """
        let metadata = try ProviderMetadata.read(
            TransferResponse(status: 200, fields: ["content-type": "application/json"], body: Array(document.utf8)),
            issuer: issuer, issuerAliases: example.issuerAliases, allowedHosts: example.metadataHosts)
        let server = try example.authorizationServer(metadata: metadata)
        #expect(server.issuer == "https://login.example/{tenantid}/v2.0")
        try AuthorizationResponse.checkIssuer("https://login.example/0a1b-2c/v2.0", server: server)
        #expect(throws: AuthorizationResponseError.issuerMismatch) {
            try AuthorizationResponse.checkIssuer("https://evil.example/0a1b-2c/v2.0", server: server)
        }
    }

    @Test func `what the manifest states wins over the document`() throws {
        let manifest = exampleManifest(replacing: [
            (
                "limits:",
                "issuer: https://accounts.google.com\nmetadata_hosts: [oauth2.googleapis.com, openidconnect.googleapis.com, www.googleapis.com]\nrevocation: none\nlimits:"
            ),
            ("scopes: [profile]", "scopes: [openid]\n  nonce: false"),
            ("{site}/me", "{userinfo_endpoint}"), ("$.user.id", "$.user.sub"),
        ])
        let example = try exampleProvider(manifest)
        let server = try example.authorizationServer(metadata: metadata(example, of: "google"))
        #expect(server.authorizationEndpoint == "https://example.com/authorize")
        #expect(server.tokenEndpoint == "https://example.com/token")
        #expect(server.userinfoEndpoint == "https://openidconnect.googleapis.com/v1/userinfo")
        #expect(server.revocation == .none)
        #expect(!example.sendsNonce)
    }

    @Test func `every departure of a token endpoint can be said`() throws {
        let manifest = exampleManifest(replacing: [
            (
                "  refresh: {rotation: single_use}",
                """
                  request:
                    format: json
                    headers: {Notion-Version: "2022-06-28"}
                    parameters: {action: requesttoken}
                    parameter_names: {client_id: client_key}
                    repeats_client_id: true
                  response:
                    content_types: [text/plain, ""]
                    path: [data]
                    member_names: {access_token: accessToken}
                    bearer_token_types: [User Access Token]
                    errors: {dead: invalid_grant, Invalid refresh token: invalid_grant}
                    zero_lifetime_is_forever: true
                  access_token_lifetime: 2h
                  refresh: {endpoint: "{site}/refresh", rotation: newest_wins, lifetime: 90d}
                """
            ),
            (
                "scopes: [profile]",
                "scopes: [profile]\n  scope_separator: \",\"\n  pkce: none\n  parameter_names: {client_id: client_key}"
            ),
        ])
        let example = try exampleProvider(manifest)
        let dialect = example.tokenDialect
        #expect(dialect.requestFormat == .json)
        #expect(dialect.requestFields["notion-version"] == "2022-06-28")
        #expect(dialect.requestParameters.map(\.0) == ["action"])
        #expect(dialect.parameterNames == ["client_id": "client_key"])
        #expect(dialect.repeatsClientID && dialect.zeroLifetimeIsForever)
        #expect(dialect.refresh.endpoint == "https://example.com/refresh")
        #expect(dialect.acceptsContentTypes == ["text/plain", ""])
        #expect(dialect.responsePath == ["data"] && dialect.memberNames == ["access_token": "accessToken"])
        #expect(dialect.bearerTokenTypes == ["User Access Token"])
        #expect(dialect.accessTokenLifetime == .seconds(7200) && dialect.refreshTokenLifetime == .seconds(90 * 86400))
        #expect(dialect.errorCodes == ["dead": .invalidGrant, "Invalid refresh token": .invalidGrant])
        #expect(example.scopeSeparator == "," && example.pkce == .none && example.refreshRotation == .newestWins)
        #expect(example.authorizationParameterNames == ["client_id": "client_key"])
    }

    @Test func `a slash at the end of a variable does not double`() throws {
        let example = try exampleProvider(exampleManifest()) { $0.variables = ["site": "https://self.example/base/"] }
        let server = try example.authorizationServer(metadata: nil)
        #expect(server.tokenEndpoint == "https://self.example/base/token")
    }

    @Test func `quirk F1, F2, F3: the scheme before an access token is the manifest's`() throws {
        let manifest = exampleManifest(replacing: [(#"url: "{site}/me""#, #"url: "{site}/me", authorization: OAuth"#)])
        let example = try exampleProvider(manifest)
        let server = try example.authorizationServer(metadata: nil)
        let request = try #require(example.profileRequests(server: server, credential: credential([])).first)
        #expect(request.request.credentials.map(\.value) == ["OAuth EXAMPLE-access"])
        #expect(request.request.redirects == .refuse)
    }
}

@Suite struct FailureTests {
    private func failure(_ id: String, _ status: Int, _ fields: HeaderFields = [:], _ body: String = "") throws
        -> ResourceFailure
    {
        try provider(id).failure(
            of: TransferResponse(status: status, fields: fields, body: Array(body.utf8)), now: sampleTime)
    }

    @Test func `a suspended user is told from a refusal`() throws {
        let suspended = #"{"message": "Sorry. Your account was suspended.", "status": "403"}"#
        #expect(try failure("github", 403, [:], suspended) == .gone)
        #expect(try failure("github", 403, [:], #"{"message": "Forbidden"}"#) == .refused(status: 403))
        #expect(try failure("discord", 403, [:], suspended) == .refused(status: 403))
    }

    @Test(arguments: [500, 502, 503, 504, 408, 520])
    func `a server in trouble says nothing about an account`(_ status: Int) throws {
        for id in ["discord", "github", "google", "oidc"] {
            let found = try failure(id, status, [:], #"{"message": "Your account was suspended", "code": 50026}"#)
            #expect(found == .unavailable(status: status))
            #expect(found.failure.disposition == .retry)
        }
    }

    @Test func `each failure comes down to what happens next`() throws {
        let until = sampleTime + .seconds(60)
        #expect(ResourceFailure.unauthorized.failure.disposition == .relink(.consentRevoked))
        #expect(ResourceFailure.insufficientScope.failure.disposition == .relink(.scopeLost))
        #expect(ResourceFailure.gone.failure.disposition == .suspend)
        #expect(ResourceFailure.refused(status: 404).failure.disposition == .retry)
        for reach in LimitSignal.Reach.allCases {
            let failure = ResourceFailure.limited(LimitSignal(reach: reach, until: until))
            #expect(failure.failure.disposition == .wait(until: until, everyone: reach == .everyone))
        }
    }

    @Test func `a body that is no JSON or hostile is only a refusal`() throws {
        for body in ["", "<html>", "{", "[[[[", "{\"code\": 50026", "\u{0}", "50026"] {
            #expect(try failure("discord", 403, [:], body) == .refused(status: 403), "\(body)")
        }
    }
}
