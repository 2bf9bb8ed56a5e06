import Accounts
import Cryptography

/// The keys as one transaction sees them. It seals with the key that the database names at that moment, for another
/// process may have made a new one primary and be about to retire the old one.
final class TransactionRing {
    private let vault: Vault
    private let db: Connection
    private var keys: KeyRing
    private var knowsPrimary = false

    init(_ vault: Vault, _ db: Connection) {
        self.vault = vault
        self.db = db
        keys = vault.ring
    }

    var primary: SealingKey { get throws(StoreError) { try sealing().primary } }

    func seal(_ secret: Secret, at place: SealedPlace) throws(StoreError) -> [UInt8] {
        try sealing().seal(secret, at: place)
    }

    func seal(_ bytes: [UInt8], at place: SealedPlace) throws(StoreError) -> [UInt8] {
        try sealing().seal(bytes, at: place)
    }

    func open(_ bytes: [UInt8], keyID: String, at place: SealedPlace) throws(SealingError) -> [UInt8] {
        find(keyID)
        return try keys.open(bytes, keyID: keyID, at: place)
    }

    func openSecret(_ bytes: [UInt8], keyID: String, at place: SealedPlace) throws(SealingError) -> Secret {
        find(keyID)
        return try keys.openSecret(bytes, keyID: keyID, at: place)
    }

    private func find(_ keyID: String) {
        guard !keys.contains(keyID), let newer = vault.ring(having: keyID) else { return }
        keys = newer.withPrimary(keys.primary.id) ?? newer
    }

    private func sealing() throws(StoreError) -> KeyRing {
        if knowsPrimary { return keys }
        let named: String?
        do { named = try KeyCheck.primaryID(db) } catch { throw StoreError(error) }
        if let named, named != keys.primary.id {
            guard let ring = vault.ring(having: named)?.withPrimary(named) else { throw .wrongKey(missing: [named]) }
            vault.use(ring)
            keys = ring
        }
        knowsPrimary = true
        return keys
    }
}
