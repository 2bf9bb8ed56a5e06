import Accounts
import Foundation
import JSON
import Linking
import Providers
import Store
import Synchronization
import TestSupport
import Testing
import Transfer

@testable import Sync

@Suite(.timeLimit(.minutes(10))) struct AccountSyncTests {
    private func run(_ fixture: Fixture, _ id: AccountID) async throws -> SyncOutcome {
        await fixture.engine().accountSync.run(try await fixture.claim(id))
    }

    private func failure(_ outcome: SyncOutcome) throws -> SyncFailure {
        guard case .failed(let failure) = outcome else {
            throw StoreError.inconsistent("expected a failure, not \(outcome)")
        }
        return failure
    }

    private func tokens(of credential: Credential) -> [String] {
        [credential.refreshToken, credential.accessToken].compactMap { $0?.reveal { $0 } }
    }

    // MARK: - What the provider says of the profile

    @Test func `a changed profile moves version and changed_at and is one entry of the feed`() async throws {
        let fixture = try Fixture()
        let id = try await fixture.link()
        let before = try fixture.document(id)
        let entries = try await fixture.changes().count
        fixture.time.advance(by: .seconds(3600))
        fixture.rename(to: "hexacat")

        #expect(try await run(fixture, id) == .updated)

        let after = try fixture.document(id)
        #expect(after.version == before.version + 1)
        #expect(after.changedAt == fixture.time.now())
        #expect(after.fetchedAt == fixture.time.now())
        #expect(after.etag != before.etag)
        #expect(String(decoding: after.bytes, as: UTF8.self).contains("hexacat"))
        let changes = try await fixture.changes().dropFirst(entries)
        #expect(changes.map(\.kind) == [.profileUpdated])
        #expect(changes.first?.version == after.version)
        #expect(changes.first?.at == fixture.time.now())
        let patch = try JSONValue(parsing: try #require(changes.first?.patch))
        #expect(
            patch.array?.compactMap { $0["path"]?.string }.sorted() == [
                "/claims/preferred_username", "/raw/user/login",
            ]
        )
        #expect(try await fixture.state(id).leaseUntil == nil)
    }

    @Test(arguments: [true, false])
    func `an unchanged profile moves nothing but fetched_at`(byETag: Bool) async throws {
        let fixture = try Fixture()
        fixture.world.state.withLock { $0.sendsETags = byETag }
        let id = try await fixture.link()
        let before = try fixture.document(id)
        let entries = try await fixture.changes()
        fixture.time.advance(by: .seconds(3600))
        // Not content: the manifest calls it volatile.
        fixture.world.state.withLock { $0.visits = 99 }

        #expect(try await run(fixture, id) == .unchanged)

        let after = try fixture.document(id)
        #expect(after.version == before.version)
        #expect(after.changedAt == before.changedAt)
        #expect(after.fetchedAt == fixture.time.now())
        #expect(!String(decoding: after.bytes, as: UTF8.self).contains("99"))
        #expect(try await fixture.changes() == entries)
        #expect(fixture.profileRequests.map { $0.fields["if-none-match"] } == [byETag ? "\"octocat\"" : nil])
        let account = try await fixture.account(id)
        #expect(account.syncedAt == fixture.time.now())
        #expect(account.problem == nil)
        let next = try #require(account.nextSyncAt) - fixture.time.now()
        #expect((.seconds(20_520)...(.seconds(22_680))).contains(next))
    }

    @Test func `the validator of the newest answer is sent next`() async throws {
        let fixture = try Fixture()
        fixture.world.state.withLock { $0.sendsETags = true }
        let id = try await fixture.link()
        fixture.rename(to: "hexacat")
        #expect(try await run(fixture, id) == .updated)
        #expect(try await run(fixture, id) == .unchanged)
        #expect(fixture.profileRequests.map { $0.fields["if-none-match"] } == ["\"octocat\"", "\"hexacat\""])
    }

    @Test func `the first sync of an imported account makes its profile`() async throws {
        let fixture = try Fixture()
        let imported = ImportedAccount(
            userID: try #require(UserID("user-1")), provider: try fixture.provider("alpha").id,
            subject: try #require(Subject("1")), credential: try fixture.credential(), nextSyncAt: fixture.time.now())
        guard case .created(let id) = try await fixture.database.accounts.importAccounts([imported]).first else {
            throw StoreError.inconsistent("not imported")
        }
        #expect(try await run(fixture, id) == .updated)
        #expect(try fixture.document(id).version == 1)
        #expect(try await fixture.changes().map(\.kind) == [.accountLinked, .profileCreated])
    }

    @Test func `a success clears the problem and the count of failures`() async throws {
        let fixture = try Fixture()
        let id = try await fixture.link()
        fixture.nextProfile(500)
        _ = try await run(fixture, id)
        #expect(try await fixture.account(id).problem != nil)
        #expect(try await run(fixture, id) == .unchanged)
        #expect(try await fixture.account(id).problem == nil)
        #expect(try await fixture.state(id).failures == 0)
    }

    @Test func `max-age puts the next sync off, within the promise`() async throws {
        let fixture = try Fixture()
        let id = try await fixture.link()
        fixture.nextProfile(200, ["cache-control": "private, max-age=43200"], #"{"id":"1","login":"octocat"}"#)
        #expect(try await run(fixture, id) == .unchanged)
        let next = try #require(try await fixture.state(id).nextSyncAt) - fixture.time.now()
        #expect(next >= .seconds(41_040) && next <= .seconds(45_360))
    }

    // MARK: - Tokens

    @Test func `quirk G11: a 401 is answered by one renewal and one retry`() async throws {
        let fixture = try Fixture()
        let id = try await fixture.link()
        fixture.nextProfile(401)
        #expect(try await run(fixture, id) == .unchanged)
        #expect(fixture.tokenRequests.count == 1)
        #expect(fixture.profileRequests.count == 2)
        #expect(
            fixture.profileRequests.map { $0.credentials.first?.value } == [
                "Bearer EXAMPLE-access-1-1", "Bearer EXAMPLE-access-1-2",
            ])
        #expect(try await fixture.account(id).status == .active)
    }

    @Test func `security 65: a second 401 means that consent was revoked, and is not tried a third time`() async throws
    {
        let fixture = try Fixture()
        let id = try await fixture.link()
        let before = try fixture.document(id)
        fixture.time.advance(by: .seconds(1800))
        fixture.nextProfile(401)
        fixture.nextProfile(401)
        let failure = try failure(try await run(fixture, id))
        #expect(failure.disposition == .relink(.consentRevoked))
        #expect(fixture.tokenRequests.count == 1)
        #expect(fixture.profileRequests.count == 2)
        let account = try await fixture.account(id)
        #expect(account.status == .needsRelink)
        #expect(account.nextSyncAt == nil)
        #expect(account.problem?.code == .consentRevoked)
        #expect(account.problem?.action == .user)
        #expect(account.problem?.nextAttemptAt == nil)
        #expect(try await fixture.changes().map(\.kind) == [.accountLinked, .profileCreated, .accountNeedsRelink])
        // The cached profile is kept and tells its age.
        let after = try fixture.document(id)
        #expect(after == before)
        #expect(account.syncedAt == before.fetchedAt && account.problem?.since == fixture.time.now())
    }

    @Test func `quirk E16: a new token that is refused at first costs no grant`() async throws {
        let settling = Fixture.alpha.replacing("rotation: single_use", with: "rotation: single_use, settling: 10s")
        let fixture = try Fixture(manifests: [settling])
        let id = try await fixture.link()
        fixture.time.advance(by: .seconds(1800))
        // The token is refused and refreshed; the new one is not known everywhere yet.
        fixture.nextProfile(401)
        fixture.nextProfile(401)
        let failure = try failure(try await run(fixture, id))
        #expect(failure.disposition == .retry)
        #expect(fixture.tokenRequests.count == 1)
        #expect(try await fixture.account(id).status == .active)
        // Once it has settled, a refusal is a refusal.
        fixture.time.advance(by: .seconds(1800))
        fixture.nextProfile(401)
        #expect(try await run(fixture, id) == .unchanged)
        #expect(fixture.tokenRequests.count == 2)
    }

    @Test func `a refused renewal marks the account once`() async throws {
        let fixture = try Fixture()
        let id = try await fixture.link()
        fixture.nextProfile(401)
        fixture.nextToken(400, #"{"error":"invalid_grant"}"#)
        #expect(try failure(try await run(fixture, id)).code == .consentRevoked)
        #expect(fixture.profileRequests.count == 1)
        #expect(try await fixture.account(id).status == .needsRelink)
        #expect(try await fixture.changes().map(\.kind) == [.accountLinked, .profileCreated, .accountNeedsRelink])
        #expect(try await fixture.state(id).leaseUntil == nil)
    }

    @Test func `a token about to expire is refreshed before the request`() async throws {
        let fixture = try Fixture()
        let id = try await fixture.link(credential: try fixture.credential(expiresAfter: .seconds(3600)))
        fixture.time.advance(by: .seconds(3570))
        #expect(try await run(fixture, id) == .unchanged)
        #expect(fixture.transport.requests.map { $0.url.split(separator: "/").last } == ["token", "me"])
        #expect(fixture.profileRequests.first?.credentials.first?.value == "Bearer EXAMPLE-access-1-2")
        let stored = try #require(try await fixture.database.credentials.read(id))
        #expect(stored.generation == 2)
        #expect(stored.credential.refreshToken == Secret("EXAMPLE-refresh-1-2"))
    }

    @Test func `an expired token without refresh token says so`() async throws {
        let fixture = try Fixture()
        let id = try await fixture.link(
            credential: try fixture.credential(expiresAfter: .seconds(60), refresh: false))
        fixture.time.advance(by: .seconds(61))
        // Once the provider has said so: our clock alone ends no grant.
        #expect(try await run(fixture, id) == .unchanged)
        fixture.nextProfile(401)
        #expect(try failure(try await run(fixture, id)).code == .refreshExpired)
        #expect(fixture.transport.requests.count == 2)
        #expect(try await fixture.account(id).status == .needsRelink)
    }

    @Test func `a dead registration leaves the account active and is the operator's to mend`() async throws {
        let fixture = try Fixture()
        let id = try await fixture.link(credential: try fixture.credential(expiresAfter: .seconds(3600)))
        fixture.time.advance(by: .seconds(3600))
        fixture.nextToken(401, #"{"error":"invalid_client"}"#)
        let failure = try failure(try await run(fixture, id))
        #expect(failure.disposition == .fixConfiguration)
        let account = try await fixture.account(id)
        #expect(account.status == .active)
        #expect(account.problem?.code == .clientRefused)
        #expect(account.problem?.action == .operator)
        #expect(account.nextSyncAt.map { $0 >= fixture.time.now() + .seconds(600) } == true)
        #expect(try await fixture.database.schedule.providerPauses().map(\.provider.rawValue) == ["alpha"])
    }

    @Test func `a failing token endpoint says nothing about the grant`() async throws {
        let fixture = try Fixture()
        let id = try await fixture.link(credential: try fixture.credential(expiresAfter: .seconds(3600)))
        fixture.time.advance(by: .seconds(3600))
        fixture.nextToken(503)
        #expect(try failure(try await run(fixture, id)).disposition == .retry)
        #expect(try await fixture.account(id).status == .active)
        #expect(try await fixture.account(id).problem?.code == .providerUnavailable)
        #expect(try await fixture.state(id).failures == 1)
        #expect(try await run(fixture, id) == .unchanged)
    }

    // MARK: - Refusals of the resource server

    struct Refusal: Sendable, CustomTestStringConvertible {
        var status: Int
        var fields: HeaderFields = [:]
        var body = "{}"
        var code: AccountProblem.Code
        var accountStatus = AccountStatus.active
        var action: AccountProblem.Action
        /// Seconds until the next attempt; `nil` where there is none.
        var next: ClosedRange<Double>?
        var failures = 0
        var testDescription: String { "\(status) \(body) \(code)" }
    }

    static let refusals = [
        Refusal(
            status: 403, fields: ["www-authenticate": #"Bearer error="insufficient_scope", scope="profile""#],
            code: .scopeLost, accountStatus: .needsRelink, action: .user),
        Refusal(
            status: 403, body: #"{"message":"Sorry. Your account was suspended."}"#, code: .userSuspended,
            accountStatus: .suspended, action: .user, next: 77_760...86_400),
        Refusal(status: 403, code: .unexpectedResponse, action: .operator, next: 60...120, failures: 1),
        Refusal(status: 404, code: .userSuspended, accountStatus: .suspended, action: .user, next: 77_760...86_400),
        Refusal(status: 410, code: .userSuspended, accountStatus: .suspended, action: .user, next: 77_760...86_400),
        Refusal(status: 302, code: .unexpectedResponse, action: .operator, next: 60...120, failures: 1),
        Refusal(status: 500, code: .providerUnavailable, action: .none, next: 60...120, failures: 1),
        Refusal(status: 503, code: .providerUnavailable, action: .none, next: 60...120, failures: 1),
        Refusal(
            status: 429, fields: ["retry-after": "120"], code: .rateLimited, action: .none, next: 120...132),
        Refusal(
            status: 429, fields: ["retry-after": "Fri, 20 Nov 2026 15:42:53 GMT"], code: .rateLimited, action: .none,
            next: 3600...3630),
        Refusal(status: 429, fields: ["retry-after": "soon"], code: .rateLimited, action: .none, next: 60...66),
        Refusal(
            status: 429, fields: ["retry-after": "31536000"], code: .rateLimited, action: .none, next: 86_400...86_430),
        Refusal(
            status: 200, body: #"{"id":"1","login":"octo"#, code: .unexpectedResponse, action: .operator,
            next: 60...120, failures: 1),
        Refusal(
            status: 200, body: "<html>Maintenance</html>", code: .unexpectedResponse, action: .operator,
            next: 60...120, failures: 1),
        Refusal(
            status: 200, body: #"{"login":"octocat"}"#, code: .unexpectedResponse, action: .operator, next: 60...120,
            failures: 1),
        Refusal(
            status: 200, body: #"{"id":"2","login":"mallory"}"#, code: .unexpectedResponse, action: .operator,
            next: 60...120, failures: 1),
        Refusal(status: 200, body: "", code: .unexpectedResponse, action: .operator, next: 60...120, failures: 1),
    ]

    @Test(arguments: refusals)
    func `a refusal leaves the profile alone and says why, what follows and who must act`(
        _ refusal: Refusal
    ) async throws {
        let fixture = try Fixture()
        // Linked half an hour before the instant that the dates above are reckoned from.
        fixture.time.jump(to: fixture.time.now() - .seconds(1800))
        let id = try await fixture.link()
        let before = try fixture.document(id)
        fixture.time.advance(by: .seconds(1800))
        #expect(before.fetchedAt < fixture.time.now())
        fixture.nextProfile(refusal.status, refusal.fields, refusal.body)

        let failure = try failure(try await run(fixture, id))

        #expect(failure.code == refusal.code)
        let account = try await fixture.account(id)
        #expect(account.status == refusal.accountStatus)
        let problem = try #require(account.problem)
        #expect(problem.code == refusal.code)
        #expect(problem.action == refusal.action)
        #expect(problem.since == fixture.time.now())
        #expect(problem.detail == failure.detail && problem.detail.hasSuffix("."))
        #expect(!problem.detail.contains("mallory") && !problem.detail.contains("EXAMPLE"))
        #expect(problem.nextAttemptAt == account.nextSyncAt)
        let next = account.nextSyncAt.map { ($0 - fixture.time.now()).secondsAsDouble }
        if let range = refusal.next { #expect(next.map { range.contains($0) } == true) } else { #expect(next == nil) }
        let state = try await fixture.state(id)
        #expect(state.failures == refusal.failures)
        #expect(state.leaseUntil == nil)
        #expect(state.attemptedAt == fixture.time.now())
        #expect(state.syncedAt == before.fetchedAt)
        let after = try fixture.document(id)
        #expect(after.version == before.version)
        #expect(after.changedAt == before.changedAt)
        #expect(after.fetchedAt == before.fetchedAt)
        #expect(try await fixture.changes().allSatisfy { $0.kind != .profileUpdated })
        #expect(fixture.profileRequests.count == 1)
        #expect(fixture.tokenRequests.isEmpty)
    }

    static let accidents: [TransferError] = [
        .timedOut(host: "api.alpha.example"), .connectionFailed(host: "api.alpha.example"),
        .nameNotResolved(host: "api.alpha.example"), .malformedResponse(reason: "cut short"),
        .tlsFailed(host: "api.alpha.example", reason: "the certificate has expired"), .responseTooLarge(limit: 1 << 20),
    ]

    @Test(arguments: accidents)
    func `what breaks on the way is a failure to be tried again`(_ error: TransferError) async throws {
        let fixture = try Fixture()
        let id = try await fixture.link()
        let before = try fixture.document(id)
        fixture.time.advance(by: .seconds(1800))
        fixture.nextProfile { _ in .failure(error) }
        #expect(try failure(try await run(fixture, id)).disposition == .retry)
        #expect(try await fixture.account(id).problem?.code == .providerUnavailable)
        #expect(try await fixture.account(id).status == .active)
        #expect(try await fixture.state(id).failures == 1)
        #expect(try fixture.document(id) == before)
    }

    @Test func `failures in a row push the next attempt out, and the problem keeps its beginning`() async throws {
        let fixture = try Fixture()
        let id = try await fixture.link()
        let began = fixture.time.now()
        // Through a new client each time: its circuit breaker would stop the fifth.
        for failures in 1...8 {
            fixture.nextProfile(500)
            _ = try await run(fixture, id)
            #expect(try await fixture.state(id).failures == failures)
            let account = try await fixture.account(id)
            #expect(account.problem?.since == began)
            let pause = (try #require(account.nextSyncAt) - fixture.time.now()).secondsAsDouble
            let ceiling = Double(60 << failures)
            #expect((ceiling / 2...ceiling).contains(pause))
            fixture.time.advance(by: .seconds(Int64(pause) + 1))
        }
        fixture.nextProfile(404)
        _ = try await run(fixture, id)
        #expect(try await fixture.account(id).problem?.since == fixture.time.now())
    }

    @Test func `a pause for everyone is stored for all and outlives the process`() async throws {
        let fixture = try Fixture()
        let id = try await fixture.link()
        let other = try await fixture.link("2")
        fixture.nextProfile(429, ["retry-after": "600"])
        _ = try await run(fixture, id)
        let pauses = try await fixture.database.schedule.providerPauses()
        #expect(pauses.map(\.until) == [fixture.time.now() + .seconds(600)])
        // Another account, another process: nothing is sent.
        let failure = try failure(try await run(fixture, other))
        #expect(failure.disposition == .wait(until: fixture.time.now() + .seconds(600), everyone: true))
        #expect(fixture.profileRequests.count == 1)
        #expect(try #require(try await fixture.state(other).nextSyncAt) >= fixture.time.now() + .seconds(600))
        #expect(try await fixture.state(other).failures == 0)
    }

    @Test func `a suspended user who is back is active again`() async throws {
        let fixture = try Fixture()
        let id = try await fixture.link()
        fixture.nextProfile(403, [:], #"{"message":"suspended"}"#)
        _ = try await run(fixture, id)
        #expect(try await fixture.account(id).status == .suspended)
        #expect(try await run(fixture, id) == .unchanged)
        #expect(try await fixture.account(id).status == .active)
        #expect(try await fixture.account(id).problem == nil)
        #expect(try await fixture.changes().map(\.kind).last == .accountRecovered)
    }

    @Test func `another person's profile is refused even where it comes after a renewal`() async throws {
        let fixture = try Fixture()
        let id = try await fixture.link()
        let before = try fixture.document(id)
        fixture.time.advance(by: .seconds(1800))
        fixture.nextProfile(401)
        fixture.nextProfile(200, [:], #"{"id":"2","login":"mallory"}"#)
        let failure = try failure(try await run(fixture, id))
        #expect(failure.code == .unexpectedResponse)
        #expect(failure.detail == "The provider answered with another person's profile.")
        #expect(try fixture.document(id) == before)
    }

    // MARK: - What happens meanwhile

    @Test func `nothing is written of an account that was unlinked during the fetch`() async throws {
        let fixture = try Fixture()
        let id = try await fixture.link()
        fixture.rename(to: "hexacat")
        let database = fixture.database
        let world = fixture.world
        fixture.nextProfile { request in
            _ = try? await database.accounts.unlink(id)  // checked below
            return Fixture.profile(request, world)
        }
        #expect(try await run(fixture, id) == .abandoned)
        #expect(try await database.accounts.account(id) == nil)
        #expect(try database.profiles.document(account: id) == nil)
        #expect(try await fixture.changes().map(\.kind) == [.accountLinked, .profileCreated, .accountUnlinked])
        #expect(!fixture.log.lines.contains { $0.message == "Profile changed" })
    }

    @Test(arguments: [200, 503])
    func `a token that arrives after the account was unlinked is revoked or kept for revocation`(
        status: Int
    ) async throws {
        let fixture = try Fixture()
        fixture.world.state.withLock { $0.revocationStatus = status }
        let id = try await fixture.link(credential: try fixture.credential(expiresAfter: .seconds(3600)))
        fixture.time.advance(by: .seconds(3600))
        let database = fixture.database
        let world = fixture.world
        fixture.nextToken { request in
            _ = try? await database.accounts.unlink(id)  // checked below
            return Fixture.token(request, world)
        }
        #expect(try await run(fixture, id) == .abandoned)
        #expect(try await database.accounts.account(id) == nil)
        #expect(fixture.profileRequests.isEmpty)
        let late = ["EXAMPLE-refresh-1-2", "EXAMPLE-access-1-2"]
        #expect(fixture.revokedTokens == (status == 200 ? late : [late[0]]))
        let kept = try await database.revocations.due(
            now: fixture.time.now() + .seconds(86_400), owner: "test", lease: .seconds(60))
        // What unlinking itself left: the tokens of before.
        let old = ["EXAMPLE-refresh-1-1", "EXAMPLE-access-1-1"]
        #expect(kept.map { tokens(of: $0.credential) } == (status == 200 ? [old] : [old, late]))
    }

    @Test func `a relink during the fetch wins over its outcome`() async throws {
        let fixture = try Fixture()
        let id = try await fixture.link()
        fixture.nextProfile { _ in
            // The user links again while the old token is being refused.
            _ = try? await fixture.link(credential: try fixture.credential("1"), dueAfter: .seconds(3600))
            return Fixture.answer(403, ["www-authenticate": "Bearer error=\"insufficient_scope\""], "{}")
        }
        #expect(try await run(fixture, id) == .abandoned)
        #expect(try await fixture.account(id).status == .active)
        #expect(try await fixture.account(id).problem == nil)
        #expect(try await fixture.changes().allSatisfy { $0.kind != .accountNeedsRelink })
    }

    @Test func `a lease that was lost to another writes nothing`() async throws {
        let fixture = try Fixture()
        let id = try await fixture.link()
        let before = try fixture.document(id)
        fixture.rename(to: "hexacat")
        let world = fixture.world
        fixture.nextProfile { request in
            fixture.time.advance(by: SyncPass.lease + .seconds(1))
            _ = try? await fixture.claim(id, owner: "another")
            return Fixture.profile(request, world)
        }
        #expect(try await run(fixture, id) == .abandoned)
        #expect(try fixture.document(id) == before)
        #expect(try await fixture.state(id).leaseUntil != nil)
        #expect(!fixture.log.lines.contains { $0.message == "Profile changed" })
    }

    @Test func `a provider that is not configured any more leaves the account for the operator`() async throws {
        let fixture = try Fixture()
        let id = try await fixture.link(at: "beta")
        let engine = fixture.engine(catalog: try Fixture.catalog([Fixture.alpha]))
        let outcome = await engine.accountSync.run(try await fixture.claim(id))
        #expect(try failure(outcome).code == .providerNotConfigured)
        #expect(try await fixture.account(id).status == .active)
        #expect(try await fixture.account(id).problem?.action == .operator)
        #expect(fixture.transport.requests.isEmpty)
    }

    @Test func `an attempt that is cancelled hands its account back as it was`() async throws {
        let fixture = try Fixture()
        let id = try await fixture.link()
        let before = try await fixture.account(id)
        let claim = try await fixture.claim(id)
        let engine = fixture.engine()
        fixture.nextProfile { _ in
            withUnsafeCurrentTask { $0?.cancel() }
            return .failure(.cancelled)
        }
        let outcome = await Task { await engine.accountSync.run(claim) }.value
        #expect(outcome == .abandoned)
        #expect(try await fixture.account(id) == before)
        #expect(try await fixture.state(id).leaseUntil == nil)
        #expect(try await fixture.state(id).failures == 0)
    }

    @Test func `what was fetched before the cancellation is kept`() async throws {
        let fixture = try Fixture()
        let id = try await fixture.link()
        fixture.rename(to: "hexacat")
        let claim = try await fixture.claim(id)
        let engine = fixture.engine()
        let world = fixture.world
        fixture.nextProfile { request in
            withUnsafeCurrentTask { $0?.cancel() }
            return Fixture.profile(request, world)
        }
        let outcome = await Task { await engine.accountSync.run(claim) }.value
        #expect(outcome == .updated)
        #expect(try fixture.document(id).version == 2)
    }
}
