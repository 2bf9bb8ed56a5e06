/// Where a text stops being JSON, and why. Never quotes the text: it may hold a token.
package struct JSONError: Error, Equatable, CustomStringConvertible {
    /// Bytes from the start of the text.
    package var offset: Int
    /// From 1.
    package var line: Int
    /// In bytes, from 1.
    package var column: Int
    package var reason: String

    package var description: String { "line \(line), column \(column): \(reason)" }
}

extension JSONValue {
    /// Reads one JSON text (RFC 8259) in UTF-8; a leading byte order mark is skipped.
    ///
    /// Refused: duplicate members, lone surrogates, invalid UTF-8, bytes after the value, nesting deeper than
    /// `depthMax`.
    package init(parsing bytes: [UInt8], depthMax: Int = 128) throws(JSONError) {
        var parser = JSONParser(bytes: bytes, depthMax: depthMax)
        self = try parser.parse()
    }

    package init(parsing text: String, depthMax: Int = 128) throws(JSONError) {
        try self.init(parsing: Array(text.utf8), depthMax: depthMax)
    }
}

private struct JSONParser {
    let bytes: [UInt8]
    let depthMax: Int
    var position = 0

    init(bytes: [UInt8], depthMax: Int) {
        self.bytes = bytes
        self.depthMax = depthMax
    }

    mutating func parse() throws(JSONError) -> JSONValue {
        if bytes.starts(with: [0xef, 0xbb, 0xbf]) { position = 3 }
        skipWhitespace()
        let value = try value(depth: 0)
        skipWhitespace()
        guard position == bytes.count else { throw error("there is more after the value") }
        return value
    }

    private func error(_ reason: String, at offset: Int? = nil) -> JSONError {
        let offset = min(offset ?? position, bytes.count)
        var line = 1
        var lineStart = 0
        for index in 0..<offset where bytes[index] == 0x0a {
            line += 1
            lineStart = index + 1
        }
        return JSONError(offset: offset, line: line, column: offset - lineStart + 1, reason: reason)
    }

