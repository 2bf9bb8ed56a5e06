package import Accounts
import Linking
import Store
package import Telemetry

extension SyncOverview.Line {
    /// As `/metrics` says it.
    package func telemetry(at now: Timestamp) -> Telemetry.ProviderState {
        var state = Telemetry.ProviderState(provider: provider)
        state.accounts = accounts
        for problem in problems { state.problems[problem.code] = problem.count }
        state.due = dueNow
        state.overdue = oldestDueAt.map { max(0, (now - $0).secondsAsDouble) } ?? 0
        state.budget = outlook?.budget
        state.planned = outlook?.planned
        state.budgetUsed = budgetUsed
        state.price = outlook?.price
        state.freshness = outlook?.freshness
        state.unweightedFreshness = outlook?.unweightedFreshness
        state.staleAgainstFixed = outlook?.staleAgainstFixed
        state.calibration = calibration?.bias
        state.promiseIsUnpayable = outlook?.promiseIsUnpayable ?? false
        state.underWay = traffic?.underWay
        state.invalidRequests = traffic?.invalidRequests
        state.circuit = traffic.map { $0.circuit.telemetry }
        state.pausedFor = pausedUntil.map { max(0, ($0 - now).secondsAsDouble) } ?? 0
        return state
    }
}

extension RequestTraffic.Circuit {
    fileprivate var telemetry: Telemetry.ProviderState.Circuit {
        switch self {
        case .closed: .closed
        case .halfOpen: .halfOpen
        case .open: .open
        }
    }
}
