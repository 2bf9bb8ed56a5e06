package import Accounts
package import Logging
package import Providers
package import Store

/// A valid access token on demand. At most one refresh of an account is under way: single flight here, a lease in the
/// row across processes (`TokenRefresh`).
package actor AccessTokens {
    /// A token that ends sooner than this is renewed before it is used: skew and the time a request takes.
    private static let margin: Duration = .seconds(60)
    /// Between two refreshes of one account that nothing but a short lifetime asks for.
    private static let refreshMinimumInterval: Duration = .seconds(10)
    /// So close to its end, or in the last quarter of a shorter life, a refresh token is used though the access token lives
    /// on: the grant of an idle account must not lapse.
    private static let refreshTokenMargin: Duration = .seconds(7 * 86_400)
    /// That a token was taken is noted once in so long.
    private static let noteInterval: Duration = .seconds(3600)
    private static let notedMax = 10_000

    private let database: Database
    private let catalog: ProviderCatalog
    private let refreshing: TokenRefresh
    private let validation: TokenValidation
    private let time: any TimeSource
    private let logger: Logger
    private var underWay: [AccountID: Flight] = [:]
    private var nextFlight = 0
    /// Takes that were noted, so that not each costs a write.
    private var noted: [AccountID: Timestamp] = [:]
    private var isFinishing = false

    /// A refresh and how many wait for it.
    private struct Flight {
        let number: Int
        let task: Task<TokenRefresh.Outcome, Never>
        var callers = 0
    }

    /// - Parameter owner: tells this process's leases from another's.
    package init(
        database: Database, catalog: ProviderCatalog, client: ProviderClient, servers: AuthorizationServers,
        revocations: RevocationSender, owner: String, time: any TimeSource, logger: Logger
    ) {
        self.database = database
        self.catalog = catalog
        self.time = time
        self.logger = logger
        refreshing = TokenRefresh(
            database: database, client: client, servers: servers, revocations: revocations, owner: owner, time: time,
            logger: logger)
        validation = TokenValidation(client: client, time: time, logger: logger)
    }

    /// A credential whose access token is good for at least `minTTL`, as far as the provider gives such tokens.
    ///
    /// A refreshed token in the first quarter of its life is the best there is, however long `minTTL`, and so is one that
    /// a refresh brought less than ten seconds ago: a `minTTL` beyond what the provider gives must not spend a refresh
    /// token at every call. Both count from `obtainedAt`, so that a restart changes nothing.
    ///
    /// What comes back may have expired by this machine's clock: where such a token was only just issued, and where no
    /// refresh token is there to replace it. The clock alone ends no grant; the resource server says whether the token
    /// is dead (`renew`). Where the provider wants tokens validated before they are used, it is asked.
    ///
    /// - Parameter having: as stored a moment ago, so that it need not be read once more.
    package nonisolated func token(
        for account: AccountID, provider: Provider, minTTL: Duration, urgency: Urgency = .callerWaits,
        having held: StoredCredential? = nil
    ) async throws(AccessTokenError) -> StoredCredential {
        let stored = try await unvalidated(
            for: account, provider: provider, minTTL: minTTL, urgency: urgency, having: held)
        guard provider.tokenValidation != nil,
            await validation.isRefused(stored, of: account, provider: provider, urgency: urgency)
        else { return stored }
        return try await renew(after: stored, for: account, provider: provider, urgency: urgency)
    }

    private nonisolated func unvalidated(
        for account: AccountID, provider: Provider, minTTL: Duration, urgency: Urgency, having held: StoredCredential?
    ) async throws(AccessTokenError) -> StoredCredential {
        let stored: StoredCredential
        if let held { stored = held } else { stored = try await refreshing.read(account) }
        guard provider.refreshesTokens,
            needsRefresh(
                stored, minTTL: max(minTTL, provider.refreshAhead), waitsForRefusal: provider.refreshTrigger == .refusal
            )
        else { return stored }
        do {
            return try await refresh(account, provider: provider, replacing: stored.generation, urgency: urgency).get()
        } catch  where error.leavesTokenUsable && lasts(stored.credential, minTTL: minTTL) && !Task.isCancelled {
            return stored
        }
    }

    /// As `token`, for a caller outside of this program, who may come for the next one: that is refreshed ahead of time
    /// (`TokenUpkeep`), so that it need not wait for the provider.
    package func handOut(
        _ account: AccountID, provider: Provider, minTTL: Duration
    ) async throws(AccessTokenError) -> StoredCredential {
        let stored = try await token(for: account, provider: provider, minTTL: minTTL, urgency: .callerWaits)
        let now = time.now()
        if stored.credential.refreshToken != nil, provider.refreshesTokens,
            noted[account].map({ now - $0 >= Self.noteInterval || now < $0 }) ?? true
        {
            if noted.count >= Self.notedMax { noted.removeAll() }
            noted[account] = now
            do { try await database.credentials.noteTaken(account, stored.credential) } catch {
                // The caller has its token; the next one costs it a wait.
                logger.warning("That a token was taken can't be noted", metadata: ["error": "\(error)"])
            }
        }
        return stored
    }

    /// Refreshes what was claimed ahead of need, unless there is no need any more.
    /// - Parameter horizon: what is to be refreshed by then may be refreshed now.
    package func refreshAhead(
        _ foreseen: ForeseenRefresh, provider: Provider, until horizon: Timestamp
    ) async throws(AccessTokenError) {
        let account = foreseen.account
        let stored = try await refreshing.read(account)
        let now = time.now()
        let plan = TokenForesight.plan(for: stored.credential, of: account, takenAt: foreseen.takenAt, now: now)
        let isOfUse =
            switch plan?.reason {
            case nil: false
            // Where tokens are refreshed once they were refused, ahead of time is too early.
            case .taken: provider.refreshTrigger == .expiry
            case .idle: stored.credential.refreshTokenExpiresAt != nil || provider.refreshTokenIdleLifetime != nil
            }
        guard let plan, isOfUse, provider.refreshesTokens else {
            do { try await database.credentials.foresee(account, at: nil) } catch { throw .store(error) }
            return
        }
        // A refresh that was made while this one was claimed has planned anew.
        guard plan.at <= horizon else {
            do { try await database.credentials.foresee(account, at: plan.at) } catch { throw .store(error) }
            return
        }
        _ = try await refresh(account, provider: provider, replacing: stored.generation, urgency: .background).get()
    }

    /// After a resource server refused `rejected`: the credential that took its place, or a refreshed one.
    package func renew(
        after rejected: StoredCredential, for account: AccountID, provider: Provider, urgency: Urgency
    ) async throws(AccessTokenError) -> StoredCredential {
        let stored = try await refreshing.read(account)
        if stored.generation != rejected.generation { return stored }
        guard stored.credential.refreshToken != nil, provider.refreshesTokens else {
            throw hasExpired(stored.credential)
                ? await refreshing.relink(
                    account, stored, code: .refreshExpired,
                    detail: "The access token expired and there is no refresh token.")
                : await refreshing.relink(
                    account, stored, code: .consentRevoked, detail: "The provider no longer accepts the access token.")
        }
        return try await refresh(account, provider: provider, replacing: stored.generation, urgency: urgency).get()
    }

    /// At start: refresh tokens whose use a crash left unfinished are tried first, and once.
    package func recoverInDoubt() async {
        let accounts: [AccountID]
        do { accounts = try await database.credentials.refreshesInDoubt(limit: 1000) } catch {
            logger.error("Unfinished refreshes can't be read", metadata: ["error": "\(error)"])
            return
        }
        for id in accounts where !Task.isCancelled {
            do {
                guard let account = try await database.accounts.account(id), account.status == .active,
                    let provider = catalog[account.provider], provider.isReady, provider.refreshesTokens
                else { continue }
                let stored = try await refreshing.read(id)
                // Someone who needed the token came first.
                guard stored.refreshInDoubtSince != nil else { continue }
                _ = try await refresh(id, provider: provider, replacing: stored.generation, urgency: .background).get()
                logger.notice("A refresh that was cut short was made good", metadata: ["account": "\(id)"])
            } catch let error as AccessTokenError {
                logger.notice(
                    "A refresh that was cut short could not be made good",
                    metadata: ["account": "\(id)", "problem": "\(error.problemCode.rawValue)"])
            } catch {
                logger.error(
                    "An unfinished refresh can't be read", metadata: ["account": "\(id)", "error": "\(error)"])
            }
        }
    }

    /// Begins no more refreshes, and returns once those under way are over, so that the transport and the database can
    /// be closed. Whoever still waits, for the provider's leave to send or for another process, ends at once; a request
    /// that has left is waited for, and its answer stored: at most `TokenRefresh.sentMax`.
    package func finish() async {
        isFinishing = true
        let tasks = underWay.values.map(\.task)
        for task in tasks { task.cancel() }
        for task in tasks { _ = await task.value }
    }

    // MARK: - When

    private nonisolated func needsRefresh(_ stored: StoredCredential, minTTL: Duration, waitsForRefusal: Bool) -> Bool {
        let credential = stored.credential
        guard credential.refreshToken != nil else { return false }
        // In doubt: the refresh token may be spent, and the sooner it is tried again the likelier it is honoured.
        if stored.refreshInDoubtSince != nil { return true }
        if refreshTokenEnds(credential) { return true }
        guard let lifetime = credential.lifetime else { return false }
        let age = time.now() - credential.obtainedAt
        // The first generation may have come from elsewhere: nobody knows how old it is.
        let isOurs = stored.generation > 1
        if isOurs, age >= .zero, age < Self.refreshMinimumInterval { return false }
        if hasExpired(credential) { return true }
        if waitsForRefusal { return false }
        if lasts(credential, minTTL: minTTL) { return false }
        return !isOurs || age >= .milliseconds(lifetime.wholeMilliseconds / 4)
    }

    /// A server that does not move the end with a refresh is asked ever closer to it, and a few times at most.
    private nonisolated func refreshTokenEnds(_ credential: Credential) -> Bool {
        guard let end = credential.refreshTokenExpiresAt else { return false }
        let left = end - time.now()
        let quarter = (end - credential.obtainedAt).wholeMilliseconds / 4
        return left > .zero && left <= min(Self.refreshTokenMargin, .milliseconds(quarter))
    }

    /// Whether the token is good for `minTTL`, and for the margin: at most a quarter of its life.
    private nonisolated func lasts(_ credential: Credential, minTTL: Duration) -> Bool {
        guard let expiresAt = credential.expiresAt, let lifetime = credential.lifetime else { return true }
        let margin = min(Self.margin, .milliseconds(max(lifetime.wholeMilliseconds, 0) / 4))
        return expiresAt - time.now() > max(minTTL, margin) && !hasExpired(credential)
    }

    private nonisolated func hasExpired(_ credential: Credential) -> Bool {
        guard let expiresAt = credential.expiresAt else { return false }
        return expiresAt <= time.now() + .seconds(1)
    }

    // MARK: - Single flight

    /// - Parameter generation: the one to be replaced; a newer one that is found on the way is the answer.
    private func refresh(
        _ account: AccountID, provider: Provider, replacing generation: Int64, urgency: Urgency
    ) async -> TokenRefresh.Outcome {
        while true {
            if isFinishing || Task.isCancelled { return .failure(.cutShort) }
            let flight =
                underWay[account] ?? begin(account, provider: provider, replacing: generation, urgency: urgency)
            underWay[account]?.callers += 1
            let outcome = await withTaskCancellationHandler {
                await flight.task.valueUnlessCancelled()
            } onCancel: {
                Task { await self.leave(flight.number, of: account) }
            }
            guard let outcome else { return .failure(.cutShort) }
            // It ended because all who had waited before were gone: not what this caller asked for.
            if case .failure(.cutShort) = outcome, flight.task.isCancelled { continue }
            return outcome
        }
    }

    private func begin(
        _ account: AccountID, provider: Provider, replacing generation: Int64, urgency: Urgency
    ) -> Flight {
        nextFlight += 1
        // Detached from the caller: one who leaves must not cut short what others wait for, or lose a rotated token.
        let task = Task {
            // Over with the flight itself: a caller who comes after it must not be given what it found.
            defer { underWay[account] = nil }
            return await refreshing.run(account, provider: provider, replacing: generation, urgency: urgency)
        }
        let flight = Flight(number: nextFlight, task: task)
        underWay[account] = flight
        return flight
    }

    /// A refresh that nobody waits for any more ends, unless its request has left.
    private func leave(_ number: Int, of account: AccountID) {
        guard var flight = underWay[account], flight.number == number else { return }
        flight.callers -= 1
        underWay[account] = flight
        if flight.callers == 0 { flight.task.cancel() }
    }
}

extension Credential {
    fileprivate var lifetime: Duration? { expiresAt.map { $0 - obtainedAt } }
}

extension Task where Failure == Never {
    /// `nil` as soon as the caller is cancelled; the task itself goes on.
    func valueUnlessCancelled() async -> Success? {
        let (values, continuation) = AsyncStream<Success>.makeStream()
        Task<Void, Never> {
            continuation.yield(await value)
            continuation.finish()
        }
        for await value in values { return value }
        return nil
    }
}
