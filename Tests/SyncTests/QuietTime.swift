import Accounts

/// The clock of another time source, with timers that never go off: for the watches that a pass and an attempt keep
/// while they work, where a test counts sleepers or lets time leap.
struct QuietTime: TimeSource {
    let clock: any TimeSource

    func now() -> Timestamp { clock.now() }

    func sleep(for duration: Duration) async throws {
        let (never, _) = AsyncStream<Void>.makeStream()
        // Ends by cancellation alone.
        for await _ in never {}
        try Task.checkCancellation()
    }
}
