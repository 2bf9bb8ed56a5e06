package import Accounts
package import Linking
package import Providers
package import Store

/// A sync that a caller asks for ahead of its time. Callers who ask for the same account at once share one attempt.
package actor SyncOnDemand {
    package enum Answer: Sendable, Equatable {
        /// The copy is as young as there is: just fetched, or younger than the provider's minimum interval.
        case synced
        /// Under way or waiting its turn when the caller's time was up.
        case pending
        case failed(SyncFailure)
        /// An operator has stopped the syncing of the account.
        case paused
        case noSuchAccount
    }

    /// How long to wait before looking again at a lease that another process holds.
    private static let retryPause: Duration = .milliseconds(100)

    private let catalog: ProviderCatalog
    private let schedule: SyncScheduleStore
    private let accounts: AccountStore
    private let accountSync: AccountSync
    private let planner: SyncPlanner?
    private let client: ProviderClient?
    private let owner: String
    private let time: any TimeSource
    private var underWay: [AccountID: Task<Void, Never>] = [:]
    private var isFinishing = false
    private var idle: CheckedContinuation<Void, Never>?
    private var waiters: [AccountID: [Int: Waiter]] = [:]
    private var nextWaiter = 0

    private struct Waiter {
        var continuation: CheckedContinuation<Answer, Never>
        var timer: Task<Void, Never>
    }

    /// - Parameters:
    ///   - planner: says which reads are worth a request; without one none is.
    ///   - client: knows whether a request can be sent now.
    package init(
        catalog: ProviderCatalog, schedule: SyncScheduleStore, accounts: AccountStore, accountSync: AccountSync,
        planner: SyncPlanner? = nil, client: ProviderClient? = nil, owner: String, time: any TimeSource
    ) {
        self.catalog = catalog
        self.planner = planner
        self.client = client
        self.schedule = schedule
        self.accounts = accounts
        self.accountSync = accountSync
        self.owner = owner
        self.time = time
    }

    /// - Parameter limit: how long to wait for the outcome. Without it, or once it has passed, the account is made due
    ///   at once (or the attempt goes on) and the answer is `.pending`, as it is for a caller who is cancelled.
    package func sync(_ id: AccountID, waitingAtMost limit: Duration?) async throws(StoreError) -> Answer {
        guard let account = try await accounts.account(id) else { return .noSuchAccount }
        let isYoung = isYoung(account)
        guard let limit, !isFinishing else {
            if isYoung { return .synced }
            _ = try await schedule.expedite(id, at: time.now())
            return .pending
        }
        // Whoever asks, no token of such an account is used.
        switch account.status {
        case .active, .suspended: break
        case .paused: return .paused
        case .needsRelink:
            let code = account.problem?.code ?? .consentRevoked
            let detail = account.problem?.detail ?? "The user has to link the account again."
            return .failed(SyncFailure(disposition: .relink(code), code: code, detail: detail))
        }
        if isYoung { return .synced }
        nextWaiter += 1
        let waiter = nextWaiter
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let timer = Task { [time] in
                    // Cancelled as soon as the attempt is over.
                    guard (try? await time.sleep(for: limit)) != nil else { return }
                    self.giveUp(waiter, on: id)
                }
                waiters[id, default: [:]][waiter] = Waiter(continuation: continuation, timer: timer)
                if underWay[id] == nil { underWay[id] = Task { self.end(id, with: await self.attempt(id)) } }
            }
        } onCancel: {
            // Its turn comes once the waiter is entered: until then this actor is busy.
            Task { await self.giveUp(waiter, on: id) }
        }
    }

    /// For a read that leaves it to the service: waits for a new copy, no longer than `limit`, where that is worth a request
    /// and one can be sent now.
    /// - Returns: the chance that the copy that there is then is what the provider would say; `nil` where nobody
    ///   knows.
    package func refreshIfWorthIt(_ id: AccountID, waitingAtMost limit: Duration) async throws(StoreError) -> Double? {
        guard let account = try await schedule.readAccount(id) else { return nil }
        if let planner, let provider = catalog[account.provider],
            planner.isWorthARequest(account, provider: provider, now: time.now()),
            await client?.backgroundRoom(of: [provider])[provider.id] ?? 1 > 0
        {
            _ = try await sync(id, waitingAtMost: limit)
        }
        guard let planner, let fetched = try await schedule.readAccount(id) else { return nil }
        return planner.freshProbability(fetched, now: time.now())
    }

    /// Whether the copy is younger than the provider may be asked for another, whoever asks.
    private func isYoung(_ account: LinkedAccount) -> Bool {
        guard let syncedAt = account.syncedAt, let provider = catalog[account.provider] else { return false }
        let age = time.now() - syncedAt
        return age >= .zero && age < provider.syncPolicy.minimumInterval
    }

    /// At the end of the program: begins nothing more, waits for what is under way, and cuts short what is not done
    /// within `limit`, so that its account is handed back rather than held until its lease ends.
    package func finish(within limit: Duration = .seconds(5)) async {
        isFinishing = true
        await untilIdle(atMost: limit)
        for task in underWay.values { task.cancel() }
        // A refresh under way can't be cut short; its tokens are kept by whoever made it.
        await untilIdle(atMost: .seconds(1))
        for id in waiters.keys { end(id, with: .pending) }
    }

    private func untilIdle(atMost limit: Duration) async {
        if underWay.isEmpty { return }
        let timer = Task { [time] in
            // Cancelled as soon as nothing is under way.
            guard (try? await time.sleep(for: limit)) != nil else { return }
            self.wakeIdle()
        }
        await withCheckedContinuation { idle = $0 }
        timer.cancel()
    }

    private func wakeIdle() {
        idle?.resume()
        idle = nil
    }

    private func giveUp(_ waiter: Int, on id: AccountID) {
        guard let waiter = waiters[id]?.removeValue(forKey: waiter) else { return }
        waiter.timer.cancel()
        waiter.continuation.resume(returning: .pending)
    }

    private func end(_ id: AccountID, with answer: Answer) {
        underWay[id] = nil
        if underWay.isEmpty { wakeIdle() }
        for waiter in (waiters.removeValue(forKey: id) ?? [:]).values {
            waiter.timer.cancel()
            waiter.continuation.resume(returning: answer)
        }
    }

    private func attempt(_ id: AccountID) async -> Answer {
        // A little longer than a lease lasts: by then the claim is ours in any case.
        let askedAt = time.now()
        while time.now() <= askedAt + SyncPass.lease + .seconds(1) {
            do {
                if let claim = try await schedule.claim(id, owner: owner, lease: SyncPass.lease) {
                    // Someone else was at it and has finished meanwhile: that is the younger copy.
                    if let syncedAt = claim.account.syncedAt, syncedAt > askedAt {
                        try await schedule.release([claim])
                        return .synced
                    }
                    switch await accountSync.run(claim, urgency: .callerWaits) {
                    case .updated, .unchanged: return .synced
                    case .failed(let failure): return .failed(failure)
                    case .abandoned: return try await accounts.account(id) == nil ? .noSuchAccount : .pending
                    }
                }
                guard try await accounts.account(id) != nil else { return .noSuchAccount }
                try await time.sleep(for: Self.retryPause)
            } catch {
                // The store does not answer, or the program ends: the account stays as it is.
                return .pending
            }
        }
        return .pending
    }
}
