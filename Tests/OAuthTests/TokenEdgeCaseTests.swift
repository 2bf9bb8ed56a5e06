import Accounts
import FoundationEssentials
import JSON
import OAuth
import Testing
import Transfer

/// Every answer of `generic/token_edge_cases.json`, through the reader that the service uses.
@Suite struct TokenEdgeCaseTests {
    enum Verdict: Equatable {
        /// A token `t` (unless given) with these particulars.
        case token(
            String = "t", lifetime: Int64? = nil, scopes: [String] = ["a", "b"], refreshToken: String? = nil)
        case refused(TokenErrorCode)
        case unavailable
        case malformed
        /// The transport does not deliver such an answer: `TransferTests/TokenAnswerTests` plays it.
        case neverDelivered
    }

    static let verdicts: [String: Verdict] = [
        "plain_ok": .token(lifetime: 3600),
        "expires_in_string": .token(lifetime: 3600),
        "expires_in_float": .token(lifetime: 3599),
        "expires_in_exponent": .token(lifetime: 3600),
        "expires_in_negative": .token(),
        "expires_in_null": .token(),
        "expires_in_huge": .token(lifetime: 3_155_760_000),
        "expires_in_empty_string": .token(),
        "expires_in_bool": .token(),
        "token_type_lowercase": .token(),
        "access_token_null": .malformed,
        "access_token_with_newline": .malformed,
        "refresh_token_empty": .token(),
        "refresh_token_null": .token(),
        "scope_array": .token(),
        "scope_null": .token(),
        "scope_narrowed": .token(scopes: ["a"]),
        "error_and_token": .refused(.invalidScope),
        "error_description_xss": .refused(.invalidGrant),
        "error_description_crlf_log": .refused(.invalidGrant),
        "error_description_10mb": .neverDelivered,
        "error_invalid_grant_401": .refused(.invalidGrant),
        "http_200_html": .malformed,
        "http_302_login": .unavailable,
        "json_as_text_plain": .malformed,
        "form_encoded": .token(lifetime: 3600),
        "form_encoded_plus_and_percent": .token("a+b/c="),
        "form_duplicate": .malformed,
        "jsonp": .malformed,
        "bom": .token(),
        "leading_newlines": .token(),
        "charset_latin1": .token(),
        "invalid_utf8": .malformed,
        "nul_byte": .malformed,
        "lone_surrogate": .malformed,
        "duplicate_members": .malformed,
        "truncated": .malformed,
        "trailing_garbage": .malformed,
        "empty_object": .malformed,
        "empty_body": .malformed,
        "deep_nesting": .malformed,
        "wrapped_data": .malformed,
        "wrapped_body_status": .malformed,
        "camel_case": .malformed,
        "big_integer_id": .token(),
        "content_length_too_long": .neverDelivered,
        "slow_body": .neverDelivered,
    ]

