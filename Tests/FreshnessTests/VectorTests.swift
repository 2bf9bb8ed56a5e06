import Foundation
import Testing

@testable import Freshness

private let day = 86_400.0

private func close(_ value: Double, _ expected: Double, _ tolerance: Double = 1e-6) -> Bool {
    abs(value - expected) <= tolerance * abs(expected)
}

/// The scheduling specification's own vectors, by their names there.
@Suite struct VectorTests {
    @Test(
        arguments: [
            ("U1", 0.5, 1_296_000, 86400, false, 0.5, 1_382_400.0),
            ("U2", 0.5, 1_296_000, 86400, true, 1.498700, 1_336_878.869),
            ("U3", 0.5, 1_296_000, 2_592_000, true, 1.220148, 1_655_232.126),
            ("U4", 2, 864_000, 86400, true, 2.990977, 901_739.043),
            ("U5", 5, 432_000, 21600, true, 5.991715, 441_575.537),
            ("U6", 5, 432_000, 864_000, true, 5.055633, 435_606.648),
            ("U7", 0.5, 17_280_000, 86400, true, 1.499992, 17_323_020.450),
            ("U8", 0.5, 1_296_000, 1, true, 1.5, 1_296_000.5),
        ] as [(String, Double, Double, Double, Bool, Double, Double)])
    func `what a fetch teaches`(
        _ name: String, a: Double, b: Double, elapsed: Double, changed: Bool, newA: Double, newB: Double
    ) {
        let before = ChangeBelief(a: a, b: b)
        let after = changed ? before.changed(within: elapsed) : before.unchanged(after: elapsed)
        // Printed with six places: half of the last one is theirs.
        #expect(abs(after.a - newA) <= max(1e-6 * newA, 5e-7) && close(after.b, newB), "\(name): \(after)")
    }

    @Test(arguments: [("U9", false, 3.942150, 4_284_298.340), ("U10", true, 4.827847, 3_671_034.537)])
    func `what was learned fades first`(_ name: String, changed: Bool, newA: Double, newB: Double) {
        // A horizon of 51,840,000 s: twenty rounds of thirty days.
        let faded = ChangeBelief(a: 4, b: 3_456_000).fading(after: 864_000, round: 30 * day)
        let after = changed ? faded.changed(within: 864_000) : faded.unchanged(after: 864_000)
        #expect(abs(after.a - newA) <= max(1e-6 * newA, 5e-7) && close(after.b, newB), "\(name): \(after)")
    }

    @Test(
        arguments: [
            ("V1", 0.5, 1_296_000, 86400, .infinity, 1349.65), ("V2", 0.5, 1_296_000, 86400, 432_000, 1534.75),
            ("V3", 1, 2_592_000, 86400, 432_000, 1565.64), ("V4", 2, 864_000, 864_000, 432_000, 746_242),
            ("V5", 20, 86400, 21600, .infinity, 4232.8), ("V6", 0.5, 1_296_000, 60, 432_000, 0.000694477),
        ] as [(String, Double, Double, Double, Double, Double)])
    func `what a request is worth`(
        _ name: String, a: Double, b: Double, age: Double, theta: Double, expected: Double
    ) {
        let value = SyncValue(ChangeBelief(a: a, b: b), theta: theta).value(at: age)
        // Given with five or six digits.
        #expect(close(value, expected, 1.2e-5), "\(name): \(value)")
    }

    @Test(
        arguments: [
            ("P1", 0.5, 1_296_000, 86400, 0.968246), ("P2", 2, 864_000, 86400, 0.826446),
            ("P3", 20, 86400, 21600, 0.011529),
        ] as [(String, Double, Double, Double, Double)])
    func `how likely a copy is current`(_ name: String, a: Double, b: Double, age: Double, expected: Double) {
        let chance = ChangeBelief(a: a, b: b).freshProbability(age: age)
        #expect(abs(chance - expected) <= 5e-7, "\(name): \(chance)")
    }

