import Accounts
import Cryptography
import Foundation
import JSON
import Linking
import OAuth
import Providers
import Store
import TestSupport
import Testing
import Transfer

@Suite(.timeLimit(.minutes(10))) struct ApplicationTokenTests {
    let time = VirtualTime()

    private static let manifest = Manifests.alpha
        .replacing(
            "revocation:", with: "application_token: {grant: client_credentials, scopes: [directory.read]}\nrevocation:"
        )
        .replacing(
            "requests: {user: {url: \"https://api.alpha.example/me\"}}",
            with: """
                requests:
                    user: {url: "https://api.alpha.example/me"}
                    entry: {url: "https://api.alpha.example/directory/{subject}/entry", token: application}
                """
        ).replacing("email: $.user.email}", with: "email: $.user.email, nickname: $.entry.nick}")

    private func fixture(_ manifest: String = manifest, _ change: (inout InstanceConfiguration) -> Void = { _ in })
        throws -> Fixture
    {
        var instance = Manifests.instance("alpha")
        change(&instance)
        let fixture = try Fixture(time: time, manifests: ["alpha": manifest], instances: [instance])
        fixture.site.on("/me", 200, [:], #"{"id":"a/b 583231","login":"octocat"}"#)
        fixture.site.on("/entry", 200, [:], #"{"nick":"octo"}"#)
        let issued = Record<Int>()
        fixture.site.on("/token") { request in
            issued.append(1)
            return .json(
                200,
                body:
                    #"{"access_token":"EXAMPLE-application-\#(issued.values.count)","token_type":"Bearer","expires_in":3600,"refresh_token":"EXAMPLE-unexpected"}"#
            )
        }
        return fixture
    }

    private func fetch(_ fixture: Fixture) async throws -> ProfileFetchResult {
        await fixture.main.profiles.fetch(
            provider: try fixture.provider(), account: nil,
            credential: fixture.credential(access: "EXAMPLE-user", lifetime: .seconds(86_400)), urgency: .callerWaits)
    }

    private func claims(_ result: ProfileFetchResult) throws -> JSONValue {
        guard case .profile(let profile, _) = result else {
            Issue.record("\(result)")
            return .null
        }
        return try JSONValue(parsing: profile.claims)
    }

    @Test func `security 76: a request of the application carries its own token and names the person`() async throws {
        let fixture = try fixture()
        #expect(try claims(await fetch(fixture))["nickname"]?.string == "octo")
        let entry = try #require(fixture.requests("/entry").first)
        #expect(entry.url == "https://api.alpha.example/directory/a%2Fb%20583231/entry")
        #expect(entry.credentials.map(\.value) == ["Bearer EXAMPLE-application-1"])
        #expect(fixture.requests("/me").first?.credentials.map(\.value) == ["Bearer EXAMPLE-user"])
        let asked = try #require(fixture.tokenRequests.first)
        #expect(asked.form == ["grant_type": "client_credentials", "scope": "directory.read"])
        #expect(asked.credentials.first?.value.hasPrefix("Basic ") == true)
    }

    @Test func `security 76: the token serves until it ends, is asked for once however many wait, and never refreshed`()
        async throws
    {
        let fixture = try fixture()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 { group.addTask { _ = try? await fetch(fixture) } }  // what comes of them is looked at below
        }
        #expect(fixture.tokenRequests.count == 1)
        #expect(fixture.requests("/entry").count == 8)
        time.advance(by: .seconds(3500))
        _ = try await fetch(fixture)
        #expect(fixture.tokenRequests.count == 1)
        time.advance(by: .seconds(50))
        _ = try await fetch(fixture)
        #expect(fixture.tokenRequests.count == 2)
        #expect(fixture.tokenRequests.allSatisfy { $0.form["grant_type"] == "client_credentials" })
    }

    @Test func `security 76: the token is no account's: nothing of it is stored, and no account brings it out`()
        async throws
    {
        let fixture = try fixture()
        let account = try await fixture.link(
            fixture.credential(access: "EXAMPLE-user", refresh: nil, lifetime: .seconds(86_400)))
        _ = try await fetch(fixture)
        let stored = try await fixture.tokens.token(for: account, provider: fixture.provider(), minTTL: .seconds(60))
        #expect(stored.credential.accessToken.text == "EXAMPLE-user")
        #expect(try await fixture.database.accounts.list(AccountFilter(), after: nil, limit: 10).items.count == 1)
        #expect(try await fixture.database.revocations.count() == 0)
    }

    @Test func `a token that ended before its time is replaced once, and no account's grant is blamed`() async throws {
        let fixture = try fixture()
        fixture.site.on("/entry") { request in
            let isFirst = request.credentials.first?.value.hasSuffix("-1") == true
            return .json(isFirst ? 401 : 200, body: #"{"nick":"octo"}"#)
        }
        #expect(try claims(await fetch(fixture))["nickname"]?.string == "octo")
        #expect(fixture.tokenRequests.count == 2)

        fixture.site.on("/entry", 401)
        guard case .failed(let failure) = try await fetch(fixture) else {
            Issue.record("not failed")
            return
        }
        #expect(failure == .resource(.refused(status: 401)))
        #expect(failure.problemCode == .unexpectedResponse)
        #expect(fixture.tokenRequests.count == 3)
    }

    @Test func `a person whom the application can't see is not taken for gone`() async throws {
        let fixture = try fixture()
        let account = try await fixture.link(
            fixture.credential(access: "EXAMPLE-user", refresh: nil, lifetime: .seconds(86_400)))
        fixture.site.on("/entry", 404)
        let result = await fixture.main.profiles.fetch(
            provider: try fixture.provider(), account: account,
            credential: fixture.credential(access: "EXAMPLE-user", lifetime: .seconds(86_400)), urgency: .callerWaits)
        guard case .failed(let failure) = result else {
            Issue.record("\(result)")
            return
        }
        #expect(failure == .resource(.refused(status: 404)))
    }

    @Test func `a refusal of the application is the operator's affair, and is not asked for again for a minute`()
        async throws
    {
        let fixture = try fixture()
        fixture.site.on("/token", 400, [:], #"{"error":"invalid_grant"}"#)
        for _ in 0..<3 {
            guard case .failed(let failure) = try await fetch(fixture) else {
                Issue.record("not failed")
                return
            }
            #expect(failure.disposition == .fixConfiguration)
            #expect(failure.problemCode == .clientRefused)
            #expect(failure.detail.contains("invalid_grant"))
        }
        #expect(fixture.tokenRequests.count == 1)
        time.advance(by: .seconds(60))
        _ = try await fetch(fixture)
        #expect(fixture.tokenRequests.count == 2)
    }

    @Test(arguments: [(-300, "300 s behind"), (300, "300 s ahead of"), (20, nil)] as [(Int64, String?)])
    func `security 80: a server whose clock differs refuses a service account, and the error says so`(
        seconds: Int64, said: String?
    ) async throws {
        let manifest = Self.manifest.replacing(
            "grant: client_credentials",
            with: "grant: jwt_bearer, subject: admin@example.com, scopes_in_assertion: true")
        let fixture = try fixture(manifest) { $0.clientKey = Secret(ExampleKeys.rsa) }
        // Sun, 06 Nov 1994 is long ago: the date is that of the test's own clock, moved.
        let date = HTTPDates.text(time.now() + .seconds(seconds))
        fixture.site.on("/token") { _ in
            .json(400, ["date": date], #"{"error":"invalid_grant","error_description":"Invalid JWT"}"#)
        }
        guard case .failed(let failure) = try await fetch(fixture) else {
            Issue.record("not failed")
            return
        }
        #expect(failure.detail.contains("invalid_grant"))
        #expect(failure.detail.contains("clock") == (said != nil))
        if let said { #expect(failure.detail.contains("the server's clock is \(said) this machine's")) }
        let sent = try #require(fixture.tokenRequests.first?.form)
        #expect(sent["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer")
        #expect(sent["client_secret"] == nil && sent["scope"] == nil)
        #expect(!failure.detail.contains(sent["assertion"] ?? "?"))
    }
}

/// RFC 9110 §5.6.7.
enum HTTPDates {
    static func text(_ time: Timestamp) -> String {
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.timeZone = TimeZone(identifier: "GMT")
        formatter.dateFormat = "EEE, dd MMM yyyy HH:mm:ss 'GMT'"
        return formatter.string(from: Date(timeIntervalSince1970: Double(time.secondsSinceEpoch)))
    }
}
