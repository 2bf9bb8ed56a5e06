import Accounts
import Cryptography
import Foundation
import JSON
import Linking
import Logging
import Providers
import Store
import Synchronization
import TestSupport
import Testing
import Transfer

@testable import Sync

/// Months of syncing in a world that misbehaves, checked after every step. A failing seed is named in the issue; to see
/// it again, run `SYNC_SEED=<seed> swift test --filter SimulationTests`.
///
/// Seeds up to 24 are large worlds; even ones run one account at a time and are the same each time, odd ones run two
/// processes side by side. Those from 1000 on are small worlds, thousands of them, of one process or two in turn, and
/// each is the same each time; `SYNC_SEEDS=<count>` runs so many of these, `scripts/test` 2,000.
@Suite(.timeLimit(.minutes(10)))
struct SimulationTests {
    private static func number(_ name: String) -> UInt64? {
        ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) }
    }
    private static let only = number("SYNC_SEED")
    static let seeds: [UInt64] = only.map { $0 < Simulation.firstSmallSeed ? [$0] : [] } ?? Array(1...24)
    static let smallSeeds: [UInt64] =
        only.map { $0 < Simulation.firstSmallSeed ? [] : [$0] }
        ?? Array(Simulation.firstSmallSeed..<Simulation.firstSmallSeed + (number("SYNC_SEEDS") ?? 300))

    @Test func `in thousands of small worlds no good grant is lost`() async throws {
        let seeds = Self.smallSeeds
        let sum = try await withThrowingTaskGroup(of: [String: Int].self) { group in
            let workers = ProcessInfo.processInfo.activeProcessorCount
            for worker in 0..<workers {
                group.addTask {
                    var sum: [String: Int] = [:]
                    for index in stride(from: worker, to: seeds.count, by: workers) {
                        let simulation = try await Simulation(seed: seeds[index])
                        let broken = try await simulation.run()
                        if !broken.isEmpty {
                            Issue.record("SYNC_SEED=\(seeds[index]): \(broken.joined(separator: "; "))")
                        }
                        sum.merge(simulation.tally, uniquingKeysWith: +)
                    }
                    return sum
                }
            }
            return try await group.reduce(into: [:]) { $0.merge($1, uniquingKeysWith: +) }
        }
        guard seeds.count >= 300 else { return }
        for happening in Self.happenings + Self.happeningsOfSmallWorlds {
            #expect(sum[happening, default: 0] >= 10, "too seldom over all seeds: \(happening)")
        }
    }

    @Test(arguments: seeds)
    func `no good grant is lost, and the feed tells what changed`(_ seed: UInt64) async throws {
        let simulation = try await Simulation(seed: seed)
        let broken = try await simulation.run()
        if !broken.isEmpty { Issue.record("SYNC_SEED=\(seed): \(broken.joined(separator: "; "))") }
        // The last seed to come to an end looks at what all of them went through.
        let sum = Self.total.withLock { total -> [String: Int]? in
            total.runs += 1
            total.tally.merge(simulation.tally, uniquingKeysWith: +)
            return total.runs.isMultiple(of: Self.seeds.count) ? total.tally : nil
        }
        guard let sum, Self.seeds.count > 1 else { return }
        for happening in Self.happenings {
            #expect(sum[happening, default: 0] >= 10, "too seldom over all seeds: \(happening)")
        }
    }

    private static let total = Mutex((runs: 0, tally: [String: Int]()))

    /// What a world that misbehaves has to do for the rest to say anything.
    static let happenings =
        ["limited", "broken", "timedOutBefore", "timedOutAfter", "torn", "served"].flatMap { fate in
            ["\(fate) token", "\(fate) profile"]
        } + [
            "unauthorized profile", "stranger profile", "crash before", "crash after", "rotation lost",
            "process restarted", "in doubt at a start", "clock set", "profile.updated",
            "account.needs_relink", "account.recovered", "seen suspended", "linked again",
        ]

    static let happeningsOfSmallWorlds = [
        "linked meanwhile", "token handed out", "refreshed ahead", "lost and told so", "revoked and told so",
    ]

    @Test(arguments: [4, 1001, 1002, 1003] as [UInt64])
    func `a seed tells the same story each time`(_ seed: UInt64) async throws {
        var stories: [[String]] = []
        for _ in 0..<2 {
            let simulation = try await Simulation(seed: seed)
            _ = try await simulation.run()
            stories.append(simulation.story)
        }
        #expect(stories[0].count > 20)
        #expect(stories[0] == stories[1])
    }

    @Test func `a patch applied to the old document gives the new one`() throws {
        let old: JSONValue = ["a": ["b": "1", "c/d": "2"]]
        let new: JSONValue = ["a": ["b": "3"], "e": "4"]
        #expect(Patch.apply(JSONPatch.difference(from: old, to: new), to: old)?.canonicalText == new.canonicalText)
    }
}

