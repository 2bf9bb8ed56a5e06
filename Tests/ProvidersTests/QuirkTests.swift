import Accounts
import Foundation
import JSON
import OAuth
import Providers
import Testing
import Transfer

private func credential(_ scopes: [String] = []) -> Credential {
    Credential(
        accessToken: Secret("EXAMPLE-access"), refreshToken: Secret("EXAMPLE-refresh"),
        scopes: scopes.compactMap { Scope($0) }, obtainedAt: sampleTime)
}

extension TransferRequest {
    fileprivate var text: String { body.map { String(decoding: $0.bytes, as: UTF8.self) } ?? "" }
}

/// What a manifest can say of a provider's habits, one row of `docs/quirks.md` after the other.
@Suite struct QuirkTests {
    private func requests(_ changes: [(String, String)]) throws -> [TransferRequest] {
        let example = try exampleProvider(exampleManifest(replacing: changes))
        return example.profileRequests(
            server: try example.authorizationServer(metadata: nil), credential: credential()
        ).map(\.request)
    }

    private func response(_ status: Int, _ body: String, _ type: String = "application/json") -> TransferResponse {
        TransferResponse(status: status, fields: ["content-type": type], body: Array(body.utf8))
    }

    @Test func `quirk E15: a manifest says where tokens are validated, and how often`() throws {
        let twitch = try #require(try provider("twitch").tokenValidation)
        #expect(twitch.url == "https://id.twitch.tv/oauth2/validate")
        #expect(twitch.scheme == "OAuth" && twitch.interval == .seconds(3600))
        let example = try exampleProvider(
            exampleManifest(replacing: [
                ("refresh: {", "validation: {endpoint: \"{site}/check\", interval: 30m}\n  refresh: {")
            ]))
        let rule = try #require(example.tokenValidation)
        #expect(example.syncRequestCount == 2 && example.configuredAddresses.contains("https://example.com/check"))
        var bound = credential()
        #expect(rule.request(for: bound).credentials.map(\.value) == ["Bearer " + bound.accessToken.reveal { $0 }])
        bound.tokenType = "DPoP"
        #expect(rule.request(for: bound).credentials.first?.value.hasPrefix("DPoP ") == true)
    }

    // MARK: Authorization

    private func authorizationURL(_ changes: [(String, String)]) throws -> String {
        let example = try exampleProvider(exampleManifest(replacing: changes))
        return AuthorizationRequest(
            server: try example.authorizationServer(metadata: nil), client: example.client, scopes: example.scopes,
            scopeSeparator: example.scopeSeparator, parameters: example.authorizationParameters,
            parameterNames: example.authorizationParameterNames, pkce: example.pkce, sendsNonce: example.sendsNonce,
            responseType: example.responseType, statePlace: example.statePlace, random: SystemRandom()
        ).url
    }

    @Test(arguments: [
        ("{site}/#/oauth/authorize", "https://example.com/#/oauth/authorize?client_id=", ""),
        ("{site}/#/authorize?v=2", "https://example.com/#/authorize?v=2&client_id=", ""),
        ("{site}/qrconnect#wechat_redirect", "https://example.com/qrconnect?client_id=", "#wechat_redirect"),
    ])
    func `quirk A14: a consent page may lie behind a fragment`(
        _ endpoint: String, _ start: String, _ end: String
    ) throws {
        let url = try authorizationURL([("{site}/authorize", endpoint)])
        #expect(url.hasPrefix(start) && url.hasSuffix(end), "\(url)")
        #expect(throws: ConfigurationErrors.self) { try authorizationURL([("{site}/token", "{site}/#/token")]) }
    }

    @Test func `quirk A7: response_type may be another or none, and never an implicit or hybrid one`() throws {
        func url(_ type: String) throws -> String {
            try authorizationURL([("  scopes:", "  response_type: \(type)\n  scopes:")])
        }
        #expect(try url("Assertion").contains("response_type=Assertion"))
        #expect(try !url("omitted").contains("response_type"))
        for type in ["token", "id_token", "code id_token", "none"] {
            #expect(throws: ConfigurationErrors.self) { try url(type) }
        }
    }

