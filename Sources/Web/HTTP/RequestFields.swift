import HTTPTypes
import Hummingbird
import JSON

/// A JSON object from a request, read member by member; what is wrong is gathered so that the answer names it all.
struct RequestFields {
    private let object: JSONObject
    private var read: Set<String> = []
    private(set) var errors: [Problem.FieldError] = []

    init(_ object: JSONObject) { self.object = object }

    mutating func has(_ name: String) -> Bool {
        read.insert(name)
        return object[name] != nil
    }

    /// The member converted; an absent one is `nil`, an explicit `null` an error like any other wrong type.
    mutating func optional<Value>(_ name: String, _ expected: String, _ convert: (JSONValue) -> Value?) -> Value? {
        read.insert(name)
        guard let member = object[name] else { return nil }
        guard let value = convert(member) else {
            refuse(name, expected)
            return nil
        }
        return value
    }

    mutating func required<Value>(_ name: String, _ expected: String, _ convert: (JSONValue) -> Value?) -> Value? {
        if object[name] == nil {
            read.insert(name)
            refuse(name, "is required: " + expected)
            return nil
        }
        return optional(name, expected, convert)
    }

    var isRefused: Bool { !errors.isEmpty }

    /// Whether something is said of that member, or of a part of it.
    func isRefused(_ pointer: String) -> Bool {
        errors.contains { pointer == $0.pointer || pointer.hasPrefix($0.pointer + "/") }
    }

    /// - Parameter name: a member's name, or a path below it with `/`; `~` and `/` in names themselves don't occur.
    mutating func refuse(_ name: String, _ detail: String) {
        errors.append(Problem.FieldError(pointer: "/" + name, detail: detail))
    }

    /// Throws everything that was found wrong, members that nobody asked for included.
    mutating func finish() throws(Problem) {
        for name in object.names where !read.contains(name) {
            let escaped = name.split(separator: "~", omittingEmptySubsequences: false).joined(separator: "~0")
                .split(separator: "/", omittingEmptySubsequences: false).joined(separator: "~1")
            refuse(DisplayText.bounded(escaped, 64), "is not a member of this request")
        }
        if !errors.isEmpty { throw .invalid(errors) }
    }
}

extension Request {
    /// The body as a JSON object. `nil` where there is no body and `mayBeEmpty`.
    func jsonFields(mayBeEmpty: Bool = false) async throws -> (fields: RequestFields, bytes: [UInt8]) {
        let bytes = try await bytes(upTo: ConnectionLimits.bodyBytesMax)
        if bytes.isEmpty, mayBeEmpty, headers[.contentType] == nil || isJSON { return (RequestFields([:]), bytes) }
        guard isJSON else {
            throw Problem(
                .unsupportedMediaType, .unsupportedMediaType, "That media type is not understood here",
                detail: "Send application/json.", headers: [.accept: "application/json"])
        }
        let value: JSONValue
        do {
            value = try JSONValue(parsing: bytes, depthMax: 32)
        } catch {
            throw Problem(
                .badRequest, .malformedJSON, "The body is not JSON",
                detail: "Line \(error.line), column \(error.column): \(error.reason).")
        }
        guard case .object(let object) = value else {
            throw Problem.invalid([Problem.FieldError(pointer: "", detail: "must be an object")])
        }
        return (RequestFields(object), bytes)
    }

    /// A form as it was sent.
    func formText() async throws -> String {
        guard let text = String(validating: try await formBytes(), as: UTF8.self) else { throw Problem.formUnreadable }
        return text
    }

    /// A form's parameters.
    func formParameters() async throws -> FormParameters {
        guard let parameters = FormParameters(bytes: try await formBytes()) else { throw Problem.formUnreadable }
        return parameters
    }

    private func formBytes() async throws -> [UInt8] {
        guard mediaType == "application/x-www-form-urlencoded" else {
            throw Problem(
                .unsupportedMediaType, .unsupportedMediaType, "That media type is not understood here",
                detail: "Forms are sent as application/x-www-form-urlencoded.")
        }
        return try await bytes(upTo: ConnectionLimits.formBytesMax)
    }

    /// Reads no further than `limit`, and not at all where `Content-Length` says that it is more.
    func bytes(upTo limit: Int) async throws -> [UInt8] {
        if let announced = headers[.contentLength].flatMap({ Int($0) }), announced > limit {
            throw Problem.contentTooLarge(limit: limit)
        }
        var bytes: [UInt8] = []
        for try await part in body {
            if bytes.count + part.readableBytes > limit { throw Problem.contentTooLarge(limit: limit) }
            bytes.append(contentsOf: part.readableBytesView)
        }
        return bytes
    }

    private var isJSON: Bool { mediaType == "application/json" }

    /// In lower case, without parameters.
    var mediaType: String? {
        headers[.contentType]?.prefix { $0 != ";" }.filter { $0 != " " && $0 != "\t" }.lowercased()
    }
}

extension Problem {
    fileprivate static let formUnreadable = Problem(
        .badRequest, .malformedRequest, "The form can't be read", detail: "Its encoding is broken.")
}
