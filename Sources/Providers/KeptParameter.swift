package import Accounts
package import JSON

/// A parameter of the callback that is kept with the account, for the provider says it there and nowhere else: the id of
/// a realm or a shop, the name of the person in the first callback ever.
package struct KeptParameter: Sendable, Equatable {
    package var name: String
    /// A regular expression for the whole value, which may then be part of a URL and must be there.
    var pattern: String?
}

/// Why a callback can't be gone on with.
package enum CallbackParameterError: Error, Equatable, CustomStringConvertible {
    case missing(String)
    /// Not as the manifest says that it has to be.
    case unexpected(String)

    package var description: String {
        switch self {
        case .missing(let name): "the callback has no \(name)"
        case .unexpected(let name): "the callback's \(name) is not what the manifest expects"
        }
    }
}

extension Provider {
    /// What is kept of a callback with these parameters. Nothing signs it, and it came through the browser: it is data of
    /// the user's own profile.
    package func kept(of parameters: [String: String]) throws(CallbackParameterError) -> JSONObject {
        var kept = JSONObject()
        for parameter in keptParameters {
            guard let value = parameters[parameter.name], !value.isEmpty else {
                if parameter.pattern != nil { throw .missing(parameter.name) }
                continue
            }
            guard parameter.accepts(value) else { throw .unexpected(parameter.name) }
            // Text that is no object stays text.
            let object = try? JSONValue(parsing: value, depthMax: 16)
            kept[parameter.name] = object?.object.map { .object($0) } ?? .string(value)
        }
        return kept
    }

    /// A profile with what an earlier callback brought and this one did not: a provider that names the person once is
    /// not asked a second time.
    ///
    /// - Parameter raw: of the profile as stored.
    package func profile(_ profile: Profile, keepingCallbackOf raw: String) throws(MappingError) -> Profile {
        guard let earlier = Self.members(of: raw)[ProfileMapping.callback]?.object else { return profile }
        let new = Self.members(of: profile.raw)
        var callback = earlier
        for (name, value) in new[ProfileMapping.callback]?.object ?? [:] { callback[name] = value }
        var responses: [String: JSONValue] = [:]
        for (name, value) in new { responses[name] = value }
        responses[ProfileMapping.callback] = .object(callback)
        return try self.profile(from: responses, validators: profile.validators)
    }

    /// The values of `{callback.name}` places.
    func places(for callback: JSONObject) -> [String: String] {
        var values: [String: String] = [:]
        for parameter in keptParameters {
            // Checked once more: what was stored under an older manifest must fit the one in force.
            guard parameter.pattern != nil, let value = callback[parameter.name]?.string, parameter.accepts(value)
            else { continue }
            values[URLTemplate.callback + parameter.name] = value
        }
        return values
    }

    private static func members(of raw: String) -> JSONObject {
        // Texts that this program wrote; in one that it can't read there is nothing to keep.
        (try? JSONValue(parsing: raw, depthMax: JSONValue.composedDepthMax))?.object ?? JSONObject()
    }
}

extension KeptParameter {
    fileprivate func accepts(_ value: String) -> Bool {
        pattern.map { Manifest.Variable.problem(with: value, pattern: $0) == nil } ?? true
    }
}
