import Configuration
import YAML

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
        case (2, "scopes"), (2, "resource"): .list
        case (2, let key): (Setting.instanceKeys + Setting.instanceFileKeys).contains(key) ? .value : nil
        case (3, "sync"): Setting.instanceSyncKeys.contains(path[2]) ? .value : nil
        case (3, "variables"): .value
        case (3, "authorization"): path[2] == "parameters" ? .names : nil
        case (4, "authorization"): .value
        default: nil
        }
    }

    mutating func walk(
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
                text = try Self.contents(ofFile: text, isPrivate: path[2] == "client_key_file")
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
