package import JSON

/// JSONPath (RFC 9535): a query parsed once, checked to be well-typed, and run often. The module owns the syntax, the
/// functions of RFC 9535 §2.4 with their regular expressions (I-Regexp, RFC 9485), and normalized paths; it knows
/// nothing of what the documents are.
///
/// A run takes bounded time, whatever the document: it may take a million steps (nodes looked at, characters matched),
/// and one that would need more selects nothing.
package struct JSONPath: Sendable {
    package let text: String
    private let query: Query

    /// Parses and checks a query (RFC 9535 §2.1). Functions other than those of §2.4 are errors, as are texts beyond
    /// 4096 characters and expressions nested more than 64 deep.
    package init(_ text: String) throws(JSONPathError) {
        query = try QueryParser.parse(text)
        self.text = text
    }

    /// The values selected, in the order of RFC 9535 §2; object members count as ordered the way they stand.
    package func values(in document: JSONValue) -> [JSONValue] {
        if query.isSingular { return Evaluation.singleValue(of: query, in: document).map { [$0] } ?? [] }
        var evaluation = Evaluation(document, tracksLocations: false)
        return evaluation.nodes(of: query, from: document).map(\.value)
    }

    /// The places of the values selected as normalized paths (RFC 9535 §2.7), such as `$['emails'][0]`.
    package func locations(in document: JSONValue) -> [String] {
        nodes(in: document).map { $0.location?.normalizedPath ?? "$" }
    }

    /// The document without what the query selects; `null` where that is the document itself.
    package func removing(from document: JSONValue) -> JSONValue {
        let nodes = nodes(in: document)
        if nodes.isEmpty { return document }
        var removals = Removals()
        for node in nodes { removals.insert(node.location?.steps ?? []) }
        return removals.applied(to: document) ?? .null
    }

    private func nodes(in document: JSONValue) -> [Node] {
        var evaluation = Evaluation(document, tracksLocations: true)
        return evaluation.nodes(of: query, from: document)
    }
}

extension JSONPath: Hashable, CustomStringConvertible {
    package static func == (left: Self, right: Self) -> Bool { left.text.utf8.elementsEqual(right.text.utf8) }
    package func hash(into hasher: inout Hasher) { hasher.combine(text) }
    package var description: String { text }
}

/// Why a text is not a JSONPath query, or not a well-typed one, and where.
package struct JSONPathError: Error, Equatable, CustomStringConvertible {
    /// From 0, in Unicode scalars.
    package let position: Int
    package let reason: String

    package var description: String { "at character \(position + 1): \(reason)" }
}

/// The values that a query selected, as a tree over the document they are to be taken from.
private struct Removals {
    private var isWhole = false
    private var children: [Location.Step: Removals] = [:]

    mutating func insert(_ steps: some Collection<Location.Step>) {
        guard let first = steps.first else { return isWhole = true }
        children[first, default: Removals()].insert(steps.dropFirst())
    }

    /// `nil` where the value itself is removed.
    func applied(to value: JSONValue) -> JSONValue? {
        if isWhole { return nil }
        if children.isEmpty { return value }
        switch value {
        case .array(let elements):
            return .array(
                elements.enumerated().compactMap { index, element in
                    guard let removals = children[.index(index)] else { return element }
                    return removals.applied(to: element)
                })
        case .object(let object):
            return .object(
                object.compactMapValues { name, member in
                    guard let removals = children[.name(ExactName(name))] else { return member }
                    return removals.applied(to: member)
                })
        default: return value
        }
    }
}
