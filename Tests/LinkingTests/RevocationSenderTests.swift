import Accounts
import Linking
import Providers
import Store
import TestSupport
import Testing
import Transfer

@Suite(.timeLimit(.minutes(10))) struct RevocationSenderTests {
    let time = VirtualTime()
    let fixture: Fixture

    init() throws { fixture = try Fixture(time: time) }

    /// An account unlinked, and its tokens in the outbox.
    @discardableResult
    private func pending(_ provider: ProviderID = alpha, refresh: String? = "EXAMPLE-refresh-1") async throws
        -> PendingRevocation
    {
        let id = try await fixture.link(fixture.credential(refresh: refresh), provider: provider)
        return try #require(try await fixture.database.accounts.unlink(id)?.revocation)
    }

    private func left() async throws -> Int { try await fixture.database.revocations.count() }

    /// Sends when it is due; returns how long that took.
    private func sendWhenDue() async throws -> Duration {
        let due = try #require(try await fixture.database.revocations.nextDueAt())
        let wait = due - time.now()
        time.advance(by: wait)
        await fixture.main.revocations.sendDue()
        return wait
    }

    @Test func `security 72: the refresh token goes first, then the access token`() async throws {
        fixture.site.on("/revoke", 200)
        await fixture.main.revocations.send(try await pending())
        let sent = fixture.transport.requests
        #expect(sent.map(\.url) == Array(repeating: "https://alpha.example/revoke", count: 2))
        #expect(sent.map { $0.form["token"] } == ["EXAMPLE-refresh-1", "EXAMPLE-access-1"])
        #expect(sent.map { $0.form["token_type_hint"] } == ["refresh_token", "access_token"])
        for request in sent {
            #expect(request.method == .post)
            #expect(request.credentials.map(\.name) == ["Authorization"])
            #expect(request.credentials.allSatisfy { $0.value.hasPrefix("Basic ") })
        }
        #expect(try await left() == 0)
    }

    @Test func `what is not due is left to the one who unlinked`() async throws {
        fixture.site.on("/revoke", 200)
        try await pending(refresh: nil)
        await fixture.main.revocations.sendDue()
        #expect(fixture.transport.requests.isEmpty)
        #expect(try await sendWhenDue() == RevocationOutbox.firstAttemptDelay)
        #expect(fixture.transport.requests.count == 1)
        #expect(try await left() == 0)
    }

    static let ends: [(String, ScriptedTransport.Answer)] = [
        ("200", .json(200, body: "")), ("204", .json(204, body: "")),
        ("dead already", .json(400, body: #"{"error":"invalid_token"}"#)),
        ("a grant that is gone", .json(400, body: #"{"error":"invalid_grant"}"#)),
        ("an unsupported type", .json(400, body: #"{"error":"unsupported_token_type"}"#)),
    ]

    @Test(arguments: ends.indices) func `security 71, 72: what can't change is not tried again`(index: Int) async throws
    {
        let (name, answer) = Self.ends[index]
        fixture.site.on("/revoke") { _ in answer }
        await fixture.main.revocations.send(try await pending())
        #expect(try await left() == 0, "\(name)")
        #expect(fixture.transport.requests.count == 2, "\(name)")
    }

    static let setbacks: [(String, ScriptedTransport.Answer)] = [
        ("503", .json(503, body: "")), ("500", .json(500, body: "{}")), ("408", .json(408, body: "")),
        ("a refused client", .json(401, body: #"{"error":"invalid_client"}"#)),
        ("a page", .json(404, ["Content-Type": "text/html"], "<html>")),
        ("a time-out", .failure(.timedOut(host: "alpha.example"))),
        ("no connection", .failure(.connectionFailed(host: "alpha.example"))),
    ]

    @Test(arguments: setbacks.indices) func `security 71: what may pass is tried again`(index: Int) async throws {
        let (name, answer) = Self.setbacks[index]
        fixture.site.on("/revoke") { _ in answer }
        await fixture.main.revocations.send(try await pending())
        #expect(try await left() == 1, "\(name)")
        #expect(fixture.transport.requests.count == 1, "\(name)")
        fixture.site.on("/revoke", 200)
        _ = try await sendWhenDue()
        #expect(try await left() == 0, "\(name)")
    }

    @Test func `security 71: pauses grow to six hours, and after a week it is given up`() async throws {
        fixture.site.on("/revoke", 408)
        let began = time.now()
        await fixture.main.revocations.send(try await pending())
        var attempts = 1
        while try await left() > 0, attempts < 100 {
            let expected = min(60 * Double(1 << min(attempts - 1, 10)), 21_600)
            let pause = try await sendWhenDue().secondsAsDouble
            #expect(pause >= expected * 0.74 && pause <= expected * 1.26, "attempt \(attempts)")
            attempts += 1
        }
        let kept = time.now() - began
        #expect(kept >= .seconds(7 * 86_400) && kept <= .seconds(8 * 86_400))
        #expect(attempts < 60)
    }

    @Test func `Retry-After is obeyed`() async throws {
        fixture.site.on("/revoke", 503, ["Retry-After": "7200"])
        await fixture.main.revocations.send(try await pending())
        #expect(try await sendWhenDue() == .seconds(7200))
    }

    @Test func `one process sends what another has not taken`() async throws {
        let barrier = Barrier()
        fixture.site.on("/revoke") { _ in
            await barrier.pass()
            return .json(200, body: "")
        }
        try await pending(refresh: nil)
        time.advance(by: RevocationOutbox.firstAttemptDelay)
        let other = try fixture.another()
        async let first: Void = fixture.main.revocations.sendDue()
        await barrier.arrivals()
        await other.revocations.sendDue()
        barrier.open()
        await first
        #expect(fixture.transport.requests.count == 1)
        #expect(try await left() == 0)
    }

    @Test func `a provider that takes no token back, or is gone, is not asked`() async throws {
        let fixture = try Fixture(
            manifests: [
                "alpha": Manifests.alpha.replacing(
                    #"revocation: {endpoint: "https://alpha.example/revoke", style: rfc7009}"#, with: "revocation: none"
                )
            ], instances: [Manifests.instance("alpha")])
        let id = try await fixture.link(fixture.credential())
        let gone = try await fixture.link(fixture.credential(), provider: beta)
        for account in [id, gone] {
            let revocation = try #require(try await fixture.database.accounts.unlink(account)?.revocation)
            await fixture.main.revocations.send(revocation)
        }
        #expect(fixture.transport.requests.isEmpty)
        // An instance that is missing from the configuration may come back.
        #expect(try await fixture.database.revocations.count() == 1)
    }

    /// As GitHub has it: the access token is all that the request names.
    private func byAccessToken() throws -> Fixture {
        try Fixture(
            time: time,
            manifests: [
                "alpha": Manifests.alpha.replacing(
                    #"revocation: {endpoint: "https://alpha.example/revoke", style: rfc7009}"#,
                    with:
                        #"revocation: {method: DELETE, url: "https://alpha.example/revoke", authentication: basic, body: {format: json, parameters: {access_token: "{access_token}"}}, success: [204], already_dead: [404, 422]}"#
                )
            ], instances: [Manifests.instance("alpha")])
    }

    private func bodies(_ fixture: Fixture) -> [String] {
        fixture.requests("/revoke").map { String(decoding: $0.body?.bytes ?? [], as: UTF8.self) }
    }

    @Test func `a grant that only a live access token names is refreshed first, and once`() async throws {
        let fixture = try byAccessToken()
        fixture.site.on("/revoke", 503)
        let id = try await fixture.link(fixture.credential())
        let pending = try #require(try await fixture.database.accounts.unlink(id)?.revocation)
        await fixture.main.revocations.send(pending)
        #expect(try await fixture.database.revocations.count() == 1)
        fixture.site.on("/revoke", 204)
        let due = try #require(try await fixture.database.revocations.nextDueAt())
        time.advance(by: due - time.now())
        await fixture.main.revocations.sendDue()
        #expect(try await fixture.database.revocations.count() == 0)
        #expect(fixture.tokenRequests.map { $0.form["refresh_token"] } == ["EXAMPLE-refresh-1"])
        #expect(bodies(fixture) == Array(repeating: #"{"access_token":"EXAMPLE-access-2"}"#, count: 2))
    }

    @Test func `a live access token, and one of a grant that is dead, are sent as they are`() async throws {
        let fixture = try byAccessToken()
        fixture.site.on("/revoke", 404)
        fixture.site.on("/token", 400, [:], #"{"error":"invalid_grant"}"#)
        for (lifetime, refreshes) in [(3600, 0), (-1, 1)] {
            let id = try await fixture.link(fixture.credential(lifetime: .seconds(lifetime)))
            let pending = try #require(try await fixture.database.accounts.unlink(id)?.revocation)
            await fixture.main.revocations.send(pending)
            #expect(fixture.tokenRequests.count == refreshes)
            #expect(try await fixture.database.revocations.count() == 0)
        }
        #expect(bodies(fixture) == Array(repeating: #"{"access_token":"EXAMPLE-access-1"}"#, count: 2))
        fixture.site.on("/token", 503)
        let id = try await fixture.link(fixture.credential())
        let pending = try #require(try await fixture.database.accounts.unlink(id)?.revocation)
        await fixture.main.revocations.send(pending)
        #expect(try await fixture.database.revocations.count() == 1)
        #expect(bodies(fixture).count == 2)
    }

    @Test func `whoever asks can wait for what was begun`() async throws {
        let barrier = Barrier()
        fixture.site.on("/revoke") { _ in
            await barrier.pass()
            return .json(200, body: "")
        }
        fixture.main.revocations.sendSoon(try await pending())
        await barrier.arrivals()
        #expect(try await left() == 1)
        barrier.open()
        await fixture.main.revocations.finishSending()
        #expect(try await left() == 0)
    }

    // MARK: - Many

    @Test func `all that is due goes out at once, side by side and within a bound`() async throws {
        let barrier = Barrier()
        fixture.site.on("/revoke") { _ in
            await barrier.pass()
            return .json(200, body: "")
        }
        for number in 0..<50 {
            let id = try await fixture.link(fixture.credential(refresh: nil), subject: "\(number)")
            _ = try await fixture.database.accounts.unlink(id)
        }
        time.advance(by: RevocationOutbox.firstAttemptDelay)
        async let drain: Void = fixture.main.revocations.sendDue()
        await barrier.arrivals(atLeast: 16)
        for _ in 0..<200 { await Task.yield() }
        #expect(fixture.transport.requests.count == 16)
        barrier.open()
        await drain
        #expect(try await left() == 0)
        #expect(fixture.transport.requests.count == 50)
    }

    @Test func `a dead provider holds up nobody else's revocations`() async throws {
        fixture.site.fail("alpha.example/revoke", .timedOut(host: "alpha.example"))
        fixture.site.on("beta.example/revoke", 200)
        for number in 0..<40 {
            let id = try await fixture.link(fixture.credential(refresh: nil), subject: "\(number)")
            _ = try await fixture.database.accounts.unlink(id)
        }
        try await pending(beta, refresh: nil)
        time.advance(by: RevocationOutbox.firstAttemptDelay)
        await fixture.main.revocations.sendDue()
        #expect(fixture.requests("beta.example/revoke").count == 1)
        #expect(try await left() == 40)
        // Once the breaker is open the rest wait without a request.
        #expect(fixture.requests("alpha.example/revoke").count <= 16)
    }

    @Test func `cancelled, it takes nothing more and counts no failed attempt`() async throws {
        let barrier = Barrier()
        fixture.site.on("/revoke") { _ in
            await barrier.pass()
            return Task.isCancelled ? .failure(.cancelled) : .json(200, body: "")
        }
        for number in 0..<20 {
            let id = try await fixture.link(fixture.credential(refresh: nil), subject: "\(number)")
            _ = try await fixture.database.accounts.unlink(id)
        }
        time.advance(by: RevocationOutbox.firstAttemptDelay)
        let drain = Task { await fixture.main.revocations.sendDue() }
        await barrier.arrivals(atLeast: 16)
        drain.cancel()
        barrier.open()
        await drain.value
        #expect(fixture.transport.requests.count == 16)
        let due = try await fixture.database.revocations.due(
            now: time.now(), owner: "after", lease: .seconds(60), limit: 100)
        #expect(due.map(\.attempts) == Array(repeating: 0, count: 20))
    }
}
