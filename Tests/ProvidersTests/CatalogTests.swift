import Accounts
import Foundation
import OAuth
import Providers
import Testing
import YAML

private func errors(_ instance: InstanceConfiguration, manifest: String? = nil) throws -> [String] {
    do {
        _ = try ProviderCatalog(
            files: manifest.map { [ManifestFile(path: "example.yaml", text: $0)] } ?? [], instances: [instance],
            publicURL: "https://accounts.example.com")
        return []
    } catch { return error.problems.map(\.message) }
}

@Suite struct CatalogTests {
    @Test func `the built-in manifests are right`() throws {
        let catalog = try ProviderCatalog.builtIn()
        #expect(catalog.problems.isEmpty)
        #expect(try catalog.manifests.map(\.id) == Fixture.manifests())
        #expect(try catalog.providers.map(\.id.rawValue) == Fixture.manifests())
        #expect(catalog.providers.allSatisfy { $0.isReady })
        #expect(catalog.manifests.allSatisfy { $0.isBuiltIn })
    }

    @Test func `the redirect URI is the public URL's`() throws {
        for url in ["https://accounts.example.com", "https://accounts.example.com/"] {
            let catalog = try ProviderCatalog(
                files: [], instances: [InstanceConfiguration(id: "work", manifest: "github", clientID: "EXAMPLE")],
                publicURL: url)
            #expect(
                try catalog.provider("work").client.redirectURI == "https://accounts.example.com/callback/work")
        }
    }

    @Test func `several instances of one manifest keep the order of the configuration`() throws {
        let catalog = try ProviderCatalog(
            files: [],
            instances: [
                InstanceConfiguration(
                    id: "work", manifest: "oidc", variables: ["issuer": "https://login.example.com"],
                    clientID: "EXAMPLE",
                    clientSecret: Secret("EXAMPLE"), scopes: ["openid", "email"]),
                InstanceConfiguration(id: "github", clientID: "EXAMPLE", clientSecret: Secret("EXAMPLE")),
                InstanceConfiguration(
                    id: "enterprise", manifest: "github",
                    variables: ["site": "https://git.example.com", "api": "https://git.example.com/api/v3"],
                    clientID: "EXAMPLE", clientSecret: Secret("EXAMPLE")),
            ],
            publicURL: "https://accounts.example.com")
        #expect(catalog.providers.map(\.id.rawValue) == ["work", "github", "enterprise"])
        #expect(try catalog.provider("work").scopes.map(\.rawValue) == ["openid", "email"])
        #expect(try catalog.provider("work").manifestID == "oidc")
        let server = try catalog.provider("enterprise").authorizationServer(metadata: nil)
        #expect(server.tokenEndpoint == "https://git.example.com/login/oauth/access_token")
    }

    @Test func `an instance says what it still misses and does not stop the others`() throws {
        let catalog = try ProviderCatalog(
            files: [],
            instances: [
                InstanceConfiguration(id: "github"),
                InstanceConfiguration(id: "discord", clientID: "EXAMPLE", clientSecret: Secret("EXAMPLE")),
                InstanceConfiguration(
                    id: "public", manifest: "discord", clientID: "EXAMPLE", clientAuthentication: "none"),
            ], publicURL: "https://accounts.example.com")
        #expect(try catalog.provider("github").missing == ["client_id", "client_secret"])
        #expect(try !catalog.provider("github").isReady)
        #expect(try catalog.provider("discord").isReady)
        #expect(try catalog.provider("public").isReady)
        #expect(
            catalog.problems.map(\.description) == [
                "github: providers.github: client_id is missing", "github: providers.github: client_secret is missing",
            ])
    }

    @Test(arguments: [
        ("https://login.example.com", true), ("https://login.example.com/realms/a", true),
        ("http://127.0.0.1:8081/google", true), ("http://localhost:8081", true), ("http://[::1]:8081", true),
        ("http://login.example.com", false), ("http://127.0.0.1.example.com", false), ("http://10.0.0.1", false),
        ("https://user@login.example.com", false), ("https://user:pass@login.example.com", false),
        ("https://login.example.com/#x", false), ("https://login.example.com/?x=1", false),
        ("ftp://login.example.com", false), ("login.example.com", false), ("https://", false), ("", false),
        ("https://login.example.com:0", false), ("https://login.example.com:65536", false),
        ("https://login.example.com/a b", false), ("https://login.example.com\\@evil.example", false),
        ("https://login.example.com\n", false), ("https://127.0.0.1\u{0}", false), ("HTTPS://login.example.com", false),
        ("https://[::1", false), ("https://exa mple.com", false), ("https://-x.example.com", false),
        ("https://a..example.com", false), ("https://{issuer}", false),
    ])
    func `quirk A12: a variable's URL is checked`(_ value: String, _ isAccepted: Bool) throws {
        let found = try errors(InstanceConfiguration(id: "oidc", variables: ["issuer": value], clientID: "EXAMPLE"))
        #expect(found.isEmpty == isAccepted, "\(found)")
        #expect(found.allSatisfy { $0.hasPrefix("providers.oidc.variables.issuer: ") })
    }

    @Test(arguments: [
        ("a", true), ("tenant-1", true), ("0abc", true), (String(repeating: "x", count: 63), true), ("", false),
        ("-a", false), ("A", false), ("a.b", false), ("a/b", false), ("a@evil.example", false), ("a\n", false),
        (String(repeating: "x", count: 64), false), ("é", false),
    ])
    func `quirk A12: a tenant is checked by the manifest's pattern`(_ value: String, _ isAccepted: Bool) throws {
        let manifest = exampleManifest(replacing: [
            (
                "site: https://example.com",
                "tenant: {pattern: '^[a-z0-9][a-z0-9-]{0,62}$', description: the tenant's name}"
            ),
            ("{site}/", "https://{tenant}.example.com/"),
        ])
        let found = try errors(
            InstanceConfiguration(id: "example", variables: ["tenant": value], clientID: "EXAMPLE"), manifest: manifest)
        #expect(found.isEmpty == isAccepted, "\(found)")
    }

    @Test func `security 84: a lax pattern does not let a value reshape a URL`() throws {
        let manifest = exampleManifest(replacing: [
            ("site: https://example.com", "tenant: {pattern: '.*'}"), ("{site}/", "https://{tenant}.example.com/"),
        ])
        for value in [
            "evil.example/", "evil.example/#", "evil.example#", "evil.example?", "x@evil.example", "x:1", "..", "../..",
            "%2f", "x%2f", "", " ", "x\r\n", "x\\y", "é",
        ] {
            let found = try errors(
                InstanceConfiguration(id: "example", variables: ["tenant": value], clientID: "EXAMPLE"),
                manifest: manifest)
            #expect(found == ["providers.example.variables.tenant: expected letters, digits and . _ ~ - alone"])
        }
    }

    @Test(arguments: [
        "https://evil.example/#", "https://user@evil.example", "https://evil.example/?x", "http://evil.example",
        "https://evil%2eexample", "https://../..", "file:///etc/passwd", "//evil.example", "evil.example",
        "https://[::1%25eth0]", "https://evil.example\\@good.example", "https:///evil", "https://evil.example:99999",
    ])
    func `security 84: a tenant's address is a plain https URL`(value: String) throws {
        let found = try errors(
            InstanceConfiguration(id: "example", variables: ["site": value], clientID: "EXAMPLE"),
            manifest: exampleManifest())
        #expect(found.count == 1)
        #expect(found.first?.hasPrefix("providers.example.variables.site: ") == true, "\(found)")
    }

    /// Neither environment nor files nor types of a language: what stands in a template is a variable or nothing.
    @Test(arguments: [
        ("{site}/token", "{env.HOME}/token"), ("{site}/token", "{HOME}/token"), ("{site}/token", "${HOME}/token"),
        ("{site}/token", "file:///etc/passwd"), ("name: Example", "name: !!python/object:os.system x"),
        ("name: Example", "name: !include /etc/passwd"), ("name: Example", "client_secret: EXAMPLE\nname: Example"),
        ("name: Example", "name: Example\nexec: /bin/true"), ("$.user.id", "$.user.id{env}"),
        ("{site}/me", "{client_secret}/me"), ("{site}/me", "https://evil.example/{access_token}"),
    ])
    func `security 86: a provider file reads nothing and runs nothing`(old: String, new: String) throws {
        let catalog = try ProviderCatalog(
            files: [
                ManifestFile(path: "example.yaml", text: exampleManifest(replacing: [(old, new)])),
                ManifestFile(path: "other.yaml", text: exampleManifest(replacing: [("id: example", "id: other")])),
            ],
            instances: [
                InstanceConfiguration(id: "example", clientID: "EXAMPLE"),
                InstanceConfiguration(id: "other", clientID: "EXAMPLE"),
            ], publicURL: "https://accounts.example.com")
        #expect(catalog.problems.contains { $0.subject == "example.yaml" })
        #expect(catalog.providers.map(\.id.rawValue) == ["other"])
    }

    @Test func `security 87: a stranger's file shares no registration, redirect URI or secret with another provider`()
        throws
    {
        // It claims the endpoints of the other one, which no instance's credentials follow.
        let catalog = try ProviderCatalog(
            files: [
                ManifestFile(path: "example.yaml", text: exampleManifest()),
                ManifestFile(
                    path: "stranger.yaml", text: exampleManifest(replacing: [("id: example", "id: stranger")])),
            ],
            instances: [
                InstanceConfiguration(id: "example", clientID: "EXAMPLE-id", clientSecret: Secret("EXAMPLE-secret")),
                InstanceConfiguration(id: "stranger"),
                InstanceConfiguration(id: "second", manifest: "stranger", clientID: "EXAMPLE-2"),
            ], publicURL: "https://accounts.example.com")
        let providers = catalog.providers
        #expect(providers.map(\.id.rawValue) == ["example", "stranger", "second"])
        #expect(Set(providers.map(\.client.redirectURI)).count == 3)
        #expect(providers.map(\.client.clientID) == ["EXAMPLE-id", "", "EXAMPLE-2"])
        #expect(providers.map { $0.client.clientSecret == nil } == [false, true, true])
        #expect(!providers[1].isReady && providers[1].missing.contains("client_id"))
        #expect(Set(providers.map(\.fingerprint)).count == 3)
    }

    @Test func `wrong settings of an instance are told all at once`() throws {
        let place = SourcePlace(file: "rollcall.yaml", line: 7, column: 3)
        let instance = InstanceConfiguration(
            id: "google", variables: ["tenant": "x"], clientID: "EXAMPLE", clientSecret: Secret("EXAMPLE"),
            scopes: ["email", "a b"], clientAuthentication: "tls_client_auth",
            authorizationParameters: ["state": "x", "login hint": "y", "hd": "a\r\nb"],
            sync: .init(interval: .seconds(60), minimumInterval: .seconds(600), maximumAge: .seconds(30)), place: place)
        let error = try #require(throws: ConfigurationErrors.self) {
            try ProviderCatalog(files: [], instances: [instance], publicURL: "https://accounts.example.com")
        }
        #expect(error.problems.allSatisfy { $0.place == place })
        #expect(
            error.problems.map(\.message) == [
                "providers.google.variables.tenant: the manifest google has no such variable; expected issuer",
                "providers.google.client_authentication: expected one of client_secret_basic, client_secret_basic_raw, client_secret_username, client_secret_bearer, client_secret_post, client_secret_jwt, private_key_jwt, none, none_basic",
                "providers.google.scopes: expected each to be a scope: printable ASCII without spaces and quotes",
                "providers.google.scopes: expected openid among them, for the provider is an OpenID provider",
                "providers.google.authorization.parameters.hd: expected a text on one line",
                "providers.google.authorization.parameters.login hint: expected the name of a parameter",
                "providers.google.authorization.parameters.state: the program sets this parameter itself; expected another",
                "providers.google.sync.interval: is shorter than minimum_interval",
                "providers.google.sync.maximum_age: is shorter than interval",
            ])
        #expect(!error.description.contains("EXAMPLE"))
    }

    @Test func `an instance that moves one server and forgets another is refused`() throws {
        #expect(
            try errors(
                InstanceConfiguration(
                    id: "github", variables: ["site": "https://ghe.example.com"], clientID: "EXAMPLE")) == [
                    "providers.github.variables.api: expected a value together with site, or credentials would go to https://api.github.com"
                ])
        #expect(
            try errors(
                InstanceConfiguration(id: "discord", variables: ["api": "https://d.example.com"], clientID: "EXAMPLE")
            ).count == 1)
        // Pictures are no place for credentials.
        let pictures = InstanceConfiguration(
            id: "discord", variables: ["cdn": "https://cdn.example.com"], clientID: "EXAMPLE")
        #expect(try errors(pictures).isEmpty)
    }

    @Test func `an instance whose scopes make no profile is told so, and the others work`() throws {
        let secret = Secret("EXAMPLE")
        let catalog = try ProviderCatalog(
            files: [],
            instances: [
                InstanceConfiguration(id: "discord", clientID: "EXAMPLE", clientSecret: secret, scopes: ["email"]),
                InstanceConfiguration(id: "github", clientID: "EXAMPLE", clientSecret: secret, scopes: ["read:user"]),
            ], publicURL: "https://accounts.example.com")
        #expect(
            catalog.problems.map(\.description) == [
                "discord: providers.discord.scopes: expected identify, which the profile's request user needs"
            ])
        #expect(catalog.providers.count == 2)
    }

    @Test func `a schedule that contradicts itself is the file's problem alone`() throws {
        let manifest = exampleManifest() + "\nsync: {interval: 1m, minimum_interval: 5m, maximum_age: 30s}\n"
        let catalog = try ProviderCatalog(
            files: [ManifestFile(path: "example.yaml", text: manifest)],
            instances: [
                InstanceConfiguration(id: "example", clientID: "EXAMPLE", clientSecret: Secret("EXAMPLE")),
                InstanceConfiguration(id: "discord", clientID: "EXAMPLE", clientSecret: Secret("EXAMPLE")),
            ], publicURL: "https://accounts.example.com")
        #expect(catalog.providers.map(\.id.rawValue) == ["discord"])
        #expect(
            catalog.problems.map(\.description) == [
                "example.yaml: example.yaml:20:18: sync.interval: is shorter than minimum_interval",
                "example.yaml: example.yaml:20:57: sync.maximum_age: is shorter than interval",
                "example: providers.example: its manifest example has problems",
            ])
    }

    @Test func `security 86: an unknown manifest and an instance named twice are errors`() throws {
        #expect(
            try errors(InstanceConfiguration(id: "nowhere", clientID: "EXAMPLE")) == [
                "providers.nowhere: there is no manifest nowhere; expected one of \(Fixture.manifests().joined(separator: ", "))"
            ])
        #expect(
            try errors(InstanceConfiguration(id: "Bad Name", manifest: "github", clientID: "EXAMPLE")) == [
                "providers.Bad Name: expected a name of lower-case letters, digits and hyphens, at most 63"
            ])
        let twice = InstanceConfiguration(id: "github", clientID: "EXAMPLE")
        #expect(throws: ConfigurationErrors.self) {
            try ProviderCatalog(files: [], instances: [twice, twice], publicURL: "https://accounts.example.com")
        }
        #expect(throws: ConfigurationErrors.self) {
            try ProviderCatalog(files: [], instances: [], publicURL: "http://accounts.example.com")
        }
    }

    @Test func `a line break in a client id or secret is refused and not repeated`() throws {
        let found = try errors(
            InstanceConfiguration(id: "github", clientID: "EXAMPLE-id\n", clientSecret: Secret("EXAMPLE-secret\r\n")))
        #expect(
            found == [
                "providers.github.client_id: expected no line breaks or other control characters",
                "providers.github.client_secret: expected no line breaks or other control characters",
            ])
    }

    @Test func `quirk A11: parameters of an instance join the manifest's`() throws {
        let catalog = try ProviderCatalog(
            files: [],
            instances: [
                InstanceConfiguration(
                    id: "google", clientID: "EXAMPLE", clientSecret: Secret("EXAMPLE"),
                    authorizationParameters: ["hd": "corp.example", "prompt": "select_account consent"])
            ], publicURL: "https://accounts.example.com")
        #expect(
            try catalog.provider("google").authorizationParameters == [
                "access_type": "offline", "hd": "corp.example", "prompt": "select_account consent",
            ])
    }

    @Test func `the sync policy is the instance's, then the operator's, then the manifest's`() throws {
        func policy(_ everyones: Duration?, _ own: InstanceConfiguration.SyncOverrides = .init()) throws -> SyncPolicy {
            try ProviderCatalog(
                files: [], instances: [InstanceConfiguration(id: "github", clientID: "EXAMPLE", sync: own)],
                publicURL: "https://accounts.example.com", syncInterval: everyones
            ).provider("github").syncPolicy
        }
        let hour = Duration.seconds(3600)
        #expect(
            try policy(nil) == SyncPolicy(interval: hour * 6, minimumInterval: .seconds(300), maximumAge: hour * 24))
        #expect(try policy(hour).interval == hour)
        // Never below what the provider is to be spared.
        #expect(try policy(.seconds(1)).interval == .seconds(300))
        #expect(try policy(hour * 48).maximumAge == hour * 48)
        #expect(try policy(hour, .init(interval: hour * 2)).interval == hour * 2)
        let demo = InstanceConfiguration.SyncOverrides(interval: .seconds(2), minimumInterval: .seconds(1))
        #expect(try policy(nil, demo).minimumInterval == .seconds(1))
    }
}

