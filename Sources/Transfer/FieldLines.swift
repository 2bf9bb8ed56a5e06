/// The field lines of a request as libcurl takes them. A line break in a name or a value would be a field of its own
/// (CWE-113), so nothing is written that RFC 9110 §5 does not allow.
struct FieldLines {
    /// Lines for any origin.
    private(set) var open: [String] = []
    /// Lines for the origin of the request alone.
    private(set) var credentials: [String] = []

    /// Throws `.invalidRequest`; the reason names the field, never its value.
    init(_ request: TransferRequest) throws(TransferError) {
        if request.method == .get, request.body != nil {
            throw .invalidRequest(reason: "GET with a body")  // RFC 9110 §9.3.1: it means nothing
        }
        if let body = request.body {
            open.append(try Self.line(name: "Content-Type", value: body.contentType))
            open.append("Expect:")  // no pause for a 100 that few servers send
        } else if request.method == .post {
            open.append("Content-Type:")  // libcurl would claim a form
        }
        for field in request.fields {
            let line = try Self.line(name: field.name, value: field.value)
            let name = field.name.lowercased()
            try Self.checkSettable(name, hasBody: request.body != nil, value: field.value)
            // Put among the ordinary fields by mistake, they are kept from other origins all the same.
            if name == "authorization" || name == "cookie" { credentials.append(line) } else { open.append(line) }
        }
        for field in request.credentials {
            let line = try Self.line(name: field.name, value: field.value)
            try Self.checkSettable(field.name.lowercased(), hasBody: request.body != nil, value: field.value)
            credentials.append(line)
        }
    }

    /// What frames the message or belongs to one connection is libcurl's to write (RFC 9110 §7.6.1).
    private static let reserved: Set<String> = [
        "connection", "content-length", "expect", "host", "keep-alive", "proxy-authorization", "proxy-connection", "te",
        "trailer", "transfer-encoding", "upgrade",
    ]

    private static func checkSettable(_ name: String, hasBody: Bool, value: String) throws(TransferError) {
        if reserved.contains(name) || (hasBody && name == "content-type") {
            throw .invalidRequest(reason: "the field \(name) may not be set")
        }
        if name == "user-agent", value.utf8.allSatisfy({ $0 == 0x20 || $0 == 0x09 }) {
            throw .invalidRequest(reason: "an empty user-agent")
        }
    }

    private static func line(name: String, value: String) throws(TransferError) -> String {
        guard !name.isEmpty, name.utf8.allSatisfy({ tokenBytes[Int($0)] }) else {
            throw .invalidRequest(reason: "a field name that is not a token")
        }
        guard isFieldValue(value) else {
            throw .invalidRequest(reason: "a control character in the field \(name)")
        }
        // libcurl reads `Name:` as "leave it out" and `Name;` as "send it empty".
        return value.utf8.allSatisfy { $0 == 0x20 || $0 == 0x09 } ? name + ";" : name + ": " + value
    }

    static func isFieldValue(_ value: String) -> Bool {
        value.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f || $0 == 0x09 }
    }

    private static let tokenBytes: [Bool] = (0...255).map { byte in
        switch UInt8(byte) {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        case let byte: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }
}
