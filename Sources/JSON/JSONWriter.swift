extension JSONValue {
    /// Compact; members in order, numbers as they were written.
    package var text: String { written(sorted: false) }

    /// Compact, members sorted by name: equal values have equal text as long as their numbers are written alike.
    package var canonicalText: String { written(sorted: true) }

    private func written(sorted: Bool) -> String {
        var buffer: [UInt8] = []
        write(into: &buffer, sorted: sorted)
        return String(decoding: buffer, as: UTF8.self)
    }

    private func write(into buffer: inout [UInt8], sorted: Bool) {
        switch self {
        case .null: buffer.append(contentsOf: "null".utf8)
        case .bool(let value): buffer.append(contentsOf: (value ? "true" : "false").utf8)
        case .number(let number): buffer.append(contentsOf: number.text.utf8)
        case .string(let string): Self.write(string, into: &buffer)
        case .array(let values):
            buffer.append(0x5b)
            for (index, value) in values.enumerated() {
                if index > 0 { buffer.append(0x2c) }
                value.write(into: &buffer, sorted: sorted)
            }
            buffer.append(0x5d)
        case .object(let object):
            buffer.append(0x7b)
            let members = sorted ? object.sorted { $0.name < $1.name } : Array(object)
            for (index, member) in members.enumerated() {
                if index > 0 { buffer.append(0x2c) }
                Self.write(member.name, into: &buffer)
                buffer.append(0x3a)
                member.value.write(into: &buffer, sorted: sorted)
            }
            buffer.append(0x7d)
        }
    }

    private static func write(_ string: String, into buffer: inout [UInt8]) {
        buffer.append(0x22)
        for byte in string.utf8 {
            switch byte {
            case 0x22: buffer.append(contentsOf: [0x5c, 0x22])
            case 0x5c: buffer.append(contentsOf: [0x5c, 0x5c])
            case 0x0a: buffer.append(contentsOf: [0x5c, 0x6e])
            case 0x0d: buffer.append(contentsOf: [0x5c, 0x72])
            case 0x09: buffer.append(contentsOf: [0x5c, 0x74])
            case ..<0x20:
                let digits = Array("0123456789abcdef".utf8)
                buffer.append(contentsOf: Array("\\u00".utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)]])
            default: buffer.append(byte)
            }
        }
        buffer.append(0x22)
    }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    package init(stringLiteral value: String) { self = .string(value) }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(integerLiteral value: Int64) { self = .number(JSONNumber(value)) }
    package init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    package init(dictionaryLiteral elements: (String, JSONValue)...) {
        var object = JSONObject()
        for (name, value) in elements { object[name] = value }
        self = .object(object)
    }
}
