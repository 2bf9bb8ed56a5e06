import Configuration
import Foundation

extension ConfigurationSources {
    private static let prefix = "ROLLCALL_"
    private static let providerPrefix = "ROLLCALL_PROVIDERS_"
    /// Read by scripts and the command line, not settings.
    private static let otherVariables: Set<String> = ["ROLLCALL_CONFIG"]
    private static let instanceSuffixes: [(suffix: String, key: String)] = [
        ("_CLIENT_AUTHENTICATION", "client_authentication"), ("_CLIENT_SECRET", "client_secret"),
        ("_CLIENT_ID", "client_id"), ("_CLIENT_KEY", "client_key"), ("_KEY_ID", "key_id"),
        ("_CERTIFICATE_THUMBPRINT", "certificate_thumbprint"), ("_SIGNAL_SECRET", "signal_secret"),
        ("_SIGNAL_PUBLIC_KEY", "signal_public_key"), ("_MANIFEST", "manifest"), ("_SCOPES", "scopes"),
        ("_RESOURCE", "resource"), ("_DPOP", "dpop"),
        ("_SYNC_MINIMUM_INTERVAL", "sync.minimum_interval"), ("_SYNC_MAXIMUM_AGE", "sync.maximum_age"),
        ("_SYNC_INTERVAL", "sync.interval"),
    ]
    private static let instanceInfixes: [(infix: String, key: String)] = [
        ("_VARIABLES_", "variables."), ("_AUTHORIZATION_PARAMETERS_", "authorization.parameters."),
    ]

    mutating func addEnvironment(_ environment: [String: String]) {
        var values: [AbsoluteConfigKey: ConfigValue] = [:]
        var places: [String: Place] = [:]
        for (name, given) in environment.sorted(by: { $0.key < $1.key })
        where name.hasPrefix(Self.prefix) && !Self.otherVariables.contains(name) {
            let place = Place(stringLiteral: name)
            var value = given
            var found = settingKey(of: name)
            if found == nil, name.hasSuffix("_FILE") {
                found = settingKey(of: String(name.dropLast("_FILE".count)))
                if let found {
                    do {
                        value = try Self.contents(ofFile: given, isPrivate: found.hasSuffix(".client_key"))
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
}
