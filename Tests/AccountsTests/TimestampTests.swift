import Accounts
import TestSupport
import Testing

struct TimestampTests {
    private static let min = Timestamp(millisecondsSinceEpoch: .min)
    private static let max = Timestamp(millisecondsSinceEpoch: .max)

    @Test(arguments: [
        (0, "1970-01-01T00:00:00Z"), (1_795_185_773_999, "2026-11-20T14:42:53Z"), (-1, "1969-12-31T23:59:59Z"),
        (-1000, "1969-12-31T23:59:59Z"),
        (951_782_400_000, "2000-02-29T00:00:00Z"), (1_709_251_199_000, "2024-02-29T23:59:59Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00Z"),
        (253_402_300_799_000, "9999-12-31T23:59:59Z"), (253_402_300_800_000, "9999-12-31T23:59:59Z"),
        (Int64.max, "9999-12-31T23:59:59Z"),
        (-62_135_596_800_000, "0001-01-01T00:00:00Z"), (-62_135_596_800_001, "0001-01-01T00:00:00Z"),
        (Int64.min, "0001-01-01T00:00:00Z"),
    ])
    func `writes RFC 3339 in UTC with whole seconds`(_ milliseconds: Int64, _ text: String) {
        #expect(Timestamp(millisecondsSinceEpoch: milliseconds).rfc3339 == text)
        #expect("\(Timestamp(millisecondsSinceEpoch: milliseconds))" == text)
    }

