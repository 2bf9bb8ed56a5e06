import Crypto
import FoundationEssentials

/// One AES-256 key.
package struct SealingKey: Sendable, Equatable, CustomStringConvertible, CustomReflectable {
    /// The first eight bytes of the key's SHA-256 in hexadecimal: tells keys apart, tells nothing about them.
    package let id: String
    let bytes: [UInt8]

    /// Throws `.keyLength` unless there are 32 bytes.
    package init(bytes: [UInt8]) throws(SealingError) {
        guard bytes.count == 32 else { throw .keyLength(bytes.count) }
        self.bytes = bytes
        id = Hexadecimal.encode(Digest.sha256(bytes).prefix(8))
    }

    package static func == (left: Self, right: Self) -> Bool { constantTimeEqual(left.bytes, right.bytes) }
    package var description: String { "key \(id)" }
    package var customMirror: Mirror { Mirror(self, children: ["id": id]) }
}

/// The keys in use: everything new is sealed with the primary one, everything sealed with any of them opens.
package struct KeyRing: Sendable, CustomStringConvertible, CustomReflectable {
    package let primary: SealingKey
    package let others: [SealingKey]

    /// Others equal to the primary key, or named twice, count once.
    package init(primary: SealingKey, others: [SealingKey] = []) {
        self.primary = primary
        var kept: [SealingKey] = []
        for key in others where key.id != primary.id && !kept.contains(where: { $0.id == key.id }) { kept.append(key) }
        self.others = kept
    }

    /// Ids of all keys, the primary one first.
    package var keyIDs: [String] { [primary.id] + others.map(\.id) }
    package func contains(_ keyID: String) -> Bool { primary.id == keyID || others.contains { $0.id == keyID } }

    /// The same keys with another primary one; `nil` where it is none of them.
    package func withPrimary(_ keyID: String) -> KeyRing? {
        if primary.id == keyID { return self }
        return others.first { $0.id == keyID }.map { KeyRing(primary: $0, others: [primary] + others) }
    }

    /// This ring without those keys; the primary one stays.
    package func without(_ keyIDs: Set<String>) -> KeyRing {
        KeyRing(primary: primary, others: others.filter { !keyIDs.contains($0.id) })
    }

    /// This ring and the keys of another.
    package func with(_ other: KeyRing) -> KeyRing {
        KeyRing(primary: primary, others: others + [other.primary] + other.others)
    }

    package var description: String { "keys \(keyIDs.joined(separator: ", "))" }
    package var customMirror: Mirror { Mirror(self, children: ["keyIDs": keyIDs]) }

    /// AES-256-GCM (NIST SP 800-38D) under the primary key with a nonce of 96 random bits. `associatedData` is not kept
    /// in the box: the same must be given to open it, so that a box moved to another row or column does not open.
    package func seal(
        _ plaintext: some Collection<UInt8>, associatedData: some Collection<UInt8>
    ) throws(SealingError) -> SealedBox {
        do {
            let box = try AES.GCM.seal(
                Array(plaintext), using: SymmetricKey(data: primary.bytes), authenticating: Array(associatedData))
            return SealedBox(
                keyID: primary.id,
                bytes: [SealedBox.version] + Array(box.nonce) + Array(box.ciphertext) + Array(box.tag))
        } catch { throw .notSealed }
    }

    /// Throws `.unknownKey` where the ring lacks the box's key, else `.damaged` where the box or the associated data is
    /// not what it was.
    package func open(_ box: SealedBox, associatedData: some Collection<UInt8>) throws(SealingError) -> [UInt8] {
        guard let key = primary.id == box.keyID ? primary : others.first(where: { $0.id == box.keyID }) else {
            throw .unknownKey(box.keyID)
        }
        guard box.bytes.first == SealedBox.version, box.bytes.count >= 1 + 12 + 16 else { throw .damaged }
        do {
            let combined = try AES.GCM.SealedBox(combined: box.bytes.dropFirst())
            return Array(
                try AES.GCM.open(
                    combined, using: SymmetricKey(data: key.bytes), authenticating: Array(associatedData)))
        } catch { throw .damaged }
    }
}

/// Sealed bytes and the key they need.
package struct SealedBox: Sendable, Equatable {
    static let version: UInt8 = 1

    package let keyID: String
    /// One byte of version (1), 12 of nonce, the ciphertext, 16 of tag.
    package let bytes: [UInt8]

    package init(keyID: String, bytes: [UInt8]) {
        self.keyID = keyID
        self.bytes = bytes
    }
}

package enum SealingError: Error, Equatable, CustomStringConvertible {
    /// A key must be 32 bytes; this many were given.
    case keyLength(Int)
    /// Sealed under a key that the ring does not have.
    case unknownKey(String)
    /// Not what was sealed, or not sealed for this place.
    case damaged
    case notSealed

    package var description: String {
        switch self {
        case .keyLength(let count): "a sealing key has 32 bytes, not \(count)"
        case .unknownKey(let id): "sealed under key \(id), which is not in the key ring"
        case .damaged: "the sealed bytes are damaged or belong elsewhere"
        case .notSealed: "the bytes could not be sealed"
        }
    }
}
