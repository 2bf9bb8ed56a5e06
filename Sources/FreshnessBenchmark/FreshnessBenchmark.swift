import Foundation

/// Prints how fresh reads are by the rule, by a fixed interval, and by an optimum that knows every true change rate; fails
/// where the rule's share of the optimum is more than 0.015 below what its specification measured.
@main
enum FreshnessBenchmark {
    static let expected: [(budget: Double, fixed: Double, rule: Double, optimum: Double, share: Double)] = [
        (0.05, 0.477, 0.635, 0.657, 0.966), (0.2, 0.645, 0.782, 0.793, 0.985), (1, 0.822, 0.911, 0.917, 0.994),
        (5, 0.933, 0.975, 0.978, 0.997),
    ]

    static func main() async {
        let arguments = CommandLine.arguments.dropFirst().compactMap { Int($0) }
        let seeds = arguments.first ?? 20
        let count = arguments.dropFirst().first ?? 4000
        print("Read-weighted freshness, \(count) accounts, \(seeds) seeds; in brackets: the specification's figure")
        print("budget  fixed interval   this rule        optimum          share of the optimum: fixed, rule")
        var isHeld = true
        for figure in expected {
            let results = await withTaskGroup(of: (Double, Double, Double).self) { group in
                for seed in 1...seeds {
                    group.addTask {
                        var chance = Chance(seed: UInt64(seed))
                        let population = Population(count: count, chance: &chance)
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
            isHeld = isHeld && share >= figure.share - 0.015
            func text(_ value: Double, _ expected: Double) -> String {
                String(format: "%.3f (%.3f)   ", value, expected)
            }
            print(
                String(format: "%-7g ", figure.budget) + text(fixed, figure.fixed) + " " + text(rule, figure.rule) + " "
                    + text(optimum, figure.optimum) + String(format: " %.3f  ", fixed / optimum)
                    + text(share, figure.share))
        }
        print(isHeld ? "The rule holds." : "The rule falls short of its specification by more than 0.015.")
        exit(isHeld ? 0 : 1)
    }
}
