extension Database {
    /// Frees every lease whose owner's name begins with `prefix`, whatever its time. For the one process that holds the
    /// `ServiceLock`: leases of an earlier one, which was killed, belong to nobody, and what they covered need not wait
    /// for their end. Intents of refreshes stay.
    package func releaseLeases(ofOwnersBeginning prefix: String) async throws(StoreError) {
        try await connections.write { transaction in
            let pattern = prefix + "*"
            try transaction.db.run(
                """
                UPDATE sync_schedule SET lease_owner = NULL, lease_until = 0
                WHERE lease_owner IS NOT NULL AND lease_owner GLOB ?
                """, pattern)
            try transaction.db.run(
                """
                UPDATE credential SET lease_owner = NULL, lease_until = 0
                WHERE refresh_started_at IS NOT NULL AND lease_owner GLOB ?
                """, pattern)
            try transaction.db.run(
                "UPDATE revocation SET lease_owner = NULL, lease_until = 0 WHERE lease_owner GLOB ?", pattern)
        }
    }
}
