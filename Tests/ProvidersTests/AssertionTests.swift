import Accounts
import Cryptography
import OAuth
import Providers
import TestSupport
import Testing
import YAML

@Suite struct AssertionTests {
    private func instance(_ change: (inout InstanceConfiguration) -> Void = { _ in }) -> InstanceConfiguration {
        var instance = InstanceConfiguration(
            id: "example", clientID: "EXAMPLE-id", clientKey: Secret(ExampleKeys.p256), keyID: "EXAMPLE-kid")
        change(&instance)
        return instance
    }

    private func catalog(
        _ assertion: String, _ changes: [(String, String)] = [], _ instance: InstanceConfiguration
    ) throws -> ProviderCatalog {
        let text = exampleManifest(
            replacing: changes + [("client_secret_basic", "private_key_jwt\n\(assertion)")])
        return try ProviderCatalog(
            files: [ManifestFile(path: "example.yaml", text: text)], instances: [instance],
            publicURL: "https://accounts.example.com")
    }

    private func problems(_ assertion: String, _ changes: [(String, String)] = []) throws -> [String] {
        try catalog(assertion, changes, instance()).problems.map(\.problem.message)
    }

    @Test func `without a word of the manifest an assertion is RFC 7523's`() throws {
        let client = try catalog("", [], instance()).provider("example").client
        #expect(client.authentication == .privateKeyJWT)
        #expect(try client.signingKey == SigningKey(pem: Secret(ExampleKeys.p256)))
        // There is no issuer, so it is for where it goes.
        #expect(client.assertion == ClientAssertionRule(audience: .endpoint, keyID: "EXAMPLE-kid"))
        let oidc = try ProviderCatalog(
            files: [],
            instances: [
                instance {
                    $0.manifest = "oidc"
                    $0.variables = ["issuer": "https://op.example"]
                    $0.clientAuthentication = "private_key_jwt"
                }
            ], publicURL: "https://accounts.example.com"
        ).provider("example")
        #expect(oidc.client.assertion.audience == .issuer)
        #expect(oidc.isReady)
    }

