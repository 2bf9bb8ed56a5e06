import Accounts
import HTTPTypes
import Hummingbird
import JSON

/// JSON on its way out, some of it already text: stored claims and profiles are never decoded to be sent.
enum JSONOutput {
    case value(JSONValue)
    /// A complete JSON text, passed on as it is.
    case stored(String)
    case object([(String, JSONOutput)])
    case array([JSONOutput])

    static func string(_ text: String) -> JSONOutput { .value(.string(text)) }
    static func string(_ text: String?) -> JSONOutput { text.map { .value(.string($0)) } ?? .value(.null) }
    static func time(_ time: Timestamp?) -> JSONOutput { string(time?.rfc3339) }
    static func strings(_ texts: [String]) -> JSONOutput { .array(texts.map { .value(.string($0)) }) }

    var text: String {
        var text = ""
        write(to: &text)
        return text
    }

    private func write(to text: inout String) {
        switch self {
        case .value(let value): text += value.text
        case .stored(let stored): text += stored
        case .object(let members):
            text += "{"
            for (index, member) in members.enumerated() {
                if index > 0 { text += "," }
                text += JSONValue.string(member.0).text + ":"
                member.1.write(to: &text)
            }
            text += "}"
        case .array(let elements):
            text += "["
            for (index, element) in elements.enumerated() {
                if index > 0 { text += "," }
                element.write(to: &text)
            }
            text += "]"
        }
    }

    /// A list as every list is answered.
    static func list(_ items: [JSONOutput], next: String?) -> JSONOutput {
        .object([("data", .array(items)), ("next", .string(next.map(Cursor.text)))])
    }
}

extension Response {
    /// What an API call answers. Nothing of it may be kept by a shared cache or shown to another key's holder.
    static func json(_ output: JSONOutput, status: HTTPResponse.Status = .ok, fields: HTTPFields = [:]) -> Response {
        var fields = fields
        fields[.contentType] = "application/json"
        if fields[.cacheControl] == nil { fields[.cacheControl] = "private, no-store" }
        return Response(
            status: status, headers: fields, body: ResponseBody(byteBuffer: ByteBuffer(string: output.text)))
    }
}
