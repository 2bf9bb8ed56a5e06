import Foundation
import Freshness

/// The rule at work on accounts whose changes it learns of only by asking. Requests leave a bucket that fills at the
/// budget; what is due first goes first, and is planned anew when its turn comes.
struct World {
    private struct Account {
        var belief: ChangeBelief
        var reads: ReadCount
        var fetchedAt = 0.0
        var changesAt: Double
        var due: Double
        var share: SyncPrice.Share?
    }

    private let population: Population
    private let budget: Double
    private var chance: Chance
    private var accounts: [Account] = []
    private var queue: [(due: Double, index: Int)] = []
    private var price: SyncPrice

    private let prior = ChangeBelief(a: 0.5, b: 0.5)
    private let theta: Double
    private let bounds: ClosedRange<Double>
    private let meanReads = 20.0
    private let halfLife = 1.0
    private var freshReads = 0.0
    private var allReads = 0.0
    private let rounds = 60.0

    init(_ population: Population, budget: Double, chance: Chance) {
        self.population = population
        self.budget = budget
        self.chance = chance
        theta = 10 / budget
        bounds = 1e-6...20 / budget
        let round = 1 / (SyncPrice.planned * budget)
        price = SyncPrice(price: SyncValue(prior, theta: theta).value(at: round))
        for index in population.changeRates.indices {
            let due = self.chance.unit() * round
            accounts.append(
                Account(
                    belief: prior, reads: ReadCount(at: 0),
                    changesAt: self.chance.exponential(rate: population.changeRates[index]), due: due))
            push((due, index))
        }
        for index in accounts.indices { _ = plan(index, now: 0) }
    }

    /// Read-weighted freshness over the second half of sixty rounds.
    mutating func run() -> Double {
        let rate = budget * Double(accounts.count)
        let end = rounds / budget
        let burst = max(10, Double(accounts.count) * 0.01)
        // Several hundred ticks a round, as ten seconds are to hours.
        let tick = 1 / budget / 300
        var nextTick = tick
        var now = 0.0
        var tokens = burst / 2
        while now < end {
            now += 1 / rate
            tokens = min(burst, tokens + 1)
            while nextTick <= now {
                price.tick(budget: rate, floor: 0)
                nextTick += tick
            }
            while tokens >= 1, let first = queue.first {
                if first.due > now {
                    // A budget that is about to overflow is spent on whoever comes first, if half of its time is over.
                    let account = accounts[first.index]
                    guard tokens >= 0.9 * burst, now - account.fetchedAt >= (account.due - account.fetchedAt) / 2
                    else { break }
                }
                let index = pop()
                let interval = plan(index, now: now)
                if first.due <= now, accounts[index].fetchedAt + interval > now + 0.05 * interval {
                    reschedule(index, accounts[index].fetchedAt + interval)
                    continue
                }
                tokens -= 1
                fetch(index, now: now)
            }
        }
        for index in accounts.indices { count(index, until: end) }
        return freshReads / allReads
    }

    private mutating func fetch(_ index: Int, now: Double) {
        let elapsed = now - accounts[index].fetchedAt
        count(index, until: now)
        // What is left of them by now: the service counts them as they come.
        let lately = -expm1(-elapsed / halfLife * log(2)) * halfLife / log(2)
        let read = chance.poisson(mean: population.readRates[index] * lately)
        accounts[index].reads = accounts[index].reads.adding(Double(read), at: now, halfLife: halfLife)
        let round = price.round(accounts: accounts.count) ?? 1 / budget
        let belief = accounts[index].belief.fading(after: elapsed, round: round, prior: prior)
        let isChanged = accounts[index].changesAt <= now
        accounts[index].belief = isChanged ? belief.changed(within: elapsed) : belief.unchanged(after: elapsed)
        accounts[index].fetchedAt = now
        if isChanged { accounts[index].changesAt = now + chance.exponential(rate: population.changeRates[index]) }
        let interval = plan(index, now: now)
        reschedule(index, now + interval * (0.95 + 0.1 * chance.unit()))
    }

    private mutating func plan(_ index: Int, now: Double) -> Double {
        let account = accounts[index]
        let rate = account.reads.rate(now: now, exposure: now, meanRate: meanReads, halfLife: halfLife)
        let interval = SyncValue(account.belief, theta: theta).interval(
            weight: ReadCount.weight(rate: rate, meanRate: meanReads), price: price.price, in: bounds)
        let isClamped = interval <= bounds.lowerBound || interval >= bounds.upperBound
        let share = SyncPrice.Share(interval: interval, price: price.price, isClamped: isClamped)
        price.replace(account.share, by: share)
        accounts[index].share = share
        return interval
    }

    /// Reads come evenly: the share of time is the share of reads.
    private mutating func count(_ index: Int, until now: Double) {
        let start = max(accounts[index].fetchedAt, rounds / budget / 2)
        guard now > start else { return }
        allReads += population.readRates[index] * (now - start)
        freshReads += population.readRates[index] * max(0, min(now, accounts[index].changesAt) - start)
    }

    // MARK: - A binary heap by due time

    private mutating func reschedule(_ index: Int, _ due: Double) {
        accounts[index].due = due
        push((due, index))
    }

    private mutating func push(_ element: (due: Double, index: Int)) {
        queue.append(element)
        var child = queue.count - 1
        while child > 0, queue[child].due < queue[(child - 1) / 2].due {
            queue.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    private mutating func pop() -> Int {
        let first = queue[0].index
        queue.swapAt(0, queue.count - 1)
        queue.removeLast()
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < queue.count && queue[child].due < queue[least].due {
                least = child
            }
            if least == parent { return first }
            queue.swapAt(least, parent)
            parent = least
        }
    }
}
