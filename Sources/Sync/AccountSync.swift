package import Accounts
import Freshness
import JSON
package import Linking
package import Logging
package import Providers
package import Store
import Synchronization
package import Telemetry

/// One account from claim to record: a valid token, a conditional fetch, one renewal where the token was refused, and
/// one transaction that keeps what came of it. The lease is prolonged for as long as that takes (`LeaseKeeper`).
package struct AccountSync: Sendable {
    /// Twice within a lease: one that can't be stored has a second chance.
    static let leaseRenewal: Duration = SyncPass.lease / 3

    private let catalog: ProviderCatalog
    private var schedule: SyncScheduleStore
    private let planner: SyncPlanner?
    private let tokens: AccessTokens
    private let profiles: ProfileFetch
    private let figures: SyncFigures
    private let telemetry: Telemetry
    private let time: any TimeSource
    private let leases: LeaseKeeper
    private let random: any RandomSource
    private let logger: Logger

    /// - Parameters:
    ///   - planner: without one every account is fetched once an interval.
    ///   - figures: told of every outcome; its own where nobody wants to know.
    package init(
        catalog: ProviderCatalog, schedule: SyncScheduleStore, planner: SyncPlanner? = nil, tokens: AccessTokens,
        profiles: ProfileFetch, figures: SyncFigures? = nil, telemetry: Telemetry = Telemetry(),
        time: any TimeSource, random: any RandomSource, logger: Logger
    ) {
        self.catalog = catalog
        self.schedule = schedule
        self.planner = planner
        self.tokens = tokens
        self.profiles = profiles
        self.figures = figures ?? SyncFigures(time: time)
        self.telemetry = telemetry
        self.time = time
        leases = LeaseKeeper(
            schedule: schedule, interval: Self.leaseRenewal, lease: SyncPass.lease, time: time, logger: logger)
        self.random = random
        self.logger = logger
    }

    /// The same, for a task on a thread of its own (`SyncScheduleStore.onCallersThread`).
    var onCallersThread: AccountSync {
        var copy = self
        copy.schedule = schedule.onCallersThread
        return copy
    }

    /// Never throws: whatever happens is recorded at the account, and its lease is freed.
    package func run(_ claim: SyncClaim, urgency: Urgency = .background) async -> SyncOutcome {
        if urgency == .background, let provider = catalog[claim.provider],
            let later = planner?.postponement(claim, provider: provider, now: time.now())
        {
            do {
                _ = try await schedule.postpone(claim, to: later.due, plan: later.plan)
                return .abandoned
            } catch {
                // Then it is synced, though it need not be.
                logger.error(
                    "A plan can't be stored", metadata: ["account": "\(claim.account.id)", "error": "\(error)"])
            }
        }
        let (result, claim) = await leases.holding(claim) {
            var attempt = await attempt(claim, urgency: urgency)
            attempt.isCutShort = Task.isCancelled
            return attempt
        }
        do {
            // A failure that the end of the program brought about is not the account's.
            if case .failed = result.outcome, result.isCutShort {
                try await schedule.release([claim])
                return .abandoned
            }
            guard try await schedule.record(self.result(of: result, claim: claim), for: claim) else {
                return .abandoned
            }
            if case .failed(let failure) = result.outcome, case .relink = failure.disposition,
                try await !schedule.needsRelink(claim.account.id)
            {
                // Another token took the place of the one that was refused; the account is due again at once.
                return .abandoned
            }
            log(result.outcome, claim)
            count(result, claim, isOnDemand: urgency == .callerWaits)
            return result.outcome
        } catch {
            logger.error(
                "The outcome of a sync can't be stored",
                metadata: ["account": "\(claim.account.id)", "error": "\(error)"])
            return .abandoned
        }
    }

    private struct Attempt: Sendable {
        var outcome: SyncOutcome
        var content: SyncResult.Content = .failed
        var freshFor: Duration?
        var isCutShort = false
        /// Of the credential with which the profile was asked for.
        var generation: Int64?
    }

    private func attempt(_ claim: SyncClaim, urgency: Urgency) async -> Attempt {
        let account = claim.account
        guard let provider = catalog[account.provider], provider.isReady else {
            return failed(.fixConfiguration, .providerNotConfigured, "The provider is not configured any more.")
        }
        let cached = CachedContent(schedule, claim)
        let previous = ProfileFetch.Previous(
            validators: claim.validators, mapping: claim.mapping, isThere: claim.contentHash != nil
        ) { try cached.read()?.raw }
        do {
            var credential = try await tokens.token(
                for: account.id, provider: provider, minTTL: .zero, urgency: urgency, having: claim.credential)
            var fetched = await profiles.fetch(
                provider: provider, account: account.id, credential: credential.credential,
                previous: previous,
                urgency: urgency)
            if case .failed(.resource(.unauthorized)) = fetched, !isSettling(credential, provider) {
                credential = try await tokens.renew(
                    after: credential, for: account.id, provider: provider, urgency: urgency)
                fetched = await profiles.fetch(
                    provider: provider, account: account.id, credential: credential.credential,
                    previous: previous,
                    urgency: urgency)
            }
            if case .failed(.resource(.unauthorized)) = fetched, isSettling(credential, provider) {
                return failed(.retry, .providerUnavailable, "The provider does not accept the new access token yet.")
            }
            var attempt = attempt(from: fetched, claim: claim)
            attempt.generation = credential.generation
            return attempt
        } catch {
            // A grant that is dead was marked by `AccessTokens`, unless another took its place meanwhile.
            return failed(error.disposition, error.problemCode, error.detail)
        }
    }

    /// Whether the token is so new that the provider may not know it everywhere.
    private func isSettling(_ stored: StoredCredential, _ provider: Provider) -> Bool {
        let age = time.now() - stored.credential.obtainedAt
        // The first came with the link, and served it.
        return stored.generation > 1 && age >= .zero && age < provider.tokenSettling
    }

    private func attempt(from fetched: ProfileFetchResult, claim: SyncClaim) -> Attempt {
        switch fetched {
        case .notModified(let validators, let freshFor):
            return Attempt(outcome: .unchanged, content: .unchanged(validators: validators), freshFor: freshFor)
        case .profile(let profile, let freshFor):
            guard profile.subject == claim.account.subject else {
                return failed(
                    .retry, .unexpectedResponse, "The provider answered with another person's profile.")
            }
            guard profile.contentHash != claim.contentHash else {
                return Attempt(outcome: .unchanged, content: .profile(profile, difference: nil), freshFor: freshFor)
            }
            return Attempt(
                outcome: .updated, content: .profile(profile, difference: ProfilePatch.text), freshFor: freshFor)
        case .failed(let failure):
            return failed(failure.disposition, failure.problemCode, failure.detail)
        }
    }

    private func failed(_ disposition: Disposition, _ code: AccountProblem.Code, _ detail: String) -> Attempt {
        Attempt(outcome: .failed(SyncFailure(disposition: disposition, code: code, detail: detail)))
    }

    private func result(of attempt: Attempt, claim: SyncClaim) -> SyncResult {
        let now = time.now()
        let policy = catalog[claim.provider]?.syncPolicy ?? SyncPolicy()
        var failures = 0
        var problem: AccountProblem?
        var status: AccountStatus?
        if case .failed(let failure) = attempt.outcome {
            failures = claim.failures
            if case .retry = failure.disposition { failures += 1 }
            problem = AccountProblem(code: failure.code, since: now, detail: failure.detail)
            switch failure.disposition {
            case .relink: status = .needsRelink
            case .suspend: status = .suspended
            case .retry, .wait, .fixConfiguration: break
            }
        }
        let plan = plan(attempt, claim: claim, now: now)
        let next =
            plan?.due
            ?? SyncSchedule.next(
                now: now, outcome: attempt.outcome, policy: policy, failures: failures, freshFor: attempt.freshFor,
                random: random)
        if next == nil { planner?.forget(claim.learned.plan, of: claim.provider) }
        problem?.nextAttemptAt = next
        return SyncResult(
            content: attempt.content, at: now, nextSyncAt: next, failures: failures, problem: problem, status: status,
            generation: attempt.generation, learned: plan?.learned)
    }

    private func plan(_ attempt: Attempt, claim: SyncClaim, now: Timestamp) -> SyncPlanner.Plan? {
        guard let planner, let provider = catalog[claim.provider] else { return nil }
        // What was first fetched, or mapped otherwise before, says nothing of change.
        let isComparable = claim.contentHash != nil && claim.mapping == provider.mappingFingerprint
        if isComparable, case .updated = attempt.outcome {
            compare(claim, planner, isUnchanged: false, now: now)
        } else if isComparable, case .unchanged = attempt.outcome {
            compare(claim, planner, isUnchanged: true, now: now)
        }
        switch attempt.outcome {
        case .updated:
            return planner.plan(
                claim, provider: provider, observing: isComparable ? .changed : .none, freshFor: attempt.freshFor,
                now: now)
        case .unchanged:
            return planner.plan(
                claim, provider: provider, observing: isComparable ? .unchanged : .none, freshFor: attempt.freshFor,
                now: now)
        case .failed, .abandoned: return nil
        }
    }

    private func compare(_ claim: SyncClaim, _ planner: SyncPlanner, isUnchanged: Bool, now: Timestamp) {
        guard let syncedAt = claim.account.syncedAt else { return }
        figures.compare(
            believed: planner.belief(claim.learned).freshProbability(age: (now - syncedAt).secondsAsDouble),
            isUnchanged: isUnchanged, at: claim.provider)
    }

    private func count(_ attempt: Attempt, _ claim: SyncClaim, isOnDemand: Bool) {
        let found: SyncFigures.Found
        switch (attempt.outcome, attempt.content) {
        case (.updated, _): found = .changed
        case (.unchanged, .unchanged): found = .notModified
        case (.unchanged, _): found = .unchanged
        case (.failed(let failure), _):
            found = .failed
            telemetry.syncFailed(claim.provider, failure.code)
        case (.abandoned, _): return
        }
        if found != .failed { telemetry.synced(claim.provider, isChanged: found == .changed) }
        figures.count(found, at: claim.provider, isOnDemand: isOnDemand)
    }

    /// The one place that decides how loud an outcome is.
    private func log(_ outcome: SyncOutcome, _ claim: SyncClaim) {
        var metadata: Logger.Metadata {
            var metadata: Logger.Metadata = [
                "account": "\(claim.account.id)", "provider": "\(claim.account.provider)",
            ]
            if case .failed(let failure) = outcome {
                metadata["problem"] = "\(failure.code.rawValue)"
                metadata["detail"] = "\(failure.detail)"
            }
            return metadata
        }
        switch outcome {
        case .updated: logger.debug("Profile changed", metadata: metadata)
        case .unchanged: logger.debug("Profile unchanged", metadata: metadata)
        case .failed(let failure):
            switch failure.disposition {
            case .fixConfiguration: logger.error("Sync failed", metadata: metadata)
            case .relink, .suspend: logger.notice("Sync failed", metadata: metadata)
            case .retry, .wait: logger.info("Sync failed", metadata: metadata)
            }
        case .abandoned: break
        }
    }
}

/// The profile as it was when its account was claimed, read where it is needed and once.
private final class CachedContent: Sendable {
    private let schedule: SyncScheduleStore
    private let claim: SyncClaim
    private let content = Mutex<ProfileContent?>(nil)

    init(_ schedule: SyncScheduleStore, _ claim: SyncClaim) {
        self.schedule = schedule
        self.claim = claim
    }

    func read() throws -> ProfileContent? {
        if claim.contentHash == nil { return nil }
        if let content = content.withLock({ $0 }) { return content }
        let read = try schedule.content(of: claim.account.id)
        content.withLock { $0 = read }
        return read
    }
}
