import Accounts
import Store
import TestSupport
import Testing

@testable import Sync

@Suite(.timeLimit(.minutes(10))) struct LeaseKeeperTests {
    @Test func `leases under way are prolonged together, and a clock set back holds up nobody`() async throws {
        let fixture = try Fixture()
        let time = fixture.time
        let first = try await fixture.claim(try await fixture.link("1"))
        let second = try await fixture.claim(try await fixture.link("2"))
        let keeper = LeaseKeeper(
            schedule: fixture.database.schedule, interval: .seconds(40), lease: .seconds(120), time: time,
            logger: fixture.logger)
        let (work, end) = AsyncStream<Void>.makeStream()
        let (quick, endOfQuick) = AsyncStream<Void>.makeStream()
        let long = Task { await keeper.holding(first) { for await _ in work {} }.1 }
        let short = Task { await keeper.holding(second) { for await _ in quick {} }.1 }
        while keeper.count < 2 { await Task.yield() }
        await time.sleepers(atLeast: 1)
        time.advance(by: .seconds(40))
        try await renewed(fixture, second.account.id)
        try await renewed(fixture, first.account.id)
        endOfQuick.finish()
        let over = await short.value
        #expect(over.leaseUntil == time.now() + .seconds(120))
        #expect(try await fixture.database.schedule.prolong(over, lease: .seconds(9)) != nil)

        await time.sleepers(atLeast: 1)
        time.jump(to: time.now() - .seconds(86_400))
        time.advance(by: .seconds(40))
        try await renewed(fixture, first.account.id)
        end.finish()
        #expect(await long.value.leaseUntil == time.now() + .seconds(120))
        #expect(keeper.count == 0)
    }
    /// The row has the lease that begins now.
    private func renewed(_ fixture: Fixture, _ id: AccountID) async throws {
        let end = fixture.time.now() + .seconds(120)
        for _ in 0..<10_000 {
            if try await fixture.state(id).leaseUntil == end { return }
            await Task.yield()
        }
        let found = try await fixture.state(id).leaseUntil
        Issue.record("the lease ends at \(String(describing: found)), not at \(end)")
    }
}
