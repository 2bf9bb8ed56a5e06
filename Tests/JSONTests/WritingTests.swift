import JSON
import TestSupport
import Testing

struct WritingTests {
    @Test func `writes compactly, in order, numbers as they were`() throws {
        let text = #"{"z":1.50,"a":[1E+2,-0,true,false,null],"m":{"b":"","a":{}}}"#
        let value = try JSONValue(parsing: text)
        #expect(value.text == text)
        #expect(value.utf8 == Array(text.utf8))
        #expect(value.canonicalText == #"{"a":[1E+2,-0,true,false,null],"m":{"a":{},"b":""},"z":1.50}"#)
    }

    @Test func `escapes what must be and nothing else`() {
        let all = String(String.UnicodeScalarView((0...0x20).compactMap { Unicode.Scalar($0 as UInt32) }))
        let written = JSONValue.string(all + "\"\\/\u{7f}\u{85}\u{2028}é😀").text
        let controls =
            #"\u0000\u0001\u0002\u0003\u0004\u0005\u0006\u0007\b\t\n\u000b\f\r\u000e\u000f"#
            + #"\u0010\u0011\u0012\u0013\u0014\u0015\u0016\u0017\u0018\u0019\u001a\u001b\u001c\u001d\u001e\u001f "#
        #expect(written == "\"" + controls + "\\\"\\\\/\u{7f}\u{85}\u{2028}é😀\"")
    }

    @Test func `sorts canonical members by code point`() throws {
        let value: JSONValue = ["\u{ffff}": 1, "\u{1f600}": 2, "b": 3, "a": 4, "": 5, "\u{e9}": 6, "e\u{301}": 7]
        #expect(
            value.canonicalText == "{\"\":5,\"a\":4,\"b\":3,\"e\u{301}\":7,\"\u{e9}\":6,\"\u{ffff}\":1,\"\u{1f600}\":2}"
        )
    }

    @Test func `reads back what it wrote`() throws {
        let random = SeededRandom(seed: 8259)
        for _ in 0..<2000 {
            let value = JSONValue.generated(random)
            let text = value.text
            let read = try JSONValue(parsing: text)
            #expect(read == value)
            #expect(read.text == text)
            #expect(try JSONValue(parsing: value.canonicalText) == value)
            #expect(read.hashValue == value.hashValue)
        }
    }
}

struct ObjectTests {
    @Test func `keeps places when members are set, and closes the gap when one is removed`() {
        var object: JSONObject = ["a": 1, "b": 2, "c": 3]
        object["b"] = 4
        #expect(object.text == #"{"a":1,"b":4,"c":3}"#)
        object["a"] = nil
        object["absent"] = nil
        object["d"] = 5
        #expect(object.names == ["b", "c", "d"])
        #expect(object.count == 3)
        #expect(object.filtered { $0.name != "c" } == ["d": 5, "b": 4])
    }

    @Test func `is equal whatever the order, and only then`() {
        let object: JSONObject = ["a": 1, "b": [2]]
        #expect(object == ["b": [2], "a": 1])
        #expect(object.hashValue == (["b": [2], "a": 1] as JSONObject).hashValue)
        for other in [["a": 1], ["a": 1, "b": [3]], ["a": 1, "c": [2]], ["a": 1, "b": [2], "c": 3]] as [JSONObject] {
            #expect(object != other)
        }
    }

    @Test func `finds, changes and removes among many members as among few`() {
        var object = JSONObject()
        for number in 0..<200 { object["n\(number)"] = .number(JSONNumber(number)) }
        for number in stride(from: 0, to: 200, by: 2) { object["n\(number)"] = nil }
        object["n1"] = "changed"
        #expect(object.count == 100)
        #expect(object["n1"] == "changed")
        for number in 2..<200 {
            #expect(object["n\(number)"] == (number % 2 == 0 ? nil : .number(JSONNumber(number))))
        }
        for number in stride(from: 1, to: 181, by: 2) { object["n\(number)"] = nil }
        #expect(object.names == (0..<10).map { "n\(181 + 2 * $0)" })
        #expect(object["n199"] == 199)
    }
}

extension JSONValue {
    /// Small documents over few names, so that two of them have much in common.
    static func generated(_ random: SeededRandom, depth: Int = 4) -> JSONValue {
        let chance = random.bytes(2)
        switch chance[0] % (depth == 0 ? 6 : 10) {
        case 0: return .null
        case 1: return .bool(chance[1] % 2 == 0)
        case 2: return .number(JSONNumber(Int64(chance[1] % 4)))
        case 3:
            let texts = ["-0", "1.50", "1e5", "-2.25E-3", "123456789012345678901234567890", "1e999", "0.1"]
            return JSONNumber(texts[Int(chance[1]) % texts.count]).map(JSONValue.number) ?? .null
        case 4, 5: return .string(generatedText(random))
        case 6, 7: return .array((0..<chance[1] % 6).map { _ in generated(random, depth: depth - 1) })
        default:
            var object = JSONObject()
            for _ in 0..<chance[1] % 8 {
                let name = random.bytes(1)[0] % 4 == 0 ? generatedText(random) : "n\(random.bytes(1)[0] % 6)"
                object[name] = generated(random, depth: depth - 1)
            }
            return .object(object)
        }
    }

    private static func generatedText(_ random: SeededRandom) -> String {
        let pieces = [
            "", "a", "~", "/", "~1", "\"", "\\", "\u{0}", "\n", "\u{1f}", "é", "e\u{301}", "😀", "\u{2028}", "\u{feff}",
            "0", "-",
        ]
        return random.bytes(Int(random.bytes(1)[0] % 4)).map { pieces[Int($0) % pieces.count] }.joined()
    }
}
