package import Accounts
package import Linking
package import Logging
package import Providers
import ServiceLifecycle
package import Store
import Synchronization

/// Refreshes tokens before anybody needs them: those that callers take, spread ahead of their end, and those whose refresh
/// token would die unused. All others are refreshed by who uses them. The order of things, the lease and the intent are
/// `TokenRefresh`'s, as for any refresh.
package struct TokenUpkeep: Service {
    static let pollInterval: Duration = .seconds(10)
    /// Claimed at once; a provider's next batch is claimed when these are over.
    static let batchSize = 50
    /// One that failed is tried again after it.
    static let retryAfter: Duration = .seconds(60)

    private let database: Database
    private let catalog: ProviderCatalog
    private let tokens: AccessTokens
    private let time: any TimeSource
    private let concurrency: Int
    private let logger: Logger

    /// - Parameter concurrency: refreshes at the same time, at each provider.
    package init(
        database: Database, catalog: ProviderCatalog, tokens: AccessTokens, concurrency: Int = 8,
        time: any TimeSource, logger: Logger
    ) {
        self.database = database
        self.catalog = catalog
        self.tokens = tokens
        self.concurrency = concurrency
        self.time = time
        self.logger = logger
    }

    package func run() async throws { await run(ticks: Ticks(time: time, interval: Self.pollInterval)) }

    /// Each element looks once at every provider that is not being worked on: one that does not answer keeps no other
    /// waiting.
    func run(ticks: some AsyncSequence<Void, Never> & Sendable) async {
        let underWay = Providers()
        await withDiscardingTaskGroup { group in
            for await _ in ticks.cancelOnGracefulShutdown() {
                for provider in catalog.providers where provider.isReady && provider.refreshesTokens {
                    guard underWay.insert(provider.id) else { continue }
                    group.addTask {
                        await work(provider)
                        underWay.remove(provider.id)
                    }
                }
            }
            group.cancelAll()
        }
    }

    /// Those that are being worked on.
    private final class Providers: Sendable {
        private let ids = Mutex<Set<ProviderID>>([])

        /// False where it is among them.
        func insert(_ id: ProviderID) -> Bool { ids.withLock { $0.insert(id).inserted } }
        func remove(_ id: ProviderID) { _ = ids.withLock { $0.remove(id) } }
    }

    /// Until nothing of this provider is due.
    func work(_ provider: Provider) async {
        do {
            while !Task.isCancelled {
                let horizon = try await horizon(of: provider)
                let due = try await database.credentials.claimForeseen(
                    of: provider.id, until: horizon, limit: Self.batchSize, retryAfter: Self.retryAfter)
                await refresh(due, provider, until: horizon)
                if due.count < Self.batchSize { return }
            }
        } catch {
            logger.error(
                "Tokens can't be refreshed ahead", metadata: ["provider": "\(provider.id)", "error": "\(error)"])
        }
    }

    /// Tokens that end together are begun earlier: n of them take n / rate, and half as much again is left for others.
    private func horizon(of provider: Provider) async throws(StoreError) -> Timestamp {
        let now = time.now()
        let rate = provider.limits.requests.filter { $0.per == .client }.map(\.perSecond).min()
        guard let rate, rate > 0 else { return now + provider.refreshAhead }
        let lead = TokenForesight.leadMax
        let count = try await database.credentials.countForeseen(of: provider.id, until: now + lead)
        let needed = Duration.seconds(1.5 * Double(count) / rate)
        return now + max(provider.refreshAhead, needed - lead)
    }

    private func refresh(_ due: [ForeseenRefresh], _ provider: Provider, until horizon: Timestamp) async {
        await withTaskGroup(of: Void.self) { group in
            for (index, foreseen) in due.enumerated() {
                if index >= concurrency { await group.next() }
                group.addTask { await refresh(foreseen, provider, until: horizon) }
            }
        }
    }

    private func refresh(_ foreseen: ForeseenRefresh, _ provider: Provider, until horizon: Timestamp) async {
        do throws(AccessTokenError) {
            try await tokens.refreshAhead(foreseen, provider: provider, until: horizon)
        } catch  where error == .cutShort || error == .gone {
            // Whoever needs it refreshes it.
        } catch {
            logger.info(
                "A token was not refreshed ahead of time",
                metadata: [
                    "account": "\(foreseen.account)", "provider": "\(provider.id)",
                    "problem": "\(error.problemCode.rawValue)",
                ])
        }
    }
}

extension RequestLimit {
    fileprivate var perSecond: Double { Double(count) / (window / .seconds(1)) }
}