    @Test func `quirk C11, C12: a manifest says whose an assertion is, for whom, and where it stands`() throws {
        let apple = try catalog(
            """
            client_assertion:
              parameter: client_secret
              algorithm: ES256
              audience: https://appleid.example
              issuer: "{team}"
              lifetime: 2m
              requires_key_id: true
            """, [("variables:\n", "variables:\n  team: {pattern: \"[A-Z0-9]{10}\"}\n")],
            instance { $0.variables = ["team": "TEAMEXAMPL"] }
        ).provider("example")
        #expect(
            apple.client.assertion
                == ClientAssertionRule(
                    parameter: .clientSecret, algorithm: .es256, audience: .fixed("https://appleid.example"),
                    issuer: "TEAMEXAMPL", lifetime: .seconds(120), keyID: "EXAMPLE-kid"))
        let revolut = try catalog("client_assertion: {issuer: \"{redirect_host}\"}", [], instance()).provider("example")
        #expect(revolut.client.assertion.issuer == "accounts.example.com")
    }

    @Test(arguments: [
        (
            "client_assertion: {audience: issuer}",
            "client_assertion.audience: expected endpoint or a URL, for there is no issuer"
        ),
        (
            "client_assertion: {audience: everyone}",
            #"client_assertion.audience: expected one of issuer, endpoint, or an https URL, in which {variable} stands for the variable's value, found "everyone""#
        ),
        ("client_assertion: {lifetime: 6m}", "client_assertion.lifetime: expected at least 1s and at most 5m"),
        (
            "client_assertion: {issuer: \"{team}\"}",
            "client_assertion.issuer: expected no places but declared variables and {redirect_host}"
        ),
        (
            "client_assertion: {algorithm: HS256}",
            #"client_assertion.algorithm: expected one of RS256, RS384, RS512, PS256, ES256, ES384, EdDSA, found "HS256""#
        ),
        (
            "client_assertion: {algorithm: none}",
            #"client_assertion.algorithm: expected one of RS256, RS384, RS512, PS256, ES256, ES384, EdDSA, found "none""#
        ),
    ])
    func `security 35: a manifest can't ask for an assertion that others may use`(
        assertion: String, message: String
    ) throws {
        #expect(try problems(assertion).contains(message))
    }

    @Test func `what is missing is said, by the way of authenticating`() throws {
        let bare = InstanceConfiguration(id: "example", clientID: "EXAMPLE-id", clientSecret: Secret("EXAMPLE"))
        #expect(try catalog("", [], bare).provider("example").missing == ["client_key"])
        #expect(
            try catalog("client_assertion: {requires_key_id: true}", [], bare).provider("example").missing
                == ["client_key", "key_id"])
        // Its own way of taking tokens back wants the secret that the token endpoint does not.
        let revocation =
            #"revocation: {method: DELETE, url: "{site}/grant", authentication: basic}"# + "\nprofile:"
        #expect(
            try catalog("", [("profile:", revocation)], instance()).provider("example").missing == ["client_secret"])
        #expect(
            try catalog("", [("profile:", revocation)], instance { $0.clientSecret = Secret("EXAMPLE") })
                .provider("example").missing.isEmpty)
        let jwt = try exampleProviderMissing("client_secret_jwt")
        #expect(jwt == ["client_secret"])
        #expect(try exampleProviderMissing("client_secret_bearer") == ["client_secret"])
    }

    private func exampleProviderMissing(_ authentication: String) throws -> [String] {
        try ProviderCatalog(
            files: [
                ManifestFile(
                    path: "example.yaml",
                    text: exampleManifest(replacing: [("client_secret_basic", authentication)]))
            ], instances: [instance()], publicURL: "https://accounts.example.com"
        ).provider("example").missing
    }

    @Test(arguments: [
        (
            ExampleKeys.encrypted,
            "providers.example.client_key: the private key is encrypted; expected it without a passphrase"
        ),
        (ExampleKeys.rsa1024, "providers.example.client_key: the RSA key has less than 2048 bits"),
        (
            ExampleKeys.rsa,
            "providers.example.client_key: the algorithm is not one for this kind of key, and the provider wants ES256"
        ),
    ])
    func `a key that can't sign is refused at start, and not quoted`(pem: String, message: String) throws {
        let error = try #require(throws: ConfigurationErrors.self) {
            try catalog("client_assertion: {algorithm: ES256}", [], instance { $0.clientKey = Secret(pem) })
        }
        #expect(error.problems.map(\.message) == [message])
    }

    @Test func `security 35: two servers do not share a key, two clients of one may`() throws {
        func catalog(_ issuers: [String]) throws -> ProviderCatalog {
            try ProviderCatalog(
                files: [],
                instances: issuers.enumerated().map { index, issuer in
                    InstanceConfiguration(
                        id: "op\(index)", manifest: "oidc", variables: ["issuer": issuer], clientID: "EXAMPLE",
                        clientKey: Secret(ExampleKeys.p256), clientAuthentication: "private_key_jwt")
                }, publicURL: "https://accounts.example.com")
        }
        let error = try #require(throws: ConfigurationErrors.self) {
            try catalog(["https://a.example", "https://b.example"])
        }
        #expect(
            error.problems.map(\.message) == ["providers.op1.client_key: it is op0's key; expected one for each server"]
        )
        #expect(try catalog(["https://a.example", "https://a.example"]).providers.count == 2)
    }

    @Test func `a thumbprint or key id that is none is refused`() throws {
        let error = try #require(throws: ConfigurationErrors.self) {
            try catalog(
                "", [],
                instance {
                    $0.certificateThumbprint = "EXAMPLE"
                    $0.keyID = "a\nb"
                })
        }
        #expect(
            error.problems.map(\.message) == [
                "providers.example.key_id: expected no line breaks or other control characters",
                "providers.example.certificate_thumbprint: expected a SHA-1 or SHA-256 in hexadecimal, as the registration shows it",
            ])
    }

    @Test func `redirect_host is no name for a variable`() throws {
        #expect(
            try problems("", [("variables:\n", "variables:\n  redirect_host: {pattern: a}\n")])
                .contains("variables.redirect_host: the name has a meaning of its own; expected another"))
    }
}
