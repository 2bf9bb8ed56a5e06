import Glibc

/// Where the program gets its time. The service runs on `SystemTime`; tests run on virtual time.
package protocol TimeSource: Sendable {
    func now() -> Timestamp
    /// Returns once `duration` has passed by a clock that never jumps; throws `CancellationError` when cancelled.
    func sleep(for duration: Duration) async throws
}

package struct SystemTime: TimeSource {
    package init() {}

    package func now() -> Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(millisecondsSinceEpoch: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000)
    }

    package func sleep(for duration: Duration) async throws {
        try await Task.sleep(for: duration, clock: .continuous)
    }
}

/// Where the program gets its chance: identifiers, states, verifiers, jitter.
package protocol RandomSource: Sendable {
    func bytes(_ count: Int) -> [UInt8]
}

/// The operating system's cryptographically secure generator.
package struct SystemRandom: RandomSource {
    package init() {}

    package func bytes(_ count: Int) -> [UInt8] {
        // Each call of the generator asks the kernel: eight bytes at a time.
        var generator = SystemRandomNumberGenerator()
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count + 7)
        while bytes.count < count {
            let word: UInt64 = generator.next()
            withUnsafeBytes(of: word) { bytes.append(contentsOf: $0) }
        }
        return Array(bytes.prefix(count))
    }
}

extension RandomSource {
    /// Uniform in `0..<1`, with 53 random bits.
    package func unitInterval() -> Double {
        let bits = bytes(8).reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
        return Double(bits >> 11) / 9_007_199_254_740_992
    }

    package func uniform(_ range: ClosedRange<Double>) -> Double {
        range.lowerBound + unitInterval() * (range.upperBound - range.lowerBound)
    }
}
