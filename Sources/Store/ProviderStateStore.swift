package import Accounts

/// What the service remembers of its providers from one start to the next.
package struct ProviderStateStore: Sendable {
    let connections: Connections

    /// Enters into the audit trail what is new, changed and gone since the last start. `fingerprints` are those of every
    /// configured provider.
    package func note(configurations fingerprints: [ProviderID: String]) async throws(StoreError) {
        try await connections.write { transaction in
            var known: [ProviderID: String] = [:]
            for row in try transaction.db.rows("SELECT provider, fingerprint FROM provider_configuration") {
                known[try row.provider(0)] = try row.text(1)
            }
            for (provider, fingerprint) in fingerprints.sorted(by: { $0.key < $1.key })
            where known[provider] != fingerprint {
                try transaction.audit(known[provider] == nil ? .providerAdded : .providerChanged, provider: provider)
                try transaction.db.run(
                    """
                    INSERT INTO provider_configuration (provider, fingerprint) VALUES (?1, ?2)
                    ON CONFLICT DO UPDATE SET fingerprint = ?2
                    """, provider, fingerprint)
            }
            for provider in known.keys.sorted() where fingerprints[provider] == nil {
                try transaction.audit(.providerRemoved, provider: provider)
                try transaction.db.run("DELETE FROM provider_configuration WHERE provider = ?", provider)
                try transaction.db.run("DELETE FROM provider_metadata WHERE provider = ?", provider)
            }
        }
    }

    /// The metadata document that was accepted last; `nil` where there is none, or it was accepted under another
    /// configuration: an operator who changes that has a say in where the endpoints are.
    package func metadata(of provider: ProviderID, fingerprint: String) async throws(StoreError) -> [UInt8]? {
        try await connections.read { transaction in
            try transaction.db.first(
                "SELECT document FROM provider_metadata WHERE provider = ? AND fingerprint = ?", provider, fingerprint
            ).map { Array(try $0.text(0).utf8) }
        }
    }

    package func keep(
        metadata document: [UInt8], of provider: ProviderID, fingerprint: String
    ) async throws(StoreError) {
        let text = String(decoding: document, as: UTF8.self)
        try await connections.write { transaction in
            try transaction.db.run(
                """
                INSERT INTO provider_metadata (provider, fingerprint, document) VALUES (?1, ?2, ?3)
                ON CONFLICT DO UPDATE SET fingerprint = ?2, document = ?3
                """, provider, fingerprint, text)
        }
    }

    /// The next document that the issuer gives is accepted, wherever its endpoints are. False where none was held.
    package func forgetMetadata(of provider: ProviderID) async throws(StoreError) -> Bool {
        try await connections.write { transaction in
            let isForgotten =
                try transaction.db.run("DELETE FROM provider_metadata WHERE provider = ?", provider) == 1
            if isForgotten { try transaction.audit(.metadataAccepted, provider: provider) }
            return isForgotten
        }
    }
}
