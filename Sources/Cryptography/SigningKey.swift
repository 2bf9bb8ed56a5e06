package import Accounts
import Crypto
import CryptoExtras
import FoundationEssentials

package enum SigningKeyError: Error, Equatable, CustomStringConvertible {
    /// Not one of the PEM labels of a private key.
    case notPEM
    case encrypted
    /// RSA below 2048 bits.
    case tooSmall
    /// The label promises a key that is not there, or of a kind or curve that signs nothing of ours.
    case malformed
    case algorithmDoesNotFit
    case notSigned

    package var description: String {
        switch self {
        case .notPEM:
            "expected a private key in PEM: PKCS #8 (PRIVATE KEY), PKCS #1 (RSA PRIVATE KEY) or SEC 1 (EC PRIVATE KEY)"
        case .encrypted: "the private key is encrypted; expected it without a passphrase"
        case .tooSmall: "the RSA key has less than 2048 bits"
        case .malformed: "expected an RSA, P-256, P-384 or Ed25519 private key"
        case .algorithmDoesNotFit: "the algorithm is not one for this kind of key"
        case .notSigned: "the signature could not be made"
        }
    }
}

/// A private key that signs (RFC 7518 §3.1, RFC 8037 §3.1). Its description says of what kind it is and nothing else.
package struct SigningKey: Sendable, Equatable, CustomStringConvertible, CustomReflectable {
    private enum Key: Sendable {
        case rsa(_RSA.Signing.PrivateKey)
        case p256(P256.Signing.PrivateKey)
        case p384(P384.Signing.PrivateKey)
        case ed25519(Curve25519.Signing.PrivateKey)
    }

    private let key: Key

    /// Reads PEM. Line breaks may be written as `\n`, as environments that hold one line force people to.
    package init(pem: Secret) throws(SigningKeyError) {
        key = try pem.reveal { text throws(SigningKeyError) in
            let text = text.replacing("\\n", with: "\n")
            guard let start = text.firstRange(of: "-----BEGIN "),
                let end = text[start.upperBound...].firstRange(of: "-----")
            else { throw .notPEM }
            let candidates: [Key?]
            switch text[start.upperBound..<end.lowerBound] {
            case "RSA PRIVATE KEY": candidates = [try Self.rsa(text)]
            case "EC PRIVATE KEY": candidates = [Self.p256(text), Self.p384(text)]
            case "PRIVATE KEY": candidates = [Self.p256(text), Self.p384(text), Self.ed25519(text), try Self.rsa(text)]
            case "ENCRYPTED PRIVATE KEY": throw .encrypted
            default: throw .notPEM
            }
            guard let key = candidates.lazy.compactMap(\.self).first else { throw .malformed }
            return key
        }
    }

    /// A new P-256 key.
    package static func generateP256(random: some RandomSource) -> SigningKey {
        while true {
            // One in 2^32 is no scalar of the curve.
            if let key = SigningKey(p256: random.bytes(32)) { return key }
        }
    }

    /// `nil` where the 32 bytes are no scalar of the curve.
    package init?(p256 scalar: [UInt8]) {
        // No scalar of the curve, or not 32 bytes.
        guard let key = try? P256.Signing.PrivateKey(rawRepresentation: scalar) else { return nil }
        self.key = .p256(key)
    }

    /// The scalar of a P-256 key; `nil` for others. Secret: it is sealed and goes nowhere else.
    package var p256Scalar: [UInt8]? { if case .p256(let key) = key { Array(key.rawRepresentation) } else { nil } }

    /// `x` and `y` of a P-256 key's public half; `nil` for others.
    package var p256Point: (x: [UInt8], y: [UInt8])? {
        guard case .p256(let key) = key else { return nil }
        let point = Array(key.publicKey.rawRepresentation)
        return (Array(point.prefix(32)), Array(point.suffix(32)))
    }

    package var publicKey: PublicKey {
        switch key {
        case .rsa(let key): PublicKey(.rsa(key.publicKey))
        case .p256(let key): PublicKey(.p256(key.publicKey))
        case .p384(let key): PublicKey(.p384(key.publicKey))
        case .ed25519(let key): PublicKey(.ed25519(key.publicKey))
        }
    }

    /// What the key signs with where nobody says otherwise.
    package var defaultAlgorithm: SignatureAlgorithm {
        switch key {
        case .rsa: .rs256
        case .p256: .es256
        case .p384: .es384
        case .ed25519: .edDSA
        }
    }

    /// ECDSA signatures are the two integers side by side (RFC 7518 §3.4).
    package func signature(
        for message: [UInt8], algorithm: SignatureAlgorithm
    ) throws(SigningKeyError) -> [UInt8] {
        guard publicKey.fits(algorithm) else { throw .algorithmDoesNotFit }
        do {
            switch key {
            case .rsa(let key):
                switch algorithm {
                case .rs384:
                    return Array(
                        try key.signature(for: SHA384.hash(data: message), padding: .insecurePKCS1v1_5)
                            .rawRepresentation)
                case .rs512:
                    return Array(
                        try key.signature(for: SHA512.hash(data: message), padding: .insecurePKCS1v1_5)
                            .rawRepresentation)
                case .ps256:
                    return Array(try key.signature(for: SHA256.hash(data: message), padding: .PSS).rawRepresentation)
                default:
                    return Array(
                        try key.signature(for: SHA256.hash(data: message), padding: .insecurePKCS1v1_5)
                            .rawRepresentation)
                }
            case .p256(let key): return Array(try key.signature(for: SHA256.hash(data: message)).rawRepresentation)
            case .p384(let key): return Array(try key.signature(for: SHA384.hash(data: message)).rawRepresentation)
            case .ed25519(let key): return Array(try key.signature(for: message))
            }
        } catch { throw .notSigned }
    }

    package static func == (left: Self, right: Self) -> Bool { constantTimeEqual(left.bytes, right.bytes) }
    package var description: String { "\(kind) private key [redacted]" }
    package var customMirror: Mirror { Mirror(self, children: []) }

    private var kind: String {
        switch key {
        case .rsa(let key): "RSA-\(key.keySizeInBits)"
        case .p256: "P-256"
        case .p384: "P-384"
        case .ed25519: "Ed25519"
        }
    }

    private var bytes: [UInt8] {
        switch key {
        case .rsa(let key): Array(key.derRepresentation)
        case .p256(let key): Array(key.rawRepresentation)
        case .p384(let key): Array(key.rawRepresentation)
        case .ed25519(let key): Array(key.rawRepresentation)
        }
    }

    /// `namedCurve` of RFC 5480 §2.1.1.1. The parser reads any scalar of 32 bytes as one of P-256, whatever its curve.
    private static func names(_ curve: [UInt8], _ text: String) -> Bool {
        let lines = text.split(whereSeparator: \.isNewline).filter { !$0.hasPrefix("-----") }
        guard let der = Base64.decode(lines.joined().filter { !$0.isWhitespace }) else { return false }
        return der.indices.contains { der[$0...].starts(with: curve) }
    }

    private static func p256(_ text: String) -> Key? {
        guard names([0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07], text) else { return nil }
        // Unreadable: the caller says that there is no key.
        return (try? P256.Signing.PrivateKey(pemRepresentation: text)).map { .p256($0) }
    }

    private static func p384(_ text: String) -> Key? {
        guard names([0x2b, 0x81, 0x04, 0x00, 0x22], text) else { return nil }
        // As above.
        return (try? P384.Signing.PrivateKey(pemRepresentation: text)).map { .p384($0) }
    }

    private static func ed25519(_ text: String) -> Key? {
        // Of another kind, perhaps: the next is tried.
        (try? Curve25519.Signing.PrivateKey(pemRepresentation: text)).map { .ed25519($0) }
    }

    private static func rsa(_ text: String) throws(SigningKeyError) -> Key? {
        // Unreadable here may be merely short.
        if let key = try? _RSA.Signing.PrivateKey(pemRepresentation: text) { return .rsa(key) }
        if (try? _RSA.Signing.PrivateKey(unsafePEMRepresentation: text)) != nil { throw .tooSmall }
        return nil
    }
}
