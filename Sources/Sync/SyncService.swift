package import Accounts
package import Linking
package import Logging
package import Providers
import ServiceLifecycle
package import Store

/// Runs for as long as the service does: recovers what a crash left in doubt, then starts a pass whenever something
/// may be due, and drains the revocation outbox beside it.
package struct SyncService: Service {
    /// How often the schedule is looked at while nothing is due: one read transaction with
    /// an indexed look-up for each provider.
    static let pollInterval: Duration = .seconds(1)
    static let houseKeepingInterval: Duration = .seconds(60)

    private let pass: SyncPass
    private let tokens: AccessTokens
    private let revocations: RevocationSender
    private let house: HouseKeeping
    private let planner: SyncPlanner?
    private let time: any TimeSource
    private let logger: Logger

    package init(
        pass: SyncPass, tokens: AccessTokens, revocations: RevocationSender, database: Database,
        catalog: ProviderCatalog, planner: SyncPlanner? = nil, time: any TimeSource, logger: Logger
    ) {
        self.pass = pass
        self.tokens = tokens
        self.revocations = revocations
        house = HouseKeeping(database: database, catalog: catalog, time: time, logger: logger)
        self.planner = planner
        self.time = time
        self.logger = logger
    }

    package func run() async throws {
        try await run(ticks: Ticks(time: time, interval: Self.pollInterval))
    }

    /// Each element starts one pass. Tests send elements; no test waits for a clock.
    func run(ticks: some AsyncSequence<Void, Never> & Sendable) async throws {
        await withGracefulShutdownHandler {
            await withTaskGroup(of: Void.self) { group in
                // Before the first pass, which needs a price to plan by.
                await planner?.rebuild()
                group.addTask { await planner?.run() }
                group.addTask { await keepHouse() }
                // Beside the passes: a provider that does not answer must not keep the others waiting.
                group.addTask { await tokens.recoverInDoubt() }
                for await _ in ticks.cancelOnGracefulShutdown() {
                    do {
                        try await pass.run()
                    } catch {
                        logger.error("The schedule can't be read", metadata: ["error": "\(error)"])
                    }
                }
                group.cancelAll()
            }
        } onGracefulShutdown: {
            pass.stop()
        }
    }

    private func keepHouse() async {
        let ticks = Ticks(time: time, interval: Self.houseKeepingInterval)
        for await _ in ticks.cancelOnGracefulShutdown() {
            await house.run()
            // Last: it waits for providers.
            await revocations.sendDue()
        }
    }
}

/// One element at once and one after each interval, until the task is cancelled.
struct Ticks: AsyncSequence, Sendable {
    let time: any TimeSource
    let interval: Duration

    struct Iterator: AsyncIteratorProtocol {
        let time: any TimeSource
        let interval: Duration
        var isFirst = true

        mutating func next(isolation actor: isolated (any Actor)?) async -> Void? {
            if isFirst {
                isFirst = false
                return Task.isCancelled ? nil : ()
            }
            do { try await time.sleep(for: interval) } catch { return nil }
            return ()
        }

        mutating func next() async -> Void? { await next(isolation: nil) }
    }

    func makeAsyncIterator() -> Iterator { Iterator(time: time, interval: interval) }
}
