import Foundation
import Testing

@testable import Transfer

/// What changes the environment runs in a process of its own.
@Suite(.timeLimit(.minutes(10))) struct ProxyTests {
    @Test func `asks the operator's proxy for everything`() async throws {
        let proxy = try LoopbackServer.answering(.response("200 OK", [], "from the proxy"))
        defer { proxy.stop() }
        let transport = try makeTransport(allowing: ["idp.corp"], proxy: "http://127.0.0.1:\(proxy.port)")
        let response = try await transport.send(TransferRequest(.get, "http://idp.corp/users/1"))
        #expect(response.body == Array("from the proxy".utf8))
        #expect(proxy.requests.first?.startLine == "GET http://idp.corp/users/1 HTTP/1.1")
    }

    @Test func `sends an https request nowhere when the proxy refuses the tunnel`() async throws {
        let proxy = try LoopbackServer.answering(.response("403 Forbidden", ["X-Proxy: 1"]))
        defer { proxy.stop() }
        let transport = try makeTransport(allowing: [], proxy: "http://127.0.0.1:\(proxy.port)")
        let failure = await transport.failure(
            TransferRequest(
                .get, "https://api.example.com/users?code=EXAMPLE",
                credentials: [.init(name: "Authorization", value: "Bearer EXAMPLE")]))
        #expect(failure == .connectionFailed(host: "api.example.com"))
        let request = try #require(proxy.requests.first)
        #expect(request.startLine == "CONNECT api.example.com:443 HTTP/1.1")
        #expect(request.values("authorization").isEmpty)
    }

    @Test func `keeps the proxy's own fields out of a response through a tunnel`() async throws {
        let certificates = try Certificates()
        defer { certificates.remove() }
        try certificates.issue("good", for: "DNS:api.example.com")
        let server = try LoopbackServer.answering(.response("200 OK", ["X-Server: 1"], "{}"))
        let front = try TLSFront(server, certificates, certificate: "good")
        let proxy = try LoopbackServer.tunnel(to: front.port)
        defer {
            server.stop()
            front.stop()
            proxy.stop()
        }
        let transport = try makeTransport(
            allowing: [], caFile: certificates.caFile, proxy: "http://user:EXAMPLE@127.0.0.1:\(proxy.port)")
        let response = try await transport.send(
            TransferRequest(
                .get, "https://api.example.com/", credentials: [.init(name: "Authorization", value: "Bearer EXAMPLE")]))
        #expect(response.fields["x-server"] == "1")
        #expect(response.fields["x-proxy"] == nil)
        #expect(proxy.requests.first?.values("authorization").isEmpty == true)
        #expect(server.requests.first?.values("authorization") == ["Bearer EXAMPLE"])
        #expect(server.requests.first?.values("proxy-authorization").isEmpty == true)
    }

    @Test(arguments: [
        "https://10.0.0.1/", "https://[::1]/", "https://localhost/", "https://metadata.google.internal/",
        "http://example.com/", "https://intranet/",
    ])
    func `still refuses private destinations before asking the proxy`(url: String) async throws {
        let proxy = try LoopbackServer.answering(.response())
        defer { proxy.stop() }
        let transport = try makeTransport(allowing: [], proxy: "http://127.0.0.1:\(proxy.port)")
        let failure = await transport.failure(TransferRequest(.get, url))
        guard case .destinationRefused? = failure else {
            Issue.record("\(String(describing: failure))")
            return
        }
        #expect(proxy.acceptedCount == 0)
    }

    @Test func `reads no proxy from the environment`() async {
        await #expect(processExitsWith: .success) {
            let proxy = try LoopbackServer.answering(.response("200 OK", [], "from the proxy"))
            let server = try LoopbackServer.answering(.response("200 OK", [], "from the server"))
            for name in ["http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
                setenv(name, "http://127.0.0.1:\(proxy.port)", 1)
            }
            let response = try await makeTransport().send(TransferRequest(.get, server.url()))
            #expect(response.body == Array("from the server".utf8))
            #expect(proxy.acceptedCount == 0)
        }
    }

    @Test func `reads no exceptions to its proxy from the environment`() async {
        await #expect(processExitsWith: .success) {
            setenv("no_proxy", "*", 1)
            let proxy = try LoopbackServer.answering(.response("200 OK", [], "from the proxy"))
            let transport = try makeTransport(proxy: "http://127.0.0.1:\(proxy.port)")
            let response = try await transport.send(TransferRequest(.get, "http://localhost:1/"))
            #expect(response.body == Array("from the proxy".utf8))
        }
    }

    @Test func `reads no .netrc from the environment`() async {
        await #expect(processExitsWith: .success) {
            let home = FileManager.default.temporaryDirectory.appending(path: "transfer-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: home, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(at: home) }  // a temporary folder may stay behind
            try Data("default login EXAMPLE password EXAMPLE\n".utf8).write(to: home.appending(path: ".netrc"))
            setenv("HOME", home.path, 1)
            let server = try LoopbackServer.answering(.response())
            _ = try await makeTransport().send(TransferRequest(.get, server.url()))
            #expect(server.requests.first?.values("authorization") == [])
        }
    }
}

extension LoopbackServer {
    /// A proxy that answers CONNECT and passes bytes to a port of this machine, whatever host was asked for.
    fileprivate static func tunnel(to port: Int) throws -> LoopbackServer {
        try LoopbackServer { connection in
            guard connection.readRequest() != nil else { return }
            connection.write("HTTP/1.1 200 Connected\r\nX-Proxy: 1\r\n\r\n")
            connection.pass(toPort: port)
        }
    }
}
