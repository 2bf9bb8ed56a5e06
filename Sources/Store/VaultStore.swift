package import Cryptography

package struct VaultUse: Sendable, Equatable {
    package var keyID: String
    package var rows: Int
}

/// Keys change while the service runs: what is sealed moves to the primary key a batch at a time.
package struct VaultStore: Sendable {
    /// Takes a new ring into use, as after the key file changed. Throws `.wrongKey` where it lacks a key in use.
    package func use(_ keyRing: KeyRing) async throws(StoreError) { throw .closed }

    /// Seals up to `limit` rows anew under the primary key; returns how many, 0 when none is left.
    package func reseal(limit: Int) async throws(StoreError) -> Int { throw .closed }

    /// How many rows need which key.
    package func uses() async throws(StoreError) -> [VaultUse] { throw .closed }

    /// Opens everything that is sealed, a page at a time; names what does not open.
    package func verify(after: String? = nil, limit: Int) async throws(StoreError) -> Page<StoreError> {
        throw .closed
    }

    /// Forgets keys that no row needs; returns their ids.
    package func retireUnusedKeys() async throws(StoreError) -> [String] { throw .closed }
}
