import Accounts
import OAuth
import Testing

@testable import Transfer

/// The answers of a token endpoint that never become a response: the three cases of OAuth's `token_edge_cases.json`
/// whose verdict is the transport's, by their names there.
@Suite(.timeLimit(.minutes(10))) struct TokenAnswerTests {
    private func refresh(
        at server: LoopbackServer, limits: TransferLimits = TransferLimits()
    ) async throws -> TransferError? {
        let client = ClientRegistration(
            clientID: "client-EXAMPLE", clientSecret: Secret("secret-EXAMPLE"), authentication: .clientSecretBasic,
            redirectURI: "https://rollcall.example/callback/op")
        var request = RefreshTokenGrant.tokenRequest(
            refreshToken: Secret("EXAMPLE"),
            server: AuthorizationServer(
                authorizationEndpoint: server.url("/authorize"), tokenEndpoint: server.url("/token")), client: client,
            dialect: TokenDialect(), moment: Moment(now: SystemTime().now(), random: SystemRandom()))
        request.limits = limits
        let transport = try makeTransport()
        do throws(TransferError) {
            let response = try await transport.send(request)
            Issue.record("answered with \(response.status)")
            return nil
        } catch { return error }
    }

    @Test func `security 36, 37: error_description_10mb`() async throws {
        let body = #"{"error":"invalid_grant","error_description":""# + String(repeating: "A", count: 10 << 20) + #""}"#
        let server = try LoopbackServer.answering(
            .response("400 Bad Request", ["Content-Type: application/json"], body))
        defer { server.stop() }
        let error = try #require(try await refresh(at: server))
        #expect(error == .responseTooLarge(limit: 1 << 20))
        #expect(error.mayHaveBeenSent)
    }

    @Test func `security 36: content_length_too_long`() async throws {
        let server = try LoopbackServer { connection in
            guard connection.readRequest() != nil else { return }
            connection.write(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
                    + #"{"access_token":"t","token_type":"Bearer"}"#)
        }
        defer { server.stop() }
        let error = try #require(try await refresh(at: server))
        guard case .malformedResponse = error else {
            Issue.record("\(error)")
            return
        }
        #expect(error.mayHaveBeenSent)
    }

    @Test func `security 36, 38: slow_body`() async throws {
        let server = try LoopbackServer { connection in
            guard connection.readRequest() != nil else { return }
            connection.write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10000\r\n\r\n")
            connection.trickle([0x20], everyMilliseconds: 20)
        }
        defer { server.stop() }
        let error = try #require(try await refresh(at: server, limits: TransferLimits(total: .milliseconds(500))))
        #expect(error == .timedOut(host: "127.0.0.1"))
        #expect(error.mayHaveBeenSent)
    }
}
