import Accounts
import Synchronization
import TestSupport
import Testing
import Transfer

@testable import Sync

@Suite(.timeLimit(.minutes(10))) struct FairnessTests {
    private static let providers = ["alpha", "beta", "gamma"]
    private static let each = 20
    private static let failing = "100"
    private static let limited = "101"
    private static let slow = "102"

    /// Account `n` of a provider is due as the `n`th, though it was linked at another turn.
    private func link(_ fixture: Fixture) async throws -> [String: AccountID] {
        var ids: [String: AccountID] = [:]
        for (index, name) in Self.providers.enumerated() {
            for turn in 0..<Self.each {
                let number = turn * 7 % Self.each
                let subject = "\(100 * (index + 1) + number)"
                ids[subject] = try await fixture.link(subject, at: name, dueAfter: .seconds(60 * number))
            }
        }
        return ids
    }

    @Test func `the longest due comes first, and no account's trouble holds up another's`() async throws {
        let fixture = try Fixture(
            manifests: Self.providers.map {
                Fixture.manifest($0, rotation: "reusable", concurrency: 2)
                    .replacing("dialect: retry_after", with: "dialect: discord")
            })
        let ids = try await link(fixture)
        fixture.time.advance(by: .seconds(7200))
        let everybody = ids.count
        let asked = Mutex<[String]>([])
        let barrier = Barrier()
        let world = fixture.world
        world.state.withLock {
            $0.profileReply = { request in
                let subject = Fixture.subject(of: request)
                let count = asked.withLock { asked in
                    asked.append(subject)
                    return asked.count
                }
                // The slow one answers when all others have been served.
                if count >= everybody { barrier.open() }
                switch subject {
                case Self.failing: return Fixture.answer(503, [:], "{}")
                case Self.limited:
                    return Fixture.answer(
                        429, ["x-ratelimit-scope": "user", "x-ratelimit-bucket": "b", "retry-after": "60"], "{}")
                case Self.slow: await barrier.pass()
                default: break
                }
                return Fixture.profile(request, world)
            }
        }
        let engine = fixture.engine(concurrency: 6)
        let tally = try await engine.pass.run()
        #expect(tally.failed == 2)
        #expect(tally.unchanged == everybody - 2)
        let order = asked.withLock(\.self)
        #expect(order.count == everybody)
        for hundred in ["1", "2", "3"] {
            let numbers = order.filter { $0.hasPrefix(hundred) }.compactMap { Int($0.dropFirst()) }
            #expect(numbers.count == Self.each)
            // Two are under way at once: nobody is overtaken by more.
            for (place, number) in numbers.enumerated() { #expect(abs(place - number) <= 2, "\(hundred): \(numbers)") }
        }

        // Day after day the troubled ones get their turn, and no more than that.
        for _ in 0..<10 {
            fixture.time.advance(by: .seconds(25 * 3600))
            asked.withLock { $0 = [] }
            try await engine.pass.run()
            let order = asked.withLock(\.self)
            #expect(Set(order).count == everybody && order.count == everybody)
        }
        for (subject, id) in ids where subject != Self.failing && subject != Self.limited {
            #expect(try await fixture.account(id).syncedAt == fixture.time.now())
        }
    }

    @Test func `what a limit leaves goes to the longest due of all that wait`() async throws {
        let fixture = try Fixture(
            manifests: [
                Fixture.manifest(
                    "alpha", rotation: "reusable", limits: ", requests: {per: client, count: 10, window: 10m}")
            ])
        for turn in 0..<40 {
            let number = turn * 7 % 40
            _ = try await fixture.link("\(100 + number)", dueAfter: .seconds(number))
        }
        fixture.time.advance(by: .seconds(3600))
        let engine = fixture.engine()
        var order: [Int] = []
        for _ in 0..<5 {
            let before = fixture.profileRequests.count
            // Each look claims no more than can be sent soon; what can't be is left where it stands in the line.
            for _ in 0..<20 { try await engine.pass.run() }
            order += fixture.profileRequests.dropFirst(before).compactMap { Int(Fixture.subject(of: $0)) }
            #expect(fixture.profileRequests.count - before == 8)
            fixture.time.advance(by: .seconds(611))
        }
        #expect(order == Array(100..<140))
    }
}
