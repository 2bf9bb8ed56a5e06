import Foundation
import ProviderSimulator
import Testing

@Suite(.timeLimit(.minutes(10))) struct FaultTests {
    @Test func `fails with a status as often as asked, at the endpoint asked`() async throws {
        try await Journey.run(.discord) { journey in
            let answer = await journey.control(
                #"{"site":"discord","fault":{"kind":"status","status":503,"times":2,"on":"token"}}"#)
            #expect(answer.status == 200, "\(answer.text)")
            #expect(journey.counters.pendingFaults == 1)
            #expect(await journey.profile(BulkPerson.accessToken(1)).status == 200)
            #expect(await journey.refresh("x").status == 503)
            #expect(await journey.refresh("x").status == 503)
            #expect(await journey.refresh("x").status == 400)
            let counters = journey.counters
            #expect(counters[.token].byStatus == ["503": 2, "400": 1])
            #expect(counters.faultsMet == 2)
            #expect(counters.pendingFaults == 0)
        }
    }

    @Test func `loses the answer of a rotation that took place`() async throws {
        try await Journey.run(.discord) { journey in
            let first = try await journey.link()
            try journey.simulator.inject(SimulatedFault(.drop, on: .token), at: .discord)
            let lost = await journey.refresh(try #require(first["refresh_token"]))
            #expect(lost.status == nil)
            #expect(journey.counters.refreshes == 1)
            #expect(journey.counters[.token].byStatus == ["200": 1, "none": 1])
            #expect(try await journey.refresh(#require(first["refresh_token"]))["error"] == "invalid_grant")
        }
    }

    @Test func `closes the connection before it does anything`() async throws {
        try await Journey.run(.discord) { journey in
            let first = try await journey.link()
            try journey.simulator.inject(SimulatedFault(.refuse, on: .token), at: .discord)
            #expect(try await journey.refresh(#require(first["refresh_token"])).status == nil)
            #expect(journey.counters.refreshes == 0)
            #expect(try await journey.refresh(#require(first["refresh_token"])).status == 200)
        }
    }

    @Test func `cuts an answer in the middle after doing what was asked`() async throws {
        try await Journey.run(.github) { journey in
            try journey.simulator.inject(SimulatedFault(.cut, on: .profile), at: .github)
            let cut = await journey.profile(BulkPerson.accessToken(1))
            #expect(cut.status == 200)
            #expect(!cut.isComplete)
            #expect(!cut.body.isEmpty)
            #expect(await journey.profile(BulkPerson.accessToken(1)).isComplete)
        }
    }

    @Test func `spends the token before a broken answer where asked to`() async throws {
        try await Journey.run(.discord) { journey in
            for kind in [SimulatedFault.Kind.status, .html, .brokenJSON, .empty, .oversized] {
                let first = try await journey.link()
                try journey.simulator.inject(
                    SimulatedFault(kind, on: .token) {
                        $0.afterEffect = true
                        $0.bytes = 1000
                    }, at: .discord)
                _ = await journey.refresh(try #require(first["refresh_token"]))
                #expect(try await journey.refresh(#require(first["refresh_token"]))["error"] == "invalid_grant")
            }
            #expect(journey.counters.refreshes == 5)
        }
    }

    @Test func `answers with broken JSON, HTML, nothing, too much or under a wrong name`() async throws {
        try await Journey.run(.google) { journey in
            func meet(_ kind: SimulatedFault.Kind, _ change: (inout SimulatedFault) -> Void = { _ in }) async throws
                -> SocketClient.Response
            {
                try journey.simulator.inject(SimulatedFault(kind, on: .profile, change), at: .google)
                return await journey.profile(BulkPerson.accessToken(1))
            }
            let broken = try await meet(.brokenJSON)
            #expect(broken.status == 200 && broken.isComplete && broken.jsonValue == nil)
            let html = try await meet(.html) { $0.status = 502 }
            #expect(html.status == 502 && html.fields["content-type"]?.hasPrefix("text/html") == true)
            let empty = try await meet(.empty)
            #expect(empty.status == 200 && empty.body.isEmpty)
            let large = try await meet(.oversized) { $0.bytes = 3_000_000 }
            #expect(large.body.count == 3_000_000 && large.isComplete && large.jsonValue != nil)
            let named = try await meet(.contentType) { $0.contentType = "text/javascript" }
            #expect(named.fields["content-type"] == "text/javascript" && named["sub"] != nil)
            let redirect = try await meet(.redirect) { $0.location = "http://127.0.0.1:1/elsewhere" }
            #expect(redirect.status == 302 && redirect.fields["location"] == "http://127.0.0.1:1/elsewhere")
        }
    }

    @Test func `quirk G1: gives Retry-After in seconds or as a date`() async throws {
        try await Journey.run(.openID("work")) { journey in
            for asDate in [false, true] {
                try journey.simulator.inject(
                    SimulatedFault(.limited) {
                        $0.retryAfter = 60
                        $0.asDate = asDate
                    }, at: journey.site)
                let limited = await journey.profile(BulkPerson.accessToken(1))
                #expect(limited.status == 429)
                #expect(limited.fields["retry-after"] == (asDate ? "Fri, 20 Nov 2026 14:43:53 GMT" : "60"))
            }
        }
    }

    @Test(arguments: allSites)
    func `refuses grant or client in the site's own words`(_ site: SimulatedSite) async throws {
        try await Journey.run(site) { journey in
            journey.simulator.setSwitches(of: site) { $0.accessTokenLifetime = 100 }
            let refresh = try #require(try await journey.link()["refresh_token"])
            try journey.simulator.inject(SimulatedFault(.invalidGrant), at: site)
            try journey.simulator.inject(SimulatedFault(.invalidClient), at: site)
            #expect(await journey.profile(BulkPerson.accessToken(1)).status == 200)
            #expect(
                await journey.refresh(refresh)["error"] == (site == .github ? "bad_refresh_token" : "invalid_grant"))
            #expect(
                await journey.refresh(refresh)["error"]
                    == (site == .github ? "incorrect_client_credentials" : "invalid_client"))
            // Neither was true.
            #expect(await journey.refresh(refresh)["access_token"] != nil)
        }
    }

    @Test(arguments: allSites)
    func `revokes the grants of one person`(_ site: SimulatedSite) async throws {
        try await Journey.run(site) { journey in
            let one = try await journey.link()
            let two = try await journey.link(person: journey.simulator.people(at: site)[1].id)
            let answer = await journey.control(
                #"{"site":"\#(site)","fault":{"kind":"revoke","person":"\#(journey.person)"}}"#)
            #expect(answer.status == 200)
            #expect(try await journey.profile(#require(one["access_token"])).status == 401)
            #expect(try await journey.profile(#require(two["access_token"])).status == 200)
            if let refresh = one["refresh_token"] {
                #expect(await journey.refresh(refresh)["access_token"] == nil)
            }
        }
    }

    @Test(arguments: allSites)
    func `expires access tokens and leaves refresh tokens alone`(_ site: SimulatedSite) async throws {
        try await Journey.run(site) { journey in
            journey.simulator.setSwitches(of: site) { $0.accessTokenLifetime = 3600 }
            let tokens = try await journey.link()
            try journey.simulator.inject(SimulatedFault(.expireAccessTokens), at: site)
            #expect(try await journey.profile(#require(tokens["access_token"])).status == 401)
            let refreshed = await journey.refresh(try #require(tokens["refresh_token"]))
            #expect(try await journey.profile(#require(refreshed["access_token"])).status == 200)
            try journey.simulator.inject(SimulatedFault(.expireRefreshTokens), at: site)
            let last = refreshed["refresh_token"] ?? tokens["refresh_token"]
            #expect(try await journey.refresh(#require(last))["access_token"] == nil)
        }
    }

    @Test(arguments: allSites)
    func `suspends a person and lets them come back`(_ site: SimulatedSite) async throws {
        try await Journey.run(site) { journey in
            journey.simulator.setSwitches(of: site) { $0.accessTokenLifetime = 3600 }
            let tokens = try await journey.link()
            let access = try #require(tokens["access_token"])
            try journey.simulator.inject(SimulatedFault(.suspend) { $0.person = journey.person }, at: site)
            #expect(await journey.profile(access).status == (site == .github ? 403 : 401))
            #expect(try await journey.refresh(#require(tokens["refresh_token"]))["access_token"] == nil)
            #expect(await journey.authorize().text.contains("suspended"))
            try journey.simulator.inject(SimulatedFault(.resume), at: site)
            #expect(await journey.profile(access).status == 200)
            #expect(try await journey.refresh(#require(tokens["refresh_token"]))["access_token"] != nil)
        }
    }

    @Test func `waits before it answers`() async throws {
        try await Journey.run(.discord) { journey in
            try journey.simulator.inject(
                SimulatedFault(.latency, on: .profile, times: nil) { $0.milliseconds = 150 }, at: .discord)
            let start = ContinuousClock.now
            #expect(await journey.profile(BulkPerson.accessToken(1)).status == 200)
            #expect(ContinuousClock.now - start >= .milliseconds(150))
            #expect(journey.counters.pendingFaults == 1)
            journey.simulator.clearFaults(at: .discord)
            #expect(journey.counters.pendingFaults == 0)
        }
    }

    @Test func `puts any answer in the place of its own`() async throws {
        try await Journey.run(.discord) { journey in
            try journey.simulator.inject(
                SimulatedFault(.status, on: .token) {
                    $0.status = 200
                    $0.body = #"{"access_token":"EXAMPLE","expires_in":"3600"}"#
                }, at: .discord)
            let answer = await journey.refresh("x")
            #expect(answer.fields["content-type"] == "application/json")
            #expect(answer.text == #"{"access_token":"EXAMPLE","expires_in":"3600"}"#)
        }
    }

    @Test func `counts what is under way together`() async throws {
        try await Journey.run(.discord) { journey in
            try journey.simulator.inject(SimulatedFault(.hang, on: .profile, times: nil), at: .discord)
            await withTaskGroup(of: Int?.self) { group in
                for number in 0..<8 {
                    group.addTask { await journey.profile(BulkPerson.accessToken(number)).status }
                }
                while journey.counters[.profile].concurrentMax < 8 { await Task.yield() }
                #expect(journey.counters.concurrentMax == 8)
                #expect(journey.counters[.profile].byStatus == [:])
                await journey.simulator.stop()
                for await status in group { #expect(status == nil) }
            }
            #expect(journey.counters[.profile].requests == 8)
            #expect(journey.counters[.profile].concurrentMax == 8)
        }
    }

    @Test func `stops although a client keeps its connection`() async throws {
        try await Journey.run(.discord) { journey in
            let connection = try #require(await journey.client.keptConnection("/control"))
            await journey.simulator.stop()
            #expect(await journey.client.get("/control").status == nil)
            #expect(journey.simulator.baseURL.isEmpty)
            connection.close()
        }
    }

    @Test func `lets go of what hangs when it stops`() async throws {
        try await Journey.run(.discord) { journey in
            try journey.simulator.inject(SimulatedFault(.hang, on: .profile), at: .discord)
            async let hanging = journey.profile(BulkPerson.accessToken(1))
            while journey.counters[.profile].requests == 0 { await Task.yield() }
            await journey.simulator.stop()
            #expect(await hanging.status == nil)
        }
    }
}
