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
}
