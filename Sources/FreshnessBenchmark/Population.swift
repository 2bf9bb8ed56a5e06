import Foundation

/// SplitMix64 with the distributions that the figures need.
struct Chance: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 &+ 0x1234_5678_9abc_def1 }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    /// In (0, 1].
    mutating func unit() -> Double { (Double(next() >> 11) + 1) / Double(UInt64(1) << 53) }

    mutating func exponential(rate: Double) -> Double { -log(unit()) / rate }

    mutating func normal() -> Double { (-2 * log(unit())).squareRoot() * cos(2 * .pi * unit()) }

    mutating func logNormal(_ mean: Double, _ deviation: Double) -> Double { exp(mean + deviation * normal()) }

    /// Marsaglia and Tsang; below shape 1 by the power of a uniform.
    mutating func gamma(shape: Double, scale: Double) -> Double {
        if shape < 1 { return gamma(shape: shape + 1, scale: scale) * pow(unit(), 1 / shape) }
        let d = shape - 1 / 3.0
        let c = 1 / (9 * d).squareRoot()
        while true {
            let x = normal()
            let v = 1 + c * x
            if v <= 0 { continue }
            let cube = v * v * v
            if log(unit()) < 0.5 * x * x + d - d * cube + d * log(cube) { return d * cube * scale }
        }
    }

    mutating func poisson(mean: Double) -> Int {
        if mean <= 0 { return 0 }
        if mean > 50 { return max(0, Int((mean + mean.squareRoot() * normal()).rounded())) }
        var count = 0
        var sum = exponential(rate: 1)
        while sum < mean {
            count += 1
            sum += exponential(rate: 1)
        }
        return count
    }
}

/// Accounts as they are: most hardly change, few change all the time, and few are read by many. The unit of time is the
/// mean time between changes.
struct Population {
    /// Changes per unit of time; the mean is 1.
    var changeRates: [Double]
    /// Reads per unit of time; the mean is 20.
    var readRates: [Double]

    init(count: Int, chance: inout Chance) {
        var rates: [Double] = []
        for _ in 0..<count {
            let kind = chance.unit()
            rates.append(
                kind < 0.45
                    ? chance.gamma(shape: 0.4, scale: 0.05)
                    : kind < 0.95 ? chance.logNormal(-1, 1.3) : chance.logNormal(2, 0.8))
        }
        let mean = rates.reduce(0, +) / Double(count)
        changeRates = rates.map { max($0 / mean, 1e-9) }
        let reads = (1...count).map { pow(Double($0), -0.8) }.shuffled(using: &chance)
        let sum = reads.reduce(0, +)
        readRates = reads.map { $0 / sum * 20 * Double(count) }
    }

    /// The share of reads that are right where account `i` is asked for `frequency(i)` times per unit of time.
    func freshness(_ frequency: (Int) -> Double) -> Double {
        var fresh = 0.0
        for index in changeRates.indices {
            let (rate, often) = (changeRates[index], frequency(index))
            if often > 0 { fresh += readRates[index] * often / rate * -expm1(-rate / often) }
        }
        return fresh / readRates.reduce(0, +)
    }

    /// Everyone equally often.
    func fixed(budget: Double) -> Double { freshness { _ in budget } }

    /// What knowledge of every true rate could reach: every account's last request is worth the same.
    func optimum(budget: Double) -> Double {
        func frequency(_ index: Int, price: Double) -> Double {
            let rate = changeRates[index]
            func worth(_ often: Double) -> Double {
                let x = rate / often
                // 1 - (1 + x) e^-x, without losing its digits where x is small.
                let gain = x < 1e-4 ? x * x * (0.5 - x / 3) : -expm1(-x) - x * exp(-x)
                return readRates[index] / rate * gain
            }
            if worth(1e-12) <= price { return 0 }
            var (low, high) = (log(1e-12), log(1e6))
            for _ in 0..<60 {
                let middle = (low + high) / 2
                if worth(exp(middle)) > price { low = middle } else { high = middle }
            }
            return exp((low + high) / 2)
        }
        var (low, high) = (log(1e-12), log(1e9))
        for _ in 0..<60 {
            let middle = (low + high) / 2
            let spent = changeRates.indices.reduce(0.0) { $0 + frequency($1, price: exp(middle)) }
            if spent > budget * Double(changeRates.count) { low = middle } else { high = middle }
        }
        let price = exp((low + high) / 2)
        return freshness { frequency($0, price: price) }
    }
}
