import Accounts
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import NIOHTTP1
import Store
import Telemetry

/// What every answer has in common: a request id, problems instead of thrown errors, and one line in the access log.
/// The log says which route was asked for, never the path or the query, for both may hold what is secret.
struct Conventions: RouterMiddleware {
    let routes: RouteList
    let site: Site
    let accessLog: Logger
    let telemetry: Telemetry
    let requestIDs = RequestIDs()

    func handle(
        _ request: Request, context: WebContext, next: (Request, WebContext) async throws -> Response
    ) async throws -> Response {
        let begun = ContinuousClock.now
        var context = context
        context.requestID = requestIDs.id(for: request)
        var response: Response
        do {
            try Self.checkTarget(request)
            // Whoever calls with a key is named by it as soon as the key is found good.
            let actor = AuditActor("user", origin: site.client(of: request, context)?.description)
            response = try await AuditActor.$current.withValue(actor) { [context] in try await next(request, context) }
        } catch {
            response = answer(to: error, request, context)
        }
        for cookie in context.notes.cookies {
            response.headers.append(HTTPField(name: .setCookie, value: cookie))
        }
        response.headers[.requestID] = context.requestID
        response.headers[.xContentTypeOptions] = "nosniff"
        let route = routes.pattern(context.endpointPath)
        log(request, context, response, route, begun)
        telemetry.answered(
            method: request.method.rawValue, route: route, status: response.status.code,
            after: .now - begun)
        return response
    }

    private static func checkTarget(_ request: Request) throws(Problem) {
        guard let target = request.head.path?.utf8 else { throw .routeNotFound }
        if target.count > ConnectionLimits.targetBytesMax {
            throw Problem(
                .uriTooLong, .uriTooLong, "The address is too long",
                detail: "At most \(ConnectionLimits.targetBytesMax) bytes are read.")
        }
        // Only origin form (RFC 9112 §3.2.1), each resource under one spelling.
        var previous: UInt8 = 0
        for byte in target {
            if byte == 0x3f { break }
            if byte == 0x2f, previous == 0x2f { throw .routeNotFound }
            previous = byte
        }
        guard target.first == 0x2f, target.count == 1 || previous != 0x2f else { throw .routeNotFound }
    }

    private func answer(to error: any Error, _ request: Request, _ context: WebContext) -> Response {
        let problem = Problem.describing(error, allowed: routes.methods(at: request.uri.path))
        if let cause = problem.cause {
            var metadata: Logger.Metadata = ["request_id": "\(context.requestID)"]
            metadata["error"] = "\(cause)"
            accessLog.error("request failed", metadata: metadata)
        }
        let path = request.uri.path
        let forBrowser = RouteList.isForBrowsers(path) || problem.code == .routeNotFound && request.prefersHTML
        var response =
            forBrowser
            ? site.page(for: problem, requestID: context.requestID) : problem.response(requestID: context.requestID)
        if request.method == .head { response = response.createHeadResponse() }
        return response
    }

    private func log(
        _ request: Request, _ context: WebContext, _ response: Response, _ route: String?,
        _ begun: ContinuousClock.Instant
    ) {
        accessLog.info(
            "request",
            metadata: {
                var metadata: Logger.Metadata = [
                    "method": "\(request.method.rawValue)",
                    "route": "\(route ?? "-")",
                    "status": "\(response.status.code)",
                    "milliseconds": "\((ContinuousClock.now - begun).wholeMicroseconds / 1000)",
                    "request_id": "\(context.requestID)",
                ]
                if let client = site.client(of: request, context) { metadata["client"] = "\(client)" }
                for (name, value) in context.notes.all { metadata[name] = "\(value)" }
                return metadata
            }())
    }
}

extension Duration {
    fileprivate var wholeMicroseconds: Int64 {
        components.seconds * 1_000_000 + components.attoseconds / 1_000_000_000_000
    }
}

extension Request {
    /// Whether `text/html` is among what the client would rather have: a browser, not a program.
    var prefersHTML: Bool {
        headers[values: .accept].contains { $0.split(separator: ",").contains { $0.contains("text/html") } }
    }
}

extension Problem {
    /// The one place where errors from below become answers.
    static func describing(_ error: any Error, allowed: [HTTPRequest.Method]) -> Problem {
        switch error {
        case let problem as Problem: problem
        case is HTTPParserError:
            Problem(
                .badRequest, .malformedRequest, "Not HTTP", detail: "The body can't be read as HTTP/1.1 frames it.",
                headers: [.connection: "close"])
        case is NIOTooManyBytesError: .contentTooLarge(limit: ConnectionLimits.bodyBytesMax)
        case let error as HTTPError where error.status == .notFound && allowed.isEmpty: .routeNotFound
        case let error as HTTPError where error.status == .notFound:
            .methodNotAllowed(allowed)
        case is StoreError:
            Problem(
                .serviceUnavailable, .storageUnavailable, "The database can't be used now",
                detail: "Nothing was changed. The log has the reason under the request id.",
                headers: [.retryAfter: "5"], cause: error)
        default: .internalError(error)
        }
    }
}
