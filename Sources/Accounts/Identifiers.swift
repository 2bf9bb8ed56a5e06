/// The application's own id for its user: opaque, 1…255 characters, no control characters. Equal where
/// the bytes are equal, as in the database; Swift's strings are equal when merely canonically equivalent.
package struct UserID: Hashable, Sendable, CustomStringConvertible {
    package let rawValue: String

    package init?(_ rawValue: String) {
        guard (1...255).contains(rawValue.unicodeScalars.count), rawValue.hasNoControlCharacters else { return nil }
        self.rawValue = rawValue
    }

    package var description: String { rawValue }

    package static func == (left: Self, right: Self) -> Bool { left.rawValue.hasSameBytes(as: right.rawValue) }
    package func hash(into hasher: inout Hasher) { hasher.combine(rawValue) }
}

/// The name of a configured provider instance, `{provider}` in every URL: lower-case letters, digits and hyphens,
/// beginning with a letter or a digit, at most 63 characters.
package struct ProviderID: Hashable, Sendable, Comparable, CustomStringConvertible {
    package let rawValue: String

    package init?(_ rawValue: String) {
        let allowed = rawValue.utf8.allSatisfy { byte in
            (0x61...0x7a).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2d
        }
        guard allowed, (1...63).contains(rawValue.utf8.count), rawValue.utf8.first != 0x2d else { return nil }
        self.rawValue = rawValue
    }

    package var description: String { rawValue }

    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// The provider's stable id for a person, 1…255 characters. Never parsed as a number: ids go beyond 2^53. Equal
/// where the bytes are equal.
package struct Subject: Hashable, Sendable, CustomStringConvertible {
    package let rawValue: String

    package init?(_ rawValue: String) {
        guard (1...255).contains(rawValue.unicodeScalars.count), rawValue.hasNoControlCharacters else { return nil }
        self.rawValue = rawValue
    }

    package var description: String { rawValue }

    package static func == (left: Self, right: Self) -> Bool { left.rawValue.hasSameBytes(as: right.rawValue) }
    package func hash(into hasher: inout Hasher) { hasher.combine(rawValue) }
}

/// One value of OAuth's `scope` (RFC 6749 §3.3): printable ASCII without space, quote or backslash.
package struct Scope: Hashable, Sendable, Comparable, CustomStringConvertible {
    package let rawValue: String

    package init?(_ rawValue: String) {
        let allowed = rawValue.utf8.allSatisfy { (0x21...0x7e).contains($0) && $0 != 0x22 && $0 != 0x5c }
        guard allowed, !rawValue.isEmpty else { return nil }
        self.rawValue = rawValue
    }

    package var description: String { rawValue }

    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    /// Whether one of `granted` is this scope, as servers write it: by its name, by a URL that ends in it
    /// (`https://…/userinfo.email` for `email`), or by the wider scope that it is a part of (`user` for `user:email` and
    /// `read:user`). `offline_access` is granted by a refresh token and seldom named.
    package func isGranted(by granted: [Scope]) -> Bool {
        if rawValue == "offline_access" { return true }
        let parts = rawValue.contains("://") ? [] : rawValue.split(separator: ":").map(String.init)
        return granted.contains { scope in
            let name = scope.rawValue
            if name == rawValue || parts.count == 2 && parts.contains(name) { return true }
            guard name.contains("://"), let last = name.split(separator: "/").last else { return false }
            return last == rawValue || last.hasSuffix("." + rawValue)
        }
    }
}

/// What an `Identifier` identifies, and the prefix that says so.
package protocol Identified { static var identifierPrefix: String { get } }

package enum AccountKind: Identified { package static let identifierPrefix = "acc_" }
package enum LinkSessionKind: Identified { package static let identifierPrefix = "lks_" }
package enum DeviceLinkKind: Identified { package static let identifierPrefix = "dvl_" }
package enum APIKeyKind: Identified { package static let identifierPrefix = "key_" }
package enum ChangeKind: Identified { package static let identifierPrefix = "chg_" }

package typealias AccountID = Identifier<AccountKind>
package typealias LinkSessionID = Identifier<LinkSessionKind>
package typealias DeviceLinkID = Identifier<DeviceLinkKind>
package typealias APIKeyID = Identifier<APIKeyKind>
package typealias ChangeID = Identifier<ChangeKind>

/// An opaque id with a type prefix, sortable by creation: 48 bits of milliseconds and 80 random bits, as 26 lower-case
/// characters of Crockford's base 32 (the layout of a ULID).
package struct Identifier<Kind: Identified>: Hashable, Sendable, Comparable, CustomStringConvertible {
    package let rawValue: String

    /// Reads an id that came from outside; `nil` where it is not one of this kind.
    package init?(_ rawValue: String) {
        let prefix = Kind.identifierPrefix
        guard rawValue.hasPrefix(prefix), rawValue.utf8.count == prefix.utf8.count + 26 else { return nil }
        let digits = rawValue.utf8.dropFirst(prefix.utf8.count)
        // 26 digits hold 130 bits; the first carries three of the 128.
        guard digits.allSatisfy({ isCrockfordDigit[Int($0)] }), digits.first! <= UInt8(ascii: "7") else {
            return nil
        }
        self.rawValue = rawValue
    }

    /// An instant before 1970 or beyond 48 bits counts as the nearest that fits.
    package init(at now: Timestamp, random: any RandomSource) {
        let milliseconds = min(max(now.millisecondsSinceEpoch, 0), (1 << 48) - 1)
        var bytes = (0..<6).map { UInt8(truncatingIfNeeded: milliseconds >> (40 - 8 * Int64($0))) }
        bytes += random.bytes(10)
        var text = Array(Kind.identifierPrefix.utf8)
        // 128 bits in 26 digits of 5: the first digit holds the top three bits.
        var accumulator = 0
        var bits = 2
        for byte in bytes {
            accumulator = accumulator << 8 | Int(byte)
            bits += 8
            while bits >= 5 {
                bits -= 5
                text.append(crockfordDigits[accumulator >> bits & 31])
            }
            accumulator &= (1 << bits) - 1
        }
        rawValue = String(decoding: text, as: UTF8.self)
    }

    package var description: String { rawValue }

    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

private let crockfordDigits = Array("0123456789abcdefghjkmnpqrstvwxyz".utf8)
private let isCrockfordDigit = (0...255).map { crockfordDigits.contains(UInt8($0)) }

extension String {
    /// Swift's `==` also holds between canonically equivalent strings.
    func hasSameBytes(as other: String) -> Bool { self == other && utf8.elementsEqual(other.utf8) }

    /// No C0, C1 or delete, so that the value can stand in a log line or a header.
    fileprivate var hasNoControlCharacters: Bool {
        unicodeScalars.allSatisfy { $0.value >= 0x20 && !(0x7f...0x9f).contains($0.value) }
    }
}