/// One seed's run. Not shared: its methods are called one after the other.
final class Simulation {
    static let firstSmallSeed: UInt64 = 1000

    let seed: UInt64
    let isSmall: Bool
    let days: Int
    let people: Int
    let processes: Int
    let time = LeapingTime()
    let world: SimulatedWorld
    let ring: KeyRing
    let catalog: ProviderCatalog
    let folder: String
    var generator: Generator
    var databases: [Database] = []
    var engines: [Fixture.Engine] = []
    var ids: [String: AccountID] = [:]
    var documents: [String: JSONValue] = [:]
    var versions: [String: Int64] = [:]
    var cursor: ChangeID?
    /// What happened, for comparing two runs.
    var story: [String] = []
    private var own: [String: Int] = [:]
    /// What happened, by name.
    var tally: [String: Int] { own.merging(world.state.withLock(\.tally), uniquingKeysWith: +) }
    var starts = 0
    var steps = 0
    /// Which start each of the processes is.
    var numbers: [Int] = []
    /// Looks on, through every crash.
    let survivor: Database

    init(seed: UInt64) async throws {
        self.seed = seed
        isSmall = seed >= Self.firstSmallSeed
        days = isSmall ? 14 : 60
        people = isSmall ? 3 : 20
        processes = seed.isMultiple(of: 2) ? 1 : 2
        generator = Generator(seed: seed &+ 1_000_003)
        world = SimulatedWorld(seed: seed, time: time)
        ring = try KeyRing.generate(random: SeededRandom(seed: isSmall ? 1 : seed))
        // In memory where there is a file system for it: nothing here is about the disk.
        let memory = "/dev/shm"
        let base =
            FileManager.default.isWritableFile(atPath: memory)
            ? URL(filePath: memory) : FileManager.default.temporaryDirectory
        folder = base.appending(path: "rollcall-simulation-\(UUID().uuidString)").path()
        if isSmall { try Self.copyTemplate(to: folder, ring: ring, in: base.path()) }
        catalog = try Self.catalog.get()
        survivor = try Database(
            path: folder + "/rollcall.sqlite", keyRing: ring, time: time, random: SeededRandom(seed: seed))
        observe()
        for _ in 0..<processes { try start() }
        for number in 1...people { try await link("\(number)") }
    }

    private static let catalog = Result {
        let limit = SimulatedWorld.limit
        let limits = ", requests: {per: client, count: \(limit.count), window: \(limit.window.components.seconds)s}"
        return try Fixture.catalog(
            [("alpha", "single_use"), ("beta", "reusable")].map { id, rotation in
                Fixture.manifest(id, rotation: rotation, limits: limits, concurrency: SimulatedWorld.concurrency)
                    .replacing("login}", with: "login, nickname: $.user.bio}")
                    .replacing(
                        "interval: 6h, minimum_interval: 5m, maximum_age: 24h",
                        with: "interval: 3d, minimum_interval: 1h, maximum_age: 6d")
            })
    }

    /// An empty database, made once: most of what a small world would cost is to make its own.
    private static func copyTemplate(to folder: String, ring: KeyRing, in base: String) throws {
        let bytes = try template.withLock { template in
            if let template { return template }
            let folder = base + "/rollcall-template-\(UUID().uuidString)"
            let path = folder + "/rollcall.sqlite"
            try Database(path: path, keyRing: ring, time: LeapingTime(), random: SeededRandom()).close()
            let bytes = try Data(contentsOf: URL(filePath: path))
            try FileManager.default.removeItem(atPath: folder)
            template = bytes
            return bytes
        }
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        try bytes.write(to: URL(filePath: folder + "/rollcall.sqlite"))
    }

