import JSON
import Testing

struct ReadingTests {
    @Test(
        arguments: [
            ("null", JSONValue.null), (" \t\r\ntrue \n", true), ("false", false), ("0", 0), ("-12", -12), ("\"\"", ""),
            ("[]", []), ("[ ]", []), ("{}", [:]), ("{ }", [:]), ("[1,[2],{\"a\":[]}]", [1, [2], ["a": []]]),
            (#"{"a":1,"b":{"c":null}}"#, ["a": 1, "b": ["c": .null]]),
            (#""\"\\\/\b\f\n\r\t\u0041\u00e9\uD83D\uDE00x""#, "\"\\/\u{8}\u{c}\n\r\tA\u{e9}😀x"),
            (#""é😀\u0000\u007f""#, "é😀\u{0}\u{7f}"), (#"{"":1}"#, ["": 1]), ("\u{feff}[1]", [1]),
        ] as [(String, JSONValue)])
    func `reads what RFC 8259 allows`(_ text: String, _ value: JSONValue) throws {
        #expect(try JSONValue(parsing: text) == value)
        // Not contiguous, as a body may be.
        #expect(try JSONValue(parsing: text.utf8.lazy.map { $0 }) == value)
    }

    @Test(arguments: [
        ("", 0), (" ", 1), ("nul", 0), ("nulll", 4), ("True", 0), ("1 2", 2), ("[1]x", 3), ("{}\0", 2),
        ("[1]\u{feff}", 3),
        ("[1,]", 3), ("[,1]", 1), ("[1 2]", 3), ("[", 1), ("[1", 2), ("]", 0), ("{", 1), ("{a:1}", 1), ("{'a':1}", 1),
        ("{\"a\"}", 4), ("{\"a\":}", 5), ("{\"a\":1,}", 7), ("{\"a\":1 \"b\":2}", 7), ("{\"a\" 1}", 5), ("01", 1),
        ("-", 1),
        ("+1", 0), (".5", 0), ("1.", 2), ("1.e1", 2), ("1e", 2), ("1e+", 3), ("-01", 2), ("0x1", 1), ("NaN", 0),
        ("Infinity", 0), ("-Infinity", 1), ("1_000", 1), ("\"", 1), ("\"a", 2), ("\"\\\"", 3), ("\"\\", 1),
        ("\"\\x\"", 1),
        ("\"\\u12\"", 1), ("\"\\u12g4\"", 1), ("\"\\U0041\"", 1), ("\"\t\"", 1), ("\"\n\"", 1), ("\"a\\n\u{1}\"", 4),
        ("\"\0\"", 1), ("// x\n1", 0), ("[1]/**/", 3), ("'a'", 0), ("\u{a0}1", 0), ("\u{c}1", 0),
    ])
    func `refuses what is not JSON and says where`(_ text: String, _ offset: Int) throws {
        let error = try #require(throws: JSONError.self) { try JSONValue(parsing: text) }
        #expect(error.offset == offset, "\(error)")
    }

    @Test(arguments: [
        #""\ud800""#, #""\udc00""#, #""\ud800\u0041""#, #""\ud800\ud800""#, #""\udc00\ud800""#, #""\ud800x""#,
        #""\ud83d\n""#, #""\ud83d\"#, #""\ud83d\u"#, #"{"\ud83d":1}"#,
    ])
    func `refuses a surrogate without its other half`(_ text: String) {
        #expect(throws: JSONError.self) { try JSONValue(parsing: text) }
    }

    @Test(
        arguments: [
            ([0x80], 2), ([0xff], 2), ([0xc0, 0x80], 2), ([0xc1, 0xbf], 2), ([0xe0, 0x80, 0x80], 2),
            ([0xed, 0xa0, 0x80], 2),
            ([0xf4, 0x90, 0x80, 0x80], 2), ([0xf5, 0x80, 0x80, 0x80], 2), ([0xc3], 2), ([0xe2, 0x82], 2),
            ([0x41, 0xc3, 0x28], 3),
            ([0xc3, 0xa9, 0xff], 4), ([0xf0, 0x9f, 0x98], 2), ([0x5c, 0x6e, 0x61, 0xff], 5),
        ] as [([UInt8], Int)])
    func `refuses what is not UTF-8 and says where`(_ inner: [UInt8], _ offset: Int) throws {
        let error = try #require(throws: JSONError.self) {
            try JSONValue(parsing: Array("[\"".utf8) + inner + Array("\"]".utf8))
        }
        #expect(error.reason == "this is not UTF-8")
        #expect(error.offset == offset)
    }

    @Test(
        arguments: [
            [0xff, 0xfe, 0x31, 0x00], [0x00, 0x31], [0x31, 0x00], [0xef, 0xbb], [0xef, 0xbb, 0xbf],
            [0xef, 0xbb, 0xbf, 0xef, 0xbb, 0xbf, 0x31],
            [0xfe, 0xff, 0x00, 0x31],
        ] as [[UInt8]])
    func `refuses other encodings and half a byte order mark`(_ bytes: [UInt8]) {
        #expect(throws: JSONError.self) { try JSONValue(parsing: bytes) }
    }

    @Test func `says line and column in characters`() throws {
        let error = try #require(throws: JSONError.self) { try JSONValue(parsing: "{\n  \"é😀\": x}") }
        #expect((error.line, error.column, error.offset) == (2, 9, 14))
        #expect("\(error)" == "line 2, column 9: expected a value")
    }

    @Test func `never quotes the text`() throws {
        for text in ["[\"EXAMPLE-secret\" EXAMPLE]", "{\"EXAMPLE\":1,\"EXAMPLE\":2}", "\"EXAMPLE\\x\"", "EXAMPLE"] {
            let error = try #require(throws: JSONError.self) { try JSONValue(parsing: text) }
            #expect(!"\(error) \(String(reflecting: error))".contains("EXAMPLE"))
        }
    }

    @Test func `refuses duplicate members however they are written`() throws {
        for text in [#"{"a":1,"a":1}"#, #"{"a":1,"b":2,"\u0061":3}"#, #"[{"":1,"":2}]"#] {
            let error = try #require(throws: JSONError.self) { try JSONValue(parsing: text) }
            #expect(error.reason == "the object has a member of this name already")
        }
        let error = try #require(throws: JSONError.self) { try JSONValue(parsing: #"{"a":1,"a":1}"#) }
        #expect(error.offset == 7)
        let many = (0..<1000).map { "\"n\($0)\":\($0)" }.joined(separator: ",")
        #expect(try JSONValue(parsing: "{\(many)}")["n999"] == 999)
        #expect(throws: JSONError.self) { try JSONValue(parsing: "{\(many),\"n500\":1}") }
    }

    @Test func `takes canonically equivalent names for different ones`() throws {
        let value = try JSONValue(parsing: "{\"\u{e9}\":1,\"e\u{301}\":2}")
        #expect(value["\u{e9}"] == 1)
        #expect(value["e\u{301}"] == 2)
        #expect(JSONValue.string("\u{e9}") != JSONValue.string("e\u{301}"))
        #expect(JSONValue.string("\u{212b}") != JSONValue.string("\u{c5}"))
    }
}

struct HostileInputTests {
    @Test(arguments: ["[", "{\"a\":", "[[],", "[{\"a\":[", "[\"", "\"\\"])
    func `refuses 200,000 levels without growing the stack`(_ opening: String) throws {
        let text = String(repeating: opening, count: 200_000)
        #expect(throws: JSONError.self) { try JSONValue(parsing: text) }
        #expect(throws: JSONError.self) { try JSONValue(parsing: text, depthMax: .max) }
    }

    @Test func `bounds the depth exactly`() throws {
        let nested = { (depth: Int) in String(repeating: "[", count: depth) + String(repeating: "]", count: depth) }
        #expect(try JSONValue(parsing: nested(128)).text == nested(128))
        let error = try #require(throws: JSONError.self) { try JSONValue(parsing: nested(129)) }
        #expect(error.reason == "arrays and objects are nested more than 128 deep")
        #expect(try JSONValue(parsing: nested(3), depthMax: 3).text == nested(3))
        #expect(throws: JSONError.self) { try JSONValue(parsing: nested(4), depthMax: 3) }
        #expect(try JSONValue(parsing: "1", depthMax: 0) == 1)
        let composed: JSONValue = ["raw": ["user": try JSONValue(parsing: nested(128))]]
        #expect(try JSONValue(parsing: composed.text, depthMax: JSONValue.composedDepthMax) == composed)
        #expect(try JSONValue(parsing: nested(1000), depthMax: .max).text == nested(1000))
        #expect(throws: JSONError.self) { try JSONValue(parsing: nested(1001), depthMax: .max) }
        // Siblings do not add up.
        let wide = "[" + Array(repeating: "[[]]", count: 1000).joined(separator: ",") + "]"
        #expect(try JSONValue(parsing: wide, depthMax: 3).text == wide)
    }

    @Test func `reads a hundred thousand members in no more than linear time`() throws {
        let members = (0..<100_000).map { "\"member-\($0)\":\($0)" }.joined(separator: ",")
        let value = try JSONValue(parsing: "{\(members)}")
        let reversed = (0..<100_000).reversed().map { "\"member-\($0)\":\($0)" }.joined(separator: ",")
        let other = try JSONValue(parsing: "{\(reversed)}")
        #expect(value == other)
        #expect(value.hashValue == other.hashValue)
        #expect(value.canonicalText == other.canonicalText)
        #expect(JSONPatch.difference(from: value, to: other) == [])
    }

    @Test func `cuts anywhere end in an error or in a value, never in a crash`() throws {
        let text = #"{"a":[1,-2.5e+10,true,null,"é😀\u00e9\ud83d\ude00\n"],"b":{"c":{}}}"#
        let bytes = Array(text.utf8)
        for end in bytes.indices { #expect(throws: JSONError.self) { try JSONValue(parsing: bytes[..<end]) } }
        for index in bytes.indices {
            for byte in [0, 0x22, 0x5c, 0x7b, 0x80, 0xff] as [UInt8] {
                var changed = bytes
                changed[index] = byte
                if let value = try? JSONValue(parsing: changed) {  // either is right; what is read must hold together
                    #expect(try JSONValue(parsing: value.text) == value)
                }
            }
        }
    }

    @Test func `reads numbers of any size and keeps them as they are`() throws {
        let digits = String(repeating: "9", count: 1_000_000)
        for text in [digits, "-\(digits)", "0.\(digits)", "1e\(digits)", "1e-\(digits)", "\(digits)e-\(digits)"] {
            let number = try #require(try JSONValue(parsing: text).number)
            #expect(number.text == text)
            #expect(number.int64 == nil)
            #expect(!number.double.isNaN)
            #expect(number == number)
            #expect(!(number < number))
        }
        #expect(try JSONValue(parsing: "-1e400").number?.double == -.infinity)
        #expect(try JSONValue(parsing: "1e400").number?.double == .infinity)
    }
}
