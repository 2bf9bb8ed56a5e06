import Hummingbird
import Logging
import Synchronization

/// The simulator's HTTP side: routing by prefix, counting, waiting, and the ways of ending that are not an answer.
struct SimulatorServer: HTTPResponder {
    struct Context: InitializableFromSource {
        let close: @Sendable () -> Void

        init(source: ApplicationRequestContextSource) {
            let channel = source.channel
            close = { channel.close(promise: nil) }
        }
    }

    private struct CutShort: Error {}

    let simulator: ProviderSimulator

    func respond(to request: Request, context: Context) async throws -> Response {
        let target = request.head.path ?? "/"
        let halves = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let path = halves[0]
        var call = Call(
            method: request.head.method.rawValue, path: path, query: halves.count > 1 ? halves[1] : "",
            head: request.headers, body: [], base: simulator.baseURL, now: simulator.configuration.now())
        if call.method != "GET" {
            call.body = Array((try await request.body.collect(upTo: 1 << 20)).readableBytesView)
        }
        guard let (site, rest) = simulator.site(at: path) else {
            return response(simulator.control(call), context)
        }
        call.path = rest
        guard let endpoint = site.rules.endpoint(call.method, rest) else {
            return response(.json(404, ["message": "404: Not Found", "code": 0]), context)
        }
        let reply = await exchange(site, endpoint, call)
        simulator.log(
            "\(site.name): \(endpoint.rawValue) \(reply.ending == .unanswered ? "unanswered" : "\(reply.status)")")
        return response(reply, context)
    }

    private func exchange(_ site: Site, _ endpoint: SimulatedEndpoint, _ call: Call) async -> Reply {
        let (fault, latency) = site.state.withLock { state in
            state.begin(endpoint)
            return (state.takeFault(for: endpoint), state.switches.latency)
        }
        var reply: Reply
        do {
            if latency > 0 { try await Task.sleep(for: .milliseconds(latency)) }
            if let fault {
                try await wait(fault, site)
                reply = site.answer(endpoint, call, meeting: fault)
            } else {
                reply = site.answer(endpoint, call)
            }
        } catch {
            // The simulator is stopping: whoever waits gets nothing.
            reply = Reply(0)
            reply.ending = .unanswered
        }
        let status = reply.ending == .unanswered ? nil : reply.status
        site.state.withLock { $0.end(endpoint, status: status) }
        return reply
    }

    private func wait(_ fault: SimulatedFault, _ site: Site) async throws {
        switch fault.kind {
        case .delay, .latency:
            var milliseconds = fault.milliseconds ?? 1000
            if let jitter = fault.jitter, jitter > 0 {
                milliseconds += site.state.withLock { Int.random(in: 0...jitter, using: &$0.generator) }
            }
            try await Task.sleep(for: .milliseconds(milliseconds))
        case .hang: try await Task.sleep(for: .milliseconds(fault.milliseconds ?? 600_000))
        default: break
        }
    }

    private func response(_ reply: Reply, _ context: Context) -> Response {
        var fields = HTTPFields()
        for (name, value) in reply.fields {
            guard let name = HTTPFields.Element.Name(name) else { continue }
            fields.append(.init(name: name, value: value))
        }
        let status = HTTPResponse.Status(code: reply.status)
        let body = reply.body
        switch reply.ending {
        case .whole:
            if reply.status == 204 || reply.status == 304 {
                return Response(status: status, headers: fields, body: ResponseBody { try await $0.finish(nil) })
            }
            return Response(status: status, headers: fields, body: .init(byteBuffer: ByteBuffer(bytes: body)))
        case .unanswered:
            context.close()
            return Response(status: .internalServerError)
        case .cut:
            let half = ByteBuffer(bytes: body.prefix(body.count / 2))
            return Response(
                status: status, headers: fields,
                body: ResponseBody(contentLength: max(body.count, 1)) { writer in
                    try await writer.write(half)
                    throw CutShort()
                })
        case .padded(let count):
            return Response(
                status: status, headers: fields,
                body: ResponseBody(contentLength: body.count + count) { writer in
                    try await writer.write(ByteBuffer(bytes: body))
                    let spaces = ByteBuffer(repeating: UInt8(ascii: " "), count: 65_536)
                    var left = count
                    while left > 0 {
                        try await writer.write(spaces.getSlice(at: 0, length: min(left, 65_536)) ?? spaces)
                        left -= 65_536
                    }
                    try await writer.finish(nil)
                })
        }
    }
}
