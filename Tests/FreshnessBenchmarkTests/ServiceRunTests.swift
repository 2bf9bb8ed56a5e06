import Testing

@testable import FreshnessBenchmark

/// The service's own scheduler against a world that changes, smaller than `FreshnessBenchmark service` has it.
@Suite(.serialized, .timeLimit(.minutes(10))) struct ServiceRunTests {
    private func population(_ settings: ServiceRun.Settings) -> Population {
        var chance = Chance(seed: settings.seed)
        return Population(count: settings.accounts, chance: &chance)
    }

    // The bounds leave room for chance: requests that are under way at once draw from it in no certain order.

    @Test func `keeps reads fresher than a fixed interval does, near the optimum, within the budget`() async throws {
        let settings = ServiceRun.Settings(budget: 0.2, accounts: 300, rounds: 24, step: .seconds(300))
        let population = population(settings)
        let (fixed, optimum) = (population.fixed(budget: 0.2), population.optimum(budget: 0.2))
        let result = try await ServiceRun(settings).run()
        #expect(optimum - fixed > 0.1)
        #expect(result.freshness > fixed + 0.06, "\(result) against \(fixed)")
        #expect(result.freshness > 0.92 * optimum, "\(result) against \(optimum)")
        #expect(result.spent > 0.85 && result.spent < 1.04, "\(result)")
        // What an operator is told is what is so.
        #expect(abs((result.believed ?? 0) - result.freshness) < 0.08, "\(result)")
        #expect(abs(result.calibration ?? 1) < 0.06, "\(result)")
    }

    @Test func `a fixed interval is as fresh as arithmetic says`() async throws {
        let settings = ServiceRun.Settings(
            budget: 1, accounts: 300, rounds: 16, step: .seconds(600), isFixed: true, seed: 2)
        let result = try await ServiceRun(settings).run()
        let fixed = population(settings).fixed(budget: 1)
        #expect(abs(result.freshness - fixed) < 0.06, "\(result) against \(fixed)")
        #expect(abs(result.spent - 1) < 0.05, "\(result)")
        #expect(result.believed == nil)
    }
}
