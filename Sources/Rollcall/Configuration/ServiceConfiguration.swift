import Accounts
import Foundation
import Providers
import YAML

/// Everything the service is told from outside, read once. Flags win over environment, environment over file, file
/// over defaults.
struct ServiceConfiguration: Sendable {
    var publicURL: String
    var applicationName: String
    var returnTo: [String]
    var host: String
    var port: Int
    var trustedProxies: [String]
    var databasePath: String
    var keySource: KeySource
    var providersDirectory: String?
    var instances: [InstanceConfiguration]
    var caFile: String?
    var proxy: Secret?
    var allowedPrivateHosts: [String]
    /// `nil`: each manifest's own.
    var syncInterval: Duration?
    var concurrency: Int
    var logLevel: String
    var logFormat: String
    /// Every setting with its value as a person may see it and the place that said it, for `config show`.
    var shown: [(key: String, value: String, place: String)]

    enum KeySource: Sendable {
        /// The environment or the service manager handed over the key itself.
        case text(Secret, place: String)
        /// Made on the first start where it does not exist.
        case file(String)
    }
}

/// What is wrong with the configuration: every fault found, each with its place and what to do.
struct ConfigurationError: Error, CustomStringConvertible {
    var problems: [String]
    var description: String { problems.joined(separator: "\n") }
}

extension ServiceConfiguration {
    /// - Parameter file: the `--config` file; without one `./rollcall.yaml` is read where it exists.
    static func load(
        file: String? = nil, flags: [String: Found] = [:],
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws(ConfigurationError) -> ServiceConfiguration {
        let path = file ?? environment["ROLLCALL_CONFIG"]
        let sources = ConfigurationSources(
            flags: flags, environment: environment, file: try parse(path: path, isOptional: path == nil))
        var reader = SettingReader(sources: sources)
        let configuration = reader.configuration(environment: environment)
        guard reader.problems.isEmpty else { throw ConfigurationError(problems: reader.problems) }
        return configuration
    }

    private static func parse(path: String?, isOptional: Bool) throws(ConfigurationError) -> YAMLNode? {
        let path = path ?? "rollcall.yaml"
        if isOptional, !FileManager.default.fileExists(atPath: path) { return nil }
        let text: String
        do {
            text = try String(contentsOfFile: path, encoding: .utf8)
        } catch {
            throw ConfigurationError(problems: [
                "\(path): the configuration file can't be read; check that it exists, is UTF-8, and its mode"
            ])
        }
        do {
            return try YAMLNode(parsing: text, file: path)
        } catch {
            throw ConfigurationError(problems: ["\(error)"])
        }
    }
}

/// Reads settings out of the sources, collecting what is wrong instead of stopping at the first fault.
private struct SettingReader {
    let sources: ConfigurationSources
    var problems: [String]
    var shown: [(key: String, value: String, place: String)] = []

    init(sources: ConfigurationSources) {
        self.sources = sources
        problems = sources.problems
    }

    mutating func configuration(environment: [String: String]) -> ServiceConfiguration {
        let host = text("http.host") ?? "127.0.0.1"
        let port = integer("http.port")
        let publicURL = self.publicURL(host: host, port: port)
        let key = text("vault.key")
        let keyFile = text("vault.key_file") ?? ""
        var keySource = ServiceConfiguration.KeySource.file(keyFile)
        if let key {
            keySource = .text(Secret(key), place: sources.find("vault.key")?.place ?? "vault.key")
        } else if let directory = environment["CREDENTIALS_DIRECTORY"], sources.find("vault.key_file") == nil {
            // systemd's LoadCredential=rollcall-vault-key:… (systemd.exec(5)).
            let path = directory + "/rollcall-vault-key"
            if FileManager.default.fileExists(atPath: path) { keySource = .file(path) }
        }
        return ServiceConfiguration(
            publicURL: publicURL,
            applicationName: text("application.name") ?? "", returnTo: origins("application.return_to"),
            host: host, port: port, trustedProxies: list("http.trusted_proxies"),
            databasePath: text("database.path") ?? "", keySource: keySource,
            providersDirectory: text("providers_directory"), instances: instances(),
            caFile: text("outgoing.ca_file"), proxy: text("outgoing.proxy").map { Secret($0) },
            allowedPrivateHosts: list("outgoing.allowed_private_hosts"),
            syncInterval: text("sync.interval").flatMap { Duration(configured: $0) },
            concurrency: integer("sync.concurrency"), logLevel: text("log.level") ?? "info",
            logFormat: text("log.format") ?? "text", shown: shown)
    }

