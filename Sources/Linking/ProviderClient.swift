package import Accounts
package import Logging
import OAuth
package import Providers
package import Store
package import Telemetry
package import Transfer

/// Every outgoing request to a provider passes here, so that no limit is broken whoever asks: the manifest's request
/// limits (shared with other processes through the store), what responses announce, concurrency, the budget of invalid
/// requests, and a circuit breaker. One provider's trouble delays no other's requests.
package actor ProviderClient {
    private let transport: any Transport
    private let backgroundTransport: any Transport
    /// For what is kept of a provider beside requests.
    nonisolated let database: Database
    let time: any TimeSource
    let random: any RandomSource
    nonisolated let telemetry: Telemetry
    let logger: Logger
    var gates: [ProviderID: ProviderGate] = [:]
    var sharedReadAt: Timestamp?
    var sharedReading: Task<Void, Never>?
    /// The newest of each origin (RFC 9449 §8.2).
    private var nonces: [String: String] = [:]
    private var nextWaiter = 0

    private static let roomAhead: Duration = .seconds(4)

    static let discoveryRoute = "discovery"
    static let keysRoute = "keys"
    /// Of requests for, and about, tokens.
    package static let tokenRoute = "token"
    static let revocationRoute = "revocation"
    /// What a caller may come to wait for, whoever asked first.
    private static let sharedRoutes = [discoveryRoute, keysRoute, tokenRoute, revocationRoute]

    /// - Parameter backgroundTransport: for profiles that nobody waits for: its thread may be held up.
    package init(
        transport: any Transport, backgroundTransport: (any Transport)? = nil, database: Database,
        telemetry: Telemetry = Telemetry(), time: any TimeSource, random: any RandomSource, logger: Logger
    ) {
        self.transport = transport
        self.backgroundTransport = backgroundTransport ?? transport
        self.database = database
        self.telemetry = telemetry
        self.time = time
        self.random = random
        self.logger = logger
    }

    /// For a request that leaves now.
    nonisolated var moment: Moment { Moment(now: time.now(), random: random) }

    /// - Parameters:
    ///   - account: whose access token the request carries; limits per token count by it.
    ///   - route: the manifest's name of the request, for limits that concern one route.
    /// - Throws: `.paused` where the request would have to wait longer than `urgency` allows.
    package func send(
        _ request: TransferRequest, to provider: Provider, account: AccountID? = nil, route: String = tokenRoute,
        urgency: Urgency
    ) async throws(ProviderRequestError) -> TransferResponse {
        try await send(
            request, with: try await admission(to: provider, account: account, route: route, urgency: urgency))
    }

    /// Leave to send one request, for a caller that has something to do just before it: to be used for `send` or given
    /// back, once.
    func admission(
        to provider: Provider, account: AccountID? = nil, route: String = tokenRoute, urgency: Urgency
    ) async throws(ProviderRequestError) -> Admission {
        let (taken, at) = try await admit(provider, account: account, route: route, urgency: urgency)
        return Admission(
            provider: provider, account: account, route: route, urgency: urgency, at: at, taken: taken)
    }

    func send(
        _ request: TransferRequest, with admission: Admission
    ) async throws(ProviderRequestError) -> TransferResponse {
        let provider = admission.provider
        var request = request
        if let userAgent = provider.userAgent, request.fields["User-Agent"] == nil {
            request.fields["User-Agent"] = userAgent
        }
        let result: Result<TransferResponse, TransferError>
        let isPatient = admission.urgency == .background && !Self.sharedRoutes.contains(admission.route)
        let transport = isPatient ? backgroundTransport : transport
        let leftAt = ContinuousClock.now
        do {
            result = .success(try await transport.send(request))
        } catch {
            result = .failure(error)
        }
        telemetry.providerAnswered(
            provider.id, route: admission.route,
            outcome: Telemetry.RequestOutcome(result, of: provider, now: time.now()),
            after: .now - leftAt)
        if case .success(let response) = result { remember(response, of: request.url) }
        leave(provider.id)
        await observe(result, of: provider, account: admission.account, route: admission.route, sentAt: admission.at)
        do { return try result.get() } catch { throw .transfer(error) }
    }

    func nonce(for url: String) -> String? { DPoP.origin(of: url).flatMap { nonces[$0] } }

    private func remember(_ response: TransferResponse, of url: String) {
        guard let nonce = DPoP.nonce(in: response), let origin = DPoP.origin(of: url) else { return }
        // Bounded: there are as many origins as the configuration and the metadata documents name.
        if nonces.count >= 1000, nonces[origin] == nil { nonces = [:] }
        nonces[origin] = nonce
    }

    /// Nothing was sent.
    func giveBack(_ admission: Admission) {
        giveBack(admission.taken, of: admission.provider.id)
        gate(admission.provider.id).breaker.abandon()
        leave(admission.provider.id)
    }

    /// Stops every request to a provider, here and in other processes.
    package func pause(_ provider: ProviderID, for duration: Duration, reason: PauseReason) async {
        await store(pause: time.now() + duration, of: provider, reason: reason)
    }

    /// How requests to a provider fare: this process's, and what all have learned.
    package func traffic(of provider: Provider) async -> RequestTraffic {
        await readShared()
        let now = time.now()
        let gate = gate(provider.id)
        var traffic = RequestTraffic(
            lastMinute: gate.recent.lastMinute(now: now), underWay: gate.underWay,
            concurrency: provider.limits.concurrency, circuit: gate.breaker.state(now: now))
        traffic.rateShare = gate.share(now: now)
        traffic.invalidRequests = await invalidRequests(of: provider)
        return traffic
    }

    /// How much of a provider's limits there is to plan with.
    package struct Leeway: Sendable {
        /// Of the configured rate, as far as refusals have taught.
        package var rateShare: Double
        /// Requests a second that callers and tokens take.
        package var taken: Double
        package var isLeftAlone: Bool
    }

    package func leeway(of provider: ProviderID) async -> Leeway {
        await readShared()
        let now = time.now()
        let gate = gate(provider)
        return Leeway(
            rateShare: gate.rate.share(now: now), taken: gate.taken.rate(now: now),
            isLeftAlone: gate.breaker.state(now: now) != .closed)
    }

    /// How many requests of the background can be sent to each within the next seconds: who claims more work than that
    /// holds it up for nothing. None where a provider is left alone, or its limit is used up for longer.
    package func backgroundRoom(of providers: [Provider]) async -> [ProviderID: Int] {
        await readShared()
        let now = time.now()
        return Dictionary(uniqueKeysWithValues: providers.map { ($0.id, backgroundRoom(of: $0, now: now)) })
    }

    private func backgroundRoom(of provider: Provider, now: Timestamp) -> Int {
        let gate = gate(provider.id)
        if let until = gate.waitUntil(now: now, account: nil, route: ""), until > now + .seconds(1) { return 0 }
        if gate.breaker.state(now: now) != .closed { return 1 }
        let slots = gate.slots(provider.limits, now: now)
        guard let rate = provider.limits.pacedRate else { return slots }
        let isUsedUp = clientLimits(of: provider, now: now).contains { limit in
            gate.usedUp(limit.key, .background, now: now).map { $0 > now + Self.roomAhead } ?? false
        }
        return isUsedUp ? 0 : min(slots, 1 + Int(rate * gate.share(now: now) * Self.roomAhead.secondsAsDouble))
    }

    // MARK: - Admission

    private func admit(
        _ provider: Provider, account: AccountID?, route: String, urgency: Urgency
    ) async throws(ProviderRequestError) -> (taken: [TakenRequest], at: Timestamp) {
        let id = provider.id
        let gate = gate(id)
        let deadline = time.now() + urgency.waitMax
        await readShared()
        while true {
            let now = time.now()
            let slots = gate.slots(provider.limits, now: now)
            if let until = gate.waitUntil(now: now, account: account, route: route) {
                // Whoever was woken for a free slot and can't use it passes it on.
                if gate.underWay < slots { wakeOne(id) }
                try await wait(
                    until: until, deadline: deadline, reason: gate.reason(now: now, account: account, route: route))
                continue
            }
            if urgency == .callerWaits, let until = gate.callersMayAgain(provider.limits, now: now) {
                if gate.underWay < slots { wakeOne(id) }
                try await wait(until: until, deadline: deadline, reason: .limitUsedUp)
                continue
            }
            guard gate.underWay < slots else {
                try await waiting(urgency, id) { () async throws(ProviderRequestError) in
                    try await self.waitForSlot(id, urgency: urgency, deadline: deadline)
                }
                continue
            }
            gate.underWay += 1
            var taken: [TakenRequest] = []
            let nextAt: Timestamp?
            do throws(ProviderRequestError) {
                nextAt = try await take(&taken, provider, account: account, urgency: urgency)
            } catch {
                giveBack(taken, of: id)
                leave(id)
                throw error
            }
            if let nextAt {
                giveBack(taken, of: id)
                leave(id)
                try await waiting(urgency, id) { () async throws(ProviderRequestError) in
                    try await self.wait(until: nextAt, deadline: deadline, reason: .limitUsedUp)
                }
                continue
            }
            // Others were admitted meanwhile: one may be the breaker's probe, or have brought a pause.
            guard gate.waitUntil(now: time.now(), account: account, route: route) == nil else {
                giveBack(taken, of: id)
                leave(id)
                continue
            }
            let at = admitted(provider, route: route, urgency: urgency)
            // There may be more slots than there were: those who wait are woken one by one.
            if gate.underWay < gate.slots(provider.limits, now: time.now()) { wakeOne(id) }
            return (taken, at)
        }
    }

    private func admitted(_ provider: Provider, route: String, urgency: Urgency) -> Timestamp {
        let gate = gate(provider.id)
        let now = time.now()
        gate.breaker.begin(now: now)
        if urgency == .callerWaits { gate.callerAdmitted(provider.limits, now: now) }
        if urgency == .callerWaits || route == Self.tokenRoute { gate.taken.add(now: now) }
        return now
    }

    private func waiting(
        _ urgency: Urgency, _ id: ProviderID, _ body: () async throws(ProviderRequestError) -> Void
    ) async throws(ProviderRequestError) {
        guard urgency == .background else { return try await body() }
        let gate = gate(id)
        gate.backgroundWaiting += 1
        defer { gate.backgroundWaiting -= 1 }
        try await body()
    }

    func gate(_ id: ProviderID) -> ProviderGate {
        if let gate = gates[id] { return gate }
        let gate = ProviderGate()
        gates[id] = gate
        return gate
    }

    private func wait(until: Timestamp, deadline: Timestamp, reason: PauseReason) async throws(ProviderRequestError) {
        guard until <= deadline else { throw .paused(until: until, reason: reason) }
        do {
            try await time.sleep(for: max(until - time.now(), .milliseconds(1)))
        } catch {
            throw .transfer(.cancelled)
        }
    }

    /// Returns when a slot may be free. Throws at the deadline, and at once when the caller is cancelled.
    private func waitForSlot(
        _ id: ProviderID, urgency: Urgency, deadline: Timestamp
    ) async throws(ProviderRequestError) {
        let now = time.now()
        guard now < deadline else { throw .paused(until: now + .seconds(1), reason: .busy) }
        nextWaiter += 1
        let waiter = nextWaiter
        let alarm = Task {
            do { try await time.sleep(for: deadline - now) } catch { return }  // Woken before.
            self.wake(waiter, id, because: .deadline)
        }
        defer { alarm.cancel() }
        let reason = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                if Task.isCancelled { return continuation.resume(returning: SlotWaiter.Reason.cancelled) }
                gate(id).enqueue(SlotWaiter(id: waiter, continuation: continuation), urgency: urgency)
            }
        } onCancel: {
            Task { await self.wake(waiter, id, because: .cancelled) }
        }
        switch reason {
        case .slot where Task.isCancelled:
            // The slot goes to the next in line.
            wakeOne(id)
            throw .transfer(.cancelled)
        case .slot: return
        case .cancelled: throw .transfer(.cancelled)
        case .deadline: throw .paused(until: time.now() + .seconds(1), reason: .busy)
        }
    }

    private func wake(_ waiter: Int, _ id: ProviderID, because reason: SlotWaiter.Reason) {
        gate(id).dequeue(waiter)?.continuation.resume(returning: reason)
    }

    private func leave(_ id: ProviderID) {
        gate(id).underWay -= 1
        wakeOne(id)
    }

    private func wakeOne(_ id: ProviderID) {
        gate(id).dequeueFirst()?.continuation.resume(returning: .slot)
    }

    /// Takes one request from each of the provider's limits; returns when to ask again where one has none left. What was
    /// taken until then is in `taken`, to be given back: one that could not be sent has cost nothing.
    private func take(
        _ taken: inout [TakenRequest], _ provider: Provider, account: AccountID?, urgency: Urgency
    ) async throws(ProviderRequestError) -> Timestamp? {
        let gate = gate(provider.id)
        var limits = clientLimits(of: provider, now: time.now())
        if let account {
            limits += provider.limits.requests.filter { $0.per == .token }.map {
                (Self.key(account.rawValue, $0), $0)
            }
        }
        for (key, limit) in limits {
            let now = time.now()
            if let held = gate.take(key, urgency, now: now) {
                taken.append(held)
                continue
            }
            if let until = gate.usedUp(key, urgency, now: now) { return until }
            let allowance: Allowance
            do {
                allowance = try await database.allowances.withdraw(
                    provider: provider.id, key: key, count: limit.count, window: limit.window,
                    want: batch(of: limit, provider), reserve: urgency == .background ? limit.count / 5 : 0)
            } catch {
                throw .store(error)
            }
            // The last one may just have been granted.
            if limit.per == .client, allowance.nextAt > now {
                gate.setUsedUp(key, urgency, until: allowance.nextAt)
            }
            guard allowance.granted > 0 else { return max(allowance.nextAt, now + .milliseconds(1)) }
            let request = TakenRequest(
                key: key, urgency: urgency, until: RequestAllowanceStore.endOfSlice(at: now, window: limit.window))
            gate.grant(request, allowance.granted - 1)
            taken.append(request)
        }
        return nil
    }

    /// Those that all requests share, and the learned rate where it is less.
    private func clientLimits(of provider: Provider, now: Timestamp) -> [(key: String, limit: RequestLimit)] {
        var limits = provider.limits.requests.filter { $0.per == .client }.map { (Self.key("client", $0), $0) }
        let share = gate(provider.id).share(now: now)
        if share < 1, let rate = provider.limits.pacedRate {
            limits.append(("client/paced", PacedRate.limit(rate, share: share)))
        }
        return limits
    }

    /// Each limit counts for itself: several may concern the same client.
    private static func key(_ sharer: String, _ limit: RequestLimit) -> String {
        "\(sharer)/\(limit.window.wholeMilliseconds)"
    }

    private func giveBack(_ taken: [TakenRequest], of id: ProviderID) {
        let now = time.now()
        let gate = gate(id)
        for request in taken { gate.giveBack(request, now: now) }
    }

    /// How many requests are taken from the store at once. What is not used by the end of the slice lapses: a quarter of
    /// what the limit leaves to a slice, so that little is lost; and at most a second's worth, for a process that dies.
    private func batch(of limit: RequestLimit, _ provider: Provider) -> Int {
        guard limit.per == .client else { return 1 }
        let perSecond = Int(Double(limit.count) / max(limit.window.secondsAsDouble, 1))
        return max(
            1, min(limit.count / (4 * RequestAllowanceStore.slicesPerWindow), perSecond, provider.limits.concurrency))
    }
}

/// Leave to send one request to a provider. It holds one of the provider's slots.
struct Admission: Sendable {
    let provider: Provider
    let account: AccountID?
    let route: String
    let urgency: Urgency
    /// When it was given.
    let at: Timestamp
    fileprivate let taken: [TakenRequest]
}
