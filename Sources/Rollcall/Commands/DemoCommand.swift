import Accounts
import ArgumentParser
import Foundation
import JSON
import ProviderSimulator
import Providers
import Store
import Transfer

struct DemoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Try everything on this machine: the service beside simulated Discord, GitHub and Google.",
        discussion: """
            Example:  rollcall demo            then open the link it prints
                      rollcall demo --once     the whole journey by itself; exits 0 only if all of it held

            Nothing is registered anywhere and nothing leaves this machine. Simulated people change now and then, so \
            that syncing can be seen.
            """)

    @Flag(help: "Make the whole journey, print each step, and exit.") var once = false
    @Option(help: "The service's port on 127.0.0.1; 8080 where absent.") var port: Int?
    @Option(help: "The simulator's port on 127.0.0.1; the service's and one where absent.") var simulatorPort: Int?
    @Option(help: ArgumentHelp("Where to keep the demo's data; a temporary folder where absent.", valueName: "folder"))
    var data: String?
    @Flag(help: "Print the service's URL and the API key as one JSON object.") var json = false
    @Option(help: "trace, debug, info, notice, warning, error or critical.") var logLevel: String?

    func validate() throws {
        for port in [port, simulatorPort].compactMap(\.self) where !(1...65_535).contains(port) {
            throw ValidationError("A port is a number from 1 to 65535.")
        }
    }

    func run() async throws {
        let folder =
            data ?? FileManager.default.temporaryDirectory.appending(path: "rollcall-demo-\(UUID().uuidString)").path()
        defer { if data == nil { removeTemporary(folder) } }
        try await reportingFailures { try await run(in: folder) }
    }

    private func run(in folder: String) async throws {
        let world = try await DemoWorld(
            DemoProvider.all, folder: folder, port: port ?? (once ? freePort() : 8080),
            simulatorPort: simulatorPort ?? (once || port == 65_535 ? 0 : (port ?? 8080) + 1),
            logLevel: logLevel ?? (once ? "warning" : "info"),
            syncInterval: once ? "6h" : "15s", changeInterval: once ? nil : .seconds(20))
        world.configuration.bootstrapLogging()
        if once { try await makeJourney(in: world) } else { try await stay(in: world) }
    }

    private func makeJourney(in world: DemoWorld) async throws {
        Terminal.say("Rollcall at \(world.serviceURL), the simulator at \(world.simulator.baseURL)")
        do {
            try await world.makeJourney { Terminal.say("  ✓ \($0)") }
        } catch let failure as DemoJourney.Failure {
            Terminal.note("The journey ended early: \(failure)")
            throw ExitCode.someFailed
        }
        Terminal.say("All of it held.")
    }

    private func stay(in world: DemoWorld) async throws {
        let service = try ServiceAssembly(world.configuration, servesAlone: true)
        let (_, key) = try await service.database.apiKeys.create(name: "demo", scopes: DemoWorld.keyScopes)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await service.run() }
            guard await service.untilListening() else { return try await group.waitForAll() }
            announce(
                serviceURL: world.serviceURL, key: key, simulatorURL: world.simulator.baseURL,
                link: try await service.demoLink())
            group.addTask { try await world.simulator.run() }
            // The service ends by a signal; the simulator goes with it.
            try await group.next()
            group.cancelAll()
        }
    }

    private func announce(serviceURL: String, key: Secret, simulatorURL: String, link: String) {
        key.reveal { key in
            if json {
                let object: JSONValue = [
                    "url": .string(serviceURL), "api_key": .string(key), "simulator_url": .string(simulatorURL),
                    "link": .string(link),
                ]
                Terminal.say(object.text)
                return
            }
            Terminal.say(
                """

                Rollcall is at \(serviceURL), simulated Discord, GitHub and Google at \(simulatorURL).

                1. Open this in a browser and link an account or three as the user 'ada' (good for ten minutes):

                     \(link)

                2. Read what is cached; simulated people change now and then, and the next sync brings it:

                     export KEY=\(key)
                     curl -s -H "Authorization: Bearer $KEY" \(serviceURL)/v1/users/ada/accounts
                     curl -s -H "Authorization: Bearer $KEY" '\(serviceURL)/v1/accounts?provider=github'

                3. Make another link:

                     curl -s -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \\
                       -d '{"user_id": "bob", "provider": "discord"}' \(serviceURL)/v1/link-sessions

                Control-C ends the demo.
                """)
        }
    }

    private func removeTemporary(_ folder: String) {
        do {
            try FileManager.default.removeItem(atPath: folder)
        } catch CocoaError.fileNoSuchFile {
            // Nothing was made: the demo ended before it began.
        } catch {
            Terminal.note("The temporary folder \(folder) could not be removed: \(error)")
        }
    }
}
