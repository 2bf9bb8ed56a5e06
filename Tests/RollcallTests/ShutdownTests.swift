import Foundation
import Glibc
import ProviderSimulator
import TestSupport
import Testing

@testable import Rollcall

/// A stop while a provider keeps the program waiting: bounded, in good order, and nothing of it is the account's fault.
@Suite(.serialized, .timeLimit(.minutes(10))) struct ShutdownTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// One account of a GitHub that never answers for a profile; what the body gets is its id.
    private func hanging(
        due: Bool, _ body: (ProviderSimulator, _ account: String) async throws -> Void
    ) async throws {
        let simulator = ProviderSimulator(
            SimulatorConfiguration(clients: DemoProvider.all.map { $0.client(serviceURL: "http://127.0.0.1") }))
        _ = try await simulator.start()
        do {
            try simulator.inject(SimulatedFault(.hang, on: .profile, times: nil), at: .github)
            let variables = simulator.variables(for: .github).map { "\($0.key): \"\($0.value)\"" }
            try folder.write(
                "rollcall.yaml",
                """
                providers:
                  github: {client_id: demo-github, client_secret: EXAMPLE-github-secret, \
                variables: {\(variables.joined(separator: ", "))}}
                outgoing: {allowed_private_hosts: [127.0.0.1]}
                """)
            let line = """
                {"user_id":"user-1","provider":"github","subject":"\(BulkPerson.id(1, site: .github))",\
                "access_token":"\(BulkPerson.accessToken(1))"}
                """
            let flags = due ? ["--due"] : []
            let imported = try await Program.run(["accounts", "import", "-"] + flags, in: folder, input: line)
            #expect(imported.status == 0, "\(imported.errors)")
            try await body(simulator, try await accountID())
        } catch {
            await simulator.stop()
            throw error
        }
        await simulator.stop()
    }

    private func accountID() async throws -> String {
        let listed = try await Program.run("accounts", "list", "--json", in: folder).objects()
        return try #require(listed.first?["id"] as? String)
    }

    private func untilAsked(_ simulator: ProviderSimulator) async throws {
        while simulator.counters(of: .github)[.profile].requests == 0 {
            try Task.checkCancellation()
            await Task.yield()
        }
    }

    /// As if it had never been tried: no lease, no attempt, no problem.
    private func expectUntouched(_ account: String) async throws {
        let schedule = try await SQLite.rows(
            "SELECT lease_owner, failures, attempted_at FROM sync_schedule",
            on: folder.path("rollcall-data/rollcall.sqlite"))
        #expect(schedule == "[[null, 0, null]]")
        let shown = try #require(try await Program.run("accounts", "show", account, in: folder).objects().first)
        #expect(shown["status"] as? String == "active")
        #expect(shown["problem"] == nil || shown["problem"] is NSNull)
    }

    @Test(arguments: [["serve", "--port", "0", "--public-url", "http://127.0.0.1:9"], ["sync"]])
    func `a signal during a sync hands the account back`(arguments: [String]) async throws {
        try await hanging(due: true) { simulator, account in
            let program = try RunningProgram(arguments, in: folder)
            defer { program.signal(SIGKILL) }
            try await untilAsked(simulator)
            program.signal(SIGTERM)
            #expect(await program.end(within: .seconds(60)) == 0, "\(program.log)")
            #expect(!program.log.contains(" error "), "\(program.log)")
            try await expectUntouched(account)
        }
    }

    /// The caller would wait a minute; the stop gives it a quarter of that.
    @Test func `a caller who waits for a sync does not hold up the stop`() async throws {
        try await hanging(due: false) { simulator, account in
            let created = try await Program.run(
                "keys", "create", "app", "--scope", "accounts:read,accounts:write", in: folder)
            let key = created.output.trimmingCharacters(in: .whitespacesAndNewlines)
            let program = try RunningProgram(
                ["serve", "--port", "0", "--public-url", "http://127.0.0.1:9"], in: folder)
            defer { program.signal(SIGKILL) }
            let line = try await program.line(containing: "listening on 127.0.0.1:")
            let port = try #require(line.firstMatch(of: /127\.0\.0\.1:(\d+)/).flatMap { Int($0.1) })
            let caller = try ChildProgram(
                "curl",
                [
                    "-s", "-m", "120", "-X", "POST", "-H", "Prefer: wait=60", "-H", "Authorization: Bearer \(key)",
                    "-o", "/dev/null", "http://127.0.0.1:\(port)/v1/accounts/\(account)/sync",
                ])
            defer { caller.signal(SIGTERM) }
            try await untilAsked(simulator)
            let began = ContinuousClock.now
            program.signal(SIGTERM)
            #expect(await program.end(within: .seconds(90)) == 0, "\(program.log)")
            // 15 seconds, and what a loaded machine adds; the caller's minute was not waited for.
            #expect(ContinuousClock.now - began < .seconds(45))
            try await expectUntouched(account)
        }
    }
}
