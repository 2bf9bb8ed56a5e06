import Accounts
import HTTPTypes
import Hummingbird
import Store

/// Who may call what: `Authorization: Bearer <api key>` (RFC 6750 §2.1) and the scope that a route asks for.
struct APIAuthentication: Sendable {
    let keys: APIKeyStore
    let site: Site
    let time: any TimeSource
    /// Counts refused keys alone, so that a right one is never turned away for a neighbour's mistakes.
    let refusals = AddressRateLimit(burst: 60, interval: .seconds(1))

    private static let bearer = Array("bearer ".utf8)

    func key(for request: Request, _ context: WebContext, scope: APIKeyScope) throws -> APIKey {
        try QueryReader.refuseCredentials(in: request)
        guard let field = request.headers[.authorization], let token = Self.token(field) else {
            throw Problem(
                .unauthorized, .missingKey, "An API key is needed", detail: "Send it as Authorization: Bearer.",
                headers: [.wwwAuthenticate: #"Bearer realm="rollcall""#])
        }
        guard let key = try keys.authenticate(token) else {
            if let wait = refusals.take(site.client(of: request, context), now: time.now()) {
                throw Problem.rateLimited(wait: wait)
            }
            throw Problem(
                .unauthorized, .invalidKey, "That API key is not valid", detail: "It is unknown or was revoked.",
                headers: [.wwwAuthenticate: #"Bearer realm="rollcall", error="invalid_token""#])
        }
        context.notes["key"] = key.id.rawValue
        guard key.scopes.contains(scope) else {
            let challenge = #"Bearer realm="rollcall", error="insufficient_scope", scope="\#(scope.rawValue)""#
            throw Problem(
                .forbidden, .insufficientScope, "This API key may not do that",
                detail: "The call needs the scope \(scope.rawValue).", headers: [.wwwAuthenticate: challenge])
        }
        return key
    }

    /// What stands after `Bearer`, in any case; `nil` for other schemes, which are not ours to judge (RFC 6750 §3.1).
    private static func token(_ field: String) -> String? {
        guard field.utf8.count > bearer.count else { return nil }
        guard zip(field.utf8, bearer).allSatisfy({ $0 | 0x20 == $1 }) else { return nil }
        return String(field.utf8.dropFirst(bearer.count).drop { $0 == 0x20 })
    }
}

/// A call whose key was found good for it.
struct APIRequest: Sendable {
    let http: Request
    let context: WebContext
    let key: APIKey

    /// A part of the path, percent-decoded; empty where that fails, which is no id of anything.
    func parameter(_ name: String) -> String {
        context.parameters.get(name).flatMap { FormParameters.decoded($0.utf8, plusIsSpace: false) } ?? ""
    }

    /// - Throws: the 404 that a missing account gets, for ids of other types as well.
    func accountID() throws(Problem) -> AccountID {
        guard let id = AccountID(parameter("id")) else { throw .accountNotFound }
        context.notes["account"] = id.rawValue
        return id
    }
}
