import JSON
import Testing

struct NumberTests {
    @Test(arguments: [
        [
            "-1e400", "-9007199254740993", "-9007199254740992", "-1.5", "-1", "-1e-400", "0", "1e-400", "0.1",
            "0.10000000000000000000001", "1",
        ],
        [
            "1", "1.0000000000000000001", "2", "9.99", "10", "100", "9007199254740992", "9007199254740993",
            "9007199254740993.5", "1e100", "1e400", "1e401",
        ],
    ])
    func `orders by exact value`(_ ascending: [String]) throws {
        let numbers = try ascending.map { try #require(JSONNumber($0)) }
        for (i, left) in numbers.enumerated() {
            for (j, right) in numbers.enumerated() {
                #expect((left < right) == (i < j), "\(left) < \(right)")
                #expect((left == right) == (i == j), "\(left) == \(right)")
            }
        }
    }

    @Test(arguments: [
        ["1", "1.0", "1e0", "10e-1", "0.1E1", "0.001e+3", "1000e-3"],
        ["0", "-0", "0.0", "-0e10", "0e-99999999999999999999"],
        ["-120", "-1.2e2", "-12E1"], ["9007199254740993", "9007199254740993.0", "9.007199254740993e15"],
    ])
    func `takes different spellings of a value for equal`(_ spellings: [String]) throws {
        let numbers = try spellings.map { try #require(JSONNumber($0)) }
        for left in numbers {
            for right in numbers {
                #expect(left == right)
                #expect(left.hashValue == right.hashValue)
                #expect(!(left < right))
            }
        }
    }

    @Test(arguments: [
        ("80351110224678912", "80351110224678912"), ("-5", "-5"), ("-0", "0"),
        ("99999999999999999999999", "99999999999999999999999"),
        ("1.0", nil), ("1e3", nil),
    ])
    func `gives integers as exact text`(_ text: String, _ integer: String?) throws {
        #expect(try #require(JSONNumber(text)).integerText == integer)
    }

    @Test(arguments: ["", " 1", "1 ", "01", "\u{feff}1", "NaN", "1,", "true", "\"1\"", "1.", "+1"])
    func `is made of nothing but a JSON number`(_ text: String) { #expect(JSONNumber(text) == nil) }

    @Test func `gives 64-bit integers where they fit`() {
        #expect(JSONNumber("9223372036854775807")?.int64 == .max)
        #expect(JSONNumber("9223372036854775808")?.int64 == nil)
        #expect(JSONNumber("1.0")?.int64 == nil)
        #expect(JSONNumber(Int64.min).text == "-9223372036854775808")
    }

    @Test(
        arguments: [
            (0.0, "0"), (1, "1"), (0.12345, "0.1235"), (97.456, "97.46"), (123_456, "123500"), (-2.5, "-2.5"),
            (1e-9, "1e-09"),
            (2.0 / 3, "0.6667"),
        ] as [(Double, String)])
    func `an estimate has the digits that it deserves`(value: Double, text: String) {
        #expect(JSONNumber(value, digits: 4)?.text == text)
    }

    @Test func `what is not finite is no number`() {
        for value in [Double.infinity, -.infinity, .nan] { #expect(JSONNumber(value, digits: 4) == nil) }
    }
}
