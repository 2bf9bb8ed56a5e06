import Foundation
import ProviderSimulator
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(10))) struct ControlTests {
    @Test func `reports counters by site and endpoint`() async throws {
        try await Journey.run(.github) { journey in
            _ = try await journey.link()
            let report = await journey.client.get("/control")
            let github = try #require(report.json["github"] as? [String: Any])
            #expect(github["requests"] as? Int == 3)
            #expect(github["codes_exchanged"] as? Int == 1)
            #expect(github["access_tokens"] as? Int == 1)
            #expect(github["reuse_detections"] as? Int == 0)
            let token = try #require((github["endpoints"] as? [String: Any])?["token"] as? [String: Any])
            #expect(token["by_status"] as? [String: Int] == ["200": 1])
            #expect(token["concurrent_max"] as? Int == 1)
            #expect((report.json["oidc/work"] as? [String: Any])?["requests"] as? Int == 0)
            #expect(await journey.control(#"{"clear":["counters"]}"#).status == 200)
            #expect(journey.counters.requests == 0)
            #expect(journey.counters.accessTokens == 1)
        }
    }

    @Test func `changes a person's members, and refuses ones there are not`() async throws {
        try await Journey.run(.openID("work")) { journey in
            let access = try #require(try await journey.link()["access_token"])
            func change(_ person: String, _ body: String) async -> SocketClient.Response {
                await journey.client.send("POST", "/control/people/oidc/work/\(person)", body: body)
            }
            let changed = await change(journey.person, #"{"name":"New Name","email":null,"email_verified":false}"#)
            #expect(changed.status == 200)
            let profile = await journey.profile(access)
            #expect(profile["name"] == "New Name")
            #expect(profile.json["email"] == nil)
            for wrong in [#"{"nonsense":"x"}"#, #"{"email_verified":"yes"}"#, #"{"username":null}"#, "[1]", "{"] {
                #expect(await change(journey.person, wrong).status == 400)
            }
            #expect(await change("nobody", "{}").status == 404)
            let people = await journey.client.get("/control/people/oidc/work")
            #expect((people.jsonValue as? [[String: Any]])?.first?["name"] as? String == "New Name")
        }
    }

    @Test func `turns switches and registers clients`() async throws {
        try await Journey.run(.google) { journey in
            let answer = await journey.control(
                """
                [{"site":"google","switches":{"rotates_refresh_tokens":true,"access_token_lifetime":10,\
                "token_limit":{"count":1,"seconds":60}}},
                {"site":"google","client":{"id":"late","secret":"EXAMPLE","redirect_uris":["http://127.0.0.1:9/late"]}}]
                """)
            #expect(answer.status == 200, "\(answer.text)")
            let tokens = try await journey.link()
            #expect(tokens.json["expires_in"] as? Int == 10)
            #expect(try await journey.refresh(#require(tokens["refresh_token"]))["refresh_token"] != nil)
            let late = await journey.authorize(["client_id": "late", "redirect_uri": "http://127.0.0.1:9/late"])
            #expect(late.status == 200)
            _ = await journey.control(#"{"site":"google","switches":{"access_token_lifetime":0}}"#)
            #expect(try await journey.link().json["expires_in"] == nil)
        }
    }

    @Test(arguments: [
        "{", #"{"fault":{"kind":"status"}}"#, #"{"site":"nowhere","fault":{"kind":"status"}}"#,
        #"{"site":"discord","fault":{"kind":"nonsense"}}"#, #"{"site":"discord","fault":{"on":"token"}}"#,
        #"{"site":"discord","fault":{"kind":"status","on":"nowhere"}}"#, #"{"clear":["everything"]}"#,
        #"{"site":"discord","fault":{"kind":"status","time":2}}"#, #"{"site":"discord","switches":{"rotates":true}}"#,
        #"{"site":"discord","sort":1}"#, #"{"site":"discord","client":{"id":"x","redirect_uri":["y"]}}"#,
    ])
    func `refuses orders it does not understand and says why`(_ order: String) async throws {
        try await Journey.run(.discord) { journey in
            let answer = await journey.control(order)
            #expect(answer.status == 400)
            #expect(answer["error"]?.isEmpty == false)
            #expect(journey.counters.pendingFaults == 0)
        }
    }

    @Test func `a fault given without a count happens once, latency until cleared`() async throws {
        try await Journey.run(.discord) { journey in
            _ = await journey.control(#"{"site":"discord","fault":{"kind":"status","on":"profile"}}"#)
            #expect(await journey.profile(BulkPerson.accessToken(1)).status == 503)
            #expect(await journey.profile(BulkPerson.accessToken(1)).status == 200)
            _ = await journey.control(#"{"site":"discord","fault":{"kind":"latency","milliseconds":1}}"#)
            for _ in 0..<3 { #expect(await journey.profile(BulkPerson.accessToken(1)).status == 200) }
            #expect(journey.counters.pendingFaults == 1)
        }
    }

    @Test func `answers 404 outside of what it knows`() async throws {
        try await Journey.run(.discord) { journey in
            for path in [
                "/nowhere", "/discord", "/discord/api/v10/nothing", "/oidc/other/authorize", "/control/people/x",
            ] {
                #expect(await journey.client.get(path).status == 404, "\(path)")
            }
        }
    }
}

@Suite(.timeLimit(.minutes(10))) struct ChangingWorldTests {
    @Test func `moves on by the seed and says what changed`() async throws {
        var histories: [[String]] = []
        for seed in [3, 3, 4] as [UInt64] {
            let simulator = ProviderSimulator(SimulatorConfiguration(clients: [], seed: seed))
            var history: [String] = []
            for _ in 0..<40 { history.append(await simulator.advanceWorld()) }
            histories.append(history)
        }
        #expect(histories[0] == histories[1])
        #expect(histories[0] != histories[2])
        for kind in ["is now called", "took the user name", "new e-mail address", "new picture", "verified"] {
            #expect(histories[0].contains { $0.contains(kind) }, "\(kind)")
        }
    }

    @Test func `each step changes one person`() async throws {
        let simulator = ProviderSimulator(SimulatorConfiguration(clients: []))
        for _ in 0..<40 {
            let before = allSites.flatMap { simulator.people(at: $0) }
            await simulator.advanceWorld()
            let after = allSites.flatMap { simulator.people(at: $0) }
            #expect(zip(before, after).count { $0 != $1 } == 1)
        }
    }

    @Test func `those who granted access are the ones who change`() async throws {
        try await Journey.run(.discord) { journey in
            _ = try await journey.link()
            let granted = try #require(journey.simulator.people(at: .discord).first).id
            for _ in 0..<20 {
                let before = allSites.flatMap { journey.simulator.people(at: $0) }
                await journey.simulator.advanceWorld()
                let after = allSites.flatMap { journey.simulator.people(at: $0) }
                #expect(zip(before, after).filter { $0 != $1 }.map(\.0.id) == [granted])
            }
        }
    }

    @Test func `each step changes a tenth of the people made on the fly`() async throws {
        try await Journey.run(.discord) { journey in
            func names() async -> [String?] {
                var names: [String?] = []
                for number in 0..<20 {
                    names.append(await journey.profile(BulkPerson.accessToken(number))["global_name"])
                }
                return names
            }
            let before = await names()
            await journey.simulator.advanceWorld()
            let after = await names()
            #expect(zip(before, after).count { $0 != $1 } == 2)
        }
    }

    @Test func `changes by itself while it runs, and stops when cancelled`() async throws {
        let (news, announce) = AsyncStream<String>.makeStream()
        var configuration = SimulatorConfiguration(clients: [])
        configuration.changeInterval = .milliseconds(5)
        configuration.log = { announce.yield($0) }
        let simulator = ProviderSimulator(configuration)
        let running = Task { try await simulator.run() }
        var heard = 0
        for await _ in news {
            heard += 1
            if heard == 3 { break }
        }
        #expect(heard == 3)
        running.cancel()
        try await running.value
        #expect(simulator.baseURL.isEmpty)
    }

    @Test func `shows its people and news to a browser, escaped`() async throws {
        try await Journey.run(.discord) { journey in
            journey.simulator.change(site: .discord, person: journey.person) { $0.name = "<script>alert(1)</script>" }
            let page = await journey.client.get("/")
            #expect(page.status == 200)
            #expect(!page.text.contains("<script>"))
            #expect(page.text.contains("&lt;script&gt;"))
            let consent = await journey.authorize()
            #expect(!consent.text.contains("<script>"))
            #expect(consent.fields["content-security-policy"]?.contains("default-src 'none'") == true)
            let step = await journey.client.send("POST", "/advance", body: "")
            #expect(step.status == 303)
            #expect(await journey.client.get("/").text.contains("Of late"))
        }
    }

    @Test func `draws the same picture for the same seed`() async throws {
        try await Journey.run(.github) { journey in
            let one = await journey.client.get("/github/avatars/u/1?v=1")
            #expect(one.fields["content-type"] == "image/svg+xml")
            #expect(await journey.client.get("/github/avatars/u/1?v=1").body == one.body)
        }
    }

    @Test func `logs no token, code or secret`() async throws {
        let lines = Lines()
        try await Journey.run(.discord, { $0.log = { lines.append($0) } }) { journey in
            let tokens = try await journey.link()
            _ = await journey.refresh(try #require(tokens["refresh_token"]))
            _ = await journey.profile(try #require(tokens["access_token"]))
        }
        #expect(lines.all.count == 5)
        #expect(lines.all.contains("discord: token 200"))
        #expect(!lines.all.contains { $0.contains("EXAMPLE") })
    }

    @Test func `says when its port is taken, and can start again elsewhere`() async throws {
        try await Journey.run(.discord) { journey in
            var configuration = SimulatorConfiguration(clients: [])
            configuration.port = journey.client.port
            let second = ProviderSimulator(configuration)
            await #expect(throws: (any Error).self) { try await second.start() }
            #expect(second.baseURL.isEmpty)
        }
    }
}

private final class Lines: Sendable {
    private let lines = Mutex<[String]>([])
    var all: [String] { lines.withLock { $0 } }
    func append(_ line: String) { lines.withLock { $0.append(line) } }
}
