import Accounts
import JSON
import Providers
import Testing
import Transfer

/// What a manifest may keep of the callback, and what may be made of it.
@Suite struct KeptParameterTests {
    private static let keep = #"""
        callback:
          keep:
            - user
            - {name: realmId, pattern: "[0-9]{1,20}"}
        client_authentication:
        """#

    private func manifest(_ changes: (String, String)...) -> String {
        exampleManifest(replacing: [("client_authentication:", Self.keep)] + changes)
    }

    private func problems(_ text: String) throws -> [String] {
        try ProviderCatalog(
            files: [ManifestFile(path: "example.yaml", text: text)], instances: [],
            publicURL: "https://accounts.example.com"
        ).problems.map(\.problem.message)
    }

    private func provider(_ changes: (String, String)...) throws -> Provider {
        let text = exampleManifest(replacing: [("client_authentication:", Self.keep)] + changes)
        return try ProviderCatalog(
            files: [ManifestFile(path: "example.yaml", text: text)],
            instances: [InstanceConfiguration(id: "example", clientID: "EXAMPLE", clientSecret: Secret("EXAMPLE"))],
            publicURL: "https://accounts.example.com"
        ).provider("example")
    }

    @Test func `quirk B2, B4: a value is kept as text, and as an object where it is one`() throws {
        let example = try provider()
        let kept = try example.kept(of: [
            "realmId": "123", "user": #"{"name":{"firstName":"Ada"}}"#, "other": "x",
        ])
        #expect(kept["realmId"]?.string == "123" && kept["other"] == nil)
        #expect(kept["user"]?["name"]?["firstName"]?.string == "Ada")
        for text in ["Ada", "[1]", "5", #"{"broken"#] {
            #expect(try example.kept(of: ["realmId": "1", "user": text])["user"]?.string == text)
        }
    }

    @Test func `quirk B2: a value with a pattern must be there and fit`() throws {
        let example = try provider()
        #expect(throws: CallbackParameterError.missing("realmId")) { try example.kept(of: ["user": "x"]) }
        #expect(throws: CallbackParameterError.missing("realmId")) { try example.kept(of: ["realmId": ""]) }
        for text in ["12a", "1/2", "1%2f", "../1", "1\n", "123456789012345678901"] {
            #expect(throws: CallbackParameterError.unexpected("realmId")) { try example.kept(of: ["realmId": text]) }
        }
    }

    @Test func `security 84: a value from the callback stands in a URL only where the manifest's pattern lets it`()
        throws
    {
        let example = try provider(("{site}/me", "{site}/company/{callback.realmId}/me"))
        let server = try example.authorizationServer(metadata: nil)
        let credential = Credential(accessToken: Secret("EXAMPLE"), scopes: [], obtainedAt: sampleTime)
        func urls(_ callback: JSONObject) -> [String] {
            example.profileRequests(server: server, credential: credential, callback: callback).map(\.request.url)
        }
        #expect(urls(["realmId": .string("123")]) == ["https://example.com/company/123/me"])
        #expect(urls([:]).isEmpty)
        // As if it had been stored under a manifest with another pattern.
        #expect(urls(["realmId": .string("evil/../x")]).isEmpty)
        #expect(
            try problems(manifest(("{site}/me", "{site}/{callback.user}/me")))
                == [
                    "profile.requests.user.url: the variable {callback.user} has no value; expected one declared under variables, or {userinfo_endpoint}, {callback.realmId}"
                ])
        #expect(
            try problems(manifest(("{site}/token", "{site}/{callback.realmId}/token"))).contains {
                $0.hasPrefix("token.endpoint: the variable {callback.realmId} has no value")
            })
    }

    @Test func `what came through the browser identifies nobody and vouches for nothing`() throws {
        for claim in ["email", "email_verified", "phone_number"] {
            #expect(
                try problems(manifest(("name: $.user.name", "\(claim): $.callback.user.x"))) == [
                    "profile.claims.\(claim): expected a path that begins with $.user"
                ])
        }
        #expect(
            try problems(manifest(("$.user.id", "$.callback.realmId"))).contains(
                "profile.claims.sub: expected a path that begins with $.user"))
        #expect(try problems(manifest(("name: $.user.name", "name: $.callback.user.name"))).isEmpty)
    }

    @Test func `names that are the protocol's, twice there, or a request's are refused`() throws {
        func problem(_ keep: String) throws -> [String] {
            try problems(
                exampleManifest(replacing: [
                    ("client_authentication:", "callback: {keep: \(keep)}\nclient_authentication:")
                ]))
        }
        #expect(try problem("[code]") == ["callback.keep[0]: code is the protocol's own; expected another"])
        #expect(try problem("[a, a]") == ["callback.keep[1]: a is there twice"])
        #expect(
            try problem(#"[{name: a, pattern: "["}]"#) == ["callback.keep[0].pattern: expected a regular expression"])
        #expect(try problem("[]").count == 1)
        #expect(
            try problems(manifest(("user: {url", "callback: {url"))).contains(
                "profile.requests.callback: the name stands for what is kept of the callback; expected another"))
    }

    @Test func `quirk A13: a response mode that nobody reads is refused`() throws {
        let text = exampleManifest(replacing: [("scopes: [profile]", "scopes: [profile]\n  response_mode: fragment")])
        #expect(
            try problems(text) == [
                #"authorization.response_mode: expected one of query, form_post, found "fragment""#
            ])
    }
}
