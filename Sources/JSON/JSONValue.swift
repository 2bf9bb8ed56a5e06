/// JSON (RFC 8259) read strictly and kept exactly: numbers as the text they came in, members in the order they came
/// in, duplicates refused. Foundation's reader rounds ids beyond 2^53 and lets the last duplicate win, and an id or a
/// token must not be guessed at.
package enum JSONValue: Sendable, Hashable {
    case null
    case bool(Bool)
    case number(JSONNumber)
    case string(String)
    case array([JSONValue])
    case object(JSONObject)

    package subscript(name: String) -> JSONValue? {
        if case .object(let object) = self { object[name] } else { nil }
    }

    package var string: String? { if case .string(let value) = self { value } else { nil } }
    package var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    package var number: JSONNumber? { if case .number(let value) = self { value } else { nil } }
    package var array: [JSONValue]? { if case .array(let value) = self { value } else { nil } }
    package var object: JSONObject? { if case .object(let value) = self { value } else { nil } }
}

/// A number as it was written.
package struct JSONNumber: Sendable, CustomStringConvertible {
    /// Valid by RFC 8259 §6.
    package let text: String

    init(validated text: String) { self.text = text }
    package init(_ value: Int64) { text = String(value) }
    package init(_ value: Int) { text = String(value) }

    package var description: String { text }
    /// Finite, or infinite where the text is beyond a double's range; never traps.
    package var double: Double { Double(text) ?? .infinity }
    /// Where the text is an integer that fits, without fraction or exponent.
    package var int64: Int64? { Int64(text) }
    /// The exact decimal string where the value is an integer written without fraction or exponent, whatever its size.
    package var integerText: String? { text.utf8.allSatisfy { $0 == 0x2d || (0x30...0x39).contains($0) } ? text : nil }
}

extension JSONNumber: Hashable {
    package static func == (left: Self, right: Self) -> Bool {
        left.text == right.text || left.double == right.double && (left.integerText == nil || right.integerText == nil)
    }
    package func hash(into hasher: inout Hasher) { hasher.combine(double) }
}

/// Members in the order in which they stood; equality does not look at the order.
package struct JSONObject: Sendable, Sequence, ExpressibleByDictionaryLiteral {
    package typealias Member = (name: String, value: JSONValue)
    private var members: [Member] = []

    package init() {}
    /// - Parameter members: no two of one name.
    init(unique members: [Member]) { self.members = members }
    package init(dictionaryLiteral elements: (String, JSONValue)...) {
        for (name, value) in elements { self[name] = value }
    }

    package subscript(name: String) -> JSONValue? {
        get { members.first { $0.name == name }?.value }
        set {
            let index = members.firstIndex { $0.name == name }
            switch (index, newValue) {
            case (let index?, let value?): members[index].value = value
            case (let index?, nil): members.remove(at: index)
            case (nil, let value?): members.append((name, value))
            case (nil, nil): break
            }
        }
    }

    package var count: Int { members.count }
    package var isEmpty: Bool { members.isEmpty }
    package var names: [String] { members.map(\.name) }
    package func makeIterator() -> IndexingIterator<[Member]> { members.makeIterator() }
}

extension JSONObject: Hashable {
    package static func == (left: Self, right: Self) -> Bool {
        left.count == right.count && left.allSatisfy { right[$0.name] == $0.value }
    }

    package func hash(into hasher: inout Hasher) {
        // Order must not show: sum the members' own hashes.
        hasher.combine(members.reduce(0) { $0 &+ $1.name.hashValue })
    }
}
