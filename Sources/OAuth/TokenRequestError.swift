package import Accounts

/// Why a token request did not yield a credential. A response body never enters it.
package enum TokenRequestError: Error, Equatable {
    /// The authorization server refused (RFC 6749 §5.2), whatever HTTP status it chose.
    case refused(TokenErrorCode)
    /// Neither a token nor an error of OAuth: 5xx, 429, a redirect, a page. Says nothing about the grant.
    case unavailable(status: Int)
    /// A success (2xx) that is no token response.
    case malformed(reason: String)

    /// By the answer's own words. `.grantRefused` is to be believed only after the stored row was read again: another may
    /// have refreshed in the meantime. Whether a refusal is a limit, `Provider` knows.
    package var failure: Failure {
        switch self {
        case .refused(let code):
            switch code {
            case .invalidGrant, .accessDenied, .interactionRequired: .grantRefused
            case .invalidClient, .unauthorizedClient: .registrationRefused
            case .invalidRequest, .unsupportedGrantType, .invalidScope, .invalidTarget: .requestRefused
            case .serverError, .temporarilyUnavailable: .providerDown
            case .authorizationPending, .slowDown, .expiredToken, .unrecognized: .unknown
            }
        case .unavailable(let status):
            status >= 500 || status == 408 || status == 429 ? .providerDown : .answerUnreadable
        case .malformed: .answerUnreadable
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
