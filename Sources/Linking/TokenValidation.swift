import Accounts
import Logging
import OAuth
import Providers
import Store
import Transfer

/// Asks a provider that wants it whether an access token is good, before it is used and no more often than the manifest
/// says. What was asked is remembered in memory: a program that starts asks anew, as the terms of such providers have it.
actor TokenValidation {
    /// Past so many accounts, those whose time is over are forgotten.
    private static let rememberedMax = 100_000

    private struct Asked {
        var generation: Int64
        var at: Timestamp
        var until: Timestamp
    }

    private let client: ProviderClient
    private let time: any TimeSource
    private let logger: Logger
    private var asked: [AccountID: Asked] = [:]

    init(client: ProviderClient, time: any TimeSource, logger: Logger) {
        self.client = client
        self.time = time
        self.logger = logger
    }

    /// Whether the provider says that the token is dead. Where it can't be asked, or says nothing of use, the token
    /// counts as good, and the resource server has the word.
    func isRefused(
        _ stored: StoredCredential, of account: AccountID, provider: Provider, urgency: Urgency
    ) async -> Bool {
        let now = time.now()
        guard let rule = provider.tokenValidation, isDue(stored, of: account, rule, now: now) else { return false }
        // Entered first: whoever comes meanwhile does not ask as well.
        let before = asked[account]
        if asked.count >= Self.rememberedMax { asked = asked.filter { $0.value.until > now } }
        asked[account] = Asked(generation: stored.generation, at: now, until: now + rule.interval)
        let credential = stored.credential
        do {
            let isBound = credential.tokenType == DPoP.tokenType
            let response = try await client.send(
                to: provider, account: account, route: TokenValidationRule.route, urgency: urgency,
                key: isBound ? credential.proofKey.flatMap { DPoPKey($0) } : nil, accessToken: credential.accessToken
            ) { _ in rule.request(for: credential) }
            logger.debug(
                "An access token was validated", metadata: ["account": "\(account)", "status": "\(response.status)"])
            return response.status == 401
        } catch {
            // Nothing was sent: the next use asks.
            if case .paused = error { asked[account] = before }
            logger.debug(
                "An access token can't be validated", metadata: ["account": "\(account)", "error": "\(error.detail)"])
            return false
        }
    }

    private func isDue(
        _ stored: StoredCredential, of account: AccountID, _ rule: TokenValidationRule, now: Timestamp
    ) -> Bool {
        func isRecent(_ instant: Timestamp) -> Bool { (.zero..<rule.interval).contains(now - instant) }
        if isRecent(stored.credential.obtainedAt) { return false }
        guard let last = asked[account], last.generation == stored.generation else { return true }
        return !isRecent(last.at)
    }
}
