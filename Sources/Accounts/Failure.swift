/// What it means that a provider did not do what was asked of it. Whatever a token endpoint or a resource server answers
/// comes down to one of these, and what follows for the account, the provider and the person is decided here alone.
/// `docs/failures.md` shows the same as a table.
package enum Failure: Sendable, Equatable {
    /// The grant is spent, revoked or expired, or the person has to act at the provider before it works again.
    case grantRefused
    /// The token lacks a scope that is needed.
    case scopeLost
    /// The provider does not accept our registration: wrong secret, deleted client, grant not allowed for it.
    case registrationRefused
    /// What we ask for is refused, not who asks: a parameter, a scope, a grant type.
    case requestRefused
    /// `everyone`: it concerns every account of the provider.
    case throttled(until: Timestamp, everyone: Bool)
    /// The provider is in trouble, or can't be reached.
    case providerDown
    /// Neither what was asked for nor an error that is known: a page, a cut body, a profile without a subject.
    case answerUnreadable
    /// The provider says that the person is suspended, deleted or gone.
    case personGone
    /// An error in words that nobody has told us the meaning of.
    case unknown
}

extension Failure {
    /// What happens to the account, and when it is tried again.
    package var disposition: Disposition {
        switch self {
        case .grantRefused: .relink(.consentRevoked)
        case .scopeLost: .relink(.scopeLost)
        case .registrationRefused, .requestRefused: .fixConfiguration
        case .throttled(let until, let everyone): .wait(until: until, everyone: everyone)
        case .providerDown, .answerUnreadable, .unknown: .retry
        case .personGone: .suspend
        }
    }

    /// What the account says of it; who has to act is `problemCode.action`.
    package var problemCode: AccountProblem.Code {
        switch self {
        case .grantRefused: .consentRevoked
        case .scopeLost: .scopeLost
        case .registrationRefused, .requestRefused: .clientRefused
        case .throttled: .rateLimited
        case .providerDown: .providerUnavailable
        case .answerUnreadable, .unknown: .unexpectedResponse
        case .personGone: .userSuspended
        }
    }

    /// How long the provider is left alone, besides what it asked for: no account is better off with a registration that
    /// is refused. A refused parameter may be one account's alone and stops nobody else.
    package var providerPause: Duration? {
        switch self {
        case .registrationRefused: .seconds(600)
        default: nil
        }
    }
}
