import Glibc

/// An IPv4 or IPv6 address. An IPv4 address in IPv6 clothing (`::ffff:a.b.c.d`) is the IPv4 address.
package struct IPAddress: Hashable, Sendable {
    /// Four or sixteen, in network order.
    package let bytes: [UInt8]

    /// `nil` unless there are four bytes or sixteen.
    package init?(bytes: [UInt8]) {
        switch bytes.count {
        case 4: self.bytes = bytes
        case 16: self.bytes = bytes.starts(with: Self.mappedPrefix) ? Array(bytes[12...]) : bytes
        default: return nil
        }
    }

    /// Reads dotted decimal without leading zeros, or RFC 4291 §2.2 text without brackets or zone. The other spellings
    /// that C libraries take for IPv4 (`0x7f.1`, `2130706433`, `017700000001`) are not addresses here.
    package init?(_ text: String) {
        var storage = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, text, &storage) == 1 {
            self.init(bytes: Array(storage[..<4]))
        } else if inet_pton(AF_INET6, text, &storage) == 1 {
            self.init(bytes: storage)
        } else {
            return nil
        }
    }

    /// Whether the address is one that anybody on the Internet would mean by it: none of the special-purpose blocks of
    /// RFC 6890 and its registries, no multicast, and no transition prefix around an address that is itself private.
    package var isPublic: Bool { bytes.count == 4 ? Self.isPublic4(bytes[...]) : isPublic6 }

    private static let mappedPrefix: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]

    private static func isPublic4(_ bytes: ArraySlice<UInt8>) -> Bool {
        let address = bytes.reduce(0 as UInt32) { $0 << 8 | UInt32($1) }
        return !special4.contains { address >> (32 - $0.bits) == $0.prefix >> (32 - $0.bits) }
    }

    private static let special4: [(prefix: UInt32, bits: UInt32)] = [
        (0x0000_0000, 8),  // this network, RFC 791
        (0x0a00_0000, 8),  // private, RFC 1918
        (0x6440_0000, 10),  // shared by carriers, RFC 6598
        (0x7f00_0000, 8),  // loopback
        (0xa9fe_0000, 16),  // link local, where clouds keep their metadata
        (0xac10_0000, 12),  // private
        (0xc000_0000, 24),  // protocol assignments, RFC 6890
        (0xc000_0200, 24),  // documentation, RFC 5737
        (0xc058_6300, 24),  // 6to4 relays, RFC 7526
        (0xc0a8_0000, 16),  // private
        (0xc612_0000, 15),  // benchmarks, RFC 2544
        (0xc633_6400, 24),  // documentation
        (0xcb00_7100, 24),  // documentation
        (0xe000_0000, 4),  // multicast
        (0xf000_0000, 4),  // reserved, and broadcast
    ]

    private var isPublic6: Bool {
        if bytes.starts(with: [0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0]) {  // NAT64, RFC 6052
            return Self.isPublic4(bytes[12...])
        }
        guard bytes[0] & 0xe0 == 0x20 else { return false }  // only 2000::/3 is handed out, RFC 4291 §2.4
        if bytes[0] == 0x20, bytes[1] == 0x02 { return Self.isPublic4(bytes[2..<6]) }  // 6to4, RFC 3056
        if bytes[0] == 0x20, bytes[1] == 0x01 {
            if bytes[2] < 2 { return false }  // 2001::/23: Teredo, benchmarks, ORCHID
            if bytes[2] == 0x0d, bytes[3] == 0xb8 { return false }  // documentation, RFC 3849
        }
        return !(bytes[0] == 0x3f && bytes[1] == 0xff && bytes[2] < 0x10)  // 3fff::/20, documentation, RFC 9637
    }
}
