import JSON
import TestSupport
import Testing

struct PatchTests {
    @Test(arguments: [
        ("1", "1", "[]"), ("1", "1.0", "[]"), ("1", "2", #"[{"op":"replace","path":"","value":2}]"#),
        (#"{"a":1}"#, #"{"a":2}"#, #"[{"op":"replace","path":"/a","value":2}]"#),
        (#"{"a":1}"#, "{}", #"[{"op":"remove","path":"/a"}]"#),
        ("{}", #"{"a":null}"#, #"[{"op":"add","path":"/a","value":null}]"#),
        (#"{"a":1,"b":2}"#, #"{"b":2,"a":1}"#, "[]"),
        (#"{"a":[]}"#, #"{"a":{}}"#, #"[{"op":"replace","path":"/a","value":{}}]"#),
        (#"{"a/b~":{"":1}}"#, #"{"a/b~":{"":2}}"#, #"[{"op":"replace","path":"/a~1b~0/","value":2}]"#),
        ("[1,2,3]", "[1,3]", #"[{"op":"remove","path":"/1"}]"#),
        ("[1,3]", "[1,2,3]", #"[{"op":"add","path":"/1","value":2}]"#),
        ("[1,2,3,4]", "[1,4]", #"[{"op":"remove","path":"/2"},{"op":"remove","path":"/1"}]"#),
        ("[]", "[1,2]", #"[{"op":"add","path":"/0","value":1},{"op":"add","path":"/1","value":2}]"#),
        (#"[{"a":1},2]"#, #"[{"a":2},2]"#, #"[{"op":"replace","path":"/0/a","value":2}]"#),
        ("[1,1,1]", "[1,1]", #"[{"op":"remove","path":"/2"}]"#),
    ])
    func `says what changed`(_ from: String, _ to: String, _ patch: String) throws {
        let from = try JSONValue(parsing: from)
        let to = try JSONValue(parsing: to)
        let difference = JSONPatch.difference(from: from, to: to)
        #expect(difference.text == patch)
        #expect(try from.applying(difference) == to)
    }

    @Test func `makes one document of the other, for any two`() throws {
        let random = SeededRandom(seed: 6902)
        for _ in 0..<3000 {
            let from = JSONValue.generated(random)
            let to = JSONValue.generated(random)
            let difference = JSONPatch.difference(from: from, to: to)
            #expect(try from.applying(difference) == to, "\(from.text) to \(to.text): \(difference.text)")
            #expect(JSONPatch.difference(from: from, to: from) == [])
            #expect((difference == []) == (from == to))
        }
    }

    @Test func `is not much longer than the document, however long the names in it`() throws {
        let name = String(repeating: "n", count: 20_000)
        func document(_ value: Int, changed: Range<Int>) -> JSONValue {
            var members = JSONObject()
            for index in 0..<2000 { members["a\(index)"] = .number(JSONNumber(changed.contains(index) ? value : 0)) }
            return [name: .object(members)]
        }
        let from = document(0, changed: 0..<0)
        let to = document(1, changed: 0..<2000)
        #expect(JSONPatch.difference(from: from, to: to) == [["op": "replace", "path": "", "value": to]])
        let gone: JSONValue = [name: [:]]
        #expect(JSONPatch.difference(from: from, to: gone) == [["op": "replace", "path": "", "value": gone]])
        let near = document(1, changed: 7..<9)
        let difference = JSONPatch.difference(from: from, to: near)
        #expect(difference.array?.map { $0["path"] } == [.string("/\(name)/a7"), .string("/\(name)/a8")])
        #expect(try from.applying(difference) == near)
        let lists: [JSONValue] = [0, 1].map { first in
            [name: .array((0..<2000).map { .number(JSONNumber($0 * 2 + first)) })]
        }
        #expect(JSONPatch.difference(from: lists[0], to: lists[1]).array?.count == 1)
        #expect(JSONPatch.difference(from: [name: []], to: lists[1]).array?.count == 1)
        #expect(JSONPatch.difference(from: lists[1], to: [name: []]).array?.count == 1)
    }

    @Test func `says little where little changed in a long list`() throws {
        let from = JSONValue.array((0..<1000).map { ["id": .number(JSONNumber($0)), "name": "x"] })
        var elements = try #require(from.array)
        elements.remove(at: 500)
        elements[100] = ["id": 100, "name": "y"]
        let difference = JSONPatch.difference(from: from, to: .array(elements))
        #expect(try from.applying(difference) == .array(elements))
        elements = try #require(from.array)
        elements[100] = ["id": 100, "name": "y"]
        #expect(
            JSONPatch.difference(from: from, to: .array(elements)).text
                == #"[{"op":"replace","path":"/100/name","value":"y"}]"#)
    }
}

struct PatchFailure: Error { let reason: String }

extension JSONValue {
    /// RFC 6902, for `add`, `remove` and `replace`, as strictly as it says: a missing target is an error.
    func applying(_ patch: JSONValue) throws -> JSONValue {
        guard let operations = patch.array else { throw PatchFailure(reason: "a patch is an array") }
        return try operations.reduce(self) { document, operation in
            guard let name = operation["op"]?.string, let path = operation["path"]?.string else {
                throw PatchFailure(reason: "an operation has op and path")
            }
            let tokens = path.split(separator: "/", omittingEmptySubsequences: false).map {
                String($0).replacing("~1", with: "/").replacing("~0", with: "~")
            }
            guard tokens.first == "" else { throw PatchFailure(reason: "a pointer begins with a slash") }
            if name != "remove", operation["value"] == nil { throw PatchFailure(reason: "no value") }
            return try document.applying(name, at: tokens.dropFirst(), operation["value"])
        }
    }

    private func applying(_ operation: String, at tokens: ArraySlice<String>, _ value: JSONValue?) throws -> JSONValue {
        guard let token = tokens.first else {
            guard operation != "remove", let value else { throw PatchFailure(reason: "the whole can't be removed") }
            return value
        }
        let isLast = tokens.count == 1
        switch self {
        case .object(var object):
            if isLast {
                if operation != "add", object[token] == nil { throw PatchFailure(reason: "no member \(token)") }
                object[token] = value
            } else {
                guard let member = object[token] else { throw PatchFailure(reason: "no member \(token)") }
                object[token] = try member.applying(operation, at: tokens.dropFirst(), value)
            }
            return .object(object)
        case .array(var elements):
            guard let index = Int(token), index >= 0, "\(index)" == token,
                index < elements.count + (isLast && operation == "add" ? 1 : 0)
            else { throw PatchFailure(reason: "no element \(token)") }
            if !isLast {
                elements[index] = try elements[index].applying(operation, at: tokens.dropFirst(), value)
            } else if operation == "add", let value {
                elements.insert(value, at: index)
            } else if operation == "replace", let value {
                elements[index] = value
            } else {
                elements.remove(at: index)
            }
            return .array(elements)
        default: throw PatchFailure(reason: "nothing lies inside a scalar")
        }
    }
}
