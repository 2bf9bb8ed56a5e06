import Testing

@testable import Transfer

@Suite(.timeLimit(.minutes(10))) struct RedirectTests {
    private func redirecting(_ status: String, _ location: String) -> String {
        .response(status, ["Location: \(location)"], "moved")
    }

    @Test(arguments: ["301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"])
    func `security 31: gives a redirect back where none was asked to be followed`(status: String) async throws {
        let server = try LoopbackServer.answering(redirecting(status, "/next"))
        defer { server.stop() }
        let transport = try makeTransport()
        for method in [Method.get, .post] {
            let response = try await transport.send(TransferRequest(method, server.url()))
            #expect(response.status == Int(status.prefix(3)))
            #expect(response.fields["location"] == "/next")
        }
        #expect(server.requests.count == 2)
    }

    @Test(arguments: ["301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"])
    func `follows a GET with its credentials within one origin`(status: String) async throws {
        let server = try LoopbackServer.answering(byPath: [
            "/a/b?x=1": redirecting(status, "../c?d=e#f"), "/c?d=e": .response("200 OK", [], "there"),
        ])
        defer { server.stop() }
        let response = try await makeTransport().send(
            TransferRequest(
                .get, server.url("/a/b?x=1"), fields: ["Accept": "text/plain"],
                credentials: [.init(name: "Authorization", value: "Bearer EXAMPLE")], redirects: .follow(limit: 1)))
        #expect(response.body == Array("there".utf8))
        #expect(server.requests.map(\.path) == ["/a/b?x=1", "/c?d=e"])
        for request in server.requests {
            #expect(request.values("authorization") == ["Bearer EXAMPLE"])
            #expect(request.values("accept") == ["text/plain"])
            #expect(request.values("referer").isEmpty)
        }
    }

    @Test(arguments: [Method.post, .put, .patch, .delete])
    func `never carries anything but a GET elsewhere`(method: Method) async throws {
        let server = try LoopbackServer.answering(redirecting("307 Temporary Redirect", "/next"))
        defer { server.stop() }
        let response = try await makeTransport().send(
            TransferRequest(method, server.url(), redirects: .follow(limit: 5)))
        #expect(response.status == 307)
        #expect(server.requests.count == 1)
    }

    @Test func `security 31: drops credentials for good once the origin changes`() async throws {
        let other = try LoopbackServer { connection in
            while let request = connection.readRequest() {
                let home = request.path.dropFirst("/away?".count)
                connection.write(.response("302 Found", ["Location: http://127.0.0.1:\(home)/home"]))
            }
        }
        let home = try LoopbackServer { connection in
            while let request = connection.readRequest() {
                let away = request.path.dropFirst("/start?".count).split(separator: "&")
                connection.write(
                    request.path == "/home"
                        ? .response("200 OK", [], "{}")
                        : .response("302 Found", ["Location: http://127.0.0.1:\(away[0])/away?\(away[1])"]))
            }
        }
        defer {
            home.stop()
            other.stop()
        }
        let response = try await makeTransport().send(
            TransferRequest(
                .get, home.url("/start?\(other.port)&\(home.port)"), fields: ["Cookie": "a=EXAMPLE"],
                credentials: [.init(name: "Authorization", value: "Bearer EXAMPLE")], redirects: .follow(limit: 5)))
        #expect(response.status == 200)
        #expect(home.requests[0].values("authorization") == ["Bearer EXAMPLE"])
        #expect(home.requests[0].values("cookie") == ["a=EXAMPLE"])
        for request in [other.requests[0], home.requests[1]] {
            #expect(request.values("authorization").isEmpty)
            #expect(request.values("cookie").isEmpty)
        }
    }

    @Test func `follows as often as it may and not once more`() async throws {
        let server = try LoopbackServer.answering(redirecting("302 Found", "/again"))
        defer { server.stop() }
        let transport = try makeTransport()
        for limit in [0, 1, 4] {
            let before = server.requests.count
            let failure = await transport.failure(
                TransferRequest(.get, server.url(), redirects: .follow(limit: limit)))
            #expect(failure == .tooManyRedirects)
            #expect(server.requests.count == before + limit + 1)
        }
    }

    @Test(arguments: [
        "http://example.com/", "https://10.0.0.1/", "https://[::1]/", "https://localhost./", "file:///etc/passwd",
        "gopher://127.0.0.1:70/", "https://user@example.com/", "//169.254.169.254/latest/meta-data", "https://0x0a.1/",
        "https://rebound.example/",
    ])
    func `asks the destination policy before every hop`(location: String) async throws {
        let server = try LoopbackServer.answering(redirecting("302 Found", location))
        defer { server.stop() }
        let transport = try makeTransport(
            allowing: ["127.0.0.1"], hostAddresses: ["rebound.example:443:10.0.0.1"])
        let failure = await transport.failure(TransferRequest(.get, server.url(), redirects: .follow(limit: 5)))
        guard case .destinationRefused? = failure else {
            Issue.record("\(location): \(String(describing: failure))")
            return
        }
        #expect(server.requests.count == 1)
    }

    @Test(arguments: ["304 Not Modified", "300 Multiple Choices", "305 Use Proxy", "201 Created", "200 OK"])
    func `follows no Location of any other status`(status: String) async throws {
        let server = try LoopbackServer.answering(
            redirecting(status, "/next").replacing("Content-Length: 5\r\n", with: "Content-Length: 0\r\n").replacing(
                "moved", with: ""))
        defer { server.stop() }
        let response = try await makeTransport().send(
            TransferRequest(.get, server.url(), redirects: .follow(limit: 5)))
        #expect(response.status == Int(status.prefix(3)))
        #expect(server.requests.count == 1)
    }

    @Test func `gives a redirect without a Location back`() async throws {
        let server = try LoopbackServer.answering(.response("302 Found"))
        defer { server.stop() }
        let response = try await makeTransport().send(
            TransferRequest(.get, server.url(), redirects: .follow(limit: 5)))
        #expect(response.status == 302)
    }

    @Test(arguments: ["http://[", "https://exa mple.com:x/", "http://%/", "https://ex\u{e4}mple.com/", "https://a..b/"])
    func `calls a Location that leads nowhere a malformed response`(location: String) async throws {
        let server = try LoopbackServer.answering(redirecting("302 Found", location))
        defer { server.stop() }
        let failure = try await makeTransport().failure(
            TransferRequest(.get, server.url(), redirects: .follow(limit: 5)))
        guard case .malformedResponse? = failure else {
            Issue.record("\(location): \(String(describing: failure))")
            return
        }
        #expect(server.requests.count == 1)
    }

    @Test func `encodes what a Location holds beyond ASCII`() async throws {
        let server = try LoopbackServer.answering(byPath: [
            "/": redirecting("302 Found", "/caf\u{e9} au lait"),
            "/caf%c3%a9%20au%20lait": .response("200 OK", [], "{}"),
        ])
        defer { server.stop() }
        let response = try await makeTransport().send(
            TransferRequest(.get, server.url(), redirects: .follow(limit: 1)))
        #expect(response.status == 200)
    }
}
