extension JSONValue {
    /// The `depthMax` for documents that were put together of others: a response may be 128 deep by itself, and stands
    /// some levels down in what is stored of it.
    package static let composedDepthMax = 160

    /// Reads one JSON text (RFC 8259): UTF-8 alone, a leading byte order mark skipped; duplicate members, lone
    /// surrogates and anything after the value refused. `depthMax` counts arrays and objects inside one another and is
    /// itself capped at 1000, so that no input can exhaust the stack.
    package init(parsing bytes: some Collection<UInt8>, depthMax: Int = 128) throws(JSONError) {
        let read = { (input: UnsafeBufferPointer<UInt8>) in JSONParser.read(input, depthMax: min(depthMax, 1000)) }
        let result = bytes.withContiguousStorageIfAvailable(read) ?? Array(bytes).withUnsafeBufferPointer(read)
        self = try result.get()
    }

    package init(parsing text: String, depthMax: Int = 128) throws(JSONError) {
        try self.init(parsing: text.utf8, depthMax: depthMax)
    }
}

/// Recursive descent over the bytes; strings and numbers are cut out of them in one piece each.
///
/// `input` is borrowed for the duration of `read` alone; every access is behind a comparison with its count.
private struct JSONParser {
    let input: UnsafeBufferPointer<UInt8>
    let depthMax: Int
    var position = 0
    var depth = 0

    static func read(_ input: UnsafeBufferPointer<UInt8>, depthMax: Int) -> Result<JSONValue, JSONError> {
        var parser = JSONParser(input: input, depthMax: depthMax)
        do throws(JSONError) {
            if input.count >= 3, input[0] == 0xef, input[1] == 0xbb, input[2] == 0xbf { parser.position = 3 }
            parser.skipWhitespace()
            let value = try parser.value()
            parser.skipWhitespace()
            if parser.position < input.count { throw parser.error("there is more after the end of the JSON value") }
            return .success(value)
        } catch {
            return .failure(error)
        }
    }

    func error(_ reason: String, at offset: Int? = nil) -> JSONError {
        JSONError(reason: reason, at: offset ?? position, in: input)
    }

    /// 0 stands for the end, which no caller takes for anything but an unexpected byte.
    var next: UInt8 { position < input.count ? input[position] : 0 }

    func unexpected(_ expectation: String) -> JSONError {
        error(position < input.count ? "expected \(expectation)" : "the text ends where \(expectation) was expected")
    }

    mutating func skipWhitespace() {
        while position < input.count {
            switch input[position] {
            case 0x20, 0x0a, 0x0d, 0x09: position += 1
            default: return
            }
        }
    }

