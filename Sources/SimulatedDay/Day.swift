import Accounts
import Cryptography
import Foundation
import Linking
import Logging
import Providers
import Store
import Sync
import Synchronization

/// The service's own parts against the world, from the moment when everybody is due.
final class Day: Sendable {
    struct Report: Sendable {
        var accounts = 0
        var needRelink = 0
        /// Seconds in which something had been due for more than ten, …
        var behind = 0
        /// … and requests that arrived in them.
        var sentWhileBehind = 0
        /// When the last of what was due at the start had been synced.
        var caughtUpAfter: Int?
        var overdueAtEnd = 0
        var syncedSinceStart = 0
        var callers = 0
        var callersServed = 0
        var callerWaitMost: Duration = .zero
        var rateShare = 1.0
    }

    private static let sampleInterval: Duration = .seconds(10)

    let database: Database
    private let folder: String
    private let time: any TimeSource
    private let world: World
    private let provider: Provider
    private let service: SyncService
    private let onDemand: SyncOnDemand
    private let client: ProviderClient
    private let length: Duration
    private let people: Int
    private let chance: Mutex<Chance>
    private let report = Mutex(Report())
    private let ids = Mutex<[AccountID]>([])

    /// Requests per second that the background may send: callers are left a fifth.
    static let allowed = Double(World.limit) * 0.8

    init(people: Int, hours: Int, seed: UInt64, world: World, time: any TimeSource) throws {
        self.time = time
        self.world = world
        self.people = people
        length = .seconds(hours * 3600)
        chance = Mutex(Chance(seed: seed &+ 1))
        let random = SeededChance(seed: seed &+ 2)
        // In memory where there is a file system for it: nothing here is about the disk.
        let memory = "/dev/shm"
        let base =
            FileManager.default.isWritableFile(atPath: memory)
            ? URL(filePath: memory) : FileManager.default.temporaryDirectory
        folder = base.appending(path: "rollcall-day-\(UUID().uuidString)").path()
        database = try Database(
            path: folder + "/rollcall.sqlite", keyRing: try KeyRing.generate(random: random), time: time, random: random
        )
        let catalog = try ProviderCatalog(
            files: [],
            instances: [
                InstanceConfiguration(id: "discord", clientID: "EXAMPLE", clientSecret: Secret("EXAMPLE-secret"))
            ],
            publicURL: "https://accounts.example.com")
        guard let provider = catalog.providers.first else { throw ConfigurationErrors(catalog.problems.map(\.problem)) }
        self.provider = provider

        let logger = Logger(label: "day") { _ in SwiftLogNoOpLogHandler() }
        let owner = "day"
        let client = ProviderClient(transport: world, database: database, time: time, random: random, logger: logger)
        self.client = client
        let servers = AuthorizationServers(client: client, time: time, logger: logger)
        let revocations = RevocationSender(
            database: database, catalog: catalog, client: client, servers: servers, owner: owner, time: time,
            random: random, logger: logger)
        let tokens = AccessTokens(
            database: database, catalog: catalog, client: client, servers: servers, revocations: revocations,
            owner: owner, time: time, logger: logger)
        let planner = SyncPlanner(
            catalog: catalog, schedule: database.schedule, accounts: database.accounts, tally: ReadTally(),
            client: client, time: time, random: random, logger: logger)
        let accountSync = AccountSync(
            catalog: catalog, schedule: database.schedule, planner: planner, tokens: tokens,
            profiles: ProfileFetch(client: client, servers: servers, time: time), time: time, random: random,
            logger: logger)
        let pass = SyncPass(
            catalog: catalog, schedule: database.schedule, accountSync: accountSync, planner: planner, client: client,
            concurrency: 64, owner: owner, time: time, logger: logger)
        onDemand = SyncOnDemand(
            catalog: catalog, schedule: database.schedule, accounts: database.accounts, accountSync: accountSync,
            planner: planner, client: client, owner: owner, time: time)
        service = SyncService(
            pass: pass, tokens: tokens, revocations: revocations, database: database, catalog: catalog,
            planner: planner, time: time, logger: logger)
    }

