package import Accounts
import JSON
import JSONPath
package import OAuth
package import Transfer

/// What in the body of a refusal tells its cause.
struct FailureMarkers: Sendable {
    /// In a success that is none.
    var error: [JSONPath] = []
    var unauthorized: [JSONPath] = []
    var insufficientScope: [JSONPath] = []
    var suspended: [JSONPath] = []
}

extension Provider {
    /// Whether a resource server's response is the resource: some tell of failures with status 200.
    package func isResource(_ response: TransferResponse) -> Bool {
        response.status == 200 && !finds(failureMarkers.error, in: response)
    }

    /// What a resource server's response that is not a success says.
    package func failure(of response: TransferResponse, now: Timestamp) -> ResourceFailure {
        let status = response.status
        if status >= 500 || status == 408 { return .unavailable(status: status) }
        if let signal = limitSignal(in: response, now: now), status >= 400 { return .limited(signal) }
        let isRefusal = (400..<500).contains(status) || finds(failureMarkers.error, in: response)
        if isRefusal, finds(failureMarkers.suspended, in: response) { return .gone }
        // Named, it goes before a 401, which some give for it.
        let challenges = response.fields.values("www-authenticate")
        let lacksScope = challenges.contains { $0.contains("insufficient_scope") }
        if isRefusal, lacksScope || finds(failureMarkers.insufficientScope, in: response) {
            return .insufficientScope
        }
        if status == 401 || isRefusal && finds(failureMarkers.unauthorized, in: response) { return .unauthorized }
        return .refused(status: status)
    }

    /// What a token endpoint's answer that brought no token means: `error` is what it says, and a limit may be the cause.
    package func failure(_ error: TokenRequestError, of response: TransferResponse, now: Timestamp) -> Failure {
        // A server in trouble may say anything.
        guard case .unavailable(let status) = error, status < 500 else { return error.failure }
        if let signal = limitSignal(in: response, now: now) { return ResourceFailure.limited(signal).failure }
        return status == 429
            ? .throttled(until: now + LimitSignal.waitDefault, everyone: false) : error.failure
    }

    /// How far the server's clock is from `now`; `nil` where the response has no date.
    package func clockDifference(in response: TransferResponse, now: Timestamp) -> Duration? {
        response.fields["date"].flatMap { HTTPDate.instant($0) }.map { $0 - now }
    }

    /// Whether a response counts against the provider's budget of invalid requests.
    package func countsAsInvalidRequest(_ response: TransferResponse, now: Timestamp) -> Bool {
        guard limits.invalidRequests?.statuses.contains(response.status) == true else { return false }
        return limitSignal(in: response, now: now)?.countsAsInvalidRequest ?? true
    }

    private func finds(_ paths: [JSONPath], in response: TransferResponse) -> Bool {
        guard !paths.isEmpty, let body = response.json else { return false }
        return paths.contains { !$0.values(in: body).isEmpty }
    }
}
