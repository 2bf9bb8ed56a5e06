import Foundation
import ProviderSimulator
import Testing

/// What every site does alike: RFC 6749 from the authorization request to the profile.
@Suite(.timeLimit(.minutes(10))) struct CommonJourneyTests {
    @Test(arguments: allSites)
    func `links: page, consent, code, token, profile`(_ site: SimulatedSite) async throws {
        try await Journey.run(site) { journey in
            let page = await journey.authorize()
            #expect(page.status == 200)
            #expect(page.text.contains("This is a simulator"))
            #expect(page.text.contains("Simulated \(site.title)"))
            #expect(!page.text.contains("<script"))
            let response = try await journey.decide(page, [("person", journey.person), ("decision", "allow")])
            #expect(response.status == 303)
            #expect(response.fields["location"]?.hasPrefix(Journey.redirectURI + "?") == true)
            #expect(response.callback["state"] == "state-EXAMPLE")
            let code = try #require(response.callback["code"])
            let tokens = await journey.exchange(code)
            #expect(tokens.status == 200)
            let access = try #require(tokens["access_token"])
            #expect(access.contains("EXAMPLE"))
            let profile = await journey.profile(access)
            #expect(profile.status == 200)
            let id = profile.json["sub"] as? String ?? profile.json["id"].map { "\($0)" }
            #expect(id == journey.person)
            let counters = journey.counters
            #expect(counters.requests == 4)
            #expect(counters[.token].byStatus == ["200": 1])
            #expect(counters.codesExchanged == 1)
            #expect(counters.accessTokens == 1)
            #expect(counters.grants == 1)
        }
    }

    @Test(arguments: allSites)
    func `goes back with access_denied and the state when a person denies`(_ site: SimulatedSite) async throws {
        try await Journey.run(site) { journey in
            let response = try await journey.decide(await journey.authorize(), [("decision", "deny")])
            #expect(response.callback["error"] == "access_denied")
            #expect(response.callback["state"] == "state-EXAMPLE")
            #expect(response.callback["code"] == nil)
            #expect(journey.counters.denials == 1)
        }
    }

    @Test(arguments: allSites)
    func `shows a page and goes nowhere for an unknown client`(_ site: SimulatedSite) async throws {
        try await Journey.run(site) { journey in
            let page = await journey.authorize(["client_id": "another"])
            #expect(page.status == 400)
            #expect(page.fields["location"] == nil)
        }
    }

    @Test(arguments: allSites)
    func `never goes to a redirect URI that is not registered`(_ site: SimulatedSite) async throws {
        try await Journey.run(site) { journey in
            for uri in [
                Journey.redirectURI + "/more", "http://127.0.0.1:9998/callback/example", "https://evil.example",
            ] {
                let response = await journey.authorize(["redirect_uri": uri])
                if site == .github {
                    #expect(response.callback["error"] == "redirect_uri_mismatch")
                    #expect(response.fields["location"]?.hasPrefix(Journey.redirectURI + "?") == true)
                } else {
                    #expect(response.status == 400)
                    #expect(response.fields["location"] == nil)
                }
            }
        }
    }

    @Test(arguments: allSites)
    func `decides one request once`(_ site: SimulatedSite) async throws {
        try await Journey.run(site) { journey in
            let page = await journey.authorize()
            let form = [("person", journey.person), ("decision", "allow")]
            let statuses = [try await journey.decide(page, form).status, try await journey.decide(page, form).status]
            #expect(statuses == [303, 400])
        }
    }

    @Test(arguments: allSites)
    func `spends a code at its first use, and a second use ends what the first issued`(_ site: SimulatedSite)
        async throws
    {
        try await Journey.run(site) { journey in
            let code = try await journey.code()
            let first = await journey.exchange(code)
            let access = try #require(first["access_token"])
            let second = await journey.exchange(code)
            #expect(["invalid_grant", "bad_verification_code"].contains(second["error"]))
            #expect(journey.counters.codeReplays == 1)
            #expect(await journey.profile(access).status == 401)
        }
    }

    @Test(arguments: allSites)
    func `forgets a code after its lifetime`(_ site: SimulatedSite) async throws {
        try await Journey.run(site) { journey in
            let code = try await journey.code()
            journey.clock.advance(seconds: 601)
            #expect(["invalid_grant", "bad_verification_code"].contains(await journey.exchange(code)["error"]))
        }
    }

    @Test(arguments: allSites)
    func `compares the redirect URI of the token request`(_ site: SimulatedSite) async throws {
        try await Journey.run(site) { journey in
            for uri in ["", "http://127.0.0.1:9999/callback/other"] {
                let response = await journey.token([
                    ("grant_type", "authorization_code"), ("code", try await journey.code()), ("redirect_uri", uri),
                    ("code_verifier", Journey.verifier),
                ])
                #expect(response["access_token"] == nil)
                #expect(["invalid_grant", "redirect_uri_mismatch"].contains(response["error"]))
            }
        }
    }

    @Test(arguments: allSites)
    func `wants the verifier of the challenge it was sent`(_ site: SimulatedSite) async throws {
        try await Journey.run(site) { journey in
            for verifier in ["", Journey.verifier + "x"] {
                let response = await journey.token([
                    ("grant_type", "authorization_code"), ("code", try await journey.code()),
                    ("redirect_uri", Journey.redirectURI), ("code_verifier", verifier),
                ])
                #expect(response["access_token"] == nil)
            }
            // And none where there was no challenge.
            let code = try await journey.code(["code_challenge": nil, "code_challenge_method": nil])
            #expect(await journey.exchange(code)["access_token"] == nil)
        }
    }

    @Test(arguments: allSites)
    func `quirk A10: takes S256 alone, and insists on it by a switch`(_ site: SimulatedSite) async throws {
        try await Journey.run(site) { journey in
            #expect(await journey.authorize(["code_challenge_method": "plain"]).callback["error"] == "invalid_request")
            let without: [String: String?] = ["code_challenge": nil, "code_challenge_method": nil]
            #expect(await journey.authorize(without).status == 200)
            journey.simulator.setSwitches(of: site) { $0.requiresPKCE = true }
            #expect(await journey.authorize(without).callback["error"] == "invalid_request")
        }
    }

    @Test(arguments: allSites)
    func `takes the client's credentials in the body or form-encoded in Basic, and no wrong ones`(
        _ site: SimulatedSite
    ) async throws {
        try await Journey.run(site) { journey in
            func basic(_ id: String, _ secret: String) -> [String: String] {
                let credentials = Data("\(id):\(secret)".utf8).base64EncodedString()
                return ["authorization": "Basic \(credentials)", "accept": "application/json"]
            }
            func form(_ code: String) -> [(String, String)] {
                [
                    ("grant_type", "authorization_code"), ("code", code), ("redirect_uri", Journey.redirectURI),
                    ("code_verifier", Journey.verifier),
                ]
            }
            let encoded = basic(Journey.clientID, "secret+EXAMPLE%261")
            let good = await journey.client.post(journey.tokenPath, form: form(try await journey.code()), encoded)
            #expect(good["access_token"] != nil)
            for wrong in [
                basic(Journey.clientID, "wrong"), basic(Journey.clientID, Journey.clientSecret + "x"), basic("x", ""),
            ] {
                let refused = await journey.client.post(
                    journey.tokenPath, form: form(try await journey.code()), wrong)
                #expect(["invalid_client", "incorrect_client_credentials"].contains(refused["error"]))
            }
            // Both at once are refused (RFC 6749 §2.3).
            let both = await journey.token(form(try await journey.code()), encoded)
            #expect(both["access_token"] == nil)
            journey.simulator.setSwitches(of: site) { $0.acceptsPost = false }
            let post = await journey.exchange(try await journey.code())
            #expect(["invalid_client", "incorrect_client_credentials"].contains(post["error"]))
        }
    }

    @Test(arguments: allSites)
    func `quirk C4, D17: reads Basic as it stands, and leaves scope out, by switches`(_ site: SimulatedSite)
        async throws
    {
        try await Journey.run(site) { journey in
            journey.simulator.setSwitches(of: site) {
                $0.decodesBasic = false
                $0.sendsScope = false
            }
            let credentials = Data("\(Journey.clientID):\(Journey.clientSecret)".utf8).base64EncodedString()
            let tokens = await journey.client.post(
                journey.tokenPath,
                form: [
                    ("grant_type", "authorization_code"), ("code", try await journey.code()),
                    ("redirect_uri", Journey.redirectURI), ("code_verifier", Journey.verifier),
                ], ["authorization": "Basic \(credentials)", "accept": "application/json"])
            #expect(tokens["access_token"] != nil)
            #expect(tokens.json["scope"] == nil)
        }
    }

    @Test(arguments: allSites)
    func `refuses repeated parameters`(_ site: SimulatedSite) async throws {
        try await Journey.run(site) { journey in
            let code = try await journey.code()
            let response = await journey.token([
                ("grant_type", "authorization_code"), ("code", code), ("code", code),
                ("redirect_uri", Journey.redirectURI), ("code_verifier", Journey.verifier),
            ])
            #expect(response["access_token"] == nil)
        }
    }

    @Test(arguments: allSites)
    func `consents without a page for the person a switch names`(_ site: SimulatedSite) async throws {
        try await Journey.run(site) { journey in
            let person = journey.simulator.people(at: site)[1].id
            journey.simulator.setSwitches(of: site) { $0.autoConsent = person }
            let code = try #require(await journey.authorize().callback["code"])
            let access = try #require(await journey.exchange(code)["access_token"])
            let profile = await journey.profile(access)
            #expect((profile.json["sub"] ?? profile.json["id"]).map { "\($0)" } == person)
        }
    }

    @Test(arguments: allSites)
    func `gives the same tokens from the same seed`(_ site: SimulatedSite) async throws {
        var tokens: Set<String> = []
        for seed in [7, 7, 8] as [UInt64] {
            try await Journey.run(site, seed: seed) { journey in
                tokens.insert(try #require(await journey.exchange(try await journey.code())["access_token"]))
            }
        }
        #expect(tokens.count == 2)
    }

    @Test(arguments: allSites)
    func `plays a hundred thousand people without remembering one`(_ site: SimulatedSite) async throws {
        try await Journey.run(site) { journey in
            for number in [0, 1, 99_999] {
                let profile = await journey.profile(BulkPerson.accessToken(number))
                #expect(profile.status == 200)
                #expect(
                    (profile.json["sub"] ?? profile.json["id"]).map { "\($0)" } == BulkPerson.id(number, site: site))
            }
            let refreshed = await journey.refresh(BulkPerson.refreshToken(5))
            #expect(refreshed["access_token"] == BulkPerson.accessToken(5))
            if site == .google {
                #expect(refreshed["refresh_token"] == nil)
            } else {
                let next = try #require(refreshed["refresh_token"])
                #expect(await journey.refresh(next)["refresh_token"] == BulkPerson.refreshToken(5) + "-2")
            }
            #expect(await journey.profile("EXAMPLE-bulk-x").status == 401)
            #expect(await journey.profile("EXAMPLE-bulk-").status == 401)
            #expect(journey.counters.accessTokens == 0)
        }
    }

    @Test func `holds people made on the fly to single use where it is told to`() async throws {
        try await Journey.run(.discord) { journey in
            func refresh(_ token: String) async -> String? { await journey.refresh(token)["refresh_token"] }
            func set(_ switches: String) async {
                #expect(await journey.control(#"{"site": "discord", "switches": {\#(switches)}}"#).status == 200)
            }
            let first = BulkPerson.refreshToken(7)
            await set(#""remembers_bulk_tokens": true, "reuse_grace": 600"#)
            let second = try #require(await refresh(first))
            #expect(await refresh(first) == second)
            await set(#""reuse_grace": 0"#)
            #expect(await refresh(first) == nil)
            #expect(await refresh(first + "-9") == nil)
            let third = try #require(await refresh(second))
            await set(#""reuse_revokes_family": true"#)
            #expect(await refresh(second) == nil)
            #expect(await refresh(third) == nil)
            #expect(await journey.profile(BulkPerson.accessToken(7)).status == 401)
            #expect(journey.counters.refreshes == 2)
            #expect(journey.counters.graceReplays == 1)
            #expect(journey.counters.reuseDetections == 2)
        }
    }
}
