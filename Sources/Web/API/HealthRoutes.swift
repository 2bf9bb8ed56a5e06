import HTTPTypes
import Hummingbird
import Store

/// What load balancers and operators ask, without a key.
struct HealthRoutes: Sendable {
    let database: Database
    let site: Site

    /// GET /healthz: the process answers.
    func alive(_: Request, _: WebContext) async throws -> Response {
        Response(status: .ok, headers: Self.fields, body: ResponseBody(byteBuffer: Self.alive))
    }

    /// GET /readyz: the database can be used and its migrations are those of this program.
    func ready(_: Request, _: WebContext) async throws -> Response {
        try await database.check()
        return Response(status: .ok, headers: Self.fields, body: ResponseBody(byteBuffer: Self.ready))
    }

    /// GET /openapi.json
    func openAPI(_: Request, _: WebContext) async throws -> Response {
        var fields = Self.fields
        fields[.cacheControl] = "public, max-age=300"
        return Response(
            status: .ok, headers: fields, body: ResponseBody(byteBuffer: ByteBuffer(string: site.pages.openAPI)))
    }

    private static let fields: HTTPFields = [.contentType: "application/json", .cacheControl: "no-store"]
    private static let alive = ByteBuffer(string: #"{"status":"ok"}"#)
    private static let ready = ByteBuffer(string: #"{"status":"ready"}"#)
}
