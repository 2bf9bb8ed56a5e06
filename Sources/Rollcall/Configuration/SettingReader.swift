import Accounts
import Foundation
import Providers
import Web
import YAML

/// Reads settings out of the sources, collecting what is wrong instead of stopping at the first fault.
struct SettingReader {
    let sources: ConfigurationSources
    private(set) var faults: [ConfigurationFault]
    private var shown: [ServiceConfiguration.ShownSetting] = []

    init(sources: ConfigurationSources) {
        self.sources = sources
        faults = sources.faults
    }

    /// Flags and variables first, then the file from top to bottom.
    var orderedFaults: [ConfigurationFault] {
        faults.enumerated().sorted { left, right in
            let (a, b) = (left.element.place.position, right.element.place.position)
            return (a?.line ?? 0, a?.column ?? 0, left.offset) < (b?.line ?? 0, b?.column ?? 0, right.offset)
        }.map(\.element)
    }

    private mutating func report(_ place: Place, _ message: String) {
        faults.append(ConfigurationFault(place: place, message: message))
    }

    private mutating func show(_ key: String, _ value: String, _ place: String) {
        shown.append(ServiceConfiguration.ShownSetting(key: key, value: value, place: place))
    }

    mutating func configuration(environment: [String: String]) -> ServiceConfiguration {
        let host = text("http.host") ?? "127.0.0.1"
        let port = integer("http.port")
        let publicURL = self.publicURL(host: host, port: port)
        let key = text("vault.key")
        let keyFile = text("vault.key_file") ?? ""
        var keySource = ServiceConfiguration.KeySource.file(keyFile)
        if let key {
            keySource = .text(Secret(key), place: sources.find("vault.key")?.place.description ?? "vault.key")
        } else if let directory = environment["CREDENTIALS_DIRECTORY"], sources.find("vault.key_file") == nil {
            // systemd's LoadCredential=rollcall-vault-key:… (systemd.exec(5)).
            let path = directory + "/rollcall-vault-key"
            if FileManager.default.fileExists(atPath: path) { keySource = .credential(path) }
        }
        var configuration = ServiceConfiguration(
            publicURL: publicURL,
            applicationName: text("application.name") ?? "", returnTo: origins("application.return_to"),
            host: host, port: port, operatorHost: text("http.operator_host") ?? "127.0.0.1",
            operatorPort: operatorPort(beside: port, host), trustedProxies: networks("http.trusted_proxies"),
            databasePath: text("database.path") ?? "", keySource: keySource,
            providersDirectory: text("providers_directory"), instances: instances(),
            caFile: text("outgoing.ca_file"), proxy: text("outgoing.proxy").map { Secret($0) },
            allowedPrivateHosts: list("outgoing.allowed_private_hosts"),
            syncInterval: text("sync.interval").flatMap { Duration(configured: $0) },
            plansByChange: text("sync.strategy") != "fixed", concurrency: integer("sync.concurrency"),
            logLevel: text("log.level") ?? "info",
            logFormat: text("log.format") ?? "text", allowsCoreDumps: text("core_dumps") == "on", shown: [])
        // In the order in which the settings are documented, providers last.
        let order = Setting.all.map(\.key)
        configuration.shown = shown.enumerated().sorted { left, right in
            let (a, b) = (order.firstIndex(of: left.element.key), order.firstIndex(of: right.element.key))
            return (a ?? order.count, left.offset) < (b ?? order.count, right.offset)
        }.map(\.element)
        return configuration
    }

    /// The value of a setting that passed its check, or its fallback.
    private mutating func text(_ key: String) -> String? {
        guard let setting = Setting.named(key) else { return nil }
        guard let found = sources.find(key) else {
            show(key, setting.fallback ?? "", "default")
            return setting.fallback
        }
        show(key, setting.isSecret ? "[redacted]" : found.text, found.place.description)
        if let fault = Self.fault(in: found.text, of: setting) {
            report(found.place, "\(key) \(fault)")
            return setting.fallback
        }
        return found.text
    }

    private mutating func integer(_ key: String) -> Int {
        // `text` let nothing through that is not a number in range.
        text(key).flatMap { Int($0) } ?? 0
    }

