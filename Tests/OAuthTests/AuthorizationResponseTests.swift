import Accounts
import JSON
import OAuth
import Testing

@Suite struct AuthorizationResponseTests {
    enum Verdict: Equatable {
        case code(String)
        case error(String)
        case refused(AuthorizationResponseError)
        /// The query is fine; the verdict is `Linking`'s or the web's. It still has to be read as this code.
        case elsewhere(String)
    }

    static let verdicts: [String: Verdict] = [
        "ok": .code("abc"),
        "iss_other": .refused(.issuerMismatch),
        "iss_missing_when_advertised": .refused(.issuerMissing),
        "state_missing": .refused(.stateMissing),
        "state_empty": .refused(.stateMissing),
        "state_unknown": .elsewhere("abc"),
        "state_other_session": .elsewhere("abc"),
        "state_used": .elsewhere("abc"),
        "state_expired": .elsewhere("abc"),
        "state_other_provider": .elsewhere("abc"),
        "state_twice": .refused(.duplicateParameter("state")),
        "code_twice": .refused(.duplicateParameter("code")),
        "code_and_error": .error("access_denied"),
        "access_denied": .error("access_denied"),
        "error_xss": .error("unrecognized"),
        "error_uri_javascript": .error("invalid_request"),
        "error_description_long": .refused(.tooLong),
        "code_encoded_slash": .code("4/0AanRRrs"),
        "code_plus": .code("a b"),
        "invalid_utf8": .refused(.malformed),
        "nul": .refused(.malformed),
        "crlf": .refused(.malformed),
        "token_in_query": .refused(.implicitGrant("access_token")),
        "id_token_in_query": .refused(.implicitGrant("id_token")),
        "response_jarm": .refused(.unsupportedResponseMode),
        "extra_params": .code("abc"),
    ]

    /// No queries that get here but another method and a prefetch: covered by `WebTests/CallbackTests`.
    static let coveredByCallbackTests: Set = ["post_body", "head_request", "prefetch"]

    static let state = "EXAMPLE-state-0000000000000000000000000000"

    @Test func `every case has a verdict and every verdict a case`() throws {
        let names = try Fixtures.cases("../../Fixtures/callback_cases.json").map(\.name)
        #expect(names.count == 29)
        #expect(Set(names) == Set(Self.verdicts.keys).union(Self.coveredByCallbackTests))
    }

    @Test(arguments: verdicts.keys.sorted()) func `reads or refuses`(name: String) throws {
        let sample = try #require(
            try Fixtures.cases("../../Fixtures/callback_cases.json").first { $0.name == name }
        ).case
        var query = try Fixtures.expand(try #require(sample["query"]?.string))
        var server = AuthorizationServer.example
        server.authorizationResponseIssRequired = name == "iss_missing_when_advertised"
        let verdict = try #require(Self.verdicts[name])
        for placeholder in [
            "{state}", "{state_of_other_session}", "{used_state}", "{state_11_minutes_old}", "{state_of_provider_b}",
        ] {
            query = query.split(separator: placeholder, omittingEmptySubsequences: false).joined(separator: Self.state)
        }
        try #require(!query.contains("{"))

        let outcome: Verdict
        do throws(AuthorizationResponseError) {
            let (state, response, issuer) = try AuthorizationResponse.read(query: query)
            try AuthorizationResponse.checkIssuer(issuer, server: server)
            #expect(name == "state_unknown" || state == Self.state)
            outcome =
                switch response {
                case .code(let code): if case .elsewhere = verdict { .elsewhere(code.text) } else { .code(code.text) }
                case .error(let error): .error(error)
                }
        } catch { outcome = .refused(error) }
        #expect(outcome == verdict)
    }

