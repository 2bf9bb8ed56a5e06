/// `error` of an error response: RFC 6749 §5.2 and §4.1.2.1, RFC 8628 §3.5, RFC 8707 §2, OpenID Connect Core §3.1.2.6.
///
/// Not `RawRepresentable`, whose own equality would go through `rawValue`.
package enum TokenErrorCode: Sendable, Hashable {
    case invalidRequest
    case invalidClient
    case invalidGrant
    case unauthorizedClient
    case unsupportedGrantType
    case invalidScope
    case invalidTarget
    case accessDenied
    /// The user has to do something at the provider: `interaction_required`, `login_required`, `consent_required`,
    /// `account_selection_required`.
    case interactionRequired
    /// The person has not decided yet.
    case authorizationPending
    /// Pending, and asked too often.
    case slowDown
    /// The device code has expired.
    case expiredToken
    case serverError
    case temporarilyUnavailable
    /// Any other code; at most 64 characters of `A–Z a–z 0–9 . _ -`, `unrecognized` where it was anything else.
    case unrecognized(String)

    private static let standard: [String: TokenErrorCode] = [
        "invalid_request": .invalidRequest, "invalid_client": .invalidClient, "invalid_grant": .invalidGrant,
        "unauthorized_client": .unauthorizedClient, "unsupported_grant_type": .unsupportedGrantType,
        "invalid_scope": .invalidScope, "invalid_target": .invalidTarget, "access_denied": .accessDenied,
        "interaction_required": .interactionRequired, "login_required": .interactionRequired,
        "consent_required": .interactionRequired, "account_selection_required": .interactionRequired,
        "authorization_pending": .authorizationPending, "slow_down": .slowDown, "expired_token": .expiredToken,
        "server_error": .serverError, "temporarily_unavailable": .temporarilyUnavailable,
    ]

    /// Any text from outside; what is no code becomes `.unrecognized`.
    package init(rawValue: String) {
        self = Self.standard[rawValue] ?? .unrecognized(ErrorText.code(rawValue) ?? "unrecognized")
    }

    /// The standard code of that name, `nil` where there is none: for manifests.
    package init?(standard name: String) {
        guard let code = Self.standard[name] else { return nil }
        self = code
    }

    package var rawValue: String {
        switch self {
        case .unrecognized(let code): code
        case .interactionRequired: "interaction_required"
        default: Self.standard.first { $0.value == self }?.key ?? "unrecognized"
        }
    }
}
