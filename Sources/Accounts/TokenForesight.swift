/// When a credential should be refreshed though nobody asks, and when no refresh will help any more.
package enum TokenForesight {
    /// Of one token; twice that with the spread.
    package static let leadMax: Duration = .seconds(3600)
    private static let leadMin: Duration = .seconds(120)
    /// A grant whose refresh token may die of disuse is used once in so long.
    private static let idleInterval: Duration = .seconds(30 * 86_400)
    /// Whose token a caller took no longer ago than this, or twice the token's lifetime, may come again.
    private static let takenLately: Duration = .seconds(86_400)

    package enum Reason: Sendable, Equatable {
        /// Callers take the access token, and its end is near.
        case taken
        /// The refresh token may die unused.
        case idle
    }

    package struct Plan: Sendable, Equatable {
        package var at: Timestamp
        package var reason: Reason
    }

    /// What a refresh took the place of.
    package struct Replaced: Sendable, Equatable {
        package var refreshTokenExpiresAt: Timestamp?
        package var obtainedAt: Timestamp

        package init(refreshTokenExpiresAt: Timestamp?, obtainedAt: Timestamp) {
            self.refreshTokenExpiresAt = refreshTokenExpiresAt
            self.obtainedAt = obtainedAt
        }
    }

    /// Spread by account, so that tokens issued together are not refreshed together: of tokens that callers take 10 % of
    /// the lifetime ahead, from two minutes to an hour, and up to as much again; of others 24 to 36 days after they came,
    /// but never later than three quarters of the refresh token's life. `nil` without a refresh token.
    package static func plan(
        for credential: Credential, of id: AccountID, takenAt: Timestamp?, now: Timestamp
    ) -> Plan? {
        guard credential.refreshToken != nil else { return nil }
        let share = share(of: id.rawValue)
        let idle = Plan(at: idleAt(credential, share: share), reason: .idle)
        guard let end = credential.expiresAt, let takenAt else { return idle }
        let lifetime = end - credential.obtainedAt
        guard lifetime > .zero, now - takenAt <= max(takenLately, lifetime * 2) else { return idle }
        // Of a token that lives for minutes never more than half: it would be refreshed without end.
        let lead = min(max(lifetime / 10, leadMin), leadMax, lifetime / 4)
        let ahead = end - lead * (1 + share)
        return ahead < idle.at ? Plan(at: ahead, reason: .taken) : idle
    }

    private static func idleAt(_ credential: Credential, share: Double) -> Timestamp {
        let touch = credential.obtainedAt + idleInterval * (0.8 + 0.4 * share)
        guard let end = credential.refreshTokenExpiresAt else { return touch }
        return min(touch, credential.obtainedAt + (end - credential.obtainedAt) * (0.65 + 0.1 * share))
    }

    /// When the grant ends for good, as far as is known: without a refresh token with the access token, else with a
    /// refresh token whose end a refresh did not move.
    /// - Parameter old: `nil` where consent or an import brought `credential`.
    package static func grantEnd(of credential: Credential, replacing old: Replaced?) -> Timestamp? {
        guard credential.refreshToken != nil else { return credential.expiresAt }
        guard let end = credential.refreshTokenExpiresAt, let old, let oldEnd = old.refreshTokenExpiresAt else {
            return nil
        }
        // One that moves, moves by the time between the two; one that stays, by the seconds that a request took.
        let passed = credential.obtainedAt - old.obtainedAt
        return end - oldEnd < max(passed / 2, .seconds(5)) ? end : nil
    }

    /// A share of the whole, the same for an account in every process and each time (FNV-1a).
    package static func share(of text: String) -> Double {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        // The low bits of FNV mix best; the high ones lead in a share.
        hash = (hash ^ (hash >> 32)) &* 0x9e37_79b9_7f4a_7c15
        return Double(hash >> 11) / Double(UInt64(1) << 53)
    }
}