    private static let template = Mutex<Data?>(nil)

    /// What goes on in the world while a request is under way. In worlds of two processes side by side nobody links
    /// meanwhile: whose turn it is would be left to chance.
    private func observe() {
        let (survivor, world, time, catalog) = (survivor, world, time, catalog)
        let ids = Mutex<[String: AccountID]>([:])
        world.bystanders.withLock { bystanders in
            bystanders.durableToken = { subject in
                guard let name = world.state.withLock({ $0.people[subject]?.provider }),
                    let provider = ProviderID(name), let who = Subject(subject)
                else { return nil }
                do {
                    var id = ids.withLock { $0[subject] }
                    if id == nil { id = try await survivor.accounts.account(provider: provider, subject: who)?.id }
                    guard let id else { return nil }
                    ids.withLock { $0[subject] = id }
                    return try await survivor.credentials.read(id)?.credential.accessToken
                } catch {
                    return nil
                }
            }
            guard isSmall || processes == 1 else { return }
            bystanders.link = { subject in
                let due = world.state.withLock { $0.generator.duration(0...259_200) }
                do {
                    _ = try await Self.link(
                        subject, world: world, database: survivor, catalog: catalog, time: time, dueAfter: due)
                } catch {
                    world.state.withLock { $0.violations.append("\(subject) can't be linked: \(error)") }
                }
            }
        }
    }

    deinit {
        for database in databases + [survivor] { database.close() }
        try? FileManager.default.removeItem(atPath: folder)  // a leftover in the temporary folder does no harm
    }

    /// A process begins: its own connections, its own memory.
    private func start(at index: Int? = nil) throws {
        starts += 1
        let random = SeededRandom(seed: seed &* 1000 &+ UInt64(starts))
        let database = try Database(path: folder + "/rollcall.sqlite", keyRing: ring, time: time, random: random)
        let (world, process, processes) = (world, starts, processes)
        let transport = ScriptedTransport { request in
            await world.reply(to: request, process: process, processes: processes) { database.close() }
        }
        let engine = Fixture.engine(
            owner: "process-\(starts)", concurrency: isSmall || processes == 1 ? 1 : 4, database: database,
            catalog: catalog,
            transport: transport, time: time, random: random,
            logger: Logger(label: "simulation") { _ in SwiftLogNoOpLogHandler() })
        if let index {
            numbers[index] = starts
            databases[index] = database
            engines[index] = engine
        } else {
            numbers.append(starts)
            databases.append(database)
            engines.append(engine)
        }
    }

    private func link(_ subject: String) async throws {
        let due = generator.duration(0...259_200)
        ids[subject] = try await Self.link(
            subject, world: world, database: survivor, catalog: catalog, time: time, dueAfter: due)
    }

    private static func link(
        _ subject: String, world: SimulatedWorld, database: Database, catalog: ProviderCatalog, time: LeapingTime,
        dueAfter: Duration
    ) async throws -> AccountID {
        let name = Int(subject)?.isMultiple(of: 2) == true ? "alpha" : "beta"
        let person = world.state.withLock { state in
            let previous = state.people[subject]
            let number = (previous?.tokens ?? 0) + 1
            var person = SimulatedWorld.Person(
                subject: subject, provider: name, login: previous?.login ?? "octocat", bio: previous?.bio ?? 0,
                accessToken: "EXAMPLE-access-\(subject)-\(number)",
                accessTokenEndsAt: time.elapsed + SimulatedWorld.tokenLifetime,
                refreshToken: "EXAMPLE-refresh-\(subject)-\(number)", tokens: number, issuedAt: time.elapsed)
            person.requestsUnderWay = previous?.requestsUnderWay ?? 0
            state.people[subject] = person
            return person
        }
        guard let id = ProviderID(name), let provider = catalog[id], let user = UserID("user-\(subject)"),
            let who = Subject(subject)
        else { throw StoreError.inconsistent("no such provider") }
        let profile = try provider.profile(
            from: ["user": try JSONValue(parsing: person.body)],
            validators: ["user": Validators(etag: person.etag)], idTokenClaims: nil)
        let credential = Credential(
            accessToken: Secret(person.accessToken), expiresAt: time.now() + SimulatedWorld.tokenLifetime,
            refreshToken: Secret(person.refreshToken), scopes: ["profile"].compactMap { Scope($0) },
            obtainedAt: time.now())
        let outcome = try await database.accounts.link(
            NewLink(
                userID: user, provider: id, subject: who, credential: credential, profile: profile,
                nextSyncAt: time.now() + dueAfter))
        guard case .linked(let account, _) = outcome else { throw StoreError.inconsistent("not linked: \(outcome)") }
        return account.id
    }

