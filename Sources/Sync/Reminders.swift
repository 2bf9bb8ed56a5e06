import Accounts

/// Many waits of one length, of which nearly all are called off. One timer serves them all: a sleep that was cancelled is
/// kept by the runtime until its time has come, and thousands a second would pile up.
actor Reminders {
    private let time: any TimeSource
    private let duration: Duration
    private var waiting: [Int: CheckedContinuation<Bool, Never>] = [:]
    /// In the order of entry; those called off are dropped in passing.
    private var queue: [(id: Int, end: Timestamp)] = []
    private var ticker: Task<Void, Never>?
    private var nextID = 0

    var count: Int { waiting.count }

    init(after duration: Duration, time: any TimeSource) {
        self.duration = duration
        self.time = time
    }

    /// True once the time has passed, false where the caller is cancelled before.
    func wait() async -> Bool {
        nextID += 1
        let id = nextID
        let end = time.now() + duration
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                if Task.isCancelled { return continuation.resume(returning: false) }
                waiting[id] = continuation
                queue.append((id, end))
                if queue.count > 2 * waiting.count + 64 { queue.removeAll { waiting[$0.id] == nil } }
                if ticker == nil { ticker = Task { await tick() } }
            }
        } onCancel: {
            // Its turn comes once the wait is entered: until then this actor is busy.
            Task { await self.callOff(id) }
        }
    }

    private func callOff(_ id: Int) { waiting.removeValue(forKey: id)?.resume(returning: false) }

    private func tick() async {
        while let first = queue.first(where: { waiting[$0.id] != nil }) {
            // A clock that was set back makes nobody wait longer.
            let left = min(max(first.end - time.now(), .zero), duration)
            do { try await time.sleep(for: left) } catch { break }
            let now = time.now()
            for entry in queue where entry.id == first.id || entry.end <= now {
                waiting.removeValue(forKey: entry.id)?.resume(returning: true)
            }
            queue.removeAll { waiting[$0.id] == nil }
        }
        ticker = nil
    }
}
