/// The nouns of linking and syncing: who is linked to what, what is held for them, and what is known of it.
///
/// This module owns the words that every other module speaks; it reads no clock, opens no file, sends nothing. How an
/// account is kept is `Store`'s business, how a grant is obtained `OAuth`'s, what a provider is `Providers'`.

/// A linked account: one person's account at a provider, tied to one of the application's users.
package struct LinkedAccount: Sendable, Equatable {
    package var id: AccountID
    package var userID: UserID
    package var provider: ProviderID
    package var subject: Subject
    package var status: AccountStatus
    /// The scopes that were granted, not those that were asked for (RFC 6749 §5.1).
    package var scopes: [Scope]
    /// Those asked for at the last link; empty where nobody knows.
    package var requestedScopes: [Scope]
    package var linkedAt: Timestamp
    /// When the cached profile was last confirmed by the provider, changed or not.
    package var syncedAt: Timestamp?
    /// When the content of the cached profile last changed.
    package var changedAt: Timestamp?
    package var nextSyncAt: Timestamp?
    package var problem: AccountProblem?

    package init(
        id: AccountID, userID: UserID, provider: ProviderID, subject: Subject, status: AccountStatus,
        scopes: [Scope], requestedScopes: [Scope] = [], linkedAt: Timestamp, syncedAt: Timestamp? = nil,
        changedAt: Timestamp? = nil,
        nextSyncAt: Timestamp? = nil, problem: AccountProblem? = nil
    ) {
        self.id = id
        self.userID = userID
        self.provider = provider
        self.subject = subject
        self.status = status
        self.scopes = scopes
        self.requestedScopes = requestedScopes
        self.linkedAt = linkedAt
        self.syncedAt = syncedAt
        self.changedAt = changedAt
        self.nextSyncAt = nextSyncAt
        self.problem = problem
    }

    /// What was asked for and not granted: users may untick permissions, and servers leave out what they like.
    package var missingScopes: [Scope] { requestedScopes.filter { !$0.isGranted(by: scopes) } }
}

package enum AccountStatus: String, Sendable, CaseIterable {
    case active
    /// The provider no longer accepts what we hold; only the user can mend it, by linking again.
    case needsRelink = "needs_relink"
    /// The provider answers that the user is banned or gone.
    case suspended
    /// Stopped by an operator.
    case paused
}

/// Why an account is stale or broken, and what follows.
package struct AccountProblem: Sendable, Equatable {
    package enum Code: String, Sendable, CaseIterable {
        case consentRevoked = "consent_revoked"
        case refreshExpired = "refresh_expired"
        /// A rotated refresh token was lost with the answer that carried it: a crash or a cut connection.
        case rotationLost = "rotation_lost"
        case scopeLost = "scope_lost"
        /// The sealed credential does not open: tampered with, or sealed under a key that is gone.
        case credentialDamaged = "credential_damaged"
        case providerUnavailable = "provider_unavailable"
        case rateLimited = "rate_limited"
        /// The provider refuses this program's registration (`invalid_client` and its like); no user is at fault.
        case clientRefused = "client_refused"
        /// The provider's answer can't be read or mapped.
        case unexpectedResponse = "unexpected_response"
        case userSuspended = "user_suspended"
        /// The configuration no longer has the provider instance.
        case providerNotConfigured = "provider_not_configured"
    }

    /// Who has to act.
    package enum Action: String, Sendable { case none, `operator`, user }

    package var code: Code
    package var since: Timestamp
    /// One sentence for a person; never a response body, never a secret.
    package var detail: String
    package var nextAttemptAt: Timestamp?

    package init(code: Code, since: Timestamp, detail: String, nextAttemptAt: Timestamp? = nil) {
        self.code = code
        self.since = since
        self.detail = detail
        self.nextAttemptAt = nextAttemptAt
    }

    package var action: Action { code.action }
}

extension AccountProblem.Code {
    package var action: AccountProblem.Action {
        switch self {
        case .consentRevoked, .refreshExpired, .rotationLost, .scopeLost, .userSuspended: .user
        case .credentialDamaged, .clientRefused, .unexpectedResponse, .providerNotConfigured: .operator
        case .providerUnavailable, .rateLimited: .none
        }
    }
}

/// What a caller does after something failed. Errors of every module come down to one of these; the switch that picks
/// the stored state, the log level and the next due time is written once, in `Sync`.
package enum Disposition: Sendable, Equatable {
    /// Says nothing about the grant: try again after a pause that grows.
    case retry
    /// The provider asked for a pause. `everyone`: every request to the provider waits, not just this account's.
    case wait(until: Timestamp, everyone: Bool)
    /// The grant is dead: the user has to link again.
    case relink(AccountProblem.Code)
    /// Our registration or manifest is wrong: the provider pauses, no account is marked.
    case fixConfiguration
    /// The provider says that the user is banned or gone.
    case suspend
}
