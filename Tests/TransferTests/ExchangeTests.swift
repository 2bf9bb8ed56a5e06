import Foundation
import Testing

@testable import Transfer

@Suite(.timeLimit(.minutes(10))) struct ExchangeTests {
    @Test func `answers with status, fields in order and body`() async throws {
        let server = try LoopbackServer.answering(
            .response("201 Created", ["X-One: 1", "Set-Cookie: a=1", "Set-Cookie:b=2 ", "X-Empty:"], #"{"id":1}"#))
        defer { server.stop() }
        let response = try await makeTransport().send(TransferRequest(.get, server.url("/users/@me?a=b")))
        #expect(response.status == 201)
        #expect(response.fields.map(\.name) == ["Content-Length", "X-One", "Set-Cookie", "Set-Cookie", "X-Empty"])
        #expect(response.fields.values("set-cookie") == ["a=1", "b=2"])
        #expect(response.fields["x-empty"] == "")
        #expect(response.body == Array(#"{"id":1}"#.utf8))
        #expect(server.requests.map(\.startLine) == ["GET /users/@me?a=b HTTP/1.1"])
    }

    @Test(arguments: [Method.post, .put, .patch, .delete])
    func `sends a body once, with its type and length`(method: Method) async throws {
        let server = try LoopbackServer.answering(.response())
        defer { server.stop() }
        let body = Array("grant_type=authorization_code&code=EXAMPLE".utf8)
        let response = try await makeTransport().send(
            TransferRequest(
                method, server.url("/token"),
                body: .init(contentType: "application/x-www-form-urlencoded", bytes: body)))
        #expect(response.status == 200)
        let request = try #require(server.requests.first)
        #expect(request.startLine == "\(method.rawValue) /token HTTP/1.1")
        #expect(request.body == body)
        #expect(request.values("content-type") == ["application/x-www-form-urlencoded"])
        #expect(request.values("content-length") == ["\(body.count)"])
        #expect(request.values("expect").isEmpty)
    }

    @Test func `sends every body whole from a handle used before`() async throws {
        let server = try LoopbackServer.answering(.response())
        defer { server.stop() }
        let transport = try makeTransport()
        for text in ["first, and longer", "second", "", "fourth"] {
            _ = try await transport.send(
                TransferRequest(.post, server.url(), body: .init(contentType: "text/plain", bytes: Array(text.utf8))))
        }
        #expect(
            server.requests.map { String(decoding: $0.body, as: UTF8.self) }
                == ["first, and longer", "second", "", "fourth"])
        #expect(transport.easyHandleCount == 1)
    }

    @Test func `sends a body of two megabytes without waiting for a 100`() async throws {
        let server = try LoopbackServer.answering(.response())
        defer { server.stop() }
        let body = (0..<2 << 20).map { UInt8(truncatingIfNeeded: $0) }
        _ = try await makeTransport().send(
            TransferRequest(.post, server.url(), body: .init(contentType: "application/octet-stream", bytes: body)))
        let request = try #require(server.requests.first)
        #expect(request.body == body)
        #expect(request.values("expect").isEmpty)
    }

    @Test(arguments: [Method.post, .put, .patch, .delete])
    func `sends methods without a body and claims no type for it`(method: Method) async throws {
        let server = try LoopbackServer.answering(.response("204 No Content"))
        defer { server.stop() }
        let response = try await makeTransport().send(TransferRequest(method, server.url("/revoke")))
        #expect(response.status == 204)
        let request = try #require(server.requests.first)
        #expect(request.startLine == "\(method.rawValue) /revoke HTTP/1.1")
        #expect(request.values("content-type").isEmpty)
        #expect(request.body.isEmpty)
    }

    @Test func `sends its user agent, fields and credentials, and nothing from the environment`() async throws {
        let server = try LoopbackServer.answering(.response("200 OK", ["Set-Cookie: session=EXAMPLE; Path=/"]))
        defer { server.stop() }
        let transport = try makeTransport()
        let request = TransferRequest(
            .get, server.url(), fields: ["Accept": "application/json", "X-Empty": ""],
            credentials: [.init(name: "Authorization", value: "Bearer EXAMPLE")])
        _ = try await transport.send(request)
        _ = try await transport.send(request)
        for request in server.requests {
            #expect(request.values("user-agent") == ["rollcall-tests/1"])
            #expect(request.values("accept") == ["application/json"])
            #expect(request.values("authorization") == ["Bearer EXAMPLE"])
            #expect(request.lines.contains("X-Empty:"))
            #expect(request.values("cookie").isEmpty)
            #expect(request.values("referer").isEmpty)
        }
        #expect(server.requests.count == 2)
    }

    @Test func `sends many long fields, then few, from one handle`() async throws {
        let server = try LoopbackServer.answering(.response())
        defer { server.stop() }
        let transport = try makeTransport()
        for count in [0, 1, 8, 9, 40, 2] {
            var fields = HeaderFields()
            for number in 0..<count {
                fields.append(name: "X-\(number)", value: String(repeating: "\(number % 10)", count: 700 + number))
            }
            _ = try await transport.send(TransferRequest(.get, server.url(), fields: fields))
            let sent = try #require(server.requests.last).lines.filter { $0.hasPrefix("X-") }
            #expect(sent == fields.map { "\($0.name): \($0.value)" })
        }
    }

    @Test func `lets a request name its own user agent`() async throws {
        let server = try LoopbackServer.answering(.response())
        defer { server.stop() }
        _ = try await makeTransport().send(TransferRequest(.get, server.url(), fields: ["user-agent": "linux:app:1"]))
        #expect(server.requests.first?.values("user-agent") == ["linux:app:1"])
    }

    @Test func `forgets interim responses and trailers`() async throws {
        let server = try LoopbackServer.answering(
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                + "Trailer: X-Late\r\nX-Folded: one\r\n two\r\n\r\n2\r\nhi\r\n0\r\nX-Late: 1\r\n\r\n")
        defer { server.stop() }
        let response = try await makeTransport().send(TransferRequest(.get, server.url()))
        #expect(response.status == 200)
        #expect(response.fields["link"] == nil)
        #expect(response.fields["x-late"] == nil)
        #expect(response.fields["x-folded"] == "one two")
        #expect(response.body == Array("hi".utf8))
    }

    @Test func `uses a connection again`() async throws {
        let server = try LoopbackServer.answering(.response("200 OK", [], "{}"))
        defer { server.stop() }
        let transport = try makeTransport()
        for _ in 0..<20 { _ = try await transport.send(TransferRequest(.get, server.url())) }
        #expect(server.requests.count == 20)
        #expect(server.acceptedCount == 1)
        #expect(transport.easyHandleCount == 1)
    }

    @Test func `keeps within the connections allowed to one host`() async throws {
        let server = try LoopbackServer.answering(.response("200 OK", [], "{}"))
        defer { server.stop() }
        let transport = try makeTransport(connectionsPerHostMax: 3)
        await withTaskGroup { group in
            for _ in 0..<40 {
                group.addTask {
                    let response = try? await transport.send(TransferRequest(.get, server.url()))
                    #expect(response?.status == 200)
                }
            }
        }
        #expect(server.requests.count == 40)
        #expect(server.acceptedCount <= 3)
    }

    @Test func `does not let a body of one exchange reach the next`() async throws {
        let server = try LoopbackServer.answering(byPath: [
            "/a": .response("200 OK", ["X-A: 1"], "first"), "/b": .response("200 OK", [], ""),
        ])
        defer { server.stop() }
        let transport = try makeTransport()
        let post = TransferRequest(.post, server.url("/a"), body: .init(contentType: "text/plain", bytes: [1, 2, 3]))
        #expect(try await transport.send(post).body == Array("first".utf8))
        let second = try await transport.send(TransferRequest(.get, server.url("/b")))
        #expect(second.body.isEmpty)
        #expect(second.fields["x-a"] == nil)
        #expect(server.requests[1].startLine == "GET /b HTTP/1.1")
        #expect(server.requests[1].body.isEmpty)
        #expect(server.requests[1].values("content-type").isEmpty)
    }
}
