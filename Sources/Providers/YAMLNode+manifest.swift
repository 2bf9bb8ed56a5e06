import YAML

/// What the reading of manifests asks of a node.
extension YAMLNode {
    /// Any scalar's text, however YAML would type it: `2022-11-28` is a header's value before it is a date.
    var text: String? { if case .scalar(let text, _) = content { text } else { nil } }
    var members: [(key: YAMLNode, value: YAMLNode)]? {
        if case .mapping(let members) = content { members } else { nil }
    }

    subscript(name: String) -> YAMLNode? { members?.first { $0.key.text == name }?.value }

    /// The texts of a list, or of one text in its place.
    var texts: [(text: String, place: SourcePlace)] {
        if let text { return [(text, place)] }
        return sequence?.compactMap { node in node.text.map { ($0, node.place) } } ?? []
    }

    /// Names and texts of a mapping, in order.
    var table: [(name: String, text: String, place: SourcePlace)] {
        members?.compactMap { key, value in
            guard let name = key.text, let text = value.text else { return nil }
            return (name, text, key.place)
        } ?? []
    }
}
