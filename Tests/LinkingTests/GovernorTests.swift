import Accounts
import Linking
import Providers
import Store
import Synchronization
import TestSupport
import Testing
import Transfer

/// What the client learns of a provider, keeps over a restart, and holds back for it.
@Suite(.timeLimit(.minutes(10))) struct GovernorTests {
    let time = SkippingTime()

    private func fixture(_ limits: String, time: (any TimeSource)? = nil) throws -> Fixture {
        let fixture = try Fixture(
            time: time ?? self.time, manifests: ProviderClientTests.manifest(limits),
            instances: [Manifests.instance("alpha")])
        fixture.site.on("/me", 200)
        return fixture
    }

    @discardableResult
    private func send(
        _ fixture: Fixture, _ instance: Fixture.Instance? = nil, route: String = "user",
        urgency: Urgency = .callerWaits
    ) async throws(ProviderRequestError) -> Int {
        guard let provider = fixture.catalog[alpha] else { throw .paused(until: .epoch, reason: "no provider") }
        return try await (instance ?? fixture.main).client.send(
            ProviderClientTests.me, to: provider, route: route, urgency: urgency
        ).status
    }

    private func pausedUntil(_ fixture: Fixture, _ instance: Fixture.Instance? = nil) async throws -> Timestamp? {
        do throws(ProviderRequestError) {
            try await send(fixture, instance)
            return nil
        } catch {
            guard case .paused(let until, _) = error else { throw error }
            return until
        }
    }

    private func traffic(_ fixture: Fixture, _ instance: Fixture.Instance? = nil) async throws -> RequestTraffic {
        await (instance ?? fixture.main).client.traffic(of: try fixture.provider())
    }

    private func limited(_ fixture: Fixture, _ fields: HeaderFields = ["Retry-After": "1"]) async throws {
        fixture.site.on("/me", 429, fields)
        try await send(fixture)
        fixture.site.on("/me", 200)
        time.advance(by: .seconds(1))
    }

    /// How many are sent within `length`, one after the other, as fast as they go.
    private func sent(_ fixture: Fixture, within length: Duration, urgency: Urgency = .callerWaits) async throws -> Int
    {
        let began = time.now()
        var count = 0
        while true {
            try await send(fixture, urgency: urgency)
            if time.now() - began >= length { return count }
            count += 1
        }
    }

    // MARK: - The learned rate

    @Test func `a refusal for a limit of all takes three tenths off the rate, which grows back by the minute`()
        async throws
    {
        let fixture = try fixture("{dialect: retry_after, requests: {per: client, count: 100, window: 1s}}")
        try await limited(fixture)
        #expect(abs(try await traffic(fixture).rateShare - 0.7) < 0.001)
        let within = try await sent(fixture, within: .seconds(10))
        #expect(within <= 710 && within >= 660, "\(within)")
        time.advance(by: .seconds(590))
        #expect(abs(try await traffic(fixture).rateShare - 0.8) < 0.001)
        for _ in 0..<20 { try await limited(fixture) }
        #expect(abs(try await traffic(fixture).rateShare - 0.1) < 0.001)
        time.advance(by: .seconds(90 * 60))
        #expect(try await traffic(fixture).rateShare == 1)
    }

    @Test func `of those that were under way together one refusal counts`() async throws {
        let time = VirtualTime()
        let fixture = try fixture("{dialect: retry_after, requests: {per: client, count: 100, window: 1s}}", time: time)
        let barrier = Barrier()
        fixture.site.on("/me") { _ in
            await barrier.pass()
            return .json(429, ["Retry-After": "60"], body: "{}")
        }
        try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<8 { group.addTask { try await self.send(fixture) } }
            await barrier.arrivals(atLeast: 8)
            time.advance(by: .milliseconds(100))
            barrier.open()
            for try await status in group { #expect(status == 429) }
        }
        #expect(abs(try await traffic(fixture).rateShare - 0.7) < 0.001)
    }

    @Test func `neither a user's limit nor what a success has used up is a lesson for all`() async throws {
        let fixture = try fixture("{dialect: discord, requests: {per: client, count: 100, window: 1s}}")
        try await limited(fixture, ["X-RateLimit-Scope": "user", "X-RateLimit-Bucket": "b", "Retry-After": "1"])
        try await limited(fixture, ["X-RateLimit-Scope": "shared", "X-RateLimit-Bucket": "b", "Retry-After": "1"])
        #expect(try await traffic(fixture).rateShare == 1)
        try await limited(fixture, ["X-RateLimit-Scope": "global", "Retry-After": "1"])
        #expect(try await traffic(fixture).rateShare < 1)
    }

    @Test func `security 70: what refusals taught survives a restart and reaches other processes`() async throws {
        let fixture = try fixture("{dialect: retry_after, requests: {per: client, count: 100, window: 1s}}")
        let other = try fixture.another()
        try await send(fixture, other)
        try await limited(fixture)
        #expect(abs(try await traffic(fixture, try fixture.another("three")).rateShare - 0.7) < 0.001)
        time.advance(by: .seconds(5))
        #expect(abs(try await traffic(fixture, other).rateShare - 0.701) < 0.001)
    }

    @Test func `where limits are not known in numbers, fewer requests go at once`() async throws {
        let time = VirtualTime()
        let fixture = try fixture("{dialect: retry_after, concurrency: 10}", time: time)
        fixture.site.on("/me", 429, ["Retry-After": "1"])
        try await send(fixture)
        time.advance(by: .seconds(1))
        let barrier = Barrier()
        fixture.site.on("/me") { _ in
            await barrier.pass()
            return .json(200, body: "{}")
        }
        try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<10 { group.addTask { try await self.send(fixture) } }
            await barrier.arrivals(atLeast: 7)
            await time.sleepers(atLeast: 3)
            #expect(fixture.transport.requests.count == 1 + 7)
            barrier.open()
            for try await status in group { #expect(status == 200) }
        }
    }

    // MARK: - The circuit

    @Test func `security 64: half of the last twenty answers within a minute open the circuit`() async throws {
        let fixture = try fixture("{dialect: retry_after}")
        func alternate(_ times: Int, apart: Duration) async throws {
            for number in 0..<times {
                fixture.site.on("/me", number.isMultiple(of: 2) ? 200 : 503)
                try await send(fixture)
                time.advance(by: apart)
            }
        }
        try await alternate(60, apart: .seconds(4))
        #expect(try await traffic(fixture).circuit == .closed)
        time.advance(by: .seconds(60))
        try await alternate(19, apart: .milliseconds(100))
        #expect(try await traffic(fixture).circuit == .closed)
        fixture.site.on("/me", 503)
        try await send(fixture)
        guard case .open = try await traffic(fixture).circuit else {
            Issue.record("closed")
            return
        }
    }

    @Test func `security 64: a restart does not forget that a provider is left alone, nor for how long`() async throws {
        let fixture = try fixture("{dialect: retry_after}")
        fixture.site.on("/me", 503)
        for _ in 0..<5 { try await send(fixture) }
        let until = try #require(try await pausedUntil(fixture))
        #expect(try await pausedUntil(fixture, try fixture.another()) == until)
        time.advance(by: until - time.now())
        // The probe of the third process fails: open for twice as long.
        let third = try fixture.another("three")
        #expect(try await send(fixture, third) == 503)
        let again = try #require(try await pausedUntil(fixture, third)) - time.now()
        #expect(again >= .seconds(48) && again <= .seconds(72))
    }

    @Test func `security 64: a provider that is back is probed once in five seconds, then met by a ramp and no flood`()
        async throws
    {
        let fixture = try fixture("{dialect: retry_after, requests: {per: client, count: 50, window: 1s}}")
        fixture.site.on("/me", 503)
        for _ in 0..<5 { try await send(fixture) }
        fixture.site.on("/me", 200)
        time.advance(by: try #require(try await pausedUntil(fixture)) - time.now())
        let half = time.now()
        for _ in 0..<3 { try await send(fixture) }
        #expect(time.now() - half == .seconds(10))
        #expect(try await traffic(fixture).circuit == .closed)
        // A restart in the middle goes on where the ramp was.
        let first = try await sent(fixture, within: .seconds(10))
        #expect(first >= 40 && first <= 80, "\(first)")
        time.advance(by: .seconds(50))
        #expect(abs(try await traffic(fixture, try fixture.another()).rateShare - 0.55) < 0.02)
        let middle = try await sent(fixture, within: .seconds(10))
        #expect(middle >= 250 && middle <= 320, "\(middle)")
        time.advance(by: .seconds(50))
        let full = try await sent(fixture, within: .seconds(10))
        #expect(full >= 480 && full <= 500, "\(full)")
    }

    @Test func `what left before the circuit opened neither closes nor prolongs it`() async throws {
        let time = VirtualTime()
        let fixture = try fixture("{dialect: retry_after}", time: time)
        let barrier = Barrier()
        fixture.site.on("/me") { _ in
            await barrier.pass()
            return .json(200, body: "{}")
        }
        let late = (0..<3).map { _ in Task { try await self.send(fixture) } }
        await barrier.arrivals(atLeast: 3)
        fixture.site.on("/me", 503)
        time.advance(by: .milliseconds(1))
        for _ in 0..<5 { try await send(fixture) }
        time.advance(by: .seconds(40))
        barrier.open()
        for task in late { #expect(try await task.value == 200) }
        #expect(try await traffic(fixture).circuit == .halfOpen)
    }

    // MARK: - Invalid requests

    private static let invalid = "{dialect: retry_after, invalid_requests: {count: 100, window: 10m, statuses: [401]}}"

    @Test func `security 64: a crash loop gets no address banned`() async throws {
        let fixture = try fixture(Self.invalid)
        fixture.site.on("/me", 401)
        var starts = 0
        while try await pausedUntil(fixture, try fixture.another("process-\(starts)")) == nil { starts += 1 }
        #expect(starts == 10)
        #expect(try await traffic(fixture).invalidRequests == 10)
        time.advance(by: .seconds(640))
        #expect(try await traffic(fixture).invalidRequests == 0)
    }

    @Test func `security 64: refusals among many good answers go on to half of what the provider bears`() async throws {
        let fixture = try fixture(Self.invalid)
        var sent = 0
        var refused = 0
        while sent < 400 {
            let isRefusal = sent % 4 == 0
            fixture.site.on("/me", isRefusal ? 401 : 200)
            if try await pausedUntil(fixture) != nil { break }
            sent += 1
            refused += isRefusal ? 1 : 0
            time.advance(by: .milliseconds(500))
        }
        #expect(refused == 50)
    }

    // MARK: - Callers

    @Test(arguments: [true, false])
    func `callers have half of the limit within a minute while work is due, and all of it otherwise`(isDue: Bool)
        async throws
    {
        let fixture = try fixture("{dialect: retry_after, requests: {per: client, count: 60, window: 60s}}")
        for _ in 0..<10 { try await send(fixture, urgency: .background) }
        for _ in 0..<38 { try await send(fixture) }
        if isDue {
            // Its four fifths are used up.
            await #expect(throws: ProviderRequestError.self) { try await send(fixture, urgency: .background) }
        }
        #expect(try await (pausedUntil(fixture) != nil) == isDue)
        // Those of the minute before last count no more.
        time.advance(by: .seconds(70))
        #expect(try await pausedUntil(fixture) == nil)
    }

    @Test func `what callers and tokens take is known, averaged over five minutes`() async throws {
        let fixture = try fixture("{dialect: retry_after, requests: {per: client, count: 60, window: 1s}}")
        for number in 0..<600 {
            try await send(fixture, urgency: number % 2 == 0 ? .callerWaits : .background)
            time.advance(by: .seconds(1))
        }
        let taken = await fixture.main.client.leeway(of: alpha).taken
        #expect(taken > 0.4 && taken < 0.5, "\(taken)")
        for _ in 0..<30 { try await send(fixture, route: ProviderClient.tokenRoute, urgency: .background) }
        #expect(await fixture.main.client.leeway(of: alpha).taken - taken > 0.09)
    }

    // MARK: - Room

    @Test func `no more work is taken on than can be sent soon`() async throws {
        let fixture = try fixture("{dialect: retry_after, requests: {per: client, count: 10, window: 10m}}")
        let provider = try fixture.provider()
        func room() async -> Int { await fixture.main.client.backgroundRoom(of: [provider])[alpha] ?? -1 }
        #expect(await room() == 1)
        for _ in 0..<8 { try await send(fixture, urgency: .background) }
        await #expect(throws: ProviderRequestError.self) { try await send(fixture, urgency: .background) }
        #expect(await room() == 0)
        time.advance(by: .seconds(640))
        #expect(await room() == 1)
        await fixture.main.client.pause(alpha, for: .seconds(60), reason: "EXAMPLE")
        #expect(await room() == 0)
    }
}
