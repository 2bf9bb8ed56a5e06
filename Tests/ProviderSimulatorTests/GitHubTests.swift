import Foundation
import ProviderSimulator
import Testing

@Suite(.timeLimit(.minutes(10))) struct GitHubTests {
    @Test func `quirk C15, D3: answers with a form unless JSON is accepted`() async throws {
        try await Journey.run(.github) { journey in
            let form = await journey.token(
                [
                    ("grant_type", "authorization_code"), ("code", try await journey.code()),
                    ("redirect_uri", Journey.redirectURI), ("code_verifier", Journey.verifier),
                ], [:])
            #expect(form.status == 200)
            #expect(form.fields["content-type"]?.hasPrefix("application/x-www-form-urlencoded") == true)
            #expect(form.text.contains("scope=read%3Auser%2Cuser%3Aemail"))
            #expect(form.text.hasPrefix("access_token=gho_EXAMPLE"))
            let error = await journey.token([("grant_type", "authorization_code"), ("code", "x")], [:])
            #expect(error.status == 200)
            #expect(error.text.hasPrefix("error=bad_verification_code&"))
        }
    }

    @Test func `quirk D1: answers errors with status 200`() async throws {
        try await Journey.run(.github) { journey in
            let code = await journey.exchange("EXAMPLE-never-issued")
            #expect(code.status == 200)
            #expect(code["error"] == "bad_verification_code")
            let client = await journey.client.post(
                journey.tokenPath, form: [("client_id", Journey.clientID), ("client_secret", "x"), ("code", "y")],
                ["accept": "application/json"])
            #expect(client.status == 200)
            #expect(client["error"] == "incorrect_client_credentials")
        }
    }

    @Test func `quirk D11, D16: issues one token that never expires, its scope joined by commas`() async throws {
        try await Journey.run(.github) { journey in
            let response = try await journey.link()
            #expect(response["scope"] == "read:user,user:email")
            #expect(response["token_type"] == "bearer")
            #expect(response.json["expires_in"] == nil)
            #expect(response.json["refresh_token"] == nil)
            journey.clock.advance(seconds: 300 * 86_400)
            #expect(try await journey.profile(#require(response["access_token"])).status == 200)
        }
    }

    @Test func `quirk D15, E1: issues tokens of eight hours with single-use refresh tokens, by a switch`() async throws
    {
        try await Journey.run(.github) { journey in
            journey.simulator.setSwitches(of: .github) { $0.accessTokenLifetime = 28_800 }
            let first = try await journey.link()
            #expect(first.json["expires_in"] as? Int == 28_800)
            #expect(first.json["refresh_token_expires_in"] as? Int == 15_811_200)
            let second = await journey.refresh(try #require(first["refresh_token"]))
            #expect(second["access_token"] != nil)
            // The old pair is dead at once.
            #expect(try await journey.profile(#require(first["access_token"])).status == 401)
            let reused = await journey.refresh(try #require(first["refresh_token"]))
            #expect(reused.status == 200)
            #expect(reused["error"] == "bad_refresh_token")
            journey.clock.advance(seconds: 15_811_200)
            #expect(try await journey.refresh(#require(second["refresh_token"]))["error"] == "bad_refresh_token")
        }
    }

    @Test func `quirk F15, F17: has a number for an id, and shows no private address`() async throws {
        try await Journey.run(.github) { journey in
            let access = try #require(try await journey.link()["access_token"])
            let user = await journey.profile(access)
            #expect(user.text.contains("\"id\":99123451,"))
            #expect(user["login"] == "mira-example")
            #expect(user.json["email"] is NSNull)
            #expect(user.json["plan"] != nil)
            #expect(user.fields["x-oauth-scopes"] == "read:user, user:email")
            #expect(user.fields["x-ratelimit-reset"] == "1795189373")
            #expect(user.fields["x-ratelimit-remaining"] == "4999")
        }
    }

    @Test func `quirk F1: takes the scheme token as well`() async throws {
        try await Journey.run(.github) { journey in
            #expect(await journey.profile("x", ["authorization": "token \(BulkPerson.accessToken(1))"]).status == 200)
        }
    }

    @Test func `quirk F16: lists addresses with user:email, and knows of none without`() async throws {
        try await Journey.run(.github) { journey in
            func emails(_ scope: String) async throws -> SocketClient.Response {
                let access = try #require(try await journey.link(["scope": scope])["access_token"])
                return await journey.client.get("/github/api/user/emails", ["authorization": "Bearer \(access)"])
            }
            let with = try await emails("user:email")
            let primary = (with.jsonValue as? [[String: Any]])?.first { $0["primary"] as? Bool == true }
            #expect(primary?["email"] as? String == "mira@example.com")
            #expect(primary?["verified"] as? Bool == true)
            let without = try await emails("read:user")
            #expect(without.status == 404)
            #expect(without["message"] == "Not Found")
        }
    }

    @Test func `refuses requests without a User-Agent`() async throws {
        try await Journey.run(.github) { journey in
            #expect(await journey.token([("grant_type", "refresh_token")], ["user-agent": ""]).status == 200)
            let response = await journey.profile(BulkPerson.accessToken(1), ["user-agent": ""])
            #expect(response.status == 403)
            #expect(response.fields["content-type"]?.hasPrefix("text/html") == true)
        }
    }

    @Test func `answers 304 to a known tag and counts nothing for it`() async throws {
        try await Journey.run(.github) { journey in
            let access = try #require(try await journey.link()["access_token"])
            let first = await journey.profile(access)
            let tag = try #require(first.fields["etag"])
            #expect(first.fields["last-modified"] == "Fri, 20 Nov 2026 14:42:53 GMT")
            let second = await journey.profile(access, ["if-none-match": tag])
            #expect(second.status == 304)
            #expect(second.body.isEmpty)
            #expect(second.fields["x-ratelimit-remaining"] == "4999")
            journey.simulator.change(site: .github, person: journey.person) { $0.username = "mira-renamed" }
            let third = await journey.profile(access, ["if-none-match": tag])
            #expect(third.status == 200)
            #expect(third["login"] == "mira-renamed")
            #expect(third.fields["x-ratelimit-remaining"] == "4998")
            #expect(third.text.contains("\"id\":99123451,"))
        }
    }

    @Test func `quirk R2: ends a token or a whole grant for the app that holds it`() async throws {
        try await Journey.run(.github) { journey in
            let one = try #require(try await journey.link()["access_token"])
            let two = try #require(try await journey.link()["access_token"])
            let three = try #require(try await journey.link()["access_token"])
            let credentials = Data("\(Journey.clientID):\(Journey.clientSecret)".utf8).base64EncodedString()
            func delete(_ what: String, _ body: String, _ basic: String = credentials) async -> Int? {
                await journey.client.send(
                    "DELETE", "/github/api/applications/\(Journey.clientID)/\(what)",
                    ["authorization": "Basic \(basic)", "content-type": "application/json"], body: body
                ).status
            }
            #expect(await delete("token", #"{"access_token":"\#(one)"}"#) == 204)
            #expect(await journey.profile(one).status == 401)
            #expect(await journey.profile(two).status == 200)
            #expect(await delete("token", #"{"access_token":"\#(one)"}"#) == 404)
            #expect(await delete("token", "{}") == 422)
            #expect(await delete("token", #"{"access_token":"\#(two)"}"#, "eDp5") == 401)
            #expect(await delete("grant", #"{"access_token":"\#(two)"}"#) == 204)
            #expect(await journey.profile(three).status == 401)
            #expect(journey.counters.grants == 0)
        }
    }

    @Test func `tells an app about a token`() async throws {
        try await Journey.run(.github) { journey in
            let access = try #require(try await journey.link()["access_token"])
            let credentials = Data("\(Journey.clientID):\(Journey.clientSecret)".utf8).base64EncodedString()
            let response = await journey.client.send(
                "POST", "/github/api/applications/\(Journey.clientID)/token",
                ["authorization": "Basic \(credentials)", "content-type": "application/json"],
                body: #"{"access_token":"\#(access)"}"#)
            #expect(response.status == 200)
            #expect((response.json["user"] as? [String: Any])?["login"] as? String == "mira-example")
        }
    }

    @Test func `quirk E11: keeps ten tokens of a person, app and scope`() async throws {
        try await Journey.run(.github) { journey in
            var tokens: [String] = []
            for _ in 0..<11 { tokens.append(try #require(try await journey.link()["access_token"])) }
            #expect(await journey.profile(tokens[0]).status == 401)
            #expect(await journey.profile(tokens[1]).status == 200)
            #expect(journey.counters.accessTokens == 10)
        }
    }

    @Test func `quirk G4: spends the primary limit with 403 and the epoch of its end`() async throws {
        try await Journey.run(.github) { journey in
            journey.simulator.setSwitches(of: .github) { $0.tokenLimit = SimulatedLimit(count: 1, seconds: 3600) }
            let access = try #require(try await journey.link()["access_token"])
            #expect(await journey.profile(access).status == 200)
            let limited = await journey.profile(access)
            #expect(limited.status == 403)
            #expect(limited.fields["x-ratelimit-remaining"] == "0")
            #expect(limited.fields["x-ratelimit-reset"] == "1795189373")
            #expect(limited.fields["retry-after"] == nil)
            #expect(limited["message"]?.hasPrefix("API rate limit exceeded for user ID 99123451.") == true)
        }
    }

    @Test func `plays the secondary limit with and without Retry-After`() async throws {
        try await Journey.run(.github) { journey in
            try journey.simulator.inject(
                SimulatedFault(.limited) {
                    $0.reach = "secondary"
                    $0.retryAfter = 60
                }, at: .github)
            try journey.simulator.inject(
                SimulatedFault(.limited) {
                    $0.reach = "secondary"
                    $0.status = 429
                }, at: .github)
            let first = await journey.profile(BulkPerson.accessToken(1))
            #expect(first.status == 403)
            #expect(first.fields["retry-after"] == "60")
            #expect(first.fields["x-ratelimit-remaining"] == "4987")
            let second = await journey.profile(BulkPerson.accessToken(1))
            #expect(second.status == 429)
            #expect(second.fields["retry-after"] == nil)
            #expect(second["message"]?.hasPrefix("You have exceeded a secondary rate limit.") == true)
        }
    }
}
