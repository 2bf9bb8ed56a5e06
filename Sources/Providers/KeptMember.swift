package import JSON
package import OAuth

/// A member of the token endpoint's answer to a code that is kept with the account, for the provider says it there and
/// nowhere else: who the person is, or which of its servers has the person's data.
package struct KeptMember: Sendable, Equatable {
    package var name: String
    /// The value is a URL at one of these hosts, where requests with the access token may go.
    var hosts: [String]?
}

/// Why a token endpoint's answer can't be gone on with.
package enum KeptMemberError: Error, Equatable, CustomStringConvertible {
    case missing(String)
    /// Not a URL at one of the manifest's hosts.
    case refused(String)

    package var description: String {
        switch self {
        case .missing(let name): "the token answer has no \(name)"
        case .refused(let name): "the token answer's \(name) is no server that the manifest allows"
        }
    }
}

extension Provider {
    /// What is kept of the answer to a code.
    package func kept(of answer: AccessTokenResponse) throws(KeptMemberError) -> JSONObject {
        for member in keptMembers where member.hosts != nil {
            guard let value = answer.kept[member.name]?.string else { throw .missing(member.name) }
            guard member.allows(value) else { throw .refused(member.name) }
        }
        return answer.kept
    }

    /// The values of `{token.name}` places.
    func places(forToken kept: JSONObject) -> [String: String] {
        var values: [String: String] = [:]
        for member in keptMembers where member.hosts != nil {
            // Checked once more: what was stored under an older manifest must fit the one in force.
            guard let value = kept[member.name]?.string, member.allows(value) else { continue }
            values[URLTemplate.token + member.name] = value
        }
        return values
    }
}

extension KeptMember {
    fileprivate func allows(_ value: String) -> Bool {
        guard let url = EndpointURL(value, allowing: .base), url.port == nil || url.scheme == "http" else {
            return false
        }
        return hosts?.contains { pattern in
            pattern.hasPrefix("*.") ? url.host.hasSuffix(pattern.dropFirst()) : url.host == pattern
        } ?? false
    }
}
