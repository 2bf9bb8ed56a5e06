import Testing

@testable import Transfer

@Suite(.timeLimit(.minutes(10))) struct FieldTests {
    @Test(arguments: [
        ("X-A", "one\r\nX-B: two"), ("X-A", "one\n"), ("X-A", "\r"), ("X-A", "nul\0"), ("X-A", "\u{7f}"),
        ("X-A", "\u{1b}[31m"), ("", "one"), ("X A", "one"), ("X-A:", "one"), ("X-A\r\nX-B", "one"), ("X\0", "one"),
        ("Ä", "one"), ("X-A ", "one"),
    ])
    func `refuses field names and values that would break the line`(name: String, value: String) async throws {
        let server = try LoopbackServer.answering(.response())
        defer { server.stop() }
        let transport = try makeTransport()
        var fields = HeaderFields()
        fields.append(name: name, value: value)
        let field = await transport.failure(TransferRequest(.get, server.url(), fields: fields))
        let credential = await transport.failure(
            TransferRequest(.get, server.url(), credentials: [.init(name: name, value: value)]))
        for failure in [field, credential] {
            guard case .invalidRequest? = failure else {
                Issue.record("\(String(describing: failure))")
                return
            }
        }
        #expect(server.acceptedCount == 0)
    }

    @Test(arguments: [
        "Host", "host", "Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "TE", "Expect", "Trailer",
        "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Content-Type",
    ])
    func `refuses fields that are not a caller's to set`(name: String) throws {
        let body = TransferRequest.Body(contentType: "text/plain", bytes: [])
        for request in [
            TransferRequest(.post, "https://example.com/", fields: [name: "1"], body: body),
            TransferRequest(.post, "https://example.com/", credentials: [.init(name: name, value: "1")], body: body),
        ] {
            #expect(throws: TransferError.invalidRequest(reason: "the field \(name.lowercased()) may not be set")) {
                try FieldLines(request)
            }
        }
    }

    @Test(arguments: ["", " ", "\t"])
    func `refuses an empty user agent`(value: String) {
        #expect(throws: TransferError.self) {
            try FieldLines(TransferRequest(.get, "https://example.com/", fields: ["User-Agent": value]))
        }
    }

    @Test func `refuses a content type with a line break and a GET with a body`() {
        let bodies = [
            TransferRequest(.post, "https://a.example/", body: .init(contentType: "a\r\nX: b", bytes: [])),
            TransferRequest(.get, "https://a.example/", body: .init(contentType: "text/plain", bytes: [1])),
        ]
        for request in bodies { #expect(throws: TransferError.self) { try FieldLines(request) } }
    }

    @Test func `keeps Authorization and Cookie with the credentials, wherever they were put`() throws {
        let lines = try FieldLines(
            TransferRequest(
                .get, "https://a.example/",
                fields: ["AUTHORIZATION": "Bearer EXAMPLE", "Cookie": "a=b", "Accept": "a/b"],
                credentials: [.init(name: "X-Api-Key", value: "EXAMPLE")]))
        #expect(lines.withoutCredentials == ["Accept: a/b"])
        #expect(lines.all == ["Accept: a/b", "AUTHORIZATION: Bearer EXAMPLE", "Cookie: a=b", "X-Api-Key: EXAMPLE"])
    }

    @Test func `compares field names without case and keeps their order`() {
        var fields: HeaderFields = ["Content-Type": "a", "ETag": "b"]
        fields.append(name: "etag", value: "c")
        #expect(fields["ETAG"] == "b")
        #expect(fields.values("eTag") == ["b", "c"])
        fields["etag"] = "d"
        #expect(fields.map(\.value) == ["a", "d"])
        fields["content-type"] = nil
        #expect(fields.map(\.name) == ["etag"])
    }
}
