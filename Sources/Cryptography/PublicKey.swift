import Crypto
import CryptoExtras
import FoundationEssentials

/// JWS algorithms with a public key (RFC 7518 §3.1, RFC 8037 §3.1). `none` and the HMAC ones are not here and so can't
/// be asked for.
package enum SignatureAlgorithm: String, Sendable, Hashable, CaseIterable {
    case rs256 = "RS256"
    case rs384 = "RS384"
    case rs512 = "RS512"
    case ps256 = "PS256"
    case es256 = "ES256"
    case es384 = "ES384"
    case edDSA = "EdDSA"
}

package enum PublicKeyError: Error, Equatable {
    /// RSA below 2048 bits, or above 16384, which only serves to keep us busy.
    case modulusSize(bits: Int)
    case malformed
}

/// A public key that verifies signatures, made of what a JWK holds (RFC 7518 §6, RFC 8037 §2).
package struct PublicKey: Sendable {
    enum Key: Sendable {
        case rsa(_RSA.Signing.PublicKey)
        case p256(P256.Signing.PublicKey)
        case p384(P384.Signing.PublicKey)
        case ed25519(Curve25519.Signing.PublicKey)
    }

    private let key: Key

    init(_ key: Key) { self.key = key }

    /// `n` and `e`, big-endian.
    package init(rsaModulus modulus: [UInt8], exponent: [UInt8]) throws(PublicKeyError) {
        let modulus = Array(modulus.drop { $0 == 0 })
        let exponent = Array(exponent.drop { $0 == 0 })
        let bits = modulus.count * 8 - (modulus.first?.leadingZeroBitCount ?? 0)
        guard (2048...16384).contains(bits) else { throw .modulusSize(bits: bits) }
        // An even exponent or 1 makes no RSA key; more than 32 bits only costs time.
        guard let last = exponent.last, last & 1 == 1, exponent != [1], exponent.count <= 4 else { throw .malformed }
        do { key = .rsa(try _RSA.Signing.PublicKey(n: modulus, e: exponent)) } catch { throw .malformed }
    }

    /// `x` and `y` of a point on P-256, 32 bytes each.
    package init(p256X x: [UInt8], y: [UInt8]) throws(PublicKeyError) {
        guard x.count == 32, y.count == 32 else { throw .malformed }
        do { key = .p256(try P256.Signing.PublicKey(rawRepresentation: x + y)) } catch { throw .malformed }
    }

    /// `x` and `y` of a point on P-384, 48 bytes each.
    package init(p384X x: [UInt8], y: [UInt8]) throws(PublicKeyError) {
        guard x.count == 48, y.count == 48 else { throw .malformed }
        do { key = .p384(try P384.Signing.PublicKey(rawRepresentation: x + y)) } catch { throw .malformed }
    }

    /// `x` of an Ed25519 key, 32 bytes.
    package init(ed25519 x: [UInt8]) throws(PublicKeyError) {
        guard x.count == 32 else { throw .malformed }
        do { key = .ed25519(try Curve25519.Signing.PublicKey(rawRepresentation: x)) } catch { throw .malformed }
    }

    /// Whether the algorithm is one for this kind of key and curve.
    package func fits(_ algorithm: SignatureAlgorithm) -> Bool {
        switch (key, algorithm) {
        case (.rsa, .rs256), (.rsa, .rs384), (.rsa, .rs512), (.rsa, .ps256): true
        case (.p256, .es256), (.p384, .es384), (.ed25519, .edDSA): true
        default: false
        }
    }

    /// False too where the algorithm does not fit the key. ECDSA signatures are the two integers side by side (RFC 7518
    /// §3.4), not DER.
    package func isValid(signature: [UInt8], for message: [UInt8], algorithm: SignatureAlgorithm) -> Bool {
        switch (key, algorithm) {
        case (.rsa(let key), .rs256):
            key.isValidSignature(
                .init(rawRepresentation: signature), for: SHA256.hash(data: message), padding: .insecurePKCS1v1_5)
        case (.rsa(let key), .rs384):
            key.isValidSignature(
                .init(rawRepresentation: signature), for: SHA384.hash(data: message), padding: .insecurePKCS1v1_5)
        case (.rsa(let key), .rs512):
            key.isValidSignature(
                .init(rawRepresentation: signature), for: SHA512.hash(data: message), padding: .insecurePKCS1v1_5)
        case (.rsa(let key), .ps256):
            key.isValidSignature(.init(rawRepresentation: signature), for: SHA256.hash(data: message), padding: .PSS)
        case (.p256(let key), .es256):
            // A length other than 64 does not make a signature.
            (try? P256.Signing.ECDSASignature(rawRepresentation: signature)).map {
                key.isValidSignature($0, for: SHA256.hash(data: message))
            } ?? false
        case (.p384(let key), .es384):
            // Nor one other than 96 here.
            (try? P384.Signing.ECDSASignature(rawRepresentation: signature)).map {
                key.isValidSignature($0, for: SHA384.hash(data: message))
            } ?? false
        case (.ed25519(let key), .edDSA): key.isValidSignature(signature, for: message)
        default: false
        }
    }
}