    /// The value of a setting that passed its check, or its fallback.
    private mutating func text(_ key: String) -> String? {
        guard let setting = Setting.named(key) else { return nil }
        guard let found = sources.find(key) else {
            shown.append((key, setting.fallback ?? "", "default"))
            return setting.fallback
        }
        shown.append((key, setting.isSecret ? "[redacted]" : found.text, found.place))
        if let fault = Self.fault(in: found.text, of: setting) {
            problems.append("\(found.place): \(key) \(fault)")
            return setting.fallback
        }
        return found.text
    }

    private mutating func integer(_ key: String) -> Int {
        // `text` let nothing through that is not a number in range.
        text(key).flatMap { Int($0) } ?? 0
    }

    private mutating func list(_ key: String) -> [String] {
        guard let found = sources.find(key) else {
            shown.append((key, "", "default"))
            return []
        }
        shown.append((key, found.text, found.place))
        return found.values.flatMap { $0.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) } }
            .filter { !$0.isEmpty }
    }

    private mutating func origins(_ key: String) -> [String] {
        let values = list(key)
        let place = sources.find(key)?.place ?? key
        for value in values {
            guard let url = URL(string: value), let scheme = url.scheme, let host = url.host(), !host.isEmpty,
                scheme == "https" || scheme == "http", url.user() == nil, url.query() == nil, url.fragment() == nil
            else {
                problems.append("\(place): \(key) holds '\(value)'; expected an origin such as https://app.example.com")
                continue
            }
        }
        return values
    }

    private mutating func publicURL(host: String, port: Int) -> String {
        guard var value = text("public_url") else {
            let shownHost = host.contains(":") ? "[\(host)]" : host
            let value = "http://\(shownHost == "0.0.0.0" ? "127.0.0.1" : shownHost):\(port)"
            if let index = shown.firstIndex(where: { $0.key == "public_url" }) {
                shown[index].value = value
            }
            return value
        }
        while value.hasSuffix("/") { value.removeLast() }
        return value
    }

    static func fault(in text: String, of setting: Setting) -> String? {
        switch setting.kind {
        case .text, .list: return text.isEmpty ? "is empty" : nil
        case .url:
            guard let url = URL(string: text), url.scheme == "https" || url.scheme == "http",
                let host = url.host(), !host.isEmpty
            else { return "must be a URL such as https://accounts.example.com" }
            if url.query() != nil || url.fragment() != nil { return "must be a URL without query or fragment" }
            if setting.key == "public_url", url.user() != nil { return "must not hold user information" }
            return nil
        case .integer(let range):
            guard let number = Int(text), range.contains(number) else {
                return "must be a whole number from \(range.lowerBound) to \(range.upperBound)"
            }
            return nil
        case .duration(let range):
            guard let duration = Duration(configured: text), range.contains(duration) else {
                return "must be a length of time from 10s to 30d, such as 90s, 15m, 6h or 1d"
            }
            return nil
        case .choice(let choices):
            return choices.contains(text) ? nil : "must be one of \(choices.joined(separator: ", "))"
        }
    }
}

// MARK: - Provider instances

extension SettingReader {
    private mutating func instances() -> [InstanceConfiguration] {
        var instances: [InstanceConfiguration] = []
        for name in sources.instanceNames {
            let keys = sources.instanceKeys[name] ?? []
            func find(_ key: String) -> Found? { sources.find("providers.\(name).\(key)") }
            func named(below prefix: String) -> [String: String] {
                var named: [String: String] = [:]
                for key in keys where key.hasPrefix(prefix + ".") {
                    named[String(key.dropFirst(prefix.count + 1))] = find(key)?.text
                }
                return named
            }
            var durations: [String: Duration] = [:]
            for key in Setting.instanceSyncKeys {
                guard let found = find("sync." + key) else { continue }
                guard let duration = Duration(configured: found.text) else {
                    problems.append("\(found.place): must be a length of time such as 15m or 6h")
                    continue
                }
                durations[key] = duration
            }
            for key in keys.sorted() {
                guard let found = find(key) else { continue }
                let value = key == "client_secret" ? "[redacted]" : found.text
                shown.append(("providers.\(name).\(key)", value, found.place))
            }
            if keys.isEmpty { shown.append(("providers.\(name)", "", "configuration file")) }
            let scopes = find("scopes").map { found in
                found.values.flatMap { $0.split { $0 == "," || $0 == " " }.map(String.init) }
            }
            instances.append(
                InstanceConfiguration(
                    id: name, manifest: find("manifest")?.text, variables: named(below: "variables"),
                    clientID: find("client_id")?.text, clientSecret: find("client_secret").map { Secret($0.text) },
                    scopes: scopes, clientAuthentication: find("client_authentication")?.text,
                    authorizationParameters: named(below: "authorization.parameters"),
                    sync: InstanceConfiguration.SyncOverrides(
                        interval: durations["interval"], minimumInterval: durations["minimum_interval"],
                        maximumAge: durations["maximum_age"]),
                    place: sources.instancePlaces[name]))
        }
        return instances
    }
}
