import Accounts

/// SplitMix64: the same seed, the same choices.
struct Generator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x2545_f491_4f6c_dd1d }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    /// True in `percent` of all calls.
    mutating func chance(_ percent: Double) -> Bool { Double.random(in: 0..<100, using: &self) < percent }

    mutating func duration(_ seconds: ClosedRange<Double>) -> Duration {
        .milliseconds(Int64(Double.random(in: seconds, using: &self) * 1000))
    }
}

/// Chance at its ends: every byte the same.
struct ConstantRandom: RandomSource {
    static let least = ConstantRandom(byte: 0)
    static let most = ConstantRandom(byte: 0xff)

    let byte: UInt8

    func bytes(_ count: Int) -> [UInt8] { Array(repeating: byte, count: count) }
}
