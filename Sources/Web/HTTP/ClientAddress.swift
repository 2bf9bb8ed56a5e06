import Glibc

/// An IP address as 16 bytes; IPv4 in its IPv6-mapped form (RFC 4291 §2.5.5.2), so that one comparison serves both.
struct ClientAddress: Hashable, Sendable, CustomStringConvertible {
    private let high: UInt64
    private let low: UInt64

    /// Reads `192.0.2.1`, `2001:db8::1`, and what proxies write: `192.0.2.1:4711`, `[2001:db8::1]`, `[…]:4711`.
    init?(_ text: some StringProtocol) {
        var text = String(text)
        if text.first == "[" {
            guard let end = text.firstIndex(of: "]") else { return nil }
            text = String(text[text.index(after: text.startIndex)..<end])
        } else if text.count(where: { $0 == ":" }) == 1, let colon = text.firstIndex(of: ":") {
            text = String(text[..<colon])
        }
        var bytes = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, text, &bytes) == 1 {
            self.init(high: 0, low: bytes[..<4].reduce(0xffff) { $0 << 8 | UInt64($1) })
        } else if inet_pton(AF_INET6, text, &bytes) == 1 {
            self.init(
                high: bytes[..<8].reduce(0) { $0 << 8 | UInt64($1) },
                low: bytes[8...].reduce(0) { $0 << 8 | UInt64($1) })
        } else {
            return nil
        }
    }

    private init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    private var isMapped: Bool { high == 0 && low >> 32 == 0xffff }

    /// What a rate limit counts under: the address, or the /64 that one IPv6 host may roam freely in.
    var limitKey: ClientAddress { isMapped ? self : ClientAddress(high: high, low: 0) }

    /// The first `length` bits, of 128.
    func masked(_ length: Int) -> ClientAddress {
        func mask(_ bits: Int) -> UInt64 { bits <= 0 ? 0 : bits >= 64 ? .max : ~(.max >> UInt64(bits)) }
        return ClientAddress(high: high & mask(length), low: low & mask(length - 64))
    }

    var description: String {
        if isMapped { return (0..<4).map { String(low >> UInt64(24 - 8 * $0) & 0xff) }.joined(separator: ".") }
        let bytes = (0..<16).map { index in
            UInt8(truncatingIfNeeded: (index < 8 ? high : low) >> UInt64(56 - 8 * (index % 8)))
        }
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        guard inet_ntop(AF_INET6, bytes, &text, socklen_t(text.count)) != nil else { return "?" }
        return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
