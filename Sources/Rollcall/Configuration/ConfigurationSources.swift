import Configuration
import Foundation
import YAML

/// Where a value came from, as a person would name it: `rollcall.yaml:3:9`, `ROLLCALL_HTTP_PORT`, `--port`.
struct Place: Sendable, CustomStringConvertible, ExpressibleByStringInterpolation {
    var description: String
    /// Where in the file, for a value that stands there.
    var position: SourcePlace?

    init(stringLiteral text: String) { description = text }
    init(_ position: SourcePlace) {
        description = "\(position)"
        self.position = position
    }
}

/// A value that somebody gave, and who.
struct Found: Sendable {
    /// A scalar is a list of one.
    var values: [String]
    var place: Place

    var text: String { values.joined(separator: ",") }
}

/// One thing that is wrong, and where. The message never holds a value that may be a secret.
struct ConfigurationFault: Sendable, CustomStringConvertible {
    var place: Place
    var message: String

    var description: String { "\(place): \(message)" }
}

/// Flags over environment over file: the first source that has a key decides. Nothing here knows what a key means,
/// only which keys there are.
struct ConfigurationSources: Sendable {
    private struct Layer: Sendable {
        var reader: ConfigReader
        var places: [String: Place]
        var lists: [String: [String]] = [:]
    }

    private var layers: [Layer] = []
    /// Instance names below `providers`, in the order in which they stand in the file, then those of the environment.
    private(set) var instanceNames: [String] = []
    /// The keys of one instance, such as `variables.site`.
    private(set) var instanceKeys: [String: [String]] = [:]
    /// Where the file names an instance.
    private(set) var instancePlaces: [String: SourcePlace] = [:]
    private(set) var faults: [ConfigurationFault] = []

    /// - Parameters:
    ///   - flags: by key, each with the flag that said it.
    ///   - environment: every variable of the process; only those that begin with `ROLLCALL_` are looked at.
    ///   - file: the parsed configuration file, where there is one.
    init(flags: [String: Found], environment: [String: String], file: YAMLNode?) {
        addFlags(flags)
        var fileLayer = Layer(reader: ConfigReader(provider: InMemoryProvider(values: [:])), places: [:])
        var fileValues: [AbsoluteConfigKey: ConfigValue] = [:]
        if let file { walk(file, path: [], into: &fileLayer, values: &fileValues) }
        fileLayer.reader = ConfigReader(provider: InMemoryProvider(name: "file", values: fileValues))
        addEnvironment(environment)
        layers.append(fileLayer)
    }

    func find(_ key: String) -> Found? {
        for layer in layers {
            guard let place = layer.places[key] else { continue }
            if let list = layer.lists[key] { return Found(values: list, place: place) }
            if let text = layer.reader.string(forKey: ConfigKey(key.split(separator: ".").map(String.init))) {
                return Found(values: [text], place: place)
            }
        }
        return nil
    }

    private mutating func addFlags(_ flags: [String: Found]) {
        var values: [AbsoluteConfigKey: ConfigValue] = [:]
        for (key, found) in flags {
            values[Self.absolute(key)] = ConfigValue(.string(found.text), isSecret: true)
        }
        layers.append(
            Layer(
                reader: ConfigReader(provider: InMemoryProvider(name: "flags", values: values)),
                places: flags.mapValues(\.place)))
    }

    private mutating func report(_ place: Place, _ message: String) {
        faults.append(ConfigurationFault(place: place, message: message))
    }

    private static func absolute(_ key: String) -> AbsoluteConfigKey {
        AbsoluteConfigKey(key.split(separator: ".").map(String.init))
    }
}

// MARK: - Environment

extension ConfigurationSources {
    private static let prefix = "ROLLCALL_"
    private static let providerPrefix = "ROLLCALL_PROVIDERS_"
    /// Read by scripts and the command line, not settings.
    private static let otherVariables: Set<String> = ["ROLLCALL_CONFIG"]
    private static let instanceSuffixes: [(suffix: String, key: String)] = [
        ("_CLIENT_AUTHENTICATION", "client_authentication"), ("_CLIENT_SECRET", "client_secret"),
        ("_CLIENT_ID", "client_id"), ("_MANIFEST", "manifest"), ("_SCOPES", "scopes"),
        ("_SYNC_MINIMUM_INTERVAL", "sync.minimum_interval"), ("_SYNC_MAXIMUM_AGE", "sync.maximum_age"),
        ("_SYNC_INTERVAL", "sync.interval"),
    ]
    private static let instanceInfixes: [(infix: String, key: String)] = [
        ("_VARIABLES_", "variables."), ("_AUTHORIZATION_PARAMETERS_", "authorization.parameters."),
    ]

