/// A JSON object without members other than those its type reads: a misspelt switch must not pass for one that is off.
struct Exactly<Value: KnowsMembers>: Decodable {
    let value: Value

    private struct Name: CodingKey {
        var stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    init(from decoder: any Decoder) throws {
        let known = Set(Value.Members.allCases.map(\.stringValue))
        for name in try decoder.container(keyedBy: Name.self).allKeys where !known.contains(name.stringValue) {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath + [name], debugDescription: "not a known member"))
        }
        value = try Value(from: decoder)
    }
}

extension Exactly: Sendable where Value: Sendable {}

protocol KnowsMembers: Decodable {
    associatedtype Members: CodingKey & CaseIterable
}
