import Accounts
import Cryptography
import TestSupport
import Testing

@Suite struct SigningKeyTests {
    private func key(_ pem: String) throws -> SigningKey { try SigningKey(pem: Secret(pem)) }

    private static let message = Array("EXAMPLE.message".utf8)

    @Test(arguments: [
        (ExampleKeys.rsa, [SignatureAlgorithm.rs256, .rs384, .rs512, .ps256]), (ExampleKeys.rsaPKCS1, [.rs256]),
        (ExampleKeys.p256, [.es256]), (ExampleKeys.p256SEC1, [.es256]), (ExampleKeys.p384, [.es384]),
        (ExampleKeys.p384SEC1, [.es384]), (ExampleKeys.ed25519, [.edDSA]),
    ])
    func `signs what its public half verifies, and with no other algorithm`(
        pem: String, algorithms: [SignatureAlgorithm]
    ) throws {
        let key = try key(pem)
        #expect(key.defaultAlgorithm == algorithms.first)
        for algorithm in algorithms {
            let signature = try key.signature(for: Self.message, algorithm: algorithm)
            #expect(key.publicKey.isValid(signature: signature, for: Self.message, algorithm: algorithm))
            #expect(!key.publicKey.isValid(signature: signature, for: Self.message + [0], algorithm: algorithm))
        }
        for algorithm in SignatureAlgorithm.allCases where !key.publicKey.fits(algorithm) {
            #expect(throws: SigningKeyError.algorithmDoesNotFit) {
                try key.signature(for: Self.message, algorithm: algorithm)
            }
        }
    }

    @Test func `a key is the same however it is written`() throws {
        #expect(try key(ExampleKeys.rsa) == key(ExampleKeys.rsaPKCS1))
        #expect(try key(ExampleKeys.p256) == key(ExampleKeys.p256SEC1))
        #expect(try key(ExampleKeys.p256) != key(ExampleKeys.p384))
        // As an environment holds it that knows no line breaks.
        #expect(try key(ExampleKeys.p256.replacing("\n", with: "\\n")) == key(ExampleKeys.p256))
        let scalar = try #require(key(ExampleKeys.p256).p256Scalar)
        #expect(try SigningKey(p256: scalar) == key(ExampleKeys.p256))
        #expect(SigningKey(p256: [UInt8](repeating: 0xff, count: 32)) == nil)
        #expect(SigningKey(p256: [UInt8](repeating: 0, count: 32)) == nil)
    }

    @Test(arguments: [
        (ExampleKeys.rsa1024, SigningKeyError.tooSmall), (ExampleKeys.encrypted, .encrypted),
        (ExampleKeys.secp256k1, .malformed), (ExampleKeys.rsaPublic, .notPEM), ("", .notPEM),
        ("EXAMPLE-secret", .notPEM),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", .malformed),
        ("-----BEGIN RSA PRIVATE KEY-----", .malformed),
    ])
    func `refuses what is no key to sign with`(pem: String, error: SigningKeyError) {
        #expect(throws: error) { try key(pem) }
    }

    @Test func `a new key is another each time`() throws {
        let keys = (0..<8).map { _ in SigningKey.generateP256(random: SystemRandom()) }
        #expect(Set(keys.compactMap(\.p256Scalar)).count == 8)
        let point = try #require(keys[0].p256Point)
        let publicKey = try PublicKey(p256X: point.x, y: point.y)
        let signature = try keys[0].signature(for: Self.message, algorithm: .es256)
        #expect(publicKey.isValid(signature: signature, for: Self.message, algorithm: .es256))
    }

    @Test(arguments: [ExampleKeys.rsa, ExampleKeys.p256, ExampleKeys.p384, ExampleKeys.ed25519])
    func `security 80: no description of a key shows it`(pem: String) throws {
        let key = try key(pem)
        var shown = "\(key)" + String(reflecting: key)
        dump(key, to: &shown)
        #expect(shown.contains("private key [redacted]"))
        #expect(shown.utf8.count < 400)
        for line in pem.split(separator: "\n").dropFirst().dropLast() { #expect(!shown.contains(line)) }
    }
}
