import Accounts
import Cryptography
import Synchronization

/// The place that a sealed value belongs to. It is bound into the seal: moved to another row or column, or kept for
/// another user or generation, the value does not open.
struct SealedPlace {
    var table: String
    var column: String
    var row: String
    var provider: String = ""
    var user: String = ""
    var generation: Int64 = 0

    /// `user` alone may hold a `|`, so no two places read alike.
    func associatedData(keyID: String) -> [UInt8] {
        Array("\(table)|\(column)|\(row)|\(provider)|\(user)|\(keyID)|\(generation)".utf8)
    }
}

extension KeyRing {
    func seal(_ secret: Secret, at place: SealedPlace) throws(StoreError) -> [UInt8] {
        try secret.reveal { (text) throws(StoreError) in try seal(Array(text.utf8), at: place) }
    }

    func seal(_ bytes: [UInt8], at place: SealedPlace) throws(StoreError) -> [UInt8] {
        do { return try seal(bytes, associatedData: place.associatedData(keyID: primary.id)).bytes } catch {
            throw .io("\(place.table).\(place.column) could not be sealed")
        }
    }

    func open(_ bytes: [UInt8], keyID: String, at place: SealedPlace) throws(SealingError) -> [UInt8] {
        try open(SealedBox(keyID: keyID, bytes: bytes), associatedData: place.associatedData(keyID: keyID))
    }

    func openSecret(_ bytes: [UInt8], keyID: String, at place: SealedPlace) throws(SealingError) -> Secret {
        guard let text = String(validating: try open(bytes, keyID: keyID, at: place), as: UTF8.self) else {
            throw .damaged
        }
        return Secret(text)
    }
}

/// The key ring in use, which may be exchanged while the service runs.
final class Vault: Sendable {
    private let current: Mutex<KeyRing>
    private let source: (@Sendable () throws -> KeyRing)?

    init(_ ring: KeyRing, rereading source: (@Sendable () throws -> KeyRing)?) {
        current = Mutex(ring)
        self.source = source
    }

    var ring: KeyRing { current.withLock { $0 } }

    /// The keys held so far stay: a read that began before may need one.
    func use(_ ring: KeyRing) { current.withLock { $0 = ring.with($0) } }

    /// The source's ring as it is now; `nil` where there is no source or it can't be read.
    func reread() -> KeyRing? {
        // Without it the key stays unknown, and whoever needs it says so.
        source.flatMap { source in try? source() }
    }

    /// A ring with that key. Where ours lacks it the source is read again: another process writes a new key there before
    /// it seals anything with it.
    func ring(having keyID: String) -> KeyRing? {
        let ring = ring
        if ring.contains(keyID) { return ring }
        guard let newer = reread(), newer.contains(keyID) else { return nil }
        use(newer)
        return newer.with(ring)
    }
}