    private mutating func skipWhitespace() {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x09, 0x0a, 0x0d: position += 1
            default: return
            }
        }
    }

    private mutating func value(depth: Int) throws(JSONError) -> JSONValue {
        guard position < bytes.count else { throw error("the text ends where a value should be") }
        switch bytes[position] {
        case 0x7b: return .object(try object(depth: depth))
        case 0x5b: return .array(try array(depth: depth))
        case 0x22: return .string(try string())
        case 0x74: return try word("true", .bool(true))
        case 0x66: return try word("false", .bool(false))
        case 0x6e: return try word("null", .null)
        case 0x2d, 0x30...0x39: return .number(try number())
        default: throw error("expected a value")
        }
    }

    private mutating func word(_ word: StaticString, _ value: JSONValue) throws(JSONError) -> JSONValue {
        let matches = word.withUTF8Buffer { bytes[position...].starts(with: $0) }
        guard matches else { throw error("expected a value") }
        position += word.utf8CodeUnitCount
        return value
    }

    private mutating func object(depth: Int) throws(JSONError) -> JSONObject {
        guard depth < depthMax else { throw error("nested deeper than \(depthMax)") }
        position += 1
        var members: [JSONObject.Member] = []
        // Looking names up one by one is quicker while there are few, and hostile objects have many.
        var names: Set<String> = []
        skipWhitespace()
        if position < bytes.count, bytes[position] == 0x7d {
            position += 1
            return JSONObject()
        }
        while true {
            skipWhitespace()
            let start = position
            guard position < bytes.count, bytes[position] == 0x22 else { throw error("expected a member's name") }
            let name = try string()
            let isNew: Bool
            if members.count < 12 {
                isNew = !members.contains { $0.name == name }
            } else {
                if names.isEmpty { names = Set(members.map(\.name)) }
                isNew = names.insert(name).inserted
            }
            guard isNew else { throw error("a member of this name stands here already", at: start) }
            skipWhitespace()
            guard position < bytes.count, bytes[position] == 0x3a else { throw error("expected ':'") }
            position += 1
            skipWhitespace()
            members.append((name, try value(depth: depth + 1)))
            skipWhitespace()
            guard position < bytes.count else { throw error("the text ends inside an object") }
            position += 1
            switch bytes[position - 1] {
            case 0x2c: continue
            case 0x7d: return JSONObject(unique: members)
            default: throw error("expected ',' or '}'", at: position - 1)
            }
        }
    }

    private mutating func array(depth: Int) throws(JSONError) -> [JSONValue] {
        guard depth < depthMax else { throw error("nested deeper than \(depthMax)") }
        position += 1
        var values: [JSONValue] = []
        skipWhitespace()
        if position < bytes.count, bytes[position] == 0x5d {
            position += 1
            return values
        }
        while true {
            skipWhitespace()
            values.append(try value(depth: depth + 1))
            skipWhitespace()
            guard position < bytes.count else { throw error("the text ends inside an array") }
            position += 1
            switch bytes[position - 1] {
            case 0x2c: continue
            case 0x5d: return values
            default: throw error("expected ',' or ']'", at: position - 1)
            }
        }
    }

    private mutating func number() throws(JSONError) -> JSONNumber {
        let start = position
        if bytes[position] == 0x2d { position += 1 }
        guard let first = digit() else { throw error("expected a digit") }
        if first == 0x30 {
            if position < bytes.count, (0x30...0x39).contains(bytes[position]) {
                throw error("a number does not begin with 0")
            }
        } else {
            while digit() != nil {}
        }
        if position < bytes.count, bytes[position] == 0x2e {
            position += 1
            guard digit() != nil else { throw error("expected a digit after '.'") }
            while digit() != nil {}
        }
        if position < bytes.count, bytes[position] | 0x20 == 0x65 {
            position += 1
            if position < bytes.count, bytes[position] == 0x2b || bytes[position] == 0x2d { position += 1 }
            guard digit() != nil else { throw error("expected a digit in the exponent") }
            while digit() != nil {}
        }
        return JSONNumber(validated: String(decoding: bytes[start..<position], as: UTF8.self))
    }

    private mutating func digit() -> UInt8? {
        guard position < bytes.count, (0x30...0x39).contains(bytes[position]) else { return nil }
        position += 1
        return bytes[position - 1]
    }

    private mutating func string() throws(JSONError) -> String {
        let start = position
        position += 1
        let plainStart = position
        while position < bytes.count, bytes[position] != 0x22, bytes[position] != 0x5c, bytes[position] >= 0x20 {
            position += 1
        }
        guard position < bytes.count else { throw error("the text ends inside a string", at: start) }
        if bytes[position] == 0x22 {
            defer { position += 1 }
            return try text(bytes[plainStart..<position], at: plainStart)
        }
        var buffer = Array(bytes[plainStart..<position])
        while position < bytes.count {
            let byte = bytes[position]
            switch byte {
            case 0x22:
                position += 1
                return try text(buffer[...], at: plainStart)
            case 0x5c:
                position += 1
                try escape(into: &buffer)
            case ..<0x20: throw error("a control character stands in a string")
            default:
                buffer.append(byte)
                position += 1
            }
        }
        throw error("the text ends inside a string", at: start)
    }

    private func text(_ bytes: ArraySlice<UInt8>, at offset: Int) throws(JSONError) -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw error("a string is not UTF-8", at: offset)
        }
        return text
    }

    private mutating func escape(into buffer: inout [UInt8]) throws(JSONError) {
        guard position < bytes.count else { throw error("the text ends inside a string") }
        let byte = bytes[position]
        position += 1
        switch byte {
        case 0x22, 0x5c, 0x2f: buffer.append(byte)
        case 0x62: buffer.append(0x08)
        case 0x66: buffer.append(0x0c)
        case 0x6e: buffer.append(0x0a)
        case 0x72: buffer.append(0x0d)
        case 0x74: buffer.append(0x09)
        case 0x75:
            var unit = UInt32(try hexUnit())
            if (0xd800...0xdbff).contains(unit) {
                guard bytes[position...].starts(with: [0x5c, 0x75]) else { throw error("half of a surrogate pair") }
                position += 2
                let low = UInt32(try hexUnit())
                guard (0xdc00...0xdfff).contains(low) else { throw error("half of a surrogate pair") }
                unit = 0x10000 + (unit - 0xd800) << 10 + (low - 0xdc00)
            }
            guard let scalar = Unicode.Scalar(unit) else { throw error("half of a surrogate pair") }
            buffer.append(contentsOf: Array(String(scalar).utf8))
        default: throw error("there is no such escape", at: position - 1)
        }
    }

    private mutating func hexUnit() throws(JSONError) -> UInt16 {
        guard position + 4 <= bytes.count else { throw error("the text ends inside a string") }
        var unit: UInt16 = 0
        for _ in 0..<4 {
            let byte = bytes[position]
            let digit: UInt8
            switch byte {
            case 0x30...0x39: digit = byte - 0x30
            case 0x41...0x46, 0x61...0x66: digit = (byte | 0x20) - 0x61 + 10
            default: throw error("expected four hexadecimal digits")
            }
            unit = unit << 4 | UInt16(digit)
            position += 1
        }
        return unit
    }
}
