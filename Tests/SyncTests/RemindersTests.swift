import Accounts
import TestSupport
import Testing

@testable import Sync

@Suite(.timeLimit(.minutes(10))) struct RemindersTests {
    private let time = VirtualTime()

    @Test func `who was called off, and a clock set back, hold up nobody`() async throws {
        let reminders = Reminders(after: .seconds(40), time: time)
        let first = Task { await reminders.wait() }
        await time.sleepers(atLeast: 1)
        time.advance(by: .seconds(10))
        let leaving = Task { await reminders.wait() }
        while await reminders.count < 2 { await Task.yield() }
        leaving.cancel()
        #expect(await leaving.value == false)
        time.jump(to: time.now() - .seconds(86_400))
        let staying = Task { await reminders.wait() }
        while await reminders.count < 2 { await Task.yield() }
        time.advance(by: .seconds(30))
        #expect(await first.value)
        await time.sleepers(atLeast: 1)
        time.advance(by: .seconds(10))
        #expect(await staying.value)
    }
}
