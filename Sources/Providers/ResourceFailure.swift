package import Accounts

/// What a resource server's response that is not a success says.
package enum ResourceFailure: Error, Sendable, Equatable {
    /// 401: the access token is not, or no longer, accepted. Worth one renewal and one retry before it is believed.
    case unauthorized
    /// The token lacks a scope that the request needs (RFC 6750 §3.1).
    case insufficientScope
    case limited(LimitSignal)
    /// 5xx or 408: says nothing about the account.
    case unavailable(status: Int)
    /// The provider says that the user is suspended or gone.
    case gone
    /// Any other answer: a 403 that is no limit, a 404, a redirect. `isOptional` requests leave their claims out.
    case refused(status: Int)

    package var failure: Failure {
        switch self {
        case .unauthorized: .grantRefused
        case .insufficientScope: .scopeLost
        case .limited(let signal): .throttled(until: signal.until, everyone: signal.reach == .everyone)
        case .unavailable: .providerDown
        case .gone: .personGone
        case .refused: .unknown
        }
    }
}

/// Why responses do not make a profile. Never quotes one.
package enum MappingError: Error, Equatable, CustomStringConvertible {
    /// A request that is not optional has no response.
    case responseMissing(request: String)
    /// No path of the claim `sub` finds a non-empty string or an integer.
    case subjectMissing
    /// `sub` is longer than 255 characters or holds control characters.
    case subjectInvalid
    /// `sub` of the userinfo response is not the ID token's (OpenID Connect Core §5.3.2): not the same person.
    case subjectMismatch

    package var description: String {
        switch self {
        case .responseMissing(let request): "no response to the request \(request)"
        case .subjectMissing: "the responses hold no subject"
        case .subjectInvalid: "the subject is too long or holds control characters"
        case .subjectMismatch: "the userinfo response is about another subject than the ID token"
        }
    }
}
