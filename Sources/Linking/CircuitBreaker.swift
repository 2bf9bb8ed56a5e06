import Accounts
import Store

/// Opens where a provider fails, by five failures in a row or half of the last twenty answers within a minute: for 30 s,
/// doubling to 15 min. Then a request every five seconds probes; three that go well close it, and the rate ramps up.
struct CircuitBreaker {
    private static let failuresInRowMax = 5
    private static let remembered = 20
    private static let memory: Duration = .seconds(60)
    private static let probeSuccesses = 3
    static let probeInterval: Duration = .seconds(5)
    static let rampLength: Duration = .seconds(120)
    private static let rampStart = 0.1
    /// One that would be open for longer was opened by a clock that was ahead.
    private static let openMax: Duration = .seconds(1080)

    private var failuresInRow = 0
    private var outcomes: [(at: Timestamp, isFailure: Bool)] = []
    private var openings = 0
    private var openUntil: Timestamp?
    private var closedAt: Timestamp?
    private var probeBegunAt: Timestamp?
    private var successes = 0

    func waitUntil(now: Timestamp) -> Timestamp? {
        guard let openUntil, openUntil <= now + Self.openMax else { return nil }
        if openUntil > now { return openUntil }
        guard let probeBegunAt, now >= probeBegunAt, now - probeBegunAt < Self.probeInterval else { return nil }
        return probeBegunAt + Self.probeInterval
    }

    func state(now: Timestamp) -> RequestTraffic.Circuit {
        guard let openUntil else { return .closed }
        return openUntil > now ? .open(until: openUntil) : .halfOpen
    }

    /// The share of the usual rate: everybody comes back at once after an outage, and must not be its next cause.
    func ramp(now: Timestamp) -> Double {
        guard let closedAt, now >= closedAt, now - closedAt < Self.rampLength else { return 1 }
        return Self.rampStart
            + (1 - Self.rampStart) * (now - closedAt).secondsAsDouble / Self.rampLength.secondsAsDouble
    }

    mutating func begin(now: Timestamp) {
        guard let openUntil else { return }
        if openUntil > now + Self.openMax { self = CircuitBreaker() } else { probeBegunAt = now }
    }

    /// Of a request that says nothing of the provider.
    mutating func abandon() { probeBegunAt = nil }

    /// Returns true where this success closed it.
    mutating func succeeded(now: Timestamp, sentAt: Timestamp) -> Bool {
        guard let openUntil else {
            remember(isFailure: false, now: now)
            return false
        }
        // What left before it opened is no probe.
        guard sentAt >= openUntil else { return false }
        successes += 1
        guard successes >= Self.probeSuccesses else { return false }
        self = CircuitBreaker()
        closedAt = now
        return true
    }

    /// Returns until when it is open, where this failure opened it.
    mutating func failed(now: Timestamp, sentAt: Timestamp, random: any RandomSource) -> Timestamp? {
        if let openUntil {
            guard sentAt >= openUntil else { return nil }
        } else {
            remember(isFailure: true, now: now)
            let failures = outcomes.count { $0.isFailure && now - $0.at < Self.memory }
            guard failuresInRow >= Self.failuresInRowMax || failures * 2 >= Self.remembered else { return nil }
        }
        let pause = min(30 * Double(1 << min(openings, 10)), 900) * random.uniform(0.8...1.2)
        let openings = openings + 1
        let until = now + .milliseconds(Int64(pause * 1000))
        self = CircuitBreaker()
        self.openings = openings
        openUntil = until
        return until
    }

    private mutating func remember(isFailure: Bool, now: Timestamp) {
        failuresInRow = isFailure ? failuresInRow + 1 : 0
        if outcomes.count >= Self.remembered { outcomes.removeFirst() }
        outcomes.append((now, isFailure))
    }

    // MARK: - From one start to the next

    mutating func restore(_ stored: StoredGovernor) {
        guard openUntil != stored.openUntil || closedAt != stored.closedAt else { return }
        self = CircuitBreaker()
        openUntil = stored.openUntil
        openings = stored.openings
        closedAt = stored.closedAt
    }

    func store(in stored: inout StoredGovernor) {
        stored.openUntil = openUntil
        stored.openings = openings
        stored.closedAt = closedAt
    }
}