    @Test func `encoded names are names, and so count as duplicates`() {
        #expect(throws: AuthorizationResponseError.duplicateParameter("code")) {
            try AuthorizationResponse.read(query: "code=a&c%6fde=b&state=s")
        }
    }

    @Test(arguments: [
        "code=a%2&state=s", "code=a%&state=s", "code=a%zz&state=s", "code=%C3%28&state=s", "code=a&state=s&x=%ff",
        "code=a&state=s&%ff=x", "code=ä&state=s",
    ])
    func `broken escapes and characters no code has are refused`(query: String) {
        #expect(throws: AuthorizationResponseError.malformed) { try AuthorizationResponse.read(query: query) }
    }

    @Test func `a state that is not one of ours is refused before it is looked up`() {
        let long = String(repeating: "A", count: 513)
        for state in ["a%00", "a%0a", long] {
            #expect(throws: AuthorizationResponseError.malformed) {
                try AuthorizationResponse.read(query: "code=a&state=\(state)")
            }
        }
    }

    @Test func `an empty or missing code is refused`() {
        for query in ["state=s", "code=&state=s", "code&state=s"] {
            #expect(throws: AuthorizationResponseError.codeMissing) { try AuthorizationResponse.read(query: query) }
        }
        #expect(throws: AuthorizationResponseError.stateMissing) { try AuthorizationResponse.read(query: "") }
        #expect(throws: AuthorizationResponseError.stateMissing) {
            try AuthorizationResponse.read(query: "error=access_denied")
        }
    }

    @Test func `the code does not show`() throws {
        let response = try AuthorizationResponse.read(query: "code=CANARY&state=s").response
        #expect(!"\(response)".contains("CANARY"))
        #expect(!String(reflecting: response).contains("CANARY"))
    }

    @Test(arguments: [
        "https://op.example/", "https://OP.example", "http://op.example", "https://op.example:443", "https://op.exampl",
        "", "https%3A%2F%2Fop.example", "https://op.example\n", "https://op.example\u{200d}",
    ])
    func `iss is compared byte for byte`(iss: String) {
        #expect(throws: AuthorizationResponseError.issuerMismatch) {
            try AuthorizationResponse.checkIssuer(iss, server: .example)
        }
    }

    @Test func `iss is decoded once and may be absent where nothing announces it`() throws {
        let issuer = try AuthorizationResponse.read(query: "code=a&state=s&iss=https%3A%2F%2Fop.example").issuer
        #expect(issuer == "https://op.example")
        try AuthorizationResponse.checkIssuer(issuer, server: .example)
        try AuthorizationResponse.checkIssuer(nil, server: .example)
        var unnamed = AuthorizationServer.example
        unnamed.issuer = nil
        try AuthorizationResponse.checkIssuer("https://anything.example", server: unnamed)
        unnamed.authorizationResponseIssRequired = true
        #expect(throws: AuthorizationResponseError.issuerMismatch) {
            try AuthorizationResponse.checkIssuer("https://anything.example", server: unnamed)
        }
    }

    @Test func `canonically equivalent is not identical`() {
        var server = AuthorizationServer.example
        server.issuer = "https://op.example/K"
        #expect(throws: AuthorizationResponseError.issuerMismatch) {
            // U+212A, KELVIN SIGN, which Swift's strings hold equal to K.
            try AuthorizationResponse.checkIssuer("https://op.example/\u{212a}", server: server)
        }
    }

    @Test func `a template takes any one tenant and nothing else`() throws {
        var server = AuthorizationServer.example
        server.issuer = "https://login.example/{tenantid}/v2.0"
        try AuthorizationResponse.checkIssuer("https://login.example/0a1b-2c/v2.0", server: server)
        for iss in [
            "https://login.example//v2.0", "https://login.example/a/b/v2.0", "https://login.example/v2.0",
            "https://login.example/{tenantid}/v2.0", "https://evil.example/a/v2.0", "https://login.example/a%2f/v2.0",
        ] {
            #expect(throws: AuthorizationResponseError.issuerMismatch) {
                try AuthorizationResponse.checkIssuer(iss, server: server)
            }
        }
    }
}
