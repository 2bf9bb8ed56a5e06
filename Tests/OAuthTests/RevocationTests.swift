import Accounts
import JSON
import OAuth
import Testing
import Transfer

@Suite struct RevocationTests {
    let credential = Credential(
        accessToken: Secret("access/EXAMPLE"), refreshToken: Secret("refresh/EXAMPLE"), scopes: [],
        obtainedAt: requestedAt)

    var withoutRefreshToken: Credential {
        var credential = credential
        credential.refreshToken = nil
        return credential
    }

    func server(_ method: RevocationMethod) -> AuthorizationServer {
        var server = AuthorizationServer.example
        server.revocation = method
        return server
    }

    static let rfc7009 = RevocationMethod.rfc7009(endpoint: "https://op.example/revoke", authenticated: true)
    static let deletion = RevocationMethod.request(
        RevocationRequest(
            method: .delete, url: "https://api.example/applications/{client_id}/token",
            fields: ["Accept": "application/vnd.example+json"], authentication: .basic,
            body: .json(.object(["access_token": .string("{access_token}")])), successStatuses: [204],
            alreadyDeadStatuses: [404, 422]))

    @Test func `security 72: quirk R1: the refresh token goes first, then the access token, each with its hint`() {
        let requests = TokenRevocation.requests(
            for: credential, server: server(Self.rfc7009), client: .example(.clientSecretPost), moment: .example)
        #expect(
            requests.map(\.bodyText) == [
                "token=refresh%2FEXAMPLE&token_type_hint=refresh_token"
                    + "&client_id=client-EXAMPLE&client_secret=secret-EXAMPLE",
                "token=access%2FEXAMPLE&token_type_hint=access_token"
                    + "&client_id=client-EXAMPLE&client_secret=secret-EXAMPLE",
            ])
        for request in requests {
            #expect(request.method == .post)
            #expect(request.url == "https://op.example/revoke")
            #expect(request.redirects == .refuse)
            #expect(request.credentials.isEmpty)
        }
    }

    @Test func `Basic clients authenticate by field; unauthenticated servers get the token alone`() {
        let basic = TokenRevocation.requests(
            for: withoutRefreshToken, server: server(Self.rfc7009), client: .example(.clientSecretBasic),
            moment: .example)
        #expect(basic.map(\.bodyText) == ["token=access%2FEXAMPLE&token_type_hint=access_token"])
        #expect(basic[0].authorization?.hasPrefix("Basic ") == true)
        let bare = TokenRevocation.requests(
            for: withoutRefreshToken,
            server: server(.rfc7009(endpoint: "https://op.example/revoke", authenticated: false)),
            client: .example(.clientSecretBasic), moment: .example)
        #expect(bare.map(\.bodyText) == ["token=access%2FEXAMPLE&token_type_hint=access_token"])
        #expect(bare[0].credentials.isEmpty)
    }

    @Test func `quirk R4: a server that takes nothing back gets no request`() {
        #expect(
            TokenRevocation.requests(for: credential, server: .example, client: .example(.none), moment: .example)
                .isEmpty)
    }

    @Test func `a declared request is sent once, its templates filled in`() throws {
        let client = ClientRegistration.example(.clientSecretPost, id: "Iv1/EXAMPLE", secret: "s")
        let requests = TokenRevocation.requests(
            for: credential, server: server(Self.deletion), client: client, moment: .example)
        try #require(requests.count == 1)
        #expect(requests[0].method == .delete)
        #expect(requests[0].url == "https://api.example/applications/Iv1%2FEXAMPLE/token")
        #expect(requests[0].bodyText == #"{"access_token":"access/EXAMPLE"}"#)
        #expect(requests[0].body?.contentType == "application/json")
        #expect(requests[0].fields.values("accept") == ["application/vnd.example+json"])
        // base64("Iv1%2FEXAMPLE:s")
        #expect(requests[0].authorization == "Basic SXYxJTJGRVhBTVBMRTpz")
    }

    @Test func `a template that names a missing token makes no request`() {
        let method = RevocationMethod.request(
            RevocationRequest(
                method: .post, url: "https://api.example/revoke", authentication: .none,
                body: .form(["token": .string("{refresh_token}")])))
        let requests = {
            TokenRevocation.requests(for: $0, server: server(method), client: .example(.none), moment: .example)
        }
        #expect(requests(credential).map(\.bodyText) == ["token=refresh%2FEXAMPLE"])
        #expect(requests(withoutRefreshToken).isEmpty)
    }

    @Test func `quirk R3: a template with {token} is sent for each token, percent-encoded in the path`() {
        let method = RevocationMethod.request(
            RevocationRequest(
                method: .delete, url: "https://api.example/tokens/{token}", authentication: .bearer))
        let requests = TokenRevocation.requests(
            for: credential, server: server(method), client: .example(.none), moment: .example)
        #expect(
            requests.map(\.url) == [
                "https://api.example/tokens/refresh%2FEXAMPLE", "https://api.example/tokens/access%2FEXAMPLE",
            ])
        #expect(requests.map(\.authorization) == ["Bearer access/EXAMPLE", "Bearer access/EXAMPLE"])
        #expect(requests.allSatisfy { $0.body == nil })
    }

    @Test func `a request whose placeholder stands for nothing is not made`() {
        func request(_ url: String, _ body: RevocationRequest.Body) -> RevocationRequest {
            RevocationRequest(method: .post, url: url, authentication: .none, body: body)
        }
        for request in [
            request("https://{site}/revoke", .none), request("https://a.example/{", .none),
            request("https://a.example", .json(.object(["a": .array([.string("{token} {id_token}"), .null])]))),
            request("https://a.example", .form(["x": .string("{y}{access_token}")])),
        ] {
            let server = server(.request(request))
            #expect(
                TokenRevocation.requests(for: credential, server: server, client: .example(.none), moment: .example)
                    .isEmpty)
        }
    }

    @Test func `a token that looks like a template is not expanded again`() {
        var credential = withoutRefreshToken
        credential.accessToken = Secret("{client_id}")
        let requests = TokenRevocation.requests(
            for: credential, server: server(Self.deletion), client: .example(.none), moment: .example)
        #expect(requests.map(\.bodyText) == [#"{"access_token":"{client_id}"}"#])
    }

    @Test func `recorded answers mean what the providers mean by them`() throws {
        #expect(TokenRevocation.read(try Fixtures.response("discord/revoke_ok"), method: Self.rfc7009) == .revoked)
        #expect(TokenRevocation.read(try Fixtures.response("google/revoke_ok"), method: Self.rfc7009) == .revoked)
        #expect(TokenRevocation.read(try Fixtures.response("google/revoke_400"), method: Self.rfc7009) == .alreadyDead)
        #expect(TokenRevocation.read(try Fixtures.response("github/revoke_204"), method: Self.deletion) == .revoked)
        #expect(TokenRevocation.read(try Fixtures.response("github/revoke_404"), method: Self.deletion) == .alreadyDead)
        #expect(TokenRevocation.read(.json(422, "{}"), method: Self.deletion) == .alreadyDead)
    }

    @Test(arguments: [RevocationMethod.none, rfc7009, deletion])
    func `security 71: a server in trouble is asked again`(method: RevocationMethod) {
        for status in [408, 429, 500, 503] {
            #expect(TokenRevocation.read(TransferResponse(status: status), method: method) == .retry(after: nil))
        }
        for (value, seconds) in [("7", 7), ("0", 0), ("-5", 0), ("999999999", 86400)] as [(String, Int64)] {
            let response = TransferResponse(status: 503, fields: ["Retry-After": value])
            #expect(TokenRevocation.read(response, method: method) == .retry(after: .seconds(seconds)))
        }
        let date = TransferResponse(status: 503, fields: ["Retry-After": "Fri, 20 Nov 2026 14:42:53 GMT"])
        #expect(TokenRevocation.read(date, method: method) == .retry(after: nil))
    }

    @Test func `security 72: a refusal for good is not tried again`() {
        #expect(
            TokenRevocation.read(.json(400, #"{"error":"unsupported_token_type"}"#), method: Self.rfc7009) == .refused)
        #expect(TokenRevocation.read(.json(400, #"{"error":"invalid_request"}"#), method: Self.rfc7009) == .refused)
        #expect(TokenRevocation.read(TransferResponse(status: 200), method: .none) == .refused)
    }

    @Test func `what may be mended, or says nothing of the token, is tried again`() {
        for answer: TransferResponse in [
            .json(401, #"{"error":"invalid_client"}"#), .json(400, #"{"error":"unauthorized_client"}"#),
            .json(400, #"{"error":"temporarily_unavailable"}"#), .json(403, "{}"), TransferResponse(status: 404),
            TransferResponse(status: 403, fields: ["Content-Type": "text/html"], body: Array("<html>".utf8)),
        ] {
            #expect(TokenRevocation.read(answer, method: Self.rfc7009) == .retry(after: nil), "\(answer.status)")
        }
        for status in [401, 403] {
            #expect(TokenRevocation.read(TransferResponse(status: status), method: Self.deletion) == .retry(after: nil))
        }
    }
}
