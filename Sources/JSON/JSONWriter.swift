extension JSONValue {
    /// Compact, members in their order, numbers as they were written.
    package var text: String { String(decoding: utf8, as: UTF8.self) }

    /// As `text`, in UTF-8.
    package var utf8: [UInt8] {
        var writer = JSONWriter(sortsMembers: false)
        writer.write(self)
        return writer.output
    }

    /// Compact, members sorted by name (in the order of code points), for hashes. Numbers stay as they were written, so
    /// that `1` and `1.0` have different canonical texts though they are equal: this is not RFC 8785.
    package var canonicalText: String { String(decoding: canonicalUTF8, as: UTF8.self) }

    /// As `canonicalText`, in UTF-8.
    package var canonicalUTF8: [UInt8] {
        var writer = JSONWriter(sortsMembers: true)
        writer.write(self)
        return writer.output
    }
}

extension JSONObject {
    package var text: String { JSONValue.object(self).text }
}

private struct JSONWriter {
    let sortsMembers: Bool
    var output: [UInt8] = []

    init(sortsMembers: Bool) {
        self.sortsMembers = sortsMembers
        output.reserveCapacity(1024)
    }

    mutating func write(_ value: JSONValue) {
        switch value {
        case .null: output += "null".utf8
        case .bool(let value): output += (value ? "true" : "false").utf8
        case .number(let number): output += number.text.utf8
        case .string(let text): write(text)
        case .array(let values):
            output.append(UInt8(ascii: "["))
            for (index, value) in values.enumerated() {
                if index > 0 { output.append(UInt8(ascii: ",")) }
                write(value)
            }
            output.append(UInt8(ascii: "]"))
        case .object(let object):
            output.append(UInt8(ascii: "{"))
            var isFirst = true
            if sortsMembers {
                object.forEachSorted { write($0, &isFirst) }
            } else {
                for member in object { write(member, &isFirst) }
            }
            output.append(UInt8(ascii: "}"))
        }
    }

    private mutating func write(_ member: JSONObject.Member, _ isFirst: inout Bool) {
        if !isFirst { output.append(UInt8(ascii: ",")) }
        isFirst = false
        write(member.name)
        output.append(UInt8(ascii: ":"))
        write(member.value)
    }

    private mutating func write(_ text: String) {
        output.append(UInt8(ascii: "\""))
        var text = text
        text.withUTF8 { bytes in
            var position = 0
            while true {
                let end = StringScan.end(in: bytes, from: position).position
                output.append(contentsOf: UnsafeBufferPointer(rebasing: bytes[position..<end]))
                if end == bytes.count { break }
                escape(bytes[end])
                position = end + 1
            }
        }
        output.append(UInt8(ascii: "\""))
    }

    private mutating func escape(_ byte: UInt8) {
        output.append(UInt8(ascii: "\\"))
        switch byte {
        case 0x22, 0x5c: output.append(byte)
        case 0x08: output.append(UInt8(ascii: "b"))
        case 0x09: output.append(UInt8(ascii: "t"))
        case 0x0a: output.append(UInt8(ascii: "n"))
        case 0x0c: output.append(UInt8(ascii: "f"))
        case 0x0d: output.append(UInt8(ascii: "r"))
        default:
            let digits = Array("0123456789abcdef".utf8)
            output += "u00".utf8
            output += [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
    }
}
