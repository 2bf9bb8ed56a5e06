import Accounts
import Cryptography
import Foundation
import Freshness
import JSON
import Linking
import Logging
import Providers
import Store
import Sync

/// The service's own parts on virtual time against a world that changes: database, claims, tokens, conditional requests,
/// planner and count of reads, as `serve` puts them together. Only the clock, the chance and the wire are made up.
///
/// The scale of time is chosen so that the service's own bounds are those of the specification's figures: a budget of
/// one request an account and round, where a round is a twentieth of the longest interval there is, six days and seven
/// hours. How often accounts change in a round then depends on the budget, and what is believed of an unknown account
/// scales with it.
struct ServiceRun {
    struct Settings: Sendable {
        /// Requests an account and unit of time.
        var budget: Double
        var accounts = 4000
        var rounds = 60.0
        /// How often the service looks at what is due, moves the price and writes down what was read.
        var step: Duration = .seconds(30)
        /// `sync.strategy: fixed`.
        var isFixed = false
        var seed: UInt64 = 1
    }

    struct Result: Sendable {
        /// The share of reads that returned what the provider would have said then.
        var freshness: Double
        /// Requests over the budget, in the half that counts.
        var spent: Double
        /// What the service itself believes the freshness to be at the end.
        var believed: Double?
        var calibration: Double?
    }

    /// Seconds.
    static let round = 27_216.0
    /// Reads an account and round: enough to tell accounts apart, too few to be taken for one another.
    static let readsPerRound = 4.0

    private let settings: Settings
    private let population: Population
    private let folder: String
    private let clock = SteppedClock()
    private let world: ChangingProvider
    private let database: Database
    private let provider: Provider
    private let planner: SyncPlanner?
    private let reads = ReadTally()
    private let figures: SyncFigures
    private let pass: SyncPass
    private let overview: SyncOverview

    struct Broken: Error { var reason: String }

    init(_ settings: Settings) throws {
        self.settings = settings
        var chance = Chance(seed: settings.seed)
        population = Population(count: settings.accounts, chance: &chance)
        let unit = Self.round * settings.budget
        world = ChangingProvider(
            population, unit: unit, countedFrom: settings.rounds / 2 * Self.round, clock: clock, seed: settings.seed)
        // In memory where there is such a folder: nothing of it is to outlive the run.
        let place = FileManager.default.isWritableFile(atPath: "/dev/shm") ? "/dev/shm" : NSTemporaryDirectory()
        folder = place + "/rollcall-freshness-\(UUID().uuidString)"
        let random = SeededChance(seed: settings.seed)
        database = try Database(
            path: folder + "/rollcall.sqlite", keyRing: KeyRing.generate(random: random), time: clock, random: random)
        let catalog = try ProviderCatalog(
            files: [ManifestFile(path: "world.yaml", text: Self.manifest)],
            instances: [
                InstanceConfiguration(id: "world", clientID: "EXAMPLE-world", clientSecret: Secret("EXAMPLE-secret"))
            ], publicURL: "https://accounts.example.com")
        guard let id = ProviderID("world"), let provider = catalog[id] else {
            throw Broken(reason: "\(catalog.problems.map(\.problem))")
        }
        self.provider = provider
        let logger = Logger(label: "freshness") { _ in SwiftLogNoOpLogHandler() }
        let client = ProviderClient(
            transport: world, database: database, time: clock, random: random, logger: logger)
        let servers = AuthorizationServers(client: client, time: clock, logger: logger)
        let revocations = RevocationSender(
            database: database, catalog: catalog, client: client, servers: servers, owner: "run", time: clock,
            random: random, logger: logger)
        let tokens = AccessTokens(
            database: database, catalog: catalog, client: client, servers: servers, revocations: revocations,
            owner: "run", time: clock, logger: logger)
        planner =
            settings.isFixed
            ? nil
            : SyncPlanner(
                catalog: catalog, schedule: database.schedule, accounts: database.accounts, tally: reads,
                prior: ChangeBelief(a: 0.5, b: 0.5 * unit), time: clock, random: random, logger: logger)
        figures = SyncFigures(time: clock)
        pass = SyncPass(
            catalog: catalog, schedule: database.schedule,
            accountSync: AccountSync(
                catalog: catalog, schedule: database.schedule, planner: planner, tokens: tokens,
                profiles: ProfileFetch(client: client, servers: servers, time: clock), figures: figures, time: clock,
                random: random, logger: logger), planner: planner, client: client, concurrency: 8, owner: "run",
            time: clock, logger: logger)
        overview = SyncOverview(
            catalog: catalog, database: database, client: client, planner: planner, figures: figures, time: clock)
    }

