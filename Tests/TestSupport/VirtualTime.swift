package import Accounts
import Synchronization

/// Time that moves only when a test says so. A sleeper wakes when the time it waits for is reached.
package final class VirtualTime: TimeSource {
    private struct State {
        var now: Timestamp
        var nextSleeper = 0
        var sleepers: [Int: (wakesAt: Timestamp, continuation: CheckedContinuation<Void, any Error>)] = [:]
        var watchers: [(count: Int, continuation: CheckedContinuation<Void, Never>)] = []
    }

    private let state: Mutex<State>

    /// 2026-11-20T14:42:53Z, the instant around which the provider samples are set.
    package init(startingAt now: Timestamp = Timestamp(secondsSinceEpoch: 1_795_185_773)) {
        state = Mutex(State(now: now))
    }

    package func now() -> Timestamp { state.withLock { $0.now } }

    package func advance(by duration: Duration) {
        let woken = state.withLock { state in
            state.now = state.now + duration
            let due = state.sleepers.filter { $0.value.wakesAt <= state.now }
            for key in due.keys { state.sleepers[key] = nil }
            return due.values.map(\.continuation)
        }
        for continuation in woken { continuation.resume() }
    }

    /// Sets the clock as an operator might, backwards too; sleepers count elapsed time and stay asleep.
    package func jump(to instant: Timestamp) {
        state.withLock { state in
            let step = instant - state.now
            state.now = instant
            for id in state.sleepers.keys { state.sleepers[id]!.wakesAt = state.sleepers[id]!.wakesAt + step }
        }
    }

    /// Returns once at least `count` tasks are asleep: the signal to wait for before `advance`.
    package func sleepers(atLeast count: Int) async {
        await withCheckedContinuation { continuation in
            let ready = state.withLock { state in
                if state.sleepers.count >= count { return true }
                state.watchers.append((count, continuation))
                return false
            }
            if ready { continuation.resume() }
        }
    }

    package func sleep(for duration: Duration) async throws {
        if duration <= .zero { return try Task.checkCancellation() }
        let id = state.withLock { state in
            state.nextSleeper += 1
            return state.nextSleeper
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let (cancelled, watchers) = state.withLock { state in
                    if Task.isCancelled { return (true, [CheckedContinuation<Void, Never>]()) }
                    state.sleepers[id] = (state.now + duration, continuation)
                    let ready = state.watchers.filter { $0.count <= state.sleepers.count }
                    state.watchers.removeAll { $0.count <= state.sleepers.count }
                    return (false, ready.map(\.continuation))
                }
                if cancelled { continuation.resume(throwing: CancellationError()) }
                for watcher in watchers { watcher.resume() }
            }
        } onCancel: {
            state.withLock { $0.sleepers.removeValue(forKey: id) }?.continuation.resume(throwing: CancellationError())
        }
    }
}

/// A repeatable sequence (SplitMix64): the same seed, the same bytes.
package final class SeededRandom: RandomSource {
    private let state: Mutex<UInt64>

    package init(seed: UInt64 = 1) { state = Mutex(seed) }

    package func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in
            state.withLock { state in
                state &+= 0x9e37_79b9_7f4a_7c15
                var mixed = state
                mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
                mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
                return UInt8(truncatingIfNeeded: mixed ^ (mixed >> 31))
            }
        }
    }
}

/// Time that passes only in sleep: whoever sleeps wakes at once, later. For tests in which one task waits at a time.
package final class SkippingTime: TimeSource {
    private let clock = VirtualTime()

    package init() {}

    package func now() -> Timestamp { clock.now() }
    package func advance(by duration: Duration) { clock.advance(by: duration) }

    package func sleep(for duration: Duration) async throws {
        try Task.checkCancellation()
        if duration > .zero { clock.advance(by: duration) }
    }
}
