import Glibc

/// An instant of the clock that never jumps, in milliseconds.
struct Monotonic: Comparable, Sendable {
    var milliseconds: Int

    static var now: Monotonic {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Monotonic(milliseconds: time.tv_sec * 1000 + time.tv_nsec / 1_000_000)
    }

    static let distantFuture = Monotonic(milliseconds: .max)

    func advanced(by duration: Duration) -> Monotonic {
        Monotonic(milliseconds: milliseconds + duration.clampedMilliseconds)
    }

    static func < (left: Self, right: Self) -> Bool { left.milliseconds < right.milliseconds }
}

extension Duration {
    /// Rounded up, from 1 (libcurl reads 0 as "no limit") to a day.
    var clampedMilliseconds: Int {
        let (seconds, attoseconds) = components
        if seconds >= 86_400 { return 86_400_000 }
        return max(1, Int(seconds) * 1000 + Int((attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000))
    }
}
