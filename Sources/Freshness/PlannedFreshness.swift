import Foundation

extension ChangeBelief {
    /// The believed share of time that a copy is current which is fetched anew every `interval` seconds.
    package func meanFreshness(every interval: Double) -> Double {
        guard interval > 0 else { return 1 }
        let u = interval / b
        // (1/u) ∫ (1+x)^-a dx from 0 to u, without losing its digits where u is small.
        if (a + 1) * u < 1e-4 { return 1 - a * u / 2 }
        return SyncValue.e(1 - a, log1p(u)) / u
    }
}
