import Accounts
import Dispatch
import Linking
import OAuth
import Providers
import Synchronization
import TestSupport
import Testing
import Transfer

@testable import Store

@Suite(.timeLimit(.minutes(10))) struct AccessTokensTests {
    let time = VirtualTime()
    let fixture: Fixture

    init() throws { fixture = try Fixture(time: time) }

    private func token(
        _ id: AccountID, _ provider: ProviderID = alpha, minTTL: Duration = .seconds(60),
        from instance: Fixture.Instance? = nil
    ) async throws -> StoredCredential {
        try await (instance ?? fixture.main).tokens.token(
            for: id, provider: try fixture.provider(provider), minTTL: minTTL)
    }

    // MARK: - When a request is made

    @Test func `hands out a fresh token without a request`() async throws {
        let id = try await fixture.link(fixture.credential(lifetime: .seconds(3600)))
        let stored = try await token(id)
        #expect(stored.credential.accessToken.text == "EXAMPLE-access-1")
        #expect(stored.generation == 1)
        #expect(fixture.transport.requests.isEmpty)
    }

    @Test func `a provider without the grant is asked for no refresh`() async throws {
        let fixture = try Fixture(
            time: time,
            manifests: [
                "alpha": Manifests.alpha.replacing("refresh: {", with: "grants: [authorization_code], refresh: {")
            ], instances: [Manifests.instance("alpha")])
        let provider = try fixture.provider()
        #expect(provider.grants == ["authorization_code"])
        let live = try await fixture.link(fixture.credential(lifetime: .seconds(30)))
        let stored = try await fixture.tokens.token(for: live, provider: provider, minTTL: .seconds(60))
        #expect(stored.generation == 1)
        let expired = try await fixture.link(fixture.credential(), subject: "2")
        // Our clock alone says that it has expired: the provider's answer decides.
        let asIs = try await fixture.tokens.token(for: expired, provider: provider, minTTL: .seconds(60))
        #expect(asIs.generation == 1)
        #expect(try await fixture.account(expired).status == .active)
        let error = await #expect(throws: AccessTokenError.self) {
            try await fixture.tokens.renew(after: asIs, for: expired, provider: provider, urgency: .background)
        }
        #expect(error?.problemCode == .refreshExpired)
        await #expect(throws: AccessTokenError.self) {
            try await fixture.tokens.renew(after: stored, for: live, provider: provider, urgency: .background)
        }
        #expect(fixture.transport.requests.isEmpty)
    }

    @Test func `quirk D11: a token that never expires is never refreshed`() async throws {
        let id = try await fixture.link(fixture.credential(lifetime: nil))
        #expect(try await token(id, minTTL: .seconds(86_400)).generation == 1)
        #expect(fixture.transport.requests.isEmpty)
    }

    @Test func `refreshes an expired token once`() async throws {
        let id = try await fixture.link(fixture.credential())
        for _ in 0..<3 {
            let stored = try await token(id)
            #expect(stored.credential.accessToken.text == "EXAMPLE-access-2")
            #expect(stored.generation == 2)
        }
        #expect(fixture.tokenRequests.count == 1)
        let sent = try #require(fixture.tokenRequests.first)
        #expect(sent.form["grant_type"] == "refresh_token")
        #expect(sent.form["refresh_token"] == "EXAMPLE-refresh-1")
        #expect(sent.redirects == .refuse)
        let stored = try await fixture.stored(id)
        #expect(stored.credential.refreshToken?.text == "EXAMPLE-refresh-2")
        #expect(stored.refreshInDoubtSince == nil)
    }

    @Test func `security 43: a lifetime counts from before the request was sent`() async throws {
        let id = try await fixture.link(fixture.credential())
        let asked = time.now()
        fixture.site.on("/token") { [time, site = fixture.site] _ in
            time.advance(by: .seconds(20))
            return site.nextTokens(lifetime: 3600)
        }
        #expect(try await token(id).credential.expiresAt == asked + .seconds(3600))
    }

    @Test func `refreshes a token that ends before the caller is done with it`() async throws {
        let id = try await fixture.link(fixture.credential(lifetime: .seconds(300)))
        #expect(try await token(id, minTTL: .seconds(200)).generation == 1)
        #expect(try await token(id, minTTL: .seconds(300)).generation == 2)
        #expect(fixture.tokenRequests.count == 1)
    }

    @Test func `quirk E14: a token is refreshed once it has expired or was refused, where the provider wants it so`()
        async throws
    {
        let fixture = try Fixture(
            time: time,
            manifests: ["alpha": Manifests.alpha.replacing("refresh: {", with: "refresh: {trigger: refusal, ")],
            instances: [Manifests.instance("alpha")])
        let provider = try fixture.provider()
        func token(_ id: AccountID) async throws -> StoredCredential {
            try await fixture.tokens.token(for: id, provider: provider, minTTL: .seconds(3600))
        }
        let id = try await fixture.link(fixture.credential(lifetime: .seconds(30)))
        let held = try await token(id)
        #expect(held.generation == 1 && fixture.tokenRequests.isEmpty)
        let renewed = try await fixture.tokens.renew(
            after: held, for: id, provider: provider, urgency: .background)
        #expect(renewed.generation == 2)
        let expired = try await fixture.link(fixture.credential(), subject: "2")
        #expect(try await token(expired).generation == 2)
    }

    @Test(arguments: [0, 1, 5]) func `security 66: a provider of very short tokens is not asked without end`(
        lifetime: Int
    ) async throws {
        fixture.site.on("/token") { [site = fixture.site] _ in site.nextTokens(lifetime: lifetime) }
        let id = try await fixture.link(fixture.credential())
        for _ in 0..<10 { _ = try await token(id, minTTL: .seconds(3600)) }
        #expect(fixture.tokenRequests.count == 1)
        #expect(try await fixture.account(id).status == .active)
    }

    @Test func `security 68: a clock that jumps a day neither traps nor ends a grant`() async throws {
        let id = try await fixture.link(fixture.credential(lifetime: .seconds(3600)))
        let now = time.now()
        time.jump(to: now - .seconds(86_400))
        #expect(try await token(id).generation == 1)
        time.jump(to: now + .seconds(86_400))
        #expect(try await token(id).generation == 2)
        time.jump(to: now)
        #expect(try await token(id).generation == 2)
        #expect(try await fixture.account(id).status == .active)
    }

    // MARK: - One at a time

    @Test func `security 60: a hundred callers of one expired token make one request`() async throws {
        let id = try await fixture.link(fixture.credential())
        let barrier = Barrier()
        fixture.site.on("/token") { [site = fixture.site] _ in
            await barrier.pass()
            return site.nextTokens()
        }
        let tokens = try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<100 {
                group.addTask { try await self.token(id).credential.accessToken.text }
            }
            await barrier.arrivals()
            barrier.open()
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(tokens == Array(repeating: "EXAMPLE-access-2", count: 100))
        #expect(fixture.tokenRequests.count == 1)
    }

    /// Idle: the access token has no end, so nothing else would use the refresh token.
    @Test func `security 67: a refresh token near its end is used, and a new one in its place is left alone`()
        async throws
    {
        let day = Duration.seconds(86_400)
        let id = try await fixture.link(fixture.credential(lifetime: nil, refreshLifetime: day * 60))
        time.advance(by: day * 52)
        #expect(try await token(id).generation == 1)
        time.advance(by: day * 1.5)
        fixture.site.on(
            "/token", 200, [:],
            #"{"access_token":"EXAMPLE-a","token_type":"Bearer","refresh_token":"EXAMPLE-r","refresh_token_expires_in":5184000}"#
        )
        #expect(try await token(id).credential.refreshToken?.text == "EXAMPLE-r")
        for _ in 0..<10 { #expect(try await token(id).generation == 2) }
        #expect(fixture.tokenRequests.count == 1)
    }

    @Test func `security 67: an end that no refresh moves costs a few refreshes, and no account`() async throws {
        let id = try await fixture.link(fixture.credential(lifetime: nil, refreshLifetime: .seconds(7 * 86_400)))
        fixture.site.on("/token", 200, [:], #"{"access_token":"EXAMPLE-a","token_type":"Bearer"}"#)
        for _ in 0..<(7 * 24) {
            _ = try await token(id)
            time.advance(by: .seconds(3600))
        }
        #expect((1...6).contains(fixture.tokenRequests.count), "\(fixture.tokenRequests.count)")
        #expect(try await fixture.account(id).status == .active)
    }

    @Test func `security 60: two processes on one database make one request`() async throws {
        let id = try await fixture.link(fixture.credential())
        let other = try fixture.another()
        let barrier = Barrier()
        fixture.site.on("/token") { [site = fixture.site] _ in
            await barrier.pass()
            return site.nextTokens()
        }
        async let first = token(id)
        await barrier.arrivals()
        async let second = token(id, from: other)
        await time.sleepers(atLeast: 1)
        barrier.open()
        let one = try await first
        time.advance(by: .seconds(1))
        #expect(try await second == one)
        #expect(one.credential.accessToken.text == "EXAMPLE-access-2")
        #expect(fixture.tokenRequests.count == 1)
    }

    @Test func `a process that died holding the lease delays the refresh no longer than the lease`() async throws {
        let fixture = try Fixture(time: SkippingTime())
        let id = try await fixture.link(fixture.credential())
        let began = fixture.time.now()
        let begun = try await fixture.database.credentials.beginRefresh(id, owner: "dead", lease: .seconds(60))
        guard case .claimed(_, wasInDoubt: false) = begun else {
            Issue.record("not claimed: \(begun)")
            return
        }
        let stored = try await fixture.tokens.token(for: id, provider: try fixture.provider(), minTTL: .zero)
        #expect(stored.credential.accessToken.text == "EXAMPLE-access-2")
        let waited = fixture.time.now() - began
        #expect(waited >= .seconds(60) && waited <= .seconds(62))
    }

    @Test func `a caller who leaves does not cut short what others wait for`() async throws {
        let id = try await fixture.link(fixture.credential())
        let barrier = Barrier()
        fixture.site.on("/token") { [site = fixture.site] _ in
            await barrier.pass()
            return Task.isCancelled ? .failure(.cancelled) : site.nextTokens()
        }
        let leaver = Task { try await self.token(id) }
        await barrier.arrivals()
        async let stayer = token(id)
        leaver.cancel()
        barrier.open()
        #expect(try await stayer.credential.accessToken.text == "EXAMPLE-access-2")
        #expect(fixture.tokenRequests.count == 1)
        #expect(try await fixture.stored(id).credential.refreshToken?.text == "EXAMPLE-refresh-2")
    }

    // MARK: - Custody

    @Test func `security 61: the intent is on disk before the request leaves`() async throws {
        let id = try await fixture.link(fixture.credential())
        let seen = Mutex<(intent: Int64?, owner: String?)>((nil, nil))
        let began = time.now()
        fixture.site.on("/token") { [unowned fixture] _ in
            do {
                // Opened now: it sees what is in the file and nothing else.
                let other = try fixture.another("looks on").database
                let row = try await other.maintain { db in
                    try db.first("SELECT refresh_started_at, lease_owner FROM credential").map {
                        (try $0.int64(0), try $0.text(1))
                    }
                }
                if let row { seen.withLock { $0 = row } }
            } catch { Issue.record(error) }
            return fixture.site.nextTokens()
        }
        _ = try await token(id)
        #expect(seen.withLock { $0.intent } == began.millisecondsSinceEpoch)
        #expect(seen.withLock { $0.owner } == "one")
    }

    @Test func `security 61: nobody gets new tokens before they are committed`() async throws {
        let id = try await fixture.link(fixture.credential())
        let lock = WriteLock(on: try fixture.another("stops writers").database)
        let mine = try fixture.another("one", busyTimeout: .milliseconds(20))
        fixture.site.on("/token") { [unowned fixture] _ in
            await lock.take()
            return fixture.site.nextTokens()
        }
        let handedOut = Mutex(false)
        let caller = Task {
            defer { handedOut.withLock { $0 = true } }
            return try await token(id, from: mine)
        }
        // The first attempt to commit has failed: the tokens are kept and tried again.
        await time.sleepers(atLeast: 1)
        #expect(!handedOut.withLock { $0 })
        #expect(try await fixture.stored(id).credential.accessToken.text == "EXAMPLE-access-1")
        try await lock.release()
        time.advance(by: .seconds(5))
        #expect(try await caller.value.credential.accessToken.text == "EXAMPLE-access-2")
        #expect(try await fixture.stored(id).credential.refreshToken?.text == "EXAMPLE-refresh-2")
        #expect(fixture.tokenRequests.count == 1)
    }

    @Test func `tokens that can't be stored are handed to nobody`() async throws {
        let fixture = try Fixture(time: SkippingTime())
        let id = try await fixture.link(fixture.credential())
        let lock = WriteLock(on: try fixture.another("stops writers").database)
        let mine = try fixture.another("one", busyTimeout: .milliseconds(5))
        fixture.site.on("/token") { [unowned fixture] _ in
            await lock.take()
            return fixture.site.nextTokens()
        }
        let provider = try fixture.provider()
        let began = fixture.time.now()
        await #expect(throws: AccessTokenError.store(.locked)) {
            try await mine.tokens.token(for: id, provider: provider, minTTL: .zero)
        }
        #expect(fixture.time.now() - began < .seconds(60))
        try await lock.release()
        // The intent still says that the refresh token may be spent.
        try await fixture.time.sleep(for: .seconds(121))
        #expect(try await fixture.stored(id).refreshInDoubtSince != nil)
    }

    @Test func `security 62: keeps the old refresh token when the response has none`() async throws {
        for body in [
            #"{"access_token":"EXAMPLE-access-9","token_type":"Bearer","expires_in":60}"#,
            #"{"access_token":"EXAMPLE-access-9","token_type":"Bearer","expires_in":60,"refresh_token":""}"#,
            #"{"access_token":"EXAMPLE-access-9","token_type":"Bearer","expires_in":60,"refresh_token":null}"#,
        ] {
            let fixture = try Fixture()
            fixture.site.on("/token", 200, [:], body)
            let id = try await fixture.link(fixture.credential(refreshLifetime: .seconds(86_400)))
            let stored = try await fixture.tokens.token(
                for: id, provider: try fixture.provider(), minTTL: .zero)
            #expect(stored.credential.accessToken.text == "EXAMPLE-access-9")
            for credential in [stored.credential, try await fixture.stored(id).credential] {
                #expect(credential.refreshToken?.text == "EXAMPLE-refresh-1")
                #expect(credential.refreshTokenExpiresAt == fixture.time.now() + .seconds(86_400))
            }
        }
    }

    @Test func `security 41: stores the scopes of the answer, and keeps those held where it names none`() async throws {
        let id = try await fixture.link(fixture.credential(scopes: ["profile", "email"]))
        fixture.site.on(
            "/token", 200, [:],
            #"{"access_token":"EXAMPLE-access-2","token_type":"Bearer","expires_in":1,"scope":"profile"}"#)
        #expect(try await token(id).credential.scopes.map(\.rawValue) == ["profile"])
        #expect(try await fixture.account(id).scopes.map(\.rawValue) == ["profile"])
        fixture.site.on(
            "/token", 200, [:], #"{"access_token":"EXAMPLE-access-3","token_type":"Bearer","expires_in":3600}"#)
        time.advance(by: .seconds(60))
        #expect(try await token(id).credential.accessToken.text == "EXAMPLE-access-3")
        #expect(try await fixture.account(id).scopes.map(\.rawValue) == ["profile"])
    }

    // MARK: - The grant is refused

    @Test func `security 63: invalid_grant means a relink, and no request after it`() async throws {
        let id = try await fixture.link(fixture.credential())
        fixture.site.on("/token", 400, [:], #"{"error":"invalid_grant"}"#)
        for _ in 0..<3 {
            await #expect {
                try await token(id)
            } throws: { error in
                guard case .relink(.consentRevoked, _) = error as? AccessTokenError else { return false }
                return true
            }
        }
        let account = try await fixture.account(id)
        #expect(account.status == .needsRelink)
        #expect(account.problem?.code == .consentRevoked)
        #expect(account.nextSyncAt == nil)
        #expect(fixture.tokenRequests.count == 1)
        #expect(try await fixture.stored(id).refreshInDoubtSince == nil)
    }

    @Test func `a newer credential outweighs invalid_grant`() async throws {
        let id = try await fixture.link(fixture.credential())
        fixture.site.on("/token") { [unowned fixture] _ in
            do {
                // The user has linked again while the request was on its way.
                _ = try await fixture.link(
                    fixture.credential(
                        access: "EXAMPLE-access-relinked", refresh: "EXAMPLE-refresh-relinked", lifetime: .seconds(3600)
                    ))
            } catch { Issue.record(error) }
            return .json(400, body: #"{"error":"invalid_grant"}"#)
        }
        let stored = try await token(id)
        #expect(stored.credential.accessToken.text == "EXAMPLE-access-relinked")
        #expect(stored.generation == 2)
        let account = try await fixture.account(id)
        #expect(account.status == .active)
        #expect(account.problem == nil)
    }

    @Test func `a newer credential outweighs the answer to a refresh that began before it`() async throws {
        let id = try await fixture.link(fixture.credential())
        fixture.site.on("/token") { [unowned fixture] _ in
            do {
                _ = try await fixture.link(
                    fixture.credential(
                        access: "EXAMPLE-access-relinked", refresh: "EXAMPLE-refresh-relinked", lifetime: .seconds(3600)
                    ))
            } catch { Issue.record(error) }
            return fixture.site.nextTokens()
        }
        #expect(try await token(id).credential.accessToken.text == "EXAMPLE-access-relinked")
        #expect(try await fixture.stored(id).credential.refreshToken?.text == "EXAMPLE-refresh-relinked")
    }

    @Test func `security 61: invalid_grant after a request that was cut off means a lost rotation`() async throws {
        let id = try await fixture.link(fixture.credential())
        fixture.site.fail("/token", .timedOut(host: "alpha.example"))
        await #expect(throws: AccessTokenError.request(.transfer(.timedOut(host: "alpha.example")))) {
            try await token(id)
        }
        #expect(try await fixture.stored(id).refreshInDoubtSince != nil)
        #expect(try await fixture.account(id).status == .active)

        fixture.site.on("/token", 400, [:], #"{"error":"invalid_grant"}"#)
        await #expect {
            try await token(id)
        } throws: {
            guard case .relink(.rotationLost, _) = $0 as? AccessTokenError else { return false }
            return true
        }
        #expect(try await fixture.account(id).problem?.code == .rotationLost)
    }

    @Test func `a refresh in doubt is tried again at once, and a success ends the doubt`() async throws {
        let id = try await fixture.link(fixture.credential())
        fixture.site.fail("/token", .timedOut(host: "alpha.example"))
        _ = try? await token(id)  // Its failure is another test's matter.
        fixture.site.on("/token") { [site = fixture.site] _ in site.nextTokens() }
        #expect(try await token(id).credential.accessToken.text == "EXAMPLE-access-2")
        #expect(try await fixture.stored(id).refreshInDoubtSince == nil)
    }

    @Test func `security 61: quirk E3: after a crash the old refresh token is tried once more`() async throws {
        let id = try await fixture.link(fixture.credential(lifetime: .seconds(3600)))
        _ = try await fixture.database.credentials.beginRefresh(id, owner: "killed", lease: .seconds(60))
        time.advance(by: .seconds(61))
        let started = try fixture.another("three")
        await started.tokens.recoverInDoubt()
        #expect(fixture.tokenRequests.map { $0.form["refresh_token"] } == ["EXAMPLE-refresh-1"])
        let stored = try await fixture.stored(id)
        #expect(stored.credential.refreshToken?.text == "EXAMPLE-refresh-2")
        #expect(stored.refreshInDoubtSince == nil)
        await started.tokens.recoverInDoubt()
        #expect(fixture.tokenRequests.count == 1)
    }

    @Test func `security 61: after a crash invalid_grant means a lost rotation`() async throws {
        let id = try await fixture.link(fixture.credential(lifetime: .seconds(3600)))
        _ = try await fixture.database.credentials.beginRefresh(id, owner: "killed", lease: .seconds(60))
        time.advance(by: .seconds(61))
        fixture.site.on("/token", 400, [:], #"{"error":"invalid_grant"}"#)
        await (try fixture.another("three")).tokens.recoverInDoubt()
        let account = try await fixture.account(id)
        #expect(account.status == .needsRelink)
        #expect(account.problem?.code == .rotationLost)
    }

    @Test func `recovery leaves alone accounts of providers that are gone or dead`() async throws {
        let id = try await fixture.link(fixture.credential(), provider: ProviderID("gone")!)
        let dead = try await fixture.link(fixture.credential(), subject: "1")
        for account in [id, dead] {
            _ = try await fixture.database.credentials.beginRefresh(account, owner: "killed", lease: .seconds(60))
        }
        time.advance(by: .seconds(61))
        _ = try await fixture.database.accounts.markNeedsRelink(
            dead, generation: 1, code: .consentRevoked, detail: "EXAMPLE")
        await fixture.tokens.recoverInDoubt()
        #expect(fixture.transport.requests.isEmpty)
    }

    @Test func `quirk E13: invalid_grant past the refresh token's end means that it expired`() async throws {
        let id = try await fixture.link(fixture.credential(refreshLifetime: .seconds(-1)))
        fixture.site.on("/token", 400, [:], #"{"error":"invalid_grant"}"#)
        await #expect {
            try await token(id)
        } throws: {
            guard case .relink(.refreshExpired, _) = $0 as? AccessTokenError else { return false }
            return true
        }
        #expect(try await fixture.account(id).problem?.code == .refreshExpired)
    }

    @Test func `quirk E18: a token without a refresh token is used to its end`() async throws {
        let id = try await fixture.link(fixture.credential(refresh: nil, lifetime: .seconds(30)))
        #expect(try await token(id, minTTL: .seconds(600)).generation == 1)
        #expect(try await fixture.account(id).status == .active)
    }

    // MARK: - The grant is not at fault

    static let setbacks: [(String, ScriptedTransport.Answer, inDoubt: Bool)] = [
        ("503", .json(503, body: "{}"), true),
        ("500 that says invalid_grant", .json(500, body: #"{"error":"invalid_grant"}"#), true),
        ("429", .json(429, body: "{}"), false),
        ("a page", .json(200, ["Content-Type": "text/html"], "<html>"), true),
        ("not JSON", .json(200, body: "{"), true),
        ("no token", .json(200, body: #"{"token_type":"Bearer"}"#), true),
        ("another token type", .json(200, body: #"{"access_token":"EXAMPLE","token_type":"mac"}"#), true),
        ("a redirect", .json(307, ["Location": "https://evil.example/token"], ""), false),
        ("an unknown error", .json(400, body: #"{"error":"EXAMPLE"}"#), false),
        ("a time-out", .failure(.timedOut(host: "alpha.example")), true),
        ("a refused connection", .failure(.connectionFailed(host: "alpha.example")), false),
        ("a cut connection", .failure(.malformedResponse(reason: "cut short")), true),
        ("an unknown host", .failure(.nameNotResolved(host: "alpha.example")), false),
        ("a bad certificate", .failure(.tlsFailed(host: "alpha.example", reason: "expired")), false),
    ]

    @Test(arguments: setbacks.indices) func `security 63: a setback keeps token and account`(index: Int) async throws {
        let (name, answer, inDoubt) = Self.setbacks[index]
        for rotates in [true, false] {
            let provider = rotates ? alpha : beta
            let fixture = try Fixture()
            let id = try await fixture.link(fixture.credential(), provider: provider)
            fixture.site.on("/token") { _ in answer }
            let asked = try fixture.provider(provider)
            do throws(AccessTokenError) {
                _ = try await fixture.tokens.token(for: id, provider: asked, minTTL: .zero)
                Issue.record("\(name) yields a token")
            } catch {
                switch error.disposition {
                case .retry, .wait: break
                default: Issue.record("\(name): \(error)")
                }
            }
            let account = try await fixture.account(id)
            #expect(account.status == .active, "\(name)")
            #expect(account.problem == nil, "\(name)")
            let stored = try await fixture.stored(id)
            #expect(stored.credential.refreshToken?.text == "EXAMPLE-refresh-1")
            #expect(stored.generation == 1)
            // Whatever the manifest says of rotation: the provider may rotate all the same.
            #expect((stored.refreshInDoubtSince != nil) == inDoubt, "\(name)")
        }
    }

    @Test(arguments: ["invalid_client", "unauthorized_client"])
    func `security 63: a refused registration pauses the provider and no account`(code: String) async throws {
        let id = try await fixture.link(fixture.credential())
        let second = try await fixture.link(fixture.credential(), subject: "2")
        fixture.site.on("/token", 401, [:], #"{"error":"\#(code)"}"#)
        await #expect(throws: AccessTokenError.answer(.registrationRefused, word: code)) { try await token(id) }
        await #expect {
            try await token(second)
        } throws: {
            guard case .request(.paused) = $0 as? AccessTokenError else { return false }
            return true
        }
        #expect(fixture.tokenRequests.count == 1)
        for account in [id, second] {
            #expect(try await fixture.account(account).status == .active)
            #expect(try await fixture.stored(account).refreshInDoubtSince == nil)
        }
        #expect(try await fixture.database.schedule.providerPauses().map(\.provider) == [alpha])
    }

    @Test(arguments: ["invalid_scope", "invalid_request"])
    func `a refused request holds up no other account`(code: String) async throws {
        let id = try await fixture.link(fixture.credential())
        let second = try await fixture.link(fixture.credential(), subject: "2")
        fixture.site.on("/token", 400, [:], #"{"error":"\#(code)"}"#)
        await #expect(throws: AccessTokenError.answer(.requestRefused, word: code)) { try await token(id) }
        await #expect(throws: AccessTokenError.answer(.requestRefused, word: code)) { try await token(second) }
        #expect(fixture.tokenRequests.count == 2)
        #expect(try await fixture.account(id).status == .active)
        #expect(try await fixture.database.schedule.providerPauses().isEmpty)
    }

    @Test func `a crash does not make a reusable refresh token a lost rotation`() async throws {
        let id = try await fixture.link(fixture.credential(), provider: beta)
        _ = try await fixture.database.credentials.beginRefresh(id, owner: "killed", lease: .seconds(60))
        time.advance(by: .seconds(61))
        fixture.site.on("/token", 400, [:], #"{"error":"invalid_grant"}"#)
        await fixture.tokens.recoverInDoubt()
        #expect(try await fixture.account(id).problem?.code == .consentRevoked)
    }

    @Test func `security 89: a damaged credential is reported as such, with nothing sent`() async throws {
        let id = try await fixture.link(fixture.credential())
        try await fixture.database.maintain { db in
            try db.run("UPDATE credential SET access_token = zeroblob(80)")
        }
        await #expect(throws: AccessTokenError.damaged) { try await token(id) }
        #expect(fixture.transport.requests.isEmpty)
        #expect(AccessTokenError.damaged.problemCode == .credentialDamaged)
    }

    // MARK: - Unlinked

    @Test func `there is no token for an account that is gone`() async throws {
        let id = try await fixture.link(fixture.credential())
        _ = try await fixture.database.accounts.unlink(id)
        await #expect(throws: AccessTokenError.gone) { try await token(id) }
    }

    @Test func `security 69: a token that arrives after its account was unlinked is revoked and not stored`()
        async throws
    {
        let id = try await fixture.link(fixture.credential())
        fixture.site.on("/revoke", 200)
        fixture.site.on("/token") { [unowned fixture] _ in
            do { _ = try await fixture.database.accounts.unlink(id) } catch { Issue.record(error) }
            return fixture.site.nextTokens()
        }
        await #expect(throws: AccessTokenError.gone) { try await token(id) }
        #expect(fixture.requests("/revoke").map { $0.form["token"] } == ["EXAMPLE-refresh-2", "EXAMPLE-access-2"])
        #expect(try await fixture.database.credentials.read(id) == nil)
        // What is left in the outbox is the old credential's, which `unlink` put there.
        #expect(try await fixture.database.revocations.count() == 1)
    }

    @Test func `security 69: a late token that can't be revoked now waits in the outbox`() async throws {
        let id = try await fixture.link(fixture.credential())
        fixture.site.on("/revoke", 503)
        fixture.site.on("/token") { [unowned fixture] _ in
            do { _ = try await fixture.database.accounts.unlink(id) } catch { Issue.record(error) }
            return fixture.site.nextTokens()
        }
        await #expect(throws: AccessTokenError.gone) { try await token(id) }
        #expect(try await fixture.database.revocations.count() == 2)
    }

    // MARK: - After a 401

    @Test func `renewing yields a newer credential without a request`() async throws {
        let id = try await fixture.link(fixture.credential(lifetime: .seconds(3600)))
        let rejected = try await fixture.stored(id)
        _ = try await fixture.link(
            fixture.credential(access: "EXAMPLE-access-relinked", lifetime: .seconds(3600)))
        let stored = try await fixture.tokens.renew(
            after: rejected, for: id, provider: try fixture.provider(), urgency: .background)
        #expect(stored.credential.accessToken.text == "EXAMPLE-access-relinked")
        #expect(fixture.transport.requests.isEmpty)
    }

    @Test func `renewing refreshes a token that looked good`() async throws {
        let id = try await fixture.link(fixture.credential(lifetime: .seconds(3600)))
        let stored = try await fixture.tokens.renew(
            after: try await fixture.stored(id), for: id, provider: try fixture.provider(), urgency: .background)
        #expect(stored.generation == 2)
        #expect(fixture.tokenRequests.count == 1)
    }

    @Test func `quirk E11: renewing without a refresh token means a relink`() async throws {
        let id = try await fixture.link(fixture.credential(refresh: nil, lifetime: nil))
        await #expect {
            try await fixture.tokens.renew(
                after: try await fixture.stored(id), for: id, provider: try fixture.provider(), urgency: .background)
        } throws: {
            guard case .relink(.consentRevoked, _) = $0 as? AccessTokenError else { return false }
            return true
        }
        #expect(try await fixture.account(id).problem?.code == .consentRevoked)
    }
}

/// Keeps every other connection from writing.
final class WriteLock: Sendable {
    private let database: Database
    private let released = DispatchSemaphore(value: 0)
    private let holder = Mutex<Task<Void, any Error>?>(nil)

    init(on database: Database) { self.database = database }

    func take() async {
        let (taken, signal) = AsyncStream<Void>.makeStream()
        holder.withLock { holder in
            holder = Task { [database, released] in
                defer { signal.finish() }
                try await database.maintain { db in
                    try db.run("BEGIN IMMEDIATE")
                    signal.finish()
                    // On the connection's own thread, which has nothing else to do.
                    released.wait()
                    try db.run("ROLLBACK")
                }
            }
        }
        for await _ in taken {}
    }

    func release() async throws {
        released.signal()
        try await holder.withLock { $0 }?.value
    }
}