    mutating func value() throws(JSONError) -> JSONValue {
        switch next {
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "{"): return .object(try object())
        case UInt8(ascii: "["): return .array(try array())
        case UInt8(ascii: "t"): return try literal("true", .bool(true))
        case UInt8(ascii: "f"): return try literal("false", .bool(false))
        case UInt8(ascii: "n"): return try literal("null", .null)
        case UInt8(ascii: "-"), 0x30...0x39: return .number(try number())
        default: throw unexpected("a value")
        }
    }

    mutating func literal(_ name: StaticString, _ value: JSONValue) throws(JSONError) -> JSONValue {
        let bytes = UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
        guard input.count - position >= bytes.count, input[position..<position + bytes.count].elementsEqual(bytes)
        else { throw error("expected a value") }
        position += bytes.count
        return value
    }

    mutating func enter() throws(JSONError) {
        depth += 1
        if depth > depthMax { throw error("arrays and objects are nested more than \(depthMax) deep") }
        position += 1
        skipWhitespace()
    }

    mutating func array() throws(JSONError) -> [JSONValue] {
        try enter()
        var values: [JSONValue] = []
        if next == UInt8(ascii: "]") {
            position += 1
            depth -= 1
            return values
        }
        while true {
            values.append(try value())
            skipWhitespace()
            switch next {
            case UInt8(ascii: ","):
                position += 1
                skipWhitespace()
            case UInt8(ascii: "]"):
                position += 1
                depth -= 1
                return values
            default: throw unexpected("',' or ']'")
            }
        }
    }

    mutating func object() throws(JSONError) -> JSONObject {
        try enter()
        var object = JSONObject()
        if next == UInt8(ascii: "}") {
            position += 1
            depth -= 1
            return object
        }
        var seen = NameFilter()
        while true {
            guard next == UInt8(ascii: "\"") else { throw unexpected("a member name in double quotes") }
            let nameStart = position
            let name = try string()
            skipWhitespace()
            guard next == UInt8(ascii: ":") else { throw unexpected("':'") }
            position += 1
            skipWhitespace()
            let value = try value()
            if seen.insert(name) {
                object.append(name, value)
            } else if !object.insert(name, value) {
                throw error("the object has a member of this name already", at: nameStart)
            }
            skipWhitespace()
            switch next {
            case UInt8(ascii: ","):
                position += 1
                skipWhitespace()
            case UInt8(ascii: "}"):
                position += 1
                depth -= 1
                return object
            default: throw unexpected("',' or '}'")
            }
        }
    }

    mutating func number() throws(JSONError) -> JSONNumber {
        let start = position
        if next == UInt8(ascii: "-") { position += 1 }
        if next == UInt8(ascii: "0") {
            position += 1
            if (0x30...0x39).contains(next) { throw error("a number must not begin with 0") }
        } else {
            try digits()
        }
        if next == UInt8(ascii: ".") {
            position += 1
            try digits()
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            position += 1
            if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { position += 1 }
            try digits()
        }
        return JSONNumber(validated: String(decoding: input[start..<position], as: UTF8.self))
    }

    mutating func digits() throws(JSONError) {
        let start = position
        while (0x30...0x39).contains(next) { position += 1 }
        if position == start { throw unexpected("a digit") }
    }

    mutating func string() throws(JSONError) -> String {
        let start = position + 1
        let (end, isASCII) = StringScan.end(in: input, from: start)
        position = end
        switch next {
        case UInt8(ascii: "\""):
            // ASCII needs no validation, which costs as much as all the rest.
            let text =
                isASCII ? String(decoding: input[start..<end], as: UTF8.self) : try text(start..<end)
            position += 1
            return text
        case UInt8(ascii: "\\"): return try escapedString(from: start)
        default:
            if position < input.count { throw error("a control character in a string must be escaped") }
            throw unexpected("'\"'")
        }
    }

    func text(_ range: Range<Int>) throws(JSONError) -> String {
        let bytes = UnsafeBufferPointer(rebasing: input[range])
        if let text = String(validating: bytes, as: UTF8.self) { return text }
        // Slow, and only to say where.
        var decoder = UTF8()
        var iterator = bytes.makeIterator()
        var valid = 0
        while case .scalarValue(let scalar) = decoder.decode(&iterator) { valid += UTF8.width(scalar) }
        throw error("this is not UTF-8", at: range.lowerBound + valid)
    }

    /// A string with escapes: `position` is at the first of them.
    mutating func escapedString(from start: Int) throws(JSONError) -> String {
        var result = try text(start..<position)
        while position < input.count {
            switch input[position] {
            case UInt8(ascii: "\""):
                position += 1
                return result
            case UInt8(ascii: "\\"): result.unicodeScalars.append(try escape())
            case 0..<0x20: throw error("a control character in a string must be escaped")
            default:
                let pieceStart = position
                while position < input.count, input[position] >= 0x20, input[position] != UInt8(ascii: "\""),
                    input[position] != UInt8(ascii: "\\")
                { position += 1 }
                result += try text(pieceStart..<position)
            }
        }
        throw unexpected("'\"'")
    }

    mutating func escape() throws(JSONError) -> Unicode.Scalar {
        let start = position
        position += 2
        switch start + 1 < input.count ? input[start + 1] : 0 {
        case UInt8(ascii: "\""): return "\""
        case UInt8(ascii: "\\"): return "\\"
        case UInt8(ascii: "/"): return "/"
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{c}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"):
            let unit = try hexadecimalUnit(escapeAt: start)
            if let scalar = Unicode.Scalar(unit) { return scalar }
            guard unit < 0xdc00, next == UInt8(ascii: "\\"), position + 1 < input.count,
                input[position + 1] == UInt8(ascii: "u")
            else { throw error("a surrogate without its other half", at: start) }
            position += 2
            let low = try hexadecimalUnit(escapeAt: position - 2)
            guard (0xdc00...0xdfff).contains(low),
                let scalar = Unicode.Scalar(0x10000 + (UInt32(unit) - 0xd800) << 10 + (UInt32(low) - 0xdc00))
            else { throw error("a surrogate without its other half", at: start) }
            return scalar
        default: throw error("an unknown escape in a string", at: start)
        }
    }

    mutating func hexadecimalUnit(escapeAt start: Int) throws(JSONError) -> UInt16 {
        var unit: UInt16 = 0
        for _ in 0..<4 {
            let digit: UInt8
            switch next {
            case 0x30...0x39: digit = next - 0x30
            case 0x41...0x46: digit = next - 0x41 + 10
            case 0x61...0x66: digit = next - 0x61 + 10
            default: throw error("an escape needs four hexadecimal digits after \\u", at: start)
            }
            unit = unit << 4 | UInt16(digit)
            position += 1
        }
        return unit
    }
}

/// Which names may have been there: 256 bits, so that most need not be looked for among the members before them.
private struct NameFilter {
    private var bits: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

    /// True where the name has certainly not been there before.
    mutating func insert(_ name: String) -> Bool {
        var name = name
        let hash = name.withUTF8 { bytes -> UInt in
            guard let first = bytes.first, let last = bytes.last else { return 0 }
            let count = UInt(bytes.count)
            let middle = UInt(bytes[bytes.count / 2]) &* 31 &+ UInt(bytes[bytes.count * 3 / 4]) &* 17
            return (count &* 7 &+ UInt(first) &* 3 &+ UInt(last) &* 5 &+ middle) & 255
        }
        let bit: UInt64 = 1 << UInt64(hash & 63)
        switch hash >> 6 {
        case 0: return Self.insert(bit, into: &bits.0)
        case 1: return Self.insert(bit, into: &bits.1)
        case 2: return Self.insert(bit, into: &bits.2)
        default: return Self.insert(bit, into: &bits.3)
        }
    }

    private static func insert(_ bit: UInt64, into word: inout UInt64) -> Bool {
        defer { word |= bit }
        return word & bit == 0
    }
}
