/// Why a text is not JSON, and where. It never quotes the text, which may hold a secret.
package struct JSONError: Error, Equatable, CustomStringConvertible {
    /// In bytes from the beginning, a byte order mark counted.
    package let offset: Int
    /// From 1.
    package let line: Int
    /// From 1, in characters (Unicode scalars).
    package let column: Int
    package let reason: String

    init(reason: String, at offset: Int, in input: UnsafeBufferPointer<UInt8>) {
        self.offset = offset
        self.reason = reason
        let before = input.prefix(offset)
        line = 1 + before.count { $0 == 0x0a }
        let lineStart = before.lastIndex(of: 0x0a).map { $0 + 1 } ?? 0
        column = 1 + before[lineStart...].count { $0 & 0xc0 != 0x80 }
    }

    package var description: String { "line \(line), column \(column): \(reason)" }
}
