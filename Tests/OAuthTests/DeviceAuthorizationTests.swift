import Accounts
import JSON
import OAuth
import Testing
import Transfer

/// RFC 8628 on the wire: recorded answers and hostile ones.
@Suite struct DeviceAuthorizationTests {
    static let endpoint = DeviceAuthorizationEndpoint(url: "https://op.example/device")

    private func authorization(
        _ response: TransferResponse, _ endpoint: DeviceAuthorizationEndpoint = endpoint
    ) throws -> DeviceAuthorization {
        try DeviceAuthorization.read(response, endpoint: endpoint, dialect: TokenDialect())
    }

    private func poll(_ response: TransferResponse) -> DeviceTokenAnswer {
        DeviceAuthorizationGrant.read(
            response, dialect: TokenDialect(), requestedScopes: scopes("a"), requestedAt: requestedAt)
    }

    @Test(arguments: [
        ("discord/device_authorization", "ABCD1234", "https://discord.com/activate", 300),
        ("github/device_code", "EXAM-PLE1", "https://github.com/login/device", 900),
        ("gitlab/device", "EXAMPL3", "https://gitlab.com/oauth/device", 300),
        // It says verification_url.
        ("google/device_code", "EXAM-PLE2", "https://www.google.com/device", 1800),
    ])
    func `security 77: recorded device codes are read`(
        path: String, userCode: String, address: String, lifetime: Int
    ) throws {
        let read = try authorization(Fixtures.response(path))
        #expect(read.userCode == userCode && read.verificationURI == address)
        #expect(read.lifetime == .seconds(lifetime) && read.interval == .seconds(5))
        #expect(!read.deviceCode.text.isEmpty)
        if path.hasPrefix("discord") || path.hasPrefix("gitlab") {
            #expect(read.verificationURIComplete == "\(address)?user_code=\(userCode)")
        } else {
            #expect(read.verificationURIComplete == nil)
        }
    }

    @Test(arguments: ["discord/device_pending", "github/device_pending", "google/device_pending"])
    func `security 77: pending is a word, with status 200, 400 or 428`(path: String) throws {
        guard case .pending = poll(try Fixtures.response(path)) else {
            Issue.record("\(path) is not pending")
            return
        }
    }

