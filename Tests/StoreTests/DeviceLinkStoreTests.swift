import Accounts
import Cryptography
import Foundation
import TestSupport
import Testing

@testable import Store

/// Device links: one poller for each code, what is sealed, what ends.
@Suite struct DeviceLinkStoreTests {
    private func create(_ fixture: Fixture, user: String = "42", code: String = "EXAMPLE-device") async throws
        -> DeviceLink
    {
        try await fixture.database.deviceLinks.create(
            DeviceLinkRequest(
                userID: try #require(UserID(user)), provider: try #require(ProviderID("github")), scopes: [],
                confirm: true, fingerprint: "EXAMPLE", deviceCode: Secret(code), userCode: "EXAM-PLE1",
                verificationURI: "https://github.com/login/device", expiresAt: fixture.time.now() + .seconds(900),
                interval: .seconds(5)))
    }

    private func claim(
        _ database: Database, _ owner: String, _ id: DeviceLinkID? = nil
    ) async throws -> [ClaimedDeviceLink] {
        try await database.deviceLinks.claimDue(id, owner: owner, lease: .seconds(180), limit: 10)
    }

    private static let grant = DeviceGrant(
        credential: .example(), subject: Subject("583231")!, claims: #"{"sub":"583231"}"#, raw: #"{"user":{}}"#)

    @Test func `security 77: a device code has one poller, and none before its time`() async throws {
        let fixture = try Fixture()
        let other = try fixture.another()
        defer { other.close() }
        let link = try await create(fixture)
        #expect(try await claim(fixture.database, "one").isEmpty)
        fixture.time.advance(by: .seconds(5))
        let claimed = try await claim(fixture.database, "one")
        #expect(claimed.map(\.link.id) == [link.id])
        #expect(claimed.first?.deviceCode?.reveal { $0 } == "EXAMPLE-device")
        #expect(try await claim(other, "two").isEmpty)
        // The first was killed: its lease ends.
        fixture.time.advance(by: .seconds(181))
        #expect(try await claim(other, "two").count == 1)
        // What the first has to say comes too late.
        try await fixture.database.deviceLinks.postpone(
            link.id, owner: "one", to: fixture.time.now(), interval: .seconds(1))
        #expect(try await claim(fixture.database, "one").isEmpty)
        try await other.deviceLinks.postpone(
            link.id, owner: "two", to: fixture.time.now() + .seconds(10), interval: .seconds(10))
        let waiting = try #require(try await other.deviceLinks.link(link.id))
        #expect(waiting.interval == .seconds(10) && waiting.nextAt == fixture.time.now() + .seconds(10))
    }

    @Test func `a claim may be for one link alone`() async throws {
        let fixture = try Fixture()
        let first = try await create(fixture)
        let second = try await create(fixture)
        fixture.time.advance(by: .seconds(5))
        #expect(try await claim(fixture.database, "one", second.id).map(\.link.id) == [second.id])
        #expect(try await claim(fixture.database, "one").map(\.link.id) == [first.id])
    }

    @Test func `security 91: device code and tokens are nowhere in the clear, and gone once the link ends`()
        async throws
    {
        let fixture = try Fixture()
        let link = try await create(fixture, code: "EXAMPLE-MARKER-device")
        #expect(
            try await fixture.database.deviceLinks.keep(
                Self.grant, for: link.id, until: fixture.time.now() + .seconds(600)))
        try await fixture.database.checkpoint()
        let bytes = try Data(contentsOf: URL(filePath: fixture.path))
        for marker in ["EXAMPLE-MARKER-device", Self.grant.credential.accessToken.reveal { $0 }] {
            #expect(bytes.firstRange(of: Data(marker.utf8)) == nil)
        }
        let kept = try #require(try await fixture.database.deviceLinks.grant(of: link.id))
        #expect(kept.credential == Self.grant.credential && kept.raw == Self.grant.raw)
        let ended = try await fixture.database.deviceLinks.fail(link.id, error: "cancelled")
        #expect(ended?.subject == Self.grant.subject)
        #expect(try await fixture.database.deviceLinks.grant(of: link.id) == nil)
        #expect(try await fixture.database.deviceLinks.link(link.id)?.error == "cancelled")
    }

    @Test func `security 78: an ended link brings no account, whoever is late`() async throws {
        let fixture = try Fixture()
        let link = try await create(fixture)
        try await fixture.database.deviceLinks.fail(link.id, error: "cancelled")
        var new = try fixture.newLink()
        new.deviceLinkID = link.id
        #expect(try await fixture.database.accounts.link(new) == .sessionEnded)
        #expect(
            try await !fixture.database.deviceLinks.keep(
                Self.grant, for: link.id, until: fixture.time.now() + .seconds(600)))
        // And one that brought an account brings no other.
        let good = try await create(fixture)
        new.deviceLinkID = good.id
        guard case .linked(let account, true) = try await fixture.database.accounts.link(new) else {
            throw StoreError.inconsistent("not linked")
        }
        #expect(try await fixture.database.deviceLinks.link(good.id)?.accountID == account.id)
        #expect(try await fixture.database.accounts.link(new) == .sessionEnded)
    }

    @Test func `the time to confirm is claimed when it is over`() async throws {
        let fixture = try Fixture()
        let link = try await create(fixture)
        _ = try await fixture.database.deviceLinks.keep(
            Self.grant, for: link.id, until: fixture.time.now() + .seconds(600))
        fixture.time.advance(by: .seconds(599))
        #expect(try await claim(fixture.database, "one").isEmpty)
        fixture.time.advance(by: .seconds(1))
        let claimed = try await claim(fixture.database, "one")
        #expect(claimed.count == 1 && claimed.first?.deviceCode == nil)
    }

    @Test func `a user has a bounded number of pending links, and what ended is swept`() async throws {
        let fixture = try Fixture()
        var ids: [DeviceLinkID] = []
        for _ in 0...DeviceLinkStore.openPerUserMax {
            ids.append(try await create(fixture).id)
            fixture.time.advance(by: .milliseconds(1))
        }
        let other = try await create(fixture, user: "43")
        #expect(try await fixture.database.deviceLinks.link(ids[0]) == nil)
        #expect(try await fixture.database.deviceLinks.link(ids[1]) != nil)
        try await fixture.database.deviceLinks.fail(other.id, error: "link_expired")
        fixture.time.advance(by: .seconds(900 + 3600 + 1))
        // The pending ones are still somebody's to end.
        #expect(try await fixture.database.deviceLinks.purgeExpired() == 1)
        #expect(try await fixture.database.deviceLinks.link(ids[1]) != nil)
    }

    @Test func `an erased user leaves no device link`() async throws {
        let fixture = try Fixture()
        let link = try await create(fixture)
        _ = try await fixture.database.accounts.eraseUser(try #require(UserID("42")))
        #expect(try await fixture.database.deviceLinks.link(link.id) == nil)
    }

    @Test func `a clock that was ahead does not put a poll off for ever`() async throws {
        let fixture = try Fixture()
        fixture.time.advance(by: .seconds(86_400))
        let link = try await create(fixture)
        fixture.time.advance(by: .seconds(-86_400))
        #expect(try await claim(fixture.database, "one").map(\.link.id) == [link.id])
    }
}
