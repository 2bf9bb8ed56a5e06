extension JSONPatch {
    /// As `difference`, for two texts that this module wrote, without making values of them: where both have the same
    /// members in the same order, as two versions of a document mostly have, they are walked side by side. The operations
    /// separated by commas, their paths beginning with `path`; empty where the texts are equal.
    ///
    /// `nil` where it takes more to tell: members that came, went or moved, arrays that differ, escapes, fractions.
    package static func operations(from old: String, to new: String, under path: String) -> String? {
        var (old, new) = (old, new)
        return old.withUTF8 { old in
            new.withUTF8 { new in
                var walk = TextWalk(old: old, new: new, path: Array(path.utf8))
                guard walk.value(), walk.isAtEnd else { return nil }
                return String(decoding: walk.output, as: UTF8.self)
            }
        }
    }
}

extension JSONObject {
    /// The names in a text of this module's, without making values of it; `nil` where they take more to tell.
    package static func names(in text: String) -> [String]? {
        var text = text
        return text.withUTF8 { bytes in
            guard bytes.count >= 2, bytes[0] == UInt8(ascii: "{") else { return nil }
            if bytes[1] == UInt8(ascii: "}") { return [] }
            var names: [String] = []
            var position = 0
            while position < bytes.count, bytes[position] != UInt8(ascii: "}") {
                position += 1
                guard position < bytes.count, bytes[position] == UInt8(ascii: "\""),
                    let end = TextWalk.end(ofStringAt: position, in: bytes), end < bytes.count,
                    bytes[end] == UInt8(ascii: ":"), !bytes[position..<end].contains(UInt8(ascii: "\\")),
                    let next = TextWalk.end(ofValueAt: end + 1, in: bytes)
                else { return nil }
                names.append(String(decoding: bytes[(position + 1)..<(end - 1)], as: UTF8.self))
                position = next
            }
            return names
        }
    }
}

/// Both texts are JSON without spaces: whoever stored them has seen to it. Anything else ends the walk.
private struct TextWalk {
    private static let depthMax = 200
    private static let outputMax = 64 << 10

    let old: UnsafeBufferPointer<UInt8>
    let new: UnsafeBufferPointer<UInt8>
    /// A JSON Pointer (RFC 6901).
    var path: [UInt8]
    var output: [UInt8] = []
    private var oldPosition = 0
    private var newPosition = 0
    private var depth = 0

    init(old: UnsafeBufferPointer<UInt8>, new: UnsafeBufferPointer<UInt8>, path: [UInt8]) {
        self.old = old
        self.new = new
        self.path = path
    }

    var isAtEnd: Bool { oldPosition == old.count && newPosition == new.count }

    private static func byte(_ text: UnsafeBufferPointer<UInt8>, _ position: Int) -> UInt8 {
        position < text.count ? text[position] : 0
    }

    /// Past one value in each. False where this is not the way.
    mutating func value() -> Bool {
        let (before, after) = (Self.byte(old, oldPosition), Self.byte(new, newPosition))
        if before == UInt8(ascii: "{"), after == UInt8(ascii: "{") { return object() }
        guard Self.beginsValue(before), Self.beginsValue(after) else { return false }
        guard let oldEnd = Self.end(ofValueAt: oldPosition, in: old),
            let newEnd = Self.end(ofValueAt: newPosition, in: new)
        else { return false }
        let oldValue = UnsafeBufferPointer(rebasing: old[oldPosition..<oldEnd])
        let newValue = UnsafeBufferPointer(rebasing: new[newPosition..<newEnd])
        (oldPosition, newPosition) = (oldEnd, newEnd)
        if oldValue.elementsEqual(newValue) { return true }
        guard Self.kind(before) != Self.kind(after) || Self.isPlain(oldValue) && Self.isPlain(newValue) else {
            return false
        }
        if !output.isEmpty { output.append(UInt8(ascii: ",")) }
        output += #"{"op":"replace","path":""#.utf8
        output += path
        output += #"","value":"#.utf8
        output += newValue
        output.append(UInt8(ascii: "}"))
        return output.count <= Self.outputMax
    }

