package import Accounts
package import Store
package import Transfer

/// Whether somebody waits for the answer.
package enum Urgency: Sendable {
    /// A person or a program waits: first in line, and soon told where it can't be now.
    case callerWaits
    /// Nobody waits: leaves a fifth of every limit to those who do.
    case background

    /// How long a request may wait to be admitted.
    var waitMax: Duration {
        switch self {
        case .callerWaits: .seconds(5)
        case .background: .seconds(20)
        }
    }
}

package enum ProviderRequestError: Error, Equatable {
    /// The provider is being left alone; nothing was sent.
    case paused(until: Timestamp, reason: PauseReason)
    case transfer(TransferError)
    case store(StoreError)

    package var disposition: Disposition {
        switch self {
        case .paused(let until, _): .wait(until: until, everyone: true)
        case .transfer(.destinationRefused), .transfer(.invalidRequest): .fixConfiguration
        case .transfer, .store: .retry
        }
    }

    package var problemCode: AccountProblem.Code {
        switch self {
        case .paused(_, let reason): reason.problemCode
        case .transfer(.destinationRefused), .transfer(.invalidRequest): .clientRefused
        case .transfer, .store: .providerUnavailable
        }
    }

    /// One sentence for a person.
    package var detail: String {
        switch self {
        case .paused(_, let reason): "The provider is left alone for now: \(reason)."
        case .transfer(let error): error.sentence
        case .store(let error): "The database failed: \(error)."
        }
    }
}

extension TransferError {
    package var sentence: String {
        switch self {
        case .destinationRefused(let reason): "The provider's address may not be reached: \(reason)."
        case .nameNotResolved(let host): "The name \(host) does not resolve."
        case .connectionFailed(let host): "\(host) accepts no connection."
        case .tlsFailed(let host, let reason): "TLS with \(host) failed: \(reason)."
        case .timedOut(let host): "\(host) took too long to answer."
        case .responseTooLarge(let limit): "The provider's answer is larger than \(limit) bytes."
        case .tooManyRedirects: "The provider redirects too often."
        case .malformedResponse(let reason): "The provider's answer can't be read: \(reason)."
        case .cancelled: "The request was cut short."
        case .invalidRequest(let reason): "The request can't be sent: \(reason)."
        }
    }
}
