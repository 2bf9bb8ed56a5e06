import YAML

/// What the reading of manifests asks of a node.
extension YAMLNode {
    /// A string, in quotes or not; what is not in quotes and could be a number or a truth value is none, so that a
    /// manifest means the same to every reader of YAML and to its schema.
    var text: String? { bool == nil && double == nil ? string : nil }

    /// A length of time, in quotes or not.
    var time: Duration? { string.flatMap { Duration(configured: $0) } }

    /// The texts of a list, or of one text in its place.
    var texts: [(text: String, place: SourcePlace)] {
        if let text { return [(text, place)] }
        return sequence?.compactMap { node in node.text.map { ($0, node.place) } } ?? []
    }

    /// Names and texts of a mapping, in order.
    var table: [(name: String, text: String, place: SourcePlace)] {
        mapping?.compactMap { key, value in
            guard let name = key.string, let text = value.text else { return nil }
            return (name, text, key.place)
        } ?? []
    }
}
