import ArgumentParser
import ProviderSimulator

struct SimulatorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulator",
        abstract: "Run the simulated Discord, GitHub and Google alone, for tests and for trying manifests.",
        discussion: """
            Example:  rollcall simulator --port 8081 --service-url http://127.0.0.1:8080

            Clients demo-discord, demo-github and demo-google are registered with the redirect URIs of the service at \
            --service-url. GET /control shows what it counted; POST /control sets switches and faults.
            """)

    @Option(help: "The port on 127.0.0.1; 0 lets the system choose.") var port = 8081
    @Option(help: ArgumentHelp("The service whose redirect URIs are registered.", valueName: "url"))
    var serviceURL = "http://127.0.0.1:8080"

    func validate() throws {
        guard (0...65_535).contains(port) else { throw ValidationError("--port is a number from 0 to 65535.") }
    }

    func run() async throws {
        let clients = DemoProvider.all.map { $0.client(serviceURL: serviceURL) }
        let simulator = ProviderSimulator(SimulatorConfiguration(clients: clients, port: port))
        try await reportingFailures {
            let port = try await simulator.listen(on: port)
            try await runUntilSignalled {
                Terminal.note("The simulator listens on http://127.0.0.1:\(port)")
                try await simulator.run()
            }
            await simulator.stop()
        }
    }
}

extension ProviderSimulator {
    /// `start`, with a failure that says which address is taken.
    @discardableResult
    func listen(on port: Int) async throws -> Int {
        do { return try await start() } catch { throw ListenFailure(simulatorPort: port) ?? error }
    }
}
