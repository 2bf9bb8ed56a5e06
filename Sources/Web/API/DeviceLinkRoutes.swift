import Accounts
import HTTPTypes
import Hummingbird
import JSON
import Linking
import Store

/// /v1/device-links: links for users at a console or a terminal (RFC 8628). The user code stands in the answer that made
/// it and nowhere else: who can read a link can't pass its code on.
struct DeviceLinkRoutes: Sendable {
    let devices: DeviceLinking
    let database: Database
    let replays: Replays

    /// POST /v1/device-links
    func create(_ call: APIRequest) async throws -> Response {
        var (fields, bytes) = try await call.http.jsonFields()
        let order = Self.read(&fields)
        if fields.isRefused {
            for fault in devices.faults(in: order) where !fields.isRefused(fault.pointer) {
                fields.refuse(String(fault.pointer.dropFirst()), fault.detail)
            }
        }
        try fields.finish()
        return try await replays.answer(call, identity: bytes) {
            let link: DeviceLink
            do throws(DeviceLinkError) { link = try await devices.begin(order) } catch { throw Problem.of(error) }
            var members: [(String, JSONOutput)] = Self.members(link)
            members += [
                ("user_code", .string(link.userCode)), ("verification_uri", .string(link.verificationURI)),
            ]
            if let complete = link.verificationURIComplete {
                members.append(("verification_uri_complete", .string(complete)))
            }
            members.append(("interval", .value(.number(JSONNumber(link.interval.components.seconds)))))
            return Replays.Answer(status: .created, body: Array(JSONOutput.object(members).text.utf8))
        }
    }

    /// GET /v1/device-links/{id}
    func one(_ call: APIRequest) async throws -> Response {
        var query = try QueryReader(call.http)
        try query.finish()
        guard let link = try await database.deviceLinks.link(call.deviceLinkID()) else {
            throw Problem.deviceLinkNotFound
        }
        return .json(try await output(link))
    }

    /// POST /v1/device-links/{id}/confirm: the user was shown the claims and says that the account is theirs.
    func confirm(_ call: APIRequest) async throws -> Response {
        var fields = try await call.http.jsonFields(mayBeEmpty: true).fields
        try fields.finish()
        let id = try call.deviceLinkID()
        do throws(DeviceLinkError) {
            if let link = try await devices.confirm(id) { return .json(.object(Self.members(link))) }
        } catch {
            throw Problem.of(error)
        }
        guard let link = try await database.deviceLinks.link(id) else { throw Problem.deviceLinkNotFound }
        // Said twice is said once.
        if link.status == .linked { return .json(try await output(link)) }
        throw Problem(
            .conflict, .nothingToConfirm, "There is nothing to confirm",
            detail: "The link is \(link.status.rawValue); it has to be confirmation_required.")
    }

    /// DELETE /v1/device-links/{id}
    func cancel(_ call: APIRequest) async throws -> Response {
        guard try await devices.cancel(call.deviceLinkID()) else { throw Problem.deviceLinkNotFound }
        return Response(status: .noContent)
    }

    private func output(_ link: DeviceLink) async throws -> JSONOutput {
        var members = Self.members(link)
        if link.status == .confirmationRequired, let grant = try await database.deviceLinks.grant(of: link.id) {
            members.append(("claims", .stored(grant.claims)))
        }
        return .object(members)
    }

    private static func members(_ link: DeviceLink) -> [(String, JSONOutput)] {
        var members: [(String, JSONOutput)] = [
            ("id", .string(link.id.rawValue)), ("user_id", .string(link.userID.rawValue)),
            ("provider", .string(link.provider.rawValue)), ("status", .string(link.status.rawValue)),
            ("expires_at", .time(link.expiresAt)),
        ]
        if let account = link.accountID { members.append(("account_id", .string(account.rawValue))) }
        if let error = link.error { members.append(("error", .string(error))) }
        return members
    }

    /// The types alone; what the values may be, `Linking` says.
    private static func read(_ fields: inout RequestFields) -> AccountLinking.Order {
        let user = fields.required("user_id", "must be a string") { $0.string }
        let label = fields.optional("user_label", "must be a string") { $0.string }
        let provider = fields.required("provider", "must be a string") { $0.string }
        let scopes = fields.optional("scopes", "must be a list of strings") { value -> [String]? in
            guard let elements = value.array else { return nil }
            let scopes = elements.compactMap(\.string)
            return scopes.count == elements.count ? scopes : nil
        }
        let confirm = fields.optional("confirm", "must be true or false") { $0.bool }
        return AccountLinking.Order(
            userID: user ?? "", userLabel: label, provider: provider, scopes: scopes, confirm: confirm ?? true)
    }
}

extension APIRequest {
    fileprivate func deviceLinkID() throws(Problem) -> DeviceLinkID {
        guard let id = DeviceLinkID(parameter("id")) else { throw .deviceLinkNotFound }
        context.notes["device_link"] = id.rawValue
        return id
    }
}

extension Problem {
    fileprivate static let deviceLinkNotFound = Problem(
        .notFound, .deviceLinkNotFound, "No such device link", detail: "There is none of that id, or it ended long ago."
    )

    fileprivate static func of(_ error: DeviceLinkError) -> any Error {
        switch error {
        case .invalid(let fields):
            Problem.invalid(fields.map { FieldError(pointer: $0.pointer, detail: $0.detail) })
        case .provider("provider_unavailable", let detail):
            Problem(
                .serviceUnavailable, .providerUnavailable, "The provider can't be reached", detail: detail,
                headers: [.retryAfter: "10"])
        case .provider("account_held", let detail):
            Problem(.conflict, .accountHeld, "The account is linked to another user", detail: detail)
        case .provider(_, let detail):
            Problem(.badGateway, .providerRefused, "The provider refused", detail: detail)
        case .store(let error): error
        }
    }
}
