/// Stands in until the module is there.
package struct SourcePlace: Sendable, Equatable, CustomStringConvertible {
    package var file: String
    package var line: Int
    package var column: Int
    package init(file: String, line: Int, column: Int) {
        self.file = file
        self.line = line
        self.column = column
    }
    package var description: String { "\(file):\(line):\(column)" }
}

package struct YAMLError: Error, Equatable {
    package var place: SourcePlace
    package var reason: String
}

package struct YAMLNode: Sendable {
    package enum Content: Sendable {
        case scalar(String, tag: String)
        case sequence([YAMLNode])
        case mapping([(key: YAMLNode, value: YAMLNode)])
        case null
    }
    package let content: Content
    package let place: SourcePlace
    package init(parsing text: String, file: String) throws(YAMLError) {
        throw YAMLError(place: SourcePlace(file: file, line: 1, column: 1), reason: "not yet")
    }
    package var bool: Bool? { nil }
    package var int: Int? { nil }
    package var duration: Duration? { nil }
    package var sequence: [YAMLNode]? { nil }
}
