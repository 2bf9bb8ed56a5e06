import Accounts
import Providers
import Store

/// What is known of one provider's readiness for requests.
final class ProviderGate {
    var underWay = 0
    private var waiters: [SlotWaiter] = []
    private var urgentWaiters: [SlotWaiter] = []
    private var lastWasUrgent = false
    var pausedUntil: Timestamp?
    var pauseReason = PauseReason.asked
    var routePauses: [String: Timestamp] = [:]
    var breaker = CircuitBreaker()
    var rate = LearnedRate()
    /// Of what is held of both.
    var governorChangedAt = Timestamp.epoch
    private var tokenPauses: [AccountID: Timestamp] = [:]
    private var grants: [Grant: (left: Int, until: Timestamp)] = [:]
    /// When a limit of all has something left again: until then nobody has to ask the store.
    private var usedUpUntil: [Grant: Timestamp] = [:]
    var recent = RecentCounts()
    private var callers: EventRate?
    /// What callers and tokens take of the budget.
    var taken = EventRate(over: .seconds(300))
    /// Requests of the background that wait for a limit or a slot: work is due.
    var backgroundWaiting = 0

    /// When the request may be tried again, where it may not be now.
    func waitUntil(now: Timestamp, account: AccountID?, route: String) -> Timestamp? {
        let pauses = [
            pausedUntil, routePauses[route], account.flatMap { tokenPauses[$0] }, breaker.waitUntil(now: now),
        ]
        return pauses.compactMap(\.self).filter { Self.holds($0, now: now) }.max()
    }

    /// Of the configured rate.
    func share(now: Timestamp) -> Double { rate.share(now: now) * breaker.ramp(now: now) }

    /// Requests that may be under way. Where the provider's limits are not known in numbers, less at once is the only
    /// less there is.
    func slots(_ limits: ProviderLimits, now: Timestamp) -> Int {
        guard limits.pacedRate == nil else { return limits.concurrency }
        return max(1, Int(Double(limits.concurrency) * share(now: now)))
    }

    /// When a caller may be served where callers take half of the limit, averaged over a minute, or over its window where
    /// that is longer, and work is due: what was promised of everybody's copies must stay payable. `nil`: now.
    func callersMayAgain(_ limits: ProviderLimits, now: Timestamp) -> Timestamp? {
        guard let limit = limits.tightest, let callers, isWorkDue(now: now) else { return nil }
        let half = limit.rate * share(now: now) / 2
        let wait = callers.wait(untilBelow: max(half, 2 * callers.one), now: now)
        return wait > .zero ? now + wait : nil
    }

    func callerAdmitted(_ limits: ProviderLimits, now: Timestamp) {
        guard let limit = limits.tightest else { return }
        if callers == nil { callers = EventRate(over: max(.seconds(60), limit.window)) }
        callers?.add(now: now)
    }

    /// As far as can be seen from here: somebody waits, or the background has had all that it may have.
    private func isWorkDue(now: Timestamp) -> Bool {
        backgroundWaiting > 0
            || usedUpUntil.contains { $0.key.urgency == .background && Self.holds($0.value, now: now) }
    }

    func restore(_ stored: StoredGovernor, now: Timestamp) {
        guard stored.changedAt > governorChangedAt else { return }
        governorChangedAt = stored.changedAt
        breaker.restore(stored)
        rate.restore(stored, now: now)
    }

    /// To be stored.
    func changed(now: Timestamp) -> StoredGovernor {
        governorChangedAt = now
        var stored = StoredGovernor(
            changedAt: now, rate: 1, rateAt: .epoch, openUntil: nil, openings: 0, closedAt: nil)
        breaker.store(in: &stored)
        rate.store(in: &stored)
        return stored
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

    func pause(_ account: AccountID, until: Timestamp, now: Timestamp) {
        // Bounded: what has run out says nothing any more.
        if tokenPauses.count > 10_000 { tokenPauses = tokenPauses.filter { $0.value > now } }
        tokenPauses[account] = until
    }

    /// Who waits may also use what was granted to the background, never the other way round.
    func take(_ key: String, _ urgency: Urgency, now: Timestamp) -> TakenRequest? {
        let usable: [Urgency] = urgency == .callerWaits ? [.callerWaits, .background] : [.background]
        for urgency in usable {
            let grant = Grant(key: key, urgency: urgency)
            guard let held = grants[grant], held.left > 0, held.until > now else { continue }
            grants[grant] = (held.left - 1, held.until)
            return TakenRequest(key: key, urgency: urgency, until: held.until)
        }
        return nil
    }

    func usedUp(_ key: String, _ urgency: Urgency, now: Timestamp) -> Timestamp? {
        usedUpUntil[Grant(key: key, urgency: urgency)].flatMap { Self.holds($0, now: now) ? $0 : nil }
    }

    func setUsedUp(_ key: String, _ urgency: Urgency, until: Timestamp) {
        usedUpUntil[Grant(key: key, urgency: urgency)] = until
    }

    /// `count` more of the kind of `request`. They lapse at the end of the slice that they were counted in: used later,
    /// they would stand in a window that does not know of them.
    func grant(_ request: TakenRequest, _ count: Int) {
        guard count > 0 else { return }
        grants[Grant(key: request.key, urgency: request.urgency)] = (count, request.until)
    }

    func giveBack(_ request: TakenRequest, now: Timestamp) {
        guard request.until > now else { return }
        let held = grants[Grant(key: request.key, urgency: request.urgency)]
        // One of a later slice has taken its place: this one lapses.
        if let held, held.until > request.until { return }
        grant(request, (held?.until == request.until ? held?.left ?? 0 : 0) + 1)
    }

    func enqueue(_ waiter: SlotWaiter, urgency: Urgency) {
        if urgency == .callerWaits { urgentWaiters.append(waiter) } else { waiters.append(waiter) }
    }

    /// In turn where both kinds wait: callers come first, and have half of the slots at most.
    func dequeueFirst() -> SlotWaiter? {
        if !urgentWaiters.isEmpty, !(lastWasUrgent && !waiters.isEmpty) {
            lastWasUrgent = true
            return urgentWaiters.removeFirst()
        }
        lastWasUrgent = false
        return waiters.isEmpty ? nil : waiters.removeFirst()
    }

    func dequeue(_ id: Int) -> SlotWaiter? {
        if let index = urgentWaiters.firstIndex(where: { $0.id == id }) { return urgentWaiters.remove(at: index) }
        return waiters.firstIndex { $0.id == id }.map { waiters.remove(at: $0) }
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
