import Foundation
import Testing

@testable import Transfer

/// Serialized: each case makes keys and starts a Python.
@Suite(.serialized, .timeLimit(.minutes(10)))
final class TLSTests {
    private let certificates: Certificates
    private let server: LoopbackServer

    init() throws {
        certificates = try Certificates()
        server = try LoopbackServer.answering(.response("200 OK", [], "{}"))
    }

    deinit {
        server.stop()
        certificates.remove()
    }

    @Test func `trusts a certificate of the operator's own authority`() async throws {
        try certificates.issue("good")
        let front = try TLSFront(server, certificates, certificate: "good")
        defer { front.stop() }
        let transport = try makeTransport(caFile: certificates.caFile)
        for host in ["127.0.0.1", "localhost"] {
            let response = try await transport.send(TransferRequest(.get, front.url(host: host)))
            #expect(response.status == 200)
        }
        #expect(server.requests.count == 2)
    }

    @Test(arguments: ["unknown authority", "self-signed", "wrong host", "expired"])
    func `security 32: refuses a certificate that proves nothing`(fault: String) async throws {
        var caFile: String? = certificates.caFile
        switch fault {
        case "unknown authority":
            try certificates.issue("bad")
            caFile = nil
        case "self-signed": try certificates.issueSelfSigned("bad")
        case "wrong host": try certificates.issue("bad", for: "DNS:other.example,IP:127.0.0.2")
        default: try certificates.issue("bad", days: -1)
        }
        let front = try TLSFront(server, certificates, certificate: "bad")
        defer { front.stop() }
        let failure = try await makeTransport(caFile: caFile).failure(
            TransferRequest(
                .get, front.url("/?code=EXAMPLE-CANARY"),
                credentials: [.init(name: "Authorization", value: "Bearer EXAMPLE-CANARY")]))
        guard case .tlsFailed("127.0.0.1", let reason)? = failure else {
            Issue.record("\(String(describing: failure))")
            return
        }
        #expect(!reason.isEmpty && !reason.contains("EXAMPLE-CANARY"))
        #expect(failure?.mayHaveBeenSent == false)
        #expect(server.requests.isEmpty)
    }

    @Test(arguments: [TLSFront.Version.tls1_2, .tls1_3])
    func `speaks TLS 1.2 and 1.3`(version: TLSFront.Version) async throws {
        try certificates.issue("good")
        let front = try TLSFront(server, certificates, certificate: "good", version: version)
        defer { front.stop() }
        let response = try await makeTransport(caFile: certificates.caFile).send(TransferRequest(.get, front.url()))
        #expect(response.status == 200)
    }

    @Test func `security 32: speaks nothing older than TLS 1.2`() async throws {
        try certificates.issue("good")
        let front = try TLSFront(server, certificates, certificate: "good", version: .tls1_1)
        defer { front.stop() }
        // The server does speak TLS 1.1 with a client that is willing.
        try run(
            "curl", "-sf", "--cacert", certificates.caFile, "--ciphers", "ALL:@SECLEVEL=0", "--tlsv1.0", front.url())
        let failure = try await makeTransport(caFile: certificates.caFile).failure(
            TransferRequest(.get, front.url()))
        guard case .tlsFailed? = failure else {
            Issue.record("\(String(describing: failure))")
            return
        }
        #expect(server.requests.count == 1)
    }

    @Test func `does not count the wait for a free connection as connecting`() async throws {
        let server = try LoopbackServer { connection in
            guard let request = connection.readRequest() else { return }
            if request.path == "/slow" {
                var nothing: [pollfd] = []
                poll(&nothing, 0, 5000)
            }
            connection.write(.response("200 OK", ["Connection: close"], "{}"))
        }
        defer { server.stop() }
        try certificates.issue("good")
        let front = try TLSFront(server, certificates, certificate: "good")
        defer { front.stop() }
        let transport = try makeTransport(caFile: certificates.caFile, connectionsPerHostMax: 1)
        let url = front.url("/slow")
        let slow = Task { try await transport.send(TransferRequest(.get, url)).status }
        await server.requests(atLeast: 1)
        let response = try await transport.send(
            TransferRequest(.get, front.url("/next"), limits: TransferLimits(connect: .seconds(4))))
        #expect(response.status == 200)
        #expect(try await slow.value == 200)
    }

