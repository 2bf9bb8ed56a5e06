package import Accounts

/// Why a token request did not yield a credential. A response body never enters it.
package enum TokenRequestError: Error, Equatable {
    /// The authorization server refused (RFC 6749 §5.2), whatever HTTP status it chose.
    case refused(TokenErrorCode)
    /// Neither a token nor an error of OAuth: 5xx, 429, a redirect, a page. Says nothing about the grant.
    case unavailable(status: Int)
    /// A success (2xx) that is no token response.
    case malformed(reason: String)

    /// What a caller does next. `.relink` is to be believed only after the stored row was read again: another may have
    /// refreshed in the meantime.
    package var disposition: Disposition {
        switch self {
        case .refused(let code):
            switch code {
            case .invalidGrant, .accessDenied, .interactionRequired: .relink(.consentRevoked)
            case .invalidRequest, .invalidClient, .unauthorizedClient, .unsupportedGrantType, .invalidScope,
                .invalidTarget:
                .fixConfiguration
            case .serverError, .temporarilyUnavailable, .unrecognized: .retry
            }
        case .unavailable, .malformed: .retry
        }
    }

    /// Whether a single-use code or refresh token may have been spent although no new token arrived. A server that
    /// refuses in words, or turns us away with a 4xx or a redirect, has not issued anything.
    package var tokenMayBeSpent: Bool {
        switch self {
        case .refused(.serverError): true
        case .refused: false
        case .unavailable(let status): status >= 500
        case .malformed: true
        }
    }
}
