import OAuth
import Providers
import Testing

@Suite struct ResourceTests {
    @Test func `security 46: an instance's resources take the place of the manifest's, and move the fingerprint`()
        throws
    {
        let manifest = exampleManifest(replacing: [("token:", "resource: [\"{site}/api\", \"urn:x\"]\ntoken:")])
        let provider = try exampleProvider(manifest)
        #expect(provider.resources == ["https://example.com/api", "urn:x"])
        #expect(provider.tokenDialect.requestParameters.map(\.1) == ["https://example.com/api", "urn:x"])
        let other = try exampleProvider(manifest) { $0.resources = ["https://other.example"] }
        #expect(other.resources == ["https://other.example"])
        #expect(other.fingerprint != provider.fingerprint)
        for wrong in ["/api", "api", "https:", "https://a#b", "https://a b", ""] {
            #expect(throws: ConfigurationErrors.self, "\(wrong)") {
                try exampleProvider(manifest) { $0.resources = [wrong] }
            }
        }
    }

    @Test func `security 46: where requests are JSON, in which a name stands once, there is one resource`() throws {
        let manifest = exampleManifest(replacing: [
            ("token:", "resource: [urn:a]\ntoken:"), ("refresh: {", "request: {format: json}\n  refresh: {"),
        ])
        #expect(try exampleProvider(manifest).resources == ["urn:a"])
        #expect(throws: ConfigurationErrors.self) {
            try exampleProvider(manifest) { $0.resources = ["urn:a", "urn:b"] }
        }
        let problems = try ProviderCatalog(
            files: [
                ManifestFile(path: "example.yaml", text: manifest.replacing("[urn:a]", with: "[\"urn:a\", \"urn:b\"]"))
            ], instances: [], publicURL: "https://accounts.example.com"
        ).problems.map(\.problem.message)
        #expect(problems == ["resource: expected one at most, for token requests are JSON, where a name stands once"])
    }

    @Test(arguments: [
        ("resource: [/api]", "resource[0]: expected an absolute URI without a fragment"),
        ("resource: [\"https://a#b\"]", "resource[0]: expected an absolute URI without a fragment"),
        ("resource: []", "resource: expected a list"),
        ("resource: [\"{none}\"]", "resource: the variable {none} has no value"),
        ("resource: [\"urn:a\", \"urn:a\"]", "resource: urn:a is there twice"),
        (
            "authorization: {parameters: {resource: x}, endpoint: \"https://a.example\", scopes: []}",
            "authorization.parameters.resource: the program sets this parameter itself"
        ),
    ])
    func `security 46: what is no resource, or is said in another place, is refused`(line: String, message: String)
        throws
    {
        let isAuthorization = line.hasPrefix("authorization")
        let manifest = exampleManifest(
            replacing: isAuthorization
                ? [("authorization:\n  endpoint: \"{site}/authorize\"\n  scopes: [profile]", line)]
                : [("token:", line + "\ntoken:")])
        let problems = try ProviderCatalog(
            files: [ManifestFile(path: "example.yaml", text: manifest)], instances: [],
            publicURL: "https://accounts.example.com"
        ).problems.map(\.problem.message)
        #expect(problems.contains { $0.hasPrefix(message) }, "\(problems)")
    }
}
