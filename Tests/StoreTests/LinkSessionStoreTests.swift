import Accounts
import Cryptography
import TestSupport
import Testing

@testable import Store

@Suite(.timeLimit(.minutes(10))) struct LinkSessionStoreTests {
    private let user = UserID("42")!

    /// A session bound to a browser, with one authorization request out under `state`.
    private func begun(
        _ fixture: Fixture, state: String = "state-EXAMPLE", browser: String = "browser-EXAMPLE"
    ) async throws -> LinkSession {
        let store = fixture.database.linkSessions
        let (session, token) = try await store.create(LinkSessionRequest(userID: user, provider: github))
        let bound = try await store.bind(token: token.reveal { $0 }, browser: browser)
        #expect(bound?.isBound == true)
        try await begin(fixture, session.id, state: state)
        return session
    }

    private func begin(_ fixture: Fixture, _ id: LinkSessionID, state: String) async throws {
        try await fixture.database.linkSessions.beginAuthorization(
            session: id, provider: github, state: Secret(state), codeVerifier: Secret("verifier-EXAMPLE"),
            nonce: Secret("nonce-EXAMPLE"), fingerprint: "fingerprint", scopes: [Scope("read:user")!],
            redirectURI: "https://accounts.example.com/callback/github")
    }

    private func consume(
        _ fixture: Fixture, state: String = "state-EXAMPLE", provider: ProviderID = github,
        browser: String = "browser-EXAMPLE"
    ) async throws -> PendingAuthorization? {
        try await fixture.database.linkSessions.consume(state: state, provider: provider, browser: browser)
    }

    @Test func `a session is found by its token until it expires`() async throws {
        let fixture = try Fixture()
        let request = LinkSessionRequest(
            userID: user, userLabel: "alice@example.com", provider: github, scopes: [Scope("a")!, Scope("b")!],
            returnTo: "https://app.example.com/done", confirm: false)
        let (session, secret) = try await fixture.database.linkSessions.create(request)
        let token = secret.reveal { $0 }
        #expect(token.utf8.count == 43)
        #expect(session.userLabel == "alice@example.com")
        #expect(session.scopes?.map(\.rawValue) == ["a", "b"])
        #expect(session.returnTo == "https://app.example.com/done")
        #expect(!session.confirm)
        #expect(!session.isBound)
        #expect(session.status == .open)
        #expect(session.expiresAt == fixture.time.now() + .seconds(600))
        #expect(try await fixture.database.linkSessions.session(token: token) == session)
        #expect(try await fixture.database.linkSessions.session(token: token + "x") == nil)
        #expect(try fixture.filesContain(token) == false)
        fixture.time.advance(by: .seconds(600))
        #expect(try await fixture.database.linkSessions.session(token: token) == nil)
        #expect(try await fixture.database.linkSessions.bind(token: token, browser: "b") == nil)
        #expect(try await fixture.database.linkSessions.session(session.id) == session)
    }

    @Test func `the first browser has the session to itself`() async throws {
        let fixture = try Fixture()
        let store = fixture.database.linkSessions
        let (_, secret) = try await store.create(LinkSessionRequest(userID: user))
        let token = secret.reveal { $0 }
        let winners = try await withThrowingTaskGroup(of: Int?.self) { group in
            for number in 0..<20 {
                group.addTask { try await store.bind(token: token, browser: "browser-\(number)") == nil ? nil : number }
            }
            var winners: [Int] = []
            for try await winner in group { if let winner { winners.append(winner) } }
            return winners
        }
        let winner = try #require(winners.first)
        #expect(winners.count == 1)
        #expect(try await store.bind(token: token, browser: "browser-\(winner)") != nil)
        #expect(try await store.bind(token: token, browser: "another") == nil)
    }

    @Test func `security 2: a state counts once, even for two callbacks at the same instant`() async throws {
        let fixture = try Fixture()
        let session = try await begun(fixture)
        let found = try await withThrowingTaskGroup(of: PendingAuthorization?.self) { group in
            for _ in 0..<20 { group.addTask { try await self.consume(fixture) } }
            var found: [PendingAuthorization] = []
            for try await pending in group { if let pending { found.append(pending) } }
            return found
        }
        #expect(found.count == 1)
        let pending = try #require(found.first)
        #expect(pending.session.id == session.id)
        #expect(pending.codeVerifier == Secret("verifier-EXAMPLE"))
        #expect(pending.nonce == Secret("nonce-EXAMPLE"))
        #expect(pending.fingerprint == "fingerprint")
        #expect(pending.scopes.map(\.rawValue) == ["read:user"])
        #expect(pending.redirectURI == "https://accounts.example.com/callback/github")
        #expect(try await consume(fixture) == nil)
    }

    @Test func `security 4, 8: another browser or provider neither gets nor uses up a state`() async throws {
        let fixture = try Fixture()
        _ = try await begun(fixture)
        #expect(try await consume(fixture, browser: "another") == nil)
        #expect(try await consume(fixture, provider: discord) == nil)
        #expect(try await consume(fixture, state: "state-EXAMPLE-2") == nil)
        #expect(try await consume(fixture) != nil)
    }

    @Test func `a state ends with its session`() async throws {
        for end in 0..<3 {
            let fixture = try Fixture()
            let session = try await begun(fixture)
            switch end {
            case 0: fixture.time.advance(by: .seconds(601))
            case 1: try await fixture.database.linkSessions.fail(session.id, error: "access_denied")
            default: _ = try await fixture.database.accounts.link(fixture.newLink(session: session.id))
            }
            #expect(try await consume(fixture) == nil, "\(end)")
            #expect(
                await storeError { try await self.begin(fixture, session.id, state: "another") }
                    == .inconsistent("the link session is over"))
        }
    }

    @Test func `a session tells how it ended`() async throws {
        let fixture = try Fixture()
        let store = fixture.database.linkSessions
        let failed = try await begun(fixture, state: "1")
        try await store.fail(failed.id, error: "access_denied")
        #expect(try await store.session(failed.id)?.status == .failed)
        #expect(try await store.session(failed.id)?.error == "access_denied")
        let completed = try await begun(fixture, state: "2")
        guard
            case .linked(let account, _) = try await fixture.database.accounts.link(
                fixture.newLink(session: completed.id))
        else {
            Issue.record("not linked")
            return
        }
        #expect(try await store.session(completed.id)?.status == .completed)
        #expect(try await store.session(completed.id)?.accountID == account.id)
        try await store.fail(completed.id, error: "late")
        #expect(try await store.session(completed.id)?.status == .completed)
    }

    @Test func `security 13, 91: verifier, nonce and state are nowhere in the clear`() async throws {
        let fixture = try Fixture()
        _ = try await begun(fixture)
        for marker in ["verifier-EXAMPLE", "nonce-EXAMPLE", "state-EXAMPLE", "browser-EXAMPLE"] {
            #expect(try fixture.filesContain(marker) == false, "\(marker)")
        }
        #expect(try fixture.filesContain("fingerprint"))
    }

    @Test func `a sealed verifier that was changed is refused and the state is not used up`() async throws {
        let fixture = try Fixture()
        _ = try await begun(fixture)
        let whole = try await fixture.database.maintain { db in
            let whole = try db.first("SELECT code_verifier FROM pending_authorization")?.bytes(0)
            try db.run("UPDATE pending_authorization SET code_verifier = nonce")
            return whole
        }
        #expect(
            await storeError { try await self.consume(fixture) == nil } == .damaged("an authorization request"))
        try await fixture.database.maintain { db in
            try db.run("UPDATE pending_authorization SET code_verifier = ?", whole)
        }
        #expect(try await consume(fixture) != nil)
        #expect(try await consume(fixture) == nil)
    }

    @Test func `security 106: a user has a bounded number of open sessions, the oldest makes room`() async throws {
        let fixture = try Fixture()
        let store = fixture.database.linkSessions
        var sessions: [LinkSession] = []
        for _ in 0..<40 {
            fixture.time.advance(by: .seconds(1))
            sessions.append(try await store.create(LinkSessionRequest(userID: user)).0)
        }
        let (other, _) = try await store.create(LinkSessionRequest(userID: UserID("other")!))
        var open: [LinkSessionID] = []
        for session in sessions { if let held = try await store.session(session.id) { open.append(held.id) } }
        #expect(open == sessions.suffix(LinkSessionStore.openPerUserMax).map(\.id))
        #expect(try await store.session(other.id) != nil)
    }

    @Test func `security 106: starts without end leave a bounded number of rows`() async throws {
        let fixture = try Fixture()
        // Ten thousand.
        for _ in 0..<1000 {
            let (session, token) = try await fixture.database.linkSessions.create(
                LinkSessionRequest(userID: UserID("42")!))
            _ = try await fixture.database.linkSessions.bind(token: token.reveal { $0 }, browser: "EXAMPLE")
            for number in 0..<10 {
                try await fixture.database.linkSessions.beginAuthorization(
                    session: session.id, provider: github, state: Secret("\(session.id)-\(number)"), codeVerifier: nil,
                    nonce: nil, fingerprint: "", scopes: [], redirectURI: "")
            }
        }
        func count(_ table: String) async throws -> Int {
            try await fixture.database.maintain { try $0.first("SELECT count(*) FROM \(table)")?.int(0) ?? 0 }
        }
        #expect(try await count("link_session") == LinkSessionStore.openPerUserMax)
        #expect(
            try await count("pending_authorization") <= LinkSessionStore.openPerUserMax
                * LinkSessionStore.authorizationsPerSessionMax)
        fixture.time.advance(by: .seconds(600 + 3600))
        while try await fixture.database.linkSessions.purgeExpired() > 0 {}
        #expect(try await count("link_session") == 0)
        #expect(try await count("pending_authorization") == 0)
    }

    @Test func `security 106: a session has a bounded number of requests out`() async throws {
        let fixture = try Fixture()
        let session = try await begun(fixture, state: "0")
        for number in 1..<20 {
            fixture.time.advance(by: .seconds(1))
            try await begin(fixture, session.id, state: "\(number)")
        }
        var open: [Int] = []
        for number in 0..<20 where try await consume(fixture, state: "\(number)") != nil { open.append(number) }
        #expect(open == Array(12..<20))
    }

    @Test func `security 3: expired sessions are swept an hour later, with their requests`() async throws {
        let fixture = try Fixture()
        let session = try await begun(fixture)
        fixture.time.advance(by: .seconds(600 + 3599))
        #expect(try await fixture.database.linkSessions.purgeExpired() == 0)
        fixture.time.advance(by: .seconds(1))
        #expect(try await fixture.database.linkSessions.purgeExpired() == 1)
        #expect(try await fixture.database.linkSessions.session(session.id) == nil)
        let left = try await fixture.database.maintain { db in
            try db.first("SELECT count(*) FROM pending_authorization")?.int(0)
        }
        #expect(left == 0)
    }
}
