package import Accounts
package import Linking
package import Providers
package import Store

/// How syncing goes, provider by provider: what is due, what it costs, how fresh reads are, and what stands in the way.
package struct SyncOverview: Sendable {
    private let catalog: ProviderCatalog
    private let database: Database
    private let client: ProviderClient?
    private let planner: SyncPlanner?
    private let figures: SyncFigures?
    private let time: any TimeSource

    /// - Parameters:
    ///   - client: of the process that syncs; without it nothing is known of requests.
    ///   - planner: `nil` where every account is fetched once an interval.
    ///   - figures: of the process that syncs.
    package init(
        catalog: ProviderCatalog, database: Database, client: ProviderClient?, planner: SyncPlanner?,
        figures: SyncFigures? = nil, time: any TimeSource
    ) {
        self.catalog = catalog
        self.database = database
        self.client = client
        self.planner = planner
        self.figures = figures
        self.time = time
    }

    package struct Line: Sendable, Equatable {
        package var provider: ProviderID
        package var accounts: [AccountStatus: Int]
        /// Counted up to `SyncScheduleStore.dueCountMax`.
        package var dueNow: Int
        package var oldestDueAt: Timestamp?
        /// What the scheduling rule knows; `nil` where every account is fetched once an interval.
        package var outlook: SyncPlanner.Outlook?
        package var problems: [ProblemCount]
        /// Accounts that still work and will need their user within 7 and within 30 days, each counted up to
        /// `SyncScheduleStore.dueCountMax`.
        package var expiringWithin7Days: Int
        package var expiringWithin30Days: Int
        package var pausedUntil: Timestamp?
        package var pauseReason: String?
        package var traffic: RequestTraffic?
        package var lastHour: SyncFigures.Hour?
        package var calibration: SyncFigures.Calibration?

        /// Syncs of the last hour over the budget of that time.
        package var budgetUsed: Double? {
            guard let lastHour, let budget = outlook?.budget, budget > 0 else { return nil }
            return Double(lastHour.syncs) / lastHour.seconds / budget
        }
    }

    package func lines() async throws(StoreError) -> [Line] {
        let now = time.now()
        let counts = try await database.accounts.counts()
        let problems = try await database.accounts.problemCounts()
        let states = try await database.schedule.states(of: catalog.providers.map(\.id), now: now)
        let pauses = try await database.schedule.providerPauses()
        var lines: [Line] = []
        for state in states {
            let pause = pauses.first { $0.provider == state.provider }
            var traffic: RequestTraffic?
            let expiring = try await (
                database.credentials.countExpiring(of: state.provider, until: now + .seconds(7 * 86_400)),
                database.credentials.countExpiring(of: state.provider, until: now + .seconds(30 * 86_400))
            )
            if let provider = catalog[state.provider] { traffic = await client?.traffic(of: provider) }
            lines.append(
                Line(
                    provider: state.provider, accounts: counts[state.provider] ?? [:], dueNow: state.dueNow,
                    oldestDueAt: state.oldestDueAt, outlook: planner?.outlook(state.provider),
                    problems: problems[state.provider] ?? [], expiringWithin7Days: expiring.0,
                    expiringWithin30Days: expiring.1, pausedUntil: pause?.until, pauseReason: pause?.reason,
                    traffic: traffic, lastHour: figures?.lastHour(of: state.provider),
                    calibration: figures?.calibration(of: state.provider)))
        }
        return lines
    }
}
