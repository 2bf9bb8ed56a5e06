import Foundation

/// Reads a file line by line in bounded memory.
struct LineReader {
    /// A longer line is no account; reading on would only fill the memory.
    static let lineBytesMax = 1 << 20

    private let handle: FileHandle
    private var buffer: [UInt8] = []
    private var start = 0
    private var isAtEnd = false
    /// Of the line that `next` returned last, from 1.
    private(set) var lineNumber = 0
    /// Read from the file so far.
    private(set) var byteCount = 0

    struct LineTooLong: Error {}

    init(_ handle: FileHandle) { self.handle = handle }

    /// The next line without its end; `nil` at the end of the file.
    mutating func next() throws -> [UInt8]? {
        var searched = start
        while true {
            if let end = buffer[searched...].firstIndex(of: 0x0a) {
                defer { start = end + 1 }
                lineNumber += 1
                let line = buffer[start..<end]
                return Array(line.last == 0x0d ? line.dropLast() : line)
            }
            if isAtEnd {
                guard start < buffer.count else { return nil }
                defer { start = buffer.count }
                lineNumber += 1
                return Array(buffer[start...])
            }
            if buffer.count - start > Self.lineBytesMax {
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
}
