import Accounts
import HTTPTypes
import Hummingbird
import Logging
import Store
import Telemetry

/// Registers routes and remembers them, so that a known path under a wrong method is a 405 and the OpenAPI document
/// can be held against what is served.
struct RouteTable {
    typealias Handler = @Sendable (Request, WebContext) async throws -> Response
    typealias APIHandler = @Sendable (APIRequest) async throws -> Response

    private(set) var list = RouteList()
    private var pending: [(method: HTTPRequest.Method, path: String, handler: Handler)] = []
    let authentication: APIAuthentication

    init(authentication: APIAuthentication) { self.authentication = authentication }

    mutating func on(_ method: HTTPRequest.Method, _ path: String, use handler: @escaping Handler) {
        list.add(method, path)
        pending.append((method, path, handler))
    }

    /// GET, and HEAD that runs the same and leaves out the body (RFC 9110 §9.3.2).
    mutating func get(_ path: String, use handler: @escaping Handler) {
        on(.get, path, use: handler)
        on(.head, path) { request, context in try await handler(request, context).createHeadResponse() }
    }

    /// A call of the HTTP interface, for keys that carry `scope`.
    mutating func api(
        _ method: HTTPRequest.Method, _ path: String, _ scope: APIKeyScope, use handler: @escaping APIHandler
    ) {
        let authentication = authentication
        let authorized: Handler = { request, context in
            let key = try authentication.key(for: request, context, scope: scope)
            let actor = AuditActor(key.id.rawValue, origin: AuditActor.current.origin)
            return try await AuditActor.$current.withValue(actor) {
                try await handler(APIRequest(http: request, context: context, key: key))
            }
        }
        if method == .get { get(path, use: authorized) } else { on(method, path, use: authorized) }
    }

    func router(site: Site, accessLog: Logger, telemetry: Telemetry) -> Router<WebContext> {
        let router = Router(context: WebContext.self)
        router.add(middleware: Conventions(routes: list, site: site, accessLog: accessLog, telemetry: telemetry))
        for route in pending { router.on(RouterPath(route.path), method: route.method, use: route.handler) }
        return router
    }
}

/// Paths and their methods, read-only once the server is put together.
struct RouteList: Sendable {
    struct Entry: Sendable {
        let path: String
        let segments: [Substring]
        var methods: [HTTPRequest.Method]
    }

    private(set) var entries: [Entry] = []

    mutating func add(_ method: HTTPRequest.Method, _ path: String) {
        if let index = entries.firstIndex(where: { $0.path == path }) {
            entries[index].methods.append(method)
        } else {
            entries.append(Entry(path: path, segments: path.split(separator: "/"), methods: [method]))
        }
    }

    /// The pattern that took a request; `nil` where none did, whatever the router calls that.
    func pattern(_ endpoint: String?) -> String? {
        endpoint.flatMap { endpoint in entries.contains { $0.path == endpoint } ? endpoint : nil }
    }

    /// What a path can be asked for with; empty where nothing is there.
    func methods(at path: String) -> [HTTPRequest.Method] {
        let asked = path.split(separator: "/")
        return entries.first { entry in
            entry.segments.count == asked.count
                && zip(entry.segments, asked).allSatisfy { $0.first == "{" || $0 == $1 }
        }?.methods ?? []
    }

    /// Where errors are pages.
    static func isForBrowsers(_ path: String) -> Bool {
        path.hasPrefix("/link/") || path.hasPrefix("/callback/") || path == "/linked"
    }
}
