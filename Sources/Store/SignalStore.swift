package import Accounts
import Cryptography
import GRDB

/// What came of a provider's word that a person took their consent back.
package enum SignalOutcome: Sendable, Equatable {
    case marked(AccountID)
    /// Its grant was known to be dead.
    case markedBefore(AccountID)
    /// The person has no account here.
    case nobody
    /// This very message came before; nothing was changed.
    case repeated
    /// The same words came before under another name, from the provider or from whoever caught them: the account is due
    /// at once, so that the provider itself is asked.
    case doubted(AccountID)
}

/// Messages that providers send by themselves.
package struct SignalStore: Sendable {
    let connections: Connections

    /// Where a message has no time stamp of its own, whoever caught it can wait: as long as the audit trail is kept.
    static let kept = Duration.seconds(400 * 86_400)

    /// In one transaction with the note that the message came, so that it counts once.
    ///
    /// - Parameters:
    ///   - delivery: what tells one message from another.
    ///   - seal: the signature, where it does not cover `delivery`.
    package func consentRevoked(
        provider: ProviderID, subject: Subject, delivery: String, seal: String? = nil, detail: String
    ) async throws(StoreError) -> SignalOutcome {
        try await connections.write { transaction in
            guard try transaction.noteDelivery(delivery, of: provider) else { return .repeated }
            let isNew = try seal.map { try transaction.noteDelivery("signature " + $0, of: provider) } ?? true
            guard let account = try transaction.account(provider: provider, subject: subject) else { return .nobody }
            if !isNew, account.statusBeneathPause != .needsRelink {
                try transaction.makeDue(account.id)
                return .doubted(account.id)
            }
            // A refresh under way finds the lease gone, and the account marked.
            try transaction.db.run(
                """
                UPDATE credential SET lease_owner = NULL, lease_until = 0, refresh_started_at = NULL,
                    refresh_in_doubt = 0 WHERE account_id = ?
                """, account.id)
            if account.statusBeneathPause == .needsRelink { return .markedBefore(account.id) }
            try transaction.markNeedsRelink(
                account, problem: AccountProblem(code: .consentRevoked, since: transaction.now, detail: detail))
            return .marked(account.id)
        }
    }

    /// Deletes a bounded number of notes that no message can match any more; returns how many.
    @discardableResult
    package func purgeOld() async throws(StoreError) -> Int {
        try await connections.write { transaction in
            try transaction.db.run(
                """
                DELETE FROM signal_delivery WHERE (provider, id_hash) IN (
                    SELECT provider, id_hash FROM signal_delivery WHERE received_at <= ? LIMIT 1000)
                """, transaction.now - Self.kept)
        }
    }
}

extension Transaction {
    fileprivate func makeDue(_ account: AccountID) throws {
        try db.run(
            """
            UPDATE sync_schedule SET next_sync_at = min(next_sync_at, ?), plan_interval = NULL, plan_share = NULL
            WHERE account_id = ?
            """, now, account)
    }

    /// False where it was noted before.
    fileprivate func noteDelivery(_ delivery: String, of provider: ProviderID) throws -> Bool {
        try db.run(
            "INSERT INTO signal_delivery (provider, id_hash, received_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            provider, Digest.sha256(Array(delivery.utf8)), now) == 1
    }
}
