import Foundation
import Testing

@testable import Transfer

@Suite(.timeLimit(.minutes(10))) struct FailureTests {
    @Test func `says that a connection was refused, and that nothing was sent`() async throws {
        let port = try DeafPort()
        let failure = try await makeTransport().failure(
            TransferRequest(.get, "http://127.0.0.1:\(port.number)/"))
        #expect(failure == .connectionFailed(host: "127.0.0.1"))
        #expect(failure?.mayHaveBeenSent == false)
    }

    @Test func `says that a name does not resolve`() async throws {
        let failure = try await makeTransport().failure(TransferRequest(.get, "https://nowhere.invalid/"))
        #expect(failure == .nameNotResolved(host: "nowhere.invalid"))
        #expect(failure?.mayHaveBeenSent == false)
    }

    @Test(arguments: [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a size\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 8\r\n\r\nnot gzip",
        "SSH-2.0-OpenSSH_9\r\n",
        "plain text\n",
        "",
    ])
    func `calls an answer that is cut short or not HTTP malformed`(answer: String) async throws {
        let server = try LoopbackServer { connection in
            if connection.readRequest() != nil { connection.write(answer) }
        }
        defer { server.stop() }
        let failure = try await makeTransport().failure(TransferRequest(.get, server.url()))
        guard case .malformedResponse? = failure else {
            Issue.record("\(String(describing: failure)) for \(answer)")
            return
        }
        #expect(failure?.mayHaveBeenSent == true)
    }

    @Test func `never sends a body twice when a reused connection dies`() async throws {
        let server = try LoopbackServer { connection in
            guard let first = connection.readRequest() else { return }
            connection.write(.response())
            if first.path == "/first", connection.readRequest() != nil { connection.reset() }
        }
        defer { server.stop() }
        let transport = try makeTransport()
        _ = try await transport.send(TransferRequest(.get, server.url("/first")))
        let failure = await transport.failure(
            TransferRequest(
                .post, server.url("/token"), body: .init(contentType: "text/plain", bytes: Array("EXAMPLE".utf8))))
        #expect(failure?.mayHaveBeenSent == true)
        #expect(server.requests.map(\.path) == ["/first", "/token"])
    }

    @Test func `sends a body over a new connection where the old one was closed in between`() async throws {
        let server = try LoopbackServer { connection in
            if connection.readRequest() != nil { connection.write(.response()) }
        }
        defer { server.stop() }
        let transport = try makeTransport()
        _ = try await transport.send(TransferRequest(.get, server.url()))
        await server.allClosed()
        let response = try await transport.send(
            TransferRequest(.post, server.url(), body: .init(contentType: "text/plain", bytes: [1])))
        #expect(response.status == 200)
        #expect(server.requests.count == 2)
    }

    @Test func `opens a connection of its own for a POST without a body`() async throws {
        let server = try LoopbackServer.answering(.response())
        defer { server.stop() }
        let transport = try makeTransport()
        _ = try await transport.send(TransferRequest(.get, server.url()))
        _ = try await transport.send(TransferRequest(.post, server.url()))
        #expect(server.acceptedCount == 2)
    }

    @Test func `asks again on a new connection where a GET met a dying one`() async throws {
        let server = try LoopbackServer { connection in
            guard let first = connection.readRequest() else { return }
            connection.write(.response("200 OK", [], "{}"))
            if first.path == "/first", connection.readRequest() != nil { connection.reset() }
        }
        defer { server.stop() }
        let transport = try makeTransport()
        _ = try await transport.send(TransferRequest(.get, server.url("/first")))
        let response = try await transport.send(TransferRequest(.get, server.url("/second")))
        #expect(response.status == 200)
        #expect(server.requests.map(\.path) == ["/first", "/second", "/second"])
    }

    @Test func `keeps credentials, queries and bodies out of every error and description`() async throws {
        let silent = try LoopbackServer { connection in _ = connection.readRequest() }
        defer { silent.stop() }
        let transport = try makeTransport()
        let canary = "EXAMPLE-CANARY"
        func request(_ url: String, _ change: (inout TransferRequest) -> Void = { _ in }) -> TransferRequest {
            var request = TransferRequest(
                .post, url + "?token=\(canary)", fields: ["X-Field": canary],
                credentials: [.init(name: "Authorization", value: "Bearer \(canary)")],
                body: .init(contentType: "text/plain", bytes: Array(canary.utf8)))
            change(&request)
            return request
        }
        let requests = [
            request(silent.url("/a")),
            request("http://127.0.0.1:1/"),
            request("https://10.0.0.1/"),
            request("https://user:\(canary)@example.com/"),
            request("https://example.com/ \(canary)"),
            request("\(canary)://example.com/"),
            request(silent.url("/a")) { $0.credentials[0].value += "\r\nX: \(canary)" },
            request(silent.url("/a")) { $0.fields["Host"] = canary },
            request(silent.url("/a")) { $0.method = .get },
        ]
        for request in requests {
            let failure = try #require(await transport.failure(request))
            #expect(!"\(failure)".contains(canary))
            #expect(!String(reflecting: failure).contains(canary))
            var dumped = ""
            dump(request, to: &dumped)
            dump(request.credentials, to: &dumped)
            dump(request.body, to: &dumped)
            #expect(!"\(dumped)\(request.credentials)\(String(describing: request.body))".contains("Bearer"))
            #expect(!"\(request)".contains("?"))
        }
    }

    @Test(arguments: [
        (OutgoingConfiguration(userAgent: ""), OutgoingConfigurationError.userAgentUnusable),
        (OutgoingConfiguration(userAgent: "a\r\nb"), .userAgentUnusable),
        (OutgoingConfiguration(userAgent: "a", caFile: "/nowhere/ca.pem"), .caFileUnreadable(path: "/nowhere/ca.pem")),
        (OutgoingConfiguration(userAgent: "a", proxy: "socks5://127.0.0.1:1"), .proxyUnusable),
        (OutgoingConfiguration(userAgent: "a", proxy: "127.0.0.1:1"), .proxyUnusable),
        (OutgoingConfiguration(userAgent: "a", allowedPrivateHosts: ["127.0.0.1:80"]), .hostUnusable("127.0.0.1:80")),
        (OutgoingConfiguration(userAgent: "a", allowedPrivateHosts: ["10.0.0.0/8"]), .hostUnusable("10.0.0.0/8")),
        (OutgoingConfiguration(userAgent: "a", allowedPrivateHosts: [""]), .hostUnusable("")),
        (OutgoingConfiguration(userAgent: "a", connectionsPerHostMax: 0), .connectionLimitUnusable),
    ])
    func `refuses settings that can't work`(configuration: OutgoingConfiguration, error: OutgoingConfigurationError) {
        #expect(throws: error) { try CurlTransport(configuration) }
    }
}
