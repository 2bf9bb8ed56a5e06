import Foundation
import Testing

@testable import Transfer

@Suite(.timeLimit(.minutes(10))) struct LimitTests {
    private let clock = ContinuousClock()

    @Test func `security 38: ends a body that comes one byte at a time at the total deadline`() async throws {
        let server = try LoopbackServer { connection in
            guard connection.readRequest() != nil else { return }
            connection.write("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            connection.trickle([0x61], everyMilliseconds: 20)
        }
        defer { server.stop() }
        let transport = try makeTransport()
        let limits = TransferLimits(total: .milliseconds(300))
        var failure: TransferError?
        let elapsed = await clock.measure {
            failure = await transport.failure(TransferRequest(.get, server.url(), limits: limits))
        }
        #expect(failure == .timedOut(host: "127.0.0.1"))
        #expect(elapsed >= .milliseconds(299))
        await server.allClosed()
    }

    @Test func `security 38: ends header lines that never stop at the total deadline`() async throws {
        let server = try LoopbackServer { connection in
            guard connection.readRequest() != nil else { return }
            connection.trickle(Array("HTTP/1.1 100 Continue\r\n\r\n".utf8), everyMilliseconds: 20)
        }
        defer { server.stop() }
        let failure = try await makeTransport().failure(
            TransferRequest(.get, server.url(), limits: TransferLimits(total: .milliseconds(200))))
        #expect(failure == .timedOut(host: "127.0.0.1"))
    }

    @Test func `counts redirects into one total deadline`() async throws {
        let server = try LoopbackServer { connection in
            while connection.readRequest() != nil {
                var nothing: [pollfd] = []
                poll(&nothing, 0, 60)
                connection.write(.response("302 Found", ["Location: /again"]))
            }
        }
        defer { server.stop() }
        let transport = try makeTransport()
        // A minute would pass until the limit of redirects ended it, with another error.
        let failure = await transport.failure(
            TransferRequest(
                .get, server.url(), limits: TransferLimits(total: .milliseconds(250)), redirects: .follow(limit: 1000)))
        #expect(failure?.mayHaveBeenSent == true)
        #expect(failure == .timedOut(host: "127.0.0.1"))
    }

    @Test func `security 38: gives up a handshake that does not come at the connect deadline, with nothing sent`()
        async throws
    {
        let server = try LoopbackServer { $0.waitForClose() }
        defer { server.stop() }
        let transport = try makeTransport()
        // Ten minutes would pass until the total deadline ended it: the suite's time limit is the watch.
        let failure = await transport.failure(
            TransferRequest(
                .get, "https://127.0.0.1:\(server.port)/",
                limits: TransferLimits(connect: .milliseconds(200), total: .seconds(600))))
        #expect(failure == .connectionFailed(host: "127.0.0.1"))
        #expect(failure?.mayHaveBeenSent == false)
    }

    @Test func `counts the wait for a connection into the total deadline`() async throws {
        let server = try LoopbackServer { connection in
            while connection.readRequest() != nil { connection.waitForClose() }
        }
        defer { server.stop() }
        let transport = try makeTransport(connectionsPerHostMax: 1)
        let first = Task { await transport.failure(TransferRequest(.get, server.url("/first"))) }
        await server.requests(atLeast: 1)
        let failure = await transport.failure(
            TransferRequest(.get, server.url("/second"), limits: TransferLimits(total: .milliseconds(200))))
        #expect(failure == .connectionFailed(host: "127.0.0.1"))
        #expect(server.requests.count == 1)
        first.cancel()
        #expect(await first.value == .cancelled)
    }

    @Test(arguments: [true, false])
    func `does not count the wait for a free connection as connecting`(keepsAlive: Bool) async throws {
        let server = try LoopbackServer { connection in
            while let request = connection.readRequest() {
                if request.path == "/slow" {
                    var nothing: [pollfd] = []
                    poll(&nothing, 0, 3000)
                }
                connection.write(.response("200 OK", keepsAlive ? [] : ["Connection: close"], "{}"))
                if !keepsAlive { return }
            }
        }
        defer { server.stop() }
        let transport = try makeTransport(connectionsPerHostMax: 1)
        let slow = Task { try await transport.send(TransferRequest(.get, server.url("/slow"))).status }
        await server.requests(atLeast: 1)
        let response = try await transport.send(
            TransferRequest(.get, server.url("/next"), limits: TransferLimits(connect: .seconds(2))))
        #expect(response.status == 200)
        #expect(try await slow.value == 200)
        #expect(server.acceptedCount == (keepsAlive ? 1 : 2))
    }

    @Test func `security 37: takes a body of exactly the limit and not one byte more`() async throws {
        let server = try LoopbackServer.answering(byPath: [
            "/fits": .response("200 OK", [], String(repeating: "a", count: 1000)),
            "/over": .response("200 OK", [], String(repeating: "a", count: 1001)),
        ])
        defer { server.stop() }
        let transport = try makeTransport()
        let limits = TransferLimits(bodyBytesMax: 1000)
        let fits = try await transport.send(TransferRequest(.get, server.url("/fits"), limits: limits))
        #expect(fits.body.count == 1000)
        let failure = await transport.failure(TransferRequest(.get, server.url("/over"), limits: limits))
        #expect(failure == .responseTooLarge(limit: 1000))
    }

    @Test func `security 37: counts the body after decompression, bomb or not`() async throws {
        let bomb = try gzip(String(repeating: "0", count: 32 << 20))
        #expect(bomb.count < 100_000)
        let small = try gzip(#"{"id":"1"}"#)
        let server = try LoopbackServer { connection in
            while let request = connection.readRequest() {
                let body = request.path == "/bomb" ? bomb : small
                connection.write("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: \(body.count)\r\n\r\n")
                connection.write(body)
            }
        }
        defer { server.stop() }
        let transport = try makeTransport()
        let response = try await transport.send(TransferRequest(.get, server.url("/small")))
        #expect(response.body == Array(#"{"id":"1"}"#.utf8))
        #expect(server.requests.first?.values("accept-encoding").first?.contains("gzip") == true)
        let failure = await transport.failure(TransferRequest(.get, server.url("/bomb")))
        #expect(failure == .responseTooLarge(limit: 1 << 20))
        // The transport is none the worse for it.
        #expect(try await transport.send(TransferRequest(.get, server.url("/small"))).status == 200)
    }

    @Test(arguments: [90, 70_000, 400_000])
    func `ends a header larger than its limit, in many lines or few`(length: Int) async throws {
        let line = "X-Line: \(String(repeating: "a", count: length))\r\n"
        let server = try LoopbackServer { connection in
            guard connection.readRequest() != nil else { return }
            connection.write("HTTP/1.1 200 OK\r\n")
            for _ in 0..<1000 where connection.write(Array(line.utf8)) {}
            connection.write("Content-Length: 0\r\n\r\n")
        }
        defer { server.stop() }
        let failure = try await makeTransport().failure(TransferRequest(.get, server.url()))
        #expect(failure == .responseTooLarge(limit: 64 << 10))
    }

    private func gzip(_ text: String) throws -> [UInt8] {
        let file = FileManager.default.temporaryDirectory.appending(path: "transfer-\(UUID().uuidString)")
        try Data(text.utf8).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }  // a temporary file may stay behind
        return try run("gzip", "-9", "-c", file.path)
    }
}
