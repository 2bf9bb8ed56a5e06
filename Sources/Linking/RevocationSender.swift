package import Accounts
package import Logging
import OAuth
package import Providers
package import Store
import Synchronization
import Transfer

/// Tells providers of tokens that are not wanted any more (RFC 7009, or the provider's own way). What can't be
/// delivered waits in the outbox, with growing pauses, for at most a week.
package struct RevocationSender: Sendable {
    private static let keptFor: Duration = .seconds(7 * 86_400)
    /// Longer than an attempt takes: endpoints and two tokens, each up to 20 s of waiting and 30 s of transfer.
    private static let lease: Duration = .seconds(180)
    /// Attempts under way at once. A provider that does not answer holds up the others until its breaker opens.
    private static let concurrency = 16

    private let database: Database
    private let catalog: ProviderCatalog
    private let client: ProviderClient
    private let servers: AuthorizationServers
    private let owner: String
    private let time: any TimeSource
    private let random: any RandomSource
    private let logger: Logger
    private let underWay = UnderWay()

    package init(
        database: Database, catalog: ProviderCatalog, client: ProviderClient, servers: AuthorizationServers,
        owner: String, time: any TimeSource, random: any RandomSource, logger: Logger
    ) {
        self.database = database
        self.catalog = catalog
        self.client = client
        self.servers = servers
        self.owner = owner
        self.time = time
        self.random = random
        self.logger = logger
    }

    /// Everything in the outbox that is due, until nothing is. Cancelled, it takes nothing more and leaves what was not
    /// delivered as it was.
    package func sendDue() async {
        await withTaskGroup(of: Void.self) { group in
            var underWay = 0
            var mayHaveMore = true
            while true {
                if mayHaveMore, !Task.isCancelled {
                    do {
                        let due = try await database.revocations.due(
                            now: time.now(), owner: owner, lease: Self.lease, limit: Self.concurrency - underWay)
                        for revocation in due { group.addTask { await send(revocation) } }
                        underWay += due.count
                    } catch {
                        logger.error("The revocation outbox can't be read", metadata: ["error": "\(error)"])
                    }
                }
                guard await group.next() != nil else { return }
                underWay -= 1
                // Half of the slots are refilled at a time: one claim for many.
                mayHaveMore = underWay <= Self.concurrency / 2
            }
        }
    }

    /// Begins an attempt and returns; nobody who unlinks waits for the provider.
    package func sendSoon(_ revocation: PendingRevocation) {
        underWay.begin(revocation.id) { await send(revocation) }
    }

    /// Returns once every attempt that `sendSoon` began is over.
    package func finishSending() async { await underWay.finish() }

    /// One attempt; its outcome goes into the outbox.
    package func send(_ revocation: PendingRevocation) async {
        let metadata: Logger.Metadata = [
            "account": "\(revocation.accountID)", "provider": "\(revocation.provider)",
        ]
        do {
            guard let outcome = await attempt(revocation) else {
                try await database.revocations.release(revocation.id)
                return
            }
            switch outcome {
            case .revoked, .alreadyDead:
                try await database.revocations.done(revocation.id)
                logger.debug("Tokens revoked", metadata: metadata)
            case .refused:
                try await database.revocations.drop(revocation.id)
                logger.warning("The provider takes no revocation; its tokens end by themselves", metadata: metadata)
            case .retry(let after):
                let now = time.now()
                guard now - revocation.createdAt < Self.keptFor else {
                    try await database.revocations.drop(revocation.id)
                    logger.error("A revocation could not be delivered for a week and is given up", metadata: metadata)
                    return
                }
                let pause = min(60 * Double(1 << min(revocation.attempts, 10)), 21_600) * random.uniform(0.75...1.25)
                try await database.revocations.retry(
                    revocation.id, at: now + max(after ?? .zero, .milliseconds(Int64(pause * 1000))))
            }
        } catch {
            logger.error("The revocation outbox can't be written", metadata: ["error": "\(error)"])
        }
    }

    /// For tokens that arrived after their account was unlinked.
    func revokeLate(_ credential: Credential, of account: AccountID, user: UserID, provider: Provider) async {
        do {
            let revocation = try await database.revocations.add(
                account: account, user: user, provider: provider.id, credential: credential)
            await send(revocation)
        } catch {
            logger.error("A late token can't be put into the outbox", metadata: ["error": "\(error)"])
        }
    }

    /// `nil` where it was cut short.
    private func attempt(_ revocation: PendingRevocation) async -> RevocationOutcome? {
        if Task.isCancelled { return nil }
        guard let provider = catalog[revocation.provider], provider.isReady else { return .retry(after: nil) }
        do {
            let server = try await servers.server(for: provider, urgency: .background)
            guard let credential = await live(revocation, provider: provider, server: server) else {
                return Task.isCancelled ? nil : .retry(after: nil)
            }
            let requests = TokenRevocation.requests(
                for: credential, server: server, client: provider.client, moment: client.moment)
            guard !requests.isEmpty else { return .refused }
            var worst = RevocationOutcome.alreadyDead
            for request in requests {
                let response = try await client.send(
                    request, to: provider, route: ProviderClient.revocationRoute, urgency: .background)
                let outcome = TokenRevocation.read(response, method: server.revocation)
                if case .retry = outcome { return outcome }
                if outcome == .refused || worst == .alreadyDead { worst = outcome }
            }
            return worst
        } catch {
            switch error as? ProviderRequestError ?? (error as? AuthorizationServerError)?.request {
            case .transfer(.cancelled): return nil
            case .paused(let until, _): return .retry(after: until - time.now())
            default: return .retry(after: nil)
            }
        }
    }

    /// With an access token that names the grant where nothing else does: GitHub answers 404 to an expired one, and the
    /// grant lives. `nil` where it can't be had now.
    private func live(
        _ revocation: PendingRevocation, provider: Provider, server: AuthorizationServer
    ) async -> Credential? {
        let held = revocation.credential
        guard TokenRevocation.leansOnAccessToken(server.revocation), provider.refreshesTokens,
            let refreshToken = held.refreshToken, let expiresAt = held.expiresAt,
            expiresAt <= time.now() + .seconds(60)
        else { return held }
        let renewed: Credential
        do {
            let requestedAt = time.now()
            let response = try await client.send(
                to: provider, urgency: .background, key: held.proofKey.flatMap { DPoPKey($0) }
            ) { moment in
                RefreshTokenGrant.tokenRequest(
                    refreshToken: refreshToken, server: server, client: provider.client,
                    dialect: provider.tokenDialect, moment: moment)
            }
            let answer = try TokenEndpoint.read(
                response, dialect: provider.tokenDialect, requestedScopes: held.scopes, requestedAt: requestedAt,
                binding: held.binding(server))
            renewed = held.refreshed(by: answer.credential)
        } catch let error as TokenRequestError {
            // The grant is dead; what the provider says of the old token settles it.
            if error.failure == .grantRefused { return held }
            return nil
        } catch {
            return nil
        }
        do {
            // The refresh token may be spent: another attempt needs the new one.
            try await database.revocations.renew(revocation.id, renewed)
        } catch {
            logger.error("The revocation outbox can't be written", metadata: ["error": "\(error)"])
        }
        return renewed
    }
}

extension AuthorizationServerError {
    fileprivate var request: ProviderRequestError? { if case .request(let error) = self { error } else { nil } }
}

/// Attempts that nobody waits for, kept so that somebody can.
private final class UnderWay: Sendable {
    private let tasks = Mutex<[Int64: Task<Void, Never>]>([:])

    func begin(_ id: Int64, _ body: @escaping @Sendable () async -> Void) {
        tasks.withLock { tasks in
            tasks[id] = Task {
                await body()
                // Not before the line above has stored it: the lock is held until then.
                self.tasks.withLock { $0[id] = nil }
            }
        }
    }

    func finish() async {
        for task in tasks.withLock({ Array($0.values) }) { await task.value }
    }
}
