import Accounts
import OAuth
import Testing
import Transfer

@Suite struct PushedAuthorizationTests {
    private let endpoint = "https://op.example/par"

    private func authorization(_ separator: String = " ") -> AuthorizationRequest {
        AuthorizationRequest(
            server: .example, client: .example(.clientSecretBasic), scopes: scopes("openid", "a:b"),
            scopeSeparator: separator, parameters: ["prompt": "consent"], resources: ["https://api.example/v1"],
            pkce: .s256, sendsNonce: true, random: SystemRandom())
    }

    private func push(_ authorization: AuthorizationRequest, _ client: ClientRegistration) -> TransferRequest {
        PushedAuthorization.request(
            authorization, endpoint: endpoint, server: .example, client: client, moment: .example)
    }

    @Test(arguments: [ClientAuthentication.clientSecretBasic, .clientSecretPost, .privateKeyJWT, .none])
    func `security 45: the whole request is pushed, by the client that proves itself`(
        authentication: ClientAuthentication
    ) throws {
        let authorization = authorization()
        let request = push(authorization, .example(authentication))
        #expect(request.method == .post)
        #expect(request.url == endpoint)
        #expect(request.redirects == .refuse)
        #expect((request.authorization != nil) == (authentication == .clientSecretBasic))
        let sent = parameters(request)
        #expect(sent["response_type"] == "code")
        #expect(sent["client_id"] == "client-EXAMPLE")
        #expect(sent["redirect_uri"] == "https://rollcall.example/callback/op")
        #expect(sent["state"] == authorization.state.text)
        #expect(sent["nonce"] == authorization.nonce?.text)
        #expect(
            sent["code_challenge"] == authorization.codeVerifier.map { AuthorizationRequest.challenge(of: $0.text) })
        #expect(sent["scope"] == "openid a:b")
        #expect(sent["prompt"] == "consent")
        #expect(sent["resource"] == "https://api.example/v1")
        #expect((sent["client_secret"] != nil) == (authentication == .clientSecretPost))
        #expect((sent["client_assertion"] != nil) == (authentication == .privateKeyJWT))
        #expect(sent["request_uri"] == nil)
        #expect(!sent.values.contains(authorization.codeVerifier?.text ?? ""))
    }

    @Test func `a separator of + is the form's space`() {
        #expect(parameters(push(authorization("+"), .example(.none)))["scope"] == "openid a:b")
        #expect(parameters(push(authorization(","), .example(.none)))["scope"] == "openid,a:b")
    }

    @Test func `security 45: the browser sees client_id and request_uri alone`() throws {
        let uri = try PushedAuthorization.read(
            .json(201, #"{"request_uri":"urn:example:1 ","expires_in":60}"#.replacing(" ", with: "")))
        var server = AuthorizationServer.example
        #expect(
            PushedAuthorization.url(requestURI: uri, server: server, client: .example(.none))
                == "https://op.example/authorize?client_id=client-EXAMPLE&request_uri=urn%3Aexample%3A1")
        server.authorizationEndpoint += "?tenant=1"
        #expect(
            PushedAuthorization.url(
                requestURI: uri, server: server, client: .example(.none), parameterNames: ["client_id": "app"])
                == "https://op.example/authorize?tenant=1&app=client-EXAMPLE&request_uri=urn%3Aexample%3A1")
    }

    @Test(arguments: [
        (TransferResponse.json(400, #"{"error":"invalid_target"}"#), TokenRequestError.refused(.invalidTarget)),
        (.json(401, #"{"error":"invalid_client"}"#), .refused(.invalidClient)),
        (.json(413, "{}"), .unavailable(status: 413)),
        (.json(503, #"{"error":"invalid_request"}"#), .unavailable(status: 503)),
        (.json(429, "{}"), .unavailable(status: 429)), (TransferResponse(status: 302), .unavailable(status: 302)),
        (.json(201, "{}"), .malformed(reason: "no request_uri")),
        (.json(201, #"{"request_uri":"","expires_in":60}"#), .malformed(reason: "no request_uri")),
        (.json(201, #"{"request_uri":"a b","expires_in":60}"#), .malformed(reason: "no request_uri")),
        (.json(201, #"{"request_uri":"urn:é","expires_in":60}"#), .malformed(reason: "no request_uri")),
        (.json(201, #"{"request_uri":"urn:a"}"#), .malformed(reason: "no expires_in")),
        (.json(201, #"{"request_uri":"urn:a","expires_in":0}"#), .malformed(reason: "no expires_in")),
        (.json(201, #"{"request_uri":"urn:a","expires_in":-1}"#), .malformed(reason: "no expires_in")),
    ])
    func `security 45: a refusal is told in the server's words, and an answer that is none is not used`(
        response: TransferResponse, error: TokenRequestError
    ) {
        #expect(throws: error) { try PushedAuthorization.read(response) }
    }

    @Test func `security 46: the resource goes with authorization, token and refresh requests`() {
        let authorization = authorization()
        #expect(authorization.url.contains("&resource=https%3A%2F%2Fapi.example%2Fv1&"))
        let two = AuthorizationRequest(
            server: .example, client: .example(.none), scopes: [], resources: ["https://a.example", "urn:b"],
            pkce: .none, sendsNonce: false, random: SystemRandom())
        #expect(two.url.contains("&resource=https%3A%2F%2Fa.example&resource=urn%3Ab"))
        #expect(TokenErrorCode(rawValue: "invalid_target") == .invalidTarget)
        #expect(TokenRequestError.refused(.invalidTarget).failure == .requestRefused)
    }
}