    private mutating func addEnvironment(_ environment: [String: String]) {
        var values: [AbsoluteConfigKey: ConfigValue] = [:]
        var places: [String: Place] = [:]
        for (name, given) in environment.sorted(by: { $0.key < $1.key })
        where name.hasPrefix(Self.prefix) && !Self.otherVariables.contains(name) {
            let place = Place(stringLiteral: name)
            var value = given
            var found = settingKey(of: name)
            if found == nil, name.hasSuffix("_FILE") {
                found = settingKey(of: String(name.dropLast("_FILE".count)))
                if found != nil {
                    do {
                        value = try Self.contents(ofFile: given)
                    } catch {
                        report(place, "\(error)")
                        continue
                    }
                }
            }
            guard let key = found else {
                report(place, "there is no such setting\(Self.hint(forVariable: name))")
                continue
            }
            if let earlier = places[key] {
                report(place, "\(earlier) says the same; set one of them")
                continue
            }
            values[Self.absolute(key)] = ConfigValue(.string(value), isSecret: true)
            places[key] = place
        }
        layers.append(
            Layer(
                reader: ConfigReader(provider: InMemoryProvider(name: "environment", values: values)), places: places))
    }

    private mutating func settingKey(of name: String) -> String? {
        if let setting = Setting.all.first(where: { $0.environmentName == name }) { return setting.key }
        guard name.hasPrefix(Self.providerPrefix) else { return nil }
        let rest = String(name.dropFirst(Self.providerPrefix.count))
        for (infix, key) in Self.instanceInfixes {
            guard let range = rest.range(of: infix), range.lowerBound > rest.startIndex else { continue }
            let variable = rest[range.upperBound...].lowercased()
            // The file that holds the value: the caller takes the ending off and asks again.
            guard !variable.isEmpty, !variable.hasSuffix("_file") else { return nil }
            return instanceKey(String(rest[..<range.lowerBound]), key + variable)
        }
        for (suffix, key) in Self.instanceSuffixes where rest.hasSuffix(suffix) && rest.count > suffix.count {
            return instanceKey(String(rest.dropLast(suffix.count)), key)
        }
        return nil
    }

    private static func hint(forVariable name: String) -> String {
        guard name.hasPrefix(providerPrefix) else {
            return suggestion(for: name, among: Setting.all.map(\.environmentName)).map { "; did you mean \($0)?" }
                ?? "; 'rollcall config show' lists them all"
        }
        let known = instanceSuffixes.map(\.suffix)
        for index in name.indices.dropFirst(providerPrefix.count + 1) where name[index] == "_" {
            let tail = String(name[index...])
            if let near = suggestion(for: tail, among: known, distanceMax: 2) {
                return "; did you mean \(name[..<index] + near)?"
            }
        }
        let endings = known.sorted().map { String($0.dropFirst()) } + ["VARIABLES_…", "AUTHORIZATION_PARAMETERS_…"]
        return "; after the provider's name comes one of \(endings.joined(separator: ", "))"
    }

    /// The environment can't spell hyphens: `MY_IDP` is the instance `my-idp`, or whichever the file calls so.
    private mutating func instanceKey(_ spelled: String, _ key: String) -> String {
        let instance =
            instanceNames.first { $0.uppercased().map { $0 == "-" ? "_" : $0 } == Array(spelled) }
            ?? spelled.lowercased().replacing("_", with: "-")
        note(instance: instance, key: key)
        return "providers.\(instance).\(key)"
    }

    private mutating func note(instance: String, key: String) {
        if !instanceNames.contains(instance) { instanceNames.append(instance) }
        if !instanceKeys[instance, default: []].contains(key) { instanceKeys[instance, default: []].append(key) }
    }

    static func contents(ofFile path: String) throws(ConfigurationError) -> String {
        do {
            let text = try String(contentsOfFile: path, encoding: .utf8)
            return text.trimmingCharacters(in: .whitespacesAndNewlines)
        } catch {
            throw ConfigurationError(problems: [
                "the file \(path) can't be read; check that it exists, is UTF-8, and its mode"
            ])
        }
    }
}

// MARK: - File

extension ConfigurationSources {
    /// What may stand at a path of the file.
    private enum Shape {
        case section([String])
        /// Any names, each a path of its own.
        case names
        case value
        case list
    }

    private static func shape(of path: [String]) -> Shape? {
        if path.first == "providers" { return instanceShape(of: Array(path.dropFirst())) }
        let key = path.joined(separator: ".")
        if let setting = Setting.named(key) {
            if case .list = setting.kind { return .list }
            return .value
        }
        let prefix = path.isEmpty ? "" : key + "."
        let below = Setting.all.map(\.key).filter { $0.hasPrefix(prefix) }
            .map { String($0.dropFirst(prefix.count).prefix { $0 != "." }) }
        if below.isEmpty { return nil }
        return .section(below + (path.isEmpty ? ["providers"] : []))
    }

