import Accounts
import Foundation

/// Runs every task of the process on one thread, and lets time pass only where none of them can go on: a day takes
/// minutes, and nobody is early or late because of what else this machine has to do.
final class EventLoop: TimeSource {
    private struct State {
        var now: Timestamp
        var jobs: [UnownedJob] = []
        /// Of the first that has not run.
        var next = 0
        var alarms = AlarmHeap()
        var sleepers: [Int: CheckedContinuation<Void, any Error>] = [:]
        var lastSleeper = 0
    }

    // Every access holds `changed`, which the runtime's threads share with this one.
    nonisolated(unsafe) private var state: State
    private let changed = NSCondition()
    private let executor = HereExecutor()

    private init(startingAt now: Timestamp) { state = State(now: now) }

    // Set before the first task begins, and never again.
    nonisolated(unsafe) private static var current: EventLoop?

    /// Once in a process: whatever the runtime would run on its own threads runs in `run` from then on.
    static func takeOver(startingAt now: Timestamp) -> EventLoop? {
        typealias Enqueue = @convention(thin) (UnownedJob) -> Void
        typealias Hook = @convention(thin) (UnownedJob, Enqueue) -> Void
        guard let symbol = dlsym(dlopen(nil, RTLD_LAZY), "swift_task_enqueueGlobal_hook") else { return nil }
        let loop = EventLoop(startingAt: now)
        current = loop
        let hook: Hook = { job, _ in EventLoop.current?.enqueue(job) }
        symbol.assumingMemoryBound(to: Hook?.self).pointee = hook
        return loop
    }

    private func enqueue(_ job: UnownedJob) {
        changed.withLock {
            state.jobs.append(job)
            changed.signal()
        }
    }

    /// - Parameter isIdle: nothing is under way on threads that this loop does not know.
    func run(isIdle: () -> Bool, until isDone: () -> Bool) {
        while true {
            if let job = nextJob() {
                job.runSynchronously(on: executor.asUnownedTaskExecutor())
            } else if isDone() {
                return
            } else if !isIdle() {
                changed.withLock {
                    if state.jobs.isEmpty { _ = changed.wait(until: Date(timeIntervalSinceNow: 0.001)) }
                }
            } else if !letTimePass() {
                return
            }
        }
    }

    private func nextJob() -> UnownedJob? {
        changed.withLock {
            guard state.next < state.jobs.count else {
                state.jobs.removeAll(keepingCapacity: true)
                state.next = 0
                return nil
            }
            defer { state.next += 1 }
            return state.jobs[state.next]
        }
    }

    /// False where nobody waits for anything any more.
    private func letTimePass() -> Bool {
        let woken: [CheckedContinuation<Void, any Error>]? = changed.withLock {
            // Somebody came in the meantime.
            if !state.jobs.isEmpty { return [] }
            var woken: [CheckedContinuation<Void, any Error>] = []
            while woken.isEmpty {
                guard let first = state.alarms.popFirst() else { return nil }
                guard let sleeper = state.sleepers.removeValue(forKey: first.id) else { continue }
                state.now = max(state.now, first.at)
                woken.append(sleeper)
                while let next = state.alarms.first, next.at <= state.now {
                    _ = state.alarms.popFirst()
                    if let sleeper = state.sleepers.removeValue(forKey: next.id) { woken.append(sleeper) }
                }
            }
            return woken
        }
        guard let woken else { return false }
        for sleeper in woken { sleeper.resume() }
        return true
    }

    // MARK: - TimeSource

    func now() -> Timestamp { changed.withLock { state.now } }

    func sleep(for duration: Duration) async throws {
        if duration <= .zero { return try Task.checkCancellation() }
        let id = changed.withLock {
            state.lastSleeper += 1
            return state.lastSleeper
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let isCancelled = changed.withLock {
                    if Task.isCancelled { return true }
                    state.sleepers[id] = continuation
                    state.alarms.insert(Alarm(at: state.now + duration, id: id))
                    return false
                }
                if isCancelled { continuation.resume(throwing: CancellationError()) }
            }
        } onCancel: {
            changed.withLock { state.sleepers.removeValue(forKey: id) }?.resume(throwing: CancellationError())
        }
    }
}

/// Names the thread that the loop runs on; what it is given goes through the loop.
private final class HereExecutor: TaskExecutor {
    func enqueue(_ job: consuming ExecutorJob) {
        UnownedJob(job).runSynchronously(on: asUnownedTaskExecutor())
    }
}

struct Alarm: Comparable {
    var at: Timestamp
    /// Of two at the same instant the one that was set first comes first.
    var id: Int

    static func < (left: Alarm, right: Alarm) -> Bool { (left.at, left.id) < (right.at, right.id) }
}

struct AlarmHeap {
    private var alarms: [Alarm] = []

    var first: Alarm? { alarms.first }

    mutating func insert(_ alarm: Alarm) {
        alarms.append(alarm)
        var index = alarms.count - 1
        while index > 0, alarms[index] < alarms[(index - 1) / 2] {
            alarms.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    mutating func popFirst() -> Alarm? {
        guard let first = alarms.first else { return nil }
        let last = alarms.removeLast()
        guard !alarms.isEmpty else { return first }
        alarms[0] = last
        var index = 0
        while true {
            var least = index
            for child in [2 * index + 1, 2 * index + 2]
            where child < alarms.count && alarms[child] < alarms[least] { least = child }
            if least == index { return first }
            alarms.swapAt(index, least)
            index = least
        }
    }
}
