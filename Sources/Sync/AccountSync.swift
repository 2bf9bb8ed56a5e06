package import Accounts
import JSON
package import Linking
package import Logging
package import Providers
package import Store

/// One account from claim to record: a valid token, a conditional fetch, one renewal where the token was refused, and
/// one transaction that keeps what came of it.
package struct AccountSync: Sendable {
    private let catalog: ProviderCatalog
    private let schedule: SyncScheduleStore
    private let tokens: AccessTokens
    private let profiles: ProfileFetch
    private let time: any TimeSource
    private let random: any RandomSource
    private let logger: Logger

    package init(
        catalog: ProviderCatalog, schedule: SyncScheduleStore, tokens: AccessTokens, profiles: ProfileFetch,
        time: any TimeSource, random: any RandomSource, logger: Logger
    ) {
        self.catalog = catalog
        self.schedule = schedule
        self.tokens = tokens
        self.profiles = profiles
        self.time = time
        self.random = random
        self.logger = logger
    }

    /// Never throws: whatever happens is recorded at the account, and its lease is freed.
    package func run(_ claim: SyncClaim, urgency: Urgency = .background) async -> SyncOutcome {
        let result = await attempt(claim, urgency: urgency)
        do {
            // A failure that the end of the program brought about is not the account's.
            if case .failed = result.outcome, Task.isCancelled {
                try await schedule.release([claim])
                return .abandoned
            }
            guard try await schedule.record(self.result(of: result, claim: claim), for: claim) else {
                return .abandoned
            }
            log(result.outcome, claim)
            return result.outcome
        } catch {
            logger.error(
                "The outcome of a sync can't be stored",
                metadata: ["account": "\(claim.account.id)", "error": "\(error)"])
            return .abandoned
        }
    }

    private struct Attempt {
        var outcome: SyncOutcome
        var content: SyncResult.Content = .failed
        var freshFor: Duration?
    }

    private func attempt(_ claim: SyncClaim, urgency: Urgency) async -> Attempt {
        let account = claim.account
        guard let provider = catalog[account.provider], provider.isReady else {
            return failed(.fixConfiguration, .providerNotConfigured, "The provider is not configured any more.")
        }
        let previous = ProfileFetch.Previous(raw: claim.raw, validators: claim.validators)
        do {
            var credential = try await tokens.token(
                for: account.id, provider: provider, minTTL: .zero, urgency: urgency)
            var fetched = await profiles.fetch(
                provider: provider, account: account.id, credential: credential.credential,
                previous: previous,
                urgency: urgency)
            if case .failed(.resource(.unauthorized)) = fetched {
                credential = try await tokens.renew(
                    after: credential, for: account.id, provider: provider, urgency: urgency)
                fetched = await profiles.fetch(
                    provider: provider, account: account.id, credential: credential.credential,
                    previous: previous,
                    urgency: urgency)
            }
            return await attempt(from: fetched, claim: claim, generation: credential.generation)
        } catch {
            return failed(error.disposition, error.problemCode, error.detail)
        }
    }

    private func attempt(from fetched: ProfileFetchResult, claim: SyncClaim, generation: Int64) async -> Attempt {
        switch fetched {
        case .notModified(let validators, let freshFor):
            return Attempt(outcome: .unchanged, content: .unchanged(validators: validators), freshFor: freshFor)
        case .profile(let profile, let freshFor):
            guard profile.subject == claim.account.subject else {
                return failed(
                    .retry, .unexpectedResponse, "The provider answered with another person's profile.")
            }
            guard profile.contentHash != claim.contentHash else {
                return Attempt(outcome: .unchanged, content: .profile(profile, patch: nil), freshFor: freshFor)
            }
            return Attempt(
                outcome: .updated, content: .profile(profile, patch: patch(from: claim, to: profile)),
                freshFor: freshFor)
        case .failed(let failure):
            return failed(failure.disposition, failure.problemCode, failure.detail)
        }
    }

    private func failed(_ disposition: Disposition, _ code: AccountProblem.Code, _ detail: String) -> Attempt {
        Attempt(outcome: .failed(SyncFailure(disposition: disposition, code: code, detail: detail)))
    }

    /// RFC 6902 over `{"claims": …, "raw": …}`.
    private func patch(from claim: SyncClaim, to profile: Profile) -> String? {
        guard let content = claim.content,
            let old = document(claims: content.claims, raw: content.raw),
            let new = document(claims: profile.claims, raw: profile.raw)
        else { return nil }
        return JSONPatch.difference(from: old, to: new).text
    }

    private func document(claims: String, raw: String) -> JSONValue? {
        do {
            let depthMax = JSONValue.composedDepthMax
            return [
                "claims": try JSONValue(parsing: claims, depthMax: depthMax),
                "raw": try JSONValue(parsing: raw, depthMax: depthMax),
            ]
        } catch {
            // The store holds JSON or its CHECK would have refused it; the feed then says that both were replaced.
            return nil
        }
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
            let since = claim.account.problem.flatMap { $0.code == failure.code ? $0.since : nil } ?? now
            problem = AccountProblem(code: failure.code, since: since, detail: failure.detail)
            switch failure.disposition {
            case .relink: status = .needsRelink
            case .suspend: status = .suspended
            case .retry, .wait, .fixConfiguration: break
            }
        } else if claim.account.status == .suspended {
            status = .active
        }
        let next = SyncSchedule.next(
            now: now, outcome: attempt.outcome, policy: policy, failures: failures, freshFor: attempt.freshFor,
            random: random)
        problem?.nextAttemptAt = next
        return SyncResult(
            content: attempt.content, at: now, nextSyncAt: next, failures: failures, problem: problem, status: status)
    }

    /// The one place that decides how loud an outcome is.
    private func log(_ outcome: SyncOutcome, _ claim: SyncClaim) {
        var metadata: Logger.Metadata = [
            "account": "\(claim.account.id)", "provider": "\(claim.account.provider)",
        ]
        switch outcome {
        case .updated:
            logger.info("Profile changed", metadata: metadata)
        case .unchanged:
            logger.debug("Profile unchanged", metadata: metadata)
        case .failed(let failure):
            metadata["problem"] = "\(failure.code.rawValue)"
            metadata["detail"] = "\(failure.detail)"
            switch failure.disposition {
            case .fixConfiguration: logger.error("Sync failed", metadata: metadata)
            case .relink, .suspend: logger.notice("Sync failed", metadata: metadata)
            case .retry, .wait: logger.info("Sync failed", metadata: metadata)
            }
        case .abandoned: break
        }
    }
}
