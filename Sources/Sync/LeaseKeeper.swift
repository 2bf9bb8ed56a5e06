import Accounts
import Logging
import Store
import Synchronization

/// Prolongs the leases of all attempts that are under way, for as long as each takes: an attempt that outlives its lease
/// would be recorded by nobody, and made again without end. One timer serves them all, and one transaction those whose
/// turn has come.
final class LeaseKeeper: Sendable {
    private struct Held {
        var claim: SyncClaim
        var renewAt: Timestamp
        /// A transaction is under way that may move the end of the lease.
        var isRenewing = false
        /// The attempt is over and waits for that transaction: the record has to know the lease that is in the row.
        var waiter: CheckedContinuation<SyncClaim, Never>?
    }

    private struct State {
        var held: [Int: Held] = [:]
        var nextNumber = 0
        var hasTimer = false
    }

    private let schedule: SyncScheduleStore
    private let interval: Duration
    private let lease: Duration
    private let time: any TimeSource
    private let logger: Logger
    private let state = Mutex(State())

    /// - Parameter interval: between two renewals: twice within a lease, so that one that can't be stored has a second
    ///   chance.
    init(
        schedule: SyncScheduleStore, interval: Duration, lease: Duration, time: any TimeSource, logger: Logger
    ) {
        self.schedule = schedule
        self.interval = interval
        self.lease = lease
        self.time = time
        self.logger = logger
    }

    /// How many attempts are under way.
    var count: Int { state.withLock { $0.held.count } }

    /// Runs `body` and prolongs the lease meanwhile; returns the claim with the lease as it is then.
    func holding<Value>(_ claim: SyncClaim, _ body: () async -> Value) async -> (Value, SyncClaim) {
        let number = hold(claim)
        let value = await body()
        return (value, await end(number) ?? claim)
    }

    private func hold(_ claim: SyncClaim) -> Int {
        let renewAt = time.now() + interval
        let (number, startsTimer) = state.withLock { state in
            state.nextNumber += 1
            state.held[state.nextNumber] = Held(claim: claim, renewAt: renewAt)
            defer { state.hasTimer = true }
            return (state.nextNumber, !state.hasTimer)
        }
        if startsTimer { startTimer() }
        return number
    }

    /// It goes on beside the attempts and ends some time after the last of them: a sleep that was cancelled is kept by the
    /// runtime until its time has come, and thousands a second would pile up. Asleep it holds nothing.
    private func startTimer() {
        Task { [weak self, time] in
            while let (turn, left) = self?.next() {
                do { try await time.sleep(for: left) } catch { break }
                await self?.renew(upTo: turn)
            }
        }
    }

    private func end(_ number: Int) async -> SyncClaim? {
        let (claim, isRenewing) = state.withLock { state in
            let isRenewing = state.held[number]?.isRenewing == true
            return (isRenewing ? nil : state.held.removeValue(forKey: number)?.claim, isRenewing)
        }
        guard isRenewing else { return claim }
        return await withCheckedContinuation { continuation in
            let claim: SyncClaim? = state.withLock { state in
                if state.held[number]?.isRenewing == true {
                    state.held[number]?.waiter = continuation
                    return nil
                }
                return state.held.removeValue(forKey: number)?.claim
            }
            if let claim { continuation.resume(returning: claim) }
        }
    }

    /// When the next turn comes, and in how long.
    private func next() -> (turn: Timestamp, left: Duration)? {
        let now = time.now()
        return state.withLock { state in
            guard let turn = state.held.values.map(\.renewAt).min() else {
                state.hasTimer = false
                return nil
            }
            return (turn, min(max(turn - now, .zero), interval))
        }
    }

    /// All whose turn has come, by the clock or because it was waited for: one that was set back makes nobody wait longer.
    private func renew(upTo turn: Timestamp) async {
        let latest = max(time.now(), turn)
        let due = state.withLock { state in
            state.held.filter { $0.value.renewAt <= latest }.map { key, held in
                state.held[key]?.isRenewing = true
                return (key, held.claim)
            }
        }
        if due.isEmpty { return }
        var prolonged = [SyncClaim?](repeating: nil, count: due.count)
        do {
            prolonged = try await schedule.prolong(due.map(\.1), lease: lease)
        } catch {
            logger.error(
                "The leases of syncs can't be prolonged", metadata: ["leases": "\(due.count)", "error": "\(error)"])
        }
        let renewAt = time.now() + interval
        let over: [(CheckedContinuation<SyncClaim, Never>, SyncClaim)] = state.withLock { state in
            var over: [(CheckedContinuation<SyncClaim, Never>, SyncClaim)] = []
            for ((number, _), claim) in zip(due, prolonged) {
                guard var held = state.held[number] else { continue }
                if let claim { held.claim = claim }
                held.isRenewing = false
                held.renewAt = renewAt
                state.held[number] = held
                if let waiter = held.waiter {
                    state.held[number] = nil
                    over.append((waiter, held.claim))
                }
            }
            return over
        }
        for (waiter, claim) in over { waiter.resume(returning: claim) }
    }
}
