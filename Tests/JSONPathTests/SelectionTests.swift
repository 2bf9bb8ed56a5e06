import JSON
import JSONPath
import Testing

/// One case: what a query selects in a document.
struct Selection: Sendable, CustomTestStringConvertible {
    let query: String
    let document: String
    let values: String
    let locations: [String]?

    init(_ query: String, in document: String, _ values: String, at locations: [String]? = nil) {
        self.query = query
        self.document = document
        self.values = values
        self.locations = locations
    }

    var testDescription: String { query }

    func check() throws {
        let path = try JSONPath(query)
        let document = try JSONValue(parsing: document)
        #expect(JSONValue.array(path.values(in: document)).text == values)
        let found = path.locations(in: document)
        #expect(found.count == path.values(in: document).count)
        if let locations { #expect(found == locations) }
    }
}

struct SelectionTests {
    static let letters = #"["a","b","c","d","e"]"#
    static let book = #"{"store":{"book":[{"t":"A","p":8},{"t":"B","p":12},{"t":"C"}],"bicycle":{"p":20}}}"#
    static let github = #"""
        {"user":{"id":9007199254740993,"login":"octocat","name":null},
         "emails":[{"email":"old@example.com","primary":false,"verified":true},
                   {"email":"new@example.com","primary":true,"verified":false},
                   {"email":"main@example.com","primary":true,"verified":true}]}
        """#

    @Test(arguments: [
        Selection("$", in: "7", "[7]", at: ["$"]),
        Selection("$.user.login", in: github, #"["octocat"]"#, at: ["$['user']['login']"]),
        Selection("$.user.name", in: github, "[null]"),
        Selection("$.user.absent", in: github, "[]"),
        Selection("$.user.login.absent", in: github, "[]"),
        Selection("$['user'][\"login\"]", in: github, #"["octocat"]"#),
        Selection("$ .user\n [ 'login' ]", in: github, #"["octocat"]"#),
        Selection("$.☺", in: #"{"☺":1}"#, "[1]", at: ["$['☺']"]),
        Selection(#"$['\u263a','\uD83D\uDE00']"#, in: #"{"☺":1,"😀":2}"#, "[1,2]"),
        Selection(#"$["'"]"#, in: #"{"'":1}"#, "[1]", at: [#"$['\'']"#]),
        Selection(
            #"$['\\\b\f\n\r\t\u000b/']"#, in: #"{"\\\b\f\n\r\t\u000b/":1}"#, "[1]", at: [#"$['\\\b\f\n\r\t\u000b/']"#]),
    ])
    func `selects by name`(_ selection: Selection) throws { try selection.check() }

    @Test func `takes equivalent spellings of a name for different names`() throws {
        let document = try JSONValue(parsing: "{\"\u{e9}\":1,\"e\u{301}\":2}")
        #expect(try JSONPath("$['\u{e9}']").values(in: document) == [1])
        #expect(try JSONPath("$['e\u{301}']").values(in: document) == [2])
        #expect(try JSONPath("$[?@ == 'e\u{301}']").values(in: ["\u{e9}"]) == [])
        #expect(try JSONPath("$['\u{e9}']").removing(from: document).text == "{\"e\u{301}\":2}")
        #expect(try JSONPath("$['\u{e9}']") != JSONPath("$['e\u{301}']"))
    }

    @Test(arguments: [
        Selection("$[0]", in: letters, #"["a"]"#, at: ["$[0]"]),
        Selection("$[-1]", in: letters, #"["e"]"#, at: ["$[4]"]),
        Selection("$[5]", in: letters, "[]"),
        Selection("$[-6]", in: letters, "[]"),
        Selection("$[9007199254740991]", in: letters, "[]"),
        Selection("$[0]", in: #"{"0":1}"#, "[]"),
        Selection("$[1,0,1]", in: letters, #"["b","a","b"]"#, at: ["$[1]", "$[0]", "$[1]"]),
        Selection("$[1:3]", in: letters, #"["b","c"]"#, at: ["$[1]", "$[2]"]),
        Selection("$[3:]", in: letters, #"["d","e"]"#),
        Selection("$[-2:]", in: letters, #"["d","e"]"#),
        Selection("$[::2]", in: letters, #"["a","c","e"]"#),
        Selection("$[ 0 : 4 : 2 ]", in: letters, #"["a","c"]"#),
        Selection("$[::-1]", in: letters, #"["e","d","c","b","a"]"#, at: ["$[4]", "$[3]", "$[2]", "$[1]", "$[0]"]),
        Selection("$[3:1:-1]", in: letters, #"["d","c"]"#),
        Selection("$[-9::-1]", in: letters, "[]"),
        Selection("$[9:-9:-1]", in: letters, #"["e","d","c","b","a"]"#),
        Selection("$[::-1]", in: "[]", "[]"),
        Selection("$[-9:9]", in: letters, letters),
        Selection("$[::0]", in: letters, "[]"),
        Selection("$[-9007199254740991:9007199254740991:9007199254740991]", in: letters, #"["a"]"#),
        Selection("$[9007199254740991:-9007199254740991:-9007199254740991]", in: letters, #"["e"]"#),
        Selection("$[:]", in: "{}", "[]"),
    ])
    func `selects by index and slice`(_ selection: Selection) throws { try selection.check() }

    @Test(arguments: [
        Selection("$.*", in: #"{"a":1,"b":[2]}"#, "[1,[2]]", at: ["$['a']", "$['b']"]),
        Selection("$[*]", in: "[1,2]", "[1,2]"),
        Selection("$.*", in: "1", "[]"),
        Selection("$..p", in: book, "[8,12,20]"),
        Selection("$..[0]", in: "[[1],[2]]", "[[1],1,2]", at: ["$[0]", "$[0][0]", "$[1][0]"]),
        Selection("$..*", in: #"{"a":[1,{"b":2}]}"#, #"[[1,{"b":2}],1,{"b":2},2]"#),
        Selection("$..['t','p']", in: book, #"["A",8,"B",12,"C",20]"#),
        Selection("$.store.book[*].t", in: book, #"["A","B","C"]"#),
        Selection("$..book[?@.p < 10].t", in: book, #"["A"]"#, at: ["$['store']['book'][0]['t']"]),
    ])
    func `selects by wildcard and descent`(_ selection: Selection) throws { try selection.check() }

    @Test(arguments: [
        Selection(
            "$.emails[?@.primary == true && @.verified == true].email", in: github, #"["main@example.com"]"#,
            at: ["$['emails'][2]['email']"]),
        Selection("$.emails[?@.primary==true][?@.verified].email", in: github, "[]"),
        Selection("$.emails[?!@.name].email", in: github, #"["old@example.com","new@example.com","main@example.com"]"#),
        Selection("$[?@.a]", in: #"[{"a":null},{"b":1}]"#, #"[{"a":null}]"#),
        Selection("$[?@.a || @.b]", in: #"[{"a":1},{"b":1},{"c":1}]"#, #"[{"a":1},{"b":1}]"#),
        Selection("$[?@.a && @.b || @.c]", in: #"[{"a":1},{"c":1}]"#, #"[{"c":1}]"#),
        Selection("$[?@.a && (@.b || @.c)]", in: #"[{"a":1},{"a":1,"c":1}]"#, #"[{"a":1,"c":1}]"#),
        Selection("$[?!(@ == 1)]", in: "[1,2]", "[2]"),
        Selection("$[?@ == 1]", in: "[1,1.0,10e-1,\"1\",true]", "[1,1.0,10e-1]"),
        Selection("$[?@ != 1]", in: "[1,2,null]", "[2,null]"),
        Selection("$[?@ == 9007199254740993]", in: "[9007199254740992,9007199254740993]", "[9007199254740993]"),
        Selection("$[?@ > 9007199254740992]", in: "[9007199254740992,9007199254740993]", "[9007199254740993]"),
        Selection("$[?@ >= 'b']", in: letters, #"["b","c","d","e"]"#),
        Selection("$[?@ <= -0]", in: "[0,-0.0,1e-400,-1e-400]", "[0,-0.0,-1e-400]"),
        Selection("$[?@ < '\u{1F600}']", in: "[\"\u{ffff}\"]", "[\"\u{ffff}\"]"),
        Selection("$[?@ < 1]", in: #"["0",null,false,[],{}]"#, "[]"),
        Selection("$[?@ <= null]", in: "[null,0]", "[null]"),
        Selection(
            "$[?@.a == @.b]", in: #"[{},{"a":1},{"a":[1,{"x":2}],"b":[1.0,{"x":2}]}]"#,
            #"[{},{"a":[1,{"x":2}],"b":[1.0,{"x":2}]}]"#),
        Selection(
            "$.list[?@.id == $.wanted].name", in: #"{"wanted":2,"list":[{"id":1,"name":"x"},{"id":2,"name":"y"}]}"#,
            #"["y"]"#),
        Selection("$[?@[?@ > 1]]", in: "[[0],[2]]", "[[2]]"),
        Selection("$[?@..x]", in: #"[{"y":{"x":1}},{"y":1}]"#, #"[{"y":{"x":1}}]"#),
        Selection("$[?@]", in: #"{"a":null,"b":0}"#, "[null,0]", at: ["$['a']", "$['b']"]),
        Selection("$[?@ == 'a', ?@ == 'b', 0]", in: letters, #"["a","b","a"]"#),
    ])
    func `selects by filter`(_ selection: Selection) throws { try selection.check() }

    @Test(arguments: [
        Selection(
            "$[?length(@) == 2]", in: #"["ab","☺😀","e\u0301","a",[1,2],{"a":1,"b":2},12,null]"#,
            "[\"ab\",\"☺😀\",\"e\u{301}\",[1,2],{\"a\":1,\"b\":2}]"),
        Selection("$[?length(@.absent) == length(@.none)]", in: "[1]", "[1]"),
        Selection("$[?count(@.*) > 1]", in: "[[1],[1,2],3]", "[[1,2]]"),
        Selection("$[?count(@..*) == 3]", in: "[[1,[2]],[1]]", "[[1,[2]]]"),
        Selection("$[?value(@..x) == 1]", in: #"[{"x":1},{"x":1,"y":{"x":1}},{}]"#, #"[{"x":1}]"#),
        Selection(
            "$[?match(@.d, '1974-05-..')]", in: #"[{"d":"1974-05-11"},{"d":"x1974-05-11"},{"d":1},{}]"#,
            #"[{"d":"1974-05-11"}]"#),
        Selection("$[?search(@, '[BR]ob')]", in: #"["Bob","a Rob b","rob"]"#, #"["Bob","a Rob b"]"#),
        Selection("$.list[?match(@, $.pattern)]", in: #"{"pattern":"a+","list":["a","aa","ab"]}"#, #"["a","aa"]"#),
        Selection("$[?!match(@, 'a')]", in: #"["a","b",1]"#, #"["b",1]"#),
        Selection("$[?match(@, '(')]", in: #"["("]"#, "[]"),
        Selection("$[?match(@, 1)]", in: #"["1"]"#, "[]"),
        Selection("$[?length(value($..x)) == 3]", in: #"{"x":"abc"}"#, #"["abc"]"#),
    ])
    func `evaluates functions`(_ selection: Selection) throws { try selection.check() }
}
