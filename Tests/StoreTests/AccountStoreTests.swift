import Accounts
import TestSupport
import Testing

@testable import Store

@Suite(.timeLimit(.minutes(10))) struct AccountStoreTests {
    @Test func `a link stores account, credential, profile, schedule and changes together`() async throws {
        let fixture = try Fixture()
        let now = fixture.time.now()
        let account = try await fixture.link()
        #expect(account.userID.rawValue == "42")
        #expect(account.provider == github)
        #expect(account.status == .active)
        #expect(account.scopes.map(\.rawValue) == ["read:user"])
        #expect(account.linkedAt == now)
        #expect(account.syncedAt == now)
        #expect(account.changedAt == now)
        #expect(account.nextSyncAt == now + .seconds(3600))
        let stored = try await fixture.database.credentials.read(account.id)
        #expect(stored == StoredCredential(credential: .example(), generation: 1))
        #expect(try await fixture.kinds() == [.accountLinked, .profileCreated])
        #expect(try await fixture.database.accounts.account(account.id) == account)
        #expect(try await fixture.database.accounts.account(provider: github, subject: account.subject) == account)
        #expect(try await fixture.database.accounts.counts() == [github: [.active: 1]])
    }

    @Test func `an account that another user holds is left alone`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link(user: "alice")
        let outcome = try await fixture.database.accounts.link(
            fixture.newLink(user: "mallory", credential: .example(access: "access-EXAMPLE-mallory")))
        #expect(outcome == .heldByAnotherUser)
        #expect(try await fixture.database.credentials.read(account.id)?.credential == .example())
        #expect(try await fixture.kinds() == [.accountLinked, .profileCreated])
    }

    @Test func `security 58: fifty users who link one account at once leave it with one of them`() async throws {
        let fixture = try Fixture()
        let outcomes = try await withThrowingTaskGroup(of: LinkOutcome.self) { group in
            for number in 0..<50 {
                let link = try fixture.newLink(
                    user: "user-\(number)", credential: .example(access: "access-EXAMPLE-\(number)"))
                group.addTask { try await fixture.database.accounts.link(link) }
            }
            var outcomes: [LinkOutcome] = []
            for try await outcome in group { outcomes.append(outcome) }
            return outcomes
        }
        let owners = outcomes.compactMap { outcome -> LinkedAccount? in
            if case .linked(let account, isNew: true) = outcome { account } else { nil }
        }
        let owner = try #require(owners.first)
        #expect(owners.count == 1)
        #expect(outcomes.count { $0 == .heldByAnotherUser } == 49)
        let stored = try #require(try await fixture.database.credentials.read(owner.id))
        let number = owner.userID.rawValue.dropFirst("user-".count)
        #expect(stored.credential.accessToken == Secret("access-EXAMPLE-\(number)"))
    }

    @Test func `a move erases the old link, makes a new id and revokes nothing`() async throws {
        let fixture = try Fixture()
        let old = try await fixture.link(user: "alice")
        let outcome = try await fixture.database.accounts.link(fixture.newLink(user: "bob", moves: true))
        guard case .linked(let new, isNew: true) = outcome else {
            Issue.record("\(outcome)")
            return
        }
        #expect(new.id != old.id)
        #expect(new.userID.rawValue == "bob")
        #expect(try await fixture.database.accounts.account(old.id) == nil)
        #expect(try await fixture.database.credentials.read(old.id) == nil)
        #expect(try await fixture.database.revocations.count() == 0)
        #expect(
            try await fixture.kinds() == [
                .accountLinked, .profileCreated, .accountUnlinked, .accountLinked, .profileCreated,
            ])
    }

    @Test func `a relink keeps the old refresh token where the new answer has none`() async throws {
        let fixture = try Fixture()
        let first = try await fixture.link()
        let second = try await fixture.link(
            credential: .example(access: "access-EXAMPLE-2", refresh: nil, scopes: ["read:user", "repo"]))
        #expect(second.id == first.id)
        #expect(second.scopes.map(\.rawValue) == ["read:user", "repo"])
        let stored = try #require(try await fixture.database.credentials.read(first.id))
        #expect(stored.generation == 2)
        #expect(stored.credential.accessToken == Secret("access-EXAMPLE-2"))
        #expect(stored.credential.refreshToken == Secret("refresh-EXAMPLE-1"))
    }

    @Test func `a relink revives an account whose grant was dead`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link()
        let marked = try await fixture.database.accounts.markNeedsRelink(
            account.id, generation: 1, code: .consentRevoked, detail: "The provider says invalid_grant.")
        #expect(marked)
        let broken = try #require(try await fixture.database.accounts.account(account.id))
        #expect(broken.status == .needsRelink)
        #expect(broken.problem?.code == .consentRevoked)
        #expect(broken.problem?.since == fixture.time.now())
        #expect(broken.nextSyncAt == nil)
        let revived = try await fixture.link()
        #expect(revived.status == .active)
        #expect(revived.problem == nil)
        #expect(revived.nextSyncAt != nil)
        #expect(
            try await fixture.kinds() == [
                .accountLinked, .profileCreated, .accountNeedsRelink, .accountRecovered,
            ])
        #expect(try await fixture.changes()[2].problem == .consentRevoked)
        #expect(try await fixture.database.accounts.counts()[github]?[.active] == 1)
        #expect(try await fixture.database.accounts.counts()[github]?[.needsRelink] == 0)
    }

    @Test func `a relink that brings another profile writes the patch the caller makes`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link()
        let link = try fixture.newLink(
            profile: .example(name: "Mona"),
            difference: { old, new in
                #expect(old.claims.contains("The Octocat"))
                #expect(new.claims.contains("Mona"))
                return #"[{"op":"replace","path":"/claims/name","value":"Mona"}]"#
            })
        _ = try await fixture.database.accounts.link(link)
        let change = try #require(try await fixture.changes().last)
        #expect(change.kind == .profileUpdated)
        #expect(change.accountID == account.id)
        #expect(change.version == 2)
        #expect(change.patch == #"[{"op":"replace","path":"/claims/name","value":"Mona"}]"#)
    }

    @Test func `a relink ends the lease of a sync and of a refresh under way`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link()
        let claim = try #require(
            try await fixture.database.schedule.claim(account.id, owner: "a", lease: .seconds(60)))
        _ = try await fixture.database.credentials.beginRefresh(account.id, owner: "a", lease: .seconds(60))
        try await fixture.link(credential: .example(access: "access-EXAMPLE-2", refresh: "refresh-EXAMPLE-2"))
        let result = SyncResult(
            content: .profile(try .example(name: "Stale"), difference: nil), at: fixture.time.now(), nextSyncAt: nil)
        #expect(try await fixture.database.schedule.record(result, for: claim) == false)
        let late = try await fixture.database.credentials.commitRefresh(
            account.id, owner: "a", from: 1, .example(access: "access-EXAMPLE-late"))
        #expect(!late)
        #expect(try await fixture.database.credentials.read(account.id)?.refreshInDoubtSince == nil)
        #expect(try await fixture.kinds() == [.accountLinked, .profileCreated])
    }

    @Test func `a mark for an older generation is refused`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link()
        try await fixture.link(credential: .example(access: "access-EXAMPLE-2"))
        let store = fixture.database.accounts
        #expect(
            try await store.markNeedsRelink(account.id, generation: 1, code: .consentRevoked, detail: "old") == false)
        #expect(try await store.account(account.id)?.status == .active)
        #expect(try await store.markNeedsRelink(account.id, generation: 2, code: .rotationLost, detail: "new"))
        #expect(try await store.markNeedsRelink(account.id, generation: 2, code: .consentRevoked, detail: "x") == false)
        #expect(try await store.account(account.id)?.problem?.code == .rotationLost)
    }

    @Test func `an unlink erases and leaves the tokens to the outbox`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link()
        let unlinked = try #require(try await fixture.database.accounts.unlink(account.id))
        #expect(unlinked.account == account)
        #expect(unlinked.credential == .example())
        #expect(try await fixture.database.accounts.account(account.id) == nil)
        #expect(try await fixture.database.credentials.read(account.id) == nil)
        #expect(try fixture.database.profiles.document(account: account.id) == nil)
        #expect(try await fixture.database.accounts.unlink(account.id) == nil)
        #expect(try await fixture.kinds() == [.accountLinked, .profileCreated, .accountUnlinked])
        #expect(try await fixture.database.revocations.count() == 1)
        #expect(try await fixture.database.accounts.counts()[github]?[.active] == 0)
    }

    @Test func `an unlink works where the credential does not open`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link()
        try await fixture.database.maintain { db in try db.run("UPDATE credential SET access_token = zeroblob(60)") }
        let unlinked = try #require(try await fixture.database.accounts.unlink(account.id))
        #expect(unlinked.revocation == nil)
        #expect(try await fixture.database.accounts.account(account.id) == nil)
    }

    @Test func `security 75: erasing a user unlinks all of theirs and nobody else's`() async throws {
        let fixture = try Fixture()
        try await fixture.link("1", user: "alice")
        try await fixture.link("2", user: "alice", provider: "discord")
        let other = try await fixture.link("3", user: "bob")
        let alice = try #require(UserID("alice"))
        let (session, _) = try await fixture.database.linkSessions.create(LinkSessionRequest(userID: alice))
        #expect(try await fixture.database.accounts.eraseUser(alice).count == 2)
        #expect(try await fixture.database.accounts.accounts(of: alice, limit: 10).items == [])
        #expect(try await fixture.database.linkSessions.session(session.id) == nil)
        #expect(try await fixture.database.accounts.account(other.id) == other)
    }

    @Test func `a profile of another subject is refused`() async throws {
        let fixture = try Fixture()
        let link = try fixture.newLink("1", profile: .example("2"))
        let error = await storeError { try await fixture.database.accounts.link(link) }
        #expect(error == .inconsistent("the profile is of another subject"))
        #expect(try await fixture.changes() == [])
    }

    @Test func `an operator's pause holds through a relink and ends with resume`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link()
        let store = fixture.database.accounts
        #expect(try await store.pause(account.id))
        #expect(try await store.pause(account.id) == false)
        #expect(try await fixture.link().status == .paused)
        #expect(try await store.account(account.id)?.nextSyncAt == nil)
        let soon = fixture.time.now() + .seconds(5)
        #expect(try await store.resume(account.id, nextSyncAt: soon))
        #expect(try await store.account(account.id)?.nextSyncAt == soon)
        #expect(try await store.account(account.id)?.status == .active)
        #expect(try await store.resume(account.id, nextSyncAt: soon) == false)
    }

    @Test func `a dead grant is as dead after a pause as before it, unless the user linked again`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link()
        let store = fixture.database.accounts
        _ = try await store.markNeedsRelink(account.id, generation: 1, code: .consentRevoked, detail: "x")
        let dead = try await store.account(account.id)
        #expect(try await store.pause(account.id))
        #expect(try await store.markNeedsRelink(account.id, generation: 1, code: .rotationLost, detail: "y") == false)
        #expect(try await store.resume(account.id, nextSyncAt: fixture.time.now()))
        #expect(try await store.account(account.id) == dead)
        #expect(try await store.pause(account.id))
        #expect(try await fixture.link().status == .paused)
        #expect(try await store.resume(account.id, nextSyncAt: fixture.time.now()))
        #expect(try await store.account(account.id)?.status == .active)
        #expect(
            try await fixture.kinds() == [.accountLinked, .profileCreated, .accountNeedsRelink, .accountRecovered])
    }

    @Test func `a user's accounts come with their claims, in the order of linking`() async throws {
        let fixture = try Fixture()
        let first = try await fixture.link("1")
        fixture.time.advance(by: .seconds(1))
        let second = try await fixture.link("2", provider: "discord")
        let accounts = try await fixture.database.accounts.accounts(of: first.userID, limit: 10).items
        #expect(accounts.map(\.account) == [first, second])
        #expect(accounts.map(\.claims) == [try Profile.example("1").claims, try Profile.example("2").claims])
    }
}

