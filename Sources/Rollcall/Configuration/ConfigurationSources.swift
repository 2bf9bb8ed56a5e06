import Configuration
import Foundation
import YAML

/// Where a value came from, as a person would name it: `rollcall.yaml:3:9`, `ROLLCALL_HTTP_PORT`, `--port`.
struct Found: Sendable {
    /// A scalar is a list of one.
    var values: [String]
    var place: String

    var text: String { values.joined(separator: ",") }
}

/// Flags over environment over file: the first source that has a key decides. Nothing here knows what a key means,
/// only which keys there are.
struct ConfigurationSources: Sendable {
    private struct Layer: Sendable {
        var reader: ConfigReader
        var places: [String: String]
        var lists: [String: [String]] = [:]
    }

    private var layers: [Layer] = []
    /// Instance names below `providers`, in the order in which they stand in the file, then those of the environment.
    private(set) var instanceNames: [String] = []
    /// The keys of one instance, such as `variables.site`.
    private(set) var instanceKeys: [String: [String]] = [:]
    /// Where the file names an instance.
    private(set) var instancePlaces: [String: SourcePlace] = [:]
    private(set) var problems: [String] = []

    /// - Parameters:
    ///   - flags: by key, each with the flag that said it.
    ///   - environment: every variable of the process; only those that begin with `ROLLCALL_` are looked at.
    ///   - file: the parsed configuration file, where there is one.
    init(flags: [String: Found], environment: [String: String], file: YAMLNode?) {
        addFlags(flags)
        var fileLayer = Layer(reader: ConfigReader(provider: InMemoryProvider(values: [:])), places: [:])
        var fileValues: [AbsoluteConfigKey: ConfigValue] = [:]
        if let file { readFile(file, into: &fileLayer, values: &fileValues) }
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

    private static func absolute(_ key: String) -> AbsoluteConfigKey {
        AbsoluteConfigKey(key.split(separator: ".").map(String.init))
    }
}

// MARK: - Environment

extension ConfigurationSources {
    private static let prefix = "ROLLCALL_"
    /// Read by scripts and the command line, not settings.
    private static let otherVariables: Set<String> = ["ROLLCALL_CONFIG"]

    private mutating func addEnvironment(_ environment: [String: String]) {
        var values: [AbsoluteConfigKey: ConfigValue] = [:]
        var places: [String: String] = [:]
        for (name, given) in environment.sorted(by: { $0.key < $1.key })
        where name.hasPrefix(Self.prefix) && !Self.otherVariables.contains(name) {
            var value = given
            var bare = name
            var key = settingKey(of: bare)
            if key == nil, name.hasSuffix("_FILE") {
                bare = String(name.dropLast("_FILE".count))
                key = settingKey(of: bare)
                if key != nil {
                    do {
                        value = try Self.contents(ofFile: given)
                    } catch {
                        problems.append("\(name): \(error)")
                        continue
                    }
                }
            }
            guard let key else {
                let known = Setting.all.map(\.environmentName)
                let hint = suggestion(for: name, among: known).map { "; did you mean \($0)?" } ?? ""
                problems.append("\(name): there is no such setting\(hint)")
                continue
            }
            if let earlier = places[key] {
                problems.append("\(name): \(earlier) says the same; set one of them")
                continue
            }
            values[Self.absolute(key)] = ConfigValue(.string(value), isSecret: true)
            places[key] = name
        }
        layers.append(
            Layer(
                reader: ConfigReader(provider: InMemoryProvider(name: "environment", values: values)), places: places))
    }

    private mutating func settingKey(of name: String) -> String? {
        if let setting = Setting.all.first(where: { $0.environmentName == name }) { return setting.key }
        let head = "ROLLCALL_PROVIDERS_"
        guard name.hasPrefix(head) else { return nil }
        let rest = String(name.dropFirst(head.count))
        let suffixes: [(String, String)] = [
            ("_CLIENT_AUTHENTICATION", "client_authentication"), ("_CLIENT_SECRET", "client_secret"),
            ("_CLIENT_ID", "client_id"), ("_MANIFEST", "manifest"), ("_SCOPES", "scopes"),
            ("_SYNC_MINIMUM_INTERVAL", "sync.minimum_interval"), ("_SYNC_MAXIMUM_AGE", "sync.maximum_age"),
            ("_SYNC_INTERVAL", "sync.interval"),
        ]
        for (suffix, key) in suffixes where rest.hasSuffix(suffix) && rest.count > suffix.count {
            return instanceKey(String(rest.dropLast(suffix.count)), key)
        }
        for (infix, key) in [
            ("_VARIABLES_", "variables."), ("_AUTHORIZATION_PARAMETERS_", "authorization.parameters."),
        ] {
            guard let range = rest.range(of: infix), !range.isEmpty, range.lowerBound > rest.startIndex else {
                continue
            }
            let variable = rest[range.upperBound...].lowercased()
            guard !variable.isEmpty else { continue }
            return instanceKey(String(rest[..<range.lowerBound]), key + variable)
        }
        return nil
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
            throw ConfigurationError(problems: ["the file \(path) can't be read; check that it exists and its mode"])
        }
    }
}

