import Accounts
import Cryptography
import Hummingbird

/// The query of one call: known names once each, everything wrong gathered.
struct QueryReader {
    private let parameters: FormParameters
    private(set) var errors: [Problem.FieldError] = []
    private var read: Set<String> = []

    static let credentialNames: Set<String> = [
        "access_token", "api_key", "apikey", "api-key", "key", "token", "authorization", "bearer",
    ]

    init(_ request: Request) throws(Problem) {
        guard let query = request.uri.query, !query.isEmpty else {
            parameters = .empty
            return
        }
        guard let parameters = FormParameters(parsing: query) else {
            throw Problem(
                .badRequest, .malformedRequest, "The query can't be read", detail: "Its percent-encoding is broken.")
        }
        self.parameters = parameters
    }

    /// Keys in a query end up in logs, histories and referrers, so they are refused even where they are right
    /// (RFC 6750 §5.3).
    static func refuseCredentials(in request: Request) throws(Problem) {
        guard let query = request.uri.query, !query.isEmpty else { return }
        let parameters = FormParameters(parsing: query)
        let isCredential =
            query.contains("rck_")
            || parameters?.names.contains { credentialNames.contains($0.lowercased()) } == true
            || parameters?.values.contains { $0.hasPrefix("rck_") } == true
        if isCredential {
            throw Problem(
                .badRequest, .credentialsInQuery, "API keys don't belong in an address",
                detail: "Send the key as Authorization: Bearer. Revoke this one: addresses are logged along the way.")
        }
    }

    mutating func value<Value>(_ name: String, _ expected: String, _ convert: (String) -> Value?) -> Value? {
        read.insert(name)
        if parameters.count(of: name) > 1 {
            refuse(name, "is given twice")
            return nil
        }
        guard let text = parameters[name] else { return nil }
        guard let value = convert(text) else {
            refuse(name, expected)
            return nil
        }
        return value
    }

    mutating func refuse(_ name: String, _ detail: String) {
        errors.append(Problem.FieldError(location: .query, pointer: "/" + name, detail: detail))
    }

    mutating func finish() throws(Problem) {
        for name in parameters.names where !read.contains(name) {
            read.insert(name)
            refuse(DisplayText.bounded(name, 64), "is not a parameter of this call")
        }
        if !errors.isEmpty { throw .invalid(errors) }
    }

    /// `limit` and `after` of a list.
    mutating func page() -> (limit: Int, after: String?) {
        let limit = value("limit", "must be a whole number from 1 to 500") { text -> Int? in
            guard let number = Int(text), (1...500).contains(number), text == String(number) else { return nil }
            return number
        }
        let after = value("after", "is not a cursor of this list", Cursor.position)
        return (limit ?? 50, after)
    }
}

/// Where a list goes on: opaque to clients, the key of the last item to us.
enum Cursor {
    private static let version: UInt8 = 1

    static func text(_ position: String) -> String { Base64URL.encode([version] + Array(position.utf8)) }

    static func position(_ text: String) -> String? {
        guard text.utf8.count <= 1024, let bytes = Base64URL.decode(text), bytes.first == version, bytes.count > 1
        else { return nil }
        return String(validating: bytes.dropFirst(), as: UTF8.self)
    }
}