    /// Below `providers`.
    private static func instanceShape(of path: [String]) -> Shape? {
        switch (path.count, path.count > 1 ? path[1] : "") {
        case (0, _): .names
        case (1, _): .section(Setting.instanceKeys + Setting.instanceFileKeys)
        case (2, "sync"): .section(Setting.instanceSyncKeys)
        case (2, "authorization"): .section(["parameters"])
        case (2, "variables"): .names
        case (2, "scopes"): .list
        case (2, let key): (Setting.instanceKeys + Setting.instanceFileKeys).contains(key) ? .value : nil
        case (3, "sync"): Setting.instanceSyncKeys.contains(path[2]) ? .value : nil
        case (3, "variables"): .value
        case (3, "authorization"): path[2] == "parameters" ? .names : nil
        case (4, "authorization"): .value
        default: nil
        }
    }

    private mutating func walk(
        _ node: YAMLNode, path: [String], into layer: inout Layer, values: inout [AbsoluteConfigKey: ConfigValue]
    ) {
        let key = path.joined(separator: ".")
        switch Self.shape(of: path) {
        case nil: return
        case .value, .list: store(node, path: path, into: &layer, values: &values)
        case .section, .names:
            if node.isNull { return }
            guard let members = node.mapping else {
                let example =
                    path.isEmpty ? "http: {port: 8080}" : "\(path.last ?? ""): {\(Self.example(below: path))}"
                report(Place(node.place), "\(key.isEmpty ? "the file" : key) holds settings, such as '\(example)'")
                return
            }
            for (keyNode, value) in members {
                let name = keyNode.string ?? ""
                let path = path + [name]
                guard accepts(path, at: keyNode) else { continue }
                if path.count == 2, path[0] == "providers" {
                    if !instanceNames.contains(name) { instanceNames.append(name) }
                    instancePlaces[name] = keyNode.place
                }
                walk(value, path: path, into: &layer, values: &values)
            }
        }
    }

    private static func example(below path: [String]) -> String {
        switch path {
        case ["providers"]: "github: {client_id: …, client_secret: …}"
        case let path where path.first == "providers" && path.count == 2: "client_id: …, client_secret: …"
        case let path where path.first == "providers" && path.last == "sync": "interval: 6h"
        case let path where path.first == "providers": "name: value"
        default:
            if case .section(let known) = shape(of: path) { "\(known.first ?? "name"): …" } else { "name: value" }
        }
    }

    private mutating func store(
        _ node: YAMLNode, path: [String], into layer: inout Layer, values: inout [AbsoluteConfigKey: ConfigValue]
    ) {
        if node.isNull { return }
        let place = Place(node.place)
        var key = path.joined(separator: ".")
        var list: [String]?
        var text = ""
        switch (node.content, Self.shape(of: path)) {
        case (.scalar(let scalar, _), _): text = scalar
        case (.sequence(let items), .list?):
            let texts = items.compactMap(\.string)
            guard texts.count == items.count else {
                report(place, "\(key) is a list of plain values, such as [first, second]")
                return
            }
            list = texts
        case (_, .list?):
            report(place, "\(key) is a list of plain values, such as [first, second]")
            return
        default:
            report(place, "\(key) takes one plain value, not a \(node.sequence == nil ? "mapping" : "list")")
            return
        }
        if path.count == 3, path[0] == "providers", Setting.instanceFileKeys.contains(path[2]) {
            key = String(key.dropLast("_file".count))
            do {
                text = try Self.contents(ofFile: text)
            } catch {
                report(place, "\(error)")
                return
            }
        }
        if let earlier = layer.places[key] {
            report(place, "\(key) is given at \(earlier) already; keep one of the two")
            return
        }
        if path.first == "providers" {
            note(instance: path[1], key: key.split(separator: ".").dropFirst(2).joined(separator: "."))
        }
        if let list {
            layer.lists[key] = list
        } else {
            values[Self.absolute(key)] = ConfigValue(.string(text), isSecret: true)
        }
        layer.places[key] = place
    }

    /// Whether a key, or the beginning of one, exists.
    private mutating func accepts(_ path: [String], at node: YAMLNode) -> Bool {
        let place = Place(node.place)
        guard case .section(let known)? = Self.shape(of: path.dropLast()) else {
            // Names are free, as long as they are one word of a path.
            guard let name = path.last, !name.isEmpty, !name.contains(".") else {
                report(place, "a name below \(path.dropLast().joined(separator: ".")) has no dots and is not empty")
                return false
            }
            return true
        }
        guard let name = path.last, known.contains(name) else {
            report(
                place,
                "there is no setting '\(path.joined(separator: "."))'\(Self.hint(for: path, among: known))")
            return false
        }
        if path == ["vault", "key"] {
            report(place, "the master key does not belong in this file; use vault.key_file, or ROLLCALL_VAULT_KEY")
            return false
        }
        return true
    }

    private static func hint(for path: [String], among known: [String]) -> String {
        let word = path.last ?? ""
        if let near = suggestion(for: word, among: known) { return "; did you mean '\(near)'?" }
        if let elsewhere = Setting.all.map(\.key).first(where: { $0.hasSuffix("." + word) }) {
            return "; did you mean '\(elsewhere)'?"
        }
        return "; known here: \(Array(Set(known)).sorted().joined(separator: ", "))"
    }
}
