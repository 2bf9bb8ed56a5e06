import JSON
import JSONPath
import TestSupport
import Testing

struct RemovalTests {
    @Test(arguments: [
        ("$.a", #"{"a":1,"b":2}"#, #"{"b":2}"#),
        ("$.absent", #"{"a":1}"#, #"{"a":1}"#),
        ("$[0,0,-1]", "[1,2,3]", "[2]"),
        ("$[*].seen", #"[{"seen":1,"id":1},{"id":2},3]"#, #"[{"id":1},{"id":2},3]"#),
        ("$..url", #"{"url":1,"a":{"url":{"url":2}},"b":[{"url":3}]}"#, #"{"a":{},"b":[{}]}"#),
        ("$..*", "[1,[2]]", "[]"),
        ("$", #"{"a":1}"#, "null"),
        ("$[?@.hidden == true]", #"[{"hidden":true},{"hidden":false}]"#, #"[{"hidden":false}]"#),
        ("$.guilds[::2]", #"{"guilds":[1,2,3,4,5]}"#, #"{"guilds":[2,4]}"#),
    ])
    func `takes out what a query selects`(_ query: String, _ document: String, _ rest: String) throws {
        #expect(try JSONPath(query).removing(from: JSONValue(parsing: document)).text == rest)
    }

    @Test(.timeLimit(.minutes(10))) func `takes very many members out at once`() throws {
        var counters = JSONObject()
        for index in 0..<20_000 { counters["c\(index)"] = .number(JSONNumber(index)) }
        let document: JSONValue = ["user": ["id": 1, "counters": .object(counters)]]
        let rest = try JSONPath("$.user.counters.*").removing(from: document)
        #expect(rest.text == #"{"user":{"id":1,"counters":{}}}"#)
    }

    @Test func `takes out the spelling of a name that was meant`() throws {
        let document = try JSONValue(parsing: "{\"\u{e9}\":1,\"e\u{301}\":2,\"x\":3}")
        #expect(try JSONPath("$['e\u{301}']").removing(from: document).text == "{\"\u{e9}\":1,\"x\":3}")
        #expect(try JSONPath("$['\u{e9}','e\u{301}']").removing(from: document).text == #"{"x":3}"#)
    }
}
