import Accounts
import Cryptography
import Foundation
import TestSupport
import Testing

@testable import Store

@Suite(.timeLimit(.minutes(10))) struct AuditTrailTests {
    let fixture: Fixture

    init() throws { fixture = try Fixture() }

    /// The oldest first.
    private func entries() async throws -> [AuditEntry] {
        try await fixture.database.audit.entries(limit: 1000).reversed()
    }

    @Test func `security 99: what happens to a link is entered with who, when and from where`() async throws {
        let actor = AuditActor("user", origin: "203.0.113.9")
        let began = fixture.time.now()
        let account = try await AuditActor.$current.withValue(actor) { try await fixture.link() }
        fixture.time.advance(by: .seconds(60))
        _ = try await fixture.database.accounts.markNeedsRelink(
            account.id, generation: 1, code: .consentRevoked, detail: "EXAMPLE")
        try await AuditActor.$current.withValue(actor) {
            _ = try await fixture.link(credential: .example(scopes: ["read:user", "user:email"]))
        }
        let key = AuditActor("key_EXAMPLE", origin: "203.0.113.10")
        _ = try await AuditActor.$current.withValue(key) { try await fixture.database.accounts.unlink(account.id) }

        let found = try await entries()
        #expect(
            found.map(\.action) == [
                "account.linked", "account.needs_relink", "scopes.changed", "account.relinked", "account.recovered",
                "account.unlinked",
            ])
        #expect(found.map(\.actor) == [actor, .service, actor, actor, actor, key])
        #expect(found.allSatisfy { $0.accountID == account.id && $0.userID?.rawValue == "42" && $0.provider == github })
        #expect(found[0].at == began && found[1].at == began + .seconds(60))
        #expect(found[1].detail == "consent_revoked")
        #expect(found[2].detail == "read:user -> read:user user:email")
        #expect(found.map(\.sequence) == found.map(\.sequence).sorted())
        let ofAccount = try await fixture.database.audit.entries(account: account.id, limit: 2)
        #expect(ofAccount.map(\.action) == ["account.unlinked", "account.recovered"])
        let before = try await fixture.database.audit.entries(
            account: account.id, before: ofAccount[1].sequence, limit: 10)
        #expect(before.count == 4)
    }

    @Test func `security 99: a scope that a refresh takes away is entered`() async throws {
        let account = try await fixture.link(credential: .example(scopes: ["a", "b"]))
        _ = try await fixture.database.credentials.beginRefresh(account.id, owner: "one", lease: .seconds(60))
        _ = try await fixture.database.credentials.commitRefresh(
            account.id, owner: "one", from: 1, .example(access: "EXAMPLE-2", scopes: ["a"]))
        #expect(try await entries().last?.detail == "a b -> a")
    }

    @Test func `security 99: API keys, keys of the vault and pauses are entered, and nothing secret is`() async throws {
        let account = try await fixture.link()
        let (key, secret) = try await fixture.database.apiKeys.create(name: "app", scopes: [.accountsRead])
        _ = try await fixture.database.apiKeys.revoke(key.id)
        _ = try await fixture.database.accounts.pause(account.id)
        _ = try await fixture.database.accounts.resume(account.id, nextSyncAt: fixture.time.now())
        let new = try KeyRing.generate(random: SeededRandom(seed: 77))
        let ring = try KeyRing(parsing: new.text + "\n" + fixture.ring.text)
        try await fixture.database.vault.use(ring)
        while try await fixture.database.vault.reseal(limit: 100).next != nil {}
        _ = try await fixture.database.vault.retireUnusedKeys()
        let found = try await entries()
        #expect(
            found.map(\.action) == [
                "account.linked", "api_key.created", "api_key.revoked", "account.paused", "account.resumed",
                "key.added",
                "key.retired",
            ])
        #expect(found[1].detail == key.id.rawValue && found[2].detail == key.id.rawValue)
        #expect(found[5].detail == new.primary.id && found[6].detail == fixture.ring.primary.id)
        let everything = found.map { "\($0)" }.joined()
        for text in [secret.reveal { $0 }, "access-EXAMPLE", "refresh-EXAMPLE", new.text, "octocat"] {
            #expect(!everything.contains(text))
        }
    }

    @Test func `security 99: new, changed and removed configurations are entered, the same ones are not`() async throws
    {
        let providers = fixture.database.providers
        try await providers.note(configurations: [github: "1", discord: "1"])
        try await providers.note(configurations: [github: "1", discord: "1"])
        try await providers.note(configurations: [github: "2"])
        let found = try await entries()
        #expect(
            found.map(\.action) == ["provider.added", "provider.added", "provider.changed", "provider.removed"])
        #expect(found.map(\.provider) == [discord, github, github, discord])
    }

    @Test func `security 99: no entry can be changed, and none of the last 90 days deleted`() async throws {
        _ = try await fixture.link()
        for sql in [
            "UPDATE audit SET actor = 'nobody'", "UPDATE audit SET at = 0", "DELETE FROM audit",
            "INSERT OR REPLACE INTO audit (sequence, at, action, actor) VALUES (1, 0, 'x', 'x')",
        ] {
            await #expect(throws: StoreError.self, "\(sql)") {
                try await fixture.database.maintain { db in
                    _ = try db.run("PRAGMA recursive_triggers = ON")
                    try db.run(sql)
                }
            }
        }
        #expect(try await entries().map(\.actor) == [.service])
        fixture.time.advance(by: .seconds(400 * 86_400))
        _ = try await fixture.link("2", user: "43")
        #expect(try await fixture.database.audit.prune(before: fixture.time.now() - .seconds(400 * 86_400)) == 0)
        #expect(try await fixture.database.audit.prune(before: fixture.time.now() - .seconds(399 * 86_400)) == 1)
        #expect(try await entries().map { $0.userID?.rawValue } == ["43"])
    }

    @Test func `what is read of the trail is searched, not walked`() async throws {
        for sql in [AuditTrail.all, AuditTrail.ofAccount] {
            let plan = try await fixture.database.maintain { db in
                try db.rows("EXPLAIN QUERY PLAN " + sql.replacing("?", with: "1")).map { try $0.text(3) }
            }
            #expect(plan.allSatisfy { !$0.hasPrefix("SCAN") && !$0.contains("TEMP B-TREE") }, "\(plan)")
        }
    }
}
