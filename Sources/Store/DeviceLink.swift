package import Accounts

/// A device authorization request that a provider has answered, to be kept.
package struct DeviceLinkRequest: Sendable {
    package var userID: UserID
    package var userLabel: String?
    package var provider: ProviderID
    package var scopes: [Scope]
    /// The user is asked whether the account that was allowed is theirs.
    package var confirm: Bool
    /// Of the configuration that the link began with.
    package var fingerprint: String
    package var deviceCode: Secret
    package var userCode: String
    package var verificationURI: String
    package var verificationURIComplete: String?
    package var expiresAt: Timestamp
    package var interval: Duration

    package init(
        userID: UserID, userLabel: String? = nil, provider: ProviderID, scopes: [Scope], confirm: Bool,
        fingerprint: String, deviceCode: Secret, userCode: String, verificationURI: String,
        verificationURIComplete: String? = nil, expiresAt: Timestamp, interval: Duration
    ) {
        self.userID = userID
        self.userLabel = userLabel
        self.provider = provider
        self.scopes = scopes
        self.confirm = confirm
        self.fingerprint = fingerprint
        self.deviceCode = deviceCode
        self.userCode = userCode
        self.verificationURI = verificationURI
        self.verificationURIComplete = verificationURIComplete
        self.expiresAt = expiresAt
        self.interval = interval
    }
}

/// A link by device code, or what became of it.
package struct DeviceLink: Sendable, Equatable {
    package enum Status: String, Sendable {
        case pending
        /// Access was allowed; the user has yet to say that the account is theirs.
        case confirmationRequired = "confirmation_required"
        case linked, failed
    }

    package var id: DeviceLinkID
    package var userID: UserID
    package var userLabel: String?
    package var provider: ProviderID
    package var scopes: [Scope]
    package var confirm: Bool
    package var fingerprint: String
    package var userCode: String
    package var verificationURI: String
    package var verificationURIComplete: String?
    package var createdAt: Timestamp
    /// Of the code while it is pending, then of the time in which to confirm.
    package var expiresAt: Timestamp
    package var interval: Duration
    /// When something is to be done next; `nil` where nothing is left to do.
    package var nextAt: Timestamp?
    package var status: Status
    /// A stable code, where `status` is `failed`.
    package var error: String?
    /// Where `status` is `linked`.
    package var accountID: AccountID?
}

/// One link with what is to be done for it, leased to the caller.
package struct ClaimedDeviceLink: Sendable {
    package var link: DeviceLink
    /// `nil` where the time to confirm is over.
    package var deviceCode: Secret?
}

/// Tokens and profile that wait for the user's word.
package struct DeviceGrant: Sendable {
    package var credential: Credential
    package var subject: Subject
    /// JSON objects, as a profile has them.
    package var claims: String
    package var raw: String

    package init(credential: Credential, subject: Subject, claims: String, raw: String) {
        self.credential = credential
        self.subject = subject
        self.claims = claims
        self.raw = raw
    }
}
