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
    private let time: any TimeSource

    /// - Parameters:
    ///   - client: of the process that syncs; without it nothing is known of requests.
    ///   - planner: `nil` where every account is fetched once an interval.
    package init(
        catalog: ProviderCatalog, database: Database, client: ProviderClient?, planner: SyncPlanner?,
        time: any TimeSource
    ) {
        self.catalog = catalog
        self.database = database
        self.client = client
        self.planner = planner
        self.time = time
    }

    package struct Line: Sendable, Equatable {
        package var provider: ProviderID
        package var accounts: [AccountStatus: Int]
        /// Counted up to `SyncScheduleStore.dueCountMax`.
        package var dueNow: Int
        package var oldestDueAt: Timestamp?
        /// Syncs a second.
        package var budget: Double?
        package var planned: Double?
        package var price: Double?
        /// The share of reads that return what the provider would say now, as far as is believed.
        package var freshness: Double?
        /// The budget can't pay for `maximum_age`.
        package var promiseIsUnpayable: Bool
        package var pausedUntil: Timestamp?
        package var pauseReason: String?
        package var traffic: RequestTraffic?
    }

    package func lines() async throws(StoreError) -> [Line] {
        let now = time.now()
        let counts = try await database.accounts.counts()
        let states = try await database.schedule.states(of: catalog.providers.map(\.id), now: now)
        let pauses = try await database.schedule.providerPauses()
        var lines: [Line] = []
        for state in states {
            let outlook = planner?.outlook(state.provider)
            let pause = pauses.first { $0.provider == state.provider }
            var traffic: RequestTraffic?
            if let provider = catalog[state.provider] { traffic = await client?.traffic(of: provider) }
            lines.append(
                Line(
                    provider: state.provider, accounts: counts[state.provider] ?? [:], dueNow: state.dueNow,
                    oldestDueAt: state.oldestDueAt, budget: outlook?.budget, planned: outlook?.planned,
                    price: outlook?.price, freshness: outlook?.freshness,
                    promiseIsUnpayable: outlook?.promiseIsUnpayable ?? false, pausedUntil: pause?.until,
                    pauseReason: pause?.reason, traffic: traffic))
        }
        return lines
    }
}
