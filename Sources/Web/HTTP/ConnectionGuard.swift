import HTTPTypes
import JSON
import Logging
import NIOCore
import NIOHTTP1
import NIOHTTPTypes

/// What one connection may cost before a handler sees anything: it ends requests that don't parse with a problem
/// document rather than a bare 400, bounds the time in which a head and a body have to arrive, and closes after
/// answers that say so.
final class ConnectionGuard: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private let headTimeout: TimeAmount
    private let bodyTimeout: TimeAmount
    private let accessLog: Logger
    private var deadline: Scheduled<Void>?
    private var requestsUnanswered = 0
    private var isAnswering = false
    private var closesAfterAnswer = false
    private var isFinished = false

    /// - Parameters:
    ///   - headTimeout: from the opening of the connection to the end of the first request's head.
    ///   - bodyTimeout: from the end of a head to the end of its body.
    init(headTimeout: TimeAmount, bodyTimeout: TimeAmount, accessLog: Logger) {
        self.headTimeout = headTimeout
        self.bodyTimeout = bodyTimeout
        self.accessLog = accessLog
    }

    func handlerAdded(context: ChannelHandlerContext) { arm(context, headTimeout) }
    func handlerRemoved(context: ChannelHandlerContext) { deadline?.cancel() }

    func channelInactive(context: ChannelHandlerContext) {
        deadline?.cancel()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if isFinished { return }
        switch unwrapInboundIn(data) {
        case .head(let head):
            deadline?.cancel()
            deadline = nil
            // Where such a body ends nobody can know (RFC 9112 §6.3).
            if let coding = head.headerFields[.transferEncoding], coding.lowercased() != "chunked" {
                return refuse(context, .notHTTP)
            }
            requestsUnanswered += 1
            // Without either field there is no body (RFC 9112 §6.3), hence nothing to wait for.
            if head.headerFields[.contentLength] != nil || head.headerFields[.transferEncoding] != nil {
                arm(context, bodyTimeout)
            }
        case .body: break
        case .end:
            deadline?.cancel()
            deadline = nil
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if isFinished {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        switch unwrapOutboundIn(data) {
        case .head(let head):
            isAnswering = true
            if head.headerFields[.connection] == "close" { closesAfterAnswer = true }
            context.write(data, promise: promise)
        case .body:
            context.write(data, promise: promise)
        case .end:
            requestsUnanswered -= 1
            isAnswering = false
            guard closesAfterAnswer else { return context.write(data, promise: promise) }
            isFinished = true
            context.writeAndFlush(data, promise: promise)
            context.close(promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let error = error as? HTTPParserError, !isFinished else { return context.fireErrorCaught(error) }
        // An answer that is still to be written goes first, by the reader that gets this error.
        guard requestsUnanswered == 0 else { return context.fireErrorCaught(error) }
        refuse(context, error == .headerOverflow ? .headTooLarge : .notHTTP)
    }

    private func arm(_ context: ChannelHandlerContext, _ delay: TimeAmount) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        deadline = context.eventLoop.scheduleTask(in: delay) {
            let (handler, context) = bound.value
            handler.timedOut(context)
        }
    }

    private func timedOut(_ context: ChannelHandlerContext) {
        deadline = nil
        refuse(context, .tooSlow)
    }

    /// Answers and closes; only closes where the answer's place is taken.
    private func refuse(_ context: ChannelHandlerContext, _ problem: Problem) {
        isFinished = true
        guard requestsUnanswered == 0 || requestsUnanswered == 1 && !isAnswering && problem.code == .requestTimeout
        else { return context.close(promise: nil) }
        let id = RequestIDs().next()
        let body = ByteBuffer(string: problem.document(requestID: id))
        let head = HTTPResponse(
            status: problem.status,
            headerFields: [
                .contentType: "application/problem+json", .contentLength: String(body.readableBytes),
                .cacheControl: "no-store", .connection: "close", .requestID: id, .xContentTypeOptions: "nosniff",
            ])
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(body)), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        context.close(promise: nil)
        accessLog.info(
            "request",
            metadata: [
                "route": "-", "status": "\(problem.status.code)", "request_id": "\(id)", "milliseconds": "0",
                "client": "\(context.remoteAddress?.ipAddress ?? "-")",
            ])
    }
}

extension Problem {
    fileprivate static let notHTTP = Problem(
        .badRequest, .malformedRequest, "Not HTTP", detail: "The request can't be read as HTTP/1.1.")
    fileprivate static let headTooLarge = Problem(
        HTTPResponse.Status(code: 431, reasonPhrase: "Request Header Fields Too Large"), .headerFieldsTooLarge,
        "The head is too large",
        detail: "Request line and fields have to fit into \(ConnectionLimits.headBytesMax) bytes.")
    fileprivate static let tooSlow = Problem(
        .requestTimeout, .requestTimeout, "Too slow", detail: "The request did not arrive in time.")
}

/// What any request may cost.
enum ConnectionLimits {
    static let headBytesMax = 32 << 10
    static let headFieldsMax = 100
    /// Of a request's target; longer ones are refused before they are parsed.
    static let targetBytesMax = 16 << 10
    static let bodyBytesMax = 1 << 20
    static let formBytesMax = 16 << 10
    static let connectionsMax = 4096
}
