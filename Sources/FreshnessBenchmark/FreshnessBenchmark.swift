import Foundation
import Freshness

/// Prints how fresh reads are, by a fixed interval, by the scheduling rule, and by an optimum that knows every true change
/// rate; fails where the share of the optimum is more than 0.015 below what it is held to.
///
///     FreshnessBenchmark [SEEDS [ACCOUNTS]]                    the rule alone, against the specification's figures
///     FreshnessBenchmark service [SEEDS [ACCOUNTS [ROUNDS]]]   the service on virtual time, against the rule
@main
enum FreshnessBenchmark {
    static let expected: [(budget: Double, fixed: Double, rule: Double, optimum: Double, share: Double)] = [
        (0.05, 0.477, 0.635, 0.657, 0.966), (0.2, 0.645, 0.782, 0.793, 0.985), (1, 0.822, 0.911, 0.917, 0.994),
        (5, 0.933, 0.975, 0.978, 0.997),
    ]
    /// How far below a share may be.
    static let tolerance = 0.015

    static func main() async throws {
        let arguments = CommandLine.arguments.dropFirst()
        let numbers = arguments.compactMap { Int($0) }
        func number(_ index: Int, _ fallback: Int) -> Int { index < numbers.count ? numbers[index] : fallback }
        let isHeld =
            arguments.first == "service"
            ? try await service(seeds: number(0, 1), accounts: number(1, 4000), rounds: number(2, 60))
            : await rule(seeds: number(0, 20), accounts: number(1, 4000))
        exit(isHeld ? 0 : 1)
    }

    private static func rule(seeds: Int, accounts: Int) async -> Bool {
        print("Read-weighted freshness, \(accounts) accounts, \(seeds) seeds; in brackets: the specification's figure")
        print("budget  fixed interval   this rule        optimum          share of the optimum: fixed, rule")
        var isHeld = true
        for figure in expected {
            let results = await withTaskGroup(of: (Double, Double, Double).self) { group in
                for seed in 1...seeds {
                    group.addTask {
                        var chance = Chance(seed: UInt64(seed))
                        let population = Population(count: accounts, chance: &chance)
                        var world = World(population, budget: figure.budget, chance: chance)
                        return (
                            population.fixed(budget: figure.budget), world.run(),
                            population.optimum(budget: figure.budget)
                        )
                    }
                }
                var results: [(Double, Double, Double)] = []
                for await result in group { results.append(result) }
                return results
            }
            func mean(_ value: ((Double, Double, Double)) -> Double) -> Double {
                results.reduce(0) { $0 + value($1) } / Double(results.count)
            }
            let (fixed, rule, optimum) = (mean(\.0), mean(\.1), mean(\.2))
            let share = mean { $0.1 / $0.2 }
            isHeld = isHeld && share >= figure.share - tolerance
            func text(_ value: Double, _ expected: Double) -> String {
                String(format: "%.3f (%.3f)   ", value, expected)
            }
            print(
                String(format: "%-7g ", figure.budget) + text(fixed, figure.fixed) + " " + text(rule, figure.rule) + " "
                    + text(optimum, figure.optimum) + String(format: " %.3f  ", fixed / optimum)
                    + text(share, figure.share))
        }
        print(isHeld ? "The rule holds." : "The rule falls short of its specification by more than \(tolerance).")
        return isHeld
    }

    private static func service(seeds: Int, accounts: Int, rounds: Int) async throws -> Bool {
        print(
            "Read-weighted freshness by the service on virtual time, \(accounts) accounts, \(rounds) rounds of which the"
        )
        print("second half counts, seeds 1 to \(seeds)")
        print(
            "budget  seed  fixed: computed, served  service  rule    optimum   share: fixed, service, rule   spent   believed"
        )
        var isHeld = true
        for figure in expected {
            var shares = (service: 0.0, rule: 0.0)
            for seed in 1...UInt64(seeds) {
                var chance = Chance(seed: seed)
                let population = Population(count: accounts, chance: &chance)
                var world = World(population, budget: figure.budget, chance: chance)
                let rule = world.run()
                let (fixed, optimum) = (
                    population.fixed(budget: figure.budget), population.optimum(budget: figure.budget)
                )
                var settings = ServiceRun.Settings(
                    budget: figure.budget, accounts: accounts, rounds: Double(rounds), seed: seed)
                let served = try await ServiceRun(settings).run()
                settings.isFixed = true
                let servedFixed = try await ServiceRun(settings).run()
                shares.service += served.freshness / optimum / Double(seeds)
                shares.rule += rule / optimum / Double(seeds)
                print(
                    String(
                        format:
                            "%-7g %-5d %.3f     %.3f            %.3f    %.3f   %.3f     %.3f  %.3f    %.3f         %.3f   %.3f",
                        figure.budget, Int(seed), fixed, servedFixed.freshness, served.freshness, rule, optimum,
                        servedFixed.freshness / optimum, served.freshness / optimum, rule / optimum, served.spent,
                        served.believed ?? .nan))
            }
            isHeld = isHeld && shares.service >= shares.rule - tolerance
        }
        print(
            isHeld
                ? "The service reaches the rule's share within \(tolerance)."
                : "The service falls short of the rule's share by more than \(tolerance).")
        return isHeld
    }
}
