import Glibc

/// An IPv4 or IPv6 address. An IPv4 address and the same in IPv6 clothing (`::ffff:a.b.c.d`) are one.
package struct IPAddress: Hashable, Sendable {
    /// The 128 bits of IPv6; IPv4 is held as IPv4-mapped.
    private let high: UInt64
    private let low: UInt64

    /// In network order; `nil` unless there are four bytes or sixteen.
    package init?(bytes: some Collection<UInt8>) {
        var words: (UInt64, UInt64) = (0, 0)
        for byte in bytes { words = (words.0 << 8 | words.1 >> 56, words.1 << 8 | UInt64(byte)) }
        switch bytes.count {
        case 4: (high, low) = (0, Self.mappedPrefix | words.1)
        case 16: (high, low) = words
        default: return nil
        }
    }

    /// Reads dotted decimal without leading zeros, or RFC 4291 §2.2 text without brackets or zone. The other spellings
    /// that C libraries take for IPv4 (`0x7f.1`, `2130706433`, `017700000001`) are not addresses here.
    package init?(_ text: String) {
        var words: (UInt64, UInt64) = (0, 0)
        if inet_pton(AF_INET, text, &words) == 1 {
            (high, low) = (0, Self.mappedPrefix | UInt64(bigEndian: words.0) >> 32)
        } else if inet_pton(AF_INET6, text, &words) == 1 {
            (high, low) = (UInt64(bigEndian: words.0), UInt64(bigEndian: words.1))
        } else {
            return nil
        }
    }

    /// Whether the address is one that anybody on the Internet would mean by it: none of the special-purpose blocks of
    /// RFC 6890 and its registries, no multicast, and no transition prefix around an address that is itself private.
    package var isPublic: Bool {
        if high == 0, low & ~0xffff_ffff == Self.mappedPrefix { return Self.isPublic4(low) }
        if high == 0x0064_ff9b_0000_0000, low >> 32 == 0 { return Self.isPublic4(low) }  // NAT64, RFC 6052
        guard high >> 61 == 1 else { return false }  // only 2000::/3 is handed out, RFC 4291 §2.4
        if high >> 48 == 0x2002 { return Self.isPublic4(high >> 16) }  // 6to4, RFC 3056
        return high >> 41 != 0x2001_0000 >> 9  // 2001::/23: Teredo, benchmarks, ORCHID
            && high >> 32 != 0x2001_0db8  // documentation, RFC 3849
            && high >> 44 != 0x3fff0  // documentation, RFC 9637
    }

    private static let mappedPrefix: UInt64 = 0xffff_0000_0000

    private static func isPublic4(_ bits: UInt64) -> Bool {
        let address = UInt32(truncatingIfNeeded: bits)
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
}
