import Accounts
import HTTPTypes
import Hummingbird
import Logging
import Store

/// `Idempotency-Key`: a client that repeats a request, because it never saw the answer, gets the answer of the first.
/// Only successes are kept; a request that failed may be tried again under its key.
struct Replays: Sendable {
    let store: IdempotencyStore
    let logger: Logger

    static let keyLengthMax = 255

    /// What a handler answers, before it is known whether it has to be kept.
    struct Answer {
        var status: HTTPResponse.Status
        var body: [UInt8]
        /// Beyond the content type; not kept.
        var fields: HTTPFields = [:]

        var response: Response {
            var fields = fields
            fields[.contentType] = "application/json"
            if fields[.cacheControl] == nil { fields[.cacheControl] = "private, no-store" }
            return Response(
                status: status, headers: fields, body: ResponseBody(byteBuffer: ByteBuffer(bytes: body)))
        }
    }

    /// - Parameters:
    ///   - identity: what tells this request from another one at the same address.
    ///   - again: where it is there, the body is not kept, so that what was erased since is not given out; it makes
    ///     the repeated answer from what there is now.
    func answer(
        _ call: APIRequest, identity: [UInt8], again: ((HTTPResponse.Status) async throws -> Answer)? = nil,
        _ make: () async throws -> Answer
    ) async throws -> Response {
        let keys = call.http.headers[values: .idempotencyKey]
        guard let key = keys.first else { return try await make().response }
        guard keys.count == 1, (1...Self.keyLengthMax).contains(key.utf8.count),
            key.utf8.allSatisfy({ (0x20...0x7e).contains($0) })
        else {
            throw Problem.invalid(header: "Idempotency-Key", "must be 1 to \(Self.keyLengthMax) printable characters")
        }
        let request = Array("\(call.http.method.rawValue) \(call.http.uri.path)\n".utf8) + identity
        switch try await store.begin(key: key, apiKey: call.key.id, request: request) {
        case .new: break
        case .repeated(let stored):
            if let again { return try await again(HTTPResponse.Status(code: stored.status)).response }
            return Answer(status: HTTPResponse.Status(code: stored.status), body: stored.body).response
        case .underWay:
            throw Problem(
                .conflict, .requestInProgress, "The first request with this key is not answered yet",
                detail: "Ask again in a moment.", headers: [.retryAfter: "1"])
        case .conflict:
            throw Problem(
                .unprocessableContent, .idempotencyKeyReused, "The key belongs to another request",
                detail: "An Idempotency-Key stands for one request. Use a new one.")
        }
        let answer: Answer
        do {
            answer = try await make()
        } catch {
            await settle(call) { try await store.abandon(key: key, apiKey: call.key.id, request: request) }
            throw error
        }
        let kept = StoredResponse(status: answer.status.code, body: again == nil ? answer.body : [])
        await settle(call) { try await store.finish(key: key, apiKey: call.key.id, request: request, kept) }
        return answer.response
    }

    /// What happened has happened: that it can't be noted down changes nothing about the answer.
    private func settle(_ call: APIRequest, _ note: () async throws -> Void) async {
        do { try await note() } catch {
            logger.warning(
                "An Idempotency-Key can't be settled",
                metadata: ["request_id": "\(call.context.requestID)", "error": "\(error)"])
        }
    }
}
