package import Accounts
import Synchronization

/// What this process's syncs of each provider found lately. In memory: after a restart it fills again.
package final class SyncFigures: Sendable {
    /// The last hour, or since the start of the process.
    package struct Hour: Sendable, Equatable {
        /// Syncs that were answered, changed or not.
        package var syncs = 0
        /// Of these, asked for by a caller.
        package var onDemand = 0
        package var notModified = 0
        package var changed = 0
        package var failed = 0
        /// Of what time all this is, in seconds.
        package var seconds: Double = 0
    }

    /// How well beliefs foretell.
    package struct Calibration: Sendable, Equatable {
        /// Believed less found share of unchanged profiles, the latest syncs counting most.
        package var bias: Double
        /// Beyond what chance and habit explain: the estimate of freshness can't be trusted.
        package var isOff: Bool
    }

    enum Found: Sendable { case changed, unchanged, notModified, failed }

    private struct State {
        var steps: [(step: Int64, hour: Hour)] = []
        var bias = 0.0
        var weight = 0.0

        mutating func count(_ found: Found, in step: Int64, isOnDemand: Bool) {
            if steps.last?.step != step {
                steps.removeAll { $0.step <= step - SyncFigures.stepCount || $0.step > step }
                steps.append((step, Hour()))
            }
            let last = steps.count - 1
            switch found {
            case .failed: steps[last].hour.failed += 1
            case .changed: steps[last].hour.changed += 1
            case .notModified: steps[last].hour.notModified += 1
            case .unchanged: break
            }
            if found == .failed { return }
            steps[last].hour.syncs += 1
            if isOnDemand { steps[last].hour.onDemand += 1 }
        }

        mutating func compare(believed: Double, isUnchanged: Bool) {
            bias += SyncFigures.gain * (believed - (isUnchanged ? 1 : 0) - bias)
            weight += SyncFigures.gain * (1 - weight)
        }
    }

    private static let stepMilliseconds: Int64 = 60_000
    private static let stepCount: Int64 = 60
    /// About the last thousand syncs count. One sync alone says next to nothing: it was unchanged or not.
    private static let gain = 0.001
    private static let biasMax = 0.03
    /// From here on the bias is known to a third of the bound that sets off the alarm.
    private static let weightMin = 0.63

    private let time: any TimeSource
    private let startedAt: Timestamp
    private let states = Mutex<[ProviderID: State]>([:])

    package init(time: any TimeSource) {
        self.time = time
        startedAt = time.now()
    }

    func count(_ found: Found, at provider: ProviderID, isOnDemand: Bool) {
        let step = time.now().millisecondsSinceEpoch / Self.stepMilliseconds
        states.withLock { states in
            states[provider, default: State()].count(found, in: step, isOnDemand: isOnDemand)
        }
    }

    /// - Parameter believed: the chance that the copy was current just before it was fetched anew.
    func compare(believed: Double, isUnchanged: Bool, at provider: ProviderID) {
        states.withLock { states in
            states[provider, default: State()].compare(believed: believed, isUnchanged: isUnchanged)
        }
    }

    package func lastHour(of provider: ProviderID) -> Hour {
        let now = time.now()
        let step = now.millisecondsSinceEpoch / Self.stepMilliseconds
        let steps = states.withLock { $0[provider]?.steps } ?? []
        var sum = Hour()
        for (at, hour) in steps where at > step - Self.stepCount && at <= step {
            sum.syncs += hour.syncs
            sum.onDemand += hour.onDemand
            sum.notModified += hour.notModified
            sum.changed += hour.changed
            sum.failed += hour.failed
        }
        sum.seconds = min(max((now - startedAt).secondsAsDouble, 1), 3600)
        return sum
    }

    /// `nil` before anything was compared.
    package func calibration(of provider: ProviderID) -> Calibration? {
        guard let state = states.withLock({ $0[provider] }), state.weight > 0 else { return nil }
        // An average that began at nothing, made one over what it has seen.
        let bias = state.bias / state.weight
        return Calibration(bias: bias, isOff: state.weight >= Self.weightMin && abs(bias) > Self.biasMax)
    }
}