    @Test(arguments: [
        ("1970-01-01T00:00:00Z", 0), ("2026-11-20T14:42:53Z", 1_795_185_773_000),
        ("2026-11-20T14:42:53.5Z", 1_795_185_773_500),
        ("2026-11-20T14:42:53.123456789Z", 1_795_185_773_123), ("2026-11-20T14:42:53.9999Z", 1_795_185_773_999),
        ("2026-11-20T15:42:53+01:00", 1_795_185_773_000),
        ("2026-11-20T09:12:53.25-05:30", 1_795_185_773_250), ("2026-11-20T14:42:53-00:00", 1_795_185_773_000),
        ("2026-11-20t14:42:53z", 1_795_185_773_000),
        ("1969-12-31T23:59:59.999Z", -1), ("2024-02-29T00:00:00Z", 1_709_164_800_000),
        ("2000-02-29T00:00:00Z", 951_782_400_000),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000), ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000),
        ("2026-11-20T00:00:00+23:59", 1_795_046_460_000),
    ])
    func `reads RFC 3339 with any offset and fraction`(_ text: String, _ milliseconds: Int64) {
        #expect(Timestamp(rfc3339: text)?.millisecondsSinceEpoch == milliseconds)
    }

    @Test(arguments: [
        "", "2026", "2026-11-20", "2026-11-20T14:42Z", "2026-11-20T14:42:53", "2026-11-20 14:42:53Z",
        "2026-11-20T14:42:53ZZ", "2026-11-20T14:42:53Z ",
        " 2026-11-20T14:42:53Z", "2026-11-20T14:42:53.Z", "2026-11-20T14:42:53,5Z", "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z", "2026-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "2026-11-00T00:00:00Z", "2026-11-20T24:00:00Z",
        "2026-11-20T14:60:00Z", "2026-11-20T14:42:61Z",
        "2026-11-20T14:42:53+0100", "2026-11-20T14:42:53+01", "2026-11-20T14:42:53+24:00", "2026-11-20T14:42:53+01:60",
        "2026-11-20T14:42:53GMT",
        "+2026-11-20T14:42:53Z", "-026-11-20T14:42:53Z", "12026-11-20T14:42:53Z", "2026-1-20T14:42:53Z",
        "20261120T144253Z", "2026-W47-5T14:42:53Z",
        "٢٠٢٦-11-20T14:42:53Z", "2026-11-20T14:42:5\u{0}Z", "1795185773", "2026-11-20T14:42:53.5",
        "2026-11-20T-1:42:53Z",
    ])
    func `refuses what is not RFC 3339`(_ text: String) { #expect(Timestamp(rfc3339: text) == nil) }

    @Test func `reads back every instant it writes`() throws {
        let random = SeededRandom(seed: 3339)
        for _ in 0..<5000 {
            let seconds = Int64(random.uniform(-62_135_596_800...253_402_300_799))
            let instant = Timestamp(secondsSinceEpoch: seconds)
            #expect(Timestamp(rfc3339: instant.rfc3339) == instant)
        }
        for year in 1...9999 {
            let text = String(String(10_000 + year).dropFirst()) + "-03-01T00:00:00Z"
            let march = try #require(Timestamp(rfc3339: text))
            #expect(march.rfc3339 == text)
            let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
            #expect((march - .seconds(1)).rfc3339.contains(isLeap ? "-02-29T23:59:59Z" : "-02-28T23:59:59Z"))
        }
    }

    @Test func `clamps where a number does not fit`() {
        #expect(Timestamp(secondsSinceEpoch: .max) == Self.max)
        #expect(Timestamp(secondsSinceEpoch: .min) == Self.min)
        #expect(Self.max + .seconds(1) == Self.max)
        #expect(Self.min - .seconds(1) == Self.min)
        #expect(Self.min + .seconds(-1) == Self.min)
        #expect(Self.max - .seconds(-1) == Self.max)
        #expect(.epoch + .seconds(Int64.max) == Self.max)
        #expect(.epoch + .seconds(Int64.min) == Self.min)
        #expect(.epoch - .seconds(Int64.max) == Self.min)
        #expect(.epoch - .seconds(Int64.min) == Self.max)
        #expect(.epoch + .seconds(Int64.max) * 10 == Self.max)
        #expect(.epoch - .seconds(Int64.max) * 10 == Self.min)
        #expect(Self.max - Self.min == .milliseconds(Int64.max))
        #expect(Self.min - Self.max == .milliseconds(Int64.min))
        #expect((.seconds(Int64.max) * 10).wholeMilliseconds == .max)
        #expect((.seconds(Int64.min) * 10).wholeMilliseconds == .min)
        #expect((.seconds(Int64.max) * 10).secondsAsDouble > 9e19)
        #expect(Self.min.secondsSinceEpoch == -9_223_372_036_854_776)
        #expect(Self.max.secondsSinceEpoch == 9_223_372_036_854_775)
    }

    @Test(arguments: [(0, 0), (999, 0), (1000, 1), (-1, -1), (-999, -1), (-1000, -1), (-1001, -2)] as [(Int64, Int64)])
    func `rounds to the second below`(_ milliseconds: Int64, _ seconds: Int64) {
        #expect(Timestamp(millisecondsSinceEpoch: milliseconds).secondsSinceEpoch == seconds)
    }

    @Test func `counts in milliseconds, rounded toward zero`() {
        let instant = Timestamp(millisecondsSinceEpoch: 1000)
        #expect(instant + .microseconds(1999) == Timestamp(millisecondsSinceEpoch: 1001))
        #expect(instant - .microseconds(1999) == Timestamp(millisecondsSinceEpoch: 999))
        #expect(instant + .seconds(-3) == Timestamp(millisecondsSinceEpoch: -2000))
        #expect(Timestamp(millisecondsSinceEpoch: 5500) - instant == .milliseconds(4500))
        #expect(Timestamp(millisecondsSinceEpoch: 999) < instant)
        #expect(Duration.milliseconds(-1500).wholeMilliseconds == -1500)
        #expect(Duration.milliseconds(1500).secondsAsDouble == 1.5)
    }
}

struct ChanceTests {
    @Test func `draws uniformly within bounds`() {
        let random = SeededRandom()
        let draws = (0..<20_000).map { _ in random.uniform(2...4) }
        #expect(draws.allSatisfy { (2...4).contains($0) })
        #expect(abs(draws.reduce(0, +) / 20_000 - 3) < 0.03)
        #expect((0..<1000).allSatisfy { _ in (0..<1).contains(random.unitInterval()) })
        #expect(random.uniform(5...5) == 5)
    }

    @Test func `security 1: takes as many bytes from the system as asked, never the same`() {
        let random = SystemRandom()
        #expect(random.bytes(0).isEmpty)
        #expect(random.bytes(32).count == 32)
        #expect(Set((0..<100).map { _ in random.bytes(16) }).count == 100)
    }

    @Test func `reads the system's clock, and waits by one that never jumps`() async throws {
        let time = SystemTime()
        let before = time.now()
        #expect(before > Timestamp(secondsSinceEpoch: 1_700_000_000))
        try await time.sleep(for: .milliseconds(1))
        #expect(time.now() >= before)
        let task = Task { try await time.sleep(for: .seconds(3600)) }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
    }
}
