import Cryptography
import Testing

@Suite struct PublicKeyTests {
    @Test func `every algorithm has a vector`() {
        #expect(Set(SignatureVector.all.map(\.algorithm)) == Set(SignatureAlgorithm.allCases))
    }

    @Test(arguments: SignatureVector.all)
    func `accepts another implementation's signature`(vector: SignatureVector) throws {
        let signature = try #require(Base64URL.decode(vector.signature))
        let key = try vector.publicKey()
        #expect(key.fits(vector.algorithm))
        #expect(key.isValid(signature: signature, for: SignatureVector.message, algorithm: vector.algorithm))
    }

    @Test(arguments: SignatureVector.all)
    func `refuses other messages, other algorithms and damaged signatures`(vector: SignatureVector) throws {
        let signature = try #require(Base64URL.decode(vector.signature))
        let key = try vector.publicKey()
        #expect(!key.isValid(signature: signature, for: Array("other".utf8), algorithm: vector.algorithm))
        for algorithm in SignatureAlgorithm.allCases where algorithm != vector.algorithm {
            #expect(!key.isValid(signature: signature, for: SignatureVector.message, algorithm: algorithm))
        }
        var flipped = signature
        flipped[10] ^= 1
        for damaged in [flipped, Array(signature.dropLast()), signature + [0], []] {
            #expect(!key.isValid(signature: damaged, for: SignatureVector.message, algorithm: vector.algorithm))
        }
    }

    @Test func `security 50: refuses RSA below 2048 bits, leading zeros or not`() throws {
        let modulus = try #require(Base64URL.decode(SignatureVector.modulus1024))
        #expect(throws: PublicKeyError.modulusSize(bits: 1024)) {
            try PublicKey(rsaModulus: modulus, exponent: [1, 0, 1])
        }
        #expect(throws: PublicKeyError.modulusSize(bits: 1024)) {
            try PublicKey(rsaModulus: [UInt8](repeating: 0, count: 128) + modulus, exponent: [1, 0, 1])
        }
        #expect(throws: PublicKeyError.modulusSize(bits: 0)) { try PublicKey(rsaModulus: [], exponent: [1, 0, 1]) }
        #expect(throws: PublicKeyError.modulusSize(bits: 32768)) {
            try PublicKey(rsaModulus: [UInt8](repeating: 0xff, count: 4096), exponent: [1, 0, 1])
        }
    }

    @Test(arguments: [[], [0], [1], [0, 1], [2], [1, 0, 0], [1, 0, 0, 0, 1]] as [[UInt8]])
    func `refuses exponents that make no key`(exponent: [UInt8]) throws {
        let modulus = try #require(SignatureVector.rsa["n"].flatMap { Base64URL.decode($0) })
        #expect(throws: PublicKeyError.malformed) { try PublicKey(rsaModulus: modulus, exponent: exponent) }
    }

    @Test func `refuses points that are not on the curve and coordinates of the wrong length`() {
        let ones = [UInt8](repeating: 1, count: 32)
        #expect(throws: PublicKeyError.malformed) { try PublicKey(p256X: ones, y: ones) }
        #expect(throws: PublicKeyError.malformed) { try PublicKey(p256X: Array(ones.dropLast()), y: ones) }
        #expect(throws: PublicKeyError.malformed) { try PublicKey(p384X: ones, y: ones) }
        #expect(throws: PublicKeyError.malformed) { try PublicKey(ed25519: Array(ones.dropLast())) }
    }
}
