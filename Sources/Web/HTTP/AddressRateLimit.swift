import Accounts
import Synchronization

/// A token bucket for each client address, in bounded memory. One number is kept of each: when its bucket will be full
/// again (the generic cell rate algorithm), so that a full bucket needs no entry at all.
final class AddressRateLimit: Sendable {
    /// Requests that may come at once.
    let burst: Int
    /// The time in which one more is allowed.
    let interval: Duration
    private let entriesMax: Int
    private let state = Mutex(State())

    private struct State {
        var fullAt: [ClientAddress: Timestamp] = [:]
        var purgeAt = Timestamp.epoch
    }

    init(burst: Int, interval: Duration, entriesMax: Int = 10_000) {
        self.burst = burst
        self.interval = interval
        self.entriesMax = entriesMax
    }

    /// Takes a token; answers how long to wait where there is none. Requests without an address (a Unix socket) pass.
    func take(_ client: ClientAddress?, now: Timestamp) -> Duration? {
        guard let key = client?.limitKey else { return nil }
        return state.withLock { state in
            let capacity = interval * burst
            // A clock set back must not lock anyone out for longer than an empty bucket takes to fill.
            let current = min(max(state.fullAt[key] ?? now, now), now + capacity)
            let next = current + interval
            if next - now > capacity {
                state.fullAt[key] = current
                return next - now - capacity
            }
            if state.fullAt[key] == nil, state.fullAt.count >= entriesMax { makeRoom(in: &state, now: now) }
            state.fullAt[key] = next
            return nil
        }
    }

    /// How long until there is a token again; `nil` where there is one. Takes none.
    func wait(_ client: ClientAddress?, now: Timestamp) -> Duration? {
        guard let key = client?.limitKey, let fullAt = state.withLock({ $0.fullAt[key] }) else { return nil }
        let capacity = interval * burst
        let next = min(max(fullAt, now), now + capacity) + interval
        return next - now > capacity ? next - now - capacity : nil
    }

    var entries: Int { state.withLock { $0.fullAt.count } }

    private func makeRoom(in state: inout State, now: Timestamp) {
        if now >= state.purgeAt {
            state.fullAt = state.fullAt.filter { $0.value > now }
            state.purgeAt = now + interval * burst
        }
        // A flood from more addresses than there is room for: forget one, whichever comes first.
        if state.fullAt.count >= entriesMax, let any = state.fullAt.first?.key { state.fullAt[any] = nil }
    }
}
