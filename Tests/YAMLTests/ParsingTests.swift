import Testing
import YAML

/// The node without its places, to compare with what is expected.
indirect enum Shape: Equatable, CustomStringConvertible {
    case null, plain(String), quoted(String), list([Shape]), map([Pair])

    struct Pair: Equatable {
        let key: String
        let value: Shape
    }

    init(_ node: YAMLNode) {
        switch node.content {
        case .null: self = .null
        case .scalar(let text, true): self = .plain(text)
        case .scalar(let text, false): self = .quoted(text)
        case .sequence(let nodes): self = .list(nodes.map(Shape.init))
        case .mapping(let members):
            self = .map(members.map { Pair(key: $0.key.string ?? "?", value: Shape($0.value)) })
        }
    }

    var description: String {
        switch self {
        case .null: "null"
        case .plain(let text): text
        case .quoted(let text): "'\(text)'"
        case .list(let shapes): "\(shapes)"
        case .map(let pairs): "{" + pairs.map { "\($0.key): \($0.value)" }.joined(separator: ", ") + "}"
        }
    }
}

struct ParsingTests {
    @Test(arguments: [
        ("", "null"), ("# only a comment\n", "null"), ("~", "null"),
        ("a:\nb: null\nc: 'null'\nd: \"\"\n", "{a: null, b: null, c: 'null', d: ''}"),
        ("id: discord\nscopes: [identify, email]\n", "{id: discord, scopes: [identify, email]}"),
        ("- a\n- - b\n  - c: 1\n", "[a, [b, {c: 1}]]"),
        ("404: gone\ntrue: yes\nnull: x\n", "{404: gone, true: yes, null: x}"),
        ("a: \"x\\u00e9\\n\"\nb: 'it''s'\n", "{a: 'xé\n', b: 'it's'}"),
        ("a: |\n  one\n  two\nb: >\n  one\n  two\n", "{a: 'one\ntwo\n', b: 'one two\n'}"),
        ("---\na: 1\n...\n", "{a: 1}"), ("{a: {b: []}, 'c': [~]}", "{a: {b: []}, c: [null]}"),
        ("\u{feff}a: 1", "{a: 1}"),
        ("a: 2 * 3 & 4", "{a: 2 * 3 & 4}"),
        (
            "email: $.emails[?@.primary == true && @.verified == true].email\n",
            "{email: $.emails[?@.primary == true && @.verified == true].email}"
        ),
        ("endpoint: \"{site}/oauth2/authorize\"", "{endpoint: '{site}/oauth2/authorize'}"),
        ("a: 1\r\nb: 2\r\n", "{a: 1, b: 2}"),
        ("<<: x", "{<<: x}"), ("a: ! x", "{a: 'x'}"), ("a: !!str 1", "{a: '1'}"),
    ])
    func `reads what configuration needs`(_ text: String, _ shape: String) throws {
        #expect("\(Shape(try YAMLNode(parsing: text, file: "t.yaml")))" == shape)
    }

    @Test func `knows the place of every node`() throws {
        let node = try YAMLNode(
            parsing: "# é\nid: x\nprofile:\n  claims: {sub: $.id, 'é': [1, 2]}\n  list:\n    - a\n",
            file: "providers/x.yaml")
        #expect(node.place.description == "providers/x.yaml:2:1")
        let profile = try #require(node["profile"])
        #expect("\(profile.place)" == "providers/x.yaml:4:3")
        #expect(profile.mapping?.map { "\($0.key.place.line):\($0.key.place.column)" } == ["4:3", "5:3"])
        let claims = try #require(profile["claims"])
        #expect((claims.place.line, claims.place.column) == (4, 11))
        let two = try #require(claims["é"]?.sequence?.last)
        #expect((two.place.line, two.place.column) == (4, 32))
        let a = try #require(profile["list"]?.sequence?.first)
        #expect((a.place.line, a.place.column) == (6, 7))
        #expect(try YAMLNode(parsing: "", file: "f").place == SourcePlace(file: "f", line: 1, column: 1))
    }

