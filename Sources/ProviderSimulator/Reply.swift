/// An answer before it goes onto the wire.
struct Reply: Sendable {
    var status: Int
    /// Lower-case names. `content-length` is added on the way out.
    var fields: [(name: String, value: String)]
    var body: [UInt8]
    var ending = Ending.whole

    enum Ending: Sendable, Equatable {
        case whole
        /// The head promises the whole body, half of it is sent, and the connection closes.
        case cut
        /// The connection closes without a byte.
        case unanswered
        /// After the body, this many spaces more.
        case padded(Int)
    }

    init(_ status: Int, fields: [(name: String, value: String)] = [], body: [UInt8] = []) {
        self.status = status
        self.fields = fields
        self.body = body
    }

    static func json(
        _ status: Int, _ body: JSONText, fields: [(name: String, value: String)] = [],
        contentType: String = "application/json"
    ) -> Reply {
        Reply(status, fields: [("content-type", contentType)] + fields, body: body.bytes)
    }

    static func text(_ status: Int, _ text: String, contentType: String = "text/plain; charset=UTF-8") -> Reply {
        Reply(status, fields: [("content-type", contentType)], body: Array(text.utf8))
    }

    static func html(_ status: Int, _ page: String) -> Reply {
        Reply(
            status,
            fields: [
                ("content-type", "text/html; charset=utf-8"), ("cache-control", "no-store"),
                ("referrer-policy", "no-referrer"), ("x-frame-options", "DENY"),
                ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:"),
            ], body: Array(page.utf8))
    }

    /// 303 for a browser, to `uri` with `parameters` added to its query.
    static func redirect(_ uri: String, _ parameters: [(String, String)] = []) -> Reply {
        let separator = uri.utf8.contains(UInt8(ascii: "?")) ? "&" : "?"
        let location = parameters.isEmpty ? uri : uri + separator + Form(parameters).text
        return Reply(303, fields: [("location", location), ("cache-control", "no-store")])
    }

    func field(_ name: String) -> String? { fields.first { $0.name == name }?.value }

    mutating func set(_ name: String, _ value: String) {
        fields.removeAll { $0.name == name }
        fields.append((name, value))
    }
}
