import Foundation
import TestSupport
import Testing

@testable import Freshness

/// What must hold for any numbers, not just those of the vectors.
@Suite struct PropertyTests {
    private let random = SeededRandom(seed: 3)

    private func logUniform(_ range: ClosedRange<Double>) -> Double {
        let bits = random.bytes(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        let unit = Double(bits >> 11) / Double(UInt64(1) << 53)
        return exp(log(range.lowerBound) + unit * (log(range.upperBound) - log(range.lowerBound)))
    }

    @Test func `the value rises with age, and the interval falls with weight and rises with the price`() {
        for _ in 0..<2000 {
            let belief = ChangeBelief(a: logUniform(0.01...500), b: logUniform(60...1e9))
            let value = SyncValue(belief, theta: logUniform(3600...1e8))
            let age = logUniform(1...1e7)
            #expect(value.value(at: age * 1.01) > value.value(at: age), "\(belief) \(age)")
            let (weight, price) = (logUniform(0.1...100), logUniform(0.01...1e6))
            let interval = value.interval(weight: weight, price: price, in: 60...604_800)
            #expect((60...604_800).contains(interval))
            #expect(value.interval(weight: weight * 2, price: price, in: 60...604_800) <= interval * (1 + 1e-9))
            #expect(value.interval(weight: weight, price: price * 2, in: 60...604_800) >= interval * (1 - 1e-9))
        }
    }

    @Test func `the interval is where the value is the price, however flat the value is there`() {
        for round in 0..<20_000 {
            let belief = ChangeBelief(a: logUniform(0.01...500), b: logUniform(60...1e9))
            let value = SyncValue(belief, theta: round % 2 == 0 ? .infinity : logUniform(3600...1e8))
            let price = value.value(at: logUniform(1e3...1e10))
            let interval = value.interval(weight: 1, price: price, in: 1e3...1e10)
            let shorter = value.value(at: interval * (1 - 1e-6))
            let longer = value.value(at: interval * (1 + 1e-6))
            #expect(shorter <= price * (1 + 1e-11) && longer >= price * (1 - 1e-11), "\(value) \(price) \(interval)")
        }
    }

    @Test func `a change raises the believed rate, none lowers it, and beliefs stay finite for any times`() {
        for _ in 0..<5000 {
            let belief = ChangeBelief(a: logUniform(0.01...1e6), b: logUniform(1e-3...1e12))
            let elapsed = logUniform(1e-3...1e10)
            let changed = belief.changed(within: elapsed)
            #expect(changed.a.isFinite && changed.b.isFinite && changed.a > 0 && changed.b > 0, "\(belief) \(elapsed)")
            #expect(changed.a / changed.b >= belief.a / belief.b * (1 - 1e-6), "\(belief) \(elapsed) \(changed)")
            let unchanged = belief.unchanged(after: elapsed)
            #expect(unchanged.a / unchanged.b <= belief.a / belief.b)
        }
        // A clock that was set back teaches nothing.
        #expect(ChangeBelief.prior.changed(within: -5) == .prior)
        #expect(ChangeBelief.prior.unchanged(after: -5) == .prior)
    }

    @Test func `the price settles where the planned rate is the budget`() {
        let beliefs = (0..<500).map { _ in ChangeBelief(a: logUniform(0.3...5), b: logUniform(1e5...1e7)) }
        let budget = 0.01
        var price = SyncPrice.start(accounts: beliefs.count, budget: budget)
        let bounds = SyncBounds.bounds(promise: 7 * 86_400, minimum: 300, accounts: beliefs.count, budget: budget)
            .bounds
        for _ in 0..<60 {
            price.elastic = 0
            price.fixed = 0
            for belief in beliefs {
                let interval = SyncValue(belief, theta: 5e5).interval(weight: 1, price: price.price, in: bounds)
                let isClamped = interval <= bounds.lowerBound || interval >= bounds.upperBound
                price.replace(nil, by: .init(interval: interval, price: price.price, isClamped: isClamped))
            }
            price.tick(budget: budget)
        }
        let rate = price.elastic / price.price.squareRoot() + price.fixed
        #expect(abs(rate - 0.95 * budget) < 0.002 * budget)
        #expect(abs((price.round(accounts: beliefs.count) ?? 0) * rate - Double(beliefs.count)) < 1e-6)
    }

    @Test func `a plan that is replaced leaves nothing behind`() {
        var price = SyncPrice(price: 400)
        let first = SyncPrice.Share(interval: 3600, price: 400, isClamped: false)
        let second = SyncPrice.Share(interval: 604_800, price: 400, isClamped: true)
        price.replace(nil, by: first)
        price.replace(first, by: second)
        #expect(price.elastic == 0 && price.fixed == 1 / 604_800)
        price.replace(second, by: nil)
        #expect(price.elastic == 0 && price.fixed == 0 && price.round(accounts: 5) == nil)
    }

    @Test func `a promise that the budget can't pay is stretched, and said to be`() {
        let rich = SyncBounds.bounds(promise: 86_400, minimum: 300, accounts: 1000, budget: 5)
        #expect(rich.isPayable && rich.bounds == 300...77_760)
        let poor = SyncBounds.bounds(promise: 86_400, minimum: 300, accounts: 1_000_000, budget: 5)
        #expect(!poor.isPayable && abs(poor.bounds.upperBound - 1_000_000 / 3.8) < 1e-6)
        #expect(SyncBounds.bounds(promise: 30, minimum: 300, accounts: 1, budget: 5).bounds == 300...300)
    }

    @Test func `who is read as often as the mean weighs one, and nobody weighs nothing or everything`() {
        let mean = 1 / 86_400.0
        var reads = ReadCount(at: 0)
        for day in 1...400 { reads = reads.adding(1, at: Double(day) * 86_400) }
        let rate = reads.rate(now: 400 * 86_400, exposure: 400 * 86_400, meanRate: mean)
        // A count by the day runs half a day ahead of a rate.
        #expect(abs(ReadCount.weight(rate: rate, meanRate: mean) - 1) < 0.02)
        #expect(ReadCount.weight(rate: 0, meanRate: mean) == 0.1)
        #expect(ReadCount.weight(rate: 1, meanRate: mean) == 100)
        #expect(ReadCount(at: 0).rate(now: 0, exposure: 0, meanRate: mean) == mean)
        #expect(reads.decayed(to: 430 * 86_400).count == reads.count / 2)
    }

    @Test(arguments: [(0.5, 1_296_000.0), (1, 86_400), (2, 864_000), (20, 86_400), (1e-3, 60)])
    func `mean freshness is the mean of what is believed along the way`(a: Double, b: Double) {
        let belief = ChangeBelief(a: a, b: b)
        for interval in [1e-3, 1, 60, 3600, 86_400, 1e7] {
            let steps = 20_000
            let sum = (0..<steps).reduce(0.0) { sum, step in
                sum + belief.freshProbability(age: interval * (Double(step) + 0.5) / Double(steps))
            }
            let mean = belief.meanFreshness(every: interval)
            #expect(abs(mean - sum / Double(steps)) < 2e-4, "\(interval): \(mean)")
            #expect(mean <= 1 && mean > 0)
        }
        #expect(belief.meanFreshness(every: 0) == 1)
    }
}