    private static let manifest = """
        id: world
        name: World
        authorization: {endpoint: "https://world.example/authorize", scopes: [profile]}
        client_authentication: client_secret_basic
        token: {endpoint: "https://world.example/token", refresh: {rotation: reusable}}
        profile:
          requests: {user: {url: "https://world.example/me"}}
          claims: {sub: $.user.id, name: $.user.name}
        limits: {dialect: retry_after, concurrency: 64}
        sync: {interval: \(Int(round))s, minimum_interval: 10s, maximum_age: 7d}

        """

    func run() async throws -> Result {
        defer { close() }
        let ids = try await link()
        await planner?.rebuild()
        var chance = Chance(seed: settings.seed ^ 0xfeed)
        let readers = Readers(population, ids)
        let readsPerStep = Self.readsPerRound * Double(ids.count) * settings.step.secondsAsDouble / Self.round
        let end = settings.rounds * Self.round
        var rebuiltAt = 0.0
        while clock.elapsed < end {
            clock.advance(by: settings.step)
            let now = clock.now()
            for _ in 0..<chance.poisson(mean: readsPerStep) { reads.count(readers.next(&chance), at: now) }
            try await pass.run()
            guard let planner else { continue }
            await planner.flushReads()
            if clock.elapsed - rebuiltAt >= 3600 {
                await planner.rebuild()
                rebuiltAt = clock.elapsed
            }
            await planner.tick()
        }
        await planner?.sampleFreshness()
        guard let line = try await overview.lines().first, line.accounts[.active] == ids.count, line.problems.isEmpty
        else { throw Broken(reason: "not every account is active at the end") }
        let (freshness, requests) = world.result(at: clock.elapsed)
        return Result(
            freshness: freshness, spent: Double(requests) / (Double(ids.count) * settings.rounds / 2),
            believed: line.outlook?.freshness, calibration: line.calibration?.bias)
    }

    /// Everyone linked at once, with the profile of that moment, and due some time in the first round.
    private func link() async throws -> [AccountID] {
        var chance = Chance(seed: settings.seed ^ 0xbeef)
        var ids: [AccountID] = []
        for index in 0..<settings.accounts {
            let profile = try provider.profile(
                from: ["user": JSONValue(parsing: Array(ChangingProvider.body(index, version: 0).utf8))],
                validators: ["user": Validators(etag: "\"0\"")])
            guard let user = UserID("user-\(index)"), let subject = Subject("\(index)") else {
                throw Broken(reason: "\(index) names nobody")
            }
            let outcome = try await database.accounts.link(
                NewLink(
                    userID: user, provider: provider.id, subject: subject,
                    credential: Credential(
                        accessToken: Secret(ChangingProvider.accessToken(index)), expiresAt: nil, refreshToken: nil,
                        scopes: ["profile"].compactMap { Scope($0) }, obtainedAt: clock.now()),
                    profile: profile,
                    nextSyncAt: clock.now() + .milliseconds(Int64(chance.unit() * Self.round * 1000))))
            guard case .linked(let account, _) = outcome else { throw Broken(reason: "not linked: \(outcome)") }
            ids.append(account.id)
        }
        return ids
    }

    private func close() {
        database.close()
        // What is left in memory at worst.
        try? FileManager.default.removeItem(atPath: folder)
    }
}

/// Whose profile is read next.
private struct Readers {
    private let ids: [AccountID]
    /// Cumulated rates.
    private let sums: [Double]

    init(_ population: Population, _ ids: [AccountID]) {
        self.ids = ids
        var sum = 0.0
        sums = population.readRates.map { rate in
            sum += rate
            return sum
        }
    }

    func next(_ chance: inout Chance) -> AccountID {
        let place = chance.unit() * (sums.last ?? 0)
        var (low, high) = (0, sums.count - 1)
        while low < high {
            let middle = (low + high) / 2
            if sums[middle] < place { low = middle + 1 } else { high = middle }
        }
        return ids[low]
    }
}
