import Accounts
import Cryptography
import Foundation
import JSON
import Linking
import Logging
import Providers
import Store
import Synchronization
import Transfer

/// One of several processes that want the same access tokens at the same moment; `race.py` starts them.
///
///     TokenRace DATABASE KEY_FILE MANIFEST SIMULATOR TASKS
///
/// Each line on standard input, `INSTANT AHEAD`, is a race: it begins at that instant (seconds since 1970), by a clock
/// that is so many seconds ahead, and tells on standard output what came of it, as JSON.
@main
struct TokenRace {
    private struct Failure: Error { var reason: String }

    let database: Database
    let provider: Provider
    let tokens: AccessTokens
    let accounts: [AccountID]
    let clock: ClockAhead

    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 6, let tasks = Int(arguments[5]) else {
            throw Failure(reason: "usage: TokenRace DATABASE KEY_FILE MANIFEST SIMULATOR TASKS")
        }
        let race = try await TokenRace(
            database: arguments[1], keyFile: arguments[2], manifest: arguments[3], simulator: arguments[4])
        print("ready")
        fflush(nil)
        while let line = readLine() {
            let words = line.split(separator: " ").compactMap { Double($0) }
            guard words.count == 2 else { throw Failure(reason: "expected INSTANT AHEAD, not \(line)") }
            race.clock.set(ahead: .seconds(words[1]))
            try await Task.sleep(for: .seconds(max(0, words[0] - Date().timeIntervalSince1970)))
            print(try await race.run(tasks: tasks))
            fflush(nil)
        }
        await race.tokens.finish()
        race.database.close()
    }

    private init(database path: String, keyFile: String, manifest: String, simulator: String) async throws {
        let catalog = try ProviderCatalog(
            files: [ManifestFile(path: manifest, text: try String(contentsOfFile: manifest, encoding: .utf8))],
            instances: [
                InstanceConfiguration(
                    id: "discord",
                    variables: ["site": simulator + "/discord", "api": simulator + "/discord/api/v10"],
                    clientID: "demo-discord", clientSecret: Secret("EXAMPLE-discord-secret"))
            ], publicURL: "http://127.0.0.1:8080")
        guard let id = ProviderID("discord"), let provider = catalog[id], provider.isReady else {
            throw Failure(reason: "the manifest is not usable: \(catalog.problems)")
        }
        self.provider = provider
        clock = ClockAhead()
        let random = SystemRandom()
        let logger = Logger(label: "race") { _ in SwiftLogNoOpLogHandler() }
        database = try Database(
            path: path, keyRing: try KeyRing(parsing: try String(contentsOfFile: keyFile, encoding: .utf8)),
            time: clock, random: random, busyTimeout: .seconds(60))
        let transport = try CurlTransport(
            OutgoingConfiguration(
                userAgent: "DiscordBot (https://example.com, 1)", allowedPrivateHosts: ["127.0.0.1"]))
        let client = ProviderClient(
            transport: transport, database: database, time: clock, random: random, logger: logger)
        let servers = AuthorizationServers(client: client, time: clock, logger: logger)
        let owner = "race-\(ProcessInfo.processInfo.processIdentifier)"
        tokens = AccessTokens(
            database: database, catalog: catalog, client: client, servers: servers,
            revocations: RevocationSender(
                database: database, catalog: catalog, client: client, servers: servers, owner: owner, time: clock,
                random: random, logger: logger),
            owner: owner, time: clock, logger: logger)
        accounts = try await database.accounts.list(AccountFilter(), limit: 1000).items.map(\.id)
    }

    /// What one task came by.
    private struct Haul: Sendable {
        var generations: [AccountID: Int64] = [:]
        var failures: [String: Int] = [:]
    }

    /// Every task wants the token of every account, each in an order of its own.
    private func run(tasks: Int) async throws -> String {
        var taken = 0
        var generations: [AccountID: Set<Int64>] = [:]
        var failures: [String: Int] = [:]
        await withTaskGroup(of: Haul.self) { group in
            for _ in 0..<tasks { group.addTask { await wantAll() } }
            for await haul in group {
                taken += haul.generations.count
                for (id, generation) in haul.generations { generations[id, default: []].insert(generation) }
                failures.merge(haul.failures, uniquingKeysWith: +)
            }
        }
        let different = generations.values.count { $0.count > 1 }
        return JSONValue.object([
            "taken": .number(JSONNumber(taken)), "different": .number(JSONNumber(different)),
            "failures": .string(
                failures.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }.joined(separator: ", ")),
        ]).text
    }

    private func wantAll() async -> Haul {
        var haul = Haul()
        for id in accounts.shuffled() {
            do throws(AccessTokenError) {
                haul.generations[id] = try await tokens.token(for: id, provider: provider, minTTL: .seconds(60))
                    .generation
            } catch {
                haul.failures["\(error.problemCode.rawValue)", default: 0] += 1
            }
        }
        return haul
    }
}

/// The system's clock, so many seconds ahead: tokens expire between two races without anybody waiting for it.
final class ClockAhead: TimeSource {
    private let system = SystemTime()
    private let ahead = Mutex<Duration>(.zero)

    func set(ahead duration: Duration) { ahead.withLock { $0 = duration } }
    func now() -> Timestamp { system.now() + ahead.withLock(\.self) }
    func sleep(for duration: Duration) async throws { try await system.sleep(for: duration) }
}