    private mutating func operatorPort(beside port: Int, _ host: String) -> Int? {
        guard let operators = text("http.operator_port").flatMap({ Int($0) }) else { return nil }
        if operators == port, text("http.operator_host") == host, let place = sources.find("http.operator_port")?.place
        {
            report(place, "http.operator_port is http.port as well; choose another, or leave it out to have one port")
        }
        return operators
    }

    private mutating func list(_ key: String) -> [String] {
        guard let found = sources.find(key) else {
            show(key, "", "default")
            return []
        }
        show(key, found.text, found.place.description)
        return found.values.flatMap { $0.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) } }
            .filter { !$0.isEmpty }
    }

    /// Each entry of a list is checked; a wrong one is named by its number, for it may hold a password.
    private mutating func list(_ key: String, of expected: String, where isGood: (String) -> Bool) -> [String] {
        let values = list(key)
        for (index, value) in values.enumerated() where !isGood(value) {
            report(sources.find(key)?.place ?? "\(key)", "\(key): entry \(index + 1) must be \(expected)")
        }
        return values
    }

    private mutating func origins(_ key: String) -> [String] {
        list(key, of: "an origin such as https://app.example.com") { value in
            guard let url = URL(string: value), let host = url.host(), !host.isEmpty else { return false }
            return (url.scheme == "https" || url.scheme == "http") && url.user() == nil && url.query() == nil
                && url.fragment() == nil
        }
    }

    private mutating func networks(_ key: String) -> [String] {
        list(key, of: "an address or a network such as 10.0.0.0/8") { value in
            do throws(TrustedProxies.NotABlock) { _ = try TrustedProxies([value]) } catch { return false }
            return true
        }
    }

    private mutating func publicURL(host: String, port: Int) -> String {
        guard var value = text("public_url") else {
            let shownHost = host.contains(":") ? "[\(host)]" : host
            let value = "http://\(["0.0.0.0", "[::]"].contains(shownHost) ? "127.0.0.1" : shownHost):\(port)"
            if port == 0, let place = sources.find("http.port")?.place, Int(sources.find("http.port")?.text ?? "") == 0
            {
                report(place, "http.port 0 lets the system choose, so public_url must be given as well")
            }
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
        case .file:
            return FileManager.default.isReadableFile(atPath: text) ? nil : "names a file that can't be read"
        case .proxyURL:
            guard let url = URL(string: text), ["http", "https", "socks5h"].contains(url.scheme ?? ""),
                let host = url.host(), !host.isEmpty
            else { return "must be a URL such as http://proxy.example.com:3128" }
            return nil
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
                    report(found.place, "providers.\(name).sync.\(key) must be a length of time such as 15m or 6h")
                    continue
                }
                durations[key] = duration
            }
            for key in keys.sorted() {
                guard let found = find(key) else { continue }
                let value = Setting.instanceSecretKeys.contains(key) ? "[redacted]" : found.text
                show("providers.\(name).\(key)", value, found.place.description)
            }
            if keys.isEmpty { show("providers.\(name)", "", sources.instancePlaces[name]?.description ?? "") }
            let scopes = find("scopes").map { found in
                found.values.flatMap { $0.split { $0 == "," || $0 == " " }.map(String.init) }
            }
            let resources = find("resource").map { found in
                found.values.flatMap { $0.split { $0 == "," || $0 == " " }.map(String.init) }
            }
            instances.append(
                InstanceConfiguration(
                    id: name, manifest: find("manifest")?.text, variables: named(below: "variables"),
                    clientID: find("client_id")?.text, clientSecret: find("client_secret").map { Secret($0.text) },
                    clientKey: find("client_key").map { Secret($0.text) }, keyID: find("key_id")?.text,
                    certificateThumbprint: find("certificate_thumbprint")?.text,
                    signalSecret: find("signal_secret").map { Secret($0.text) },
                    signalPublicKey: find("signal_public_key")?.text, scopes: scopes, resources: resources,
                    clientAuthentication: find("client_authentication")?.text,
                    dpop: find("dpop")?.text,
                    authorizationParameters: named(below: "authorization.parameters"),
                    sync: InstanceConfiguration.SyncOverrides(
                        interval: durations["interval"], minimumInterval: durations["minimum_interval"],
                        maximumAge: durations["maximum_age"]),
                    place: sources.instancePlaces[name]))
        }
        return instances
    }
}
