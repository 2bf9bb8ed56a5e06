import JSON
import JSONPath
import TestSupport
import Testing

struct RegularExpressionTests {
    /// Whether `match` and `search` take the pattern, given by the document as a hostile provider might.
    private func takes(_ pattern: String, _ subject: String) throws -> (match: Bool, search: Bool) {
        let document: JSONValue = ["pattern": .string(pattern), "subjects": [.string(subject)]]
        return (
            !(try JSONPath("$.subjects[?match(@, $.pattern)]").values(in: document).isEmpty),
            !(try JSONPath("$.subjects[?search(@, $.pattern)]").values(in: document).isEmpty)
        )
    }

    @Test(arguments: [
        ("", "", true, true), ("", "a", false, true), ("abc", "abc", true, true), ("b", "abc", false, true),
        ("a|bc|", "bc", true, true), ("a|bc|", "", true, true), ("a|bc", "abc", false, true),
        ("(ab)*c", "ababc", true, true), ("(a|b)+", "abba", true, true), ("a?b", "b", true, true),
        ("a{2}", "aa", true, true), ("a{2}", "aaa", false, true), ("a{2,}", "aaaa", true, true),
        ("a{2,3}", "aaaa", false, true), ("a{0}", "a", false, true), ("(a*)*", "aaa", true, true),
        ("(a|b|){3}c", "abc", true, true), (".", "\n", false, false), (".", "\r", false, false),
        (".", "\u{2028}", true, true), (".", "😀", true, true), ("..", "e\u{301}", true, true),
        ("a.*b", "a\nb", false, false), ("[abc]", "b", true, true), ("[^abc]", "b", false, false),
        ("[^abc]", "\n", true, true), ("[a-c-]", "-", true, true), ("[-a]", "-", true, true),
        ("[a\\-c]", "b", false, false), ("[a\\]]", "]", true, true), ("[.]", "a", false, false),
        ("[\\p{L}0-9]+", "aß9", true, true), ("[^\\p{L}]", "a", false, false), ("[\\P{L}]", "1", true, true),
        ("\\p{Lu}\\p{Ll}*", "Über", true, true), ("\\p{L}", "1", false, false), ("\\P{Nd}", "x", true, true),
        ("\\p{Sc}", "€", true, true), ("\\p{Zs}", "\u{a0}", true, true), ("\\p{Cc}", "\u{0}", true, true),
        ("\\p{P}", "!", true, true), ("\\p{Co}", "\u{e000}", true, true), ("\\p{Cn}", "\u{378}", true, true),
        ("\\n\\r\\t", "\n\r\t", true, true),
        ("\\(\\)\\*\\+\\-\\.\\?\\[\\\\\\]\\^\\{\\|\\}", "()*+-.?[\\]^{|}", true, true),
        ("^ab$", "ab", true, true), ("^b", "ab", false, false), ("a$", "ab", false, false), ("^$", "", true, true),
        ("(^a|b)c", "xbc", false, true), ("a^b", "ab", false, false), ("[$^]", "$", true, true),
        ("x-,:<~", "x-,:<~", true, true),
    ])
    func `matches as RFC 9485 says`(_ pattern: String, _ subject: String, _ match: Bool, _ search: Bool) throws {
        let taken = try takes(pattern, subject)
        #expect(taken == (match, search))
    }

