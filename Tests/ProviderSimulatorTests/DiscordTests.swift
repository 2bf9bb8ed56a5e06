import Foundation
import ProviderSimulator
import Testing

@Suite(.timeLimit(.minutes(10))) struct DiscordTests {
    @Test func `has the shape of the recorded user`() async throws {
        try await Journey.run(.discord) { journey in
            let access = try #require(try await journey.link()["access_token"])
            let user = await journey.profile(access)
            #expect(user.json["id"] is String)
            #expect(user["username"] == "mira-example")
            #expect(user["global_name"] == "Mira Example")
            #expect(user["avatar"]?.hasPrefix("a_") == true)
            #expect(user["discriminator"] == "0")
            #expect(user["email"] == "mira@example.com")
            #expect(user.json["verified"] as? Bool == true)
            for name in ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "x-ratelimit-reset-after"] {
                #expect(user.fields[name] != nil)
            }
            #expect(user.fields["x-ratelimit-reset-after"] == "1.000")
            #expect(user.fields["x-ratelimit-reset"] == "1795185774.000")
        }
    }

    @Test func `quirk F19: shows an account that never moved to user names, without a name or picture`() async throws {
        try await Journey.run(.discord) { journey in
            let person = journey.simulator.people(at: .discord)[1].id
            let access = try #require(try await journey.link(person: person, ["scope": "identify"])["access_token"])
            let user = await journey.profile(access)
            #expect(user["discriminator"] == "1337")
            #expect(user.json["global_name"] is NSNull)
            #expect(user.json["avatar"] is NSNull)
            #expect(user.json["email"] == nil)
        }
    }

    @Test func `says that an account has no address`() async throws {
        try await Journey.run(.discord) { journey in
            let person = journey.simulator.people(at: .discord)[2].id
            let user = await journey.profile(try #require(try await journey.link(person: person)["access_token"]))
            #expect(user.json["email"] is NSNull)
            #expect(user.json["verified"] as? Bool == false)
        }
    }

    @Test func `quirk C6: refuses a JSON body at the token and revocation endpoints`() async throws {
        try await Journey.run(.discord) { journey in
            for path in [journey.tokenPath, journey.tokenPath + "/revoke"] {
                let response = await journey.client.send(
                    "POST", path, ["content-type": "application/json"], body: #"{"grant_type":"refresh_token"}"#)
                #expect(response.status == 400)
                #expect(response["message"] == "400: Bad Request")
                #expect(response.json["code"] as? Int == 0)
            }
        }
    }

    @Test func `answers a wrong secret with 401 and a dead refresh token with 400`() async throws {
        try await Journey.run(.discord) { journey in
            let client = await journey.client.post(
                journey.tokenPath, form: [("grant_type", "refresh_token"), ("client_id", Journey.clientID)])
            #expect(client.status == 401)
            #expect(client["error"] == "invalid_client")
            let token = await journey.refresh("EXAMPLE-never-issued")
            #expect(token.status == 400)
            #expect(token["error"] == "invalid_grant")
            #expect(token["error_description"] == #"Invalid "refresh_token" in request"#)
        }
    }

    @Test func `quirk E1: spends a refresh token at its first use`() async throws {
        try await Journey.run(.discord) { journey in
            let first = try await journey.link()
            let second = await journey.refresh(try #require(first["refresh_token"]))
            #expect(second["refresh_token"] != first["refresh_token"])
            #expect(second["access_token"] != first["access_token"])
            #expect(second["scope"] == "identify email")
            #expect(second.json["expires_in"] as? Int == 604_800)
            let reused = await journey.refresh(try #require(first["refresh_token"]))
            #expect(reused["error"] == "invalid_grant")
            #expect(journey.counters.refreshes == 1)
            #expect(journey.counters.reuseDetections == 1)
            // Without the switch the family lives on.
            #expect(try await journey.refresh(#require(second["refresh_token"])).status == 200)
        }
    }

    @Test func `quirk E2: ends the family on reuse, by a switch`() async throws {
        try await Journey.run(.discord) { journey in
            journey.simulator.setSwitches(of: .discord) { $0.reuseRevokesFamily = true }
            let first = try await journey.link()
            let second = await journey.refresh(try #require(first["refresh_token"]))
            _ = await journey.refresh(try #require(first["refresh_token"]))
            #expect(try await journey.refresh(#require(second["refresh_token"]))["error"] == "invalid_grant")
            #expect(try await journey.profile(#require(second["access_token"])).status == 401)
        }
    }

    @Test func `quirk E3: repeats its answer within the grace, by a switch`() async throws {
        try await Journey.run(.discord) { journey in
            journey.simulator.setSwitches(of: .discord) { $0.reuseGrace = 30 }
            let first = try await journey.link()
            let old = try #require(first["refresh_token"])
            let second = await journey.refresh(old)
            let repeated = await journey.refresh(old)
            #expect(repeated["refresh_token"] == second["refresh_token"])
            #expect(repeated["access_token"] == second["access_token"])
            #expect(journey.counters.graceReplays == 1)
            journey.clock.advance(seconds: 31)
            #expect(await journey.refresh(old)["error"] == "invalid_grant")
        }
    }

    @Test func `repeats within the grace only what is still good, for as long as it is`() async throws {
        try await Journey.run(.discord) { journey in
            journey.simulator.setSwitches(of: .discord) { $0.reuseGrace = 600 }
            let old = try #require(try await journey.link()["refresh_token"])
            let second = await journey.refresh(old)
            #expect(second.json["expires_in"] as? Int == 604_800)
            journey.clock.advance(seconds: 100)
            #expect(await journey.refresh(old).json["expires_in"] as? Int == 604_700)
            // The successor is spent in its turn: what it stood for is nobody's any more.
            #expect(try await journey.refresh(#require(second["refresh_token"])).status == 200)
            #expect(await journey.refresh(old)["error"] == "invalid_grant")
            #expect(journey.counters.graceReplays == 1 && journey.counters.reuseDetections == 1)
        }
    }

    @Test func `a token that is spent already ends nothing`() async throws {
        try await Journey.run(.discord) { journey in
            let spent = try #require(try await journey.link()["refresh_token"])
            let second = await journey.refresh(spent)
            let response = await journey.client.post(
                journey.tokenPath + "/revoke",
                form: [("token", spent), ("client_id", Journey.clientID), ("client_secret", Journey.clientSecret)])
            #expect(response.status == 200)
            #expect(try await journey.profile(#require(second["access_token"])).status == 200)
        }
    }

    @Test func `lets an access token live for a week`() async throws {
        try await Journey.run(.discord) { journey in
            let access = try #require(try await journey.link()["access_token"])
            journey.clock.advance(seconds: 604_799)
            #expect(await journey.profile(access).status == 200)
            journey.clock.advance(seconds: 1)
            let dead = await journey.profile(access)
            #expect(dead.status == 401)
            #expect(dead["message"] == "401: Unauthorized")
        }
    }

    @Test func `quirk R1: ends everything of a person and client whichever token is revoked`() async throws {
        try await Journey.run(.discord) { journey in
            let one = try await journey.link()
            let two = try await journey.link()
            let other = try await journey.link(person: journey.simulator.people(at: .discord)[1].id)
            let response = await journey.client.post(
                journey.tokenPath + "/revoke",
                form: [
                    ("token", try #require(one["access_token"])), ("client_id", Journey.clientID),
                    ("client_secret", Journey.clientSecret),
                ])
            #expect(response.status == 200)
            #expect(try await journey.profile(#require(two["access_token"])).status == 401)
            #expect(try await journey.refresh(#require(two["refresh_token"]))["error"] == "invalid_grant")
            #expect(try await journey.profile(#require(other["access_token"])).status == 200)
            // A token that is dead already is answered alike (RFC 7009 §2.2).
            let again = await journey.client.post(
                journey.tokenPath + "/revoke",
                form: [
                    ("token", try #require(one["access_token"])), ("client_id", Journey.clientID),
                    ("client_secret", Journey.clientSecret),
                ])
            #expect(again.status == 200)
        }
    }

    @Test func `chooses the person hinted at, or remembered, or the first who may`() async throws {
        try await Journey.run(.discord) { journey in
            let people = journey.simulator.people(at: .discord)
            func checked(_ person: SimulatedPerson) -> String { "value=\"\(person.id)\" checked" }
            #expect(await journey.authorize().text.contains(checked(people[0])))
            #expect(await journey.authorize(["login_hint": people[1].email]).text.contains(checked(people[1])))
            let remembered = await journey.authorize(cookie: "simulated_person=\(people[2].id)")
            #expect(remembered.text.contains(checked(people[2])))
            try journey.simulator.inject(SimulatedFault(.suspend) { $0.person = people[0].id }, at: .discord)
            #expect(await journey.authorize().text.contains(checked(people[1])))
        }
    }

    @Test func `quirk A18: skips the page with prompt=none for a browser it knows`() async throws {
        try await Journey.run(.discord) { journey in
            let allowed = try await journey.decide(
                await journey.authorize(), [("person", journey.person), ("decision", "allow")])
            let cookie = try #require(allowed.fields["set-cookie"]?.components(separatedBy: ";").first)
            let silent = await journey.authorize(["prompt": "none"], cookie: cookie)
            #expect(silent.callback["code"] != nil)
            #expect(await journey.authorize(["prompt": "none"]).status == 200)
            #expect(
                await journey.authorize(["prompt": "none", "scope": "identify guilds"], cookie: cookie).status == 200)
        }
    }

    @Test func `refuses unknown scopes and resources without theirs`() async throws {
        try await Journey.run(.discord) { journey in
            #expect(await journey.authorize(["scope": "identify nonsense"]).callback["error"] == "invalid_scope")
            let access = try #require(try await journey.link()["access_token"])
            let guilds = await journey.client.get(
                journey.profilePath + "/guilds", ["authorization": "Bearer \(access)"])
            #expect(guilds.status == 403)
            #expect(guilds.json["code"] as? Int == 50026)
        }
    }

    @Test func `limits a token by route and says for how long`() async throws {
        try await Journey.run(.discord) { journey in
            journey.simulator.setSwitches(of: .discord) { $0.tokenLimit = SimulatedLimit(count: 2, seconds: 65) }
            let access = try #require(try await journey.link()["access_token"])
            #expect(await journey.profile(access).fields["x-ratelimit-remaining"] == "1")
            #expect(await journey.profile(access).fields["x-ratelimit-remaining"] == "0")
            let limited = await journey.profile(access)
            #expect(limited.status == 429)
            #expect(limited.fields["retry-after"] == "65")
            #expect(limited.fields["x-ratelimit-scope"] == "user")
            #expect(limited.json["retry_after"] as? Double == 65)
            #expect(limited.json["global"] as? Bool == false)
            #expect(journey.counters.limited == 1)
            journey.clock.advance(seconds: 65)
            #expect(await journey.profile(access).status == 200)
        }
    }

    @Test func `limits the whole client with the global scope and no bucket`() async throws {
        try await Journey.run(.discord) { journey in
            journey.simulator.setSwitches(of: .discord) { $0.clientLimit = SimulatedLimit(count: 3, seconds: 1) }
            for number in 0..<3 { #expect(await journey.profile(BulkPerson.accessToken(number)).status == 200) }
            let limited = await journey.profile(BulkPerson.accessToken(3))
            #expect(limited.status == 429)
            #expect(limited.fields["x-ratelimit-global"] == "true")
            #expect(limited.fields["x-ratelimit-scope"] == "global")
            #expect(limited.fields["x-ratelimit-bucket"] == nil)
        }
    }

    @Test(arguments: ["user", "shared", "global", "ban"])
    func `plays each kind of limit on demand`(_ reach: String) async throws {
        try await Journey.run(.discord) { journey in
            try journey.simulator.inject(
                SimulatedFault(.limited, on: .profile) {
                    $0.reach = reach
                    $0.retryAfter = 600
                }, at: .discord)
            let limited = await journey.profile(BulkPerson.accessToken(1))
            #expect(limited.status == 429)
            #expect(limited.fields["retry-after"] == "600")
            #expect(limited.fields["x-ratelimit-scope"] == (reach == "ban" ? nil : reach))
            #expect(limited.text == "error code: 1015" || reach != "ban")
            #expect(await journey.profile(BulkPerson.accessToken(1)).status == 200)
        }
    }

    @Test func `quirk G10: bans an address that makes too many invalid requests`() async throws {
        try await Journey.run(.discord) { journey in
            journey.simulator.setSwitches(of: .discord) {
                $0.invalidRequestLimit = SimulatedLimit(count: 3, seconds: 600)
            }
            for _ in 0..<3 { #expect(await journey.profile("EXAMPLE-dead").status == 401) }
            let banned = await journey.profile(BulkPerson.accessToken(1))
            #expect(banned.status == 429)
            #expect(banned.text == "error code: 1015")
            #expect(banned.fields["retry-after"] == "600")
            journey.clock.advance(seconds: 600)
            #expect(await journey.profile(BulkPerson.accessToken(1)).status == 200)
        }
    }

    @Test func `quirk E16: refuses a refreshed token for a while, by a switch`() async throws {
        try await Journey.run(.discord) { journey in
            journey.simulator.setSwitches(of: .discord) { $0.refreshedTokenRefusals = 2 }
            let refreshed = await journey.refresh(try #require(try await journey.link()["refresh_token"]))
            let access = try #require(refreshed["access_token"])
            #expect(await journey.profile(access).status == 401)
            #expect(await journey.profile(access).status == 401)
            #expect(await journey.profile(access).status == 200)
        }
    }

    @Test func `quirk F8: wants the User-Agent of a bot, at every endpoint`() async throws {
        try await Journey.run(.discord) { journey in
            for agent in ["", "curl/8", "DiscordBot", "DiscordBot (https://example.com)", "DiscordBot ()"] {
                let profile = await journey.profile(BulkPerson.accessToken(1), ["user-agent": agent])
                #expect(profile.status == 403, "\(agent)")
                let token = await journey.token([("grant_type", "refresh_token")], ["user-agent": agent])
                #expect(token.status == 403, "\(agent)")
            }
            for agent in ["DiscordBot (https://example.com, 1)", "DiscordBot (https://example.com, 1.2.3) more/1"] {
                let profile = await journey.profile(BulkPerson.accessToken(1), ["user-agent": agent])
                #expect(profile.status == 200, "\(agent)")
            }
        }
    }

    @Test func `takes fifty requests a second from everyone together, those for tokens too`() async throws {
        try await Journey.run(.discord) { journey in
            for number in 0..<25 {
                #expect(await journey.profile(BulkPerson.accessToken(number)).status == 200)
                #expect(await journey.refresh("x").status == 400)
            }
            let refresh = await journey.refresh("x")
            #expect(refresh.status == 429 && refresh.fields["x-ratelimit-scope"] == "global")
            #expect(await journey.profile(BulkPerson.accessToken(1)).status == 429)
            journey.clock.advance(seconds: 1)
            #expect(await journey.profile(BulkPerson.accessToken(1)).status == 200)
        }
    }

    @Test func `tells the scopes and the end of a token`() async throws {
        try await Journey.run(.discord) { journey in
            let access = try #require(try await journey.link()["access_token"])
            let response = await journey.client.get(
                "/discord/api/v10/oauth2/@me", ["authorization": "Bearer \(access)"])
            #expect(response.json["scopes"] as? [String] == ["email", "identify"])
            #expect(response["expires"] == "2026-11-27T14:42:53.000000+00:00")
        }
    }
}
