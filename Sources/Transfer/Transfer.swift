/// Outgoing HTTP: one exchange at a time, each with a limit on time, size and redirects, going only where it may and
/// carrying a credential to one origin alone. `CurlTransport` is the real one, on libcurl; tests use a scripted one.
/// What a response means is for the modules above.
package protocol Transport: Sendable {
    /// Throws `CancellationError` never: a cancelled transfer is `TransferError.cancelled`.
    func send(_ request: TransferRequest) async throws(TransferError) -> TransferResponse
}

package enum Method: String, Sendable {
    case get = "GET", post = "POST", put = "PUT", patch = "PATCH", delete = "DELETE"
}

package struct TransferRequest: Sendable {
    package var method: Method
    /// Absolute, `https` (`http` where the destination policy allows it).
    package var url: String
    package var fields: HeaderFields
    /// Fields whose values are secrets (`Authorization`, mostly): sent to the origin of `url` alone, never logged.
    package var credentials: [CredentialField]
    package var body: Body?
    package var limits: TransferLimits
    package var redirects: RedirectPolicy

    package init(
        _ method: Method, _ url: String, fields: HeaderFields = [:], credentials: [CredentialField] = [],
        body: Body? = nil, limits: TransferLimits = TransferLimits(), redirects: RedirectPolicy = .refuse
    ) {
        self.method = method
        self.url = url
        self.fields = fields
        self.credentials = credentials
        self.body = body
        self.limits = limits
        self.redirects = redirects
    }

    package struct CredentialField: Sendable, CustomStringConvertible, CustomReflectable {
        package var name: String
        /// Kept out of every description.
        package var value: String
        package var description: String { "\(name): [redacted]" }
        package var customMirror: Mirror { Mirror(self, children: []) }

        package init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    package struct Body: Sendable, CustomStringConvertible, CustomReflectable {
        package var contentType: String
        /// May hold secrets; kept out of every description.
        package var bytes: [UInt8]
        package var description: String { "\(contentType), \(bytes.count) bytes" }
        package var customMirror: Mirror { Mirror(self, children: []) }

        package init(contentType: String, bytes: [UInt8]) {
            self.contentType = contentType
            self.bytes = bytes
        }
    }
}

extension TransferRequest: CustomStringConvertible, CustomReflectable {
    /// Method and URL without query: queries, bodies and credential fields may hold secrets.
    package var description: String { "\(method.rawValue) \(url.prefix { $0 != "?" && $0 != "#" })" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}

/// Bounds of one exchange.
package struct TransferLimits: Sendable, Equatable {
    /// For looking the name up, opening a connection and agreeing on TLS.
    package var connect: Duration
    /// From the call of `send` to the last byte in: the wait for a connection and redirects are included.
    package var total: Duration
    /// Counted after decompression.
    package var bodyBytesMax: Int
    /// All header lines, those of interim responses too.
    package var headerBytesMax: Int

    package init(
        connect: Duration = .seconds(5), total: Duration = .seconds(30), bodyBytesMax: Int = 1 << 20,
        headerBytesMax: Int = 64 << 10
    ) {
        self.connect = connect
        self.total = total
        self.bodyBytesMax = bodyBytesMax
        self.headerBytesMax = headerBytesMax
    }
}

/// What to do with a 3xx that carries a `Location`.
package enum RedirectPolicy: Sendable, Equatable {
    /// The 3xx is the response (token endpoints: RFC 9700 forbids carrying a POST elsewhere).
    case refuse
    /// Followed for GET alone, at most `limit` times; credential fields are dropped for good once the origin changes,
    /// and every hop passes the destination policy again.
    case follow(limit: Int)
}

package struct TransferResponse: Sendable {
    package var status: Int
    package var fields: HeaderFields
    package var body: [UInt8]

    package init(status: Int, fields: HeaderFields = [:], body: [UInt8] = []) {
        self.status = status
        self.fields = fields
        self.body = body
    }
}

extension TransferResponse: CustomStringConvertible, CustomReflectable {
    package var description: String { "\(status), \(body.count) bytes" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}

/// Header fields in the order in which they stood; names compare without case (RFC 9110 §5.1).
package struct HeaderFields: Sendable, Equatable, ExpressibleByDictionaryLiteral, Sequence {
    private var fields: [Field] = []

    package struct Field: Sendable, Equatable {
        package var name: String
        package var value: String
    }

    package init() {}
    package init(dictionaryLiteral elements: (String, String)...) {
        fields = elements.map { Field(name: $0.0, value: $0.1) }
    }

    /// The first field of that name; setting replaces them all.
    package subscript(name: String) -> String? {
        get { fields.first { Self.same($0.name, name) }?.value }
        set {
            fields.removeAll { Self.same($0.name, name) }
            if let newValue { fields.append(Field(name: name, value: newValue)) }
        }
    }

    package mutating func append(name: String, value: String) { fields.append(Field(name: name, value: value)) }
    mutating func reserveCapacity(_ count: Int) { fields.reserveCapacity(count) }

    /// Joins a folded line to the field before it.
    mutating func extendLast(with text: String) {
        if let last = fields.indices.last { fields[last].value += " " + text }
    }
    package func values(_ name: String) -> [String] { fields.filter { Self.same($0.name, name) }.map(\.value) }
    package func makeIterator() -> IndexingIterator<[Field]> { fields.makeIterator() }
    package var isEmpty: Bool { fields.isEmpty }

    static func same(_ left: String, _ right: String) -> Bool {
        left.utf8.count == right.utf8.count
            && left.utf8.elementsEqual(right.utf8) { $0.lowercased == $1.lowercased }
    }
}

/// Why there is no response. None of these says anything about a grant. Messages name the host, never a query, a
/// field value or a body.
package enum TransferError: Error, Equatable {
    /// The URL, or the address it resolves to, is not one this program may reach.
    case destinationRefused(reason: String)
    case nameNotResolved(host: String)
    /// No connection, or none within the connect limit, or none free within the total limit: nothing was sent.
    case connectionFailed(host: String)
    case tlsFailed(host: String, reason: String)
    /// The total limit passed after the request had begun to leave.
    case timedOut(host: String)
    case responseTooLarge(limit: Int)
    case tooManyRedirects
    /// Cut short, not HTTP, or otherwise unreadable.
    case malformedResponse(reason: String)
    case cancelled
    /// The request itself is impossible: a field with a line break, a URL that does not parse.
    case invalidRequest(reason: String)

    /// Whether the request may have reached the server: only then can a single-use token have been spent.
    package var mayHaveBeenSent: Bool {
        switch self {
        case .destinationRefused, .nameNotResolved, .connectionFailed, .tlsFailed, .invalidRequest: false
        case .timedOut, .responseTooLarge, .tooManyRedirects, .malformedResponse, .cancelled: true
        }
    }
}
