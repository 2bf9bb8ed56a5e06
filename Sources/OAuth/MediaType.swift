/// `Content-Type` (RFC 9110 §8.3): the type in lower case, and the charset if it names one.
struct MediaType: Equatable {
    let type: String
    let charset: String?

    init(_ field: String) {
        let parts = field.split(separator: ";", omittingEmptySubsequences: false).map { Self.trimmed($0).lowercased() }
        type = parts.first ?? ""
        let charset = parts.dropFirst().first { $0.hasPrefix("charset=") }?.dropFirst("charset=".count)
        self.charset = charset.map { String($0.filter { $0 != "\"" }) }
    }

    var isJSON: Bool { type == "application/json" || type.hasPrefix("application/") && type.hasSuffix("+json") }

    /// The body as UTF-8; `nil` where the charset is one we do not know. JSON is always UTF-8 (RFC 8259 §8.1), yet some
    /// servers label and send Latin-1.
    func utf8(_ body: [UInt8]) -> [UInt8]? {
        switch charset {
        case nil, "utf-8", "utf8", "us-ascii": body
        case "iso-8859-1", "latin1":
            Array(String(String.UnicodeScalarView(body.map { Unicode.Scalar($0) })).utf8)
        default: nil
        }
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text.drop { $0 == " " || $0 == "\t" }
        while text.last == " " || text.last == "\t" { text.removeLast() }
        return text
    }
}
