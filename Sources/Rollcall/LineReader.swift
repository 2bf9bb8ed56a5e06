import Foundation

/// Reads a file line by line in bounded memory.
struct LineReader {
    /// A longer line is no account; reading on would only fill the memory.
    static let lineBytesMax = 1 << 20

    private let handle: FileHandle
    private var buffer: [UInt8] = []
    private var start = 0
    private var isAtEnd = false
    /// In the middle of a line that is too long, of which nothing is kept.
    private var isSkipping = false
    /// Of the line that `next` returned last, from 1.
    private(set) var lineNumber = 0
    /// Read from the file so far.
    private(set) var byteCount = 0

    struct LineTooLong: Error {}

    init(_ handle: FileHandle) { self.handle = handle }

    /// The next line without its end; `nil` at the end of the file. Throws `LineTooLong` for a line of more than
    /// `lineBytesMax` bytes, and goes on behind it when called again.
    mutating func next() throws -> [UInt8]? {
        var searched = start
        while true {
            if let end = buffer[searched...].firstIndex(of: 0x0a) {
                let line = buffer[start..<end]
                start = end + 1
                if let line = try take(line) { return line }
                searched = start
                continue
            }
            if isAtEnd {
                guard start < buffer.count || isSkipping else { return nil }
                let line = buffer[start...]
                start = buffer.count
                return try take(line)
            }
            if isSkipping {
                start = buffer.count
            } else if buffer.count - start > Self.lineBytesMax + 1 {
                isSkipping = true
                start = buffer.count
                lineNumber += 1
                throw LineTooLong()
            }
            buffer.removeFirst(start)
            start = 0
            searched = buffer.count
            let chunk = try handle.read(upToCount: 256 << 10) ?? Data()
            byteCount += chunk.count
            if chunk.isEmpty { isAtEnd = true } else { buffer.append(contentsOf: chunk) }
        }
    }

    /// `nil` for the rest of a line that was complained of before.
    private mutating func take(_ line: ArraySlice<UInt8>) throws -> [UInt8]? {
        if isSkipping {
            isSkipping = false
            return nil
        }
        lineNumber += 1
        let text = line.last == 0x0d ? line.dropLast() : line
        guard text.count <= Self.lineBytesMax else { throw LineTooLong() }
        // A byte order mark says nothing in UTF-8; some editors put one at the beginning of a file.
        let hasMark = lineNumber == 1 && text.starts(with: [0xef, 0xbb, 0xbf])
        return Array(hasMark ? text.dropFirst(3) : text)
    }
}
