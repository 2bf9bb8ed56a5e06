import Foundation
import ProviderSimulator
import Testing

@testable import Rollcall

/// Each built-in manifest through a whole life at the site that plays it, its quirks on: link, read, a sync that finds
/// nothing and one that finds a change, a refresh, unlink and revocation.
@Suite(.timeLimit(.minutes(10))) struct ManifestJourneyTests {
    @Test func `quirk A13, B3, B4, C11, R5: a callback by POST with the name in it, and a JWT for a secret`()
        async throws
    {
        try await journey("apple")
    }

    @Test(arguments: PlayedManifests.ids.filter { $0 != "apple" })
    func `a manifest's whole life`(id: String) async throws { try await journey(id) }

    private func journey(_ id: String) async throws {
        let provider = try PlayedManifests.provider(id)
        // Its public URL names the port before it listens, and another program may be quicker to take it.
        for attempt in 1... {
            do { return try await live(provider) } catch {
                guard attempt < 5, Self.isTaken(error) else { throw error }
            }
        }
    }

    /// In our words, or in the system's where the port was free again when we looked.
    static func isTaken(_ error: any Error) -> Bool { "\(error)".contains("in use") }

    private func live(_ provider: DemoProvider) async throws {
        let folder = try TemporaryFolder()
        let world = try await DemoWorld(
            [provider], folder: folder.path("data"), port: freePort(), simulatorPort: 0, logLevel: "critical",
            syncInterval: "6h")
        // An app whose tokens end (GitHub's option for its apps).
        if ["enterprise", "github-app"].contains(provider.id) {
            world.simulator.setSwitches(of: provider.site) { $0.accessTokenLifetime = 28_800 }
        }
        // Every request pushed by a client that signs, for a resource that each of them names; tokens bound to a key,
        // with a new nonce for each proof.
        if provider.id == "keyed" {
            let api = "https://api.example.com"
            world.simulator.setSwitches(of: provider.site) {
                $0.requiresPushedRequests = true
                $0.resources = [api]
                $0.offersDPoP = true
                $0.demandsProofNonces = true
            }
        }
        var steps: [String] = []
        let (said, say) = AsyncStream<String>.makeStream()
        do { try await world.makeJourney { say.yield($0) } } catch  where Self.isTaken(error) {
            throw error
        } catch { Issue.record("\(error)") }
        say.finish()
        for await step in said { steps.append(step) }
        #expect(steps.contains { $0.contains("no good any more") } == provider.revokes)
        #expect(steps.contains { $0.contains("a new access token") } == provider.refreshes)
        let counters = world.simulator.counters(of: provider.site)
        #expect(counters.reuseDetections == 0)
        #expect((counters[.par].byStatus == ["201": 1]) == (provider.id == "keyed"))
    }

    @Test func `there is a journey for every built-in manifest`() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let manifests = try FileManager.default.contentsOfDirectory(atPath: root.appending(path: "providers").path())
            .filter { $0.hasSuffix(".yaml") }.map { String($0.dropLast(5)) }
        #expect(
            try Set(manifests)
                == Set(PlayedManifests.ids.map { try PlayedManifests.provider($0) }.map { $0.manifest ?? $0.id }))
    }
}
