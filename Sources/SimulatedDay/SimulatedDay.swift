import Accounts
import Foundation
import Store
import Synchronization

/// Runs the service's own parts on virtual time against a provider with the limits that Discord announces, everybody due
/// at the start and a tenth of the grants revoked; fails where a limit was exceeded, the address was banned, a dead grant
/// asked for anything, or too little of what is allowed was used.
///
///     SimulatedDay [ACCOUNTS [HOURS [SEED]]]
@main
enum SimulatedDay {
    static func main() {
        let arguments = CommandLine.arguments.dropFirst().compactMap { Int($0) }
        let people = arguments.first ?? 100_000
        let hours = arguments.dropFirst().first ?? 24
        let seed = UInt64(arguments.dropFirst(2).first ?? 1)
        let clock = ContinuousClock()
        let startedAt = clock.now
        guard let loop = EventLoop.takeOver(startingAt: Timestamp(secondsSinceEpoch: 1_795_185_773)) else {
            print("This Swift runtime has no swift_task_enqueueGlobal_hook: tasks can't be run on virtual time.")
            exit(2)
        }
        let world = World(World.Settings(people: people, seed: seed), time: loop)
        let day: Day
        do { day = try Day(people: people, hours: hours, seed: seed, world: world, time: loop) } catch {
            print("The day can't begin: \(error)")
            exit(2)
        }
        let outcome = Mutex<Result<Day.Report, any Error>?>(nil)
        // Not on the main actor, which is busy with the loop.
        Task { @concurrent in
            let result: Result<Day.Report, any Error>
            do { result = .success(try await day.run()) } catch { result = .failure(error) }
            outcome.withLock { $0 = result }
        }
        loop.run(isIdle: { day.database.isIdle }, until: { outcome.withLock { $0 != nil } })
        day.close()
        switch outcome.withLock(\.self) {
        case .success(let report):
            let isHeld = show(report, world, people: people, hours: hours, seed: seed)
            print("took \(clock.now - startedAt)")
            exit(isHeld ? 0 : 1)
        case .failure(let error):
            print("The day ended early: \(error)")
            exit(2)
        case nil:
            print("Nobody waits for anything, and the day is not over.")
            exit(2)
        }
    }

    private static func show(_ report: Day.Report, _ world: World, people: Int, hours: Int, seed: UInt64) -> Bool {
        let counts = world.counts
        let share = report.behind > 0 ? Double(report.sentWhileBehind) / (Double(report.behind) * Day.allowed) : 1
        func line(_ name: String, _ value: String) {
            print(name.padding(toLength: 44, withPad: " ", startingAt: 0) + value)
        }
        print("\(people) accounts, \(world.revoked) of them revoked, all due at the start; \(hours) h; seed \(seed)")
        line("requests", "\(counts.requests): \(counts.profiles) for profiles, \(counts.tokens) for tokens")
        line("limits exceeded", "\(counts.exceeded) of \(World.limit)/s, \(counts.exceededBuckets) of buckets")
        line("requests in the worst second", "\(counts.most)")
        line("bans", "\(counts.bans)")
        line("invalid requests", "\(counts.invalid), at worst \(counts.invalidMost) in ten minutes")
        line("dead grants, and requests with them", "\(counts.deadGrants), \(counts.ofDeadGrants)")
        line("accounts that need a relink", "\(report.needRelink)")
        line("caught up after", report.caughtUpAfter.map { "\($0) s" } ?? "never")
        line(
            "used of what is allowed while behind",
            String(format: "%.2f %%: %d requests in %d s", 100 * share, report.sentWhileBehind, report.behind))
        line("", "behind: something is due for over 10 s; allowed: \(Day.allowed)/s, a fifth is the callers'")
        line("overdue by a minute at the end", "\(report.overdueAtEnd)")
        line(
            "callers", "\(report.callersServed) of \(report.callers) served, the longest wait \(report.callerWaitMost)")
        line("share of the rate that was believed", "\(report.rateShare)")
        let isHeld =
            counts.exceeded == 0 && counts.exceededBuckets == 0 && counts.bans == 0 && counts.ofDeadGrants == 0
            && share >= 0.95 && report.overdueAtEnd == 0 && report.rateShare == 1
            && report.needRelink == counts.deadGrants
        print(isHeld ? "The day holds." : "The day does not hold.")
        return isHeld
    }
}