    @Test(
        arguments: [
            ("I1", 0.5, 1_296_000, 1, 3600, 60, 604_800, .infinity, 144_052.623),
            ("I2", 0.5, 1_296_000, 1, 3600, 60, 604_800, 432_000, 130_337.628),
            ("I3", 0.5, 1_296_000, 1, 30, 60, 604_800, 432_000, 12_411.582),
            ("I4", 0.5, 1_296_000, 10, 3600, 60, 604_800, 432_000, 42_512.661),
            ("I5", 0.5, 1_296_000, 0.1, 3600, 60, 604_800, 432_000, 382_294.897),
            ("I6", 0.5, 1_296_000, 0.1, 3600, 60, 86400, 432_000, 86400),
            ("I7", 2, 864_000, 1, 3600, 60, 604_800, 432_000, 56_861.931),
            ("I8", 20, 864_000, 1, 3600, 60, 604_800, 432_000, 20_329.954),
            ("I9", 20, 86400, 1, 3600, 60, 604_800, .infinity, 14_068.186),
            ("I10", 50, 43200, 1, 3600, 60, 604_800, .infinity, 604_800),
            ("I11", 50, 43200, 1, 3600, 60, 604_800, 432_000, 48_479.442),
            ("I12", 0.5, 34_560_000, 1, 3600, 60, 2_592_000, 432_000, 527_069.140),
            ("I13", 1, 2_592_000, 1, 3600, 60, 604_800, 432_000, 128_586.535),
            ("I14", 1, 2_592_000, 100, 1, 60, 604_800, 432_000, 227.657),
            ("I15", 1, 86400, 100, 0.01, 60, 604_800, 432_000, 60),
            ("I16", 7, 100_000, 0, 3600, 60, 604_800, 432_000, 604_800),
        ] as [(String, Double, Double, Double, Double, Double, Double, Double, Double)])
    func `when to ask again`(
        _ name: String, a: Double, b: Double, weight: Double, price: Double, min: Double, max: Double, theta: Double,
        expected: Double
    ) {
        let interval = SyncValue(ChangeBelief(a: a, b: b), theta: theta).interval(
            weight: weight, price: price, in: min...max)
        #expect(close(interval, expected, 1e-5), "\(name): \(interval)")
    }

    @Test(arguments: [(30, 0.1, 0.6, 3600), (30, 0.1, 1.1, 900), (30, 0.58, 0.6, 1_000_000)])
    func `L: the price that the budget asks for`(elastic: Double, fixed: Double, target: Double, expected: Double) {
        #expect(close(SyncPrice.wanted(elastic: elastic, fixed: fixed, target: target), expected))
    }

    @Test(
        arguments: [
            (0.5, 1_296_000, 3600, 122.258, false), (0.5, 1_296_000, 86400, 4278.314, true),
            (20, 86400, 3600, 49_079.607, true),
        ] as [(Double, Double, Double, Double, Bool)])
    func `B: which reads are worth a request`(a: Double, b: Double, age: Double, expected: Double, waits: Bool) {
        let found = readIsWorthARequest(
            SyncValue(ChangeBelief(a: a, b: b), theta: 432_000), age: age, weight: 1, meanRate: 1 / 86400, price: 3600)
        #expect(close(found.worth, expected, 1e-5) && found.isWorthIt == waits, "\(found)")
    }

    @Test(arguments: [(100_000, 5.0, 89.7766, 89.7766), (100_000, 0.5, 7867.42, 7867.42), (1000, 1, 0.22781, 30)])
    func `S: the price to start with`(accounts: Int, budget: Double, bare: Double, floored: Double) {
        #expect(close(SyncPrice.start(accounts: accounts, budget: budget, floor: 0).price, bare, 1e-5))
        #expect(close(SyncPrice.start(accounts: accounts, budget: budget).price, floored, 1e-5))
    }
}
