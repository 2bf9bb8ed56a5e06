import Accounts
import HTTPTypes
import Hummingbird
import Store

/// What load balancers and operators ask, without a key.
struct HealthRoutes: Sendable {
    let site: Site
    let readiness: Readiness

    /// GET /healthz: the process answers.
    func alive(_: Request, _: WebContext) async throws -> Response {
        Response(status: .ok, headers: Self.fields, body: ResponseBody(byteBuffer: Self.alive))
    }

    /// GET /readyz: the database can be used and its migrations are those of this program.
    func ready(_: Request, _: WebContext) async throws -> Response {
        try await readiness.check()
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

/// Whether the database can be used, looked at no more than once a second whoever asks: the look takes the writer's turn.
actor Readiness {
    static let goodFor = Duration.seconds(1)

    private let database: Database
    private let time: any TimeSource
    private var foundGoodAt: Timestamp?
    private var look: Task<Void, any Error>?

    init(database: Database, time: any TimeSource) {
        self.database = database
        self.time = time
    }

    func check() async throws {
        let now = time.now()
        if let last = foundGoodAt, last <= now, now - last < Self.goodFor { return }
        let look = look ?? Task { [database] in try await database.check() }
        self.look = look
        defer { self.look = nil }
        try await look.value
        foundGoodAt = now
    }
}
