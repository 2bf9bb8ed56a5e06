import Accounts
import JSON
import Linking
import Providers
import Synchronization
import TestSupport
import Testing
import Transfer

@Suite(.timeLimit(.minutes(10))) struct ProfileFetchTests {
    let time = VirtualTime()
    let fixture: Fixture

    /// Two requests, the second of which may fail.
    static let manifest = Manifests.alpha.replacing(
        #"requests: {user: {url: "https://api.alpha.example/me"}}"#,
        with:
            #"requests: {user: {url: "https://api.alpha.example/me"}, emails: {url: "https://api.alpha.example/emails", optional: true, scopes: [email]}}"#
    ).replacing("email: $.user.email", with: #"email: "$.emails[0].email""#)

    init() throws {
        fixture = try Fixture(
            time: time, manifests: ["alpha": Self.manifest], instances: [Manifests.instance("alpha")])
        fixture.site.on("/me", 200, ["ETag": "\"u1\"", "Last-Modified": "Fri, 20 Nov 2026 14:00:00 GMT"], Self.user)
        fixture.site.on("/emails", 200, ["ETag": "\"e1\"", "Cache-Control": "private, max-age=60"], Self.emails)
    }

    static let user = #"{"id":583231,"login":"octocat","name":"The Octocat"}"#
    static let emails = #"[{"email":"octocat@example.com"}]"#

    private func fetch(
        _ previous: ProfileFetch.Previous = .init(), scopes: [String] = ["profile", "email"]
    ) async throws -> ProfileFetchResult {
        await fixture.main.profiles.fetch(
            provider: try fixture.provider(), account: nil,
            credential: fixture.credential(lifetime: .seconds(3600), scopes: scopes), previous: previous,
            urgency: .background)
    }

    private func previous() async throws -> ProfileFetch.Previous {
        let profile = try #require(try await fetch().profile)
        return .init(raw: profile.raw, validators: profile.validators)
    }

    @Test func `fetches every request with the access token and maps what came`() async throws {
        let profile = try #require(try await fetch().profile)
        #expect(profile.subject.rawValue == "583231")
        #expect(profile.email == "octocat@example.com")
        #expect(
            profile.validators == [
                "user": Validators(etag: "\"u1\"", lastModified: "Fri, 20 Nov 2026 14:00:00 GMT"),
                "emails": Validators(etag: "\"e1\""),
            ])
        let raw = try JSONValue(parsing: profile.raw)
        #expect(raw["user"] == (try JSONValue(parsing: Self.user)))
        #expect(raw["emails"] == (try JSONValue(parsing: Self.emails)))
        for request in fixture.transport.requests {
            #expect(request.method == .get)
            #expect(request.credentials.map(\.value) == ["Bearer EXAMPLE-access-1"])
            #expect(request.fields["if-none-match"] == nil)
        }
    }

    @Test func `asks on condition, and 304 throughout makes no profile`() async throws {
        let previous = try await previous()
        fixture.site.on("/me", 304, [:], "")
        fixture.site.on("/emails", 304, ["ETag": "\"e2\"", "Cache-Control": "max-age=600"], "")
        guard case .notModified(let validators, let freshFor) = try await fetch(previous) else {
            Issue.record("modified")
            return
        }
        let sent = fixture.transport.requests.suffix(2)
        #expect(sent.map { $0.fields["if-none-match"] } == ["\"u1\"", "\"e1\""])
        #expect(sent.map { $0.fields["if-modified-since"] } == ["Fri, 20 Nov 2026 14:00:00 GMT", nil])
        #expect(validators["user"] == previous.validators["user"])
        #expect(validators["emails"] == Validators(etag: "\"e2\""))
        #expect(freshFor == .seconds(600))
    }

    @Test func `what is unchanged is taken from before, beside what changed`() async throws {
        let previous = try await previous()
        fixture.site.on("/me", 304, [:], "")
        fixture.site.on("/emails", 200, [:], #"[{"email":"new@example.com"}]"#)
        let profile = try #require(try await fetch(previous).profile)
        #expect(profile.email == "new@example.com")
        #expect(profile.preferredUsername == "octocat")
        // One that brings no validator has none: the old one is of another body.
        #expect(profile.validators == ["user": try #require(previous.validators["user"])])
    }

    @Test func `what is nested as deep as a response may be is read again`() async throws {
        let deep = String(repeating: "[", count: 127) + String(repeating: "]", count: 127)
        fixture.site.on("/me", 200, ["ETag": "\"u1\""], #"{"id":583231,"login":"octocat","deep":\#(deep)}"#)
        let previous = try await previous()
        fixture.site.on("/me", 304, [:], "")
        fixture.site.on("/emails", 200, [:], #"[{"email":"new@example.com"}]"#)
        let profile = try #require(try await fetch(previous).profile)
        #expect(profile.preferredUsername == "octocat")
        #expect(profile.raw.contains(deep))
    }

    @Test func `no condition is set on what is not held`() async throws {
        let previous = try await previous()
        _ = try await fetch(.init(raw: #"{"user":{}}"#, validators: previous.validators))
        #expect(fixture.transport.requests.suffix(2).map { $0.fields["if-none-match"] } == ["\"u1\"", nil])
        _ = try await fetch(.init(raw: "damaged", validators: previous.validators))
        #expect(fixture.transport.requests.suffix(2).map { $0.fields["if-none-match"] } == [nil, nil])
    }

    @Test func `of a provider with one request the held copy is not read, whatever is answered`() async throws {
        let fixture = try Fixture(
            time: time, manifests: ["alpha": Manifests.alpha], instances: [Manifests.instance("alpha")])
        let provider = try fixture.provider()
        let reads = Atomic(0)
        let previous = ProfileFetch.Previous(
            validators: ["user": Validators(etag: "\"u1\"")], mapping: provider.mappingFingerprint, isThere: true
        ) {
            reads.add(1, ordering: .relaxed)
            return nil
        }
        func fetch() async -> ProfileFetchResult {
            await fixture.main.profiles.fetch(
                provider: provider, account: nil, credential: fixture.credential(lifetime: .seconds(3600)),
                previous: previous, urgency: .background)
        }
        fixture.site.on("/me", 304, [:], "")
        guard case .notModified = await fetch() else {
            Issue.record("modified")
            return
        }
        fixture.site.on("/me", 200, ["ETag": "\"u2\""], Self.user)
        #expect(await fetch().profile?.validators == ["user": Validators(etag: "\"u2\"")])
        #expect(fixture.transport.requests.map { $0.fields["if-none-match"] } == ["\"u1\"", "\"u1\""])
        #expect(reads.load(ordering: .relaxed) == 0)
    }

    @Test func `304 to a request without condition is no profile`() async throws {
        let held = ProfileFetch.Previous(raw: try await previous().raw(), validators: [:])
        fixture.site.on("/me", 304, [:], "")
        #expect(try await fetch().failure == .resource(.refused(status: 304)))
        fixture.site.on("/me", 304, [:], "")
        #expect(try await fetch(held).failure == .resource(.refused(status: 304)))
    }

    @Test(arguments: [403, 404]) func `quirk F16: a refused optional request leaves its claims out`(status: Int)
        async throws
    {
        let previous = try await previous()
        fixture.site.on("/me", 304, [:], "")
        fixture.site.on("/emails", status)
        let profile = try #require(try await fetch(previous).profile)
        #expect(profile.email == nil)
        #expect(profile.preferredUsername == "octocat")
        // Now that it is not held any more, its absence is no change.
        guard case .notModified = try await fetch(.init(raw: profile.raw, validators: profile.validators)) else {
            Issue.record("modified")
            return
        }
    }

    @Test(arguments: [500, 503, 408, 429, 401])
    func `an optional request that fails otherwise fails the fetch`(status: Int) async throws {
        fixture.site.on("/emails", status)
        #expect(try await fetch().failure != nil)
    }

    @Test func `security 41: an optional request whose scope was not granted is not sent`() async throws {
        #expect(try await fetch(scopes: ["profile"]).profile?.email == nil)
        #expect(fixture.requests("/emails").isEmpty)
    }

    @Test func `quirk F22: a profile whose scope was not granted is not asked for`() async throws {
        let fixture = try Fixture(
            time: time,
            manifests: [
                "alpha": Manifests.alpha.replacing(
                    #"url: "https://api.alpha.example/me""#,
                    with: #"url: "https://api.alpha.example/me", scopes: [profile]"#)
            ], instances: [Manifests.instance("alpha")])
        fixture.site.on("/me", 200, [:], Self.user)
        func fetch(_ scopes: [String]) async throws -> ProfileFetchResult {
            await fixture.main.profiles.fetch(
                provider: try fixture.provider(), account: nil,
                credential: fixture.credential(lifetime: .seconds(3600), scopes: scopes), urgency: .background)
        }
        #expect(try await fetch(["email"]).failure == .resource(.insufficientScope))
        #expect(fixture.transport.requests.isEmpty)
        // Nothing was said of scopes.
        #expect(try await fetch([]).profile != nil)
        #expect(try await fetch(["profile"]).profile != nil)
    }

    @Test func `tells what kind of failure it is`() async throws {
        let now = time.now()
        let cases: [(ScriptedTransport.Answer, ProfileFetchFailure, AccountProblem.Code)] = [
            (.json(401, body: "{}"), .resource(.unauthorized), .consentRevoked),
            (
                .json(403, ["WWW-Authenticate": #"Bearer error="insufficient_scope""#], "{}"),
                .resource(.insufficientScope), .scopeLost
            ),
            (.json(403, body: "{}"), .resource(.refused(status: 403)), .unexpectedResponse),
            (
                .json(302, ["Location": "https://evil.example"], ""), .resource(.refused(status: 302)),
                .unexpectedResponse
            ),
            (.json(500, body: "{}"), .resource(.unavailable(status: 500)), .providerUnavailable),
            (
                .failure(.timedOut(host: "EXAMPLE")), .request(.transfer(.timedOut(host: "EXAMPLE"))),
                .providerUnavailable
            ),
            (.json(200, body: #"{"login":"nobody"}"#), .mapping(.subjectMissing), .unexpectedResponse),
            (
                .json(429, ["Retry-After": "60"], "{}"),
                .resource(.limited(LimitSignal(reach: .everyone, until: now + .seconds(60)))), .rateLimited
            ),
        ]
        for (answer, failure, code) in cases {
            fixture.site.on("/me") { _ in answer }
            let failed = try await fetch().failure
            #expect(failed == failure)
            #expect(failed?.problemCode == code)
        }
        #expect(try await fetch().failure?.problemCode == .rateLimited)
    }

    @Test(arguments: ["", "{", "<html>", #"{"id":1}{"#, #"{"id":1,"id":2}"#])
    func `a success that is not JSON is a failure that quotes nothing`(body: String) async throws {
        fixture.site.on("/me", 200, [:], body)
        let failure = try #require(try await fetch().failure)
        guard case .unreadable(request: "user", _) = failure else {
            Issue.record("\(failure)")
            return
        }
        #expect(failure.disposition == .retry)
        #expect(!failure.detail.contains("<html>"))
    }

    @Test(
        arguments: [
            ("max-age=60", 60), ("private, max-age=\"120\"", 120), ("max-age=99999999", 604_800), ("max-age=0", nil),
            ("no-store", nil), ("max-age=x", nil), ("max-age=-5", nil),
        ] as [(String, Int?)]) func `reads how long a profile stays fresh`(value: String, seconds: Int?) async throws
    {
        fixture.site.on("/me", 200, ["Cache-Control": value], Self.user)
        fixture.site.on("/emails", 404)
        guard case .profile(_, let freshFor) = try await fetch() else {
            Issue.record("no profile")
            return
        }
        #expect(freshFor == seconds.map { .seconds($0) })
    }
}

extension ProfileFetchResult {
    var profile: Profile? { if case .profile(let profile, _) = self { profile } else { nil } }
    var failure: ProfileFetchFailure? { if case .failed(let failure) = self { failure } else { nil } }
}