@Suite struct ManifestDirectoryTests {
    private let directory = FileManager.default.temporaryDirectory.appending(path: "rollcall-\(UUID().uuidString)")
        .path()

    private func catalog(
        _ files: [String: String], _ instances: [InstanceConfiguration] = []
    ) throws -> ProviderCatalog {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }  // in the temporary folder in any case
        for (name, text) in files { try text.write(toFile: "\(directory)/\(name)", atomically: true, encoding: .utf8) }
        return try ProviderCatalog(
            manifestsDirectory: directory, instances: instances, publicURL: "https://accounts.example.com",
            syncInterval: nil)
    }

    private func instance(_ id: String) -> InstanceConfiguration {
        InstanceConfiguration(id: id, clientID: "EXAMPLE", clientSecret: Secret("EXAMPLE"))
    }

    @Test func `a file adds a provider`() throws {
        let catalog = try catalog(["example.yaml": exampleManifest(), "notes.txt": "x"], [instance("example")])
        #expect(catalog.problems.isEmpty)
        #expect(try catalog.provider("example").name == "Example")
        #expect(catalog.manifests.first { $0.id == "example" }?.isBuiltIn == false)
    }

    @Test func `a file replaces the built-in manifest of its name`() throws {
        let mine = exampleManifest(replacing: [("id: example", "id: github"), ("name: Example", "name: Our GitHub")])
        let catalog = try catalog(["github.yaml": mine], [instance("github")])
        #expect(try catalog.provider("github").name == "Our GitHub")
        #expect(catalog.manifests.count { $0.id == "github" } == 1)
    }

    @Test func `security 86: a broken file names itself and does not stop the others`() throws {
        let broken = exampleManifest(replacing: [("id: example", "id: broken"), ("name: Example", "nmae: Example")])
        let catalog = try catalog(
            ["broken.yaml": broken, "example.yaml": exampleManifest(), "old.yml": exampleManifest()],
            [instance("example"), instance("broken"), instance("discord")])
        #expect(catalog.providers.map(\.id.rawValue) == ["example", "discord"])
        let path = "\(directory)/broken.yaml"
        #expect(catalog.problems.contains { $0.subject == path && $0.problem.place?.line == 2 })
        #expect(catalog.problems.contains { $0.subject == "broken" })
        #expect(catalog.problems.contains { $0.subject == "\(directory)/old.yml" })
    }

    @Test func `a broken replacement does not leave the built-in one in force`() throws {
        let catalog = try catalog(["github.yaml": "id: github\nname: [\n"], [instance("github")])
        #expect(catalog.providers.isEmpty)
        #expect(catalog.problems.contains { $0.subject == "github" })
    }

    @Test func `a file that is no text is a problem of its own`() throws {
        try FileManager.default.createDirectory(atPath: directory + "/folder.yaml", withIntermediateDirectories: true)
        try Data([0xff, 0xfe, 0x00]).write(to: URL(filePath: directory + "/bytes.yaml"))
        let catalog = try catalog(["example.yaml": exampleManifest()], [instance("example")])
        #expect(catalog.providers.count == 1)
        #expect(catalog.problems.map(\.subject) == ["\(directory)/bytes.yaml", "\(directory)/folder.yaml"])
    }

    @Test func `a replacement that can't be read does not leave the built-in one in force`() throws {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        try Data([0xff, 0xfe, 0x00]).write(to: URL(filePath: directory + "/github.yaml"))
        try Data(repeating: 0x23, count: 1 << 20 + 1).write(to: URL(filePath: directory + "/discord.yaml"))
        try FileManager.default.createSymbolicLink(
            atPath: directory + "/google.yaml", withDestinationPath: "/dev/zero")
        let found = try catalog(
            [:], [instance("github"), instance("discord"), instance("google")])
        #expect(found.providers.isEmpty)
        #expect(found.problems.map(\.subject).suffix(3) == ["github", "discord", "google"])
        #expect(
            try found.manifests.map(\.id)
                == Fixture.manifests().filter { !["discord", "github", "google"].contains($0) })
    }

    @Test func `a file that is a link to one is read`() throws {
        try FileManager.default.createDirectory(atPath: directory + "/data", withIntermediateDirectories: true)
        try exampleManifest().write(toFile: directory + "/data/example", atomically: true, encoding: .utf8)
        try FileManager.default.createSymbolicLink(
            atPath: directory + "/example.yaml", withDestinationPath: "data/example")
        #expect(try catalog([:], [instance("example")]).providers.count == 1)
    }

    @Test func `a file with another name than its id takes nobody's place`() throws {
        let copy = exampleManifest(replacing: [("id: example", "id: github")])
        let catalog = try catalog(["github.old.yaml": copy, "my-github.yaml": copy], [instance("github")])
        #expect(try catalog.provider("github").name == "GitHub")
        #expect(
            catalog.problems.map(\.problem.message) == [
                "id: expected github.old, as the file is named", "id: expected my-github, as the file is named",
            ])
    }

    @Test func `a directory that is not there is an error`() {
        #expect(throws: ConfigurationErrors.self) {
            try ProviderCatalog(
                manifestsDirectory: "/nonexistent/providers.d", instances: [],
                publicURL: "https://accounts.example.com", syncInterval: nil)
        }
    }
}

