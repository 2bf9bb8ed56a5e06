import Foundation
import Testing

@testable import Rollcall

@Suite(.timeLimit(.minutes(10))) struct LineReaderTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private static let chunk = 256 << 10
    private static let lineMax = LineReader.lineBytesMax

    private enum Line: Equatable { case text(String), tooLong }

    private func lines(_ bytes: [UInt8]) throws -> [Line] {
        let file = try folder.write("lines", Data(bytes))
        var reader = LineReader(try FileHandle(forReadingFrom: URL(filePath: file)))
        var lines: [Line] = []
        while true {
            do {
                guard let line = try reader.next() else { break }
                lines.append(.text(String(decoding: line, as: UTF8.self)))
            } catch is LineReader.LineTooLong { lines.append(.tooLong) }
            #expect(reader.lineNumber == lines.count)
        }
        #expect(try reader.next() == nil)
        #expect(reader.byteCount == bytes.count)
        return lines
    }

    private func lines(_ text: String) throws -> [Line] { try lines(Array(text.utf8)) }

    @Test func `ends lines at a newline, with or without a carriage return, and the last one at the end`() throws {
        #expect(try lines("") == [])
        #expect(try lines("\n") == [.text("")])
        #expect(try lines("a") == [.text("a")])
        #expect(try lines("a\nb") == [.text("a"), .text("b")])
        #expect(try lines("a\r\n\r\nb\r\n") == [.text("a"), .text(""), .text("b")])
        #expect(try lines("a\rb\nc") == [.text("a\rb"), .text("c")])
        #expect(try lines("\n\n\n") == [.text(""), .text(""), .text("")])
    }

    @Test func `a byte order mark at the beginning of the file is no part of the line`() throws {
        #expect(try lines("\u{feff}a\n\u{feff}b") == [.text("a"), .text("\u{feff}b")])
    }

    @Test(arguments: [-2, -1, 0, 1, 2])
    func `a line may begin and end on either side of the border of a chunk`(offset: Int) throws {
        let first = String(repeating: "x", count: Self.chunk + offset)
        #expect(try lines(first + "\r\nsecond\n") == [.text(first), .text("second")])
        #expect(try lines(first) == [.text(first)])
        let short = String(repeating: "y", count: 1000)
        let many = Array(repeating: short, count: 2 * Self.chunk / 1000)
        #expect(try lines(many.joined(separator: "\n")) == many.map { .text($0) })
    }

    @Test func `a line of the greatest length is read, and one byte more is too long`() throws {
        let longest = String(repeating: "x", count: Self.lineMax)
        #expect(try lines(longest + "\nb") == [.text(longest), .text("b")])
        #expect(try lines(longest + "\r\nb") == [.text(longest), .text("b")])
        #expect(try lines(longest + "x\nb") == [.tooLong, .text("b")])
        #expect(try lines(longest + "x") == [.tooLong])
    }

    @Test func `goes on behind a line that is too long, however long it is`() throws {
        let huge = String(repeating: "x", count: 5 * Self.lineMax)
        #expect(try lines("a\n\(huge)\nb\n\(huge)") == [.text("a"), .tooLong, .text("b"), .tooLong])
    }
}
