import HTTPTypes
import Hummingbird
import JSON

/// An error answer (RFC 9457). `code` is what programs switch on and never changes; `detail` is for people, and no
/// problem ever repeats a secret, a path, a query or a message from inside.
struct Problem: Error {
    enum Code: String, CaseIterable {
        case malformedRequest = "malformed_request"
        case malformedJSON = "malformed_json"
        case invalidRequest = "invalid_request"
        case credentialsInQuery = "credentials_in_query"
        case missingKey = "missing_api_key"
        case invalidKey = "invalid_api_key"
        case signatureNotAccepted = "signature_not_accepted"
        case insufficientScope = "insufficient_scope"
        case routeNotFound = "route_not_found"
        case accountNotFound = "account_not_found"
        case deviceLinkNotFound = "device_link_not_found"
        case profileNotFound = "profile_not_found"
        case methodNotAllowed = "method_not_allowed"
        case requestTimeout = "request_timeout"
        case needsRelink = "needs_relink"
        case nothingToConfirm = "nothing_to_confirm"
        case accountHeld = "account_held"
        case accountSuspended = "account_suspended"
        case tokenBound = "token_bound"
        case accountPaused = "account_paused"
        case credentialDamaged = "credential_damaged"
        case requestInProgress = "request_in_progress"
        case contentTooLarge = "content_too_large"
        case uriTooLong = "uri_too_long"
        case unsupportedMediaType = "unsupported_media_type"
        case idempotencyKeyReused = "idempotency_key_reused"
        case rateLimited = "rate_limited"
        case headerFieldsTooLarge = "header_fields_too_large"
        case internalError = "internal_error"
        case providerRefused = "provider_refused"
        case providerNotConfigured = "provider_not_configured"
        case providerUnavailable = "provider_unavailable"
        case storageUnavailable = "storage_unavailable"
        case syncPending = "sync_pending"
    }

    /// One wrong field. `pointer` is a JSON Pointer (RFC 6901) into the body, or into the object of the query's
    /// parameters where `location` is `query`.
    struct FieldError: Equatable {
        enum Location: String { case body, query, header }
        var location = Location.body
        var pointer: String
        var detail: String
    }

    var status: HTTPResponse.Status
    var code: Code
    var title: String
    var detail: String
    var errors: [FieldError] = []
    var headers: HTTPFields = [:]
    /// The rest of the request is not worth reading.
    var closesConnection = false
    /// For the log alone, never for the client.
    var cause: (any Error)?

    init(
        _ status: HTTPResponse.Status, _ code: Code, _ title: String, detail: String, errors: [FieldError] = [],
        headers: HTTPFields = [:], closesConnection: Bool = false, cause: (any Error)? = nil
    ) {
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.errors = errors
        self.headers = headers
        self.closesConnection = closesConnection
        self.cause = cause
    }

    func document(requestID: String) -> String {
        var object: JSONObject = [
            "type": .string("urn:rollcall:problem:" + code.rawValue),
            "title": .string(title),
            "status": .number(JSONNumber(status.code)),
            "detail": .string(detail),
            "instance": .string("urn:rollcall:request:" + requestID),
            "code": .string(code.rawValue),
            "request_id": .string(requestID),
        ]
        if !errors.isEmpty {
            object["errors"] = .array(
                errors.map { error in
                    var member: JSONObject = ["pointer": .string(error.pointer), "detail": .string(error.detail)]
                    if error.location != .body { member["in"] = .string(error.location.rawValue) }
                    return .object(member)
                })
        }
        return JSONValue.object(object).text
    }

    func response(requestID: String) -> Response {
        var fields = headers
        fields[.contentType] = "application/problem+json"
        fields[.cacheControl] = "no-store"
        if closesConnection { fields[.connection] = "close" }
        return Response(
            status: status, headers: fields,
            body: ResponseBody(byteBuffer: ByteBuffer(string: document(requestID: requestID))))
    }
}

extension Problem {
    static func invalid(_ errors: [FieldError]) -> Problem {
        Problem(
            .badRequest, .invalidRequest, "The request is not valid",
            detail: errors.count == 1
                ? "One field is wrong; errors says which." : "\(errors.count) fields are wrong; errors lists them.",
            errors: errors)
    }

    static func invalid(query name: String, _ detail: String) -> Problem {
        invalid([FieldError(location: .query, pointer: "/" + name, detail: detail)])
    }

    static func invalid(header name: String, _ detail: String) -> Problem {
        invalid([FieldError(location: .header, pointer: "/" + name, detail: detail)])
    }

    static let accountNotFound = Problem(
        .notFound, .accountNotFound, "No such account", detail: "There is no linked account of that id.")
    static let accountPaused = Problem(
        .conflict, .accountPaused, "The account is paused", detail: "An operator stopped it.")
    static let routeNotFound = Problem(
        .notFound, .routeNotFound, "Not found", detail: "Nothing is served at this address. See /openapi.json.")

    static func internalError(_ cause: any Error) -> Problem {
        Problem(
            .internalServerError, .internalError, "Something went wrong here",
            detail: "The request could not be carried out. The log has the reason under the request id.", cause: cause)
    }

    static func methodNotAllowed(_ allowed: [HTTPRequest.Method]) -> Problem {
        Problem(
            .methodNotAllowed, .methodNotAllowed, "That method is not for this address",
            detail: "The methods in Allow are.",
            headers: [.allow: allowed.map(\.rawValue).sorted().joined(separator: ", ")])
    }

    static func contentTooLarge(limit: Int) -> Problem {
        Problem(
            .contentTooLarge, .contentTooLarge, "The body is too large",
            detail: "At most \(limit) bytes are read.", closesConnection: true)
    }

    /// - Parameter wait: how long until the next request is admitted.
    static func rateLimited(wait: Duration) -> Problem {
        Problem(
            .tooManyRequests, .rateLimited, "Too many requests", detail: "Try again after the time in Retry-After.",
            headers: [.retryAfter: String(max(1, Int(wait.components.seconds) + 1))])
    }
}
