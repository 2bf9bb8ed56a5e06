import Synchronization

/// Holds back whoever arrives until the test lets them pass.
package final class Barrier: Sendable {
    private struct State {
        var isOpen = false
        var arrived = 0
        var held: [CheckedContinuation<Void, Never>] = []
        var watchers: [(count: Int, continuation: CheckedContinuation<Void, Never>)] = []
    }

    private let state = Mutex(State())

    package init() {}

    package func pass() async {
        await withCheckedContinuation { continuation in
            let (passes, watchers) = state.withLock { state in
                state.arrived += 1
                let count = state.arrived
                let watchers = state.watchers.filter { $0.count <= count }
                state.watchers.removeAll { $0.count <= count }
                if !state.isOpen { state.held.append(continuation) }
                return (state.isOpen, watchers.map(\.continuation))
            }
            for watcher in watchers { watcher.resume() }
            if passes { continuation.resume() }
        }
    }

    package func arrivals(atLeast count: Int = 1) async {
        await withCheckedContinuation { continuation in
            let isThere = state.withLock { state in
                if state.arrived >= count { return true }
                state.watchers.append((count, continuation))
                return false
            }
            if isThere { continuation.resume() }
        }
    }

    package func open() {
        let held = state.withLock { state in
            state.isOpen = true
            defer { state.held = [] }
            return state.held
        }
        for continuation in held { continuation.resume() }
    }
}
