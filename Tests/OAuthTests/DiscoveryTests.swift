import Cryptography
import JSON
import OAuth
import Testing
import Transfer

@Suite struct DiscoveryTests {
    static let issuer = "https://op.example"

    static func read(
        _ document: JSONValue, aliases: [String] = [], allowedHosts: [String] = []
    ) throws(DiscoveryError) -> ProviderMetadata {
        try ProviderMetadata.read(
            .json(document.text), issuer: issuer, issuerAliases: aliases, allowedHosts: allowedHosts)
    }

    static func document(_ name: String = "good") throws -> JSONObject {
        try #require(
            try Fixtures.cases("oidc/discovery_cases.json").first { $0.name == name }?.case["document"]?.object)
    }

    static let refusals: [String: DiscoveryError] = [
        "issuer_other": .issuerMismatch,
        "issuer_case": .issuerMismatch,
        "issuer_trailing_slash": .issuerMismatch,
        "entra_template": .issuerMismatch,
        "userinfo_userinfo_part": .endpointRefused(
            member: "userinfo_endpoint", reason: "not an absolute https URL without user information"),
        "token_endpoint_http": .endpointRefused(member: "token_endpoint", reason: "not https"),
        "jwks_metadata_ip": .endpointRefused(
            member: "jwks_uri", reason: "its host is neither the issuer's nor allowed"),
    ]
    static let accepted: Set = ["good", "alg_none_offered", "no_s256"]

    @Test func `every case has a verdict and every verdict a case`() throws {
        let names = try Fixtures.cases("oidc/discovery_cases.json").map(\.name)
        #expect(names.count == 10)
        #expect(Set(names) == Self.accepted.union(Self.refusals.keys))
    }

    @Test(arguments: refusals.keys.sorted()) func `security 54: refuses`(name: String) throws {
        let document = JSONValue.object(try Self.document(name))
        #expect(throws: try #require(Self.refusals[name])) { try Self.read(document) }
    }

    @Test(arguments: accepted.sorted()) func `security 54: accepts`(name: String) throws {
        let metadata = try Self.read(.object(try Self.document(name)))
        #expect(metadata.issuer == Self.issuer)
        #expect(metadata.authorizationEndpoint == "https://op.example/authorize")
        #expect(metadata.tokenEndpoint == "https://op.example/token")
        #expect(metadata.userinfoEndpoint == "https://op.example/userinfo")
        #expect(metadata.jwksURI == "https://op.example/jwks")
        #expect(metadata.revocationEndpoint == nil)
        #expect(metadata.idTokenAlgorithms == [.rs256])
        #expect(metadata.authorizationResponseIssParameterSupported)
    }

    @Test func `security 54: a template is accepted where it is declared, and no other alias is`() throws {
        let document = JSONValue.object(try Self.document("entra_template"))
        let template = "https://login.microsoftonline.com/{tenantid}/v2.0"
        #expect(try Self.read(document, aliases: [template]).issuer == template)
        var aliased = try Self.document()
        aliased["issuer"] = .string("op.example")
        #expect(throws: DiscoveryError.issuerMismatch) { try Self.read(.object(aliased), aliases: ["op.example"]) }
    }

    @Test func `security 55: other hosts need to be allowed by name`() throws {
        var document = try Self.document()
        document["token_endpoint"] = .string("https://oauth2.op-apis.example/token")
        #expect(throws: DiscoveryError.self) { try Self.read(.object(document)) }
        #expect(throws: DiscoveryError.self) { try Self.read(.object(document), allowedHosts: ["op-apis.example"]) }
        let metadata = try Self.read(.object(document), allowedHosts: ["OAuth2.op-apis.example"])
        #expect(metadata.tokenEndpoint == "https://oauth2.op-apis.example/token")
    }

    @Test(arguments: [
        "https://127.0.0.1/x", "https://[::1]/x", "https://0.0.0.0/x", "https://10.0.0.1/x", "https://2130706433/x",
        "https://0x7f.1/x", "https://017700000001/x", "https://[::ffff:127.0.0.1]/x", "https://localhost./x",
        "https://op.example./x", "https://op.example@evil.example/x", "https://op.example:8443/x",
        "https://op.example:0/x", "https://op.example:443443/x", "https://op.example%2eevil.example/x",
        #"https://evil.example\@op.example/x"#, "https://evil.example#@op.example/x", "https:op.example/x",
        "https:///x", "//op.example/x", "/x", "file:///etc/passwd", "gopher://op.example/x", "javascript:alert(1)",
        "https://op.example/x y", "https://op.example/x\r\nHost: evil.example", "https://op.example/ä", "",
        "http://op.example/x",
    ])
    func `security 55: a document can't send us elsewhere`(url: String) throws {
        for member in [
            "authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri", "revocation_endpoint",
        ] {
            var document = try Self.document()
            document[member] = .string(url)
            let error = #expect(throws: DiscoveryError.self) { try Self.read(.object(document)) }
            guard case .endpointRefused(member, _) = error else {
                Issue.record("\(member): \(String(describing: error))")
                continue
            }
        }
    }

    @Test(arguments: ["introspection_endpoint", "device_authorization_endpoint"])
    func `an endpoint that no link needs is left out where it can't be used`(member: String) throws {
        func found(_ value: JSONValue) throws -> String? {
            var document = try Self.document()
            document[member] = value
            let metadata = try Self.read(.object(document))
            #expect(metadata.tokenEndpoint == "https://op.example/token")
            return member == "introspection_endpoint"
                ? metadata.introspectionEndpoint : metadata.deviceAuthorizationEndpoint
        }
        #expect(try found("https://op.example/x") == "https://op.example/x")
        for unusable in ["http://op.internal/x", "https://169.254.169.254/x", "/x", ""] {
            #expect(try found(.string(unusable)) == nil)
        }
        for wrong in [JSONValue.null, true, 1, []] { #expect(try found(wrong) == nil) }
    }

    @Test func `port 443 may be written, and an issuer's own origin is its own whatever it is`() throws {
        var document = try Self.document()
        document["jwks_uri"] = .string("https://OP.example:443/jwks?v=1")
        #expect(try Self.read(.object(document)).jwksURI == "https://OP.example:443/jwks?v=1")
        let local = JSONValue.object([
            "issuer": .string("http://127.0.0.1:9000/realm"),
            "authorization_endpoint": .string("http://127.0.0.1:9000/authorize"),
            "token_endpoint": .string("http://127.0.0.1:9000/token"),
        ])
        let metadata = try ProviderMetadata.read(
            .json(local.text), issuer: "http://127.0.0.1:9000/realm", allowedHosts: [])
        #expect(metadata.tokenEndpoint == "http://127.0.0.1:9000/token")
        #expect(metadata.jwksURI == nil)
        #expect(!metadata.authorizationResponseIssParameterSupported)
    }

    @Test func `a document without what a flow needs is refused`() throws {
        for name in ["authorization_endpoint", "token_endpoint"] {
            var document = try Self.document()
            document[name] = nil
            #expect(throws: DiscoveryError.malformed(reason: "\(name) is missing")) { try Self.read(.object(document)) }
            document[name] = .bool(true)
            #expect(throws: DiscoveryError.malformed(reason: "\(name) is not a string")) {
                try Self.read(.object(document))
            }
        }
        var implicit = try Self.document()
        implicit["response_types_supported"] = .array([.string("id_token")])
        #expect(throws: DiscoveryError.malformed(reason: "response_types_supported lacks code")) {
            try Self.read(.object(implicit))
        }
        var mistyped = try Self.document()
        mistyped["id_token_signing_alg_values_supported"] = .string("RS256")
        #expect(throws: DiscoveryError.self) { try Self.read(.object(mistyped)) }
        var unnamed = try Self.document()
        unnamed["issuer"] = nil
        #expect(throws: DiscoveryError.issuerMismatch) { try Self.read(.object(unnamed)) }
    }

    @Test func `anything but a JSON object with status 200 is refused`() throws {
        let body = JSONValue.object(try Self.document()).text
        func error(_ response: TransferResponse) -> DiscoveryError? {
            do throws(DiscoveryError) {
                _ = try ProviderMetadata.read(response, issuer: Self.issuer, allowedHosts: [])
                return nil
            } catch { return error }
        }
        #expect(error(.json(404, body)) == .unavailable(status: 404))
        #expect(error(.json(302, body)) == .unavailable(status: 302))
        #expect(error(.json(body + " ")) == nil)
        #expect(error(.json("[]")) == .malformed(reason: "not an object"))
        #expect(error(.json("{")) == .malformed(reason: "not JSON"))
        let html = TransferResponse(status: 200, fields: ["content-type": "text/html"], body: Array(body.utf8))
        #expect(error(html) == .malformed(reason: "the content type is not JSON"))
    }

    @Test(arguments: [
        ("https://op.example", "https://op.example/.well-known/openid-configuration"),
        ("https://op.example/", "https://op.example/.well-known/openid-configuration"),
        ("https://op.example/realms/a", "https://op.example/realms/a/.well-known/openid-configuration"),
    ])
    func `the document is asked for below the issuer`(issuer: String, url: String) {
        let request = ProviderMetadata.request(issuer: issuer)
        #expect(request.url == url)
        #expect(request.method == .get)
        #expect(request.redirects == .refuse)
        #expect(request.credentials.isEmpty)
    }
}
