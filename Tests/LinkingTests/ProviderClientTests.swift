import Accounts
import Linking
import Logging
import Providers
import Store
import Synchronization
import TestSupport
import Testing
import Transfer

@Suite(.timeLimit(.minutes(10))) struct ProviderClientTests {
    let time = VirtualTime()

    static func manifest(_ limits: String, _ changes: (String, String)...) -> [String: String] {
        var text = Manifests.alpha.replacing(
            "limits: {dialect: ietf, requests: {per: client, count: 10000, window: 1s}}", with: "limits: \(limits)")
        for (old, new) in changes { text = text.replacing(old, with: new) }
        return ["alpha": text]
    }

    private func fixture(_ limits: String, time: (any TimeSource)? = nil, _ changes: (String, String)...) throws
        -> Fixture
    {
        var manifests = Self.manifest(limits)
        for (old, new) in changes { manifests["alpha"] = manifests["alpha"]?.replacing(old, with: new) }
        let fixture = try Fixture(
            time: time ?? self.time, manifests: manifests, instances: [Manifests.instance("alpha")])
        fixture.site.on("/me", 200)
        return fixture
    }

    static let me = TransferRequest(.get, "https://api.alpha.example/me")
    static let account = AccountID(at: .epoch, random: SeededRandom(seed: 1))
    static let otherAccount = AccountID(at: .epoch, random: SeededRandom(seed: 2))

    @discardableResult
    private func send(
        _ fixture: Fixture, _ instance: Fixture.Instance? = nil, account: AccountID? = nil, route: String = "user",
        urgency: Urgency = .callerWaits
    ) async throws(ProviderRequestError) -> Int {
        guard let provider = fixture.catalog[alpha] else { throw .paused(until: .epoch, reason: "no provider") }
        return try await (instance ?? fixture.main).client.send(
            Self.me, to: provider, account: account, route: route, urgency: urgency
        ).status
    }

    /// The instant until which it is paused; `nil` where the request is sent.
    private func pause(
        _ fixture: Fixture, _ instance: Fixture.Instance? = nil, account: AccountID? = nil, route: String = "user",
        urgency: Urgency = .callerWaits
    ) async throws -> Timestamp? {
        do throws(ProviderRequestError) {
            try await send(fixture, instance, account: account, route: route, urgency: urgency)
            return nil
        } catch {
            guard case .paused(let until, _) = error else { throw error }
            return until
        }
    }

    @Test func `profiles that nobody waits for have a transport of their own`() async throws {
        let fixture = try fixture("{}")
        let background = ScriptedTransport { await fixture.site.answer($0) }
        let client = ProviderClient(
            transport: fixture.transport, backgroundTransport: background, database: fixture.database, time: time,
            random: SeededRandom(seed: 1), logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let provider = try fixture.provider()
        for (route, urgency) in [
            ("user", Urgency.callerWaits), ("user", .background), ("token", .callerWaits),
            ("token", .background), ("discovery", .background), ("keys", .background), ("revocation", .background),
        ] {
            var request = Self.me
            request.fields["X-Case"] = "\(route) \(urgency)"
            _ = try await client.send(request, to: provider, route: route, urgency: urgency)
        }
        #expect(background.requests.map { $0.fields["X-Case"] } == ["user background"])
        #expect(
            fixture.transport.requests.map { $0.fields["X-Case"] } == [
                "user callerWaits", "token callerWaits", "token background", "discovery background",
                "keys background", "revocation background",
            ])
    }

    // MARK: - The manifest's limits

    struct Sent: Sendable {
        let at: Timestamp
        let account: AccountID
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func `no limit is ever exceeded, over hours and two processes`(seed: UInt64) async throws {
        let time = SkippingTime()
        let fixture = try fixture(
            """
            {dialect: ietf, concurrency: 40, requests: [{per: client, count: 128, window: 1s}, {per: client, count: 400, window: 10m}, {per: token, count: 300, window: 1h}]}
            """, time: time)
        let instances = [fixture.main, try fixture.another()]
        let accounts = [Self.account, Self.otherAccount]
        let random = SeededRandom(seed: seed)
        var sent: [Sent] = []
        let began = time.now()
        while time.now() - began < .seconds(2 * 3600), sent.count < 1000 {
            let account = accounts[Int(random.unitInterval() * 2)]
            let instance = instances[Int(random.unitInterval() * 2)]
            let until = try await pause(
                fixture, instance, account: account, urgency: random.unitInterval() < 0.5 ? .background : .callerWaits)
            if let until {
                #expect(until > time.now())
                time.advance(by: .seconds(random.uniform(1...200)))
            } else {
                sent.append(Sent(at: time.now(), account: account))
                // Bursts, with pauses in which what is held would grow old.
                if random.unitInterval() < 0.02 { time.advance(by: .milliseconds(Int64(random.uniform(0...1500)))) }
            }
        }
        #expect(sent.count == fixture.transport.requests.count)
        #expect(sent.count > 600)
        func check(_ times: [Timestamp], _ count: Int, _ window: Duration) {
            for (first, beyond) in zip(times, times.dropFirst(count)) {
                #expect(beyond - first >= window, "\(count + 1) requests in \(beyond - first)")
            }
        }
        check(sent.map(\.at), 128, .seconds(1))
        check(sent.map(\.at), 400, .seconds(600))
        for account in accounts {
            check(sent.filter { $0.account == account }.map(\.at), 300, .seconds(3600))
        }
    }

    @Test func `a steady stream below the limit is never stopped`() async throws {
        let time = SkippingTime()
        let fixture = try fixture(
            "{dialect: ietf, requests: {per: client, count: 50, window: 1s}}", time: time)
        for _ in 0..<300 {
            let asked = time.now()
            try await send(fixture)
            #expect(time.now() == asked)
            time.advance(by: .milliseconds(25))
        }
    }

    @Test func `what was granted and not used lapses before it could stand in another window`() async throws {
        let time = SkippingTime()
        let fixture = try fixture(
            "{dialect: ietf, concurrency: 40, requests: {per: client, count: 256, window: 1s}}", time: time)
        try await send(fixture)
        time.advance(by: .milliseconds(1900))
        var within = 0
        let began = time.now()
        while time.now() == began {
            try await send(fixture)
            if time.now() == began { within += 1 }
        }
        #expect(within == 256)
    }

    @Test func `the background leaves a fifth to those who wait`() async throws {
        let fixture = try fixture("{dialect: ietf, requests: {per: client, count: 10, window: 1h}}")
        for _ in 0..<8 { try await send(fixture, urgency: .background) }
        #expect(try await pause(fixture, urgency: .background) != nil)
        for _ in 0..<2 { try await send(fixture) }
        #expect(try await pause(fixture) != nil)
        #expect(fixture.transport.requests.count == 10)
    }

    @Test func `the background does not use what was granted to those who wait`() async throws {
        let fixture = try fixture("{dialect: ietf, concurrency: 20, requests: {per: client, count: 160, window: 60s}}")
        for _ in 0..<128 { try await send(fixture, urgency: .background) }
        try await send(fixture)
        #expect(try await pause(fixture, urgency: .background) != nil)
        #expect(fixture.transport.requests.count == 129)
    }

    // MARK: - Slots

    @Test func `no more requests are under way than the manifest allows`() async throws {
        let fixture = try fixture("{dialect: ietf, concurrency: 3, requests: {per: client, count: 10000, window: 1s}}")
        let barrier = Barrier()
        let underWay = Mutex((now: 0, most: 0))
        fixture.site.on("/me") { _ in
            underWay.withLock { $0 = ($0.now + 1, max($0.most, $0.now + 1)) }
            await barrier.pass()
            underWay.withLock { $0.now -= 1 }
            return .json(200, body: "{}")
        }
        try await withThrowingTaskGroup(of: Int.self) { group in
            for number in 0..<20 {
                group.addTask { try await self.send(fixture, urgency: number % 2 == 0 ? .background : .callerWaits) }
            }
            await barrier.arrivals(atLeast: 3)
            await time.sleepers(atLeast: 17)
            #expect(fixture.transport.requests.count == 3)
            barrier.open()
            for try await status in group { #expect(status == 200) }
        }
        #expect(underWay.withLock { $0.most } == 3)
    }

    @Test func `those who wait go before the background`() async throws {
        let fixture = try fixture("{dialect: ietf, concurrency: 1}")
        let barrier = Barrier()
        fixture.site.on("/me") { _ in
            await barrier.pass()
            return .json(200, body: "{}")
        }
        let order = Record<String>()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.send(fixture) }
            await barrier.arrivals()
            group.addTask {
                try await self.send(fixture, urgency: .background)
                order.append("background")
            }
            await time.sleepers(atLeast: 1)
            group.addTask {
                try await self.send(fixture)
                order.append("caller")
            }
            await time.sleepers(atLeast: 2)
            barrier.open()
            try await group.waitForAll()
        }
        #expect(order.values == ["caller", "background"])
    }

    @Test func `callers take every other slot while the background waits`() async throws {
        let fixture = try fixture("{dialect: ietf, concurrency: 1}")
        let barrier = Barrier()
        fixture.site.on("/me") { _ in
            await barrier.pass()
            return .json(200, body: "{}")
        }
        let order = Record<String>()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.send(fixture) }
            await barrier.arrivals()
            for (number, urgency) in [Urgency.callerWaits, .callerWaits, .callerWaits, .background, .background]
                .enumerated()
            {
                group.addTask {
                    try await self.send(fixture, urgency: urgency)
                    order.append(urgency == .background ? "background" : "caller")
                }
                await time.sleepers(atLeast: number + 1)
            }
            barrier.open()
            try await group.waitForAll()
        }
        #expect(order.values == ["caller", "background", "caller", "background", "caller"])
    }

    @Test func `a caller waits for a slot no longer than five seconds`() async throws {
        let fixture = try fixture("{dialect: ietf, concurrency: 1}")
        let barrier = Barrier()
        fixture.site.on("/me") { _ in
            await barrier.pass()
            return .json(200, body: "{}")
        }
        async let first = send(fixture)
        await barrier.arrivals()
        async let second = pause(fixture)
        await time.sleepers(atLeast: 1)
        time.advance(by: .seconds(5))
        #expect(try await second != nil)
        #expect(fixture.transport.requests.count == 1)
        barrier.open()
        #expect(try await first == 200)
        try await send(fixture)
    }

    @Test func `a cancelled waiter ends at once and takes no slot with it`() async throws {
        let fixture = try fixture("{dialect: ietf, concurrency: 1}")
        let barrier = Barrier()
        fixture.site.on("/me") { _ in
            await barrier.pass()
            return .json(200, body: "{}")
        }
        async let first = send(fixture)
        await barrier.arrivals()
        let leavers = (0..<5).map { _ in Task { try await self.send(fixture) } }
        await time.sleepers(atLeast: 5)
        for leaver in leavers { leaver.cancel() }
        for leaver in leavers {
            // While the slot is still taken.
            await #expect(throws: ProviderRequestError.transfer(.cancelled)) { try await leaver.value }
        }
        let cancelledBefore = Task {
            while !Task.isCancelled { await Task.yield() }
            return try await self.send(fixture)
        }
        cancelledBefore.cancel()
        await #expect(throws: ProviderRequestError.transfer(.cancelled)) { try await cancelledBefore.value }
        barrier.open()
        #expect(try await first == 200)
        for _ in 0..<3 { try await send(fixture) }
        #expect(fixture.transport.requests.count == 4)
    }

    @Test func `nobody is forgotten in the queue when a pause begins`() async throws {
        let fixture = try fixture("{dialect: ietf, concurrency: 1}")
        let barrier = Barrier()
        fixture.site.on("/me") { _ in
            await barrier.pass()
            return .json(429, ["Retry-After": "600"], "{}")
        }
        async let first = send(fixture)
        await barrier.arrivals()
        let waiters = (0..<3).map { _ in Task { try await self.pause(fixture) } }
        await time.sleepers(atLeast: 3)
        barrier.open()
        #expect(try await first == 429)
        for waiter in waiters { #expect(try await waiter.value == time.now() + .seconds(600)) }
        #expect(fixture.transport.requests.count == 1)
    }

    // MARK: - Pauses

    @Test func `nothing is sent to a paused provider`() async throws {
        let fixture = try fixture("{dialect: ietf}")
        await fixture.main.client.pause(alpha, for: .seconds(600), reason: "EXAMPLE")
        for urgency in [Urgency.callerWaits, .background] {
            await #expect(throws: ProviderRequestError.paused(until: time.now() + .seconds(600), reason: "EXAMPLE")) {
                try await send(fixture, urgency: urgency)
            }
        }
        #expect(fixture.transport.requests.isEmpty)
        time.advance(by: .seconds(600))
        try await send(fixture)
    }

    @Test(arguments: [(Urgency.callerWaits, 5), (.background, 20)])
    func `a short pause is waited for`(urgency: Urgency, seconds: Int) async throws {
        let fixture = try fixture("{dialect: ietf}")
        await fixture.main.client.pause(alpha, for: .seconds(seconds), reason: "EXAMPLE")
        async let status = send(fixture, urgency: urgency)
        await time.sleepers(atLeast: 1)
        #expect(fixture.transport.requests.isEmpty)
        time.advance(by: .seconds(seconds))
        #expect(try await status == 200)
        await fixture.main.client.pause(alpha, for: .seconds(seconds) + .milliseconds(1), reason: "EXAMPLE")
        #expect(try await pause(fixture, urgency: urgency) != nil)
    }

    @Test(arguments: ["120", "Fri, 20 Nov 2026 14:44:53 GMT"])
    func `security 70: Retry-After of one response pauses everyone, in every process`(value: String) async throws {
        let fixture = try fixture("{dialect: retry_after}")
        let until = time.now() + .seconds(120)
        let other = try fixture.another()
        try await send(fixture, other)
        fixture.site.on("/me", 429, ["Retry-After": value])
        #expect(try await send(fixture, account: Self.account) == 429)
        #expect(try await pause(fixture, account: Self.otherAccount) == until)
        // Another process looks every five seconds; one that starts now at once.
        time.advance(by: .seconds(5))
        #expect(try await pause(fixture, other, urgency: .background) == until)
        #expect(try await pause(fixture, try fixture.another("three")) == until)
        #expect(fixture.transport.requests.count == 2)
        #expect(try await fixture.database.schedule.providerPauses().map(\.until) == [until])
        time.advance(by: .seconds(115))
        fixture.site.on("/me", 200)
        #expect(try await send(fixture) == 200)
    }

    @Test func `security 70: no pause is longer than a day`() async throws {
        let fixture = try fixture("{dialect: retry_after}")
        fixture.site.on("/me", 429, ["Retry-After": "99999999999"])
        try await send(fixture)
        #expect(try await pause(fixture) == time.now() + .seconds(86_400))
    }

    @Test func `a limit of one token concerns that account alone`() async throws {
        let fixture = try fixture("{dialect: discord}")
        fixture.site.on("/me", 429, ["X-RateLimit-Scope": "user", "Retry-After": "60"])
        try await send(fixture, account: Self.account)
        fixture.site.on("/me", 200)
        #expect(try await pause(fixture, account: Self.account) == time.now() + .seconds(60))
        #expect(try await pause(fixture, account: Self.account, route: "other") == time.now() + .seconds(60))
        #expect(try await send(fixture, account: Self.otherAccount) == 200)
        time.advance(by: .seconds(60))
        #expect(try await send(fixture, account: Self.account) == 200)
    }

    @Test(arguments: [nil, Self.account]) func `a user's limit on a request without an access token is its route's`(
        account: AccountID?
    ) async throws {
        let fixture = try fixture("{dialect: discord}")
        fixture.site.on("/me", 429, ["X-RateLimit-Scope": "user", "Retry-After": "60"])
        try await send(fixture, account: account, route: "token")
        fixture.site.on("/me", 200)
        #expect(try await pause(fixture, account: Self.otherAccount, route: "token") == time.now() + .seconds(60))
        #expect(try await pause(fixture, route: "token") == time.now() + .seconds(60))
        #expect(try await send(fixture, account: Self.account, route: "user") == 200)
    }

    @Test func `a limit of one route concerns that request alone`() async throws {
        let fixture = try fixture("{dialect: discord}")
        fixture.site.on("/me", 429, ["X-RateLimit-Scope": "shared", "Retry-After": "60"])
        try await send(fixture, account: Self.account, route: "user")
        fixture.site.on("/me", 200)
        #expect(try await pause(fixture, account: Self.otherAccount, route: "user") == time.now() + .seconds(60))
        #expect(try await send(fixture, account: Self.account, route: "emails") == 200)
    }

    // MARK: - Failures

    @Test func `security 64: five failures open the breaker, for longer each time, and three successes close it`()
        async throws
    {
        let fixture = try fixture("{dialect: retry_after}")
        fixture.site.on("/me", 503)
        for _ in 0..<4 { try await send(fixture) }
        #expect(try await pause(fixture) == nil)
        var last = Duration.zero
        for round in 0..<7 {
            let until = try #require(try await pause(fixture))
            let open = until - time.now()
            let expected = min(30.0 * Double(1 << round), 900)
            #expect(open.secondsAsDouble >= expected * 0.79 && open.secondsAsDouble <= expected * 1.21)
            #expect(open >= last * 0.6)
            last = open
            time.advance(by: open)
            // One probe, which fails.
            try await send(fixture)
        }
        time.advance(by: try #require(try await pause(fixture)) - time.now())
        fixture.site.on("/me", 200)
        for _ in 0..<3 {
            #expect(try await send(fixture) == 200)
            time.advance(by: .seconds(5))
        }
        // Closed: it takes five failures again.
        fixture.site.fail("/me", .timedOut(host: "alpha.example"))
        for _ in 0..<5 {
            await #expect(throws: ProviderRequestError.transfer(.timedOut(host: "alpha.example"))) {
                try await send(fixture)
            }
        }
        #expect(try await pause(fixture) != nil)
    }

    @Test func `an open breaker lets one probe through`() async throws {
        let fixture = try fixture("{dialect: retry_after, requests: {per: client, count: 10000, window: 1s}}")
        fixture.site.on("/me", 503)
        for _ in 0..<5 { try await send(fixture) }
        time.advance(by: .seconds(40))
        let barrier = Barrier()
        fixture.site.on("/me") { _ in
            await barrier.pass()
            return .json(200, body: "{}")
        }
        try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<10 { group.addTask { try await self.send(fixture) } }
            await barrier.arrivals()
            await time.sleepers(atLeast: 9)
            #expect(fixture.transport.requests.count == 6)
            barrier.open()
            let first = try await group.next()
            #expect(first == 200)
            // The others wait their turn, one probe each, until three have gone well.
            await time.sleepers(atLeast: 9)
            group.cancelAll()
            var cancelled = 0
            while let result = await group.nextResult() {
                guard case .failure(let error) = result else { continue }
                cancelled += error as? ProviderRequestError == .transfer(.cancelled) ? 1 : 0
            }
            #expect(cancelled == 9)
        }
        #expect(fixture.transport.requests.count == 6)
    }

    @Test func `failures of this program are not the provider's`() async throws {
        let fixture = try fixture("{dialect: retry_after}")
        for error in [
            TransferError.cancelled, .destinationRefused(reason: "EXAMPLE"), .invalidRequest(reason: "EXAMPLE"),
        ] {
            fixture.site.fail("/me", error)
            for _ in 0..<10 {
                await #expect(throws: ProviderRequestError.transfer(error)) { try await send(fixture) }
            }
        }
    }

    @Test func `security 38, 64: one provider's trouble is no other's`() async throws {
        let fixture = try Fixture(time: time)
        fixture.site.on("alpha.example/me", 503)
        fixture.site.on("beta.example/me", 200)
        for _ in 0..<5 { try await send(fixture) }
        #expect(try await pause(fixture) != nil)
        let response = try await fixture.main.client.send(
            TransferRequest(.get, "https://api.beta.example/me"), to: try fixture.provider(beta), urgency: .background)
        #expect(response.status == 200)
    }

    @Test func `security 64: refusals stop long before the provider would lock this address out`() async throws {
        let fixture = try fixture(
            "{dialect: retry_after, invalid_requests: {count: 100, window: 10m, statuses: [401, 403]}}")
        fixture.site.on("/me", 401)
        for _ in 0..<9 { try await send(fixture) }
        // The window, and the slice of it that the first was counted in.
        time.advance(by: .seconds(610))
        for _ in 0..<10 { #expect(try await pause(fixture) == nil) }
        #expect(try await pause(fixture) == time.now() + .seconds(600))
        #expect(try await pause(fixture, try fixture.another()) == time.now() + .seconds(600))
        #expect(fixture.transport.requests.count == 19)
    }

    // MARK: - What is sent

    @Test func `quirk F8: every request carries the User-Agent that the provider asks for`() async throws {
        let fixture = try fixture(
            "{dialect: ietf}",
            ("client_authentication", "user_agent: \"EXAMPLE ({public_url})\"\nclient_authentication"))
        let provider = try fixture.provider()
        try await send(fixture)
        var request = Self.me
        request.fields["User-Agent"] = "its own"
        _ = try await fixture.main.client.send(request, to: provider, urgency: .background)
        #expect(
            fixture.transport.requests.map { $0.fields["user-agent"] } == [
                "EXAMPLE (https://accounts.example.com)", "its own",
            ])
    }

    @Test func `a request that one limit holds up spends nothing of the others`() async throws {
        let fixture = try fixture(
            "{dialect: ietf, requests: [{per: client, count: 40, window: 1h}, {per: token, count: 1, window: 1h}]}")
        let accounts = (0..<40).map { AccountID(at: .epoch, random: SeededRandom(seed: 100 + $0)) }
        try await send(fixture, account: accounts[0])
        for _ in 0..<100 { #expect(try await pause(fixture, account: accounts[0]) != nil) }
        for account in accounts.dropFirst() { #expect(try await pause(fixture, account: account) == nil) }
        #expect(fixture.transport.requests.count == 40)
        #expect(try await pause(fixture, account: Self.account) != nil)
    }
}
