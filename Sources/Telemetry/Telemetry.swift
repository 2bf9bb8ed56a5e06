/// Numbers for those who watch the service, under names that stay (`MetricFamily`).
///
/// Whoever has something to count says what happened; what that is called stands here alone. This module alone touches
/// swift-metrics. Nothing that is secret has a way in: labels are words of closed lists and names of the configuration.
package import Accounts
import CoreMetrics

package struct Telemetry: Sendable {
    private let registry = MetricsRegistry()

    package init() {}

    /// What came of a request to a provider.
    package enum RequestOutcome: String, Sendable, CaseIterable {
        case ok
        case notModified = "not_modified"
        /// Refused because a limit is used up.
        case limited
        /// Any other answer of 400 to 499.
        case refused
        case serverError = "server_error"
        case noAnswer = "no_answer"
        /// Cut short by this program.
        case cancelled
    }

    /// What came of a refresh that was sent.
    package enum RefreshOutcome: String, Sendable, CaseIterable { case refreshed, relink, failed }

    /// - Parameter route: the manifest's name of the request, or the service's own of a token endpoint and its like.
    package func providerAnswered(
        _ provider: ProviderID, route: String, outcome: RequestOutcome, after duration: Duration
    ) {
        count(.providerRequests, provider.rawValue, route, outcome.rawValue)
        if outcome != .cancelled { observe(.providerRequestSeconds, provider.rawValue, route, duration: duration) }
    }

    package func synced(_ provider: ProviderID, isChanged: Bool) {
        count(.syncs, provider.rawValue, isChanged ? "updated" : "unchanged")
    }

    package func syncFailed(_ provider: ProviderID, _ problem: AccountProblem.Code) {
        count(.syncs, provider.rawValue, problem.rawValue)
    }

    package func refreshed(_ provider: ProviderID, _ outcome: RefreshOutcome) {
        count(.tokenRefreshes, provider.rawValue, outcome.rawValue)
    }

    /// - Parameter route: the pattern; `nil` where no route took the request. Then its method is not told either: it is
    ///   whatever the client wrote.
    package func answered(method: String, route: String?, status: Int, after duration: Duration) {
        let method = route == nil ? "-" : method
        count(.webRequests, method, route ?? "-", String(status))
        observe(.webRequestSeconds, method, route ?? "-", duration: duration)
    }

    private func count(_ family: MetricFamily, _ values: String...) {
        Counter(label: family.name, dimensions: Array(zip(family.labels, values)), factory: registry).increment()
    }

    private func observe(_ family: MetricFamily, _ values: String..., duration: Duration) {
        let (seconds, attoseconds) = duration.components
        Timer(label: family.name, dimensions: Array(zip(family.labels, values)), factory: registry)
            .recordNanoseconds(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
    }

    private func set(_ family: MetricFamily, _ values: [String] = [], to value: Double?) {
        guard let value else { return }
        Meter(label: family.name, dimensions: Array(zip(family.labels, values)), factory: registry).set(value)
    }
}

// What is looked up when somebody asks.
extension Telemetry {
    /// How one provider stands; what is `nil` is not known, and not shown.
    package struct ProviderState: Sendable {
        package enum Circuit: String, Sendable, CaseIterable {
            case closed
            case halfOpen = "half_open"
            case open
        }

        package var provider: ProviderID
        package var accounts: [AccountStatus: Int] = [:]
        package var problems: [AccountProblem.Code: Int] = [:]
        package var due = 0
        /// Seconds.
        package var overdue: Double = 0
        /// Syncs a second, as is what is planned.
        package var budget: Double?
        package var planned: Double?
        package var budgetUsed: Double?
        package var price: Double?
        package var freshness: Double?
        package var unweightedFreshness: Double?
        package var staleAgainstFixed: Double?
        package var calibration: Double?
        package var promiseIsUnpayable = false
        package var underWay: Int?
        package var invalidRequests: Int?
        package var circuit: Circuit?
        /// Seconds.
        package var pausedFor: Double = 0

        package init(provider: ProviderID) { self.provider = provider }
    }

    /// Takes the place of what was known before.
    package func set(_ states: [ProviderState]) {
        for family in MetricFamily.ofProviders { registry.clear(family) }
        for state in states { set(state) }
    }

    private func set(_ state: ProviderState) {
        let provider = state.provider.rawValue
        for status in AccountStatus.allCases {
            set(.accounts, [provider, status.rawValue], to: Double(state.accounts[status, default: 0]))
        }
        for (problem, count) in state.problems {
            set(.accountProblems, [provider, problem.rawValue, problem.action.rawValue], to: Double(count))
        }
        set(.accountsDue, [provider], to: Double(state.due))
        set(.overdueSeconds, [provider], to: state.overdue)
        set(.budget, [provider], to: state.budget)
        set(.budgetPlanned, [provider], to: state.planned)
        set(.budgetUsed, [provider], to: state.budgetUsed)
        set(.price, [provider], to: state.price)
        set(.freshness, [provider, "reads"], to: state.freshness)
        set(.freshness, [provider, "accounts"], to: state.unweightedFreshness)
        set(.staleAgainstFixed, [provider], to: state.staleAgainstFixed)
        set(.calibration, [provider], to: state.calibration)
        set(.promiseUnpayable, [provider], to: state.promiseIsUnpayable ? 1 : 0)
        set(.requestsUnderWay, [provider], to: state.underWay.map(Double.init))
        set(.invalidRequests, [provider], to: state.invalidRequests.map(Double.init))
        if let circuit = state.circuit {
            for each in ProviderState.Circuit.allCases {
                set(.circuit, [provider, each.rawValue], to: each == circuit ? 1 : 0)
            }
        }
        set(.pausedSeconds, [provider], to: state.pausedFor)
    }

    /// - Parameter isUp: whether what was just looked up came out of the database.
    package func setDatabase(isUp: Bool, bytes: Int?, logBytes: Int?) {
        set(.databaseUp, to: isUp ? 1 : 0)
        set(.databaseBytes, ["main"], to: bytes.map(Double.init))
        set(.databaseBytes, ["wal"], to: logBytes.map(Double.init))
    }

    package func setBuild(version: String) { set(.build, [version], to: 1) }

    /// Prometheus' text format, version 0.0.4, with the process's own numbers as they are now.
    package func exposition() -> String {
        let usage = ProcessUsage.now()
        set(.processorSeconds, to: usage.processorSeconds)
        set(.residentBytes, to: usage.residentBytes.map(Double.init))
        set(.virtualBytes, to: usage.virtualBytes.map(Double.init))
        set(.startTime, to: usage.startTime)
        set(.openFiles, to: usage.openFiles.map(Double.init))
        set(.openFilesMax, to: usage.openFilesMax.map(Double.init))
        return registry.exposition()
    }
}
