import Hummingbird
import Synchronization

/// The id by which a client and the log speak of one request.
struct RequestIDs: Sendable {
    /// `req_` and 16 hexadecimal digits. Unique within a run for certain: a counter through a bijection.
    func next() -> String {
        var mixed = Self.counter.wrappingAdd(1, ordering: .relaxed).newValue &* 0x9e37_79b9_7f4a_7c15
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed ^= mixed >> 27
        return String(unsafeUninitializedCapacity: 20) { buffer in
            for (index, byte) in "req_".utf8.enumerated() { buffer[index] = byte }
            for index in 0..<16 {
                let digit = UInt8(truncatingIfNeeded: mixed >> UInt64(60 - 4 * index)) & 15
                buffer[4 + index] = digit < 10 ? 0x30 + digit : 0x57 + digit
            }
            return 20
        }
    }

    private static let counter = Atomic<UInt64>(.random(in: .min ... .max))

    /// The caller's own id where it is harmless in a header, a log line and a page; one of ours otherwise.
    func id(for request: Request) -> String {
        if let given = request.headers[.requestID], Self.isSafe(given) { given } else { next() }
    }

    static func isSafe(_ text: String) -> Bool {
        (1...64).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                (0x61...0x7a).contains(byte) || (0x41...0x5a).contains(byte) || (0x30...0x39).contains(byte)
                    || byte == 0x2e || byte == 0x5f || byte == 0x2d
            }
    }
}
