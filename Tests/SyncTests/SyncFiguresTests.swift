import Accounts
import Freshness
import Store
import TestSupport
import Testing

@testable import Sync

@Suite struct SyncFiguresTests {
    private let time = VirtualTime()

    private func alpha() throws -> ProviderID { try #require(ProviderID("alpha")) }

    @Test func `an hour's syncs are told apart, and then forgotten`() throws {
        let figures = SyncFigures(time: time)
        let alpha = try alpha()
        figures.count(.changed, at: alpha, isOnDemand: true)
        time.advance(by: .seconds(1800))
        for found in [SyncFigures.Found.unchanged, .notModified, .notModified, .failed] {
            figures.count(found, at: alpha, isOnDemand: false)
        }
        let all = figures.lastHour(of: alpha)
        #expect(all.syncs == 4 && all.onDemand == 1 && all.notModified == 2 && all.changed == 1 && all.failed == 1)
        // Since the start of the process: a young one is not taken for an idle one.
        #expect(all.seconds == 1800)
        time.advance(by: .seconds(1800))
        let later = figures.lastHour(of: alpha)
        #expect(later.syncs == 3 && later.onDemand == 0 && later.changed == 0 && later.seconds == 3600)
        time.advance(by: .seconds(1860))
        #expect(figures.lastHour(of: alpha).syncs == 0)
        #expect(figures.lastHour(of: try #require(ProviderID("beta"))).syncs == 0)
        // A clock that is set back makes nothing of the future count twice.
        figures.count(.changed, at: alpha, isOnDemand: false)
        time.jump(to: time.now() - .seconds(86_400))
        #expect(figures.lastHour(of: alpha).syncs == 0)
        figures.count(.changed, at: alpha, isOnDemand: false)
        #expect(figures.lastHour(of: alpha).syncs == 1)
        // Nor does it come back with the time it was counted in.
        time.advance(by: .seconds(86_400))
        #expect(figures.lastHour(of: alpha).syncs == 0)
    }

    @Test func `beliefs that come true are calibrated, and others set off the alarm once enough was seen`() throws {
        let figures = SyncFigures(time: time)
        let alpha = try alpha()
        #expect(figures.calibration(of: alpha) == nil)
        for turn in 0..<4000 { figures.compare(believed: 0.75, isUnchanged: turn % 4 != 0, at: alpha) }
        let good = try #require(figures.calibration(of: alpha))
        #expect(abs(good.bias) < 0.002 && !good.isOff)
        let beta = try #require(ProviderID("beta"))
        for turn in 0..<900 { figures.compare(believed: 0.8, isUnchanged: turn % 4 != 0, at: beta) }
        let early = try #require(figures.calibration(of: beta))
        #expect(abs(early.bias - 0.05) < 0.003 && !early.isOff)
        for turn in 0..<200 { figures.compare(believed: 0.8, isUnchanged: turn % 4 != 0, at: beta) }
        #expect(try #require(figures.calibration(of: beta)).isOff)
    }

    @Test func `a sample's sums say what share is current, and what planning gains`() throws {
        var sums = FreshnessSums()
        #expect(sums.weighted == nil && sums.unweighted == nil && sums.staleAgainstFixed == nil)
        let busy = ChangeBelief(a: 20, b: 86_400)
        let quiet = ChangeBelief(a: 0.5, b: 30 * 86_400)
        let fast = SchedulePlan(interval: 1800, share: 1, isClamped: false, weight: 3)
        let slow = SchedulePlan(interval: 86_400, share: 1, isClamped: true, weight: 1)
        sums.add(busy, plan: fast, age: 0, round: 43_200)
        sums.add(quiet, plan: slow, age: 30 * 86_400, round: 43_200)
        let stale = quiet.freshProbability(age: 30 * 86_400)
        #expect(abs(try #require(sums.unweighted) - (1 + stale) / 2) < 1e-12)
        #expect(abs(try #require(sums.weighted) - (3 + stale) / 4) < 1e-12)
        #expect(sums.clampedShare == 0.5)
        let planned = 3 * (1 - busy.meanFreshness(every: 1800)) + 1 - quiet.meanFreshness(every: 86_400)
        let fixed = 3 * (1 - busy.meanFreshness(every: 43_200)) + 1 - quiet.meanFreshness(every: 43_200)
        #expect(abs(try #require(sums.staleAgainstFixed) - planned / fixed) < 1e-9)
        var older = sums
        older.merge(FreshnessSums(), kept: 0.5)
        #expect(older.weighted == sums.weighted && older.clampedShare == 0.5)
        older.merge(sums, kept: 0)
        #expect(older == sums)
    }
}
