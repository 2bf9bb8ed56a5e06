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
    struct Layer: Sendable {
        var reader: ConfigReader
        var places: [String: Place]
        var lists: [String: [String]] = [:]
    }

    var layers: [Layer] = []
    /// Instance names below `providers`, in the order in which they stand in the file, then those of the environment.
    var instanceNames: [String] = []
    /// The keys of one instance, such as `variables.site`.
    var instanceKeys: [String: [String]] = [:]
    /// Where the file names an instance.
    var instancePlaces: [String: SourcePlace] = [:]
    var faults: [ConfigurationFault] = []

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

    mutating func report(_ place: Place, _ message: String) {
        faults.append(ConfigurationFault(place: place, message: message))
    }

    static func absolute(_ key: String) -> AbsoluteConfigKey {
        AbsoluteConfigKey(key.split(separator: ".").map(String.init))
    }

    mutating func note(instance: String, key: String) {
        if !instanceNames.contains(instance) { instanceNames.append(instance) }
        if !instanceKeys[instance, default: []].contains(key) { instanceKeys[instance, default: []].append(key) }
    }

    /// - Parameter isPrivate: nobody but its owner may read the file.
    static func contents(ofFile path: String, isPrivate: Bool) throws(ConfigurationError) -> String {
        var status = stat()
        if isPrivate, stat(path, &status) == 0, status.st_mode & 0o077 != 0 {
            throw ConfigurationError(problems: [
                "the file \(path) holds a private key, and others than its owner may read it; run 'chmod 600 \(path)'"
            ])
        }
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
