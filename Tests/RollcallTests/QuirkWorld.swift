import Foundation
import ProviderSimulator
import Testing

@testable import Rollcall

/// A provider that nobody has met, played by the simulator: its site insists on the habits that its manifest tells of.
enum QuirkWorld {
    static let person = "90071992547409931"

    static func site(_ name: String, _ resources: [String: String]) -> SimulatedFixtureSite {
        var site = SimulatedFixtureSite(
            name: name, authorizationPath: "/authorize", tokenPath: "/token",
            resources: resources.mapValues { Array($0.utf8) })
        site.people = [
            SimulatedPerson(site: .fixture(name), id: person, username: "mira", name: "Mira Example")
        ]
        return site
    }

    /// The service, the site and what a user does: a whole life where nothing else is said. `check` sees what the site
    /// counted.
    static func live(
        _ manifest: String, _ site: SimulatedFixtureSite, _ change: (inout DemoProvider) -> Void = { _ in },
        check: (SimulatorCounters) throws -> Void = { _ in },
        steps: @escaping @Sendable (DemoJourney) async throws -> Void = { try await $0.run() }
    ) async throws {
        let folder = try TemporaryFolder()
        try FileManager.default.createDirectory(
            atPath: folder.path("manifests"), withIntermediateDirectories: true)
        try manifest.write(
            toFile: folder.path("manifests/\(site.name).yaml"), atomically: true, encoding: .utf8)
        var provider = DemoProvider(id: site.name, site: .fixture(site.name))
        provider.fixture = site
        provider.variables = ["site"]
        change(&provider)
        // Its public URL names the port before it listens, and another program may be quicker to take it.
        for attempt in 1... {
            do {
                let world = try await DemoWorld(
                    [provider], folder: folder.path("data\(attempt)"), port: freePort(), simulatorPort: 0,
                    logLevel: "critical", syncInterval: "6h", manifestsDirectory: folder.path("manifests"))
                try await world.run({ _ in }, steps)
                return try check(world.simulator.counters(of: provider.site))
            } catch {
                guard attempt < 5, ManifestJourneyTests.isTaken(error) else { throw error }
            }
        }
    }
}
