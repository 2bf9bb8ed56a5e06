/// Stands in until the module is there.
package struct SourcePlace: Sendable, Hashable, CustomStringConvertible {
    package let file: String
    package let line: Int
    package let column: Int

    package init(file: String, line: Int, column: Int) {
        self.file = file
        self.line = line
        self.column = column
    }

    package var description: String { "\(file):\(line):\(column)" }
}

package struct YAMLError: Error, Equatable {
    package let place: SourcePlace
    package let reason: String
}

package struct YAMLNode: Sendable {
    package let place: SourcePlace

    package init(parsing text: String, file: String) throws(YAMLError) {
        throw YAMLError(place: SourcePlace(file: file, line: 1, column: 1), reason: "not yet")
    }

    package var bool: Bool? { nil }
    package var double: Double? { nil }
    package var int: Int? { nil }
    package var string: String? { nil }
    package var sequence: [YAMLNode]? { nil }
    package var mapping: [(key: YAMLNode, value: YAMLNode)]? { nil }
    package subscript(key: String) -> YAMLNode? { nil }
}

extension Duration {
    package init?(configured text: String) { return nil }
}
