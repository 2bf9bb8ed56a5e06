import Accounts
import HTTPTypes
import Hummingbird
import Providers
import Store
import Sync

/// Cached profiles. The plain read is the service's hot path: one look-up on the calling thread, the stored bytes out,
/// nothing decoded and nothing awaited in between. Only `max_age`, `fresh` and a sync that was asked for go further.
struct ProfileRoutes: Sendable {
    let database: Database
    let catalog: ProviderCatalog
    let reads: ReadTally
    let sync: SyncRequests
    let time: any TimeSource
    let replays: Replays

    /// How long a read waits for a younger copy where the client does not say.
    static let waitDefault = 30
    /// How long one waits that leaves it to the service whether it is worth that.
    static let waitIfWorthIt: Duration = .milliseconds(800)

    /// GET /v1/accounts/{id}/profile
    func ofAccount(_ call: APIRequest) async throws -> Response {
        let id = try call.accountID()
        return try await read(call) { try database.profiles.document(account: id) }
    }

    /// GET /v1/profiles/{provider}/{subject}
    func ofSubject(_ call: APIRequest) async throws -> Response {
        guard let provider = ProviderID(call.parameter("provider")), let subject = Subject(call.parameter("subject"))
        else { throw Self.notFound }
        return try await read(call) { try database.profiles.document(provider: provider, subject: subject) }
    }

    /// POST /v1/accounts/{id}/sync
    func syncNow(_ call: APIRequest) async throws -> Response {
        let id = try call.accountID()
        var query = try QueryReader(call.http)
        try query.finish()
        _ = try await call.http.bytes(upTo: ConnectionLimits.bodyBytesMax)
        let seconds = Preferences.wait(call.http.headers)
        var applied: HTTPFields = [:]
        if let seconds { applied[.preferenceApplied] = "wait=\(seconds)" }
        func answer(_ status: HTTPResponse.Status) async throws -> Replays.Answer {
            if status == .ok {
                guard let document = try database.profiles.document(account: id) else { throw Self.notFound }
                var fields = applied
                fields.append(contentsOf: Self.fields(document))
                return Replays.Answer(status: .ok, body: document.bytes, fields: fields)
            }
            guard let account = try await database.accounts.account(id) else { throw Problem.accountNotFound }
            return Replays.Answer(
                status: .accepted, body: Array(catalog.explaining(account).output().text.utf8), fields: applied)
        }
        return try await replays.answer(call, identity: Array("wait=\(seconds ?? -1)".utf8), again: answer) {
            switch await sync.now(id, seconds.map { .seconds($0) }) {
            case .noSuchAccount: throw Problem.accountNotFound
            case .failed(let problem) where seconds != nil: throw Problem(problem, now: time.now())
            case .paused: throw Problem.accountPaused
            case .synced where seconds != nil: return try await answer(.ok)
            case .synced, .pending, .failed: return try await answer(.accepted)
            }
        }
    }

    private func read(_ call: APIRequest, _ find: () throws -> ProfileDocument?) async throws -> Response {
        var applied: HTTPFields = [:]
        var found = try find()
        if call.http.uri.query != nil {
            var query = try QueryReader(call.http)
            let maximumAge = query.value("max_age", "must be a whole number of seconds from 0 to 31536000") {
                text -> Int? in
                guard let seconds = Int(text), (0...31_536_000).contains(seconds) else { return nil }
                return seconds
            }
            let isLeftToUs = query.value("fresh", "must be auto") { $0 == "auto" ? true : nil } ?? false
            if isLeftToUs, maximumAge != nil { query.refuse("fresh", "does not go with max_age") }
            try query.finish()
            if let document = found, maximumAge != nil || isLeftToUs {
                applied =
                    if let maximumAge { try await makeYounger(document, than: .seconds(maximumAge), call) } else {
                        await makeYoungerIfWorthIt(document)
                    }
                found = try find()
            }
        }
        guard let document = found else { throw Self.notFound }
        reads.count(document.accountID, at: time.now())
        if call.http.headers[.ifNoneMatch] != nil || call.http.headers[.ifModifiedSince] != nil,
            Preconditions.isNotModified(call.http.headers, etag: document.etag, lastModified: document.changedAt)
        {
            var fields = Self.fields(document)
            fields.append(contentsOf: applied)
            return Response(status: .notModified, headers: fields)
        }
        var response = Self.response(document)
        response.headers.append(contentsOf: applied)
        return response
    }

