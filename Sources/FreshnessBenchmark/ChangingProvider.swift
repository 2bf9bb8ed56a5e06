import Accounts
import Foundation
import Synchronization
import Transfer

/// A provider whose accounts change by themselves, at rates that nobody outside knows. It answers at once, with 304 where
/// nothing changed, and keeps count of how long each copy that it gave was right.
final class ChangingProvider: Transport {
    private struct Person {
        var changeRate: Double
        var readRate: Double
        var version = 0
        var fetchedAt = 0.0
        var changesAt = 0.0
        /// Of its own, so that what happens to it does not depend on the order of others' requests.
        var chance: Chance
    }

    private struct State {
        var people: [Person]
        var requests = 0
        var freshReads = 0.0
        var allReads = 0.0
    }

    private let clock: SteppedClock
    private let unit: Double
    private let countedFrom: Double
    private let state: Mutex<State>

    /// - Parameters:
    ///   - unit: how many seconds the population's unit of time is.
    ///   - countedFrom: seconds since the start before which nothing counts.
    init(_ population: Population, unit: Double, countedFrom: Double, clock: SteppedClock, seed: UInt64) {
        self.clock = clock
        self.unit = unit
        self.countedFrom = countedFrom
        let people = population.changeRates.indices.map { index in
            var person = Person(
                changeRate: population.changeRates[index] / unit, readRate: population.readRates[index] / unit,
                chance: Chance(seed: seed &* 1_000_003 &+ UInt64(index)))
            person.changesAt = person.chance.exponential(rate: person.changeRate)
            return person
        }
        state = Mutex(State(people: people))
    }

    static func accessToken(_ index: Int) -> String { "EXAMPLE-\(index)" }
    static func body(_ index: Int, version: Int) -> String { #"{"id":"\#(index)","name":"version \#(version)"}"# }

    func send(_ request: TransferRequest) async throws(TransferError) -> TransferResponse {
        guard let token = request.credentials.first?.value,
            let index = token.split(separator: "-").last.flatMap({ Int($0) })
        else { throw .invalidRequest(reason: "no token of this world") }
        let now = clock.elapsed
        let version = state.withLock { state in
            if now >= countedFrom { state.requests += 1 }
            return fetch(index, now: now, &state)
        }
        let etag = "\"\(version)\""
        if request.fields["if-none-match"] == etag { return TransferResponse(status: 304, fields: ["etag": etag]) }
        return TransferResponse(
            status: 200, fields: ["content-type": "application/json", "etag": etag],
            body: Array(Self.body(index, version: version).utf8))
    }

    private func fetch(_ index: Int, now: Double, _ state: inout State) -> Int {
        count(index, until: now, &state)
        state.people[index].fetchedAt = now
        if state.people[index].changesAt <= now {
            state.people[index].version += 1
            // Changes come one after the other without memory: when the next comes does not depend on when the last came.
            let rate = state.people[index].changeRate
            state.people[index].changesAt = now + state.people[index].chance.exponential(rate: rate)
        }
        return state.people[index].version
    }

    /// Reads come evenly: the share of time is the share of reads.
    private func count(_ index: Int, until now: Double, _ state: inout State) {
        let person = state.people[index]
        let start = max(person.fetchedAt, countedFrom)
        guard now > start else { return }
        state.allReads += person.readRate * (now - start)
        state.freshReads += person.readRate * max(0, min(now, person.changesAt) - start)
    }

    /// The share of reads that returned what this provider would have said, and the requests that it took.
    func result(at end: Double) -> (freshness: Double, requests: Int) {
        state.withLock { state in
            for index in state.people.indices { count(index, until: end, &state) }
            return (state.freshReads / state.allReads, state.requests)
        }
    }
}

/// A clock that a run moves. Nobody's timer goes off: whatever waits, waits for something else.
final class SteppedClock: TimeSource {
    private static let start = Timestamp(secondsSinceEpoch: 1_795_185_773)
    private let current = Mutex(start)

    func now() -> Timestamp { current.withLock { $0 } }
    /// Seconds since the start.
    var elapsed: Double { (now() - Self.start).secondsAsDouble }
    func advance(by duration: Duration) { current.withLock { $0 = $0 + duration } }

    func sleep(for duration: Duration) async throws {
        let (never, hold) = AsyncStream<Void>.makeStream()
        // Ends by cancellation alone.
        for await _ in never {}
        withExtendedLifetime(hold) {}
        try Task.checkCancellation()
    }
}

/// The same bytes for the same seed.
final class SeededChance: RandomSource {
    private let chance: Mutex<Chance>

    init(seed: UInt64) { chance = Mutex(Chance(seed: seed)) }

    func bytes(_ count: Int) -> [UInt8] {
        chance.withLock { chance in
            var bytes: [UInt8] = []
            while bytes.count < count { withUnsafeBytes(of: chance.next()) { bytes += $0 } }
            return Array(bytes.prefix(count))
        }
    }
}