    // MARK: - The run

    /// What did not hold; empty where all did.
    func run() async throws -> [String] {
        let end = time.elapsed + .seconds(Int64(days) * 86_400)
        while time.elapsed < end {
            try await liveOn()
            try await serveCallers()
            try await pass()
            steps += 1
            // Nothing can have happened to an account that nobody asked for; all are looked at now and then.
            let broken = try await check(everyone: steps.isMultiple(of: 25))
            if !broken.isEmpty { return broken.map { "day \(time.elapsed.components.seconds / 86_400): \($0)" } }
        }
        return try await settle()
    }

    /// The world goes on: time, people, the clock.
    private func liveOn() async throws {
        time.advance(by: generator.duration(600...90_000))
        if generator.chance(2) {
            own["clock set", default: 0] += 1
            time.setClock(by: generator.duration(-7200...7200))
            // Pauses and windows were counted by the clock as it was.
            world.state.withLock { state in
                state.pausedUntil = [:]
                state.requests = [:]
            }
        }
        for number in 1...people {
            let subject = "\(number)"
            let (changes, revokes, suspends) = (
                generator.chance(4), generator.chance(isSmall ? 0.5 : 0.1), generator.chance(0.4)
            )
            let isDead = world.state.withLock { state -> Bool in
                if changes { state.people[subject]?.bio += 1 }
                if changes, state.generator.chance(30) { state.people[subject]?.login = "cat-\(state.count)" }
                if revokes { state.people[subject]?.isRevoked = true }
                if suspends { state.people[subject]?.isSuspended.toggle() }
                return state.people[subject].map { $0.isRevoked || $0.isLost } ?? false
            }
            // Some link again after a while; the old grant's trouble must not stick to the new one.
            if isDead, generator.chance(isSmall ? 10 : 2) {
                own["linked again", default: 0] += 1
                try await link(subject)
            }
        }
        let crashes = generator.chance(isSmall ? 25 : 8)
        let elapsed = time.elapsed
        world.state.withLock { state in
            state.faults.crash = crashes ? 20 : 0
            state.knownPauses = state.pausedUntil
            state.stepBeganAt = elapsed
            state.touched = []
        }
    }

    /// Programs take access tokens, and those they take are kept fresh.
    private func serveCallers() async throws {
        let dead = world.state.withLock { $0.dead }
        for index in engines.indices where !dead.contains(numbers[index]) {
            for (subject, id) in ids.sorted(by: { $0.key < $1.key }) where generator.chance(10) {
                guard let provider = catalog[Self.provider(of: subject)] else { continue }
                do {
                    let taken = try await engines[index].tokens.handOut(id, provider: provider, minTTL: .zero)
                    own["token handed out", default: 0] += 1
                    let held = try await survivor.credentials.read(id)?.credential.accessToken
                    if held != taken.credential.accessToken, taken.generation > 1 {
                        world.state.withLock {
                            $0.violations.append("\(subject): a token was handed out before it was durable")
                        }
                    }
                } catch is AccessTokenError {
                    // Its account says why.
                }
            }
            let before = world.state.withLock { $0.tally["served token", default: 0] }
            for provider in catalog.providers { await engines[index].upkeep.work(provider) }
            let after = world.state.withLock { $0.tally["served token", default: 0] }
            own["refreshed ahead", default: 0] += after - before
        }
    }

