import Accounts
import Foundation
import JSON
import ProviderSimulator
import Store
import TestSupport
import Testing
import Transfer

@testable import Rollcall

/// Links by device code, with the built-in manifests against the sites that play their providers: over HTTP as a console
/// would, and from the command line.
@Suite(.timeLimit(.minutes(10))) struct DeviceJourneyTests {
    static let providers = DemoProvider.all.filter { $0.id != "discord" }

    /// The service on a port of its own; its public URL names the port before it listens, and another program may be
    /// quicker to take it.
    private func world(
        _ provider: DemoProvider, _ body: @Sendable (DemoWorld, ServiceAssembly, CurlTransport) async throws -> Void
    ) async throws {
        for attempt in 1... {
            let folder = try TemporaryFolder()
            let world = try await DemoWorld(
                [provider], folder: folder.path("data"), port: freePort(), simulatorPort: 0, logLevel: "critical",
                syncInterval: "6h")
            world.simulator.setSwitches(of: provider.site) { $0.deviceInterval = 1 }
            let service = try ServiceAssembly(world.configuration, servesAlone: true)
            let transport = try CurlTransport(
                OutgoingConfiguration(userAgent: "rollcall-test", allowedPrivateHosts: ["127.0.0.1"]))
            do {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await service.run() }
                    if await service.untilListening() {
                        let outcome: Result<Void, any Error>
                        do { outcome = .success(try await body(world, service, transport)) } catch {
                            outcome = .failure(error)
                        }
                        await service.stop()
                        try await group.waitForAll()
                        try outcome.get()
                    } else {
                        try await group.waitForAll()
                    }
                }
                await transport.shutDown()
                return await world.simulator.stop()
            } catch {
                await transport.shutDown()
                await world.simulator.stop()
                guard attempt < 5, ManifestJourneyTests.isTaken(error) else { throw error }
            }
        }
    }

    /// What a person does with a code in a browser.
    private static func type(
        _ code: String, at address: String, _ transport: CurlTransport, decision: String = "allow"
    ) async throws {
        var browser = DemoBrowser(transport: transport)
        let page = try await browser.open(address)
        let consent = try await browser.submit(page, formHolding: "user_code", fields: [("user_code", code)])
        _ = try await browser.submit(consent, formHolding: "decision", fields: [("decision", decision)])
    }

    @Test(arguments: providers.indices)
    func `security 77, 78: a console's whole life: link by code, confirm, sync, unlink`(index: Int) async throws {
        let provider = Self.providers[index]
        try await world(provider) { world, service, transport in
            let (_, key) = try await service.database.apiKeys.create(
                name: "test", scopes: Set(APIKeyScope.allCases))
            func call(
                _ method: Transfer.Method, _ path: String, _ body: String? = nil, prefer: String? = nil
            ) async throws -> (status: Int, body: JSONValue?) {
                let response = try await transport.send(
                    TransferRequest(
                        method, world.serviceURL + path, fields: prefer.map { ["prefer": $0] } ?? [:],
                        credentials: [key.reveal { .init(name: "authorization", value: "Bearer \($0)") }],
                        body: body.map { .init(contentType: "application/json", bytes: Array($0.utf8)) }))
                return (response.status, response.body.isEmpty ? nil : try JSONValue(parsing: response.body))
            }
            let begun = try await call(.post, "/v1/device-links", #"{"user_id":"ada","provider":"\#(provider.id)"}"#)
            #expect(begun.status == 201)
            let path = "/v1/device-links/\(try #require(begun.body?["id"]?.string))"
            // The person takes longer than a poll.
            while world.simulator.counters(of: provider.site).devicePolls == 0 {
                try await Task.sleep(for: .milliseconds(20))
            }
            try await Self.type(
                try #require(begun.body?["user_code"]?.string),
                at: try #require(begun.body?["verification_uri"]?.string), transport)
            var waiting = try await call(.get, path)
            for _ in 0..<200 where waiting.body?["status"]?.string == "pending" {
                try await Task.sleep(for: .milliseconds(50))
                waiting = try await call(.get, path)
            }
            #expect(waiting.body?["status"]?.string == "confirmation_required")
            #expect(waiting.body?["claims"]?["name"]?.string != nil)
            let confirmed = try await call(.post, path + "/confirm")
            let account = try #require(confirmed.body?["account_id"]?.string)
            let counters = world.simulator.counters(of: provider.site)
            #expect(counters.devicePolls >= 2 && counters.devicePollsTooEarly == 0)

            let synced = try await call(.post, "/v1/accounts/\(account)/sync", prefer: "wait=20")
            #expect(synced.status == 200)
            #expect(try await call(.delete, "/v1/accounts/\(account)").status == 204)
            func live() -> Int {
                let counters = world.simulator.counters(of: provider.site)
                return counters.accessTokens + counters.refreshTokens
            }
            for _ in 0..<200 where live() > 0 { try await Task.sleep(for: .milliseconds(50)) }
            #expect(live() == 0)
        }
    }

    private struct Terminal {
        let folder: TemporaryFolder
        let simulator: ProviderSimulator
        let program: RunningProgram
    }

    /// `rollcall accounts link`, once it shows a code.
    private func terminal(_ arguments: String...) async throws -> (Terminal, code: String, address: String) {
        let folder = try TemporaryFolder()
        let github = DemoProvider(id: "github", site: .github)
        let simulator = ProviderSimulator(
            SimulatorConfiguration(clients: [github.client(serviceURL: "http://127.0.0.1:1")]))
        try await simulator.listen(on: 0)
        simulator.setSwitches(of: .github) { $0.deviceInterval = 1 }
        let variables = simulator.variables(for: .github).map { "\($0.key): \"\($0.value)\"" }.sorted()
            .joined(separator: ", ")
        try folder.write(
            "rollcall.yaml",
            """
            public_url: http://127.0.0.1:1
            outgoing: {allowed_private_hosts: ["127.0.0.1"]}
            providers:
              github: {client_id: demo-github, client_secret: EXAMPLE-github-secret, variables: {\(variables)}}

            """)
        let program = try RunningProgram(
            ["accounts", "link", "--device", "--provider", "github", "--user-id", "42", "--config", "rollcall.yaml"]
                + arguments, in: folder)
        let address = try await program.line(containing: "Go to ").split(separator: " ").last.map(String.init)
        let code = try await program.line(containing: "and type ").split(separator: " ").last.map(String.init)
        return (
            Terminal(folder: folder, simulator: simulator, program: program), try #require(code), try #require(address)
        )
    }

    private func decide(_ code: String, _ address: String, _ decision: String = "allow") async throws {
        let transport = try CurlTransport(
            OutgoingConfiguration(userAgent: "rollcall-test", allowedPrivateHosts: ["127.0.0.1"]))
        try await Self.type(code, at: address, transport, decision: decision)
        await transport.shutDown()
    }

    @Test(arguments: ["y", "n"])
    func `security 78: the command line asks whether the account is the right one`(answer: String) async throws {
        let (terminal, code, address) = try await terminal()
        try await decide(code, address)
        // The question has no end of line until it is answered: it is looked for in the next line's beginning.
        try terminal.program.input.write(contentsOf: Data("\(answer)\n".utf8))
        let status = await terminal.program.end()
        #expect(terminal.program.log.contains(" to user 42? [y/N] ") || answer == "y")
        #expect(status == (answer == "y" ? 0 : 1), "\(terminal.program.log)")
        let listed = try await Program.run(
            "accounts", "list", "--json", "--config", "rollcall.yaml", in: terminal.folder)
        #expect(listed.output.split(separator: "\n").count == (answer == "y" ? 1 : 0))
        #expect(terminal.simulator.counters(of: .github).accessTokens == (answer == "y" ? 1 : 0))
        await terminal.simulator.stop()
    }

    @Test func `with --yes the command links without a question, and prints the account`() async throws {
        let (terminal, code, address) = try await terminal("--yes", "--json")
        try await decide(code, address)
        #expect(await terminal.program.end() == 0, "\(terminal.program.log)")
        await terminal.simulator.stop()
    }

    @Test func `a person who declines links nothing, and the command says so`() async throws {
        let (terminal, code, address) = try await terminal()
        try await decide(code, address, "deny")
        #expect(await terminal.program.end() == 1)
        #expect(terminal.program.log.contains("access_denied"))
        await terminal.simulator.stop()
    }

    @Test func `a signal ends the command and the link`() async throws {
        let (terminal, code, address) = try await terminal()
        terminal.program.signal(SIGINT)
        #expect(await terminal.program.end() == 1)
        #expect(terminal.program.log.contains("Nothing was linked."))
        try await decide(code, address)
        // Nobody asks any more.
        let polls = terminal.simulator.counters(of: .github).devicePolls
        let synced = try await Program.run("sync", "--once", "--config", "rollcall.yaml", in: terminal.folder)
        #expect(synced.status == 0)
        #expect(terminal.simulator.counters(of: .github).devicePolls == polls)
        await terminal.simulator.stop()
    }
}
