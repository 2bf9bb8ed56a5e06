import Accounts
import Store

/// What is known of one provider's readiness for requests.
struct ProviderGate {
    var underWay = 0
    private var waiters: [SlotWaiter] = []
    private var urgentWaiters: [SlotWaiter] = []
    private var lastWasUrgent = false
    var pausedUntil: Timestamp?
    var pauseReason = PauseReason.asked
    var routePauses: [String: Timestamp] = [:]
    var breaker = CircuitBreaker()
    private var tokenPauses: [AccountID: Timestamp] = [:]
    private var grants: [Grant: (left: Int, until: Timestamp)] = [:]
    private var invalidAt: [Timestamp] = []
    var recent = RecentCounts()

    /// When the request may be tried again, where it may not be now.
    func waitUntil(now: Timestamp, account: AccountID?, route: String) -> Timestamp? {
        let pauses = [
            pausedUntil, routePauses[route], account.flatMap { tokenPauses[$0] }, breaker.waitUntil(now: now),
        ]
        return pauses.compactMap(\.self).filter { Self.holds($0, now: now) }.max()
    }

    /// A pause longer than any can be was begun by a clock that was ahead.
    static func holds(_ until: Timestamp, now: Timestamp) -> Bool {
        until > now && until <= now + SyncScheduleStore.pauseMax
    }

    /// Of what holds up longest.
    func reason(now: Timestamp, account: AccountID?, route: String) -> PauseReason {
        let until = waitUntil(now: now, account: account, route: route)
        if let pausedUntil, Self.holds(pausedUntil, now: now), pausedUntil == until { return pauseReason }
        return breaker.waitUntil(now: now).map { $0 == until } == true ? .failing : .asked
    }

    mutating func pause(_ account: AccountID, until: Timestamp, now: Timestamp) {
        // Bounded: what has run out says nothing any more.
        if tokenPauses.count > 10_000 { tokenPauses = tokenPauses.filter { $0.value > now } }
        tokenPauses[account] = until
    }

    /// Who waits may also use what was granted to the background, never the other way round.
    mutating func take(_ key: String, _ urgency: Urgency, now: Timestamp) -> TakenRequest? {
        let usable: [Urgency] = urgency == .callerWaits ? [.callerWaits, .background] : [.background]
        for urgency in usable {
            let grant = Grant(key: key, urgency: urgency)
            guard let held = grants[grant], held.left > 0, held.until > now else { continue }
            grants[grant] = (held.left - 1, held.until)
            return TakenRequest(key: key, urgency: urgency, until: held.until)
        }
        return nil
    }

    /// `count` more of the kind of `request`. They lapse at the end of the slice that they were counted in: used later,
    /// they would stand in a window that does not know of them.
    mutating func grant(_ request: TakenRequest, _ count: Int) {
        guard count > 0 else { return }
        grants[Grant(key: request.key, urgency: request.urgency)] = (count, request.until)
    }

    mutating func giveBack(_ request: TakenRequest, now: Timestamp) {
        guard request.until > now else { return }
        let held = grants[Grant(key: request.key, urgency: request.urgency)]
        // One of a later slice has taken its place: this one lapses.
        if let held, held.until > request.until { return }
        grant(request, (held?.until == request.until ? held?.left ?? 0 : 0) + 1)
    }

    mutating func enqueue(_ waiter: SlotWaiter, urgency: Urgency) {
        if urgency == .callerWaits { urgentWaiters.append(waiter) } else { waiters.append(waiter) }
    }

    /// In turn where both kinds wait: callers come first, and have half of the slots at most.
    mutating func dequeueFirst() -> SlotWaiter? {
        if !urgentWaiters.isEmpty, !(lastWasUrgent && !waiters.isEmpty) {
            lastWasUrgent = true
            return urgentWaiters.removeFirst()
        }
        lastWasUrgent = false
        return waiters.isEmpty ? nil : waiters.removeFirst()
    }

    mutating func dequeue(_ id: Int) -> SlotWaiter? {
        if let index = urgentWaiters.firstIndex(where: { $0.id == id }) { return urgentWaiters.remove(at: index) }
        return waiters.firstIndex { $0.id == id }.map { waiters.remove(at: $0) }
    }

    func invalidCount(now: Timestamp, window: Duration) -> Int { invalidAt.count { now - $0 <= window && $0 <= now } }

    mutating func countInvalid(now: Timestamp, window: Duration) -> Int {
        invalidAt.append(now)
        invalidAt.removeAll { now - $0 > window }
        return invalidAt.count
    }
}

/// One request taken from one limit.
struct TakenRequest: Sendable {
    let key: String
    /// Whose grant it came from.
    let urgency: Urgency
    let until: Timestamp
}

private struct Grant: Hashable {
    var key: String
    var urgency: Urgency
}

/// A request that waits for one of the provider's slots.
struct SlotWaiter {
    enum Reason { case slot, cancelled, deadline }

    let id: Int
    let continuation: CheckedContinuation<Reason, Never>
}

/// Five failures in a row open it for 30 s, doubling to 15 min; then one request at a time probes, and three successes
/// close it.
struct CircuitBreaker {
    private static let failuresMax = 5
    private static let probeSuccesses = 3

    private var failures = 0
    private var openings = 0
    private var openUntil: Timestamp?
    private var probeBegunAt: Timestamp?
    private var successes = 0

    func waitUntil(now: Timestamp) -> Timestamp? {
        guard let openUntil else { return nil }
        if openUntil > now { return openUntil }
        // Half open: one probe at a time; one that never came back makes room after five seconds.
        guard let probeBegunAt, now - probeBegunAt < .seconds(5) else { return nil }
        return probeBegunAt + .seconds(5)
    }

    func state(now: Timestamp) -> RequestTraffic.Circuit {
        guard let openUntil else { return .closed }
        return openUntil > now ? .open(until: openUntil) : .halfOpen
    }

    mutating func begin(now: Timestamp) { if openUntil != nil { probeBegunAt = now } }
    mutating func abandon() { probeBegunAt = nil }

    mutating func succeeded() {
        failures = 0
        probeBegunAt = nil
        guard openUntil != nil else { return }
        successes += 1
        if successes >= Self.probeSuccesses {
            openUntil = nil
            openings = 0
        }
    }

    /// Returns until when it is open, where this failure opened it.
    mutating func failed(now: Timestamp, random: any RandomSource) -> Timestamp? {
        failures += 1
        probeBegunAt = nil
        guard openUntil != nil || failures >= Self.failuresMax else { return nil }
        if let openUntil, openUntil > now { return nil }
        let pause = min(30 * Double(1 << min(openings, 10)), 900) * random.uniform(0.8...1.2)
        openings += 1
        successes = 0
        failures = 0
        openUntil = now + .milliseconds(Int64(pause * 1000))
        return openUntil
    }
}
