import Accounts
import Providers
import Telemetry
import Transfer

extension Telemetry.RequestOutcome {
    init(_ result: Result<TransferResponse, TransferError>, of provider: Provider, now: Timestamp) {
        switch result {
        case .failure(.cancelled): self = .cancelled
        case .failure: self = .noAnswer
        case .success(let response):
            switch response.status {
            case 304: self = .notModified
            case ..<400: self = .ok
            case 429: self = .limited
            case 500...: self = .serverError
            // Some refuse with 403 what another would with 429.
            default: self = provider.limitSignal(in: response, now: now) == nil ? .refused : .limited
            }
        }
    }
}

extension Telemetry.RefreshOutcome {
    init(_ outcome: TokenRefresh.Outcome) {
        switch outcome {
        case .success: self = .refreshed
        case .failure(let error):
            if case .relink = error.disposition { self = .relink } else { self = .failed }
        }
    }
}