    /// Syncs where the document is older. An older copy is never passed off as a younger one: where there is none to be
    /// had the answer is why.
    private func makeYounger(
        _ document: ProfileDocument, than age: Duration, _ call: APIRequest
    ) async throws -> HTTPFields {
        if time.now() - document.fetchedAt <= age { return [:] }
        let preferred = Preferences.wait(call.http.headers)
        switch await sync.now(document.accountID, .seconds(preferred ?? Self.waitDefault)) {
        case .synced: break
        case .pending: throw Problem.syncPending
        case .failed(let problem): throw Problem(problem, now: time.now())
        case .paused: throw Problem.accountPaused
        case .noSuchAccount: throw Problem.accountNotFound
        }
        return preferred.map { [.preferenceApplied: "wait=\($0)"] } ?? [:]
    }

    /// Whatever comes of it, the copy that there is is served, with what is believed of it. Plain reads go without that
    /// number: it would cost each of them another look-up, and the document is the same for all.
    private func makeYoungerIfWorthIt(_ document: ProfileDocument) async -> HTTPFields {
        guard let chance = await sync.ifWorthIt(document.accountID, Self.waitIfWorthIt) else { return [:] }
        let thousandths = Int((min(max(chance, 0), 1) * 1000).rounded())
        let digits = String(1000 + thousandths % 1000).dropFirst()
        return [.profileCurrent: thousandths == 1000 ? "1.000" : "0.\(digits)"]
    }

    private static let notFound = Problem(
        .notFound, .profileNotFound, "No such profile", detail: "Nothing is cached for that account.")

    private static func response(_ document: ProfileDocument) -> Response {
        var fields = fields(document)
        fields[.contentType] = "application/json"
        return Response(
            status: .ok, headers: fields, body: ResponseBody(byteBuffer: ByteBuffer(bytes: document.bytes)))
    }

    private static func fields(_ document: ProfileDocument) -> HTTPFields {
        var fields = HTTPFields()
        fields.reserveCapacity(8)
        fields.append(HTTPField(name: .eTag, value: document.etag))
        fields.append(HTTPField(name: .lastModified, value: Preconditions.text(document.changedAt)))
        // A private cache may keep it, if it asks each time; a shared one must not hand it to another key's holder.
        fields.append(HTTPField(name: .cacheControl, value: "private, no-cache"))
        fields.append(HTTPField(name: .vary, value: "Authorization"))
        return fields
    }
}

extension HTTPField.Name {
    /// The chance, 0 to 1, that the provider would answer with what is served.
    static let profileCurrent = HTTPField.Name("Profile-Current")!
}

extension Problem {
    static let syncPending = Problem(
        .serviceUnavailable, .syncPending, "The profile is still being synced",
        detail: "It was not done within the time. Ask again, or without max_age for the cached copy.",
        headers: [.retryAfter: "2"])

    /// What an account's own problem is to a call that needed more than the cache.
    init(_ problem: AccountProblem, now: Timestamp) {
        var fields: HTTPFields = [:]
        if let next = problem.nextAttemptAt {
            fields[.retryAfter] = String(max(1, (next - now).components.seconds + 1))
        }
        switch problem.code {
        case .consentRevoked, .refreshExpired, .rotationLost, .scopeLost:
            self = .needsRelink(problem.detail)
        case .userSuspended:
            self.init(.conflict, .accountSuspended, "The provider has suspended the user", detail: problem.detail)
        case .credentialDamaged:
            self.init(
                .serviceUnavailable, .credentialDamaged, "The stored credential can't be opened",
                detail: problem.detail)
        case .providerNotConfigured:
            self.init(
                .serviceUnavailable, .providerNotConfigured, "The provider is not configured", detail: problem.detail)
        case .clientRefused, .unexpectedResponse:
            self.init(
                .serviceUnavailable, .providerRefused, "The provider does not answer as it should",
                detail: problem.detail, headers: fields)
        case .providerUnavailable, .rateLimited:
            self.init(
                .serviceUnavailable, .providerUnavailable, "The provider can't be asked now", detail: problem.detail,
                headers: fields)
        }
    }

    static func needsRelink(_ detail: String) -> Problem {
        Problem(.conflict, .needsRelink, "The user has to link the account again", detail: detail)
    }
}
