/// A set of bytes: 256 bits.
struct ByteSet: Sendable {
    private var bits = SIMD4<UInt64>()

    init(_ contains: (UInt8) -> Bool) {
        for byte in UInt8.min...UInt8.max where contains(byte) { bits[Int(byte >> 6)] |= 1 << UInt64(byte & 63) }
    }

    func contains(_ byte: UInt8) -> Bool { bits[Int(byte >> 6)] >> UInt64(byte & 63) & 1 != 0 }
}

extension String {
    /// Whether every byte of its UTF-8 is in the set.
    func consists(of set: ByteSet) -> Bool {
        utf8.withContiguousStorageIfAvailable { $0.allSatisfy(set.contains) } ?? utf8.allSatisfy(set.contains)
    }
}

extension UInt8 {
    /// In lower case where it is an ASCII letter.
    var lowercased: UInt8 { (0x41...0x5a).contains(self) ? self | 0x20 : self }

    var isASCIILetterOrDigit: Bool { (0x30...0x39).contains(self) || (0x61...0x7a).contains(lowercased) }
}