    private mutating func object() -> Bool {
        depth += 1
        defer { depth -= 1 }
        if depth > Self.depthMax { return false }
        oldPosition += 1
        newPosition += 1
        if Self.byte(old, oldPosition) == UInt8(ascii: "}"), Self.byte(new, newPosition) == UInt8(ascii: "}") {
            oldPosition += 1
            newPosition += 1
            return true
        }
        let pathCount = path.count
        while true {
            guard Self.byte(old, oldPosition) == UInt8(ascii: "\""),
                let oldEnd = Self.end(ofStringAt: oldPosition, in: old),
                let newEnd = Self.end(ofStringAt: newPosition, in: new),
                oldEnd - oldPosition == newEnd - newPosition,
                old[oldPosition..<oldEnd].elementsEqual(new[newPosition..<newEnd]),
                Self.byte(old, oldEnd) == UInt8(ascii: ":"), Self.byte(new, newEnd) == UInt8(ascii: ":")
            else { return false }
            path.append(UInt8(ascii: "/"))
            for byte in new[(newPosition + 1)..<(newEnd - 1)] {
                switch byte {
                case UInt8(ascii: "~"): path += "~0".utf8
                case UInt8(ascii: "/"): path += "~1".utf8
                case UInt8(ascii: "\\"): return false
                default: path.append(byte)
                }
            }
            oldPosition = oldEnd + 1
            newPosition = newEnd + 1
            guard value() else { return false }
            path.removeLast(path.count - pathCount)
            let next = Self.byte(new, newPosition)
            guard next == Self.byte(old, oldPosition) else { return false }
            oldPosition += 1
            newPosition += 1
            if next == UInt8(ascii: "}") { return true }
            if next != UInt8(ascii: ",") { return false }
        }
    }

    private static func beginsValue(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "{"), UInt8(ascii: "["), UInt8(ascii: "\""), UInt8(ascii: "-"), 0x30...0x39,
            UInt8(ascii: "t"),
            UInt8(ascii: "f"), UInt8(ascii: "n"):
            true
        default: false
        }
    }

    /// Values of different kinds differ.
    private static func kind(_ first: UInt8) -> UInt8 {
        switch first {
        case UInt8(ascii: "-"), 0x30...0x39: 0x30
        case UInt8(ascii: "t"), UInt8(ascii: "f"): UInt8(ascii: "t")
        default: first
        }
    }

    /// Different texts mean different values: strings without escapes, whole numbers, words.
    private static func isPlain(_ value: UnsafeBufferPointer<UInt8>) -> Bool {
        switch value.first ?? 0 {
        case UInt8(ascii: "\""): !value.contains(UInt8(ascii: "\\"))
        case UInt8(ascii: "-"), 0x30...0x39:
            value.count <= 18 && !value.elementsEqual("-0".utf8)
                && value.allSatisfy { $0 == UInt8(ascii: "-") || (0x30...0x39).contains($0) }
        case UInt8(ascii: "t"), UInt8(ascii: "f"), UInt8(ascii: "n"): true
        default: false
        }
    }

    /// Behind the closing quote.
    static func end(ofStringAt start: Int, in text: UnsafeBufferPointer<UInt8>) -> Int? {
        var position = start + 1
        while true {
            position = StringScan.end(in: text, from: position).position
            switch byte(text, position) {
            case UInt8(ascii: "\""): return position + 1
            case UInt8(ascii: "\\"): position += 2
            default: return nil
            }
        }
    }

    static func end(ofValueAt start: Int, in text: UnsafeBufferPointer<UInt8>) -> Int? {
        var position = start
        var depth = 0
        while position < text.count {
            switch text[position] {
            case UInt8(ascii: "\""):
                guard let end = end(ofStringAt: position, in: text) else { return nil }
                position = end
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                position += 1
                continue
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                if depth == 0 { return position > start ? position : nil }
                depth -= 1
                position += 1
            case UInt8(ascii: ","), UInt8(ascii: ":"):
                if depth == 0 { return position > start ? position : nil }
                position += 1
                continue
            default:
                position += 1
                if depth == 0 {
                    while position < text.count, ![0x2c, 0x5d, 0x7d].contains(text[position]) { position += 1 }
                    return position
                }
                continue
            }
            if depth == 0 { return position }
        }
        return nil
    }
}
