import Accounts
import HTTPTypes
import TestSupport
import Testing

@testable import Web

@Suite(.timeLimit(.minutes(10))) struct RequestReadingTests {
    @Test(arguments: [
        ("a=1&b=2", ["a": "1", "b": "2"]), ("a=x+y%2Bz", ["a": "x y+z"]), ("a", ["a": ""]), ("", [:]),
        ("%C3%A9=%E2%82%AC", ["é": "€"]), ("a==b", ["a": "=b"]),
    ])
    func `reads forms and queries`(text: String, expected: [String: String]) throws {
        let parameters = try #require(FormParameters(parsing: text))
        #expect(Dictionary(zip(parameters.names, parameters.values)) { first, _ in first } == expected)
    }

    @Test(arguments: ["a=%", "a=%4", "a=%zz", "a=%ff%fe", "%=1"])
    func `refuses broken percent sequences and bytes that are not UTF-8`(text: String) {
        #expect(FormParameters(parsing: text) == nil)
    }

    @Test(arguments: ["abc", "A-z_0.9", String(repeating: "a", count: 64)])
    func `takes over harmless request ids`(id: String) { #expect(RequestIDs.isSafe(id)) }

    @Test(arguments: ["", "a b", "a\u{1b}[31m", "é", "<script>", String(repeating: "a", count: 65), "a\r\nb"])
    func `takes over no other request ids`(id: String) { #expect(!RequestIDs.isSafe(id)) }

    @Test func `makes request ids that don't repeat`() {
        let ids = (0..<10_000).map { _ in RequestIDs().next() }
        #expect(Set(ids).count == ids.count)
        #expect(ids.allSatisfy { $0.utf8.count == 20 && RequestIDs.isSafe($0) })
    }

    @Test func `cursors come back as they went, and nothing else is one`() {
        #expect(Cursor.position(Cursor.text("acc_01jd/é")) == "acc_01jd/é")
        for text in ["", "AA", "acc_01jd", "AQ", "AQ==", "Av8", "!!!!", String(repeating: "A", count: 2000)] {
            #expect(Cursor.position(text) == nil, "\(text.prefix(20))")
        }
    }

    @Test(arguments: [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777), ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Thu, 29 Feb 2024 23:59:59 GMT", 1_709_251_199), ("Mon, 01 Mar 2100 00:00:00 GMT", 4_107_542_400),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799), ("Sat, 21 Nov 2026 09:30:00 GMT", 1_795_253_400),
    ])
    func `writes and reads HTTP dates`(text: String, seconds: Int64) {
        #expect(Preconditions.text(Timestamp(secondsSinceEpoch: seconds)) == text)
        #expect(Preconditions.date(text) == Timestamp(secondsSinceEpoch: seconds))
    }

    @Test func `HTTP dates agree with the calendar on each day for two centuries`() throws {
        for day in stride(from: Int64(0), to: 73_000, by: 1) {
            let time = Timestamp(secondsSinceEpoch: day * 86_400 + 3661)
            #expect(Preconditions.date(Preconditions.text(time)) == time)
            let digits = time.rfc3339.prefix(10).split(separator: "-")
            #expect(Preconditions.text(time).contains(" \(digits[0]) 01:01:01"))
            #expect(Preconditions.text(time).dropFirst(5).hasPrefix(digits[2]))
        }
    }

    @Test(arguments: [
        "", "yesterday", "Sun, 32 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 25:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT", "Sun, 06 Nov 99999999999999999999 08:49:37 GMT",
    ])
    func `other dates are as good as absent`(text: String) { #expect(Preconditions.date(text) == nil) }

    @Test(arguments: [
        (#""a""#, true), (#"W/"a""#, true), (#""b", "a""#, true), ("*", true), (#""b,a""#, false), (#""ab""#, false),
        ("a", false), (#""a"#, false), ("", false), (#""x, ""a""#, true),
    ])
    func `compares entity tags weakly`(list: String, matches: Bool) {
        #expect(Preconditions.matches(list, #""a""#) == matches)
    }

    @Test func `If-None-Match outweighs If-Modified-Since`() {
        let time = Timestamp(secondsSinceEpoch: 1_795_253_400)
        let since = Preconditions.text(time)
        #expect(Preconditions.isNotModified([.ifModifiedSince: since], etag: #""a""#, lastModified: time))
        #expect(
            !Preconditions.isNotModified([.ifModifiedSince: since], etag: #""a""#, lastModified: time + .seconds(1)))
        #expect(
            !Preconditions.isNotModified(
                [.ifModifiedSince: since, .ifNoneMatch: #""b""#], etag: #""a""#, lastModified: time))
    }

    @Test(arguments: [
        ("wait=5", 5), ("respond-async, wait=7", 7), ("wait = \"9\"; x=y", 9), ("wait=100000", 60), ("WAIT=3", 3),
    ])
    func `reads how long a client would wait`(value: String, seconds: Int) {
        #expect(Preferences.wait([.prefer: value]) == seconds)
    }

    @Test(arguments: ["", "wait", "wait=", "wait=-1", "wait=soon", "waits=5"])
    func `ignores preferences that can't be read`(value: String) { #expect(Preferences.wait([.prefer: value]) == nil) }
}
