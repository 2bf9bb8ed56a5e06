package import Accounts

/// How requests to a provider fare: a minute's worth of counts, in steps of ten seconds.
package struct RequestTraffic: Sendable, Equatable {
    package struct Counts: Sendable, Equatable {
        package var requests = 0
        /// No answer, or one of 500 and above.
        package var failures = 0
        /// Answers that announced a limit.
        package var limited = 0
        /// Answers that count against the budget of invalid requests.
        package var invalid = 0
    }

    package enum Circuit: Sendable, Equatable {
        case closed
        case open(until: Timestamp)
        /// One request at a time shows whether the provider is back.
        case halfOpen
    }

    package var lastMinute = Counts()
    package var underWay = 0
    package var concurrency = 0
    package var circuit = Circuit.closed
    /// Answers that count against the provider's budget of invalid requests, within its window.
    package var invalidRequests = 0
    /// The share of the configured rate that the provider is believed to bear now.
    package var rateShare = 1.0
}

/// Counts by step; what is older than a minute is gone.
struct RecentCounts: Sendable {
    private static let stepMilliseconds: Int64 = 10_000
    private var steps: [(step: Int64, counts: RequestTraffic.Counts)] = []

    mutating func add(now: Timestamp, _ change: (inout RequestTraffic.Counts) -> Void) {
        let step = now.millisecondsSinceEpoch / Self.stepMilliseconds
        if steps.last?.step != step {
            steps.removeAll { $0.step <= step - 6 || $0.step > step }
            steps.append((step, RequestTraffic.Counts()))
        }
        change(&steps[steps.count - 1].counts)
    }

    func lastMinute(now: Timestamp) -> RequestTraffic.Counts {
        let step = now.millisecondsSinceEpoch / Self.stepMilliseconds
        return steps.filter { $0.step > step - 6 && $0.step <= step }.reduce(into: RequestTraffic.Counts()) {
            $0.requests += $1.counts.requests
            $0.failures += $1.counts.failures
            $0.limited += $1.counts.limited
            $0.invalid += $1.counts.invalid
        }
    }
}
