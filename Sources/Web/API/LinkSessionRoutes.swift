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
            let session: LinkSession
            let token: Secret
            do throws(LinkOrderError) {
                (session, token) = try await linking.begin(request)
            } catch {
                throw Self.problem(error)
            }
            let output = JSONOutput.object([
                ("id", .string(session.id.rawValue)), ("url", .string(token.reveal { site.publicURL + "/link/" + $0 })),
                ("user_id", .string(session.userID.rawValue)), ("provider", .string(session.provider?.rawValue)),
                ("expires_at", .time(session.expiresAt)),
            ])
            return Replays.Answer(status: .created, body: Array(output.text.utf8))
        }
    }

    /// What the fields are; whether the provider is ready and the address allowed, `Linking` says.
    private static func read(_ fields: inout RequestFields) throws -> LinkSessionRequest {
        let user = fields.required("user_id", Self.userText) { $0.string.flatMap { UserID($0) } }
        let label = fields.optional("user_label", Self.userText) { $0.string.flatMap { UserID($0)?.rawValue } }
        let provider = fields.optional("provider", "must be the id of a configured provider") {
            $0.string.flatMap { ProviderID($0) }
        }
        let scopes = fields.optional("scopes", "must be a list of 1 to 100 different scopes (RFC 6749 §3.3)") {
            value -> [Scope]? in
            guard let elements = value.array, (1...100).contains(elements.count) else { return nil }
            let scopes = elements.compactMap { $0.string.flatMap { Scope($0) } }
            return Set(scopes).count == elements.count ? scopes : nil
        }
        let returnTo = fields.optional("return_to", "must be an absolute URL of an allowed origin") { $0.string }
        let confirm = fields.optional("confirm", "must be true or false") { $0.bool }
        if scopes != nil, !fields.has("provider") { fields.refuse("scopes", "can be asked for only with a provider") }
        try fields.finish()
        guard let user else { throw Problem.invalid(fields.errors) }
        return LinkSessionRequest(
            userID: user, userLabel: label, provider: provider, scopes: scopes, returnTo: returnTo,
            confirm: confirm ?? true)
    }

    private static let userText = "must be a string of 1 to 255 characters, none of them a control character"

    private static func problem(_ error: LinkOrderError) -> any Error {
        switch error {
        case .invalid(let fields):
            Problem.invalid(fields.map { Problem.FieldError(pointer: $0.pointer, detail: $0.detail) })
        case .store(let error): error
        }
    }
}
