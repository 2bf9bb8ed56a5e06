/// SplitMix64: the same seed, the same tokens and the same world.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    init(seed: UInt64, name: String) {
        state = name.utf8.reduce(seed ^ 0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3 }
    }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    /// Letters and digits; 22 of them hold 130 bits.
    mutating func text(_ count: Int) -> String {
        let letters = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)
        return String(decoding: (0..<count).map { _ in letters[Int.random(in: 0..<62, using: &self)] }, as: UTF8.self)
    }

    mutating func hexadecimalText(_ count: Int) -> String {
        String(
            decoding: (0..<count).map { _ in hexadecimalDigits[Int.random(in: 0..<16, using: &self)] }, as: UTF8.self)
    }
}
