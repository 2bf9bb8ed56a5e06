import Accounts
import HTTPTypes
import Hummingbird
import JSON
import Linking
import Providers

/// POST /signals/{provider}: what a provider says by itself. Its signature is what lets it in; there is no API key.
struct SignalRoutes: Sendable {
    let signals: SignalIntake
    let catalog: ProviderCatalog
    let site: Site
    let time: any TimeSource
    /// Messages that are nobody's: an address that sends many is not listened to for a while.
    let failures = AddressRateLimit(burst: 30, interval: .seconds(2))

    static let bodyBytesMax = 64 << 10

    func receive(_ request: Request, _ context: WebContext) async throws -> Response {
        let client = site.client(of: request, context)
        if let wait = failures.wait(client, now: time.now()) { throw Problem.rateLimited(wait: wait) }
        guard let id = context.parameters.get("provider").flatMap({ ProviderID($0) }), let provider = catalog[id],
            provider.takesSignals
        else { throw Problem.routeNotFound }
        context.notes["provider"] = id.rawValue
        let isToken = provider.signals?.style == .secevent
        let type = isToken ? "application/secevent+jwt" : "application/json"
        guard request.mediaType == type else {
            throw Problem(
                .unsupportedMediaType, .unsupportedMediaType, "That media type is not understood here",
                detail: "Send \(type).", headers: [.accept: type])
        }
        let body = try await request.bytes(upTo: Self.bodyBytesMax)
        do throws(SignalRefusal) {
            _ = try await signals.receive(
                provider, fields: request.headers.map { ($0.name.rawName, $0.value) }, body: body)
        } catch {
            if case .unauthenticated = error { _ = failures.take(client, now: time.now()) }
            return try refused(error, isToken: isToken)
        }
        // RFC 8935 §2.2; GitHub and Discord take any 2xx. A message that came before is taken and changes nothing.
        return Response(status: isToken ? .accepted : .noContent, headers: [.cacheControl: "no-store"])
    }

    private func refused(_ error: SignalRefusal, isToken: Bool) throws -> Response {
        if case .unavailable = error {
            throw Problem(
                .serviceUnavailable, .providerUnavailable, "The message can't be taken now", detail: "Send it again.",
                headers: [.retryAfter: "60"], cause: error)
        }
        guard isToken else {
            if case .malformed = error {
                throw Problem(
                    .badRequest, .malformedRequest, "The message can't be read",
                    detail: "It is signed, and not as expected.")
            }
            throw Problem(
                .unauthorized, .signatureNotAccepted, "The message is not shown to be the provider's",
                detail: "Its signature or its time stamp does not hold.")
        }
        // RFC 8935 §2.3.
        let code: String
        if case .malformed = error { code = "invalid_request" } else { code = "authentication_failed" }
        return .json(
            .object([("err", .string(code)), ("description", .string("The token was not accepted."))]),
            status: .badRequest)
    }
}
