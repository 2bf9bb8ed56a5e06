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
    /// For what is kept of a provider beside requests.
    nonisolated let database: Database
    let time: any TimeSource
    let random: any RandomSource
    nonisolated let telemetry: Telemetry
    private let logger: Logger
    private var gates: [ProviderID: ProviderGate] = [:]
    private var pausesReadAt: Timestamp?
    /// The newest of each origin (RFC 9449 §8.2).
    private var nonces: [String: String] = [:]
    private var nextWaiter = 0

    static let discoveryRoute = "discovery"
    static let keysRoute = "keys"
    /// Their outcome is not the breaker's: `AuthorizationServers` remembers failures of its own.
    private static let metadataRoutes: Set = [discoveryRoute, keysRoute]
    /// Pauses that another process stored count within this.
    private static let pausesMaximumAge: Duration = .seconds(5)

    package init(
        transport: any Transport, database: Database, telemetry: Telemetry = Telemetry(), time: any TimeSource,
        random: any RandomSource, logger: Logger
    ) {
        self.transport = transport
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
        _ request: TransferRequest, to provider: Provider, account: AccountID? = nil, route: String = "token",
        urgency: Urgency
    ) async throws(ProviderRequestError) -> TransferResponse {
        try await send(
            request, with: try await admission(to: provider, account: account, route: route, urgency: urgency))
    }

    /// Leave to send one request, for a caller that has something to do just before it: to be used for `send` or given
    /// back, once.
    func admission(
        to provider: Provider, account: AccountID? = nil, route: String = "token", urgency: Urgency
    ) async throws(ProviderRequestError) -> Admission {
        let taken = try await admit(provider, account: account, route: route, urgency: urgency)
        return Admission(provider: provider, account: account, route: route, taken: taken)
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
        await observe(result, of: provider, account: admission.account, route: admission.route)
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
        gates[admission.provider.id]?.breaker.abandon()
        leave(admission.provider.id)
    }

    /// Stops every request to a provider, here and in other processes.
    package func pause(_ provider: ProviderID, for duration: Duration, reason: PauseReason) async {
        await store(pause: time.now() + duration, of: provider, reason: reason)
    }

    /// How this process's requests to a provider fare.
    package func traffic(of provider: Provider) -> RequestTraffic {
        let now = time.now()
        let gate = gate(provider.id)
        var traffic = RequestTraffic(
            lastMinute: gate.recent.lastMinute(now: now), underWay: gate.underWay,
            concurrency: provider.limits.concurrency, circuit: gate.breaker.state(now: now))
        if let budget = provider.limits.invalidRequests {
            traffic.invalidRequests = gate.invalidCount(now: now, window: budget.window)
        }
        return traffic
    }

    // MARK: - Admission

    private func admit(
        _ provider: Provider, account: AccountID?, route: String, urgency: Urgency
    ) async throws(ProviderRequestError) -> [TakenRequest] {
        let id = provider.id
        let deadline = time.now() + urgency.waitMax
        await readPauses()
        while true {
            if let until = gate(id).waitUntil(now: time.now(), account: account, route: route) {
                // Whoever was woken for a free slot and can't use it passes it on.
                if gate(id).underWay < provider.limits.concurrency { wakeOne(id) }
                try await wait(
                    until: until, deadline: deadline,
                    reason: gate(id).reason(now: time.now(), account: account, route: route))
                continue
            }
            guard gate(id).underWay < provider.limits.concurrency else {
                try await waitForSlot(id, urgency: urgency, deadline: deadline)
                continue
            }
            gates[id]?.underWay += 1
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
                try await wait(until: nextAt, deadline: deadline, reason: .limitUsedUp)
                continue
            }
            // Others were admitted meanwhile: one may be the breaker's probe, or have brought a pause.
            guard gate(id).waitUntil(now: time.now(), account: account, route: route) == nil else {
                giveBack(taken, of: id)
                leave(id)
                continue
            }
            gates[id]?.breaker.begin(now: time.now())
            return taken
        }
    }

    private func gate(_ id: ProviderID) -> ProviderGate {
        if let gate = gates[id] { return gate }
        gates[id] = ProviderGate()
        return ProviderGate()
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
                gates[id]?.enqueue(SlotWaiter(id: waiter, continuation: continuation), urgency: urgency)
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
        gates[id]?.dequeue(waiter)?.continuation.resume(returning: reason)
    }

    private func leave(_ id: ProviderID) {
        gates[id]?.underWay -= 1
        wakeOne(id)
    }

    private func wakeOne(_ id: ProviderID) {
        gates[id]?.dequeueFirst()?.continuation.resume(returning: .slot)
    }

    /// Takes one request from each of the provider's limits; returns when to ask again where one has none left. What was
    /// taken until then is in `taken`, to be given back: one that could not be sent has cost nothing.
    private func take(
        _ taken: inout [TakenRequest], _ provider: Provider, account: AccountID?, urgency: Urgency
    ) async throws(ProviderRequestError) -> Timestamp? {
        for limit in provider.limits.requests {
            let sharer: String
            switch limit.per {
            case .client: sharer = "client"
            case .token:
                guard let account else { continue }
                sharer = account.rawValue
            }
            // Each limit counts for itself: several may concern the same client.
            let key = "\(sharer)/\(limit.window.wholeMilliseconds)"
            let now = time.now()
            if let held = gates[provider.id]?.take(key, urgency, now: now) {
                taken.append(held)
                continue
            }
            let allowance: Allowance
            do {
                allowance = try await database.allowances.withdraw(
                    provider: provider.id, key: key, count: limit.count, window: limit.window,
                    want: batch(of: limit, provider), reserve: urgency == .background ? limit.count / 5 : 0)
            } catch {
                throw .store(error)
            }
            guard allowance.granted > 0 else { return max(allowance.nextAt, now + .milliseconds(1)) }
            let request = TakenRequest(
                key: key, urgency: urgency, until: RequestAllowanceStore.endOfSlice(at: now, window: limit.window))
            gates[provider.id]?.grant(request, allowance.granted - 1)
            taken.append(request)
        }
        return nil
    }

    private func giveBack(_ taken: [TakenRequest], of id: ProviderID) {
        let now = time.now()
        for request in taken { gates[id]?.giveBack(request, now: now) }
    }

    /// How many requests are taken from the store at once. What is not used by the end of the slice lapses: a quarter of
    /// what the limit leaves to a slice, so that little is lost; and at most a second's worth, for a process that dies.
    private func batch(of limit: RequestLimit, _ provider: Provider) -> Int {
        guard limit.per == .client else { return 1 }
        let perSecond = Int(Double(limit.count) / max(limit.window.secondsAsDouble, 1))
        return max(
            1, min(limit.count / (4 * RequestAllowanceStore.slicesPerWindow), perSecond, provider.limits.concurrency))
    }

    // MARK: - What responses say

    private func observe(
        _ result: Result<TransferResponse, TransferError>, of provider: Provider, account: AccountID?, route: String
    ) async {
        let now = time.now()
        let id = provider.id
        count(result, of: provider, now: now)
        switch result {
        case .failure(let error):
            switch error {
            case .cancelled, .invalidRequest, .destinationRefused: gates[id]?.breaker.abandon()
            default: breakerFailed(provider, route: route, now: now)
            }
        case .success(let response):
            if let signal = provider.limitSignal(in: response, now: now) {
                await obey(signal, provider: provider, account: account, route: route)
            }
            if response.status >= 500 {
                breakerFailed(provider, route: route, now: now)
            } else if Self.metadataRoutes.contains(route) {
                gates[id]?.breaker.abandon()
            } else {
                gates[id]?.breaker.succeeded()
            }
            if provider.countsAsInvalidRequest(response, now: now), let budget = provider.limits.invalidRequests {
                let count = gates[id]?.countInvalid(now: now, window: budget.window) ?? 0
                // Far below the count at which the provider would ban this address.
                if count >= max(1, budget.count / 10) {
                    await store(
                        pause: now + .seconds(600), of: id, reason: .tooManyRefusals)
                }
            }
        }
    }

    private func count(_ result: Result<TransferResponse, TransferError>, of provider: Provider, now: Timestamp) {
        gates[provider.id]?.recent.add(now: now) { counts in
            counts.requests += 1
            switch result {
            case .failure(.cancelled): break
            case .failure: counts.failures += 1
            case .success(let response):
                if response.status >= 500 { counts.failures += 1 }
                if provider.limitSignal(in: response, now: now) != nil { counts.limited += 1 }
            }
        }
    }

    private func obey(_ signal: LimitSignal, provider: Provider, account: AccountID?, route: String) async {
        switch signal.reach {
        case .everyone:
            await store(pause: signal.until, of: provider.id, reason: .asked)
        case .route: gates[provider.id]?.routePauses[route] = signal.until
        // A request without an access token that is refused by a user's limit: whoever comes next by this route is
        // refused just so.
        case .token where !provider.carriesAccessToken(route: route):
            gates[provider.id]?.routePauses[route] = signal.until
        case .token:
            if let account { gates[provider.id]?.pause(account, until: signal.until, now: time.now()) }
        }
        if signal.isClamped {
            logger.warning(
                "A provider asks for a pause of more than a day",
                metadata: ["provider": "\(provider.id)", "until": "\(signal.until)"])
        }
    }

    private func breakerFailed(_ provider: Provider, route: String, now: Timestamp) {
        // What publishes the endpoints says nothing of the endpoints.
        if Self.metadataRoutes.contains(route) {
            gates[provider.id]?.breaker.abandon()
            return
        }
        guard let opened = gates[provider.id]?.breaker.failed(now: now, random: random) else { return }
        logger.warning(
            "A provider fails and is left alone",
            metadata: ["provider": "\(provider.id)", "until": "\(opened)"])
    }

    private func store(pause until: Timestamp, of id: ProviderID, reason: PauseReason) async {
        _ = gate(id)
        if let known = gates[id]?.pausedUntil, known >= until, ProviderGate.holds(known, now: time.now()) { return }
        gates[id]?.pausedUntil = until
        gates[id]?.pauseReason = reason
        logger.notice(
            "A provider is paused", metadata: ["provider": "\(id)", "until": "\(until)", "reason": "\(reason)"])
        do {
            try await database.schedule.pauseProvider(id, until: until, reason: reason.text)
        } catch {
            logger.error("A pause can't be stored", metadata: ["provider": "\(id)", "error": "\(error)"])
        }
    }

    private func readPauses() async {
        let now = time.now()
        if let readAt = pausesReadAt, now - readAt < Self.pausesMaximumAge, now >= readAt { return }
        pausesReadAt = now
        do {
            for pause in try await database.schedule.providerPauses() {
                _ = gate(pause.provider)
                let known = gates[pause.provider]?.pausedUntil ?? .epoch
                guard known < pause.until || !ProviderGate.holds(known, now: now) else { continue }
                gates[pause.provider]?.pausedUntil = pause.until
                gates[pause.provider]?.pauseReason = PauseReason(stored: pause.reason)
            }
        } catch {
            logger.error("Stored pauses can't be read", metadata: ["error": "\(error)"])
        }
    }
}

