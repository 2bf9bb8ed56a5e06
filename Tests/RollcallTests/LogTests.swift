import Accounts
import Foundation
import Logging
import Synchronization
import Testing

@testable import Rollcall

@Suite(.timeLimit(.minutes(10))) struct LogTests {
    /// What a logger of that form writes.
    private func written(
        _ format: LineLogHandler.Format, level: Logger.Level = .trace, _ body: (inout Logger) -> Void
    ) -> [String] {
        let box = LineBox()
        var logger = Logger(label: "test") {
            LineLogHandler(label: $0, format: format, level: level, write: { box.add($0) })
        }
        body(&logger)
        return box.lines
    }

    private final class LineBox: Sendable {
        private let state = Mutex<[String]>([])
        func add(_ line: String) { state.withLock { $0.append(line) } }
        var lines: [String] { state.withLock { $0 } }
    }

    private func fields(_ line: String) throws -> [String: String] {
        try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: String])
    }

    private static let hostile = "a\nb\r\n\u{1b}[31m\t\"q\" \\ \u{2028}\u{202e}\u{85}\u{7f}\u{0}é😀"

    @Test func `a text line has the time in UTC, the level, the message, and fields in order`() throws {
        let lines = written(.text) {
            $0.warning("A provider pauses", metadata: ["provider": "github", "for": "90 s", "empty": ""])
        }
        #expect(lines.count == 1)
        let line = try #require(lines.first)
        let pattern =
            /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z warning  A provider pauses empty="" for="90 s" provider=github\n/
        #expect(line.wholeMatch(of: pattern) != nil, "\(line)")
    }

    @Test func `a JSON line is one object with every field as a string`() throws {
        let lines = written(.json) { $0.error("Sync failed", metadata: ["account": "acc_1", "attempt": "\(3)"]) }
        let fields = try fields(try #require(lines.first))
        #expect(fields["level"] == "error" && fields["logger"] == "test" && fields["message"] == "Sync failed")
        #expect(fields["account"] == "acc_1" && fields["attempt"] == "3")
        #expect(fields["time"]?.hasSuffix("Z") == true)
        #expect(lines.first?.hasSuffix("}\n") == true)
    }

    @Test func `a field can't pass itself off as one of the line's own`() throws {
        let lines = written(.json) {
            $0.info("m", metadata: ["level": "critical", "time": "never", "message": "other"])
        }
        let line = try #require(lines.first)
        for name in ["level", "time", "message"] {
            #expect(line.components(separatedBy: "\"\(name)\":").count == 2, "\(line)")
        }
        #expect(try fields(line)["message"] == "m")
    }

    @Test(arguments: [LineLogHandler.Format.text, .json])
    func `security 97: nothing from outside breaks the line, moves the cursor or turns the text`(
        format: LineLogHandler.Format
    )
        throws
    {
        let lines = written(format) {
            $0.info("\(Self.hostile)", metadata: ["\(Self.hostile)": "\(Self.hostile)", "n": ["\(Self.hostile)"]])
        }
        #expect(lines.count == 1)
        let line = try #require(lines.first)
        #expect(line.hasSuffix("\n"))
        let refused = line.dropLast().unicodeScalars.filter { scalar in
            scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value) || [0x2028, 0x2029].contains(scalar.value)
                || (0x202a...0x202e).contains(scalar.value)
        }
        #expect(refused.isEmpty)
        #expect(line.contains("é😀"))
        if format == .json { #expect(try fields(line)["message"] == Self.hostile) }
    }

    @Test func `security 97: a text field can't be mistaken for two`() throws {
        let lines = written(.text) { $0.info("m", metadata: ["a": "x b=y", "c": #"q" d="z"#, "e": #"\"#, "f": "k=v"]) }
        #expect(try #require(lines.first).contains(#" a="x b=y" c="q\" d=\"z" e="\\" f="k=v""#), "\(lines)")
    }

    @Test func `security 95: a secret shows in no form, whatever way it gets into a line`() {
        struct Failure: Error {
            var token: Secret
        }
        let secret = Secret("EXAMPLE-hunter2")
        for format in [LineLogHandler.Format.text, .json] {
            let lines = written(format) {
                $0[metadataKey: "held"] = .stringConvertible(secret)
                $0.info("\(secret)", metadata: ["a": "\(secret)", "b": .stringConvertible(secret)])
                $0.info("\(Failure(token: secret))", error: Failure(token: secret))
                $0.info("\(String(reflecting: secret)) \([secret]) \(Optional(secret) as Any)")
            }
            #expect(lines.count == 3)
            #expect(!lines.joined().contains("hunter2"))
            #expect(lines.joined().contains("[redacted]"))
        }
    }

    @Test func `a text without end is cut`() throws {
        let endless = String(repeating: "x", count: 1_000_000)
        for format in [LineLogHandler.Format.text, .json] {
            let lines = written(format) { $0.info("\(endless)", metadata: ["a": "\(endless)"]) }
            #expect(try #require(lines.first).count < 4200)
            #expect(lines.joined().contains("x…"))
        }
    }

    @Test func `lines below the level are not written`() {
        for (level, expected) in [(Logger.Level.trace, 7), (.info, 5), (.warning, 3), (.critical, 1)] {
            let lines = written(.text, level: level) { logger in
                for level in Logger.Level.allCases { logger.log(level: level, "m") }
            }
            #expect(lines.count == expected)
        }
    }

    @Test func `fields of the logger stand in every line, and the line's own win`() throws {
        let lines = written(.json) {
            $0[metadataKey: "request"] = "r1"
            $0.info("m")
            $0.info("m", metadata: ["request": "r2"])
        }
        #expect(try lines.map { try fields($0)["request"] } == ["r1", "r2"])
    }
}