@Suite(.timeLimit(.minutes(10))) struct AccountListTests {
    /// Twelve accounts of two providers, a second apart.
    private func populated() async throws -> (Fixture, [LinkedAccount]) {
        let fixture = try Fixture()
        var accounts: [LinkedAccount] = []
        for number in 0..<12 {
            fixture.time.advance(by: .seconds(1))
            let profile = try Profile.example(
                "\(number)", name: "N\(number)", email: "Person\(number % 4)@Example.com", username: "Name\(number % 3)"
            )
            accounts.append(
                try await fixture.link(
                    "\(number)", user: "user-\(number % 6)", provider: number % 2 == 0 ? "github" : "discord",
                    profile: profile))
        }
        return (fixture, accounts)
    }

    private func walk(_ fixture: Fixture, _ filter: AccountFilter, by limit: Int) async throws -> [String] {
        var found: [String] = []
        var cursor: String?
        repeat {
            let page = try await fixture.database.accounts.list(filter, after: cursor, limit: limit)
            #expect(page.items.count <= limit)
            found += page.items.map(\.subject.rawValue)
            cursor = page.next
        } while cursor != nil
        return found
    }

    @Test(arguments: [1, 5, 500]) func `pages of any size make the whole list`(limit: Int) async throws {
        let (fixture, accounts) = try await populated()
        #expect(try await walk(fixture, AccountFilter(), by: limit) == accounts.map(\.subject.rawValue))
        let since = accounts[3].linkedAt
        #expect(
            try await walk(fixture, AccountFilter(changedSince: since), by: limit)
                == accounts[3...].map(\.subject.rawValue))
    }

    @Test func `every filter holds, alone and together`() async throws {
        let (fixture, accounts) = try await populated()
        let store = fixture.database.accounts
        _ = try await store.markNeedsRelink(accounts[4].id, generation: 1, code: .consentRevoked, detail: "x")
        func find(_ filter: AccountFilter) async throws -> [String] { try await walk(fixture, filter, by: 2) }
        #expect(try await find(AccountFilter(provider: github)) == ["0", "2", "4", "6", "8", "10"])
        #expect(try await find(AccountFilter(status: .needsRelink)) == ["4"])
        #expect(try await find(AccountFilter(provider: github, status: .active)) == ["0", "2", "6", "8", "10"])
        #expect(try await find(AccountFilter(userID: UserID("user-3"))) == ["3", "9"])
        #expect(try await find(AccountFilter(email: "person1@example.com")) == ["1", "5", "9"])
        #expect(try await find(AccountFilter(username: "NAME2")) == ["2", "5", "8", "11"])
        #expect(try await find(AccountFilter(email: "person1@example.com", username: "name2")) == ["5"])
        #expect(try await find(AccountFilter(provider: discord, username: "name2")) == ["5", "11"])
        #expect(
            try await find(AccountFilter(provider: discord, changedSince: accounts[7].linkedAt)) == ["7", "9", "11"])
        #expect(try await find(AccountFilter(userID: UserID("user-3"), changedSince: accounts[7].linkedAt)) == ["9"])
        #expect(try await find(AccountFilter(provider: ProviderID("nowhere"))) == [])
    }

    @Test func `a cursor that is none is refused`() async throws {
        let fixture = try Fixture()
        for filter in [AccountFilter(), AccountFilter(changedSince: .epoch)] {
            for cursor in ["", "x", "1-2", "acc_'; DROP TABLE change"] {
                let error = await storeError {
                    try await fixture.database.accounts.list(filter, after: cursor, limit: 5)
                }
                #expect(error == .inconsistent("after: not a cursor of this list"))
            }
        }
    }
}

