import Foundation

/// The price of a request at one provider: what freshness the last request has to buy for the planned rate to equal the
/// budget. Every plan adds itself to one of two sums and takes its old share out; a tick moves the price.
package struct SyncPrice: Sendable, Equatable {
    package var price: Double
    /// Σ √price / interval over accounts whose interval follows the price: hardly moves when the price does.
    package var elastic: Double
    /// Σ 1 / interval over those at a bound.
    package var fixed: Double

    package init(price: Double, elastic: Double = 0, fixed: Double = 0) {
        self.price = price
        self.elastic = elastic
        self.fixed = fixed
    }

    /// The share of the budget that is planned for.
    package static let planned = 0.95
    /// A cheaper request buys no freshness worth a provider's trouble, however large the budget.
    package static let floor: Double = 30

    /// Where nothing was planned yet: every account the average one, once a round.
    package static func start(
        accounts: Int, budget: Double, prior: ChangeBelief = .prior, floor: Double = SyncPrice.floor
    ) -> SyncPrice {
        let round = Double(max(accounts, 1)) / (planned * budget)
        let value = SyncValue(prior, theta: 10 * round).value(at: round)
        return SyncPrice(price: max(value, floor))
    }

    /// What a plan adds to the sums.
    package struct Share: Sendable, Equatable {
        package var elastic = 0.0
        package var fixed = 0.0

        package init(elastic: Double = 0, fixed: Double = 0) {
            self.elastic = elastic
            self.fixed = fixed
        }

        package init(interval: Double, price: Double, isClamped: Bool) {
            if isClamped { fixed = 1 / interval } else { elastic = price.squareRoot() / interval }
        }
    }

    package mutating func replace(_ old: Share?, by new: Share?) {
        elastic = max(0, elastic + (new?.elastic ?? 0) - (old?.elastic ?? 0))
        fixed = max(0, fixed + (new?.fixed ?? 0) - (old?.fixed ?? 0))
    }

    /// - Parameters:
    ///   - budget: requests per second that the provider's shared limits leave us.
    ///   - taken: requests per second that callers and tokens took of it lately.
    package mutating func tick(budget: Double, taken: Double = 0, floor: Double = SyncPrice.floor) {
        let target = Self.planned * max(0.2 * budget, budget - taken)
        let wanted = Self.wanted(elastic: elastic, fixed: fixed, target: target)
        let step = (wanted / price).squareRoot()
        price = max(floor, price * min(max(step.isFinite ? step : 2, 0.5), 2))
    }

    /// The price at which the planned rate would be the target, were the sums to stay as they are.
    static func wanted(elastic: Double, fixed: Double, target: Double) -> Double {
        let room = max(target - fixed, 0.05 * target)
        return (elastic / room) * (elastic / room)
    }

    /// The mean planned interval, in seconds; `nil` where nothing is planned.
    package func round(accounts: Int) -> Double? {
        let rate = elastic / price.squareRoot() + fixed
        return accounts > 0 && rate > 0 ? Double(accounts) / rate : nil
    }
}

/// The bounds of an account's interval.
package enum SyncBounds {
    /// Seconds that no interval undercuts, and none exceeds.
    package static let shortest: Double = 60
    package static let longest: Double = 7 * 86_400

    /// - Parameters:
    ///   - promise: no copy of a healthy account is older.
    ///   - minimum: never more often.
    /// - Returns: the bounds, and whether the budget can pay the promise: where not, it is stretched to what can be paid.
    package static func bounds(
        promise: Double, minimum: Double, accounts: Int, budget: Double, shortest: Double = SyncBounds.shortest
    ) -> (bounds: ClosedRange<Double>, isPayable: Bool) {
        let low = max(shortest, minimum)
        let promised = min(promise, longest) * 0.9
        let payable = Double(accounts) / (0.8 * SyncPrice.planned * budget)
        let high = max(promised, payable)
        return (low...max(low, high), payable <= promised)
    }
}

/// Whether a read that leaves it to the service waits for a new copy: one read is worth `1 / meanRate` in units of
/// weight.
package func readIsWorthARequest(
    _ value: SyncValue, age: Double, weight: Double, meanRate: Double, price: Double
) -> (worth: Double, isWorthIt: Bool) {
    let worth = (1 - value.belief.freshProbability(age: age)) / meanRate + weight * value.value(at: age)
    return (worth, worth >= price)
}