    func close() {
        database.close()
        try? FileManager.default.removeItem(atPath: folder)  // a leftover in the temporary folder does no harm
    }

    func run() async throws -> Report {
        try await importEverybody()
        let began = time.now()
        let service = Task { [service] in try await service.run() }
        let callers = Task { await self.call() }
        try await watch(from: began, until: began + length)
        service.cancel()
        callers.cancel()
        _ = await service.result
        await onDemand.finish(within: .zero)
        return try await finish(began)
    }

    private func importEverybody() async throws {
        let now = time.now()
        for start in stride(from: 0, to: people, by: 500) {
            let batch = (start..<min(start + 500, people)).compactMap { number -> ImportedAccount? in
                guard let user = UserID("user-\(number)"), let subject = Subject(World.subject(of: number)) else {
                    return nil
                }
                return ImportedAccount(
                    userID: user, provider: provider.id, subject: subject, credential: world.credential(of: number),
                    nextSyncAt: now)
            }
            let created = try await database.accounts.importAccounts(batch).compactMap { outcome -> AccountID? in
                if case .created(let id) = outcome { id } else { nil }
            }
            ids.withLock { $0 += created }
        }
    }

    /// Looks every ten seconds whether anything has been due since the look before.
    private func watch(from began: Timestamp, until end: Timestamp) async throws {
        var wasBehind = false
        var requests = 0
        while time.now() < end {
            try await time.sleep(for: Self.sampleInterval)
            let now = time.now()
            let state = try await database.schedule.states(of: [provider.id], now: now).first
            let isBehind = state?.oldestDueAt.map { now - $0 > Self.sampleInterval } ?? false
            let sent = world.counts.requests - requests
            requests += sent
            report.withLock { [wasBehind] report in
                if wasBehind && isBehind {
                    report.behind += Int(Self.sampleInterval.components.seconds)
                    report.sentWhileBehind += sent
                }
                if wasBehind, !isBehind, report.caughtUpAfter == nil {
                    report.caughtUpAfter = Int((now - began).components.seconds)
                }
            }
            wasBehind = isBehind
        }
    }

    /// Somebody wants a young copy, every ten seconds.
    private func call() async {
        while (try? await time.sleep(for: .seconds(10))) != nil {  // until it is cancelled
            let ids = ids.withLock(\.self)
            let id = ids[chance.withLock { $0.below(ids.count) }]
            let asked = time.now()
            let answer = try? await onDemand.sync(id, waitingAtMost: .seconds(30))  // nil counts as not served
            let waited = time.now() - asked
            var isServed = answer == .synced
            // That the grant is dead is an answer too.
            if case .failed(let failure) = answer, case .relink = failure.disposition { isServed = true }
            report.withLock { [isServed] report in
                report.callers += 1
                report.callersServed += isServed ? 1 : 0
                report.callerWaitMost = max(report.callerWaitMost, waited)
            }
        }
    }

    private func finish(_ began: Timestamp) async throws -> Report {
        let counts = try await database.accounts.counts()[provider.id] ?? [:]
        let now = time.now()
        let state = try await database.schedule.states(of: [provider.id], now: now - .seconds(60)).first
        var synced = 0
        for id in ids.withLock(\.self) {
            if let at = try await database.schedule.state(of: id)?.syncedAt, at >= began { synced += 1 }
        }
        let share = await client.traffic(of: provider).rateShare
        return report.withLock { report in
            report.accounts = counts.values.reduce(0, +)
            report.needRelink = counts[.needsRelink] ?? 0
            report.overdueAtEnd = state?.dueNow ?? 0
            report.syncedSinceStart = synced
            report.rateShare = share
            return report
        }
    }
}