@Suite struct FingerprintTests {
    private func fingerprint(_ change: (inout InstanceConfiguration) -> Void = { _ in }) throws -> String {
        var instance = InstanceConfiguration(id: "github", clientID: "EXAMPLE", clientSecret: Secret("EXAMPLE"))
        change(&instance)
        return try ProviderCatalog(files: [], instances: [instance], publicURL: "https://accounts.example.com")
            .provider("github").fingerprint
    }

    @Test func `a fingerprint moves with what a flow depends on`() throws {
        let before = try fingerprint()
        #expect(before.utf8.count == 64)
        #expect(try fingerprint() == before)
        #expect(try fingerprint { $0.clientID = "OTHER-EXAMPLE" } != before)
        #expect(try fingerprint { $0.scopes = ["read:user"] } != before)
        let site = try fingerprint { $0.variables = ["site": "https://a.example", "api": "https://b.example"] }
        let api = try fingerprint { $0.variables = ["site": "https://a.example", "api": "https://c.example"] }
        #expect(Set([before, site, api]).count == 3)
        #expect(try fingerprint { $0.clientAuthentication = "client_secret_basic" } != before)
        #expect(try fingerprint { $0.authorizationParameters = ["login": "x"] } != before)
    }

    @Test(arguments: [
        ("  refresh:", "  response: {path: [data]}\n  refresh:"),
        ("  refresh:", "  response: {member_names: {access_token: accessToken}}\n  refresh:"),
        ("  refresh:", "  response: {errors: {gone: invalid_grant}}\n  refresh:"),
        ("  refresh:", "  request: {headers: {X-A: b}}\n  refresh:"),
        ("  refresh:", "  request: {repeats_client_id: true}\n  refresh:"),
        ("/me\"}", "/me\", authorization: token}"), ("/me\"}", "/me\", headers: {X-A: b}}"),
        ("name: $.user.name", "email_verified: {path: $.user.v, accept: [string]}"),
    ]) func `a fingerprint moves with all that a manifest says`(_ old: String, _ new: String) throws {
        let before = try exampleProvider(exampleManifest()).fingerprint
        #expect(try exampleProvider(exampleManifest(replacing: [(old, new)])).fingerprint != before)
    }

    @Test func `a new secret and another schedule leave it`() throws {
        let before = try fingerprint()
        #expect(try fingerprint { $0.clientSecret = Secret("OTHER-EXAMPLE") } == before)
        #expect(try fingerprint { $0.sync.interval = .seconds(7200) } == before)
    }
}