    @Test(arguments: [
        ("a: 1\nb: 2\na: 3\n", "f:3:1", "'a' stands at 1:1"), ("x:\n  - {k: 1, k: 2}\n", "f:2:12", "'k' stands at 2:6"),
        ("a: 1\n\"a\": 2\n", "f:2:1", "'a' stands at 1:1"), ("'b c': 1\n'b c': 2\n", "f:2:1", "'b c' stands at 1:1"),
        ("1: x\n'1': y\n", "f:2:1", "'1' stands at 1:1"), ("a: 1\na: 2\na: 3\n", "f:2:1", "'a' stands at 1:1"),
        ("b: 1\na: 1\nb: 2\na: 2\n", "f:4:1", "'a' stands at 2:1"),
        ("l:\n- m:\n    q: 1\n    q: 2\n- m:\n    q: 1\n", "f:4:5", "'q' stands at 3:5"),
        ("# é😀\né: 1\né: 2\n", "f:3:1", "'é' stands at 2:1"), ("a: {é: 1, é: 2}", "f:1:11", "'é' stands at 1:5"),
    ])
    func `refuses a key given twice and shows both places`(_ text: String, _ place: String, _ reason: String) throws {
        let error = try #require(throws: YAMLError.self) { try YAMLNode(parsing: text, file: "f") }
        #expect(error.place.description == place, "\(error)")
        #expect(error.reason.contains(reason), "\(error)")
        #expect(error.reason.contains("already; remove one of the two"))
    }

    @Test(arguments: ["\"\": 1\n\"\": 2\n", "\"\\x61\": 1\na: 2\n", "'': 1\n\"\": 2\n", "!!str a: 1\na: 2\n"])
    func `refuses keys that are equal but written in other ways`(_ text: String) throws {
        let error = try #require(throws: YAMLError.self) { try YAMLNode(parsing: text, file: "f") }
        #expect(error.reason.contains("remove one of the two"), "\(error)")
    }

    @Test(arguments: [
        ("a: &x 1\nb: *x\n", "f:1:4", "anchors"), ("a: &x {b: 1}\n", "f:1:4", "anchors"),
        ("a: &x [1]\n", "f:1:4", "anchors"),
        ("&x a: 1\n", "f:1:1", "a key must be"), ("a: *x\n", "f:1:4", "aliases"),
        ("a: &x 1\n*x : 2\n", "f:1:4", "anchors"),
        ("? [a]\n: 1\n", "f:1:3", "a key must be"), ("{[a]: 1}", "f:1:2", "a key must be"),
        ("? {a: 1}\n: 1\n", "f:1:3", "a key must be"),
        ("a: 1\n---\nb: 2\n", "f:2:1", "second document"), ("a: !!int 1\n", "f:1:4", "explicit tags"),
        ("a: !secret x\n", "f:1:4", "explicit tags"),
        ("a: !!set {b, c}\n", "f:1:4", "explicit tags"), ("a: !!omap []\n", "f:1:4", "explicit tags"),
        ("a: !!binary eA==\n", "f:1:4", "explicit tags"),
        ("a: 'x\n", "f:2:1", "close the quotes"), ("a: [1, 2\nb: 3\n", "f:2:2", "close the quotes or brackets"),
        ("a: b: c\n", "f:1:5", "put quotes around text"),
        ("\ta: 1\n", "f:1:1", "rather than tabs"), ("a:\n\t- b\n", "f:2:1", "rather than tabs"),
        ("a: @x\n", "f:1:4", "put quotes around"),
        ("a: `x`\n", "f:1:4", "put quotes around"), ("a: 1\n b: 2\n", "f:2:3", "check the indentation"),
        ("a: \"\\q\"\n", "f:1:5", "check"),
        ("a: x\u{0}y\n", "f:1:5", "remove the character"), ("é: x\r\nb: \u{1b}\n", "f:2:4", "remove the character"),
        ("a: \"\\ud800\"", "f:1:7", "check"),
        ("%YAML 9.1\n---\na: 1\n", "f:1:1", "check"), ("a: 1\nb\nc: 2\n", "f:3:1", "check the indentation"),
    ])
    func `refuses what would say other than it seems, with a place and advice`(
        _ text: String, _ place: String, _ advice: String
    ) throws {
        let error = try #require(throws: YAMLError.self) { try YAMLNode(parsing: text, file: "f") }
        #expect(error.place.description == place, "\(error)")
        #expect(error.reason.contains(advice), "\(error)")
        #expect("\(error)" == "\(error.place): \(error.reason)")
    }

