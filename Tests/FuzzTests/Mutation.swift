/// Inputs made from samples and pieces of the grammar, the same ones for the same seed.
struct Mutation {
    private static let bytesMax = 64 << 10
    private static let numbers = [
        "0", "-0", "-1", "1e400", "-1e400", "9223372036854775807", "9223372036854775808", "-9223372036854775809",
        "18446744073709551616", "0.1e-400", "253402300800", "1e15", "00", "1.", "NaN", "Infinity", "0x10", "٣",
    ]
    private static let anywhere = [
        "\0", "\u{7f}", "\r\n", "\t", " ", "\u{1b}[31m", "\u{feff}", "\u{2028}", "\u{202e}", "\u{fffd}", "é",
        "e\u{301}",
        "😀", "\u{10ffff}", "%", "%00", "%ff", "\\", "\"", "'", "MARKER-EXAMPLE-SECRET-0123456789",
    ]

    private let samples: [[UInt8]]
    private let pieces: [[UInt8]]
    private var state: UInt64

    init(samples: [[UInt8]], pieces: [String], seed: UInt64) {
        self.samples = samples
        self.pieces =
            (pieces + Self.numbers + Self.anywhere).map { Array($0.utf8) } + [
                [0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80],
            ]
        state = seed
    }

    mutating func next() -> [UInt8] {
        var input: [UInt8] = []
        if roll(10) == 0 || samples.isEmpty {
            for _ in 0...roll(24) { input += pieces[roll(pieces.count)] }
        } else {
            input = samples[roll(samples.count)]
        }
        repeat { change(&input) } while roll(2) > 0
        return input.count > Self.bytesMax ? Array(input.prefix(Self.bytesMax)) : input
    }

    private mutating func change(_ input: inout [UInt8]) {
        let at = roll(input.count + 1)
        let end = min(input.count, at + 1 + roll(roll(4) == 0 ? 512 : 12))
        switch roll(12) {
        case 0 where at < input.count: input[at] ^= 1 << UInt8(roll(8))
        case 1 where at < input.count: input[at] = UInt8(roll(256))
        case 2, 3: input.insert(contentsOf: pieces[roll(pieces.count)], at: at)
        case 4: input.removeSubrange(at..<end)
        case 5: input.insert(contentsOf: input[at..<end], at: roll(input.count + 1))
        case 6 where !samples.isEmpty:
            let other = samples[roll(samples.count)]
            input.replaceSubrange(at..., with: other[roll(other.count + 1)...])
        case 7: input.replaceSubrange(at..<end, with: pieces[roll(pieces.count)])
        case 8 where roll(4) == 0: input.removeSubrange(at...)
        case 9 where roll(40) == 0:
            // Depth and length: where an algorithm is slower than its input is long.
            let piece = pieces[roll(pieces.count)]
            for _ in 0..<roll(3000) { input.insert(contentsOf: piece, at: at) }
        case 10:
            let digits = input[at...].prefix { !(0x30...0x39).contains($0) }.endIndex
            let after = input[digits...].prefix { (0x30...0x39).contains($0) }.endIndex
            input.replaceSubrange(digits..<after, with: Self.numbers[roll(Self.numbers.count)].utf8)
        default: input.replaceSubrange(at..<end, with: input[at..<end].reversed())
        }
    }

    /// 0 to `count` - 1; SplitMix64.
    private mutating func roll(_ count: Int) -> Int {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        mixed ^= mixed >> 31
        return Int(truncatingIfNeeded: (mixed >> 1)) % count
    }
}