    static func response(_ sample: JSONValue) throws -> TransferResponse {
        let text = try Fixtures.expand(try #require(sample["body"]?.string))
        let body: [UInt8]
        switch sample["body_encoding"]?.string {
        case "utf-8": body = Array(text.utf8)
        case "latin-1": body = text.unicodeScalars.map { UInt8($0.value) }
        case "base64":
            try #require(text.hasPrefix("base64:"))
            body = [UInt8](try #require(Data(base64Encoded: String(text.dropFirst("base64:".count)))))
        case let encoding: throw UnknownEncoding(name: encoding)
        }
        var fields: HeaderFields = [:]
        fields["content-type"] = sample["content_type"]?.string
        return TransferResponse(
            status: Int(try #require(sample["status"]?.number?.int64)), fields: fields, body: body)
    }

    struct UnknownEncoding: Error { let name: String? }

    static func sample(_ name: String) throws -> TransferResponse {
        try response(try #require(try Fixtures.cases("generic/token_edge_cases.json").first { $0.name == name }).case)
    }

    @Test func `every case has a verdict and every verdict a case`() throws {
        let names = try Fixtures.cases("generic/token_edge_cases.json").map(\.name)
        #expect(names.count == 47)
        #expect(Set(names) == Set(Self.verdicts.keys))
        let elsewhere = Self.verdicts.filter { $0.value == .neverDelivered }.keys.sorted()
        #expect(elsewhere == ["content_length_too_long", "error_description_10mb", "slow_body"])
    }

    @Test(arguments: verdicts.filter { $0.value != .neverDelivered }.keys.sorted())
    func `security 36, 39, 40: reads or refuses`(
        name: String
    ) throws {
        let verdict = try #require(Self.verdicts[name])
        switch verdict {
        case .token(let token, let lifetime, let scopes, let refreshToken):
            let credential = try read(Self.sample(name)).credential
            #expect(credential.accessToken.text == token)
            #expect(credential.tokenType == "Bearer")
            #expect(credential.scopes.map(\.rawValue) == scopes)
            #expect(credential.refreshToken?.text == refreshToken)
            #expect(credential.expiresAt == lifetime.map { requestedAt + .seconds($0) })
            #expect(credential.obtainedAt == requestedAt)
        case .refused(let code):
            #expect(refusal(try Self.sample(name)) == .refused(code))
        case .unavailable:
            let response = try Self.sample(name)
            let error = try #require(refusal(response))
            #expect(error == .unavailable(status: response.status))
            #expect(error.failure.disposition == .retry)
            #expect(!error.tokenMayBeSpent)
        case .malformed:
            let error = try #require(refusal(try Self.sample(name)))
            guard case .malformed(let reason) = error else { throw error }
            #expect(!reason.isEmpty)
            #expect(error.failure.disposition == .retry)
            #expect(error.tokenMayBeSpent)
        case .neverDelivered:
            Issue.record("there is nothing to read")
        }
    }

    @Test func `quirk D4: text-plain is read where the dialect says so`() throws {
        let dialect = TokenDialect(acceptsContentTypes: ["text/plain"])
        #expect(try read(Self.sample("json_as_text_plain"), dialect).credential.accessToken.text == "t")
    }

    @Test func `quirk D6, D25: a wrapped token is read where the dialect names the way to it`() throws {
        let array = TokenDialect(responsePath: ["data", "0"], memberNames: ["scope": "permissions"])
        let first = try read(Self.sample("wrapped_data"), array).credential
        #expect(first.accessToken.text == "t")
        #expect(first.scopes == scopes("instagram_business_basic"))
        let object = try read(Self.sample("wrapped_body_status"), TokenDialect(responsePath: ["body"])).credential
        #expect(object.refreshToken?.text == "r")
        #expect(object.expiresAt == requestedAt + .seconds(10800))
    }

    @Test func `quirk D7, D9: other member names are read where the dialect gives them`() throws {
        let dialect = TokenDialect(memberNames: [
            "access_token": "accessToken", "refresh_token": "refreshToken", "expires_in": "expireIn",
        ])
        let credential = try read(Self.sample("camel_case"), dialect).credential
        #expect(credential.accessToken.text == "t")
        #expect(credential.refreshToken?.text == "r")
        #expect(credential.expiresAt == requestedAt + .seconds(7200))
    }

    @Test func `a 10 MB error description that got through is cut for the log and never in the error`() throws {
        let response = try Self.sample("error_description_10mb")
        #expect(refusal(response) == .refused(.invalidGrant))
        #expect(TokenEndpoint.detail(of: response, dialect: TokenDialect()) == "[…]")
    }

    @Test func `what a server says becomes one harmless line`() throws {
        let injected = try #require(
            TokenEndpoint.detail(of: Self.sample("error_description_crlf_log"), dialect: TokenDialect()))
        #expect(injected == "x 2026-01-01 INFO admin logged in")
        let script = TokenEndpoint.detail(of: try Self.sample("error_description_xss"), dialect: TokenDialect())
        #expect(script == "[…]")
    }
}
