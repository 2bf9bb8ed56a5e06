import Accounts
import Cryptography
import JSON
import Linking
import OAuth
import Providers
import Store
import TestSupport
import Testing
import Transfer

/// Links by device code, from the request for one to the account, against a scripted provider on virtual time.
@Suite(.timeLimit(.minutes(10))) struct DeviceLinkingTests {
    static let manifests = [
        "alpha": Manifests.alpha + #"device_authorization: {endpoint: "https://alpha.example/device"}"# + "\n",
        "beta": Manifests.beta,
    ]

    private static let code =
        #"{"device_code":"EXAMPLE-device","user_code":"EXAM-PLE1","verification_uri":"https://alpha.example/activate","expires_in":60,"interval":5}"#

    private func fixture(_ code: String = code) throws -> Fixture {
        let fixture = try Fixture(manifests: Self.manifests)
        fixture.site.on("/device", 200, [:], code)
        fixture.site.on("/me", 200, [:], #"{"id":583231,"login":"octocat"}"#)
        answer(fixture, 400, "authorization_pending")
        return fixture
    }

    private func answer(_ fixture: Fixture, _ status: Int, _ error: String, _ more: String = "") {
        fixture.site.on("/token", status, [:], #"{"error":"\#(error)"\#(more)}"#)
    }

    private func grant(_ fixture: Fixture) { fixture.site.on("/token") { _ in fixture.site.nextTokens() } }

    private func begin(_ fixture: Fixture, confirm: Bool = true) async throws -> DeviceLinkID {
        try await fixture.main.devices.begin(
            AccountLinking.Order(userID: "42", provider: "alpha", confirm: confirm)
        ).id
    }

    private func poll(_ fixture: Fixture) async {
        for claimed in await fixture.main.devices.due() { await fixture.main.devices.poll(claimed) }
    }

    private func link(_ fixture: Fixture, _ id: DeviceLinkID) async throws -> DeviceLink {
        try #require(try await fixture.database.deviceLinks.link(id))
    }

    /// Seconds between the polls of a minute in which the provider answers as `answers` say, the last for good.
    private func pauses(_ answers: [(Int, String, String)]) async throws -> [Int] {
        let fixture = try fixture()
        let id = try await begin(fixture)
        var asked: [Timestamp] = [fixture.time.now()]
        var left = answers
        for _ in 0..<61 {
            if let next = left.first { answer(fixture, next.0, next.1, next.2) }
            let before = fixture.tokenRequests.count
            await poll(fixture)
            if fixture.tokenRequests.count > before {
                asked.append(fixture.time.now())
                if left.count > 1 { left.removeFirst() }
            }
            (fixture.time as? VirtualTime)?.advance(by: .seconds(1))
        }
        #expect(try await link(fixture, id).error == "link_expired")
        return zip(asked.dropFirst(), asked).map { Int(($0 - $1).components.seconds) }
    }

    @Test func `security 77: the provider is asked every interval, and not once it is over`() async throws {
        #expect(try await pauses([(400, "authorization_pending", "")]) == Array(repeating: 5, count: 11))
        #expect(try await pauses([(428, "authorization_pending", "")]) == Array(repeating: 5, count: 11))
        #expect(try await pauses([(200, "authorization_pending", "")]) == Array(repeating: 5, count: 11))
    }

    @Test func `security 77: slow_down adds five seconds for good, or what the server names`() async throws {
        let pending = (400, "authorization_pending", "")
        #expect(try await pauses([pending, (400, "slow_down", ""), pending]) == [5, 5, 10, 10, 10, 10])
        #expect(try await pauses([(200, "slow_down", #","interval":20"#), pending]) == [5, 20, 20])
        // Less than what is kept already is no slower.
        #expect(try await pauses([(200, "slow_down", #","interval":1"#), pending]) == [5, 10, 10, 10, 10, 10])
    }

    @Test func `security 77: a server in trouble is asked half as often each time`() async throws {
        #expect(try await pauses([(503, "x", "")]) == [5, 10, 20])
    }

    @Test func `security 77: an interval that is not stated is five seconds`() async throws {
        let fixture = try fixture(
            #"{"device_code":"d","user_code":"U","verification_url":"https://alpha.example/activate","expires_in":60}"#)
        let id = try await begin(fixture)
        #expect(try await link(fixture, id).interval == .seconds(5))
    }

    @Test func `security 78: access that was allowed links nothing before the user confirms`() async throws {
        let fixture = try fixture()
        let id = try await begin(fixture)
        grant(fixture)
        (fixture.time as? VirtualTime)?.advance(by: .seconds(5))
        await poll(fixture)
        #expect(try await link(fixture, id).status == .confirmationRequired)
        let user = try #require(UserID("42"))
        #expect(try await fixture.database.accounts.accounts(of: user, limit: 5).items.isEmpty)
        let waiting = try #require(try await fixture.database.deviceLinks.grant(of: id))
        #expect(try JSONValue(parsing: waiting.claims)["preferred_username"]?.string == "octocat")

        let confirmed = try #require(try await fixture.main.devices.confirm(id))
        let account = try await fixture.account(try #require(confirmed.accountID))
        #expect(account.subject.rawValue == "583231" && account.status == .active)
        #expect(try await fixture.stored(account.id).credential.accessToken.text == "EXAMPLE-access-2")
        #expect(try fixture.database.profiles.document(account: account.id) != nil)
        // Once.
        #expect(try await fixture.main.devices.confirm(id) == nil)
    }

    @Test func `without confirmation the account is linked at once`() async throws {
        let fixture = try fixture()
        let id = try await begin(fixture, confirm: false)
        grant(fixture)
        (fixture.time as? VirtualTime)?.advance(by: .seconds(5))
        await poll(fixture)
        let linked = try await link(fixture, id)
        #expect(linked.status == .linked && linked.accountID != nil)
        (fixture.time as? VirtualTime)?.advance(by: .seconds(60))
        await poll(fixture)
        #expect(fixture.tokenRequests.count == 1)
    }

    @Test func `security 78: what the user does not confirm is revoked`() async throws {
        for expires in [true, false] {
            let fixture = try fixture()
            fixture.site.on("/revoke", 200)
            let id = try await begin(fixture)
            grant(fixture)
            let time = try #require(fixture.time as? VirtualTime)
            time.advance(by: .seconds(5))
            await poll(fixture)
            if expires {
                time.advance(by: .seconds(600))
                #expect(try await fixture.main.devices.confirm(id) == nil)
                await poll(fixture)
            } else {
                #expect(try await fixture.main.devices.cancel(id))
            }
            #expect(try await link(fixture, id).error == (expires ? "link_expired" : "cancelled"))
            #expect(
                fixture.requests("/revoke").compactMap { $0.form["token"] } == [
                    "EXAMPLE-refresh-2", "EXAMPLE-access-2",
                ])
        }
    }

    @Test func `tokens of an account that is linked are not revoked with a link that was given up`() async throws {
        let fixture = try fixture()
        fixture.site.on("/revoke", 200)
        _ = try await fixture.link(fixture.credential())
        let id = try await begin(fixture)
        grant(fixture)
        (fixture.time as? VirtualTime)?.advance(by: .seconds(5))
        await poll(fixture)
        #expect(try await fixture.main.devices.cancel(id))
        #expect(fixture.requests("/revoke").isEmpty)
    }

    @Test func `security 58: an account that another user holds stays theirs`() async throws {
        let fixture = try fixture()
        _ = try await fixture.link(fixture.credential(), user: "43")
        let id = try await begin(fixture)
        grant(fixture)
        (fixture.time as? VirtualTime)?.advance(by: .seconds(5))
        await poll(fixture)
        await #expect(throws: DeviceLinkError.provider("account_held", "Another user holds this account.")) {
            try await fixture.main.devices.confirm(id)
        }
        #expect(try await link(fixture, id).error == "account_held")
        #expect(fixture.requests("/revoke").isEmpty)
    }

    @Test(arguments: [
        ("access_denied", "access_denied"), ("expired_token", "link_expired"), ("invalid_client", "client_refused"),
        ("invalid_grant", "provider_error"), ("device_flow_disabled", "provider_error"),
    ])
    func `security 77: a word that ends the grant ends the polling`(word: String, code: String) async throws {
        let fixture = try fixture()
        let id = try await begin(fixture)
        answer(fixture, 400, word)
        let time = try #require(fixture.time as? VirtualTime)
        for _ in 0..<30 {
            time.advance(by: .seconds(1))
            await poll(fixture)
        }
        #expect(try await link(fixture, id).error == code)
        #expect(fixture.tokenRequests.count == 1)
    }

    @Test func `security 12: a device link ends with the configuration it began with, or fails`() async throws {
        let fixture = try fixture()
        let id = try await begin(fixture)
        let moved = Self.manifests.mapValues {
            $0.replacing("https://alpha.example/token", with: "https://b.example/token")
        }
        let other = try fixture.another(catalog: try Fixture.catalog(moved, Manifests.instances))
        defer { other.database.close() }
        (fixture.time as? VirtualTime)?.advance(by: .seconds(5))
        for claimed in await other.devices.due() { await other.devices.poll(claimed) }
        #expect(try await link(fixture, id).error == "configuration_changed")
        #expect(fixture.tokenRequests.isEmpty)
    }

    @Test func `what was begun before a restart is gone on with after it`() async throws {
        let fixture = try fixture()
        let id = try await begin(fixture, confirm: false)
        grant(fixture)
        let other = try fixture.another()
        defer { other.database.close() }
        (fixture.time as? VirtualTime)?.advance(by: .seconds(5))
        for claimed in await other.devices.due() { await other.devices.poll(claimed) }
        #expect(try await link(fixture, id).status == .linked)
        #expect(fixture.requests("/token").first?.form["device_code"] == "EXAMPLE-device")
    }

    @Test func `a link that was cancelled while it was asked about brings nothing`() async throws {
        let fixture = try fixture()
        fixture.site.on("/revoke", 200)
        let id = try await begin(fixture)
        let devices = fixture.main.devices
        fixture.site.on("/me") { _ in
            _ = try? await devices.cancel(id)  // not there would be seen below
            return .json(200, body: #"{"id":583231,"login":"octocat"}"#)
        }
        grant(fixture)
        (fixture.time as? VirtualTime)?.advance(by: .seconds(5))
        await poll(fixture)
        #expect(try await link(fixture, id).error == "cancelled")
        #expect(fixture.requests("/revoke").count == 2)
    }

    @Test(arguments: [true, false])
    func `security 44: quirk D24: the tokens of a device link are bound to a key and made to last, as any`(
        confirm: Bool
    ) async throws {
        let manifest = try #require(Self.manifests["alpha"]).replacing(
            "refresh: {",
            with:
                #"dpop: required, exchange: {endpoint: "https://alpha.example/exchange", grant_type: long_lived}, refresh: {"#
        )
        let fixture = try Fixture(manifests: ["alpha": manifest], instances: [Manifests.instance("alpha")])
        fixture.site.on("/device", 200, [:], Self.code)
        fixture.site.on("/me", 200, [:], #"{"id":583231,"login":"octocat"}"#)
        fixture.site.on(
            "/token", 200, [:], #"{"access_token":"EXAMPLE-short","token_type":"DPoP","expires_in":60}"#)
        fixture.site.on(
            "/exchange", 200, [:], #"{"access_token":"EXAMPLE-long","token_type":"DPoP","expires_in":5184000}"#)
        let id = try await begin(fixture, confirm: confirm)
        (fixture.time as? VirtualTime)?.advance(by: .seconds(5))
        await poll(fixture)
        if confirm { _ = try await fixture.main.devices.confirm(id) }
        let account = try #require(try await link(fixture, id).accountID)
        let credential = try await fixture.stored(account).credential
        #expect(credential.accessToken.text == "EXAMPLE-long" && credential.tokenType == "DPoP")
        let key = try #require(credential.proofKey.flatMap { DPoPKey($0) })
        let exchange = try #require(fixture.requests("/exchange").first)
        #expect(exchange.form["access_token"] == "EXAMPLE-short" && exchange.form["grant_type"] == "long_lived")
        let proven = fixture.tokenRequests + [exchange] + fixture.requests("/me")
        #expect(proven.count == 3)
        for request in proven {
            let proof = try #require(request.credentials.first { $0.name == "DPoP" }?.value)
            let header = try #require(proof.split(separator: ".").first.flatMap { Base64URL.decode(String($0)) })
            let jwk = try #require(JSONValue(parsing: header)["jwk"])
            #expect(Base64URL.encode(Digest.sha256(jwk.canonicalText.utf8)) == key.thumbprint)
        }
        #expect(fixture.requests("/device").allSatisfy { !$0.credentials.contains { $0.name == "DPoP" } })
    }

    @Test func `a grant that a crash lost is not had again: the link says so, and the user begins anew`() async throws {
        let fixture = try fixture()
        let id = try await begin(fixture)
        (fixture.time as? VirtualTime)?.advance(by: .seconds(5))
        // Claimed, and answered: what the answer brought died with the process.
        #expect(await fixture.main.devices.due().count == 1)
        answer(fixture, 400, "invalid_grant")
        let next = try fixture.another()
        #expect(await next.devices.due().isEmpty)
        (fixture.time as? VirtualTime)?.advance(by: .seconds(180))
        for claimed in await next.devices.due() { await next.devices.poll(claimed) }
        #expect(try await link(fixture, id).status == .failed)
    }

    @Test func `an order that can't be met names every wrong field, and asks nobody`() async throws {
        let fixture = try fixture()
        func faults(_ order: AccountLinking.Order) async -> [String] {
            do { _ = try await fixture.main.devices.begin(order) } catch {
                guard case .invalid(let faults) = error else { return ["\(error)"] }
                return faults.map { "\($0.pointer) \($0.detail)" }
            }
            return []
        }
        #expect(
            await faults(AccountLinking.Order(userID: "", provider: "beta", scopes: ["a b"])) == [
                "/user_id must have 1 to 255 characters, none of them a control character",
                "/scopes/0 is not a scope (RFC 6749 §3.3)", "/provider has no device authorization endpoint (RFC 8628)",
            ])
        #expect(await faults(AccountLinking.Order(userID: "42")) == ["/provider is required"])
        #expect(fixture.transport.requests.isEmpty)
    }

    @Test func `a provider that gives no code says why`() async throws {
        for (status, body, code) in [
            (400, #"{"error":"unauthorized_client"}"#, "client_refused"), (503, "{}", "provider_unavailable"),
            (200, "{}", "provider_unavailable"),
        ] {
            let fixture = try fixture()
            fixture.site.on("/device", status, [:], body)
            do {
                _ = try await begin(fixture)
                Issue.record("begun")
            } catch {
                guard case .provider(code, _)? = error as? DeviceLinkError else {
                    Issue.record("\(status): \(error)")
                    continue
                }
            }
        }
    }
}
