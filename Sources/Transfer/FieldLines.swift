/// The field lines of a request as libcurl takes them. A line break in a name or a value would be a field of its own
/// (CWE-113), so nothing is written that RFC 9110 §5 does not allow.
struct FieldLines {
    /// Those for any origin first, then those for the origin of the request alone.
    private(set) var all: [String] = []
    private var openCount = 0

    var withoutCredentials: [String] { Array(all[..<openCount]) }

    /// Throws `.invalidRequest`; the reason names the field, never its value.
    init(_ request: TransferRequest) throws(TransferError) {
        if request.method == .get, request.body != nil {
            throw .invalidRequest(reason: "GET with a body")  // RFC 9110 §9.3.1: it means nothing
        }
        if let body = request.body {
            all.append(try Self.line(name: "Content-Type", value: body.contentType))
            all.append("Expect:")  // no pause for a 100 that few servers send
        } else if request.method == .post {
            all.append("Content-Type:")  // libcurl would claim a form
        }
        // Put among the ordinary fields by mistake, some are kept from other origins all the same.
        var misplaced: [String] = []
        for field in request.fields {
            let line = try Self.line(name: field.name, value: field.value)
            try Self.checkSettable(field.name, value: field.value, hasBody: request.body != nil)
            if Self.confidential.contains(where: { HeaderFields.same($0, field.name) }) {
                misplaced.append(line)
            } else {
                all.append(line)
            }
        }
        openCount = all.count
        all += misplaced
        for field in request.credentials {
            let line = try Self.line(name: field.name, value: field.value)
            try Self.checkSettable(field.name, value: field.value, hasBody: request.body != nil)
            all.append(line)
        }
    }

    /// What frames the message or belongs to one connection is libcurl's to write (RFC 9110 §7.6.1).
    private static let reserved = [
        "connection", "content-length", "expect", "host", "keep-alive", "proxy-authorization", "proxy-connection",
        "te", "trailer", "transfer-encoding", "upgrade",
    ]
    private static let confidential = ["authorization", "cookie"]

    private static func checkSettable(_ name: String, value: String, hasBody: Bool) throws(TransferError) {
        if let reserved = reserved.first(where: { HeaderFields.same($0, name) }) {
            throw .invalidRequest(reason: "the field \(reserved) may not be set")
        }
        if hasBody, HeaderFields.same(name, "content-type") {
            throw .invalidRequest(reason: "the field content-type may not be set")
        }
        if value.consists(of: blankBytes), HeaderFields.same(name, "user-agent") {
            throw .invalidRequest(reason: "an empty user-agent")
        }
    }

    private static func line(name: String, value: String) throws(TransferError) -> String {
        guard !name.isEmpty, name.consists(of: tokenBytes) else {
            throw .invalidRequest(reason: "a field name that is not a token")
        }
        guard isFieldValue(value) else {
            throw .invalidRequest(reason: "a control character in the field \(name)")
        }
        // libcurl reads `Name:` as "leave it out" and `Name;` as "send it empty".
        return value.consists(of: blankBytes) ? name + ";" : name + ": " + value
    }

    static func isFieldValue(_ value: String) -> Bool { value.consists(of: valueBytes) }

    private static let tokenBytes = ByteSet { $0.isASCIILetterOrDigit || "!#$%&'*+-.^_`|~".utf8.contains($0) }
    private static let valueBytes = ByteSet { $0 >= 0x20 && $0 != 0x7f || $0 == 0x09 }
    private static let blankBytes = ByteSet { $0 == 0x20 || $0 == 0x09 }
}