    @Test func `bounds size and depth`() throws {
        let large = try #require(throws: YAMLError.self) {
            try YAMLNode(parsing: String(repeating: "#", count: 101), file: "f", bytesMax: 100)
        }
        #expect(large.reason.contains("larger than 100 bytes"))
        #expect(throws: YAMLError.self) {
            try YAMLNode(parsing: String(repeating: "a: 1\n", count: 300_000), file: "f")
        }
        let nested = { (depth: Int) in String(repeating: "[", count: depth) + String(repeating: "]", count: depth) }
        #expect(throws: Never.self) { try YAMLNode(parsing: nested(64), file: "f") }
        let deep = try #require(throws: YAMLError.self) { try YAMLNode(parsing: nested(65), file: "f") }
        #expect("\(deep)" == "f:1:65: nested more than 64 deep; flatten it")
        for opening in ["[", "{a: ", "- ", "? ", "[{a: "] {
            #expect(throws: YAMLError.self) {
                try YAMLNode(parsing: String(repeating: opening, count: 200_000), file: "f", bytesMax: .max)
            }
        }
        let block = (0..<500).map { String(repeating: " ", count: $0) + "a:\n" }.joined()
        #expect(throws: YAMLError.self) { try YAMLNode(parsing: block, file: "f") }
    }

    @Test func `refuses a text whose aliases would grow without bound`() throws {
        var text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
        for level in 1...12 {
            let aliases = Array(repeating: "*a\(level - 1)", count: 9).joined(separator: ", ")
            text += "? &a\(level) [\(aliases)]\n: x\n"
        }
        let error = try #require(throws: YAMLError.self) { try YAMLNode(parsing: text, file: "f") }
        #expect(error.reason.contains("alias"))
        let few =
            "a: &a [x]\n? &b [*a, *a, *a, *a, *a]\n: x\n? &c [*b, *b, *b, *b, *b]\n: x\n? [*c, *c, *c, *c, *c]\n: x\n"
        #expect(throws: YAMLError.self) { try YAMLNode(parsing: few, file: "f") }
    }

    @Test func `bullets are no aliases`() throws {
        let bullets = String(repeating: "# * note\n", count: 100) + "a: |\n" + String(repeating: "  * x\n", count: 100)
        #expect(try YAMLNode(parsing: bullets + "b: 2 * 3", file: "f")["b"]?.string == "2 * 3")
        #expect(try YAMLNode(parsing: bullets + "# *", file: "f")["a"] != nil)
        let aliasLike = (0..<33).map { "# *note \($0)\n" }.joined()
        #expect(throws: Never.self) { try YAMLNode(parsing: String(aliasLike.dropLast(11)) + "a: 1", file: "f") }
        let error = try #require(throws: YAMLError.self) { try YAMLNode(parsing: aliasLike, file: "f") }
        #expect("\(error.place)" == "f:33:3")
    }

    @Test func `never quotes a value`() throws {
        for text in [
            "client_secret: EXAMPLE-secret: x\n", "client_secret: &EXAMPLE x\n", "s: 'EXAMPLE\n", "s: EXAMPLE\u{1}\n",
            "s: !EXAMPLE x",
        ] {
            let error = try #require(throws: YAMLError.self) { try YAMLNode(parsing: text, file: "f") }
            #expect(!"\(error)\(String(reflecting: error))".contains("EXAMPLE"))
        }
    }
}
