import Accounts
import HTTPTypes
import Hummingbird
import JSON
import Linking
import Store

/// POST /v1/link-sessions: an application begins a link for one of its users.
struct LinkSessionRoutes: Sendable {
    let linking: AccountLinking
    let replays: Replays

    func create(_ call: APIRequest) async throws -> Response {
        var (fields, bytes) = try await call.http.jsonFields()
        let order = Self.read(&fields)
        if fields.isRefused {
            // The answer names all that is wrong, not the wrong types alone.
            for fault in linking.faults(in: order) where !fields.isRefused(fault.pointer) {
                fields.refuse(String(fault.pointer.dropFirst()), fault.detail)
            }
        }
        try fields.finish()
        return try await replays.answer(call, identity: bytes) {
            let session: LinkSession
            let url: Secret
            do throws(LinkOrderError) {
                (session, url) = try await linking.begin(order)
            } catch {
                throw Self.problem(error)
            }
            let output = JSONOutput.object([
                ("id", .string(session.id.rawValue)), ("url", .string(url.reveal { $0 })),
                ("user_id", .string(session.userID.rawValue)), ("provider", .string(session.provider?.rawValue)),
                ("expires_at", .time(session.expiresAt)),
            ])
            return Replays.Answer(status: .created, body: Array(output.text.utf8))
        }
    }

    /// The types alone; what the values may be, `Linking` says.
    private static func read(_ fields: inout RequestFields) -> AccountLinking.Order {
        let user = fields.required("user_id", "must be a string") { $0.string }
        let label = fields.optional("user_label", "must be a string") { $0.string }
        let provider = fields.optional("provider", "must be a string") { $0.string }
        let scopes = fields.optional("scopes", "must be a list of strings") { value -> [String]? in
            guard let elements = value.array else { return nil }
            let scopes = elements.compactMap(\.string)
            return scopes.count == elements.count ? scopes : nil
        }
        let returnTo = fields.optional("return_to", "must be a string") { $0.string }
        let confirm = fields.optional("confirm", "must be true or false") { $0.bool }
        return AccountLinking.Order(
            userID: user ?? "", userLabel: label, provider: provider, scopes: scopes, returnTo: returnTo,
            confirm: confirm ?? true)
    }

    private static func problem(_ error: LinkOrderError) -> any Error {
        switch error {
        case .invalid(let fields):
            Problem.invalid(fields.map { Problem.FieldError(pointer: $0.pointer, detail: $0.detail) })
        case .store(let error): error
        }
    }
}
