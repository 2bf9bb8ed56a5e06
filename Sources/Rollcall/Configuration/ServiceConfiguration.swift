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
    var operatorHost: String
    /// `nil`: `/metrics` is served beside everything else.
    var operatorPort: Int?
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
    /// `sync.strategy: adaptive`.
    var plansByChange: Bool
    var concurrency: Int
    var logLevel: String
    var logFormat: String
    var allowsCoreDumps: Bool
    /// Every setting with its value as a person may see it and the place that said it, for `config show`.
    var shown: [ShownSetting]

    struct ShownSetting: Sendable {
        var key: String
        /// Empty where there is none.
        var value: String
        var place: String
    }

    enum KeySource: Sendable {
        /// The environment or the service manager handed over the key itself.
        case text(Secret, place: String)
        /// Made on the first start where it does not exist.
        case file(String)
        /// systemd's, which shows it to the unit's group as well (mode 0440); never made here.
        case credential(String)
    }
}

/// What is wrong with the configuration: every fault found, each with its place and what to do.
struct ConfigurationError: Error, CustomStringConvertible {
    var problems: [String]
    var description: String { problems.joined(separator: "\n") }
}

extension ServiceConfiguration {
    /// - Parameters:
    ///   - file: the `--config` file; without one `./rollcall.yaml` is read where it exists.
    ///   - readsFile: `false` leaves every file alone.
    static func load(
        file: String? = nil, readsFile: Bool = true, flags: [String: Found] = [:],
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws(ConfigurationError) -> ServiceConfiguration {
        let path = file ?? environment["ROLLCALL_CONFIG"]
        var root: YAMLNode?
        var problems: [String] = []
        do {
            root = readsFile ? try parse(path: path, isOptional: path == nil) : nil
        } catch {
            problems = error.problems
        }
        let sources = ConfigurationSources(flags: flags, environment: environment, file: root)
        var reader = SettingReader(sources: sources)
        let configuration = reader.configuration(environment: environment)
        problems += reader.orderedFaults.map(\.description)
        guard problems.isEmpty else { throw ConfigurationError(problems: problems) }
        return configuration
    }

    /// Who said a setting, for complaints that come up once it is used.
    func place(of key: String) -> String { shown.first { $0.key == key }?.place ?? key }

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