/// Leave to send one request to a provider. It holds one of the provider's slots.
struct Admission: Sendable {
    let provider: Provider
    let account: AccountID?
    let route: String
    fileprivate let taken: [TakenRequest]
}

/// Whether somebody waits for the answer.
package enum Urgency: Sendable {
    /// A person or a program waits: first in line, and soon told where it can't be now.
    case callerWaits
    /// Nobody waits: leaves a fifth of every limit to those who do.
    case background

    /// How long a request may wait to be admitted.
    var waitMax: Duration {
        switch self {
        case .callerWaits: .seconds(5)
        case .background: .seconds(20)
        }
    }
}

package enum ProviderRequestError: Error, Equatable {
    /// The provider is being left alone; nothing was sent.
    case paused(until: Timestamp, reason: PauseReason)
    case transfer(TransferError)
    case store(StoreError)

    package var disposition: Disposition {
        switch self {
        case .paused(let until, _): .wait(until: until, everyone: true)
        case .transfer(.destinationRefused), .transfer(.invalidRequest): .fixConfiguration
        case .transfer, .store: .retry
        }
    }

    package var problemCode: AccountProblem.Code {
        switch self {
        case .paused(_, let reason): reason.problemCode
        case .transfer(.destinationRefused), .transfer(.invalidRequest): .clientRefused
        case .transfer, .store: .providerUnavailable
        }
    }

    /// One sentence for a person.
    package var detail: String {
        switch self {
        case .paused(_, let reason): "The provider is left alone for now: \(reason)."
        case .transfer(let error): error.sentence
        case .store(let error): "The database failed: \(error)."
        }
    }
}

extension TransferError {
    package var sentence: String {
        switch self {
        case .destinationRefused(let reason): "The provider's address may not be reached: \(reason)."
        case .nameNotResolved(let host): "The name \(host) does not resolve."
        case .connectionFailed(let host): "\(host) accepts no connection."
        case .tlsFailed(let host, let reason): "TLS with \(host) failed: \(reason)."
        case .timedOut(let host): "\(host) took too long to answer."
        case .responseTooLarge(let limit): "The provider's answer is larger than \(limit) bytes."
        case .tooManyRedirects: "The provider redirects too often."
        case .malformedResponse(let reason): "The provider's answer can't be read: \(reason)."
        case .cancelled: "The request was cut short."
        case .invalidRequest(let reason): "The request can't be sent: \(reason)."
        }
    }
}
