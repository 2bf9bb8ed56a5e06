import Cryptography
import Testing

@Suite struct DigestTests {
    @Test func `digests match the published vectors`() {
        // FIPS 180-4, "abc"; RFC 4231, test case 2.
        #expect(
            Hexadecimal.encode(Digest.sha256("abc".utf8))
                == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(Hexadecimal.encode(Digest.sha384("abc".utf8)).hasPrefix("cb00753f45a35e8bb5a03d699ac65007272c32ab"))
        #expect(Hexadecimal.encode(Digest.sha512("abc".utf8)).hasPrefix("ddaf35a193617abacc417349ae20413112e6fa4e"))
        #expect(
            Hexadecimal.encode(Digest.hmacSHA256(key: "Jefe".utf8, message: "what do ya want for nothing?".utf8))
                == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    }

    /// A smoke test: where the difference lies must not show by much. Best of many runs, so that a busy machine does not
    /// count.
    @Test func `security 94: a comparison takes as long for a first byte that differs as for a last`() {
        let size = 20_000
        let secret = [UInt8](repeating: 0x41, count: size)
        func best(_ other: [UInt8]) -> Duration {
            (0..<40).map { _ in ContinuousClock().measure { _ = constantTimeEqual(secret, other) } }.min() ?? .zero
        }
        var first = secret
        first[0] = 0
        var last = secret
        last[size - 1] = 0
        let (atFirst, atLast, equal) = (best(first), best(last), best(secret))
        #expect(atFirst * 3 > atLast && atLast * 3 > atFirst, "\(atFirst) \(atLast)")
        #expect(equal * 3 > atFirst && atFirst * 3 > equal, "\(atFirst) \(equal)")
    }

    @Test func `security 94: constant-time comparison tells equal from unequal`() {
        #expect(constantTimeEqual([], []))
        #expect(constantTimeEqual([1, 2, 3], [1, 2, 3]))
        #expect(!constantTimeEqual([1, 2, 3], [1, 2, 4]))
        #expect(!constantTimeEqual([1, 2, 3], [1, 2]))
        #expect(constantTimeEqual("EXAMPLE", "EXAMPLE"))
        #expect(!constantTimeEqual("EXAMPLE", "EXAMPLf"))
    }
}

@Suite struct Base64Tests {
    // RFC 4648 §10.
    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ])
    func `encodes and decodes the RFC's vectors`(plain: String, encoded: String) {
        #expect(Base64.encode(plain.utf8) == encoded)
        #expect(Base64.decode(encoded) == Array(plain.utf8))
        let unpadded = encoded.filter { $0 != "=" }
        #expect(Base64URL.encode(plain.utf8) == unpadded)
        #expect(Base64URL.decode(unpadded) == Array(plain.utf8))
    }

    @Test func `every byte survives in both alphabets`() {
        let bytes = (0...255).map { UInt8($0) }
        #expect(Base64.decode(Base64.encode(bytes)) == bytes)
        #expect(Base64URL.decode(Base64URL.encode(bytes)) == bytes)
        #expect(Base64URL.encode([0xfb, 0xff]) == "-_8")
        #expect(Base64.encode([0xfb, 0xff]) == "+/8=")
    }

    @Test(arguments: ["Zg==", "Zm9v\n", " Zm9v", "Zm9+", "Zm9/", "Z", "Zm9vY", "Zh", "Zm9", "Zé9v"])
    func `base64url refuses padding, white space, other alphabets and stray bits`(text: String) {
        // `Zh` and `Zm9` leave bits over that are not zero.
        #expect(Base64URL.decode(text) == nil)
    }

    @Test(arguments: ["Zg", "Zg=", "Zg===", "====", "Zm9v=", "Zm9-", "Zm9v\n", "Zh==", "=Zm9", "Z=m9"])
    func `base64 refuses wrong padding, the other alphabet and stray bits`(text: String) {
        #expect(Base64.decode(text) == nil)
    }
}
