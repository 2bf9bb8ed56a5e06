import Accounts
import Providers
import TestSupport
import Testing

@testable import Sync

@Suite(.timeLimit(.minutes(10))) struct SyncScheduleTests {
    static let now = Timestamp(secondsSinceEpoch: 1_795_185_773)
    static let policy = SyncPolicy(
        interval: .seconds(6 * 3600), minimumInterval: .seconds(300), maximumAge: .seconds(24 * 3600))

    static func failure(_ disposition: Disposition) -> SyncOutcome {
        .failed(SyncFailure(disposition: disposition, code: .providerUnavailable, detail: "EXAMPLE"))
    }

    private func pause(
        _ outcome: SyncOutcome, _ policy: SyncPolicy = policy, failures: Int = 0, freshFor: Duration? = nil,
        random: ConstantRandom
    ) -> Double? {
        SyncSchedule.next(
            now: Self.now, outcome: outcome, policy: policy, failures: failures, freshFor: freshFor, random: random
        ).map { ($0 - Self.now).secondsAsDouble }
    }

    struct Case: Sendable, CustomTestStringConvertible {
        var outcome: SyncOutcome
        var policy = SyncScheduleTests.policy
        var failures = 0
        var freshFor: Duration?
        /// Seconds from now, at the two ends of chance.
        var range: ClosedRange<Double>
        var testDescription: String { "\(outcome) \(failures) \(policy.interval) \(freshFor.map { "\($0)" } ?? "-")" }

        init(
            _ outcome: SyncOutcome, _ policy: SyncPolicy = SyncScheduleTests.policy, failures: Int = 0,
            freshFor: Duration? = nil, in range: ClosedRange<Double>
        ) {
            self.outcome = outcome
            self.policy = policy
            self.failures = failures
            self.freshFor = freshFor
            self.range = range
        }
    }

    static let hour = 3600.0
    static let daily = SyncPolicy(
        interval: .seconds(86_400), minimumInterval: .seconds(300), maximumAge: .seconds(86_400))
    static let nearlyDaily = SyncPolicy(
        interval: .seconds(23 * 3600 + 1800), minimumInterval: .seconds(300), maximumAge: .seconds(86_400))
    static let tight = SyncPolicy(
        interval: .seconds(86_400), minimumInterval: .seconds(82_800), maximumAge: .seconds(86_400))
    static let rare = SyncPolicy(
        interval: .seconds(300), minimumInterval: .seconds(300), maximumAge: .seconds(7 * 86_400))
    static let demo = SyncPolicy(interval: .seconds(10), minimumInterval: .seconds(5), maximumAge: .seconds(60))
    static let wait = failure(.wait(until: now + .seconds(1000), everyone: true))

    static let table: [Case] = [
        // ±5 % of the interval, whichever way it was confirmed.
        Case(.updated, in: 5.7 * hour...6.3 * hour),
        Case(.unchanged, in: 5.7 * hour...6.3 * hour),
        // Never sooner than the minimum, never later than the promise.
        Case(.unchanged, rare, in: 300...315),
        Case(.unchanged, nearlyDaily, in: 22.325 * hour...24 * hour),
        Case(.unchanged, daily, in: 21.6 * hour...24 * hour),
        Case(.unchanged, tight, in: 23 * hour...24 * hour),
        // Cache-Control lengthens, within the promise, and never shortens.
        Case(.unchanged, freshFor: .seconds(60), in: 5.7 * hour...6.3 * hour),
        Case(.unchanged, freshFor: .seconds(12 * 3600), in: 11.4 * hour...12.6 * hour),
        Case(.unchanged, freshFor: .seconds(7 * 86_400), in: 21.6 * hour...24 * hour),
        // One minute, doubled with each failure, half of it chance, to the promised age or a day.
        Case(failure(.retry), failures: 0, in: 60...120),
        Case(failure(.retry), failures: 1, in: 60...120),
        Case(failure(.retry), failures: 2, in: 120...240),
        Case(failure(.retry), failures: 9, in: 15_360...30_720),
        Case(failure(.retry), failures: 11, in: 12 * hour...24 * hour),
        Case(failure(.retry), failures: .max, in: 12 * hour...24 * hour),
        Case(failure(.retry), rare, failures: 1000, in: 12 * hour...24 * hour),
        Case(failure(.retry), demo, failures: 3, in: 30...60),
        // Not before the instant that was asked for, and not all at that instant.
        Case(wait, in: 1000...1030),
        Case(failure(.wait(until: now + .seconds(20), everyone: false)), in: 20...22),
        Case(failure(.wait(until: now, everyone: false)), in: 1...1.1),
        Case(failure(.wait(until: now - .seconds(86_400), everyone: true)), in: 1...1.1),
        Case(failure(.wait(until: now + .seconds(86_400), everyone: true)), failures: 40, in: 86_400...86_430),
        Case(failure(.fixConfiguration), in: 600...900),
        Case(failure(.suspend), in: 21.6 * hour...24 * hour),
    ]

    @Test(arguments: table) func `is due again within the bounds of the rule`(_ test: Case) throws {
        for (random, expected) in [
            (ConstantRandom.least, test.range.lowerBound), (.most, test.range.upperBound),
        ] {
            let seconds = try #require(
                pause(
                    test.outcome, test.policy, failures: test.failures, freshFor: test.freshFor, random: random))
            #expect(abs(seconds - expected) <= 0.002)
        }
    }

    @Test(arguments: AccountProblem.Code.allCases)
    func `is not due at all once the grant is dead`(_ code: AccountProblem.Code) {
        #expect(pause(Self.failure(.relink(code)), random: .most) == nil)
    }

    @Test func `a cut-short attempt is due at once`() {
        #expect(pause(.abandoned, random: .most) == 0)
    }

    @Test func `waits to the millisecond, for a second that a double can't hold`() {
        for milliseconds in 1000..<20_000 as Range<Int64> {
            let until = Self.now + .milliseconds(milliseconds)
            let next = SyncSchedule.next(
                now: Self.now, outcome: Self.failure(.wait(until: until, everyone: true)), policy: Self.policy,
                failures: 0, random: ConstantRandom.least)
            guard next == until else {
                Issue.record("\(milliseconds) ms: \(String(describing: next))")
                return
            }
        }
    }

    @Test func `accounts that were synced together drift apart`() {
        let random = SeededRandom(seed: 3)
        let instants = (0..<1000).compactMap { _ in
            SyncSchedule.next(
                now: Self.now, outcome: .unchanged, policy: Self.policy, failures: 0, random: random)
        }
        #expect(Set(instants).count > 990)
        let mean = instants.map { ($0 - Self.now).secondsAsDouble }.reduce(0, +) / 1000
        #expect(abs(mean - 6 * 3600) < 60)
    }

    @Test func `a bulk import is spread over one interval`() {
        let random = SeededRandom(seed: 4)
        let offsets = (0..<1000).map { _ in
            (SyncSchedule.first(now: Self.now, policy: Self.policy, random: random) - Self.now).secondsAsDouble
        }
        #expect(offsets.allSatisfy { (0...6 * 3600).contains($0) })
        for quarter in 0..<4 {
            let share = offsets.count { Int($0 / 5400) == quarter }
            #expect((200...300).contains(share))
        }
    }

    /// Every rule at once, over policies, outcomes, failures, hints and clocks as they come.
    @Test func `every plan is in the future and keeps every promise`() {
        var generator = Generator(seed: 20_261_120)
        let random = SeededRandom(seed: 5)
        for number in 0..<20_000 {
            let minimum = generator.duration(1...7200)
            let interval = minimum + (generator.chance(30) ? .zero : generator.duration(0...86_400))
            let maximum = interval + (generator.chance(30) ? .zero : generator.duration(0...604_800))
            let policy = SyncPolicy(interval: interval, minimumInterval: minimum, maximumAge: maximum)
            // Set back, set forward, or far away: nothing but `now` counts.
            let now = Timestamp(secondsSinceEpoch: .random(in: -10_000_000_000...100_000_000_000, using: &generator))
            let failures = generator.chance(10) ? Int.max : Int.random(in: 0...40, using: &generator)
            let freshFor = generator.chance(30) ? generator.duration(0...700_000) : nil
            let until = now + generator.duration(-200_000...90_000)
            let dispositions: [Disposition] = [
                .retry, .wait(until: until, everyone: generator.chance(50)), .fixConfiguration, .suspend,
            ]
            let outcome: SyncOutcome =
                generator.chance(40)
                ? (generator.chance(50) ? .updated : .unchanged)
                : Self.failure(dispositions.randomElement(using: &generator) ?? .retry)
            guard
                let next = SyncSchedule.next(
                    now: now, outcome: outcome, policy: policy, failures: failures, freshFor: freshFor, random: random)
            else {
                Issue.record("case \(number): no next sync after \(outcome)")
                return
            }
            let pause = next - now
            var broken: [String] = []
            if pause <= .zero { broken.append("not in the future") }
            switch outcome {
            case .updated, .unchanged:
                if pause < policy.minimumInterval { broken.append("below the minimum interval") }
                if pause > policy.maximumAge { broken.append("later than the maximum age") }
                let plan = max(policy.interval, freshFor ?? .zero)
                if pause.secondsAsDouble > plan.secondsAsDouble * 1.05 + 0.001 { broken.append("beyond the jitter") }
                let least = min(plan.secondsAsDouble * 0.95, policy.maximumAge.secondsAsDouble * 0.9)
                if pause.secondsAsDouble < least - 0.001 { broken.append("before the jitter") }
            case .failed(let failure):
                switch failure.disposition {
                case .retry:
                    if pause > min(policy.maximumAge, .seconds(86_400)) { broken.append("back-off has no end") }
                case .wait(let until, _):
                    if next < until { broken.append("sooner than was asked for") }
                    if next > max(until, now) + .seconds(31) { broken.append("much later than was asked for") }
                case .suspend:
                    if pause > policy.maximumAge { broken.append("later than the maximum age") }
                default: break
                }
            case .abandoned: break
            }
            if !broken.isEmpty {
                Issue.record("case \(number): \(broken) — \(pause) after \(outcome), \(policy), \(failures) failures")
                return
            }
        }
    }

    @Test func `pauses after failures never shrink and are capped`() {
        for random in [ConstantRandom.least, .most] {
            let pauses = (1...100).compactMap { pause(Self.failure(.retry), failures: $0, random: random) }
            #expect(pauses.count == 100)
            #expect(zip(pauses, pauses.dropFirst()).allSatisfy { $0 <= $1 })
            #expect(pauses[0] < pauses[5])
            #expect(pauses.allSatisfy { $0 <= 86_400 })
        }
    }
}