@Suite(.timeLimit(.minutes(10))) struct AccountTransferTests {
    private func imported(
        _ subject: String, user: String = "42", credential: Credential = .example(), profile: Bool = false
    ) throws -> ImportedAccount {
        ImportedAccount(
            userID: try #require(UserID(user)), provider: github, subject: try #require(Subject(subject)),
            credential: credential, linkedAt: Timestamp(secondsSinceEpoch: 1_700_000_000),
            nextSyncAt: Timestamp(secondsSinceEpoch: 1_795_190_000), profile: profile ? try .example(subject) : nil)
    }

    @Test func `an import is idempotent, replaces what differs and names what another user holds`() async throws {
        let fixture = try Fixture()
        let store = fixture.database.accounts
        try await fixture.link("3", user: "alice")
        let batch = [try imported("1"), try imported("2", profile: true), try imported("3")]
        let first = try await store.importAccounts(batch)
        guard case .created(let one) = first[0], case .created(let two) = first[1] else {
            Issue.record("\(first)")
            return
        }
        #expect(first[2] == .conflict)
        #expect(try await store.importAccounts(batch) == [.unchanged(one), .unchanged(two), .conflict])
        #expect(try await store.account(one)?.linkedAt == Timestamp(secondsSinceEpoch: 1_700_000_000))
        #expect(try await store.account(one)?.syncedAt == nil)
        #expect(try fixture.database.profiles.document(account: one) == nil)
        #expect(try fixture.database.profiles.document(account: two) != nil)
        let other = try imported("1", credential: .example(access: "access-EXAMPLE-other"))
        #expect(try await store.importAccounts([other]) == [.replaced(one)])
        #expect(try await fixture.database.credentials.read(one)?.generation == 2)
    }

    @Test func `running an old import again brings no spent token back`() async throws {
        let fixture = try Fixture()
        let store = fixture.database.accounts
        let batch = [try imported("1")]
        let first = try await store.importAccounts(batch)
        guard case .created(let id) = first[0] else {
            Issue.record("\(first)")
            return
        }
        _ = try await fixture.database.credentials.beginRefresh(id, owner: "a", lease: .seconds(60))
        let rotated = Credential.example(access: "access-EXAMPLE-2", refresh: "refresh-EXAMPLE-2")
        #expect(try await fixture.database.credentials.commitRefresh(id, owner: "a", from: 1, rotated))
        #expect(try await store.importAccounts(batch) == [.unchanged(id)])
        #expect(try await fixture.database.credentials.read(id)?.credential == rotated)
    }

    @Test func `tokens linked here and imported unchanged stay`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link("1")
        #expect(try await fixture.database.accounts.importAccounts([imported("1")]) == [.unchanged(account.id)])
        #expect(try await fixture.database.credentials.read(account.id)?.generation == 1)
    }

    @Test func `one bad account undoes its batch`() async throws {
        let fixture = try Fixture()
        var bad = try imported("2")
        bad.profile = try .example("other")
        let batch = [try imported("1"), bad]
        #expect(
            await storeError { try await fixture.database.accounts.importAccounts(batch) }
                == .inconsistent("the profile is of another subject"))
        #expect(try await fixture.database.accounts.list(AccountFilter(), limit: 10).items == [])
    }

    @Test func `an export walks every account with its tokens and names none that does not open`() async throws {
        let fixture = try Fixture()
        for number in 0..<5 {
            try await fixture.link("\(number)", credential: .example(access: "access-EXAMPLE-\(number)"))
        }
        try await fixture.database.maintain { db in
            try db.run(
                """
                UPDATE credential SET access_token = zeroblob(60) WHERE account_id =
                    (SELECT id FROM linked_account WHERE subject = '3')
                """)
        }
        var found: [ExportedAccount] = []
        var cursor: String?
        repeat {
            let page = try await fixture.database.accounts.exportAccounts(after: cursor, limit: 2)
            found += page.items
            cursor = page.next
        } while cursor != nil
        let tokens = Dictionary(uniqueKeysWithValues: found.map { ($0.account.subject.rawValue, $0.credential) })
        #expect(tokens.count == 5)
        for number in [0, 1, 2, 4] {
            #expect(tokens["\(number)"]??.accessToken == Secret("access-EXAMPLE-\(number)"))
        }
        #expect(tokens["3"] == .some(nil))
        #expect(found.allSatisfy { $0.profile != nil })
    }
}
