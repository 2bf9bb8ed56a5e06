/// The bytes of strings looked through eight at a time (after Mycroft's test for a zero byte): most of a document is
/// strings, and most of their bytes mean nothing to JSON.
enum StringScan {
    private static let ones: UInt64 = 0x0101_0101_0101_0101
    private static let highs: UInt64 = 0x8080_8080_8080_8080

    /// The place of the first quote, backslash or control character from `start` on, `bytes.count` where there is none;
    /// and whether all before it is ASCII.
    static func end(in bytes: UnsafeBufferPointer<UInt8>, from start: Int) -> (position: Int, isASCII: Bool) {
        var position = start
        var all: UInt64 = 0
        if let base = bytes.baseAddress {
            while position + 8 <= bytes.count {
                let word = UInt64(
                    littleEndian: UnsafeRawPointer(base + position).loadUnaligned(as: UInt64.self))
                let quotes = word ^ (0x22 &* ones)
                let backslashes = word ^ (0x5c &* ones)
                // A byte that is marked wrongly stands behind one that is marked rightly.
                let found =
                    (((word &- (0x20 &* ones)) & ~word) | ((quotes &- ones) & ~quotes)
                        | ((backslashes &- ones) & ~backslashes)) & highs
                guard found == 0 else {
                    let bits = found.trailingZeroBitCount & ~7
                    all |= word & ((1 << UInt64(bits)) &- 1)
                    return (position + bits / 8, all & highs == 0)
                }
                all |= word
                position += 8
            }
        }
        var rest: UInt8 = 0
        while position < bytes.count {
            let byte = bytes[position]
            if byte < 0x20 || byte == 0x22 || byte == 0x5c { break }
            rest |= byte
            position += 1
        }
        return (position, all & highs == 0 && rest < 0x80)
    }
}
