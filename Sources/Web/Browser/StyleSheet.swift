import Cryptography
import HTTPTypes
import Hummingbird

/// GET /assets/style.css: the one thing that a page loads.
struct StyleSheet: Sendable {
    private let body: ByteBuffer
    private let etag: String

    init(_ text: String) {
        body = ByteBuffer(string: text)
        etag = "\"" + Base64URL.encode(Digest.sha256(Array(text.utf8)).prefix(12)) + "\""
    }

    func response(_ request: Request, _: WebContext) async throws -> Response {
        var fields: HTTPFields = [.eTag: etag, .cacheControl: "public, max-age=3600"]
        if let list = request.headers[.ifNoneMatch], Preconditions.matches(list, etag) {
            return Response(status: .notModified, headers: fields)
        }
        fields[.contentType] = "text/css; charset=utf-8"
        return Response(status: .ok, headers: fields, body: ResponseBody(byteBuffer: body))
    }
}
