import Testing

@testable import JSON

@Suite struct TextPatchTests {
    /// What the walk over the texts says, where it says anything.
    private func operations(_ old: String, _ new: String) -> String? {
        JSONPatch.operations(from: old, to: new, under: "").map { "[\($0)]" }
    }

    @Test func `two texts walked side by side differ as their values do`() throws {
        let old = try JSONValue(
            parsing: #"{"a/b~c":{"name":"Ada","count":12,"ok":true},"list":[1,{"x":"y,}]"}],"none":null,"e":{}}"#)
        for change in [
            (["a/b~c", "name"], "Grace"), (["a/b~c", "count"], 13), (["a/b~c", "count"], -1), (["a/b~c", "ok"], false),
            (["none"], "now"), (["list"], "gone"), (["a/b~c"], JSONValue.null), ([], old),
        ] as [([String], JSONValue)] {
            let new = setting(change.0, to: change.1, in: old)
            let text = try #require(operations(old.text, new.text), "\(change)")
            #expect(text == JSONPatch.difference(from: old, to: new).text)
        }
    }

    @Test(arguments: [
        (#"{"a":1}"#, #"{"a":1,"b":2}"#), (#"{"a":1,"b":2}"#, #"{"a":1}"#), (#"{"a":1}"#, #"{"b":1}"#),
        (#"{"a":1,"b":2}"#, #"{"b":2,"a":1}"#), (#"{"a":[1]}"#, #"{"a":[2]}"#), (#"{"a":1.0}"#, #"{"a":1}"#),
        (#"{"a":-0}"#, #"{"a":0}"#), (#"{"a":1e2}"#, #"{"a":100}"#), (#"{"a":"\u0041"}"#, #"{"a":"A"}"#),
        (#"{"\u0041":1}"#, #"{"\u0041":2}"#), (#"{}"#, #"{"a":1}"#), (#"{"a":1"#, #"{"a":1"#), ("", ""),
        (#"{"a": 1}"#, #"{"a":1}"#), (#"{"a":{"b":1}}"#, #"{"a":{}}"#), (#"{"a":1}x"#, #"{"a":1}"#),
        (#"{"a":123456789012345678901}"#, #"{"a":123456789012345678902}"#),
    ])
    func `whatever takes more to tell is left to the values`(old: String, new: String) {
        #expect(operations(old, new) == nil)
    }

    @Test func `any two documents get the same patch both ways, or none from their texts`() throws {
        var random = SystemRandomNumberGenerator()
        var told = 0
        for _ in 0..<3000 {
            let old = document(&random, depth: 3)
            let new = Bool.random(using: &random) ? changed(old, &random) : document(&random, depth: 3)
            guard let text = operations(old.text, new.text) else { continue }
            told += 1
            #expect(text == JSONPatch.difference(from: old, to: new).text, "\(old.text) → \(new.text)")
        }
        #expect(told > 300)
    }

    @Test func `names are read from a text as from its value, or not at all`() throws {
        for text in [
            "{}", #"{"a":1}"#, #"{"a":{"b":[1,"}"]},"c d":null,"":"x\"y","é":[]}"#, #"{"user":{"id":1},"id_token":{}}"#,
        ] {
            #expect(try JSONObject.names(in: text) == JSONValue(parsing: text).object?.names, "\(text)")
        }
        for text in ["", "[]", "{", #"{"a"}"#, #"{"a":1,}"#, #"{"\u0041":1}"#, #"{ "a":1}"#, #"{"a":"#] {
            #expect(JSONObject.names(in: text) == nil, "\(text)")
        }
    }

    private func setting(_ path: [String], to value: JSONValue, in document: JSONValue) -> JSONValue {
        guard let first = path.first, var object = document.object else { return value }
        object[first] = setting(Array(path.dropFirst()), to: value, in: object[first] ?? .null)
        return .object(object)
    }

    private let leaves: [JSONValue] = [
        .null, true, false, 0, 7, -7, 12, "", "a", "ä\u{1F600}", "quote\"", "tab\t", "a long text without anything",
        .number(JSONNumber("1.50") ?? JSONNumber(1)), ["x"], [], .object([:]),
    ]

    private func document(_ random: inout some RandomNumberGenerator, depth: Int) -> JSONValue {
        if depth == 0 || Int.random(in: 0..<4, using: &random) == 0 { return leaves.randomElement(using: &random) ?? 0 }
        var object = JSONObject()
        for name in ["a", "b/c", "d~", "ünder", "a name that is longer"].prefix(Int.random(in: 0...5, using: &random)) {
            object[name] = document(&random, depth: depth - 1)
        }
        return .object(object)
    }

    private func changed(_ value: JSONValue, _ random: inout some RandomNumberGenerator) -> JSONValue {
        guard let object = value.object, !object.isEmpty else { return leaves.randomElement(using: &random) ?? 0 }
        let name = object.names.randomElement(using: &random) ?? ""
        return setting([name], to: changed(object[name] ?? .null, &random), in: value)
    }
}

@Suite struct StringScanTests {
    @Test func `the end of a string is where a byte by byte look finds it`() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<5000 {
            let bytes = (0..<Int.random(in: 0...40, using: &random)).map { _ -> UInt8 in
                switch Int.random(in: 0..<12, using: &random) {
                case 0: [0x22, 0x5c, 0x1f, 0x00, 0x20, 0x21, 0x23, 0x5b, 0x5d, 0x7f].randomElement(using: &random) ?? 0
                case 1: UInt8.random(in: 0...255, using: &random)
                default: UInt8.random(in: 0x61...0x7a, using: &random)
                }
            }
            let start = Int.random(in: 0...bytes.count, using: &random)
            let end = bytes[start...].firstIndex { $0 < 0x20 || $0 == 0x22 || $0 == 0x5c } ?? bytes.count
            let found = bytes.withUnsafeBufferPointer { StringScan.end(in: $0, from: start) }
            #expect(found.position == end)
            #expect(found.isASCII == bytes[start..<end].allSatisfy { $0 < 0x80 })
        }
    }

    @Test func `names that a filter takes for one another are told apart, and the same name is refused`() throws {
        let names = (0..<300).map { "name_\($0 % 10)\($0 / 10)x" }
        let text = "{" + names.map { "\"\($0)\":1" }.joined(separator: ",") + "}"
        #expect(try JSONValue(parsing: text).object?.names == names)
        for name in [names[0], names[150], names[299]] {
            #expect(throws: JSONError.self) { try JSONValue(parsing: text.dropLast() + ",\"\(name)\":2}") }
        }
    }

    @Test func `members are sorted by their bytes, however their names begin`() throws {
        let names = [
            "", "a", "ab", "abcdefgh", "abcdefgha", "abcdefg\u{1}", "abcdefghB", "é", "e\u{301}", "Z", "zzzzzzzzz",
        ]
        var object = JSONObject()
        for name in names.shuffled() { object[name] = 0 }
        let sorted = names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        #expect(try JSONValue(parsing: JSONValue.object(object).canonicalText).object?.names == sorted)
    }
}
