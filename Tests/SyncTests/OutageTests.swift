import Accounts
import Foundation
import Linking
import OAuth
import Providers
import Store
import Synchronization
import TestSupport
import Testing
import Transfer

@testable import Sync

/// Ten thousand accounts of a provider that is down for an hour: each comes as its own plan says, all through the one
/// gate, in time that passes as it is waited for.
@Suite(.timeLimit(.minutes(10))) struct OutageTests {
    private struct World {
        var isDown = true
        /// Requests by second since the beginning.
        var requests: [Int64: Int] = [:]
    }

    private static let links = 10_000
    private static let perSecond = 20

    @Test func `security 64: ten thousand links and a provider that is down for an hour make no storm, nor after it`()
        async throws
    {
        let fixture = try Fixture(manifests: [
            Fixture.manifest(
                "alpha", rotation: "single_use",
                limits: ", requests: {per: client, count: \(Self.perSecond), window: 1s}")
        ])
        let time = SkippingTime()
        let database = try Database(
            path: fixture.folder + "/outage.sqlite", keyRing: fixture.ring, time: time, random: SeededRandom(seed: 3))
        defer { database.close() }
        let start = time.now()
        let world = Mutex(World())
        func second() -> Int64 { (time.now() - start).wholeMilliseconds / 1000 }
        let transport = ScriptedTransport { _ in
            world.withLock { world in
                world.requests[(time.now() - start).wholeMilliseconds / 1000, default: 0] += 1
                return world.isDown
                    ? .failure(.connectionFailed(host: "alpha.example")) : Fixture.answer(200, [:], "{}")
            }
        }
        let client = ProviderClient(
            transport: transport, database: database, time: time, random: SeededRandom(seed: 4), logger: fixture.logger)
        let provider = try fixture.provider("alpha")
        let random = SeededRandom(seed: 5)

        // Whoever is due at a second, in order; each of them refreshes its token.
        var due: [Int64: [(link: Int, failures: Int)]] = [:]
        for link in 0..<Self.links { due[Int64(link * 3600 / Self.links), default: []].append((link, 0)) }
        var waiting = Self.links
        var attempts = 0
        var turn: Int64 = 0
        while waiting > 0, turn < 12 * 3600 {
            for (link, failures) in due.removeValue(forKey: turn) ?? [] {
                if second() < turn { time.advance(by: .seconds(turn - second())) }
                if second() >= 3600 { world.withLock { $0.isDown = false } }
                attempts += 1
                do {
                    _ = try await client.send(
                        TransferRequest(.post, "https://alpha.example/token"), to: provider, urgency: .background)
                    waiting -= 1
                } catch {
                    let failure = SyncFailure(
                        disposition: error.disposition, code: error.problemCode, detail: error.detail)
                    var count = failures
                    if case .retry = error.disposition { count += 1 }
                    let next = try #require(
                        SyncSchedule.next(
                            now: time.now(), outcome: .failed(failure), policy: provider.syncPolicy, failures: count,
                            random: random))
                    due[max(turn + 1, (next - start).wholeMilliseconds / 1000), default: []].append((link, count))
                }
            }
            turn += 1
        }
        #expect(waiting == 0)
        let requests = world.withLock(\.requests)
        let whileDown = requests.filter { $0.key < 3600 }.values.reduce(0, +)
        // Five open the breaker, then one probe after each of its pauses, which grow.
        #expect((5...40).contains(whileDown), "\(whileDown)")
        #expect(requests.values.max() ?? 0 <= Self.perSecond)
        #expect(requests.values.reduce(0, +) == whileDown + Self.links)
        // Nobody waits longer than the pauses and the rate ask for.
        #expect(try #require(requests.keys.max()) < 3600 + 1800 + Int64(Self.links / Self.perSecond) * 2)
        // Far fewer attempts than a retry each minute.
        #expect(attempts < Self.links * 30)
    }
}
