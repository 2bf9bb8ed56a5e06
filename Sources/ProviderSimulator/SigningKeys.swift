import Crypto
import CryptoExtras
import FoundationEssentials
import Synchronization

/// The RSA keys that sign one issuer's ID tokens: made when first needed, rotated on request.
final class SigningKeys: Sendable {
    private struct Key: Sendable {
        var id: String
        var key: _RSA.Signing.PrivateKey
    }

    private struct Keys: Sendable {
        var current: Key?
        var previous: Key?
        var made = 0
    }

    private let keys = Mutex(Keys())

    /// Later tokens are signed with a new key. The old one stays published unless `forgetting`.
    func rotate(forgetting: Bool) throws {
        try keys.withLock { keys in
            let old = try current(&keys)
            keys.previous = forgetting ? nil : old
            keys.current = nil
            _ = try current(&keys)
        }
    }

    /// RFC 7517 §5.
    func document() throws -> JSONText {
        try keys.withLock { keys in
            let all = [try current(&keys)] + (keys.previous.map { [$0] } ?? [])
            return .object([
                (
                    "keys",
                    .array(
                        try all.map { key in
                            let numbers = try key.key.publicKey.getKeyPrimitives()
                            return .object([
                                ("kty", "RSA"), ("use", "sig"), ("alg", "RS256"), ("kid", .string(key.id)),
                                ("n", .string(base64URL(Array(numbers.modulus)))),
                                ("e", .string(base64URL(Array(numbers.publicExponent)))),
                            ])
                        })
                )
            ])
        }
    }

    /// A compact JWS (RFC 7515) of the claims, wrong where a flaw says so.
    func sign(_ claims: JSONText, flaw: SimulatedFault.IDTokenFlaw?) throws -> String {
        let key = try keys.withLock { try current(&$0) }
        let algorithm = flaw == .algorithmNone ? "none" : "RS256"
        let id = flaw == .unknownKey ? "EXAMPLE-unknown" : key.id
        let header = JSONText.object([("alg", .string(algorithm)), ("kid", .string(id)), ("typ", "JWT")])
        let signed = base64URL(header.bytes) + "." + base64URL(claims.bytes)
        if flaw == .algorithmNone { return signed + "." }
        let digest = SHA256.hash(data: Array((flaw == .signature ? signed + " " : signed).utf8))
        let signature = try key.key.signature(for: digest, padding: .insecurePKCS1v1_5)
        return signed + "." + base64URL(Array(signature.rawRepresentation))
    }

    private func current(_ keys: inout Keys) throws -> Key {
        if let key = keys.current { return key }
        keys.made += 1
        let key = Key(id: "EXAMPLE-key-\(keys.made)", key: try _RSA.Signing.PrivateKey(keySize: .bits2048))
        keys.current = key
        return key
    }
}
