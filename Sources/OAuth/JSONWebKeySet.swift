import Cryptography
package import JSON
package import Transfer

/// The keys that an OpenID provider signs with (RFC 7517 §5). Keys that can't verify a signature of ours are left out: an
/// unknown type or curve, RSA below 2048 bits, `use` other than `sig`.
package struct JSONWebKeySet: Sendable {
    struct Key: Sendable {
        let id: String?
        /// The one algorithm that the key is for, where it says so.
        let algorithm: SignatureAlgorithm?
        let publicKey: PublicKey

        func fits(_ algorithm: SignatureAlgorithm) -> Bool {
            (self.algorithm == nil || self.algorithm == algorithm) && publicKey.fits(algorithm)
        }
    }

    let keys: [Key]

    package static func request(uri: String) -> TransferRequest {
        TransferRequest(.get, uri, fields: ["Accept": "application/json, application/jwk-set+json"])
    }

    /// The media type is not looked at: signatures decide, and many servers send `text/plain` or none.
    package static func read(_ response: TransferResponse) throws(JSONWebKeySetError) -> JSONWebKeySet {
        guard response.status == 200 else { throw .unavailable(status: response.status) }
        let document: JSONValue
        do { document = try JSONValue(parsing: response.body) } catch { throw .malformed(reason: "not JSON") }
        return try JSONWebKeySet(document)
    }

    package init(_ document: JSONValue) throws(JSONWebKeySetError) {
        guard let members = document["keys"]?.array else { throw .malformed(reason: "keys is not an array") }
        keys = members.prefix(100).compactMap(Self.key)
    }

    /// `nil` where the key is not for verifying, or not one.
    private static func key(_ jwk: JSONValue) -> Key? {
        if let use = jwk["use"], use != .string("sig") { return nil }
        if let operations = jwk["key_ops"]?.array, !operations.contains(.string("verify")) { return nil }
        var algorithm: SignatureAlgorithm?
        if let name = jwk["alg"] {
            guard let named = name.string.flatMap({ SignatureAlgorithm(rawValue: $0) }) else { return nil }
            algorithm = named
        }
        func bytes(_ name: String) -> [UInt8] { jwk[name]?.string.flatMap { Base64URL.decode($0) } ?? [] }
        let publicKey: PublicKey?
        do throws(PublicKeyError) {
            publicKey =
                switch (jwk["kty"]?.string, jwk["crv"]?.string) {
                case ("RSA", nil): try PublicKey(rsaModulus: bytes("n"), exponent: bytes("e"))
                case ("EC", "P-256"): try PublicKey(p256X: bytes("x"), y: bytes("y"))
                case ("EC", "P-384"): try PublicKey(p384X: bytes("x"), y: bytes("y"))
                case ("OKP", "Ed25519"): try PublicKey(ed25519: bytes("x"))
                default: nil
                }
        } catch { return nil }
        guard let publicKey else { return nil }
        if let algorithm, !publicKey.fits(algorithm) { return nil }
        return Key(id: jwk["kid"]?.string, algorithm: algorithm, publicKey: publicKey)
    }
}

package enum JSONWebKeySetError: Error, Equatable {
    case unavailable(status: Int)
    case malformed(reason: String)
}
