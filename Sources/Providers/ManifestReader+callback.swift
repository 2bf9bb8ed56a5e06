import OAuth
import YAML

extension ManifestReader {
    mutating func readKeptParameters() -> [KeptParameter] {
        var kept: [KeptParameter] = []
        for (index, node) in (root["callback"]?["keep"]?.sequence ?? []).enumerated() {
            guard let name = node.text ?? node["name"]?.text else { continue }
            let path = "callback.keep[\(index)]"
            if AuthorizationResponse.known.contains(name) {
                report(node.place, "\(path): \(name) is the protocol's own; expected another")
            }
            if kept.contains(where: { $0.name == name }) { report(node.place, "\(path): \(name) is there twice") }
            if let pattern = node["pattern"]?.text, VariablePattern(pattern) == nil {
                report(node["pattern"]?.place ?? node.place, "\(path).pattern: expected a regular expression")
            }
            kept.append(KeptParameter(name: name, pattern: node["pattern"]?.text))
        }
        return kept
    }

    /// The members of a code answer that are kept: no secret may be among them, for profiles are shown.
    mutating func readKeptMembers() -> [KeptMember] {
        var kept: [KeptMember] = []
        let response = root["token"]?["response"]
        let secrets = ["access_token", "refresh_token", "id_token"]
        let own = response?["member_names"]?.table.filter { secrets.contains($0.name) }.map(\.text) ?? []
        for (index, node) in (response?["keep"]?.sequence ?? []).enumerated() {
            guard let name = node.text ?? node["name"]?.text else { continue }
            let path = "token.response.keep[\(index)]"
            if (secrets + own).contains(name) {
                report(node.place, "\(path): \(name) is a token, which is never part of a profile; expected another")
            }
            if kept.contains(where: { $0.name == name }) { report(node.place, "\(path): \(name) is there twice") }
            kept.append(KeptMember(name: name, hosts: node["hosts"]?.texts.map(\.text)))
        }
        return kept
    }
}
