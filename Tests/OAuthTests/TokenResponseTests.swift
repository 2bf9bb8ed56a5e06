import Accounts
import JSON
import OAuth
import Testing
import Transfer

@Suite struct TokenResponseTests {
    @Test func `security 40: quirk D8: a missing or empty token type is Bearer, an unknown one is refused`() throws {
        #expect(try read(.json(#"{"access_token":"t"}"#)).credential.tokenType == "Bearer")
        #expect(try read(.json(#"{"access_token":"t","token_type":null}"#)).credential.tokenType == "Bearer")
        #expect(try read(.json(#"{"access_token":"t","token_type":""}"#)).credential.tokenType == "Bearer")
        for type in [#""mac""#, #""DPoP""#, #""bot""#, "1", "[]"] {
            let error = refusal(.json(#"{"access_token":"t","token_type":\#(type)}"#))
            #expect(error == .malformed(reason: "token_type is not Bearer"))
        }
        let dialect = TokenDialect(bearerTokenTypes: ["Bot"])
        let answer = try read(.json(#"{"access_token":"t","token_type":"bot"}"#), dialect)
        #expect(answer.credential.tokenType == "Bearer")
    }

    @Test func `no more members are needed than the token`() throws {
        let answer = try read(.json(#"{"access_token":"t"}"#))
        #expect(answer.idToken == nil)
        #expect(answer.credential.expiresAt == nil)
        #expect(answer.credential.refreshTokenExpiresAt == nil)
    }

    @Test func `quirk D10, E12: lifetimes that the server leaves out come from the dialect`() throws {
        let dialect = TokenDialect(accessTokenLifetime: .seconds(7200), refreshTokenLifetime: .seconds(86400))
        let silent = try read(.json(#"{"access_token":"t","refresh_token":"r"}"#), dialect).credential
        #expect(silent.expiresAt == requestedAt + .seconds(7200))
        #expect(silent.refreshTokenExpiresAt == requestedAt + .seconds(86400))
        let spoken = try read(
            .json(#"{"access_token":"t","expires_in":60,"refresh_token":"r","refresh_token_expires_in":120}"#), dialect
        ).credential
        #expect(spoken.expiresAt == requestedAt + .seconds(60))
        #expect(spoken.refreshTokenExpiresAt == requestedAt + .seconds(120))
        let without = try read(.json(#"{"access_token":"t"}"#), dialect).credential
        #expect(without.refreshTokenExpiresAt == nil)
    }

    @Test func `quirk D12: a lifetime of zero is an expired token, or forever where the dialect says so`() throws {
        let body = #"{"access_token":"t","expires_in":0}"#
        #expect(try read(.json(body)).credential.expiresAt == requestedAt)
        let dialect = TokenDialect(accessTokenLifetime: .seconds(60), zeroLifetimeIsForever: true)
        #expect(try read(.json(body), dialect).credential.expiresAt == nil)
    }

    /// Seconds; `nil` is a lifetime that is not known.
    static let oddLifetimes: [(text: String, seconds: Int64?)] = [
        ("1e400", 3_155_760_000), ("-1e400", nil), ("1e-400", 0), ("-0", 0), (#""1e400""#, 3_155_760_000),
        (#""nan""#, nil), (#""-inf""#, nil), (#""0x10""#, nil), (#"" 60""#, nil),
        ("9223372036854775808", 3_155_760_000), ("[60]", nil), (#"{"seconds":60}"#, nil),
    ]

    @Test(arguments: oddLifetimes)
    func `quirk D13: no lifetime stops the process`(text: String, seconds: Int64?) throws {
        let expiresAt = try read(.json(#"{"access_token":"t","expires_in":\#(text)}"#)).credential.expiresAt
        #expect(expiresAt == seconds.map { requestedAt + .seconds($0) })
    }

    @Test(
        arguments: [
            (.milliseconds, "3600000", 3600), (.epochSeconds, "1795189373", 3600),
            (.epochSeconds, #""1795189373""#, 3600),
            (.epochSeconds, "1795185772", 0), (.epochMilliseconds, "1795189373000", 3600),
            (.rfc3339, #""2026-11-20T15:42:53Z""#, 3600), (.rfc3339, "3600", nil),
            (.daysHoursMinutes, #""14:01:30""#, 1_215_000), (.daysHoursMinutes, #""0:24:00""#, nil),
            (.daysHoursMinutes, #""1:00""#, nil), (.epochSeconds, "0", nil), (.epochSeconds, #""soon""#, nil),
            (.rfc3339, "null", nil),
        ] as [(LifetimeUnit, String, Int64?)])
    func `quirk D14: the end of a token is read as the dialect writes it`(
        unit: LifetimeUnit, text: String, seconds: Int64?
    ) throws {
        var dialect = TokenDialect()
        dialect.lifetimeUnit = unit
        let answer = try read(
            .json(#"{"access_token":"EXAMPLE-a","refresh_token":"EXAMPLE-r","expires_in":\#(text)}"#), dialect)
        #expect(answer.credential.expiresAt == seconds.map { requestedAt + .seconds($0) })
    }

    @Test func `quirk D6: each member may lie at a place of its own`() throws {
        var dialect = TokenDialect(memberNames: ["refresh_token": "refresh"])
        dialect.memberPaths = ["access_token": ["access_token", "token"], "expires_in": ["access_token", "expires"]]
        let answer = try read(
            .json(#"{"access_token":{"token":"EXAMPLE-a","expires":60},"refresh":"EXAMPLE-r"}"#), dialect)
        #expect(answer.credential.accessToken.text == "EXAMPLE-a")
        #expect(answer.credential.refreshToken?.text == "EXAMPLE-r")
        #expect(answer.credential.expiresAt == requestedAt + .seconds(60))
        #expect(refusal(.json(#"{"access_token":"EXAMPLE-a"}"#), dialect) == .malformed(reason: "no access_token"))
    }

    @Test func `quirk E7: an access token that is refreshed by itself is its own refresh token`() throws {
        var dialect = TokenDialect()
        dialect.refreshesByAccessToken = true
        let credential = try read(.json(#"{"access_token":"EXAMPLE-a","expires_in":60}"#), dialect).credential
        #expect(credential.refreshToken == credential.accessToken)
        #expect(credential.refreshTokenExpiresAt == requestedAt + .seconds(60))
    }

    @Test func `quirk D16, D17: scopes come split, once each, and what can't be a scope is left out`() throws {
        func granted(_ value: String) throws -> [String] {
            try read(.json(#"{"access_token":"t","scope":\#(value)}"#)).credential.scopes.map(\.rawValue)
        }
        #expect(try granted(#""a b""#) == ["a", "b"])
        #expect(try granted(#""read:user,user:email""#) == ["read:user", "user:email"])
        #expect(try granted(#""a, b  a""#) == ["a", "b"])
        #expect(try granted(#"["a","b c",1,null]"#) == ["a"])
        #expect(try granted(#""a \"b\" é""#) == ["a"])
        #expect(try granted(#""""#) == [])
        #expect(try granted("17") == ["a", "b"])
    }

    @Test(arguments: [#"17"#, #"["t"]"#, #"{"token":"t"}"#, #""t\u0000""#, #""t\n""#, #""tö""#, #""t\u007f""#, #""""#])
    func `an access token that can't stand in a header is refused`(value: String) {
        guard case .malformed = refusal(.json(#"{"access_token":\#(value)}"#)) else {
            Issue.record("accepted")
            return
        }
    }

    @Test(arguments: [#"17"#, #""r\r\nX: 1""#])
    func `a refresh token that can't be sent back is refused`(value: String) {
        guard case .malformed = refusal(.json(#"{"access_token":"t","refresh_token":\#(value)}"#)) else {
            Issue.record("accepted")
            return
        }
    }

    @Test(arguments: [500, 502, 503, 504, 599, 429]) func `security 63: a server in trouble is not believed`(
        status: Int
    ) {
        let error = refusal(.json(status, #"{"error":"invalid_grant"}"#))
        #expect(error == .unavailable(status: status))
        #expect(error?.failure.disposition == .retry)
        #expect(error?.tokenMayBeSpent == (status >= 500))
    }

    @Test(arguments: [301, 307, 308, 400, 403, 404, 408]) func `an answer that is neither says nothing`(status: Int) {
        for response in [
            TransferResponse(status: status), .json(status, "{}"), .json(status, #"{"access_token":"t"}"#),
            TransferResponse(status: status, fields: ["content-type": "text/html"], body: Array("<html>".utf8)),
        ] {
            let error = refusal(response)
            #expect(error == .unavailable(status: status))
            #expect(error?.failure.disposition == .retry)
            #expect(error?.tokenMayBeSpent == false)
        }
    }

    @Test func `quirk D2: a token with status 201 is a token`() throws {
        #expect(try read(.json(201, #"{"access_token":"t"}"#)).credential.accessToken.text == "t")
    }

    @Test func `UTF-16 and unknown charsets are refused`() {
        let utf16 = Array(#"{"access_token":"t"}"#.utf16).flatMap { [UInt8($0 & 0xff), UInt8($0 >> 8)] }
        for (type, body) in [
            ("application/json; charset=utf-16", utf16), ("application/json", utf16),
            ("application/json; charset=shift_jis", Array(#"{"access_token":"t"}"#.utf8)),
        ] {
            let response = TransferResponse(status: 200, fields: ["content-type": type], body: body)
            guard case .malformed = refusal(response) else {
                Issue.record("accepted \(type)")
                continue
            }
        }
    }

    @Test(arguments: [
        "application/json", "Application/JSON;charset=UTF-8", "application/token+json",
        #"application/json; charset="utf-8""#,
    ])
    func `JSON under any of its names is read`(type: String) throws {
        let response = TransferResponse(
            status: 200, fields: ["Content-Type": type], body: Array(#"{"access_token":"t"}"#.utf8))
        #expect(try read(response).credential.accessToken.text == "t")
    }

    @Test(arguments: ["access_token=t&x=%ff", "access_token=t&x=%f", "access_token=t%zz"])
    func `a form that is not one is refused`(body: String) {
        let response = TransferResponse(
            status: 200, fields: ["content-type": "application/x-www-form-urlencoded"], body: Array(body.utf8))
        #expect(refusal(response) == .malformed(reason: "the body is not a form"))
    }

    @Test func `security 39: an answer without content type is read only where the dialect says so`() throws {
        let response = TransferResponse(status: 200, body: Array(#"{"access_token":"t"}"#.utf8))
        #expect(refusal(response) == .malformed(reason: "the content type is neither JSON nor a form"))
        #expect(try read(response, TokenDialect(acceptsContentTypes: [""])).credential.accessToken.text == "t")
    }

    @Test func `quirk D19: an error may be an object, and empty ones are none`() throws {
        #expect(
            refusal(.json(400, #"{"error":{"message":"Expired","type":"OAuthException","code":190}}"#))
                == .refused(.unrecognized("190")))
        let dialect = TokenDialect(errorCodes: ["190": .invalidGrant])
        #expect(
            refusal(.json(400, #"{"error":{"message":"Expired","type":"OAuthException","code":190}}"#), dialect)
                == .refused(.invalidGrant))
        for none in [#""""#, "null", "false", "0"] {
            #expect(try read(.json(#"{"access_token":"t","error":\#(none)}"#)).credential.accessToken.text == "t")
        }
        for some in ["true", "1", "{}", "[]"] {
            #expect(refusal(.json(#"{"access_token":"t","error":\#(some)}"#)) != nil)
        }
    }

    @Test(arguments: [
        #"{"error":{"code":"invalid_grant"}}"#, #"{"error":{"code":400,"type":"invalid_grant"}}"#,
        #"{"error":{"code":"190","message":"invalid_grant"}}"#, #"{"error":[{"code":"invalid_grant"}]}"#,
        #"{"errors":[{"errorType":"invalid_grant","message":"Refresh token invalid"}],"success":false}"#,
        #"{"errors":["invalid_grant"]}"#, #"{"errors":[{"errorType":"other"},{"errorType":"invalid_grant"}]}"#,
        #"{"error":true,"message":"invalid_grant"}"#,
    ])
    func `a standard code is heard wherever it stands`(body: String) {
        let error = refusal(.json(400, body))
        #expect(error == .refused(.invalidGrant))
        #expect(error?.failure.disposition == .relink(.consentRevoked))
    }

    @Test func `an error that says nothing hides none further inside`() {
        let dialect = TokenDialect(responsePath: ["data"])
        for none in ["null", "false", "0", #""""#] {
            let body = #"{"error":\#(none),"data":{"error":"invalid_grant"}}"#
            #expect(refusal(.json(body), dialect) == .refused(.invalidGrant))
        }
        #expect(
            refusal(.json(#"{"data":{"errors":[{"code":"invalid_grant"}]}}"#), dialect) == .refused(.invalidGrant))
    }

    @Test func `quirk D19: a list of errors is one where there is no token`() throws {
        let body = #"{"errors":[{"errorType":"expired_token"}]}"#
        #expect(refusal(.json(400, body)) == .refused(.expiredToken))
        #expect(
            refusal(.json(400, body), TokenDialect(errorCodes: ["expired_token": .invalidGrant]))
                == .refused(.invalidGrant))
        #expect(
            TokenEndpoint.detail(of: .json(400, #"{"errors":[{"message":"It is over"}]}"#), dialect: TokenDialect())
                == "It is over")
        #expect(try read(.json(#"{"access_token":"t","errors":["x"]}"#)).credential.accessToken.text == "t")
        #expect(try read(.json(#"{"access_token":"t","errors":[]}"#)).credential.accessToken.text == "t")
        #expect(refusal(.json(400, #"{"errors":[]}"#)) == .unavailable(status: 400))
    }

    @Test func `a code that is no code does not enter the error`() {
        let error = refusal(.json(400, #"{"error":"<script>\r\nalert(1)"}"#))
        #expect(error == .refused(.unrecognized("unrecognized")))
        #expect(refusal(.json(400, #"{"error":"try_later"}"#)) == .refused(.unrecognized("try_later")))
    }

    @Test(arguments: [
        ("invalid_grant", Disposition.relink(.consentRevoked)), ("access_denied", .relink(.consentRevoked)),
        ("interaction_required", .relink(.consentRevoked)), ("login_required", .relink(.consentRevoked)),
        ("invalid_client", .fixConfiguration), ("unauthorized_client", .fixConfiguration),
        ("invalid_request", .fixConfiguration), ("unsupported_grant_type", .fixConfiguration),
        ("invalid_scope", .fixConfiguration), ("invalid_target", .fixConfiguration), ("server_error", .retry),
        ("temporarily_unavailable", .retry), ("something_else", .retry),
    ])
    func `each error code says what happens next`(code: String, disposition: Disposition) {
        let error = refusal(.json(400, #"{"error":"\#(code)"}"#))
        #expect(error?.failure.disposition == disposition)
        #expect(error?.tokenMayBeSpent == (code == "server_error"))
    }

    @Test func `what a server says is cut to one line without control characters or secrets`() {
        func detail(_ description: String) -> String? {
            let body = JSONValue.object(["error": .string("invalid_grant"), "error_description": .string(description)])
            return TokenEndpoint.detail(of: .json(400, body.text), dialect: TokenDialect())
        }
        #expect(detail("a\r\nb\u{1b}[31mc\u{2028}d\u{202e}e\u{0}\u{85}f") == "a b [31mc d e f")
        #expect(detail(String(repeating: "word ", count: 1000))?.hasSuffix("word word […]") == true)
        #expect(detail(String(repeating: "word ", count: 1000))?.count == 198)
        #expect(detail(String(repeating: "word ", count: 39) + "so")?.hasSuffix("word so") == true)
        #expect(detail(String(repeating: "word ", count: 39) + "so on")?.hasSuffix("word so") == true)
        for space in 160..<200 {
            let line = detail(String(repeating: "x ", count: space / 2) + "SECRETsecretSECRETsecretSECRET")
            #expect(line?.contains("S") == false, "\(space)")
            #expect((line?.count ?? 0) <= 200)
        }
        #expect(detail("code 4/EXAMPLEabcdefg rejected") == "code […] rejected")
        #expect(detail("code 4/EXAMPLEabcdef rejected") == "code 4/EXAMPLEabcdef rejected")
        #expect(detail("incomprehensibilities") == "incomprehensibilities")
        #expect(detail("Token gho_EXAMPLE00000000000000000 is dead") == "Token […] is dead")
        #expect(detail("") == "")
        #expect(TokenEndpoint.detail(of: .json(400, "{"), dialect: TokenDialect()) == nil)
    }

    @Test func `error codes keep their names`() {
        for name in [
            "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
            "invalid_scope", "invalid_target", "access_denied", "interaction_required", "server_error",
            "temporarily_unavailable",
        ] {
            #expect(TokenErrorCode(rawValue: name).rawValue == name)
            #expect(TokenErrorCode(standard: name)?.rawValue == name)
        }
        #expect(TokenErrorCode(standard: "bad_refresh_token") == nil)
        #expect(TokenErrorCode(rawValue: "bad_refresh_token").rawValue == "bad_refresh_token")
    }

    @Test func `the answer's secrets do not show`() throws {
        let answer = try read(.json(#"{"access_token":"CANARY1","refresh_token":"CANARY2","id_token":"CANARY3"}"#))
        var dumped = "\(answer)" + String(reflecting: answer)
        dump(answer, to: &dumped)
        #expect(!dumped.contains("CANARY"))
    }
}