    @Test(arguments: [
        "(", ")", "a)", "(a", "*", "+a*+", "?", "a**", "a{", "a{}", "a{,2}", "a{2,1}", "a{1", "a{x}", "{2}", "]", "}",
        "[", "[]", "[^]", "[a", "[b-a]", "[a-\\p{L}]", "[a--]", "[a-c-e]", "[[a]]", "\\", "\\a", "\\d", "\\w", "\\s",
        "\\b", "\\1", "\\/", "\\$", "\\u0041", "\\p", "\\pL", "\\p{}", "\\p{X}", "\\p{Lx}", "\\p{Cs}", "\\p{IsGreek}",
        "\\p{L", "(?:a)", "(?=a)", "(?i)a", "a*?", "[a&&b]{", "a{99999999999999999999999}",
        "((((a{99}){99}){99}){99}){99}",
        "(((((){999}){999}){999}){999}){999}",
    ])
    func `takes nothing by what is no I-Regexp or grows too large`(_ pattern: String) throws {
        for subject in ["", "a", "(", pattern] { #expect(try takes(pattern, subject) == (false, false)) }
        // As a literal too: no error, and no match (RFC 9535 §2.4.6).
        let literal = pattern.replacing("\\", with: "\\\\").replacing("'", with: "\\'")
        #expect(try JSONPath("$[?match(@, '\(literal)')]").values(in: ["a", ""]) == [])
    }

    @Test func `counts how wide a class is, and takes no pattern longer than a query`() throws {
        let wide = "[" + (0..<4000).map { String(Unicode.Scalar(0x4e00 + 2 * UInt32($0)) ?? "-") }.joined() + "]*"
        #expect(try takes(wide, "\u{4e00}\u{4e02}") == (true, true))
        #expect(try takes(wide, String(repeating: "\u{4e02}", count: 20_000)).match == false)
        #expect(try takes("a*", String(repeating: "a", count: 20_000)).match)
        let longest = "[" + String(repeating: "a", count: 4094) + "]"
        #expect(try takes(longest, "a") == (true, true))
        #expect(try takes("[a" + longest.dropFirst(), "a") == (false, false))
    }

    @Test func `takes linear time on patterns that make backtracking take for ever`() throws {
        let subject = String(repeating: "a", count: 2000)
        for pattern in [
            "(a*)*b", "(a+)+b", "(a|a)*b", "(a|aa)+b", "(.*)*(.*)*(.*)*b", "a*a*a*a*a*a*a*a*a*a*b", "(a?){50}a{50}b",
        ] {
            #expect(try takes(pattern, subject) == (false, false))
            #expect(try takes(pattern, subject + "b").search, "\(pattern)")
        }
    }

    @Test func `gives up on a text that would take too long`() throws {
        let subject = String(repeating: "ab", count: 500_000)
        #expect(try takes("(a|b|ab){100}x", subject) == (false, false))
    }

    @Test func `nests at most 64 deep`() throws {
        let pattern = { (depth: Int) in
            String(repeating: "(", count: depth) + "a" + String(repeating: ")", count: depth)
        }
        #expect(try takes(pattern(60), "a").match)
        #expect(try takes(pattern(100_000), "a") == (false, false))
    }

    /// A slow and simple matcher by Brzozowski derivatives decides on generated expressions over a small alphabet.
    @Test func `agrees with a second matcher on generated expressions`() throws {
        let random = SeededRandom(seed: 9485)
        for _ in 0..<400 {
            let expression = Derivative.generated(random, depth: 4)
            let path = try JSONPath("$.subjects[?match(@, $.pattern)]")
            var subjects: [String] = [""]
            for _ in 0..<12 {
                let length = Int(random.bytes(1)[0] % 8)
                subjects.append(
                    String(random.bytes(length).map { "abc"["abc".index("abc".startIndex, offsetBy: Int($0 % 3))] }))
            }
            let document: JSONValue = [
                "pattern": .string(expression.pattern), "subjects": .array(subjects.map(JSONValue.string)),
            ]
            let expected = subjects.filter(expression.takes).map(JSONValue.string)
            #expect(path.values(in: document) == expected, "\(expression.pattern)")
        }
    }
}

/// Regular expressions by derivatives.
private indirect enum Derivative {
    case nothing, empty, letter(Character), any
    case sequence(Derivative, Derivative), either(Derivative, Derivative), star(Derivative)

    static func generated(_ random: SeededRandom, depth: Int) -> Derivative {
        let chance = random.bytes(2)
        if depth == 0 { return chance[0] % 5 == 0 ? .any : .letter(["a", "b", "c"][Int(chance[1] % 3)]) }
        let left = generated(random, depth: depth - 1)
        switch chance[0] % 5 {
        case 0: return .star(left)
        case 1: return .either(left, chance[1] % 4 == 0 ? .empty : generated(random, depth: depth - 1))
        case 2: return left
        default: return .sequence(left, generated(random, depth: depth - 1))
        }
    }

    var pattern: String {
        switch self {
        case .nothing: "[^.a-z]"
        case .empty: ""
        case .letter(let letter): String(letter)
        case .any: "."
        case .sequence(let first, let second): "(\(first.pattern))(\(second.pattern))"
        case .either(let first, let second): "(\(first.pattern)|\(second.pattern))"
        case .star(let inner): "(\(inner.pattern))*"
        }
    }

    func takes(_ text: String) -> Bool { text.reduce(self) { $0.after($1) }.takesEmpty }

    private var takesEmpty: Bool {
        switch self {
        case .nothing, .letter, .any: false
        case .empty, .star: true
        case .sequence(let first, let second): first.takesEmpty && second.takesEmpty
        case .either(let first, let second): first.takesEmpty || second.takesEmpty
        }
    }

    private func after(_ letter: Character) -> Derivative {
        switch self {
        case .nothing, .empty: return .nothing
        case .letter(let own): return own == letter ? .empty : .nothing
        case .any: return .empty
        case .sequence(let first, let second):
            let rest = first.after(letter).then(second)
            return first.takesEmpty ? rest.or(second.after(letter)) : rest
        case .either(let first, let second): return first.after(letter).or(second.after(letter))
        case .star(let inner): return inner.after(letter).then(self)
        }
    }

    private func then(_ next: Derivative) -> Derivative {
        switch self {
        case .nothing: .nothing
        case .empty: next
        default: .sequence(self, next)
        }
    }

    private func or(_ other: Derivative) -> Derivative {
        if case .nothing = self { return other }
        if case .nothing = other { return self }
        return .either(self, other)
    }
}
