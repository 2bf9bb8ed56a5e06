import Cryptography
import Testing
import TestSupport

@Suite struct KeyRingTests {
    let plaintext = Array("EXAMPLE-refresh-token".utf8)
    let place = Array("credential|refresh_token|1|discord".utf8)

    func ring(seed: UInt64) throws -> KeyRing { try KeyRing.generate(random: SeededRandom(seed: seed)) }

    @Test func `opens what it sealed`() throws {
        let ring = try ring(seed: 1)
        let box = try ring.seal(plaintext, associatedData: place)
        #expect(box.keyID == ring.primary.id)
        #expect(box.bytes.count == 1 + 12 + plaintext.count + 16)
        #expect(box.bytes.first == 1)
        #expect(try ring.open(box, associatedData: place) == plaintext)
        #expect(try ring.open(ring.seal([], associatedData: []), associatedData: []) == [])
    }

    @Test func `no two boxes of the same plaintext are alike`() throws {
        let ring = try ring(seed: 1)
        let boxes = try (0..<100).map { _ in try ring.seal(plaintext, associatedData: place).bytes }
        #expect(Set(boxes.map { Array($0[1..<13]) }).count == 100)
    }

    @Test func `security 89: a box moved to another place does not open`() throws {
        let ring = try ring(seed: 1)
        let box = try ring.seal(plaintext, associatedData: place)
        #expect(throws: SealingError.damaged) {
            try ring.open(box, associatedData: Array("credential|refresh_token|2|discord".utf8))
        }
    }

    @Test func `security 89: any flipped bit and any cut is damage`() throws {
        let ring = try ring(seed: 1)
        let box = try ring.seal(plaintext, associatedData: place)
        for index in box.bytes.indices {
            for bit in 0..<8 {
                var bytes = box.bytes
                bytes[index] ^= 1 << UInt8(bit)
                #expect(throws: SealingError.damaged) {
                    try ring.open(SealedBox(keyID: box.keyID, bytes: bytes), associatedData: place)
                }
            }
        }
        for length in 0..<box.bytes.count {
            #expect(throws: SealingError.damaged) {
                try ring.open(
                    SealedBox(keyID: box.keyID, bytes: Array(box.bytes.prefix(length))), associatedData: place)
            }
        }
    }

    @Test func `rotation seals with the new key and opens with the old until it is dropped`() throws {
        let old = try ring(seed: 1)
        let box = try old.seal(plaintext, associatedData: place)
        let rotated = try old.withNewPrimary(random: SeededRandom(seed: 2))
        #expect(rotated.keyIDs == [rotated.primary.id, old.primary.id])
        #expect(try rotated.open(box, associatedData: place) == plaintext)
        let resealed = try rotated.seal(plaintext, associatedData: place)
        #expect(resealed.keyID == rotated.primary.id)
        #expect(try rotated.primaryAlone.open(resealed, associatedData: place) == plaintext)
        #expect(throws: SealingError.unknownKey(old.primary.id)) {
            try rotated.primaryAlone.open(box, associatedData: place)
        }
    }

    @Test func `a box that names another key of the ring does not open under it`() throws {
        let ring = try ring(seed: 1).withNewPrimary(random: SeededRandom(seed: 2))
        let box = try ring.seal(plaintext, associatedData: place)
        #expect(throws: SealingError.damaged) {
            try ring.open(SealedBox(keyID: ring.others[0].id, bytes: box.bytes), associatedData: place)
        }
    }

    @Test(arguments: [0, 16, 31, 33, 64]) func `a key of another length is refused`(count: Int) {
        #expect(throws: SealingError.keyLength(count)) { try SealingKey(bytes: [UInt8](repeating: 7, count: count)) }
    }

    @Test func `a key named twice counts once`() throws {
        let key = try SealingKey(bytes: [UInt8](repeating: 7, count: 32))
        #expect(KeyRing(primary: key, others: [key, key]).keyIDs == [key.id])
    }

    @Test func `descriptions and reflection show ids alone`() throws {
        let key = try SealingKey(bytes: [UInt8](repeating: 7, count: 32))
        let ring = KeyRing(primary: key)
        var dumped = ""
        dump(ring, to: &dumped)
        dump(key, to: &dumped)
        for shown in ["\(key)", "\(ring)", String(reflecting: key), String(reflecting: ring), dumped] {
            #expect(shown.contains(key.id))
            #expect(!shown.contains("7, 7"))
            #expect(!shown.contains(Base64.encode([UInt8](repeating: 7, count: 32)).prefix(12)))
        }
    }
}

@Suite struct KeyRingTextTests {
    let first = Base64.encode([UInt8](repeating: 1, count: 32))
    let second = Base64.encode([UInt8](repeating: 2, count: 32))

    @Test func `the first key is the primary one; comments, blank lines and CR LF are fine`() throws {
        let ring = try KeyRing(parsing: "# EXAMPLE\r\n\r\n  \(first)\t\r\n#\r\n\(second)")
        #expect(ring.primary == (try SealingKey(bytes: [UInt8](repeating: 1, count: 32))))
        #expect(ring.others.count == 1)
    }

    @Test func `what is written is read again`() throws {
        let ring = try KeyRing.generate(random: SeededRandom(seed: 3)).withNewPrimary(random: SeededRandom(seed: 4))
        let read = try KeyRing(parsing: ring.text)
        #expect(read.primary == ring.primary)
        #expect(read.others == ring.others)
    }

    @Test func `errors name the line and never the key`() {
        let cases: [(text: String, error: KeyRingTextError)] = [
            ("", .empty), ("# nothing\n\n", .empty), ("\n\(first)!\n", .notBase64(line: 2)),
            ("\(first)\n\(first.dropLast())", .notBase64(line: 2)), ("correct horse", .notBase64(line: 1)),
            (Base64.encode([UInt8](repeating: 1, count: 16)), .wrongLength(line: 1, bytes: 16)),
            ("#\n\(first)\n\(second)\n\(first)\n", .duplicate(line: 4, firstLine: 2)),
        ]
        for (text, error) in cases {
            #expect(throws: error) { try KeyRing(parsing: text) }
            #expect(!error.description.contains(first.prefix(8)))
        }
    }
}