    @Test func `does not count as connecting what holds up its thread`() async throws {
        try certificates.issue("good")
        let front = try TLSFront(server, certificates, certificate: "good")
        defer { front.stop() }
        let transport = try makeTransport(caFile: certificates.caFile)
        let request = TransferRequest(.get, front.url(), limits: TransferLimits(connect: .seconds(1)))
        let status = try await withTaskExecutorPreference(transport.executor) {
            async let response = transport.send(request)
            // It has begun, and no handshake is over so soon.
            for _ in 0..<10 { await Task.yield() }
            usleep(1_200_000)
            return try await response.status
        }
        #expect(status == 200)
    }

    @Test func `refuses a redirect from https to http`() async throws {
        let plain = try LoopbackServer.answering(.response())
        let moving = try LoopbackServer.answering(.response("302 Found", ["Location: \(plain.url())"]))
        defer {
            plain.stop()
            moving.stop()
        }
        try certificates.issue("good")
        let front = try TLSFront(moving, certificates, certificate: "good")
        defer { front.stop() }
        let failure = try await makeTransport(caFile: certificates.caFile).failure(
            TransferRequest(.get, front.url(), redirects: .follow(limit: 3)))
        #expect(failure == .destinationRefused(reason: "a redirect from https to http"))
        #expect(plain.acceptedCount == 0)
    }

    @Test func `sends many HTTP 2 requests at once over one connection`() async throws {
        let count = 20
        // Answers only when all of them are open: with one connection each, or one after another, nobody is answered.
        let server = try LoopbackServer { connection in
            guard var peer = HTTP2Peer(connection) else { return }
            var streams: [UInt32] = []
            while streams.count < count, let stream = peer.nextRequest() { streams.append(stream) }
            for stream in streams { peer.answer(stream, body: "stream \(stream)") }
            connection.waitForClose()
        }
        defer { server.stop() }
        try certificates.issue("good")
        let front = try TLSFront(server, certificates, certificate: "good", protocols: ["h2"])
        defer { front.stop() }
        let transport = try makeTransport(caFile: certificates.caFile)
        let url = front.url()
        let bodies = try await withThrowingTaskGroup { group in
            for _ in 0..<count {
                group.addTask {
                    let response = try await transport.send(TransferRequest(.get, url))
                    #expect(response.status == 200)
                    #expect(response.fields["content-type"] == nil)
                    return String(decoding: response.body, as: UTF8.self)
                }
            }
            return try await group.reduce(into: Set<String>()) { $0.insert($1) }
        }
        #expect(bodies.count == count)
        #expect(server.acceptedCount == 1)
    }
}

/// As much of RFC 9113 as it takes to see requests come in and answer them; header blocks are not read.
struct HTTP2Peer {
    private let connection: Connection

    init?(_ connection: Connection) {
        self.connection = connection
        guard connection.read(24) == Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) else { return nil }
        send(type: 4, flags: 0, stream: 0, payload: [])  // SETTINGS
    }

    /// The stream of the next request without a body; `nil` at the end of the connection.
    mutating func nextRequest() -> UInt32? {
        while let head = connection.read(9) {
            let length = head[..<3].reduce(0) { $0 << 8 | Int($1) }
            guard connection.read(length) != nil else { return nil }
            if head[3] == 4, head[4] & 1 == 0 { send(type: 4, flags: 1, stream: 0, payload: []) }
            if head[3] == 1 { return head[5...].reduce(0) { $0 << 8 | UInt32($1) } }  // HEADERS
        }
        return nil
    }

    func answer(_ stream: UInt32, body: String) {
        send(type: 1, flags: 4, stream: stream, payload: [0x88])  // :status 200 from the static table
        send(type: 0, flags: 1, stream: stream, payload: Array(body.utf8))
    }

    private func send(type: UInt8, flags: UInt8, stream: UInt32, payload: [UInt8]) {
        let length = [16, 8, 0].map { UInt8(truncatingIfNeeded: payload.count >> $0) }
        let stream = [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: stream >> $0) }
        connection.write(length + [type, flags] + stream + payload)
    }
}
