package import Accounts
import OAuth
package import Store
import Transfer

/// Why there is no valid access token.
package enum AccessTokenError: Error, Equatable {
    /// The account was unlinked.
    case gone
    /// The grant is dead, and the account says so.
    case relink(AccountProblem.Code, detail: String)
    /// The token endpoint's answer, which ends no grant; the word is its error code, or what it was instead.
    case answer(Failure, word: String)
    /// Another process has it in hand.
    case unavailable(String)
    case request(ProviderRequestError)
    case server(AuthorizationServerError)
    case damaged
    case store(StoreError)

    /// The caller, or the service, ended before there was an answer.
    package static let cutShort = AccessTokenError.request(.transfer(.cancelled))

    package var disposition: Disposition {
        switch self {
        case .gone, .unavailable, .store: .retry
        case .relink(let code, _): .relink(code)
        case .answer(let failure, _): failure.disposition
        case .damaged: .fixConfiguration
        case .request(let error): error.disposition
        case .server(let error): error.disposition
        }
    }

    package var problemCode: AccountProblem.Code {
        switch self {
        case .gone, .unavailable, .store: .providerUnavailable
        case .relink(let code, _): code
        case .answer(let failure, _): failure.problemCode
        case .damaged: .credentialDamaged
        case .request(let error): error.problemCode
        case .server(let error): error.problemCode
        }
    }

    package var detail: String {
        switch self {
        case .gone: "The account is not linked any more."
        case .relink(_, let detail): detail
        case .answer(.throttled(let until, _), _): "The provider asked for a pause until \(until)."
        case .answer(.registrationRefused, let word): "The provider refuses this service's registration (\(word))."
        case .answer(.requestRefused, let word): "The provider refuses what this service asks for (\(word))."
        case .answer(_, let word): "The token endpoint gave no usable answer (\(word))."
        case .unavailable(let detail): detail
        case .request(let error): error.detail
        case .server(let error): error.detail
        case .damaged: "The sealed tokens do not open; link the account again."
        case .store(let error): "The database failed: \(error)."
        }
    }

    /// Whether the access token that was to be replaced may be used as long as it lasts.
    var leavesTokenUsable: Bool {
        switch self {
        case .gone, .relink, .damaged: false
        case .answer, .unavailable, .request, .server, .store: true
        }
    }
}

extension TokenRequestError {
    /// For a log or a person: OAuth's own word, a status, never a body.
    var word: String {
        switch self {
        case .refused(let code): code.explanation
        case .unavailable(let status): "HTTP \(status)"
        case .malformed(let reason): reason
        }
    }
}

extension TokenErrorCode {
    /// The word, and where to look for what only a configuration can mend.
    var explanation: String {
        switch self {
        case .invalidTarget: "invalid_target: it knows nothing of a resource that is asked for; compare 'resource'"
        default: rawValue
        }
    }
}
