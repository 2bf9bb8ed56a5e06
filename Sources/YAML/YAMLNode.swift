/// YAML as configuration files and manifests need it: one document, mappings with plain names, and a place for every
/// node, so that each later complaint can say file, line and column. Thin over Yams, which alone is imported here.
///
/// What makes a file say something other than what its reader sees is refused: members given twice, anchors and
/// aliases, explicit tags, further documents. Scalars are read by the core schema of YAML 1.2: `no` is a string.
package struct YAMLNode: Sendable {
    package enum Content: Sendable {
        /// Nothing, `~` or `null`, not in quotes.
        case null
        /// Without its quotes. Only a plain scalar may be read as a number or as a truth value.
        case scalar(String, isPlain: Bool)
        case sequence([YAMLNode])
        /// In the order of the file; every key is a scalar, none stands twice.
        case mapping([(key: YAMLNode, value: YAMLNode)])
    }

    package let content: Content
    package let place: SourcePlace

    package init(content: Content, place: SourcePlace) {
        self.content = content
        self.place = place
    }
}

/// A place in a file, written `file:3:7` as compilers do.
package struct SourcePlace: Sendable, Hashable, CustomStringConvertible {
    package let file: String
    /// From 1.
    package let line: Int
    /// From 1, in characters (Unicode scalars).
    package let column: Int

    package init(file: String, line: Int, column: Int) {
        self.file = file
        self.line = line
        self.column = column
    }

    package var description: String { "\(file):\(line):\(column)" }
}

/// What is wrong in a file, where, and what to do about it. It names keys, never values, for a value may be a secret.
package struct YAMLError: Error, Equatable, CustomStringConvertible {
    package let place: SourcePlace
    package let reason: String

    package init(place: SourcePlace, reason: String) {
        self.place = place
        self.reason = reason
    }

    package var description: String { "\(place): \(reason)" }
}
