import Accounts
import OAuth
import Providers
import Transfer

/// Requests that prove a key (RFC 9449).
extension ProviderClient {
    /// An answer that asks for a nonce is followed by one more request if it came within this, …
    private static let nonceAnswerMax: Duration = .seconds(10)
    /// … which has so long: both together take no longer than one may (`TokenRefresh.lease`).
    private static let secondTotal: Duration = .seconds(15)

    /// - Parameters:
    ///   - key: what proves the request; `nil` sends it as it is.
    ///   - accessToken: the one that the request carries.
    ///   - build: makes the request, anew for a second try: assertions and proofs count once.
    func send(
        to provider: Provider, account: AccountID? = nil, route: String = tokenRoute, urgency: Urgency, key: DPoPKey?,
        accessToken: Secret? = nil, _ build: @Sendable (Moment) -> TransferRequest
    ) async throws(ProviderRequestError) -> TransferResponse {
        let admission = try await admission(to: provider, account: account, route: route, urgency: urgency)
        return try await send(with: admission, key: key, accessToken: accessToken, build)
    }

    /// - Parameter now: when the request leaves, where the caller has looked at the clock already.
    func send(
        with admission: Admission, at now: Timestamp? = nil, key: DPoPKey?, accessToken: Secret? = nil,
        _ build: @Sendable (Moment) -> TransferRequest
    ) async throws(ProviderRequestError) -> TransferResponse {
        let moment = now.map { Moment(now: $0, random: random) } ?? moment
        guard let key else { return try await send(build(moment), with: admission) }
        let response = try await send(proven(build(moment), key, accessToken, moment), with: admission)
        guard DPoP.asksForNonce(response), time.now() - moment.now <= Self.nonceAnswerMax else { return response }
        let second: Admission
        do {
            second = try await self.admission(
                to: admission.provider, account: admission.account, route: admission.route, urgency: .callerWaits)
        } catch {
            // Not now: the answer stands that there is.
            return response
        }
        let again = self.moment
        var request = proven(build(again), key, accessToken, again)
        request.limits.total = min(request.limits.total, Self.secondTotal)
        return try await send(request, with: second)
    }

    private func proven(
        _ request: TransferRequest, _ key: DPoPKey, _ accessToken: Secret?, _ moment: Moment
    ) -> TransferRequest {
        request.proven(by: key, accessToken: accessToken, nonce: nonce(for: request.url), moment)
    }
}