    private static func provider(of subject: String) -> ProviderID {
        ProviderID(Int(subject)?.isMultiple(of: 2) == true ? "alpha" : "beta")!
    }

    private func passes() async -> [(Int, String)] {
        let passes = engines.map(\.pass)
        if isSmall {
            // In turn, in an order of chance: the same each time.
            var failures: [(Int, String)] = []
            for index in engines.indices.shuffled(using: &generator) {
                do { _ = try await passes[index].run() } catch { failures.append((index, "\(error)")) }
            }
            return failures
        }
        return await withTaskGroup(of: (Int, String)?.self) { group in
            for (index, pass) in passes.enumerated() {
                group.addTask {
                    do { _ = try await pass.run() } catch { return (index, "\(error)") }
                    return nil
                }
            }
            return await group.reduce(into: [(Int, String)]()) { if let failure = $1 { $0.append(failure) } }
        }
    }

    private func pass() async throws {
        let failures = await passes()
        let dead = world.state.withLock { $0.dead }
        // A process that died can't read its schedule; one that lives can.
        for (index, failure) in failures where !dead.contains(numbers[index]) {
            world.state.withLock { $0.violations.append("the pass of a living process failed: \(failure)") }
        }
        for index in engines.indices where dead.contains(numbers[index]) || generator.chance(3) {
            databases[index].close()
            // What was on its way to a process that died has reached nobody.
            let began = world.state.withLock(\.stepBeganAt)
            for (subject, id) in ids where dead.contains(numbers[index]) {
                let held = try await survivor.credentials.read(id)?.credential.refreshToken
                world.state.withLock { state in
                    guard let person = state.people[subject], person.issuedTo == numbers[index],
                        person.issuedAt >= began
                    else { return }
                    // Or it arrived while its database was being closed, and was kept after all.
                    let isLost = held != Secret(person.refreshToken)
                    if isLost, !person.isLost { state.tally["rotation lost", default: 0] += 1 }
                    state.people[subject]?.isLost = isLost
                }
            }
            own["process restarted", default: 0] += 1
            try start(at: index)
            if try await !survivor.credentials.refreshesInDoubt(limit: 1).isEmpty {
                own["in doubt at a start", default: 0] += 1
            }
            if generator.chance(50) { await engines[index].tokens.recoverInDoubt() }
            // Leases of the dead one end before the next look.
            time.advance(by: SyncPass.lease)
        }
    }

    // MARK: - What must hold

    private func check(everyone: Bool) async throws -> [String] {
        var broken = world.state.withLock { state in
            defer { state.violations = [] }
            return state.violations
        }
        let database = survivor
        let (people, touched) = world.state.withLock { ($0.people, $0.touched) }
        broken += try await readFeed()
        for (subject, id) in ids.sorted(by: { $0.value < $1.value }) where everyone || touched.contains(subject) {
            guard let person = people[subject], let account = try await database.accounts.account(id),
                let stored = try await database.credentials.read(id),
                let document = try database.profiles.document(account: id),
                let state = try await database.schedule.state(of: id)
            else { return broken + ["\(subject) is gone"] }
            let isDead = person.isRevoked || person.isLost
            if account.status == .suspended { own["seen suspended", default: 0] += 1 }
            if account.status == .needsRelink, !isDead { broken.append("\(subject) needs a relink for nothing") }
            if !isDead, stored.credential.refreshToken != Secret(person.refreshToken) {
                broken.append("\(subject): the good refresh token was lost")
            }
            if let until = state.leaseUntil, until <= time.now() + SyncPass.lease, processes == 1 {
                broken.append("\(subject): a lease is left until \(until)")
            }
            if account.status == .active || account.status == .suspended, account.nextSyncAt == nil {
                broken.append("\(subject) is never synced again")
            }
            if account.status == .needsRelink, account.problem?.action != .user {
                broken.append("\(subject) needs a relink and does not say why")
            }
            if account.status == .needsRelink, person.isLost != person.isRevoked {
                // A lost rotation and a revoked grant are two things; only an answer that was lost makes the one.
                let told = account.problem?.code == .rotationLost
                own[person.isLost ? "lost and told so" : "revoked and told so", default: 0] += 1
                if person.isLost, !told {
                    broken.append("\(subject) lost a rotation and says \(account.problem?.code.rawValue ?? "")")
                }
            }
            // The stored profile, what the feed tells of it, and what the provider said.
            let parsed = try JSONValue(parsing: document.bytes)
            let content: JSONValue = ["claims": parsed["claims"] ?? .null, "raw": parsed["raw"] ?? .null]
            if versions[subject] != document.version {
                broken.append("\(subject): version without a change in the feed")
            }
            if documents[subject]?.canonicalText != content.canonicalText {
                broken.append("\(subject): the feed tells another profile than the cache")
            }
            if parsed["claims"]?["sub"]?.string != subject { broken.append("\(subject): another person's profile") }
            story.append("\(subject) \(account.status) \(document.version) \(stored.generation) \(state.failures)")
        }
        return broken
    }

