import Accounts
import HTTPTypes
import Hummingbird
import JSON
import Linking
import Store

/// POST /v1/link-sessions: an application begins a link for one of its users.
struct LinkSessionRoutes: Sendable {
    let linking: AccountLinking
    let site: Site
    let replays: Replays

    func create(_ call: APIRequest) async throws -> Response {
        var (fields, bytes) = try await call.http.jsonFields()
        let request = try Self.read(&fields)
        return try await replays.answer(call, identity: bytes) {
            let (session, token) = try await linking.begin(request)
            let output = JSONOutput.object([
                ("id", .string(session.id.rawValue)), ("url", .string(token.reveal { site.publicURL + "/link/" + $0 })),
                ("user_id", .string(session.userID.rawValue)), ("provider", .string(session.provider?.rawValue)),
                ("expires_at", .time(session.expiresAt)),
            ])
            return Replays.Answer(status: .created, body: Array(output.text.utf8))
        }
    }

    private static func read(_ fields: inout RequestFields) throws -> LinkSessionRequest {
        let user = fields.required("user_id", "a string of 1 to 255 characters without control characters") {
            $0.string.flatMap { UserID($0) }
        }
        let label = fields.optional("user_label", "must be a string of 1 to 255 characters without control characters")
        {
            $0.string.flatMap { UserID($0)?.rawValue }
        }
        let provider = fields.optional("provider", "must be the id of a configured provider") {
            $0.string.flatMap { ProviderID($0) }
        }
        let scopes = fields.optional("scopes", "must be a list of 1 to 64 different scopes") { value -> [Scope]? in
            guard let elements = value.array, (1...64).contains(elements.count) else { return nil }
            let scopes = elements.compactMap { $0.string.flatMap { Scope($0) } }
            return scopes.count == elements.count && Set(scopes).count == scopes.count ? scopes : nil
        }
        let returnTo = fields.optional("return_to", "must be an absolute URL of an allowed origin, up to 2048 bytes") {
            $0.string.flatMap { $0.utf8.count <= 2048 ? $0 : nil }
        }
        let confirm = fields.optional("confirm", "must be true or false") { $0.bool }
        if scopes != nil, provider == nil { fields.refuse("scopes", "needs a provider") }
        try fields.finish()
        guard let user else { throw Problem.invalid(fields.errors) }
        return LinkSessionRequest(
            userID: user, userLabel: label, provider: provider, scopes: scopes, returnTo: returnTo,
            confirm: confirm ?? true)
    }
}
