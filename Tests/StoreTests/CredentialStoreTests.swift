import Accounts
import Cryptography
import TestSupport
import Testing

@testable import Store

@Suite(.timeLimit(.minutes(10))) struct CredentialStoreTests {
    @Test func `security 60: a hundred who want to refresh one account leave it to one of them`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link()
        let other = try fixture.another()
        defer { other.close() }
        let claims = try await withThrowingTaskGroup(of: RefreshClaim.self) { group in
            for number in 0..<100 {
                let store = number % 2 == 0 ? fixture.database.credentials : other.credentials
                group.addTask {
                    try await store.beginRefresh(account.id, owner: "owner-\(number)", lease: .seconds(60))
                }
            }
            var claims: [RefreshClaim] = []
            for try await claim in group { claims.append(claim) }
            return claims
        }
        let until = fixture.time.now() + .seconds(60)
        #expect(claims.count { $0 == .heldElsewhere(until: until) } == 99)
        #expect(
            claims.count { claim in
                if case .claimed(let stored, wasInDoubt: false) = claim { stored.generation == 1 } else { false }
            } == 1)
    }

    @Test func `the intent outlives a process that ends without a word`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link()
        _ = try await fixture.database.credentials.beginRefresh(account.id, owner: "a", lease: .seconds(60))
        let begun = fixture.time.now()
        // Not closed: what another connection reads is what the file and its log hold.
        let next = try fixture.another()
        defer { next.close() }
        #expect(try await next.credentials.refreshesInDoubt(limit: 10) == [])
        #expect(
            try await next.credentials.beginRefresh(account.id, owner: "b", lease: .seconds(60))
                == .heldElsewhere(until: begun + .seconds(60)))
        fixture.time.advance(by: .seconds(61))
        #expect(try await next.credentials.refreshesInDoubt(limit: 10) == [account.id])
        #expect(try await next.credentials.read(account.id)?.refreshInDoubtSince == begun)
        guard
            case .claimed(let stored, wasInDoubt: true) = try await next.credentials.beginRefresh(
                account.id, owner: "b", lease: .seconds(60))
        else {
            Issue.record("not claimed in doubt")
            return
        }
        #expect(stored.refreshInDoubtSince == begun)
        #expect(stored.credential.refreshToken == Secret("refresh-EXAMPLE-1"))
    }

    @Test func `a commit replaces the generation it was made from and frees the lease`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link()
        let store = fixture.database.credentials
        _ = try await store.beginRefresh(account.id, owner: "a", lease: .seconds(60))
        let new = Credential.example(
            access: "access-EXAMPLE-2", refresh: "refresh-EXAMPLE-2", scopes: ["read:user", "x"])
        #expect(try await store.commitRefresh(account.id, owner: "a", from: 1, new))
        #expect(try await store.read(account.id) == StoredCredential(credential: new, generation: 2))
        #expect(try await fixture.database.accounts.account(account.id)?.scopes.map(\.rawValue) == ["read:user", "x"])
        #expect(try await store.commitRefresh(account.id, owner: "a", from: 1, .example(access: "late")) == false)
        #expect(try await store.read(account.id)?.credential == new)
        guard
            case .claimed(_, wasInDoubt: false) = try await store.beginRefresh(
                account.id, owner: "b", lease: .seconds(1))
        else {
            Issue.record("the lease was not freed")
            return
        }
    }

    @Test func `security 62: a commit without a refresh token keeps the one that is held`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link()
        let store = fixture.database.credentials
        _ = try await store.beginRefresh(account.id, owner: "a", lease: .seconds(60))
        #expect(
            try await store.commitRefresh(
                account.id, owner: "a", from: 1, .example(access: "access-EXAMPLE-2", refresh: nil)))
        #expect(try await store.read(account.id)?.credential.refreshToken == Secret("refresh-EXAMPLE-1"))
    }

    @Test func `an answer that comes after the lease ran out is stored all the same`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link()
        let store = fixture.database.credentials
        _ = try await store.beginRefresh(account.id, owner: "a", lease: .seconds(10))
        fixture.time.advance(by: .seconds(11))
        _ = try await store.beginRefresh(account.id, owner: "b", lease: .seconds(10))
        let new = Credential.example(access: "access-EXAMPLE-2", refresh: "refresh-EXAMPLE-2")
        #expect(try await store.commitRefresh(account.id, owner: "a", from: 1, new))
        // b is refused with the spent token, reads again, and finds the new generation.
        try await store.abandonRefresh(account.id, owner: "b", generation: 1, tokenMayBeSpent: true)
        #expect(try await store.read(account.id) == StoredCredential(credential: new, generation: 2))
        #expect(try await store.refreshesInDoubt(limit: 1) == [])
    }

    @Test func `an account marked while a refresh was under way recovers with its answer`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link()
        let store = fixture.database.credentials
        _ = try await store.beginRefresh(account.id, owner: "a", lease: .seconds(10))
        _ = try await fixture.database.accounts.markNeedsRelink(
            account.id, generation: 1, code: .rotationLost, detail: "The refresh token was spent.")
        #expect(try await store.refreshesInDoubt(limit: 1) == [])
        #expect(try await store.commitRefresh(account.id, owner: "a", from: 1, .example(access: "access-EXAMPLE-2")))
        let recovered = try #require(try await fixture.database.accounts.account(account.id))
        #expect(recovered.status == .active)
        #expect(recovered.nextSyncAt == fixture.time.now())
        #expect(try await fixture.kinds().last == .accountRecovered)
    }

    @Test func `a refresh given up before it left leaves no doubt`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link()
        let store = fixture.database.credentials
        _ = try await store.beginRefresh(account.id, owner: "a", lease: .seconds(60))
        try await store.abandonRefresh(account.id, owner: "someone else", generation: 1, tokenMayBeSpent: false)
        guard case .heldElsewhere = try await store.beginRefresh(account.id, owner: "b", lease: .seconds(60)) else {
            Issue.record("freed by another owner")
            return
        }
        try await store.abandonRefresh(account.id, owner: "a", generation: 1, tokenMayBeSpent: false)
        #expect(try await store.refreshesInDoubt(limit: 1) == [])
        #expect(try await store.read(account.id)?.refreshInDoubtSince == nil)
    }

    @Test func `doubt stays until an answer, whatever later attempts say`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link()
        let store = fixture.database.credentials
        let begun = fixture.time.now()
        _ = try await store.beginRefresh(account.id, owner: "a", lease: .seconds(60))
        try await store.abandonRefresh(account.id, owner: "a", generation: 1, tokenMayBeSpent: true)
        fixture.time.advance(by: .seconds(5))
        #expect(try await store.refreshesInDoubt(limit: 1) == [account.id])
        // The second attempt never left: the first one's doubt is as it was.
        _ = try await store.beginRefresh(account.id, owner: "a", lease: .seconds(60))
        try await store.abandonRefresh(account.id, owner: "a", generation: 1, tokenMayBeSpent: false)
        #expect(try await store.read(account.id)?.refreshInDoubtSince == begun)
        guard
            case .claimed(_, wasInDoubt: true) = try await store.beginRefresh(
                account.id, owner: "b", lease: .seconds(60))
        else {
            Issue.record("the doubt was forgotten")
            return
        }
        #expect(try await store.commitRefresh(account.id, owner: "b", from: 1, .example(access: "access-EXAMPLE-2")))
        #expect(try await store.refreshesInDoubt(limit: 1) == [])
    }

    @Test func `doubts come oldest first and no more than asked for`() async throws {
        let fixture = try Fixture()
        var ids: [AccountID] = []
        for number in 0..<4 {
            let account = try await fixture.link("\(number)")
            ids.insert(account.id, at: 0)
        }
        for id in ids {
            fixture.time.advance(by: .seconds(1))
            _ = try await fixture.database.credentials.beginRefresh(id, owner: "a", lease: .seconds(1))
        }
        fixture.time.advance(by: .seconds(5))
        #expect(try await fixture.database.credentials.refreshesInDoubt(limit: 3) == Array(ids.prefix(3)))
    }

    @Test func `security 69: an unlink beats a refresh under way`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link()
        let store = fixture.database.credentials
        _ = try await store.beginRefresh(account.id, owner: "a", lease: .seconds(60))
        _ = try await fixture.database.accounts.unlink(account.id)
        let late = Credential.example(access: "access-EXAMPLE-late", refresh: "refresh-EXAMPLE-late")
        #expect(try await store.commitRefresh(account.id, owner: "a", from: 1, late) == false)
        #expect(try await store.beginRefresh(account.id, owner: "a", lease: .seconds(60)) == .gone)
        #expect(try await store.read(account.id) == nil)
        // The same account linked anew is another one to the late answer.
        try await fixture.link()
        #expect(try await store.commitRefresh(account.id, owner: "a", from: 1, late) == false)
    }

    @Test func `a lease from before the clock was set back holds nobody up`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link()
        _ = try await fixture.database.credentials.beginRefresh(account.id, owner: "a", lease: .seconds(60))
        fixture.time.jump(to: fixture.time.now() - .seconds(86_400))
        guard
            case .claimed(_, wasInDoubt: true) = try await fixture.database.credentials.beginRefresh(
                account.id, owner: "b", lease: .seconds(60))
        else {
            Issue.record("held until tomorrow")
            return
        }
    }

    @Test(arguments: ["access_token", "refresh_token"])
    func `security 89: any bit that was turned over is found`(column: String) async throws {
        let fixture = try Fixture()
        let account = try await fixture.link()
        let sealed = try #require(
            try await fixture.database.maintain { db in try db.first("SELECT \(column) FROM credential")?.bytes(0) })
        for index in sealed.indices {
            var turned = sealed
            turned[index] ^= 1 << UInt8(index % 8)
            let bytes = turned
            try await fixture.database.maintain { db in try db.run("UPDATE credential SET \(column) = ?", bytes) }
            #expect(
                await storeError { try await fixture.database.credentials.read(account.id) }
                    == .credentialDamaged(account.id))
        }
        let error = await storeError {
            try await fixture.database.credentials.beginRefresh(account.id, owner: "a", lease: .seconds(60))
        }
        #expect(error == .credentialDamaged(account.id))
        try await fixture.database.maintain { db in try db.run("UPDATE credential SET \(column) = ?", sealed) }
        // Nothing was leased by the attempt that failed.
        guard
            case .claimed(_, wasInDoubt: false) = try await fixture.database.credentials.beginRefresh(
                account.id, owner: "a", lease: .seconds(60))
        else {
            Issue.record("leased by an attempt that failed")
            return
        }
    }

    @Test func `security 89: tokens open in their own place alone`() async throws {
        let fixture = try Fixture()
        let first = try await fixture.link("1", user: "alice")
        let second = try await fixture.link("2", user: "alice")
        let third = try await fixture.link("3", user: "bob", provider: "discord")
        func damages(_ sql: String) async throws -> Bool {
            try await fixture.database.maintain { db in
                try db.run("SAVEPOINT test")
                try db.run("PRAGMA defer_foreign_keys = ON")
                try db.run(sql)
                try db.run("RELEASE test")
            }
            return await storeError { try await fixture.database.credentials.read(first.id) }
                == .credentialDamaged(first.id)
        }
        // The schema forbids the half of what follows; whoever tampers with the file does not ask it.
        try await fixture.database.maintain { db in try db.run("DROP TRIGGER linked_account_identity") }
        let ids = (first.id.rawValue, second.id.rawValue, third.id.rawValue)
        // Between rows, between columns, under another user, provider or generation.
        #expect(
            try await damages(
                """
                UPDATE credential SET access_token = (SELECT access_token FROM credential WHERE account_id = '\(ids.1)')
                WHERE account_id = '\(ids.0)'
                """))
        let again = try await fixture.link("1", user: "alice")
        #expect(again.id == first.id)
        #expect(try await damages("UPDATE credential SET access_token = refresh_token WHERE account_id = '\(ids.0)'"))
        try await fixture.link("1", user: "alice")
        #expect(try await damages("UPDATE linked_account SET user_id = 'mallory' WHERE id = '\(ids.0)'"))
        try await fixture.database.maintain { db in
            try db.run("UPDATE linked_account SET user_id = 'alice' WHERE id = '\(ids.0)'")
        }
        #expect(try await fixture.database.credentials.read(first.id) != nil)
        #expect(try await damages("UPDATE linked_account SET provider = 'gitlab' WHERE id = '\(ids.0)'"))
        try await fixture.database.maintain { db in
            try db.run("UPDATE linked_account SET provider = 'github' WHERE id = '\(ids.0)'")
        }
        #expect(try await damages("UPDATE credential SET generation = generation + 1 WHERE account_id = '\(ids.0)'"))
    }

    @Test func `places never read alike`() {
        let one = SealedPlace(table: "t", column: "c", row: "r", provider: "p", user: "u|00ff|7", generation: 1)
        let two = SealedPlace(table: "t", column: "c", row: "r", provider: "p", user: "u", generation: 7)
        #expect(one.associatedData(keyID: "00ff") != two.associatedData(keyID: "00ff"))
        #expect(one.associatedData(keyID: "00ff") == Array("t|c|r|p|u|00ff|7|00ff|1".utf8))
    }
}