    @Test func `security 77: slow_down may name the interval`() throws {
        guard case .slowDown(.seconds(10)?) = poll(try Fixtures.response("github/device_slow_down")),
            case .slowDown(nil) = poll(try Fixtures.response("google/device_slow_down")),
            case .slowDown(nil) = poll(.json(400, #"{"error":"slow_down","interval":-5}"#)),
            case .slowDown(.seconds(300)?) = poll(.json(400, #"{"error":"slow_down","interval":99999999999}"#))
        else {
            Issue.record("slow_down is not read")
            return
        }
    }

    @Test func `security 77: a denial, an end and a refusal are told apart, and trouble is none of them`() throws {
        guard case .refused(.accessDenied) = poll(try Fixtures.response("github/device_access_denied")),
            case .refused(.accessDenied) = poll(try Fixtures.response("google/device_denied")),
            case .expired = poll(try Fixtures.response("github/device_expired_token")),
            case .refused(.unrecognized("device_flow_disabled")) =
                poll(try Fixtures.response("github/device_device_flow_disabled")),
            case .refused(.invalidClient) = poll(.json(401, #"{"error":"invalid_client"}"#))
        else {
            Issue.record("an end is not read")
            return
        }
        for answer in [
            TransferResponse.json(503, #"{"error":"access_denied"}"#), .json(429, "{}"),
            .json(400, #"{"error":"server_error"}"#), .json(404, "<html>"),
        ] {
            guard case .unavailable = poll(answer) else {
                Issue.record("\(answer.status) settles something")
                return
            }
        }
        guard case .granted(let granted) = poll(.json(#"{"access_token":"EXAMPLE","scope":"b"}"#)) else {
            Issue.record("a token is not read")
            return
        }
        #expect(granted.credential.scopes == scopes("b"))
    }

    @Test func `the request names the client and what is asked for, and authenticates only where that is wanted`()
        throws
    {
        let basic = DeviceAuthorizationGrant.authorizationRequest(
            scopes: scopes("a", "b"), endpoint: Self.endpoint, server: .example, client: .example(.clientSecretBasic),
            dialect: TokenDialect(), moment: .example)
        #expect(basic.url == "https://op.example/device" && basic.bodyText == "scope=a+b")
        #expect(basic.authorization?.hasPrefix("Basic ") == true)
        let bare = DeviceAuthorizationGrant.authorizationRequest(
            scopes: [], endpoint: DeviceAuthorizationEndpoint(url: "https://op.example/device", authenticated: false),
            server: .example, client: .example(.clientSecretPost), dialect: TokenDialect(scopeSeparator: ","),
            moment: .example)
        #expect(bare.bodyText == "client_id=client-EXAMPLE" && bare.authorization == nil)
    }

    @Test func `the token request carries the device code and the client's authentication`() throws {
        let request = DeviceAuthorizationGrant.tokenRequest(
            deviceCode: Secret("EXAMPLE/1"), server: .example, client: .example(.clientSecretPost),
            dialect: TokenDialect(), moment: .example)
        #expect(
            request.bodyText
                == "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&device_code=EXAMPLE%2F1"
                + "&client_id=client-EXAMPLE&client_secret=secret-EXAMPLE")
    }

    @Test func `security 79: codes and addresses that can't be shown are not`() throws {
        func answer(_ members: String) -> TransferResponse {
            .json(#"{"device_code":"d","user_code":"U","verification_uri":"https://op.example/d",\#(members)}"#)
        }
        #expect(try authorization(answer(#""expires_in":60"#)).lifetime == .seconds(60))
        for (code, address) in [
            ("U", "http://op.example/d"), ("U", "javascript:alert(1)"), ("U", "https://user@op.example/d"),
            ("U", "https://op.example/d#x"), ("U", "//op.example/d"), ("U", ""), ("", "https://op.example/d"),
            (#"A\u001b[2J"#, "https://op.example/d"), (#"A\nB"#, "https://op.example/d"),
            (String(repeating: "A", count: 65), "https://op.example/d"), (#"\u202eA"#, "https://op.example/d"),
        ] {
            #expect(throws: TokenRequestError.self, "\(code) \(address)") {
                try authorization(
                    .json(#"{"device_code":"d","user_code":"\#(code)","verification_uri":"\#(address)"}"#))
            }
        }
        let complete = try authorization(answer(#""verification_uri_complete":"http://evil.example/?c=U""#))
        #expect(complete.verificationURIComplete == nil)
        // A server on this machine, which the destination policy has let pass.
        let local = DeviceAuthorizationEndpoint(url: "http://127.0.0.1:1/device")
        let here = #"{"device_code":"d","user_code":"U","verification_uri":"http://127.0.0.1:1/d"}"#
        #expect(try authorization(.json(here), local).verificationURI == "http://127.0.0.1:1/d")
        #expect(throws: TokenRequestError.self) { try authorization(.json(here)) }
    }

    @Test func `security 77: times that make no sense are the defaults or the bounds`() throws {
        func read(_ expires: String, _ interval: String) throws -> (Duration, Duration) {
            let read = try authorization(
                .json(
                    #"{"device_code":"d","user_code":"U","verification_uri":"https://op.example","expires_in":\#(expires),"interval":\#(interval)}"#
                ))
            return (read.lifetime, read.interval)
        }
        for (expires, interval, expected) in [
            ("null", "null", (300, 5)), ("0", "0", (300, 5)), ("-1", "-1", (300, 5)), (#""x""#, #""7""#, (300, 7)),
            ("1e300", "1e300", (3600, 300)), ("900", "1", (900, 1)), ("0.5", "true", (300, 5)),
        ] {
            let (lifetime, pause) = try read(expires, interval)
            #expect(lifetime == .seconds(expected.0) && pause == .seconds(expected.1), "\(expires) \(interval)")
        }
    }

    @Test func `members have the provider's own names where the manifest says so`() throws {
        let endpoint = DeviceAuthorizationEndpoint(
            url: "https://op.example/d", memberNames: ["device_code": "code", "user_code": "shown"])
        let read = try authorization(
            .json(#"{"code":"d","shown":"U","verification_uri":"https://op.example/d"}"#), endpoint)
        #expect(read.deviceCode.text == "d" && read.userCode == "U")
    }

    @Test func `a refusal to give a code is the server's word, and no body is kept`() throws {
        #expect(throws: TokenRequestError.refused(.unauthorizedClient)) {
            try authorization(.json(400, #"{"error":"unauthorized_client"}"#))
        }
        #expect(throws: TokenRequestError.unavailable(status: 403)) {
            try authorization(Fixtures.response("google/device_quota"))
        }
        #expect(throws: TokenRequestError.unavailable(status: 503)) { try authorization(.json(503, "{}")) }
        #expect(throws: TokenRequestError.malformed(reason: "no usable device_code")) { try authorization(.json("{}")) }
    }
}
