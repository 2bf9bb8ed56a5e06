import Accounts
import Foundation
import TestSupport
import Testing

@testable import Store

@Suite(.timeLimit(.minutes(10))) struct ProfileCacheTests {
    @Test func `a document is the stored JSON in its frame`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link(user: #"a "quoted" \ user"#)
        let document = try #require(try fixture.database.profiles.document(account: account.id))
        let expected =
            #"{"account_id":"\#(account.id)","user_id":"a \"quoted\" \\ user","provider":"github","subject":"583231","#
            + #""claims":{"sub":"583231","name":"The Octocat"},"raw":{"user":{"id":"583231","name":"The Octocat"}},"#
            + #""version":1,"fetched_at":"2026-11-20T14:42:53Z","changed_at":"2026-11-20T14:42:53Z"}"#
        #expect(String(decoding: document.bytes, as: UTF8.self) == expected)
        #expect(document.accountID == account.id)
        #expect(document.userID == account.userID)
        #expect(document.version == 1)
        #expect(document.fetchedAt == account.syncedAt)
        #expect(document.changedAt == account.changedAt)
        #expect(try fixture.database.profiles.document(provider: github, subject: account.subject) == document)
        #expect(try fixture.database.profiles.document(provider: discord, subject: account.subject) == nil)
        #expect(try fixture.database.profiles.document(account: AccountID(at: .epoch, random: SeededRandom())) == nil)
    }

    @Test func `the entity tag changes when the bytes do, and only then`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link(nextSyncAfter: .zero)
        var seen: [String: [UInt8]] = [:]
        var bytes: Set<[UInt8]> = []
        func look() throws {
            let document = try #require(
                try fixture.database.profiles.document(provider: github, subject: account.subject))
            if let held = seen[document.etag] { #expect(held == document.bytes) }
            seen[document.etag] = document.bytes
            bytes.insert(document.bytes)
        }
        let random = SeededRandom(seed: 3)
        for step in 0..<60 {
            fixture.time.advance(by: .milliseconds(Int64(random.unitInterval() * 1500)))
            let found = try #require(
                try await fixture.database.schedule.claim(account.id, owner: "a", lease: .seconds(1)))
            let content: SyncResult.Content =
                step % 3 == 0
                ? .profile(try .example(name: "N\(step / 6)"), difference: nil) : .unchanged(validators: nil)
            let result = SyncResult(content: content, at: fixture.time.now(), nextSyncAt: nil)
            #expect(try await fixture.database.schedule.record(result, for: found))
            try look()
        }
        // The same provider account under a new id.
        _ = try await fixture.database.accounts.unlink(account.id)
        try await fixture.link()
        try look()
        #expect(seen.count == bytes.count)
        #expect(seen.count > 20)
        #expect(seen.keys.allSatisfy { $0.hasPrefix("\"") && $0.hasSuffix("\"") && $0.utf8.count < 80 })
    }

    @Test func `a read sees what was committed before it`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link(nextSyncAfter: .zero)
        let other = try fixture.another()
        defer { other.close() }
        for step in 1...20 {
            let writer = step % 2 == 0 ? fixture.database : other
            let found = try #require(try await writer.schedule.claim(account.id, owner: "a", lease: .seconds(1)))
            let result = SyncResult(
                content: .profile(try .example(name: "N\(step)"), difference: nil), at: fixture.time.now(),
                nextSyncAt: nil)
            #expect(try await writer.schedule.record(result, for: found))
            #expect(try fixture.database.profiles.document(account: account.id)?.version == Int64(step + 1))
        }
    }

    @Test func `many threads read while one writes`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link(profile: .example(name: "N1"), nextSyncAfter: .zero)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    var last: Int64 = 0
                    for _ in 0..<200 {
                        let document = try #require(try fixture.database.profiles.document(account: account.id))
                        #expect(document.version >= last)
                        last = document.version
                        #expect(String(decoding: document.bytes, as: UTF8.self).contains("N\(last)"))
                    }
                }
            }
            group.addTask {
                for step in 2...30 {
                    let found = try #require(
                        try await fixture.database.schedule.claim(account.id, owner: "a", lease: .seconds(1)))
                    let result = SyncResult(
                        content: .profile(try .example(name: "N\(step)"), difference: nil), at: fixture.time.now(),
                        nextSyncAt: nil)
                    _ = try await fixture.database.schedule.record(result, for: found)
                }
            }
            try await group.waitForAll()
        }
    }

    @Test func `history is read a page at a time`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link(nextSyncAfter: .zero)
        for step in 2...7 {
            let found = try #require(
                try await fixture.database.schedule.claim(account.id, owner: "a", lease: .seconds(1)))
            let result = SyncResult(
                content: .profile(try .example(name: "N\(step)"), difference: { _, _ in "[]" }), at: fixture.time.now(),
                nextSyncAt: nil)
            #expect(try await fixture.database.schedule.record(result, for: found))
        }
        var versions: [Int64] = []
        var cursor: String?
        repeat {
            let page = try await fixture.database.profiles.history(of: account.id, after: cursor, limit: 3)
            versions += page.items.map(\.version)
            cursor = page.next
        } while cursor != nil
        #expect(versions == [7, 6, 5, 4, 3, 2, 1])
        let error = await storeError {
            try await fixture.database.profiles.history(of: account.id, after: "x", limit: 3)
        }
        #expect(error == .inconsistent("after: not a cursor of this list"))
    }

    @Test func `instants are written as RFC 3339`() {
        let samples: [Int64] = [
            0, 1, -1, 59, 86_399, 86_400, 951_782_399, 951_782_400, 951_868_800, 1_709_164_800, 1_709_251_199,
            4_107_542_400, 1_795_185_773, 253_402_300_799, -2_208_988_800, 1_735_689_599,
        ]
        for seconds in samples {
            var bytes: [UInt8] = []
            let time = Timestamp(secondsSinceEpoch: seconds)
            appendRFC3339(time, to: &bytes)
            #expect(String(decoding: bytes, as: UTF8.self) == time.rfc3339)
        }
        var bytes: [UInt8] = []
        appendRFC3339(Timestamp(millisecondsSinceEpoch: .max), to: &bytes)
        #expect(String(decoding: bytes, as: UTF8.self) == "9999-12-31T23:59:59Z")
    }

    @Test func `strings are written as JSON`() throws {
        let text = "tab\t quote\" backslash\\ null\u{0} é 🐙 \u{2028}"
        var bytes: [UInt8] = []
        appendJSONString(text.utf8, to: &bytes)
        let decoded = try JSONDecoder().decode([String].self, from: Data([0x5b] + bytes + [0x5d]))
        #expect(decoded == [text])
    }
}