    /// Follows the feed as an application would.
    private func readFeed() async throws -> [String] {
        var broken: [String] = []
        guard let page = try await survivor.changes.changes(after: cursor, limit: 10_000) else {
            return ["the cursor is unknown"]
        }
        let subjects = Dictionary(uniqueKeysWithValues: ids.map { ($0.value, $0.key) })
        for change in page.changes {
            own[change.kind.rawValue, default: 0] += 1
            guard let subject = subjects[change.accountID] else { continue }
            switch change.kind {
            case .profileCreated:
                // Linked with the profile that the world had then.
                let profile: JSONValue = [
                    "id": .string(subject), "login": "octocat", "bio": "0", "visits": .number(JSONNumber(1)),
                ]
                documents[subject] = [
                    "claims": ["sub": .string(subject), "preferred_username": "octocat", "nickname": "0"],
                    "raw": ["user": profile],
                ]
                versions[subject] = 1
            case .profileUpdated:
                guard let text = change.patch, let old = documents[subject],
                    let new = Patch.apply(try JSONValue(parsing: text), to: old)
                else {
                    broken.append("\(subject): a patch that does not apply")
                    continue
                }
                if change.version != versions[subject].map({ $0 + 1 }) {
                    broken.append("\(subject): version \(change.version ?? 0) after \(versions[subject] ?? 0)")
                }
                if Self.content(of: old) == Self.content(of: new) {
                    broken.append("\(subject): an update that changes nothing")
                }
                documents[subject] = new
                versions[subject] = change.version
            default: break
            }
        }
        cursor = page.next
        return broken
    }

    private static func content(of document: JSONValue) -> String {
        let user = document["raw"]?["user"]
        return "\(user?["login"]?.string ?? "") \(user?["bio"]?.string ?? "")"
    }

    /// The world behaves again: within the promised age every account that can be is fresh and well.
    private func settle() async throws -> [String] {
        world.state.withLock { state in
            state.faults = SimulatedWorld.Faults(
                limited: 0, broken: 0, timedOutAfter: 0, timedOutBefore: 0, torn: 0, unauthorized: 0, strangers: 0)
            for subject in state.people.keys { state.people[subject]?.isSuspended = false }
        }
        for _ in 0..<16 {
            time.advance(by: .seconds(43_200))
            let elapsed = time.elapsed
            world.state.withLock { $0.stepBeganAt = elapsed }
            try await pass()
        }
        var broken = try await check(everyone: true)
        let people = world.state.withLock { $0.people }
        for (subject, id) in ids {
            guard let person = people[subject], let account = try await survivor.accounts.account(id) else {
                continue
            }
            let isDead = person.isRevoked || person.isLost
            if isDead != (account.status == .needsRelink) {
                broken.append("\(subject) is \(account.status), the grant is \(isDead ? "dead" : "good")")
            }
            if isDead { continue }
            if documents[subject].map(Self.content) != person.content { broken.append("\(subject) is out of date") }
            if account.syncedAt.map({ time.now() - $0 > .seconds(7 * 86_400) }) ?? true {
                broken.append("\(subject) was not synced within the promised age")
            }
            if account.problem != nil { broken.append("\(subject) still has a problem") }
        }
        return broken
    }
}