// MARK: - File

extension ConfigurationSources {
    private mutating func readFile(
        _ root: YAMLNode, into layer: inout Layer, values: inout [AbsoluteConfigKey: ConfigValue]
    ) {
        if root.isNull { return }
        guard let members = root.mapping else {
            problems.append("\(root.place): expected settings such as 'http: {port: 8080}'")
            return
        }
        walk(members, path: [], into: &layer, values: &values)
    }

    private mutating func walk(
        _ members: [(key: YAMLNode, value: YAMLNode)], path: [String], into layer: inout Layer,
        values: inout [AbsoluteConfigKey: ConfigValue]
    ) {
        for (keyNode, value) in members {
            guard let name = keyNode.string else {
                problems.append("\(keyNode.place): a setting's name must be a word")
                continue
            }
            let path = path + [name]
            guard accepts(path, at: keyNode) else { continue }
            if path.count == 2, path[0] == "providers" {
                if !instanceNames.contains(name) { instanceNames.append(name) }
                instancePlaces[name] = keyNode.place
                if value.isNull { continue }
            }
            if let nested = value.mapping {
                walk(nested, path: path, into: &layer, values: &values)
                continue
            }
            if value.isNull { continue }
            store(value, path: path, into: &layer, values: &values)
        }
    }

    private mutating func store(
        _ value: YAMLNode, path: [String], into layer: inout Layer, values: inout [AbsoluteConfigKey: ConfigValue]
    ) {
        var key = path.joined(separator: ".")
        var text = value.string
        let isNamed =
            Setting.named(key) != nil
            || path.count == 3 && path[0] == "providers"
                && Setting.instanceKeys.contains(path[2])
        if key.hasSuffix("_file"), !isNamed, let file = text {
            key = String(key.dropLast("_file".count))
            do {
                text = try Self.contents(ofFile: file)
            } catch {
                problems.append("\(value.place): \(error)")
                return
            }
        }
        if path.first == "providers", path.count > 2 {
            note(instance: path[1], key: key.split(separator: ".").dropFirst(2).joined(separator: "."))
        }
        if let items = value.sequence {
            let texts = items.map(\.string)
            guard !texts.contains(nil) else {
                problems.append("\(value.place): expected a list of plain values")
                return
            }
            layer.lists[key] = texts.compactMap(\.self)
        } else if let text {
            values[Self.absolute(key)] = ConfigValue(.string(text), isSecret: true)
        } else {
            problems.append("\(value.place): expected a plain value for \(key)")
            return
        }
        layer.places[key] = "\(value.place)"
    }

    /// Whether a key, or the beginning of one, exists.
    private mutating func accepts(_ path: [String], at node: YAMLNode) -> Bool {
        let known: [String]
        switch path.count {
        case 2 where path[0] == "providers": return true
        case 3 where path[0] == "providers": known = Setting.instanceKeys + ["client_id_file", "client_secret_file"]
        case 4 where path[0] == "providers" && path[2] == "sync": known = Setting.instanceSyncKeys
        case 4 where path[0] == "providers" && path[2] == "authorization": known = ["parameters"]
        case 4 where path[0] == "providers" && path[2] == "variables": return true
        case 5 where path[0] == "providers" && path[2] == "authorization": return true
        default:
            let parent = path.dropLast().joined(separator: ".")
            let below = Setting.all.map(\.key).filter { parent.isEmpty || $0.hasPrefix(parent + ".") }
            known =
                below.map { key in
                    String(key.dropFirst(parent.isEmpty ? 0 : parent.count + 1).prefix { $0 != "." })
                } + (parent.isEmpty ? ["providers"] : [])
        }
        guard let name = path.last, known.contains(name) else {
            let word = path.last ?? ""
            let hint =
                suggestion(for: word, among: known).map { "; did you mean '\($0)'?" }
                ?? "; known here: \(Array(Set(known)).sorted().joined(separator: ", "))"
            problems.append("\(node.place): there is no setting '\(path.joined(separator: "."))'\(hint)")
            return false
        }
        if path == ["vault", "key"] {
            problems.append(
                "\(node.place): the master key does not belong in this file; use vault.key_file, or ROLLCALL_VAULT_KEY")
            return false
        }
        return true
    }
}
