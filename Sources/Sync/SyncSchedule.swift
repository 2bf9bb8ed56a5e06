package import Accounts
package import Providers

/// When an account is fetched next. Pure: the same instant, outcome and chance give the same answer.
///
/// The rules are `sync-scheduling` §5 and §8 with a fixed interval: ±5 % of jitter on every plan so that accounts
/// linked together drift apart, growing pauses after failures, and a pause that a provider asked for is kept to.
package enum SyncSchedule {
    /// The longest pause after failures, however many there were.
    static let backOffMax: Duration = .seconds(86_400)
    static let backOffUnit: Double = 60
    /// How long an account waits whose provider refuses our registration, or is not configured any more.
    static let configurationPause: Duration = .seconds(600)

    /// - Parameters:
    ///   - failures: consecutive failures, this one included.
    ///   - freshFor: what the response's `Cache-Control: max-age` asked for, where it said so. It can lengthen the
    ///     interval up to the promised maximum age, never shorten it.
    /// - Returns: `nil` where no further attempt makes sense until the user acts.
    package static func next(
        now: Timestamp, outcome: SyncOutcome, policy: SyncPolicy, failures: Int, freshFor: Duration? = nil,
        random: some RandomSource
    ) -> Timestamp? {
        switch outcome {
        case .abandoned:
            return now
        case .updated, .unchanged:
            return now + interval(policy: policy, freshFor: freshFor, random: random)
        case .failed(let failure):
            switch failure.disposition {
            case .retry:
                let exponent = min(max(failures, 1), 20)
                let ceiling = min(policy.maximumAge, backOffMax).secondsAsDouble
                let pause = min(ceiling, backOffUnit * Double(1 << exponent))
                return now + seconds(pause * random.uniform(0.5...1))
            case .wait(let until, _):
                // Everyone who was told to wait would otherwise come back at the same instant.
                let pause = max(until - now, .seconds(1))
                return now + pause + seconds(random.uniform(0...min(30, pause.secondsAsDouble * 0.1)))
            case .relink:
                return nil
            case .fixConfiguration:
                return now + seconds(configurationPause.secondsAsDouble * random.uniform(1...1.5))
            case .suspend:
                return now + seconds(policy.maximumAge.secondsAsDouble * random.uniform(0.9...1))
            }
        }
    }

    private static func interval(policy: SyncPolicy, freshFor: Duration?, random: some RandomSource) -> Duration {
        var plan = max(policy.interval, policy.minimumInterval)
        if let freshFor { plan = max(plan, freshFor) }
        // Where the promise bounds the plan, chance only shortens it.
        let jittered =
            plan < policy.maximumAge
            ? seconds(plan.secondsAsDouble * random.uniform(0.95...1.05))
            : seconds(policy.maximumAge.secondsAsDouble * random.uniform(0.9...1))
        return min(max(jittered, policy.minimumInterval), policy.maximumAge)
    }

    /// When a freshly imported account is fetched for the first time: spread over one interval, so that a bulk import
    /// does not come due at once.
    package static func first(now: Timestamp, policy: SyncPolicy, random: some RandomSource) -> Timestamp {
        now + seconds(policy.interval.secondsAsDouble * random.unitInterval())
    }

    private static func seconds(_ value: Double) -> Duration { .milliseconds(Int64(min(value, 1e12) * 1000)) }
}
