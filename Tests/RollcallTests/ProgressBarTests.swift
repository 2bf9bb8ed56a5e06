import Testing

@testable import Rollcall

@Suite struct ProgressBarTests {
    private func line(_ done: Int, of total: Int?, after seconds: Int64, note: String = "", width: Int = 100) -> String
    {
        ProgressBar.line("Syncing", done: done, total: total, after: .seconds(seconds), note: note, width: width)
    }

    @Test func `says how much is done, how fast, and how long it will take`() {
        #expect(line(250, of: 1000, after: 10) == "Syncing █████░░░░░░░░░░░░░░░ 250 of 1000, 25 %, 25/s, 30 s left")
        #expect(line(1000, of: 1000, after: 40) == "Syncing ████████████████████ 1000 of 1000, 100 %, 25/s")
        #expect(line(10, of: 4000, after: 100).hasSuffix("10 of 4000, 0 %, 6/min, 11 h 5 min left"))
        #expect(line(100, of: 20_000, after: 10).hasSuffix("33 min 10 s left"))
        #expect(line(3, of: nil, after: 0, note: "1 failed") == "Syncing 3, 3000/s, 1 failed")
        #expect(line(0, of: 9, after: 5) == "Syncing ░░░░░░░░░░░░░░░░░░░░ 0 of 9, 0 %, 0/s")
    }

    @Test func `bytes mean nothing to a person`() {
        let line = ProgressBar.line(
            "Importing", done: 500, total: 1000, isCount: false, after: .seconds(10), note: "7 accounts", width: 80)
        #expect(line == "Importing ██████████░░░░░░░░░░ 50 %, 10 s left, 7 accounts")
    }

    @Test func `more than was expected is no more than all`() {
        #expect(line(12, of: 10, after: 1).hasSuffix("12 of 12, 100 %, 12/s"))
        #expect(line(12, of: 0, after: 1) == "Syncing 12, 12/s")
    }

    @Test func `never wraps`() {
        for width in 0...120 {
            #expect(line(250, of: 1000, after: 10, note: "3 failed", width: width).count <= max(0, width - 1))
        }
        #expect(line(250, of: 1000, after: 10, width: 50) == "Syncing 250 of 1000, 25 %, 25/s, 30 s left")
    }
}
