import Accounts
import Foundation
import Providers
import Testing

@testable import Rollcall

@Suite(.timeLimit(.minutes(10))) struct ConfigurationTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func load(
        _ yaml: String? = nil, flags: [String: Found] = [:], environment: [String: String] = [:]
    ) throws -> ServiceConfiguration {
        let file = try yaml.map { try folder.write("rollcall.yaml", $0) }
        return try ServiceConfiguration.load(
            file: file, readsFile: file != nil, flags: flags, environment: environment)
    }

    /// What is wrong, with the folder's name taken out of the places.
    private func problems(
        _ yaml: String? = nil, flags: [String: Found] = [:], environment: [String: String] = [:]
    ) throws -> [String] {
        do {
            _ = try load(yaml, flags: flags, environment: environment)
            return []
        } catch let error as ConfigurationError {
            return error.problems.map { $0.replacing(folder.path + "/", with: "") }
        }
    }

    private func place(_ configuration: ServiceConfiguration, _ key: String) -> String {
        configuration.place(of: key).replacing(folder.path + "/", with: "")
    }

    // MARK: Defaults and precedence

    @Test func `needs no configuration at all`() throws {
        let configuration = try load()
        #expect(configuration.publicURL == "http://127.0.0.1:8080")
        #expect(configuration.host == "127.0.0.1")
        #expect(configuration.port == 8080)
        #expect(configuration.applicationName == "this application")
        #expect(configuration.databasePath == "rollcall-data/rollcall.sqlite")
        #expect(configuration.returnTo == [] && configuration.trustedProxies == [] && configuration.instances.isEmpty)
        #expect(configuration.concurrency == 64 && configuration.syncInterval == nil)
        #expect(configuration.logLevel == "info" && configuration.logFormat == "text")
        guard case .file("rollcall-data/master.key") = configuration.keySource else {
            Issue.record("the key is not in the default file")
            return
        }
        #expect(configuration.shown.map(\.key) == Setting.all.map(\.key))
        #expect(configuration.shown.allSatisfy { $0.place == "default" })
    }

    @Test func `an empty file changes nothing`() throws {
        for text in ["", "\n", "# nothing\n", "http:\nproviders:\n", "http: {port: }\n"] {
            #expect(try load(text).port == 8080)
        }
    }

    @Test(arguments: [
        ("http.port", "http: {port: 3}", "2", "1"), ("database.path", "database: {path: c.db}", "b.db", "a.db"),
        ("public_url", "public_url: https://c.example", "https://b.example", "https://a.example"),
        ("sync.interval", "sync: {interval: 3h}", "2h", "1h"), ("log.format", "log: {format: text}", "json", "text"),
        ("log.level", "log: {level: error}", "debug", "trace"),
        (
            "application.return_to", "application: {return_to: [https://c.example]}", "https://b.example",
            "https://a.example"
        ),
    ])
    func `flags win over the environment, that over the file, and the file over the default`(
        key: String, yaml: String, variable: String, flag: String
    ) throws {
        let name = Setting.environmentName(of: key)
        let flags = [key: Found(values: [flag], place: "--flag")]
        func shown(_ configuration: ServiceConfiguration) -> [String] {
            [configuration.shown.first { $0.key == key }?.value ?? "", place(configuration, key)]
        }
        #expect(try shown(load(yaml, flags: flags, environment: [name: variable])) == [flag, "--flag"])
        #expect(try shown(load(yaml, environment: [name: variable])) == [variable, name])
        #expect(try place(load(yaml), key).hasPrefix("rollcall.yaml:1:"))
        #expect(try place(load(), key) == "default")
    }

    @Test func `a list comes from one source alone, and the environment spells it with commas`() throws {
        let yaml = "http: {trusted_proxies: [10.0.0.1, 10.0.0.2]}"
        #expect(try load(yaml).trustedProxies == ["10.0.0.1", "10.0.0.2"])
        let variable = ["ROLLCALL_HTTP_TRUSTED_PROXIES": "192.0.2.1, 2001:db8::/32"]
        #expect(try load(yaml, environment: variable).trustedProxies == ["192.0.2.1", "2001:db8::/32"])
        #expect(try load(yaml, environment: ["ROLLCALL_HTTP_TRUSTED_PROXIES": ""]).trustedProxies == [])
        #expect(try load("http: {trusted_proxies: 10.0.0.3}").trustedProxies == ["10.0.0.3"])
    }

    @Test func `variables of other programs are none of ours`() throws {
        #expect(try problems(environment: ["PATH": "/bin", "ROLLCAL_HTTP_PORT": "x", "HTTP_PORT": "x"]) == [])
    }

    @Test func `public_url follows host and port where nobody says it, and loses a slash at its end`() throws {
        #expect(try load("http: {port: 9000}").publicURL == "http://127.0.0.1:9000")
        #expect(try load("http: {host: 0.0.0.0}").publicURL == "http://127.0.0.1:8080")
        #expect(try load("http: {host: '::1'}").publicURL == "http://[::1]:8080")
        #expect(try load("public_url: https://accounts.example.com/").publicURL == "https://accounts.example.com")
        #expect(
            try problems("http: {port: 0}") == [
                "rollcall.yaml:1:14: http.port 0 lets the system choose, so public_url must be given as well"
            ])
        #expect(try load("http: {port: 0}\npublic_url: https://a.example").port == 0)
    }

    @Test func `an operator's port is none unless somebody says so, and another than the public one`() throws {
        #expect(try load("http: {port: 9000}").operatorPort == nil)
        let configured = try load("http: {operator_port: 9100, operator_host: 10.0.0.1}")
        #expect(configured.operatorPort == 9100 && configured.operatorHost == "10.0.0.1")
        #expect(
            try problems("http: {operator_port: 8080}") == [
                "rollcall.yaml:1:23: http.operator_port is http.port as well; choose another, or leave it out to have one port"
            ])
        #expect(try load("http: {operator_port: 8080, operator_host: 127.0.0.2}").operatorPort == 8080)
        #expect(
            try problems("http: {operator_port: 0}") == [
                "rollcall.yaml:1:23: http.operator_port must be a whole number from 1 to 65535"
            ])
    }

    // MARK: Files named by settings

    @Test func `a variable that ends in _FILE names the file that holds the value`() throws {
        let port = try folder.write("port", "9001\n")
        let secret = try folder.write("secret", "EXAMPLE-secret\r\n")
        let configuration = try load(environment: [
            "ROLLCALL_HTTP_PORT_FILE": port, "ROLLCALL_PROVIDERS_GITHUB_CLIENT_SECRET_FILE": secret,
            "ROLLCALL_PROVIDERS_IDP_VARIABLES_ISSUER_FILE": try folder.write("issuer", "https://idp.example"),
        ])
        #expect(configuration.port == 9001)
        #expect(configuration.place(of: "http.port") == "ROLLCALL_HTTP_PORT_FILE")
        #expect(configuration.instances.first { $0.id == "github" }?.clientSecret == Secret("EXAMPLE-secret"))
        #expect(configuration.instances.first { $0.id == "idp" }?.variables == ["issuer": "https://idp.example"])
    }

    @Test func `settings whose names end in _file are not mistaken for such variables`() throws {
        let key = folder.path("none.key")
        guard case .file(let path) = try load(environment: ["ROLLCALL_VAULT_KEY_FILE": key]).keySource else {
            Issue.record("the variable was read as something else")
            return
        }
        #expect(path == key)
    }

    @Test func `a value and the file for it are not given both`() throws {
        let file = try folder.write("port", "1")
        #expect(
            try problems(environment: ["ROLLCALL_HTTP_PORT": "2", "ROLLCALL_HTTP_PORT_FILE": file]) == [
                "ROLLCALL_HTTP_PORT_FILE: ROLLCALL_HTTP_PORT says the same; set one of them"
            ])
        let yaml = "providers: {github: {client_secret: EXAMPLE, client_secret_file: \(file)}}"
        #expect(
            try problems(yaml) == [
                "rollcall.yaml:1:66: providers.github.client_secret is given at rollcall.yaml:1:37 already; "
                    + "keep one of the two"
            ])
    }

    @Test func `security 80: a private key is read from a file that its owner alone may read`() throws {
        let file = try folder.write("client.pem", "EXAMPLE-key")
        let yaml = "providers: {github: {client_key_file: \(file), key_id: EXAMPLE-kid}}"
        let variable = "ROLLCALL_PROVIDERS_GITHUB_CLIENT_KEY_FILE"
        for mode in [0o644, 0o640, 0o604, 0o660] {
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: file)
            let wanted =
                "the file client.pem holds a private key, and others than its owner may read it; run 'chmod 600 client.pem'"
            #expect(try problems(yaml) == ["rollcall.yaml:1:39: \(wanted)"])
            #expect(try problems(environment: [variable: file]) == ["\(variable): \(wanted)"])
        }
        for mode in [0o600, 0o400] {
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: file)
            let configuration = try load(yaml)
            #expect(configuration.instances.first?.clientKey == Secret("EXAMPLE-key"))
            #expect(configuration.instances.first?.keyID == "EXAMPLE-kid")
            #expect(!"\(configuration)".contains("EXAMPLE-key"))
            #expect(try load(environment: [variable: file]).instances.first?.clientKey == Secret("EXAMPLE-key"))
        }
        let shown = try load(yaml).shown.first { $0.key == "providers.github.client_key" }
        #expect(shown?.value == "[redacted]")
    }

    @Test func `a file named by a setting that can't be read is a fault of that setting`() throws {
        let wanted = "can't be read; check that it exists, is UTF-8, and its mode"
        #expect(
            try problems(environment: ["ROLLCALL_HTTP_PORT_FILE": "/nonexistent/port"]) == [
                "ROLLCALL_HTTP_PORT_FILE: the file /nonexistent/port \(wanted)"
            ])
        #expect(
            try problems("providers: {github: {client_secret_file: /nonexistent/secret}}") == [
                "rollcall.yaml:1:42: the file /nonexistent/secret \(wanted)"
            ])
        #expect(
            try problems("outgoing: {ca_file: /nonexistent/ca.pem}") == [
                "rollcall.yaml:1:21: outgoing.ca_file names a file that can't be read"
            ])
    }

    // MARK: Wrong files

    @Test(arguments: [
        ("htpp: {port: 1}", "1:1: there is no setting 'htpp'; did you mean 'http'?"),
        ("http: {prot: 1}", "1:8: there is no setting 'http.prot'; did you mean 'port'?"),
        ("port: 1", "1:1: there is no setting 'port'; did you mean 'http.port'?"),
        ("vault: {bicycle: 1}", "1:9: there is no setting 'vault.bicycle'; known here: key, key_file"),
        (
            "providers: {github: {client_idd: x}}",
            "1:22: there is no setting 'providers.github.client_idd'; did you mean 'client_id'?"
        ),
        (
            "providers: {github: {sync: {intervall: 1h}}}",
            "1:29: there is no setting 'providers.github.sync.intervall'; did you mean 'interval'?"
        ),
        ("http: {port: banana}", "1:14: http.port must be a whole number from 0 to 65535"),
        ("http: {port: 65536}", "1:14: http.port must be a whole number from 0 to 65535"),
        ("http: {port: -1}", "1:14: http.port must be a whole number from 0 to 65535"),
        ("sync: {concurrency: 0}", "1:21: sync.concurrency must be a whole number from 1 to 1024"),
        (
            "sync: {interval: 5s}",
            "1:18: sync.interval must be a length of time from 10s to 30d, such as 90s, 15m, 6h or 1d"
        ),
        ("log: {format: xml}", "1:15: log.format must be one of text, json"),
        ("public_url: accounts.example.com", "1:13: public_url must be a URL such as https://accounts.example.com"),
        ("public_url: https://a.example?x=1", "1:13: public_url must be a URL without query or fragment"),
        (
            "application: {return_to: [https://app.example, 'javascript:alert(1)']}",
            "1:26: application.return_to: entry 2 must be an origin such as https://app.example.com"
        ),
        (
            "http: {trusted_proxies: [10.0.0.0/8, banana]}",
            "1:25: http.trusted_proxies: entry 2 must be an address or a network such as 10.0.0.0/8"
        ),
        ("outgoing: {proxy: 'ftp://x'}", "1:19: outgoing.proxy must be a URL such as http://proxy.example.com:3128"),
        (
            "providers: {github: {sync: {interval: soon}}}",
            "1:39: providers.github.sync.interval must be a length of time such as 15m or 6h"
        ),
        ("application: {name: ''}", "1:21: application.name is empty"),
        (
            "vault: {key: EXAMPLE}",
            "1:9: the master key does not belong in this file; use vault.key_file, or ROLLCALL_VAULT_KEY"
        ),
    ])
    func `says what is wrong with an entry, where, and what was expected`(yaml: String, expected: String) throws {
        #expect(try problems(yaml) == ["rollcall.yaml:" + expected])
    }

    @Test(arguments: [
        ("hello", "1:1: the file holds settings, such as 'http: {port: 8080}'"),
        ("[http]", "1:1: the file holds settings, such as 'http: {port: 8080}'"),
        ("http: hello", "1:7: http holds settings, such as 'http: {host: …}'"),
        ("sync:\n  - 1", "2:3: sync holds settings, such as 'sync: {interval: …}'"),
        ("log: {level: {a: b}}", "1:14: log.level takes one plain value, not a mapping"),
        ("application: {name: [x, y]}", "1:21: application.name takes one plain value, not a list"),
        ("providers_directory: {}", "1:22: providers_directory takes one plain value, not a mapping"),
        (
            "http: {trusted_proxies: {a: b}}",
            "1:25: http.trusted_proxies is a list of plain values, such as [first, second]"
        ),
        (
            "http: {trusted_proxies: [[a]]}",
            "1:25: http.trusted_proxies is a list of plain values, such as [first, second]"
        ),
        (
            "providers: [github]",
            "1:12: providers holds settings, such as 'providers: {github: {client_id: …, client_secret: …}}'"
        ),
        (
            "providers: {github: EXAMPLE}",
            "1:21: providers.github holds settings, such as 'github: {client_id: …, client_secret: …}'"
        ),
        (
            "providers: {github: {sync: 1h}}",
            "1:28: providers.github.sync holds settings, such as 'sync: {interval: 6h}'"
        ),
        (
            "providers: {oidc: {variables: [issuer]}}",
            "1:31: providers.oidc.variables holds settings, such as 'variables: {name: value}'"
        ),
        (
            "providers: {github: {client_id: [a, b]}}",
            "1:33: providers.github.client_id takes one plain value, not a list"
        ),
        ("providers: {a.b: {client_id: x}}", "1:13: a name below providers has no dots and is not empty"),
    ])
    func `a value of the wrong form is refused where it stands`(yaml: String, expected: String) throws {
        #expect(try problems(yaml) == ["rollcall.yaml:" + expected])
    }

    @Test func `a key that stands twice is refused at its second place`() throws {
        let found = try problems("http: {port: 1}\nlog: {level: info}\nhttp: {host: a}\n")
        #expect(found == ["rollcall.yaml:3:1: the key 'http' stands at 1:1 already; remove one of the two"])
    }

    @Test func `broken YAML is told with its place, beside what the environment has wrong`() throws {
        let found = try problems("http: {port: 1\nlog: ", environment: ["ROLLCALL_LOG_LEVEL": "loud"])
        #expect(found.count == 2)
        #expect(found.first?.hasPrefix("rollcall.yaml:") == true)
        #expect(found.last?.hasPrefix("ROLLCALL_LOG_LEVEL: log.level must be one of") == true)
    }

    @Test func `a file that is named must be there and must be text`() throws {
        let wanted = "the configuration file can't be read; check that it exists, is UTF-8, and its mode"
        #expect(throws: ConfigurationError.self) { try ServiceConfiguration.load(file: "/nonexistent.yaml") }
        do {
            _ = try ServiceConfiguration.load(file: folder.path, environment: [:])
            Issue.record("a folder was read")
        } catch { #expect(error.problems == ["\(folder.path): \(wanted)"]) }
        let bytes = try folder.write("latin1.yaml", Data([0x61, 0x3a, 0x20, 0xe9, 0x0a]))
        do {
            _ = try ServiceConfiguration.load(environment: ["ROLLCALL_CONFIG": bytes])
            Issue.record("what is not UTF-8 was read")
        } catch { #expect(error.problems == ["\(bytes): \(wanted)"]) }
    }

    @Test func `reports every fault at once, flags and variables first, then the file from top to bottom`() throws {
        let yaml = """
            http: {port: banana, prot: 1}
            log: {level: loud}
            providers:
              github: {client_idd: x, sync: {interval: soon}}
            sync: {concurrency: none}
            """
        let found = try problems(
            yaml, flags: ["database.path": Found(values: [""], place: "--database")],
            environment: ["ROLLCALL_LOG_FORMAT": "xml", "ROLLCALL_HTTP_PROT": "1"])
        let places = found.map { String($0.prefix { $0 != " " }) }
        #expect(
            places == [
                "ROLLCALL_HTTP_PROT:", "--database:", "ROLLCALL_LOG_FORMAT:", "rollcall.yaml:1:14:",
                "rollcall.yaml:1:22:", "rollcall.yaml:2:14:", "rollcall.yaml:4:12:", "rollcall.yaml:4:44:",
                "rollcall.yaml:5:21:",
            ])
    }

    // MARK: Wrong variables

    @Test(arguments: [
        ("ROLLCALL_HTTP_PROT", "there is no such setting; did you mean ROLLCALL_HTTP_PORT?"),
        ("ROLLCALL_SOMETHING_ELSE_ENTIRELY", "there is no such setting; 'rollcall config show' lists them all"),
        (
            "ROLLCALL_PROVIDERS_GITHUB_CLIENT_SECERT",
            "there is no such setting; did you mean ROLLCALL_PROVIDERS_GITHUB_CLIENT_SECRET?"
        ),
        (
            "ROLLCALL_PROVIDERS_MY_IDP_CLIENTID",
            "there is no such setting; did you mean ROLLCALL_PROVIDERS_MY_IDP_CLIENT_ID?"
        ),
        (
            "ROLLCALL_PROVIDERS_GITHUB_BICYCLE",
            "there is no such setting; after the provider's name comes one of CERTIFICATE_THUMBPRINT, CLIENT_AUTHENTICATION, CLIENT_ID, "
                + "CLIENT_KEY, CLIENT_SECRET, DPOP, KEY_ID, MANIFEST, RESOURCE, SCOPES, SIGNAL_PUBLIC_KEY, SIGNAL_SECRET, "
                + "SYNC_INTERVAL, SYNC_MAXIMUM_AGE, SYNC_MINIMUM_INTERVAL, "
                + "VARIABLES_…, AUTHORIZATION_PARAMETERS_…"
        ),
    ])
    func `an unknown variable is refused with the nearest known name`(name: String, expected: String) throws {
        #expect(try problems(environment: [name: "EXAMPLE"]) == ["\(name): \(expected)"])
    }

    @Test func `a wrong value in the environment is named by its variable`() throws {
        #expect(
            try problems(environment: ["ROLLCALL_HTTP_PORT": ""]) == [
                "ROLLCALL_HTTP_PORT: http.port must be a whole number from 0 to 65535"
            ])
        #expect(
            try problems(environment: ["ROLLCALL_PROVIDERS_GITHUB_SYNC_INTERVAL": "soon"]) == [
                "ROLLCALL_PROVIDERS_GITHUB_SYNC_INTERVAL: providers.github.sync.interval must be a length of time "
                    + "such as 15m or 6h"
            ])
    }

    // MARK: Provider instances

    @Test func `reads an instance with all that it may say`() throws {
        let configuration = try load(
            """
            providers:
              my-idp:
                manifest: oidc
                client_id: 1234567890123456789
                client_secret: EXAMPLE-secret
                client_authentication: client_secret_post
                scopes: [openid, email]
                variables: {issuer: https://idp.example.com, key_file: plain}
                authorization: {parameters: {prompt: consent}}
                sync: {interval: 1h, minimum_interval: 5m, maximum_age: 2d}
              discord:
            """)
        #expect(configuration.instances.map(\.id) == ["my-idp", "discord"])
        let idp = try #require(configuration.instances.first)
        #expect(idp.manifest == "oidc" && idp.clientID == "1234567890123456789")
        #expect(idp.clientSecret == Secret("EXAMPLE-secret") && idp.clientAuthentication == "client_secret_post")
        #expect(idp.scopes == ["openid", "email"])
        #expect(idp.variables == ["issuer": "https://idp.example.com", "key_file": "plain"])
        #expect(idp.authorizationParameters == ["prompt": "consent"])
        #expect(idp.sync.interval == .seconds(3600) && idp.sync.minimumInterval == .seconds(300))
        #expect(idp.sync.maximumAge == .seconds(172_800))
        #expect(idp.place.map { "\($0)" }?.hasSuffix("rollcall.yaml:2:3") == true)
        #expect(configuration.instances.last?.clientID == nil)
    }

    @Test func `the environment adds to an instance of the file, whose hyphens it can't spell`() throws {
        let configuration = try load(
            "providers: {my-idp: {manifest: oidc, client_id: file}}",
            environment: [
                "ROLLCALL_PROVIDERS_MY_IDP_CLIENT_ID": "variable",
                "ROLLCALL_PROVIDERS_MY_IDP_SCOPES": "openid email,profile",
                "ROLLCALL_PROVIDERS_MY_IDP_VARIABLES_ISSUER": "https://idp.example.com",
                "ROLLCALL_PROVIDERS_MY_IDP_AUTHORIZATION_PARAMETERS_PROMPT": "consent",
                "ROLLCALL_PROVIDERS_MY_IDP_SYNC_MINIMUM_INTERVAL": "1m",
            ])
        let idp = try #require(configuration.instances.first)
        #expect(configuration.instances.count == 1 && idp.id == "my-idp")
        #expect(idp.clientID == "variable" && idp.manifest == "oidc")
        #expect(idp.scopes == ["openid", "email", "profile"])
        #expect(idp.variables == ["issuer": "https://idp.example.com"])
        #expect(idp.authorizationParameters == ["prompt": "consent"])
        #expect(idp.sync.minimumInterval == .seconds(60))
    }

    @Test func `the environment alone makes an instance`() throws {
        let configuration = try load(environment: [
            "ROLLCALL_PROVIDERS_GITHUB_CLIENT_ID": "id", "ROLLCALL_PROVIDERS_GITHUB_CLIENT_SECRET": "EXAMPLE",
            "ROLLCALL_PROVIDERS_SECOND_IDP_MANIFEST": "oidc",
        ])
        #expect(configuration.instances.map(\.id) == ["github", "second-idp"])
        #expect(configuration.instances[1].manifest == "oidc")
    }

    // MARK: Secrets

    @Test func `a secret shows neither in what is printed nor in what is complained of`() throws {
        let secret = "EXAMPLE-hunter2"
        let environment = [
            "ROLLCALL_VAULT_KEY": secret, "ROLLCALL_OUTGOING_PROXY": "http://user:\(secret)@proxy.example",
            "ROLLCALL_PROVIDERS_GOOGLE_CLIENT_SECRET": secret,
        ]
        let configuration = try load("providers: {github: {client_secret: \(secret)}}", environment: environment)
        for key in ["vault.key", "outgoing.proxy", "providers.google.client_secret", "providers.github.client_secret"] {
            #expect(configuration.shown.first { $0.key == key }?.value == "[redacted]")
        }
        #expect(!"\(configuration.shown)".contains(secret) && !"\(configuration)".contains(secret))

        let wrong = try problems(
            """
            public_url: https://user:\(secret)@accounts.example.com
            application: {return_to: ['https://user:\(secret)@app.example.com']}
            vault: {key: \(secret)}
            providers: {github: {client_secret: [\(secret)], client_secert: \(secret), sync: {interval: \(secret)}}}
            outgoing: {proxy: \(secret)}
            http: {port: \(secret), trusted_proxies: [\(secret)]}
            log: {level: \(secret)}
            """, environment: ["ROLLCALL_VAULT_KEYY": secret, "ROLLCALL_SYNC_INTERVAL": secret])
        #expect(wrong.count >= 11)
        #expect(!wrong.joined().contains("hunter2"))
        #expect(throws: ConfigurationError.self) { try configuration.keyRing(random: SystemRandom()) }
        do { _ = try configuration.keyRing(random: SystemRandom()) } catch { #expect(!"\(error)".contains("hunter2")) }
    }

    @Test func `every setting has words of help and a name in the environment`() {
        for setting in Setting.all {
            #expect(!setting.help.isEmpty)
            #expect(setting.environmentName.wholeMatch(of: /ROLLCALL_[A-Z_]+/) != nil)
        }
        #expect(Set(Setting.all.map(\.environmentName)).count == Setting.all.count)
    }
}
