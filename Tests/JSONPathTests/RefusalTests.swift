import JSON
import JSONPath
import Testing

struct RefusalTests {
    @Test(arguments: [
        ("", 0), ("a", 0), ("@", 0), (" $", 0), ("$ ", 1), ("$.", 2), ("$..", 3), ("$.1", 2), ("$. a", 2), ("$a", 1),
        ("$.&", 2), ("$[", 2), ("$[]", 2), ("$[01]", 2), ("$[-0]", 2), ("$[1,]", 4), ("$['a'", 5), ("$['a]", 2),
        ("$['\\x']", 3), ("$['\\\"']", 3), ("$[\"\\'\"]", 3), ("$['\u{1}']", 3), ("$['\\ud800']", 3),
        ("$['\\ud800\\u0041']", 3), ("$['\\udc00']", 3), ("$['\\u12']", 7), ("$[9007199254740992]", 2),
        ("$[-9223372036854775808]", 2), ("$[1:2:3:4]", 7), ("$[99999999999999999999]", 2), ("$[?]", 3), ("$[?true]", 3),
        ("$[?1]", 3),
        ("$[?@.a == @.*]", 10), ("$[?@..a == 1]", 3), ("$[?@[0:1] == 1]", 3), ("$[?@ == 01]", 8), ("$[?@ == 1.]", 8),
        ("$[?@ == ]", 8), ("$[?@ = 1]", 5), ("$[?(@]", 5), ("$[?!1]", 4), ("$[?!@ == 1]", 6), ("$[?@ && 1]", 8),
        ("$[?length(@)]", 3), ("$[?length(@.*) == 1]", 10), ("$[?length() == 1]", 3), ("$[?length(@,@) == 1]", 3),
        ("$[?count(1) == 1]", 9), ("$[?value('a') == 1]", 9), ("$[?match(@) ]", 3), ("$[?match(@,'a') == true]", 3),
        ("$[?match(@.*,'a')]", 9), ("$[?lower(@) == 'a']", 3), ("$[?length (@) == 1]", 3), ("$[?@ == TRUE]", 8),
        ("$[?(@ == 1) == 1]", 12), ("$[?length(@ == 1)]", 12), ("$.a.b\u{0}", 5),
    ])
    func `refuses what is no well-typed query and says where`(_ query: String, _ position: Int) throws {
        let error = try #require(throws: JSONPathError.self) { try JSONPath(query) }
        #expect(error.position == position, "\(error)")
        #expect(!error.reason.isEmpty)
    }

    @Test func `bounds the length and the nesting of a query`() throws {
        let long = try #require(throws: JSONPathError.self) {
            try JSONPath("$" + String(repeating: ".a", count: 50_000))
        }
        #expect(long.reason.contains("4096"))
        for (opening, closing) in [("(", ")"), ("!(", ")"), ("@[?", "]"), ("length(", ")")] {
            let count = 4000 / (opening.count + closing.count)
            let query =
                "$[?" + String(repeating: opening, count: count) + "@" + String(repeating: closing, count: count)
            let deep = try #require(throws: JSONPathError.self) { try JSONPath(query + "]") }
            #expect(deep.reason == "nested more than 64 deep", "\(opening): \(deep)")
        }
    }

    @Test func `selects nothing rather than run for ever`() throws {
        let flat = JSONValue.array(Array(repeating: 1, count: 3000))
        #expect(try JSONPath("$[?count($[?count($[*]) > 0]) > 0]").values(in: flat) == [])
        var deep: JSONValue = []
        for _ in 0..<100 { deep = [deep, deep, deep] }
        #expect(try JSONPath("$..[0]").values(in: deep) == [])
        #expect(try JSONPath("$..*..*").locations(in: deep) == [])
        #expect(try JSONPath("$..*").removing(from: deep) == deep)
        let long = JSONValue.array(Array(repeating: ["x": .string(String(repeating: "y", count: 1000))], count: 1000))
        let twins: JSONValue = ["a": long, "b": long, "list": .array(Array(repeating: 1, count: 5000))]
        #expect(try JSONPath("$[?$.a == $.b]").values(in: twins).count == 3)
        #expect(try JSONPath("$.list[?$.a == $.b]").values(in: twins) == [])
    }

    @Test func `counts how long the numbers and strings are that it compares`() throws {
        let digits = try #require(JSONNumber(String(repeating: "7", count: 100_000)))
        let ids = JSONValue.array((0..<2000).map { .number(JSONNumber($0)) })
        let document: JSONValue = ["primary": .number(digits), "ids": ids, "few": [1, 2]]
        for comparison in ["!=", "<"] {
            #expect(try JSONPath("$.ids[?@ \(comparison) $.primary]").values(in: document) == [])
            #expect(try JSONPath("$.few[?@ \(comparison) $.primary]").values(in: document) == [1, 2])
        }
        let text = JSONValue.string(String(repeating: "y", count: 100_000))
        let texts: JSONValue = ["long": text, "list": .array(Array(repeating: text, count: 1000)), "few": [text]]
        #expect(try JSONPath("$.list[?!(@ < $.long)]").values(in: texts) == [])
        #expect(try JSONPath("$.few[?!(@ < $.long)]").values(in: texts) == [text])
    }

    @Test func `walks a document far deeper than the parser allows`() throws {
        var deep: JSONValue = ["bottom"]
        for _ in 0..<2000 { deep = [deep] }
        #expect(try JSONPath("$..[?@ == 'bottom']").values(in: deep) == ["bottom"])
    }
}
