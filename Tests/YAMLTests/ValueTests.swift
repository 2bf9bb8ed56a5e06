import Testing
import YAML

struct ValueTests {
    private func node(_ text: String) throws -> YAMLNode { try YAMLNode(parsing: text, file: "f") }

    @Test(arguments: [
        ("true", true), ("True", true), ("FALSE", false), ("'true'", nil), ("yes", nil), ("off", nil), ("1", nil),
        ("", nil),
        ("[true]", nil),
    ])
    func `reads truth values by YAML 1.2`(_ text: String, _ value: Bool?) throws {
        #expect(try node(text).bool == value)
    }

    @Test(arguments: [
        ("0", 0), ("8080", 8080), ("-5", -5), ("+5", 5), ("9223372036854775807", .max), ("9223372036854775808", nil),
        ("'1'", nil),
        ("0644", nil), ("-01", nil), ("0x10", nil), ("0o10", nil), ("1_000", nil), ("1.0", nil), ("1e3", nil),
        ("12:30", nil), ("~", nil),
    ])
    func `reads decimal integers`(_ text: String, _ value: Int?) throws { #expect(try node(text).int == value) }

    @Test(arguments: [
        ("0.5", 0.5), ("1", 1), (".5", 0.5), ("-1.5e3", -1500), ("1e400", nil), (".inf", nil), (".nan", nil),
        ("nan", nil), ("0x1p3", nil),
        ("infinity", nil), ("'0.5'", nil), ("1.2.3", nil), ("-", nil),
    ])
    func `reads finite numbers`(_ text: String, _ value: Double?) throws { #expect(try node(text).double == value) }

    @Test(arguments: [
        ("0s", 0), ("50ms", 50), ("1s", 1000), ("5m", 300_000), ("6h", 21_600_000), ("7d", 604_800_000), ("007s", 7000),
        ("36500d", 3_153_600_000_000),
        ("36501d", nil), ("9223372036854775807d", nil), ("99999999999999999999s", nil), ("", nil), ("6", nil),
        ("h", nil), ("6 h", nil), ("6H", nil),
        ("-6h", nil), ("1.5h", nil), ("1h30m", nil), ("'6h'", nil), ("٦h", nil), ("6w", nil),
    ])
    func `reads lengths of time with a unit`(_ text: String, _ milliseconds: Int64?) throws {
        #expect(try node(text).duration == milliseconds.map { .milliseconds($0) })
    }

    @Test(arguments: ["0s", "50ms", "1s", "90s", "5m", "6h", "7d", "1500ms", "36500d"])
    func `writes lengths of time as it reads them`(_ text: String) throws {
        #expect(try #require(Duration(configured: text)).configured == text)
        #expect(Duration(configured: "60s")?.configured == "1m")
        #expect(Duration(configured: "24h")?.configured == "1d")
    }

    @Test func `gives scalars as they were written, for ids stand without quotes`() throws {
        let list = try #require(try node("[80351110224678912, 1.10, true, 'x', 0644, yes, ~, [], {}]").sequence)
        #expect(list.map(\.string) == ["80351110224678912", "1.10", "true", "x", "0644", "yes", nil, nil, nil])
        #expect(list.map(\.isNull) == [false, false, false, false, false, false, true, false, false])
    }

    @Test func `finds members by key`() throws {
        let members = try node("a: 1\nb: {c: 2}\n")
        #expect(members["b"]?["c"]?.int == 2)
        #expect(members["c"] == nil)
        #expect(try node("[a]")["a"] == nil)
        #expect(members.mapping?.compactMap(\.key.string) == ["a", "b"])
        #expect(members.sequence == nil)
    }

    @Test func `says what was found in place of what was expected`() throws {
        let list = try #require(try node("[EXAMPLE, 'EXAMPLE', [], {}, ~]").sequence)
        #expect(
            list.map { "\($0.unexpected(expected: "a duration such as 6h"))" } == [
                "f:1:2: expected a duration such as 6h, found another value",
                "f:1:11: expected a duration such as 6h, found a string",
                "f:1:22: expected a duration such as 6h, found a sequence",
                "f:1:26: expected a duration such as 6h, found a mapping",
                "f:1:30: expected a duration such as 6h, found nothing",
            ])
    }
}
