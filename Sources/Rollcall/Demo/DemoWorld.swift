import Accounts
import Foundation
import ProviderSimulator
import Store
import Transfer

/// The service and the simulator side by side, told of each other.
struct DemoWorld: Sendable {
    static let keyScopes: Set<APIKeyScope> = [.linksWrite, .accountsRead, .accountsWrite, .tokensRead]

    let providers: [DemoProvider]
    let serviceURL: String
    let simulator: ProviderSimulator
    let configuration: ServiceConfiguration

    /// Starts the simulator.
    /// - Parameters:
    ///   - folder: keeps the service's data.
    ///   - simulatorPort: 0 lets the system choose.
    ///   - manifestsDirectory: has further manifests.
    ///   - changeInterval: how often one of those who granted access changes by themselves.
    init(
        _ providers: [DemoProvider], folder: String, port: Int, simulatorPort: Int, logLevel: String,
        syncInterval: String, changeInterval: Duration? = nil, manifestsDirectory: String? = nil
    ) async throws {
        self.providers = providers
        let serviceURL = "http://127.0.0.1:\(port)"
        self.serviceURL = serviceURL
        var simulated = SimulatorConfiguration(
            clients: providers.map { $0.client(serviceURL: serviceURL) }, port: simulatorPort)
        simulated.changeInterval = changeInterval
        simulated.fixtureSites = providers.compactMap(\.fixture)
        simulator = ProviderSimulator(simulated)
        try await simulator.listen(on: simulatorPort)

        func said(_ value: String) -> Found { Found(values: [value], place: "the demo") }
        var configuration = try ServiceConfiguration.load(
            readsFile: false,
            flags: [
                "http.port": Found(values: [String(port)], place: "--port"),
                "application.name": said("Rollcall's demo"),
                "application.return_to": said(serviceURL), "database.path": said(folder + "/rollcall.sqlite"),
                "vault.key_file": said(folder + "/master.key"), "outgoing.allowed_private_hosts": said("127.0.0.1"),
                "sync.interval": said(syncInterval), "log.level": said(logLevel),
            ].merging(manifestsDirectory.map { ["providers_directory": said($0)] } ?? [:]) { $1 }, environment: [:])
        configuration.instances = providers.map { [simulator] in $0.instance(simulator) }
        self.configuration = configuration
    }

    /// - Throws: `DemoJourney.Failure` at the first step that did not hold.
    func makeJourney(_ say: @escaping @Sendable (String) -> Void) async throws {
        try await run(say) { try await $0.run() }
    }

    /// Runs the service for as long as `steps` take, and stops the simulator after them.
    func run(
        _ say: @escaping @Sendable (String) -> Void, _ steps: @escaping @Sendable (DemoJourney) async throws -> Void
    ) async throws {
        let service = try ServiceAssembly(configuration, servesAlone: true)
        let (_, key) = try await service.database.apiKeys.create(name: "demo", scopes: Self.keyScopes)
        let transport = try CurlTransport(
            OutgoingConfiguration(userAgent: "rollcall-demo", allowedPrivateHosts: ["127.0.0.1"]))
        let journey = DemoJourney(
            providers: providers, baseURL: serviceURL, apiKey: key, simulator: simulator, transport: transport, say: say
        )
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await service.run() }
            guard await service.untilListening() else { return try await group.waitForAll() }
            let outcome: Result<Void, any Error>
            do { outcome = .success(try await steps(journey)) } catch { outcome = .failure(error) }
            await transport.shutDown()
            await service.stop()
            try await group.waitForAll()
            await simulator.stop()
            try outcome.get()
        }
    }
}
