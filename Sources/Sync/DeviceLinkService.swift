package import Accounts
package import Linking
import ServiceLifecycle

/// Asks providers whether people have typed their device codes in, for as long as the service runs. What is under way
/// elsewhere, or was when a process ended, is told by the leases in the database.
package struct DeviceLinkService: Service {
    /// How often the database is looked at: one indexed look-up.
    static let pollInterval: Duration = .seconds(1)

    private let devices: DeviceLinking
    private let time: any TimeSource

    package init(devices: DeviceLinking, time: any TimeSource) {
        self.devices = devices
        self.time = time
    }

    package func run() async throws { await run(ticks: Ticks(time: time, interval: Self.pollInterval)) }

    /// Each element looks once. A provider that does not answer keeps nobody else's waiting.
    func run(ticks: some AsyncSequence<Void, Never> & Sendable) async {
        await withDiscardingTaskGroup { group in
            for await _ in ticks.cancelOnGracefulShutdown() {
                for claimed in await devices.due() { group.addTask { await devices.poll(claimed) } }
            }
            group.cancelAll()
        }
    }
}
