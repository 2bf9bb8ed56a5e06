import Accounts
import OAuth
import Providers
import TestSupport
import Testing
import YAML

@Suite struct ApplicationTokenManifestTests {
    private func problems(_ lines: String, _ request: String = "") throws -> [String] {
        let manifest = exampleManifest(
            replacing: [
                ("profile:", lines + "\nprofile:"),
                ("user: {url: \"{site}/me\"}", "user: {url: \"{site}/me\"}\n    \(request)"),
            ])
        return try ProviderCatalog(
            files: [ManifestFile(path: "example.yaml", text: manifest)], instances: [],
            publicURL: "https://accounts.example.com"
        ).problems.map(\.problem.message)
    }

    @Test(arguments: [
        (
            "", "more: {url: \"{site}/x\", token: application}",
            "profile.requests.more.token: expected together with application_token"
        ),
        ("", "more: {url: \"{site}/{subject}\"}", "profile.requests.more.url: the variable {subject} has no value"),
        (
            "application_token: {grant: client_credentials, subject: a}", "",
            "application_token.subject: expected together with grant: jwt_bearer"
        ),
        (
            "application_token: {grant: jwt_bearer, subject: \"{x}\"}", "",
            "application_token.subject: expected no places but declared variables"
        ),
        (
            "application_token: {grant: client_credentials}",
            "more: {url: \"{site}/x\", token: application, scopes: [a]}",
            "profile.requests.more.scopes: expected without token: application"
        ),
        (
            "application_token: {grant: password}", "",
            #"application_token.grant: expected one of client_credentials, jwt_bearer, found "password""#
        ),
    ])
    func `what does not fit together is refused`(lines: String, request: String, message: String) throws {
        let found = try problems(lines, request)
        #expect(found.contains { $0.hasPrefix(message) }, "\(found)")
    }

    /// In any place where a manifest names a grant or what comes of one.
    @Test(arguments: [
        ("scopes: [profile]", "scopes: [profile]\n  response_type: token"),
        ("scopes: [profile]", "scopes: [profile]\n  response_type: id_token token"),
        ("scopes: [profile]", "scopes: [profile]\n  response_type: code id_token"),
        ("scopes: [profile]", "scopes: [profile]\n  response_mode: fragment"),
        ("scopes: [profile]", "scopes: [profile]\n  parameters: {response_type: token}"),
        ("refresh: {rotation: single_use}", "grants: [authorization_code, implicit]"),
        ("refresh: {rotation: single_use}", "grants: [authorization_code, password]"),
        ("refresh: {rotation: single_use}", "grants: [password]"),
        (
            "refresh: {rotation: single_use}",
            "grants: [authorization_code, \"urn:ietf:params:oauth:grant-type:token-exchange\"]"
        ),
        ("refresh: {rotation: single_use}", "request: {parameters: {grant_type: password}}"),
        ("profile:", "application_token: {grant: \"urn:ietf:params:oauth:grant-type:token-exchange\"}\nprofile:"),
        ("profile:", "application_token: {grant: password}\nprofile:"),
        ("profile:", "password: {username: a}\nprofile:"),
        ("profile:", "token_exchange: {}\nprofile:"),
    ])
    func `security 16, 82: a manifest that names a retired grant does not load, and says what was expected`(
        old: String, new: String
    ) throws {
        let catalog = try ProviderCatalog(
            files: [ManifestFile(path: "example.yaml", text: exampleManifest(replacing: [(old, new)]))],
            instances: [InstanceConfiguration(id: "example", clientID: "EXAMPLE", clientSecret: Secret("EXAMPLE"))],
            publicURL: "https://accounts.example.com")
        #expect(catalog.providers.isEmpty)
        let problem = try #require(catalog.problems.first { $0.problem.place?.file == "example.yaml" })
        #expect(problem.problem.message.contains("expected"), "\(problem)")
    }

    @Test func `a service account needs a key, whatever the client of users needs`() throws {
        let manifest = exampleManifest(replacing: [("profile:", "application_token: {grant: jwt_bearer}\nprofile:")])
        func missing(_ key: String?) throws -> [String] {
            try ProviderCatalog(
                files: [ManifestFile(path: "example.yaml", text: manifest)],
                instances: [
                    InstanceConfiguration(
                        id: "example", clientID: "EXAMPLE", clientSecret: Secret("EXAMPLE"),
                        clientKey: key.map { Secret($0) })
                ], publicURL: "https://accounts.example.com"
            ).provider("example").missing
        }
        #expect(try missing(nil) == ["client_key"])
        #expect(try missing(ExampleKeys.rsa) == [])
    }
}
