import Accounts
import Foundation
import JSON
import OAuth
import Providers
import TestSupport
import Transfer

/// The instant around which the samples are set: 2026-11-20T14:42:53Z.
let sampleTime = Timestamp(secondsSinceEpoch: 1_795_185_773)

extension Moment {
    static let example = Moment(now: sampleTime, random: SystemRandom())
}

/// One recorded answer.
struct Fixture {
    let name: String
    let request: String
    /// `nil`: not an answer but something that a provider sends by itself.
    let status: Int?
    let response: TransferResponse

    static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures")

    /// The ids of the built-in manifests, as they lie in `providers/`.
    static func manifests() throws -> [String] {
        let root = folder.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        return try FileManager.default.contentsOfDirectory(atPath: root.appending(path: "providers").path())
            .filter { $0.hasSuffix(".yaml") }.map { String($0.dropLast(".yaml".count)) }.sorted()
    }

    /// Of one provider, without the claims they must become.
    static func names(of provider: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder.appending(path: provider).path())
            .filter { $0.hasSuffix(".json") && $0 != "claims.json" }
            .map { String($0.dropLast(".json".count)) }.sorted()
    }

    static func json(_ path: String) throws -> JSONValue {
        try JSONValue(parsing: Array(Data(contentsOf: folder.appending(path: path))))
    }

    init(_ provider: String, _ name: String) throws {
        let document = try Self.json("\(provider)/\(name).json")
        self.name = name
        request = document["request"]?.string ?? ""
        status = document["status"]?.number?.int64.map { Int($0) }
        var fields = HeaderFields()
        for (name, value) in document["headers"]?.object ?? [:] { fields.append(name: name, value: value.string ?? "") }
        let body = document["body"]?.text ?? document["body_text"]?.string ?? ""
        response = TransferResponse(status: status ?? 0, fields: fields, body: Array(body.utf8))
    }

    func body() throws -> JSONValue { try JSONValue(parsing: response.body) }
}

extension ProviderCatalog {
    /// The built-in manifests, each as one instance of its name; `oidc` at `https://op.example`.
    static func builtIn() throws -> ProviderCatalog { try read.get() }

    /// Read once: hundreds of tests ask for one of fifteen manifests.
    private static let read = Result { try readBuiltIn() }

    private static func readBuiltIn() throws -> ProviderCatalog {
        let secret = Secret("EXAMPLE-secret")
        let variables = ["oidc": ["issuer": "https://op.example"], "apple": ["team": "TEAMEXAMPL"]]
        return try ProviderCatalog(
            files: [],
            instances: Fixture.manifests().map { id in
                InstanceConfiguration(
                    id: id, variables: variables[id] ?? [:],
                    clientID: id == "github" ? "Iv1.EXAMPLE" : "EXAMPLE-\(id)",
                    clientSecret: id == "apple" ? nil : secret,
                    clientKey: id == "apple" ? Secret(ExampleKeys.p256) : nil, keyID: id == "apple" ? "EXAMPLE" : nil)
            },
            publicURL: "https://accounts.example.com")
    }

    func provider(_ id: String) throws -> Provider {
        guard let id = ProviderID(id), let provider = self[id] else { throw NoSuchProvider(id: id) }
        return provider
    }
}

struct NoSuchProvider: Error { let id: String }

func provider(_ id: String) throws -> Provider { try ProviderCatalog.builtIn().provider(id) }

/// A small manifest that is right, to break in one place; `replacing` are exact texts of it.
func exampleManifest(replacing changes: [(String, String)] = []) -> String {
    var text = """
        id: example
        name: Example
        variables:
          site: https://example.com
        authorization:
          endpoint: "{site}/authorize"
          scopes: [profile]
        client_authentication: client_secret_basic
        token:
          endpoint: "{site}/token"
          refresh: {rotation: single_use}
        profile:
          requests:
            user: {url: "{site}/me"}
          claims:
            sub: $.user.id
            name: $.user.name
        limits:
          dialect: retry_after
        """
    for (old, new) in changes { text = text.replacingOccurrences(of: old, with: new) }
    return text
}

/// The one instance `example` of a manifest's text.
func exampleProvider(_ manifest: String, _ change: (inout InstanceConfiguration) -> Void = { _ in }) throws -> Provider
{
    var instance = InstanceConfiguration(id: "example", clientID: "EXAMPLE-id", clientSecret: Secret("EXAMPLE-secret"))
    change(&instance)
    let catalog = try ProviderCatalog(
        files: [ManifestFile(path: "example.yaml", text: manifest)], instances: [instance],
        publicURL: "https://accounts.example.com")
    guard catalog.problems.isEmpty else { throw ConfigurationErrors(catalog.problems.map(\.problem)) }
    return try catalog.provider("example")
}
