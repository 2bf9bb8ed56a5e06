import Accounts
import JSON
import Providers
import Testing

@Suite struct MappingTests {
    private func user(_ text: String) throws -> [String: JSONValue] { ["user": try JSONValue(parsing: text)] }

    @Test func `quirk F15: an id beyond 2^53 keeps every digit`() throws {
        let provider = try exampleProvider(exampleManifest())
        let profile = try provider.profile(from: user(#"{"id": 123456789012345678901234567890}"#))
        #expect(profile.subject.rawValue == "123456789012345678901234567890")
        #expect(profile.claims == #"{"sub":"123456789012345678901234567890"}"#)
        #expect(profile.raw == #"{"user":{"id":123456789012345678901234567890}}"#)
    }

    @Test(arguments: [
        #"{}"#, #"{"id": null}"#, #"{"id": ""}"#, #"{"id": 1.5}"#, #"{"id": 1e3}"#, #"{"id": true}"#, #"{"id": [1]}"#,
        #"{"id": {"value": 1}}"#, #"[]"#, #""text""#,
    ])
    func `no subject is guessed at`(_ body: String) throws {
        let provider = try exampleProvider(exampleManifest())
        #expect(throws: MappingError.subjectMissing) { try provider.profile(from: user(body)) }
    }

    @Test func `a subject with control characters or without end is refused`() throws {
        let provider = try exampleProvider(exampleManifest())
        #expect(throws: MappingError.subjectInvalid) { try provider.profile(from: user(#"{"id": "a\nb"}"#)) }
        let long = String(repeating: "x", count: 256)
        #expect(throws: MappingError.subjectInvalid) { try provider.profile(from: user(#"{"id": "\#(long)"}"#)) }
    }

    @Test func `a request that is not optional needs its response`() throws {
        #expect(throws: MappingError.responseMissing(request: "user")) {
            try provider("github").profile(from: ["emails": .array([])])
        }
    }

    @Test func `security 53: a userinfo response about another subject is refused`() throws {
        let provider = try provider("oidc")
        #expect(throws: MappingError.subjectMismatch) {
            try provider.profile(
                from: ["userinfo": .object(["sub": .string("b")])], idTokenClaims: ["sub": .string("a")])
        }
        #expect(throws: MappingError.subjectMissing) {
            try provider.profile(
                from: ["userinfo": .object(["name": .string("b")])], idTokenClaims: ["sub": .string("a")])
        }
    }

    @Test func `what an ID token says of one authentication is neither kept nor a change`() throws {
        let provider = try provider("oidc")
        func linked(_ nonce: String, _ time: String) throws -> Profile {
            var claims: JSONObject = ["sub": .string("a"), "name": .string("Ada")]
            for name in ["iss", "aud", "nonce", "at_hash", "c_hash", "s_hash", "acr", "azp", "jti", "sid"] {
                claims[name] = .string(nonce)
            }
            for name in ["exp", "iat", "nbf", "auth_time"] { claims[name] = .string(time) }
            claims["amr"] = .array([.string(nonce)])
            return try provider.profile(from: [:], idTokenClaims: claims)
        }
        let first = try linked("EXAMPLE-1", "1")
        #expect(first.raw == #"{"id_token":{"sub":"a","name":"Ada"}}"#)
        #expect(try linked("EXAMPLE-2", "2").contentHash == first.contentHash)
        // What an earlier version stored goes with the next sync.
        let stored: JSONObject = ["sub": .string("a"), "name": .string("Ada"), "nonce": .string("EXAMPLE-0")]
        #expect(try provider.profile(from: ["id_token": .object(stored)]).raw == first.raw)
    }

    @Test func `claims that the userinfo response lacks come from the ID token, and stay`() throws {
        let provider = try provider("oidc")
        let userinfo = JSONValue.object(["sub": .string("a"), "name": .string("Ada")])
        let linked = try provider.profile(
            from: ["userinfo": userinfo],
            idTokenClaims: ["sub": .string("a"), "name": .string("Old"), "email": .string("ada@example.com")])
        #expect(linked.claims == #"{"sub":"a","name":"Ada","email":"ada@example.com"}"#)
        let held = try #require(JSONValue(parsing: linked.raw)["id_token"])
        let synced = try provider.profile(from: ["userinfo": userinfo, "id_token": held])
        #expect(synced.contentHash == linked.contentHash)
        #expect(synced.email == "ada@example.com")
        #expect(throws: MappingError.subjectMismatch) {
            try provider.profile(from: ["userinfo": .object(["sub": .string("b")]), "id_token": held])
        }
    }

    @Test(
        arguments: [
            (#"{"sub":"a"}"#, "ada@example.com", true),
            (#"{"sub":"a","email":"new@example.com"}"#, "new@example.com", nil),
            (#"{"sub":"a","email_verified":false}"#, "ada@example.com", true),
            (#"{"sub":"a","email":"new@example.com","email_verified":false}"#, "new@example.com", false),
        ] as [(String, String, Bool?)])
    func `an ID token vouches for no address but its own`(_ userinfo: String, _ email: String, _ verified: Bool?) throws
    {
        let profile = try provider("oidc").profile(
            from: ["userinfo": JSONValue(parsing: userinfo)],
            idTokenClaims: [
                "sub": .string("a"), "email": .string("ada@example.com"), "email_verified": .bool(true),
            ])
        #expect(profile.email == email)
        #expect(profile.emailVerified == verified)
    }

    @Test func `what is known from the ID token alone survives a sync that brings none`() throws {
        let provider = try provider("oidc")
        let linked = try provider.profile(from: [:], idTokenClaims: ["sub": .string("a"), "name": .string("Ada")])
        let stored = try #require(JSONValue(parsing: linked.raw).object)
        let synced = try provider.profile(
            from: Dictionary(uniqueKeysWithValues: stored.map { ($0.name, $0.value) }), idTokenClaims: nil)
        #expect(synced.claims == linked.claims)
        #expect(synced.contentHash == linked.contentHash)
    }

    @Test(
        arguments: [
            ("true", "true"), ("false", "false"), (#""true""#, "true"), (#""false""#, "false"), ("1", "true"),
            ("0", "false"), ("2", nil), (#""yes""#, nil), ("null", nil), (#""""#, nil),
        ] as [(String, String?)])
    func `security 56: quirk F18: true, false or unknown; other forms by a rule`(_ value: String, _ expected: String?)
        throws
    {
        let manifest = exampleManifest(replacing: [
            ("name: $.user.name", "email_verified: {path: $.user.verified, accept: [string, integer]}")
        ])
        let body = #"{"id": "1", "verified": \#(value)}"#
        let profile = try exampleProvider(manifest).profile(from: user(body))
        #expect(profile.emailVerified.map { String($0) } == expected)
        let strict = exampleManifest(replacing: [("name: $.user.name", "email_verified: $.user.verified")])
        let strictly = try exampleProvider(strict).profile(from: user(body))
        #expect(strictly.emailVerified.map { String($0) } == (["true", "false"].contains(value) ? value : nil))
    }

    @Test func `the first path that finds a value of the right type counts`() throws {
        let manifest = exampleManifest(replacing: [
            ("name: $.user.name", #"name: [$.user.display, "$.user.names[*]", $.user.login]"#)
        ])
        let body = #"{"id": "1", "display": "", "names": [null, 5, "second"], "login": "third"}"#
        #expect(try exampleProvider(manifest).profile(from: user(body)).claims == #"{"sub":"1","name":"second"}"#)
    }

    @Test func `quirk F20: a volatile location does not change the content`() throws {
        let manifest = exampleManifest(replacing: [
            ("name: $.user.name", "picture: $.user.avatar\n  volatile: [$.user.followers, $.user.avatar]")
        ])
        let provider = try exampleProvider(manifest)
        func hash(_ body: String) throws -> String { try provider.profile(from: user(body)).contentHash }
        let before = try hash(#"{"id": "1", "followers": 3, "avatar": "https://example.com/a?sig=1", "bio": "x"}"#)
        #expect(
            try hash(#"{"avatar": "https://example.com/a?sig=2", "bio": "x", "id": "1", "followers": 4}"#) == before)
        #expect(
            try hash(#"{"id": "1", "followers": 3, "avatar": "https://example.com/a?sig=1", "bio": "y"}"#) != before)
        #expect(before.utf8.count == 64)
    }

    @Test func `equal content has an equal hash and validators do not count`() throws {
        let provider = try provider("github")
        let body = try Fixture("github", "user").body()
        let validators = ["user": Validators(etag: "\"v1\"")]
        let profile = try provider.profile(from: ["user": body], validators: validators)
        #expect(profile.validators == validators)
        #expect(try provider.profile(from: ["user": body]).contentHash == profile.contentHash)
        let renamed = try Fixture("github", "user_renamed").body()
        #expect(try provider.profile(from: ["user": renamed]).contentHash != profile.contentHash)
        let withEmail = try Fixture("github", "user_emails").body()
        #expect(try provider.profile(from: ["user": body, "emails": withEmail]).contentHash != profile.contentHash)
    }

    @Test func `a response that nobody asked for stays out of raw`() throws {
        let provider = try exampleProvider(exampleManifest())
        let profile = try provider.profile(from: ["user": .object(["id": .string("1")]), "other": .bool(true)])
        #expect(profile.raw == #"{"user":{"id":"1"}}"#)
    }
}

@Suite struct DiscordPluginTests {
    private func picture(_ user: String) throws -> String? {
        let profile = try provider("discord").profile(from: ["user": JSONValue(parsing: user)])
        return try JSONValue(parsing: profile.claims)["picture"]?.string
    }

    @Test(arguments: [
        (
            #"{"id": "80351110224678912", "avatar": "8342729096ea3675442027381ff50dfe"}"#,
            "/avatars/80351110224678912/8342729096ea3675442027381ff50dfe.png"
        ),
        (
            #"{"id": "80351110224678912", "avatar": "a_8342729096ea3675442027381ff50dfe"}"#,
            "/avatars/80351110224678912/a_8342729096ea3675442027381ff50dfe.gif"
        ),
        (#"{"id": "412345678901234569", "avatar": null, "discriminator": "0"}"#, "/embed/avatars/4.png"),
        (#"{"id": "412345678901234569", "avatar": null, "discriminator": "1337"}"#, "/embed/avatars/2.png"),
        (#"{"id": "412345678901234569", "avatar": null, "discriminator": "0005"}"#, "/embed/avatars/0.png"),
        (#"{"id": "412345678901234569"}"#, "/embed/avatars/4.png"),
        (#"{"id": "412345678901234569", "avatar": "../../x?y#z"}"#, "/embed/avatars/4.png"),
    ])
    func `quirk F19: a picture follows Discord's rules`(_ user: String, _ path: String) throws {
        #expect(try picture(user) == "https://cdn.discordapp.com" + path)
    }

    @Test func `an id that is no snowflake has no picture`() throws {
        #expect(try picture(#"{"id": "not-a-number", "avatar": "8342729096ea3675442027381ff50dfe"}"#) == nil)
    }

    @Test func `the picture's host is a variable`() throws {
        let catalog = try ProviderCatalog(
            files: [],
            instances: [
                InstanceConfiguration(
                    id: "discord", variables: ["cdn": "http://127.0.0.1:8081/discord/cdn/"], clientID: "EXAMPLE",
                    clientSecret: Secret("EXAMPLE"))
            ], publicURL: "http://127.0.0.1:8080")
        let profile = try catalog.provider("discord").profile(from: ["user": .object(["id": .string("1")])])
        #expect(profile.claims.contains("http://127.0.0.1:8081/discord/cdn/embed/avatars/0.png"))
    }
}
