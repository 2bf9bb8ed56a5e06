package import Accounts

/// A link that has come to its end: consent given, code exchanged, first profile fetched.
package struct NewLink: Sendable {
    /// The link session it came from; `nil` for a link made without one.
    package var sessionID: LinkSessionID?
    /// The device link it came from.
    package var deviceLinkID: DeviceLinkID?
    package var userID: UserID
    package var provider: ProviderID
    package var subject: Subject
    package var credential: Credential
    /// What was asked for; `nil` where nobody knows.
    package var requestedScopes: [Scope]?
    package var profile: Profile
    package var nextSyncAt: Timestamp
    /// The user agreed to take over an account that another user holds.
    package var movesFromOtherUser: Bool
    /// The session ends with this link; `false` keeps it open for the next one.
    package var completesSession: Bool
    /// The RFC 6902 patch between two profile contents, for a relink that brings a changed profile. Without it the feed
    /// says that `/claims` and `/raw` were replaced.
    package var difference: ProfileDifference?

    package init(
        sessionID: LinkSessionID? = nil, deviceLinkID: DeviceLinkID? = nil, userID: UserID, provider: ProviderID,
        subject: Subject, credential: Credential, requestedScopes: [Scope]? = nil, profile: Profile,
        nextSyncAt: Timestamp, movesFromOtherUser: Bool = false, completesSession: Bool = true,
        difference: ProfileDifference? = nil
    ) {
        self.sessionID = sessionID
        self.deviceLinkID = deviceLinkID
        self.userID = userID
        self.provider = provider
        self.subject = subject
        self.credential = credential
        self.requestedScopes = requestedScopes
        self.profile = profile
        self.nextSyncAt = nextSyncAt
        self.movesFromOtherUser = movesFromOtherUser
        self.completesSession = completesSession
        self.difference = difference
    }
}

/// Makes the text of an RFC 6902 patch (a JSON array) that turns the document `{"claims": …, "raw": …}` of `old` into
/// that of `new`; `nil` where it can't, and the feed then says that both were replaced.
package typealias ProfileDifference = @Sendable (_ old: ProfileContent, _ new: ProfileContent) -> String?

/// The content of a profile as two JSON texts.
package struct ProfileContent: Sendable, Equatable {
    package var claims: String
    package var raw: String

    package init(claims: String, raw: String) {
        self.claims = claims
        self.raw = raw
    }
}

package enum LinkOutcome: Sendable, Equatable {
    /// `isNew` is false where the same user linked the account again.
    case linked(LinkedAccount, isNew: Bool)
    /// Nothing was changed.
    case heldByAnotherUser
    /// The link session has ended or was erased, with its user perhaps. Nothing was changed.
    case sessionEnded
}

package struct AccountWithClaims: Sendable, Equatable {
    package var account: LinkedAccount
    /// A JSON object; `nil` before the first sync of an imported account.
    package var claims: String?

    package init(account: LinkedAccount, claims: String?) {
        self.account = account
        self.claims = claims
    }
}

/// Which accounts a list shows; everything given must hold.
package struct AccountFilter: Sendable, Equatable {
    package var provider: ProviderID?
    package var status: AccountStatus?
    package var userID: UserID?
    /// Compared without regard to the case of ASCII letters.
    package var email: String?
    /// `preferred_username`, compared without regard to the case of ASCII letters.
    package var username: String?
    /// Accounts whose cached profile changed at or after this instant, in the order in which they changed.
    package var changedSince: Timestamp?

    package init(
        provider: ProviderID? = nil, status: AccountStatus? = nil, userID: UserID? = nil, email: String? = nil,
        username: String? = nil, changedSince: Timestamp? = nil
    ) {
        self.provider = provider
        self.status = status
        self.userID = userID
        self.email = email
        self.username = username
        self.changedSince = changedSince
    }
}

/// What was erased, and what is left to do: the tokens wait in the revocation outbox.
package struct UnlinkedAccount: Sendable {
    package var account: LinkedAccount
    /// To be tried at once by the caller, who reports to `RevocationOutbox`; if it never does, the outbox tries after
    /// `RevocationOutbox.firstAttemptDelay`. `nil` where the sealed credential did not open.
    package var revocation: PendingRevocation?

    package var credential: Credential? { revocation?.credential }

    package init(account: LinkedAccount, revocation: PendingRevocation?) {
        self.account = account
        self.revocation = revocation
    }
}

/// An account taken over from another system, with its tokens.
package struct ImportedAccount: Sendable {
    package var userID: UserID
    package var provider: ProviderID
    package var subject: Subject
    package var credential: Credential
    package var linkedAt: Timestamp?
    /// Spread by the caller, so that an import does not come due at one instant.
    package var nextSyncAt: Timestamp
    /// `nil`: the first sync brings it.
    package var profile: Profile?

    package init(
        userID: UserID, provider: ProviderID, subject: Subject, credential: Credential, linkedAt: Timestamp? = nil,
        nextSyncAt: Timestamp, profile: Profile? = nil
    ) {
        self.userID = userID
        self.provider = provider
        self.subject = subject
        self.credential = credential
        self.linkedAt = linkedAt
        self.nextSyncAt = nextSyncAt
        self.profile = profile
    }
}

package enum ImportOutcome: Sendable, Equatable {
    case created(AccountID)
    /// The same user held the account with other tokens; the imported ones took their place.
    case replaced(AccountID)
    /// These very tokens are held, or were imported before, whatever they have been refreshed to since.
    case unchanged(AccountID)
    /// Another user holds the account; nothing was changed.
    case conflict
}

package struct ExportedAccount: Sendable {
    package var account: LinkedAccount
    /// `nil` where the sealed credential does not open.
    package var credential: Credential?
    package var profile: ProfileContent?

    package init(account: LinkedAccount, credential: Credential?, profile: ProfileContent?) {
        self.account = account
        self.credential = credential
        self.profile = profile
    }
}