    @Test func `quirk A15, A16: parameters come sorted, and empty ones not at all`() throws {
        let url = try authorizationURL([
            ("  scopes: [profile]", "  scopes: [profile]\n  parameters: {zone: x, account: y}")
        ])
        let names = url.drop { $0 != "?" }.dropFirst().split(separator: "&").map { $0.prefix { $0 != "=" } }
        #expect(names == names.sorted() && names.contains("account") && names.contains("scope"))
        let example = try exampleProvider(exampleManifest())
        let request = AuthorizationRequest(
            server: try example.authorizationServer(metadata: nil), client: example.client, scopes: [],
            parameters: ["hd": ""], pkce: .none, sendsNonce: false, random: SystemRandom())
        #expect(!request.url.contains("hd") && !request.url.contains("scope"))
    }

    @Test func `quirk D22: a server that claims OpenID and issues no ID token is stated without an issuer`() throws {
        let example = try exampleProvider(
            exampleManifest(replacing: [("scopes: [profile]", "scopes: [openid, profile]")]))
        let server = try example.authorizationServer(metadata: nil)
        #expect(server.issuer == nil && !example.sendsNonce)
    }

    // MARK: Claims

    @Test(
        arguments: [
            (#"{"id": 1, "first": "Mira", "last": "Example"}"#, "Mira Example"),
            (#"{"id": 1, "first": "Mira", "last": ""}"#, "Mira"), (#"{"id": 1, "last": "Example"}"#, "Example"),
            (#"{"id": 1, "first": 5, "last": null}"#, nil),
        ] as [(String, String?)])
    func `quirk F14: a name may be put together of its parts`(_ user: String, _ name: String?) throws {
        let example = try exampleProvider(
            exampleManifest(replacing: [("name: $.user.name", "name: {join: [$.user.first, $.user.last]}")]))
        let profile = try example.profile(from: ["user": JSONValue(parsing: user)])
        #expect(try JSONValue(parsing: profile.claims)["name"]?.string == name)
    }

    @Test(
        arguments: [
            (#"{"id": 1, "email": "a@example.com", "at": "2018-03-02T10:00:00.370Z"}"#, true),
            (#"{"id": 1, "email": "a@example.com", "at": null}"#, false),
            (#"{"id": 1, "email": "a@example.com"}"#, nil),
            (#"{"id": 1, "email": "a@example.com", "at": "soon"}"#, nil),
        ] as [(String, Bool?)])
    func `quirk F18: the time at which an address was verified vouches for it`(
        _ user: String, _ verified: Bool?
    ) throws {
        let example = try exampleProvider(
            exampleManifest(replacing: [
                ("name: $.user.name", "email: $.user.email\n    email_verified: {path: $.user.at, accept: [time]}")
            ]))
        #expect(try example.profile(from: ["user": JSONValue(parsing: user)]).emailVerified == verified)
    }

    @Test(arguments: [
        ("https://example.com/a.png", true), ("http://example.com/a.png", true), ("avatar/athlete/large.png", false),
        ("javascript:alert(1)", false), ("//example.com/a.png", false),
    ])
    func `quirk F20: a picture that is no URL is none`(_ text: String, _ isThere: Bool) throws {
        let example = try exampleProvider(
            exampleManifest(replacing: [("name: $.user.name", "picture: $.user.picture")]))
        let profile = try example.profile(from: ["user": ["id": 1, "picture": .string(text)]])
        #expect((try JSONValue(parsing: profile.claims)["picture"] != nil) == isThere)
    }

    // MARK: What the token answer tells

    private static let keeping = exampleManifest(replacing: [
        (
            "  refresh: {rotation: single_use}",
            "  response: {keep: [athlete, {name: instance_url, hosts: [\"*.example.com\"]}]}"
        ), (#"url: "{site}/me""#, #"url: "{token.instance_url}/me""#),
        ("sub: $.user.id", "sub: $.token.athlete.id"),
    ])

    @Test(arguments: [
        ("https://eu7.example.com", true), ("https://eu7.example.com/base/", true), ("https://example.com", false),
        ("https://evil.example", false), ("https://eu7.example.com.evil.example", false),
        ("https://evil.example/.example.com", false), ("https://a@eu7.example.com", false),
        ("https://eu7.example.com:8443", false), ("http://eu7.example.com", false),
        ("https://eu7.example.com?x=", false), ("", false),
    ])
    func `quirk D23: a server that the token answer names is asked where the manifest allows it`(
        _ url: String, _ isAllowed: Bool
    ) throws {
        let example = try exampleProvider(Self.keeping)
        let answer = try TokenEndpoint.read(
            response(
                200,
                #"{"access_token":"EXAMPLE-a","athlete":{"id":7},"instance_url":"\#(url)","secret":"EXAMPLE-s"}"#),
            dialect: example.tokenDialect, requestedScopes: [], requestedAt: sampleTime)
        #expect(answer.kept.names.sorted() == ["athlete", "instance_url"])
        guard isAllowed else {
            #expect(throws: KeptMemberError.refused("instance_url")) { try example.kept(of: answer) }
            return
        }
        let server = try example.authorizationServer(metadata: nil)
        let requests = example.profileRequests(
            server: server, credential: credential(), token: try example.kept(of: answer))
        #expect(requests.map(\.request.url) == [url + (url.hasSuffix("/") ? "me" : "/me")])
        // Nothing is asked of a server that was stored under a laxer manifest, or of none.
        let stored: JSONObject = ["instance_url": "https://evil.example"]
        #expect(example.profileRequests(server: server, credential: credential(), token: stored).isEmpty)
        #expect(example.profileRequests(server: server, credential: credential()).isEmpty)
    }

    @Test func `quirk D21: what the token answer says of the person is kept, and a token never`() throws {
        let example = try exampleProvider(Self.keeping)
        let profile = try example.profile(from: [
            "token": ["athlete": ["id": 7], "instance_url": "https://eu7.example.com"], "user": ["name": "Mira"],
        ])
        #expect(profile.subject.rawValue == "7")
        #expect(try JSONValue(parsing: profile.raw)["token"]?["athlete"]?["id"] != nil)
        for (member, line) in [("access_token", ""), ("token", ", member_names: {access_token: token}")] {
            #expect(throws: ConfigurationErrors.self) {
                try exampleProvider(
                    exampleManifest(replacing: [
                        ("  refresh: {rotation: single_use}", "  response: {keep: [\(member)]\(line)}")
                    ]))
            }
        }
        // Nor one that a member has inside.
        let wrapped = try exampleProvider(
            exampleManifest(replacing: [
                ("  refresh: {rotation: single_use}", "  response: {path: [data], keep: [data, athlete]}")
            ]))
        let answer = try TokenEndpoint.read(
            response(200, #"{"data":{"access_token":"EXAMPLE-a","athlete":{"id":7}}}"#),
            dialect: wrapped.tokenDialect, requestedScopes: [], requestedAt: sampleTime)
        #expect(answer.kept.names == ["athlete"])
        for host in ["*.com", "*", "https://a.example", "a.*.example"] {
            #expect(throws: ConfigurationErrors.self) {
                try exampleProvider(Self.keeping.replacingOccurrences(of: "*.example.com", with: host))
            }
        }
    }

    // MARK: Failures

    @Test func `quirk F23, G12: a success that tells of a failure is none`() throws {
        let example = try exampleProvider(
            exampleManifest(replacing: [
                (
                    "limits:",
                    """
                      failures:
                        error: ["$[?@.code && @.code != 'ok']"]
                        unauthorized: ["$.error[?@ == 'access_token_invalid']"]
                        insufficient_scope: ["$.error[?@ == 'scope_not_authorized']"]
                    limits:
                    """
                )
            ]))
        func failure(_ code: String, status: Int = 200) -> ResourceFailure? {
            let answer = response(status, #"{"data": {}, "error": {"code": "\#(code)", "message": ""}}"#)
            return example.isResource(answer) ? nil : example.failure(of: answer, now: sampleTime)
        }
        #expect(failure("ok") == nil)
        #expect(failure("access_token_invalid") == .unauthorized)
        #expect(failure("access_token_invalid", status: 403) == .unauthorized)
        #expect(failure("scope_not_authorized") == .insufficientScope)
        #expect(failure("rate_limit_exceeded") == .refused(status: 200))
        #expect(failure("access_token_invalid", status: 503) == .unavailable(status: 503))
        // Only the members that the manifest names are looked at.
        let named = response(200, #"{"id": 1, "name": "access_token_invalid"}"#)
        #expect(example.isResource(named))
        #expect(try !provider("slack").isResource(response(200, #"{"ok": false, "error": "x"}"#)))
        #expect(try provider("slack").isResource(response(200, #"{"ok": true, "name": "token_revoked"}"#)))
    }

    @Test func `quirk G12: a dead token is one whatever the type of the answer`() throws {
        let example = try exampleProvider(exampleManifest())
        #expect(example.failure(of: response(401, "Unauthorized", "text/plain"), now: sampleTime) == .unauthorized)
    }

    // MARK: Requests

    @Test func `quirk F6, C10: a header may hold the client id`() throws {
        let twitch = try provider("twitch")
        let server = try twitch.authorizationServer(metadata: nil)
        let request = try #require(twitch.profileRequests(server: server, credential: credential()).first?.request)
        #expect(request.fields["client-id"] == "EXAMPLE-twitch")

        let example = try exampleProvider(
            exampleManifest(replacing: [
                (
                    "  refresh:",
                    "  request: {headers: {client-id: \"{client_id}\", X-Data: \"{\\\"a\\\":1}\"}}\n  refresh:"
                )
            ]))
        let token = RefreshTokenGrant.tokenRequest(
            refreshToken: Secret("EXAMPLE"), server: try example.authorizationServer(metadata: nil),
            client: example.client, dialect: example.tokenDialect, moment: .example)
        #expect(token.fields["client-id"] == "EXAMPLE-id")
        #expect(token.fields["x-data"] == #"{"a":1}"#)
    }

    @Test func `quirk F4, F5: the token may stand in a field, a query or a body, and shows in no description`() throws {
        let url = #"url: "{site}/me""#
        let field = try #require(try requests([(url, url + ", authorization: {header: X-Token}")]).first)
        #expect(field.credentials.map(\.name) == ["X-Token"] && field.credentials[0].value == "EXAMPLE-access")
        let query = try #require(try requests([(url, url + ", authorization: {query: oauth_token}")]).first)
        #expect(query.url == "https://example.com/me?oauth_token=EXAMPLE-access" && query.credentials.isEmpty)
        let body = try #require(try requests([(url, url + ", method: POST, authorization: {body: token}")]).first)
        #expect(body.text == "token=EXAMPLE-access" && body.method == .post && body.credentials.isEmpty)
        for request in [field, query, body] {
            #expect(!"\(request)".contains("EXAMPLE-access"))
            #expect(!String(reflecting: request).contains("EXAMPLE-access"))
        }
        for wrong in ["authorization: {body: token}", "body: {format: json, parameters: {a: b}}"] {
            #expect(throws: ConfigurationErrors.self) { try requests([(url, url + ", " + wrong)]) }
        }
        for wrong in ["{header: Host}", "{header: A, query: b}", "{}"] {
            #expect(throws: ConfigurationErrors.self) { try requests([(url, url + ", authorization: \(wrong)")]) }
        }
    }

    @Test func `quirk F9: a profile may be asked for with a POST and a body, or an empty one`() throws {
        let url = #"url: "{site}/me""#
        let query = try #require(
            try requests([
                (url, url + #", method: POST, body: {format: json, parameters: {query: "{ viewer { id } }"}}"#)
            ]).first)
        #expect(query.text == #"{"query":"{ viewer { id } }"}"# && query.body?.contentType == "application/json")
        let empty = try #require(try requests([(url, url + ", method: POST")]).first)
        #expect(empty.method == .post && empty.body == nil)
        // What a POST answers is not asked for on condition.
        let example = try exampleProvider(exampleManifest(replacing: [(url, url + ", method: POST")]))
        let conditional = example.profileRequests(
            server: try example.authorizationServer(metadata: nil), credential: credential(),
            validators: ["user": Validators(etag: "\"1\"")])
        #expect(conditional.first?.request.fields["if-none-match"] == nil)
    }

    @Test func `quirk F10: fields that must be listed are listed in the URL`() throws {
        let x = try provider("x")
        let server = try x.authorizationServer(metadata: nil)
        let requests = x.profileRequests(server: server, credential: credential(["users.read", "users.email"]))
        #expect(requests.map { $0.request.url.hasSuffix("user.fields=confirmed_email") } == [false, true])
        #expect(x.profileRequests(server: server, credential: credential(["users.read"])).count == 1)
    }

    @Test func `quirk E6: a refresh may have parameters of its own`() throws {
        let gitlab = try provider("gitlab")
        let request = RefreshTokenGrant.tokenRequest(
            refreshToken: Secret("EXAMPLE"), server: try gitlab.authorizationServer(metadata: nil),
            client: gitlab.client, dialect: gitlab.tokenDialect, moment: .example)
        #expect(request.text.contains("redirect_uri=https%3A%2F%2Faccounts.example.com%2Fcallback%2Fgitlab"))
    }

    @Test func `quirk A12: a tenant of the same issuer keeps its aliases, another issuer has its own`() throws {
        func microsoft(_ variables: [String: String]) throws -> Provider {
            try ProviderCatalog(
                files: [],
                instances: [
                    InstanceConfiguration(
                        id: "microsoft", variables: variables, clientID: "EXAMPLE", clientSecret: Secret("EXAMPLE"))
                ], publicURL: "https://accounts.example.com"
            ).provider("microsoft")
        }
        let template = "https://login.microsoftonline.com/{tenantid}/v2.0"
        #expect(try microsoft([:]).issuerAliases == [template])
        let tenant = try microsoft(["tenant": "corp.example"])
        #expect(tenant.issuer == "https://login.microsoftonline.com/corp.example/v2.0")
        #expect(tenant.issuerAliases == [template])
        #expect(tenant.metadataHosts == ["login.microsoftonline.com", "graph.microsoft.com"])
        let cloud = try microsoft(["site": "https://login.example.us", "api": "https://graph.example.us"])
        #expect(cloud.issuerAliases == ["https://login.example.us/{tenantid}/v2.0"])
        #expect(cloud.metadataHosts == ["login.example.us", "graph.example.us"])

        // The document of a tenant that was named by its domain speaks for the tenant's id.
        let issuer = try #require(tenant.issuer)
        func document(_ stated: String) throws -> ProviderMetadata {
            let base = "https://login.microsoftonline.com/x"
            return try ProviderMetadata.read(
                response(
                    200,
                    #"{"issuer":"\#(stated)","authorization_endpoint":"\#(base)/a","token_endpoint":"\#(base)/t","jwks_uri":"\#(base)/k"}"#
                ), issuer: issuer, issuerAliases: tenant.issuerAliases, allowedHosts: tenant.metadataHosts)
        }
        let concrete = "https://login.microsoftonline.com/11111111-1111-1111-1111-111111111111/v2.0"
        #expect(try document(concrete).issuer == concrete)
        for other in ["https://login.microsoftonline.com/a/b/v2.0", "https://evil.example/1/v2.0", issuer + "/"] {
            #expect(throws: DiscoveryError.issuerMismatch) { try document(other) }
        }
    }
}
