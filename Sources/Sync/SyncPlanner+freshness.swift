package import Accounts
import Freshness
import Logging
import Providers
import Store
import Synchronization

extension SyncPlanner {
    package struct Outlook: Sendable, Equatable {
        package var price: Double
        /// Syncs a second, and so is the budget.
        package var planned: Double
        package var budget: Double
        /// The believed share of reads that return what the provider would say now, as are the three that follow `nil`
        /// before any sample.
        package var freshness: Double?
        /// The same over accounts, read or not.
        package var unweightedFreshness: Double?
        /// Planned staleness over that of one fixed interval with as many requests.
        package var staleAgainstFixed: Double?
        /// The share of accounts whose interval is at a bound instead of following the price.
        package var clampedShare: Double?
        package var promiseIsUnpayable: Bool
    }

    /// For those who watch.
    package func outlook(_ id: ProviderID) -> Outlook? {
        guard let provider = catalog[id], let state = states.withLock({ $0[id] }) else { return nil }
        return Outlook(
            price: state.price.price,
            planned: state.price.elastic / state.price.price.squareRoot() + state.price.fixed,
            budget: Self.budget(provider, state),
            freshness: state.freshness.weighted, unweightedFreshness: state.freshness.unweighted,
            staleAgainstFixed: state.freshness.staleAgainstFixed, clampedShare: state.freshness.clampedShare,
            promiseIsUnpayable: !Self.bounds(provider, state).isPayable)
    }

    private static let sampleSize = 2000

    /// Looks at some more accounts of each provider, in turn: what was seen longer ago counts for less.
    package func sampleFreshness() async {
        for provider in catalog.providers {
            guard let after = states.withLock({ $0[provider.id] })?.sampledUpTo, let round = round(provider) else {
                continue
            }
            do {
                let now = time.now()
                let sample = try await schedule.sample(
                    provider: provider.id, after: after, limit: Self.sampleSize)
                var sums = FreshnessSums()
                for account in sample.accounts {
                    guard let syncedAt = account.syncedAt else { continue }
                    sums.add(
                        belief(account.learned), plan: account.learned.plan, age: (now - syncedAt).secondsAsDouble,
                        round: round)
                }
                states.withLock { [sums] states in
                    guard var state = states[provider.id] else { return }
                    state.sampledUpTo = sample.next ?? ""
                    // A sample of all there is needs no memory.
                    state.freshness.merge(sums, kept: after.isEmpty && sample.next == nil ? 0 : 0.9)
                    states[provider.id] = state
                }
            } catch {
                logger.error("Freshness can't be estimated", metadata: ["error": "\(error)"])
            }
        }
    }
}
