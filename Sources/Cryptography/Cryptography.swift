/// The program's cryptography: digests, base64 read strictly, sealing of stored secrets, and signatures of tokens.
///
/// This module alone imports swift-crypto. It holds no state and reads no file; which bytes are bound to which row is
/// `Store`'s business, what a verified token means `OAuth`'s. Keys and sealed bytes have descriptions that say nothing.
import Crypto
import FoundationEssentials

/// SHA-2 (FIPS 180-4) and HMAC-SHA-256 (RFC 2104) over bytes.
package enum Digest {
    package static func sha256(_ bytes: some Collection<UInt8>) -> [UInt8] { Array(SHA256.hash(data: Array(bytes))) }
    package static func sha384(_ bytes: some Collection<UInt8>) -> [UInt8] { Array(SHA384.hash(data: Array(bytes))) }
    package static func sha512(_ bytes: some Collection<UInt8>) -> [UInt8] { Array(SHA512.hash(data: Array(bytes))) }

    package static func hmacSHA256(key: some Collection<UInt8>, message: some Collection<UInt8>) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: Array(message), using: SymmetricKey(data: Array(key))))
    }
}

/// Whether both are the same bytes. How long it takes depends on their lengths alone, which may be known.
package func constantTimeEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    guard left.count == right.count else { return false }
    var difference: UInt8 = 0
    for index in left.indices { difference |= left[index] ^ right[index] }
    return difference == 0
}

/// As above, over the UTF-8 of both.
package func constantTimeEqual(_ left: String, _ right: String) -> Bool {
    constantTimeEqual(Array(left.utf8), Array(right.utf8))
}

/// Lower-case hexadecimal.
package enum Hexadecimal {
    /// Of either case; `nil` for anything but pairs of digits.
    package static func decode(_ text: String) -> [UInt8]? {
        let digits = text.utf8.map { byte -> UInt8? in
            switch byte {
            case 0x30...0x39: byte - 0x30
            case 0x41...0x46: byte - 0x37
            case 0x61...0x66: byte - 0x57
            default: nil
            }
        }
        guard digits.count.isMultiple(of: 2) else { return nil }
        var bytes: [UInt8] = []
        for index in stride(from: 0, to: digits.count, by: 2) {
            guard let high = digits[index], let low = digits[index + 1] else { return nil }
            bytes.append(high << 4 | low)
        }
        return bytes
    }

    package static func encode(_ bytes: some Collection<UInt8>) -> String {
        var text: [UInt8] = []
        text.reserveCapacity(2 * bytes.count)
        for byte in bytes {
            text.append(digit(byte >> 4))
            text.append(digit(byte & 15))
        }
        return String(decoding: text, as: UTF8.self)
    }

    private static func digit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x57 + value }
}
