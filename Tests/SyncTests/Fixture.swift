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

/// A database of its own, two scripted providers and virtual time. Access tokens name their account
/// (`EXAMPLE-access-SUBJECT-N`), so that the provider's answer follows from the request.
final class Fixture: Sendable {
    let folder: String
    let time = VirtualTime()
    let ring: KeyRing
    let database: Database
    let catalog: ProviderCatalog
    let world = World()
    let transport: ScriptedTransport
    let log = LogRecorder()

    final class World: Sendable {
        struct State: Sendable {
            /// By subject; `octocat` for all others.
            var logins: [String: String] = [:]
            /// A member outside of what counts as content.
            var visits = 0
            var sendsETags = false
            var tokensIssued = 1
            /// Answers to the next requests, before the provider's own.
            var profileReplies: [ScriptedTransport.Reply] = []
            var tokenReplies: [ScriptedTransport.Reply] = []
            var revocationStatus = 200
            /// Answers every request for a profile, once the queue is empty.
            var profileReply: ScriptedTransport.Reply?
        }
        let state = Mutex(State())
    }

    /// The only one of the two with a revocation endpoint.
    static let alpha = manifest(
        "alpha", rotation: "single_use",
        revocation: #"revocation: {endpoint: "https://alpha.example/revoke", style: rfc7009}"#)
    static let beta = manifest("beta", rotation: "reusable")

    static func manifest(
        _ id: String, rotation: String, limits: String = "", concurrency: Int = 16, revocation: String = ""
    ) -> String {
        """
        id: \(id)
        name: Provider \(id)
        authorization: {endpoint: "https://\(id).example/authorize", scopes: [profile]}
        client_authentication: client_secret_basic
        token: {endpoint: "https://\(id).example/token", refresh: {rotation: \(rotation)}}
        \(revocation)
        profile:
          requests:
            user: {url: "https://api.\(id).example/me"}
          claims: {sub: $.user.id, preferred_username: $.user.login}
          volatile: [$.user.visits]
          failures:
            suspended: ["$[?search(@, 'suspended')]"]
        limits: {dialect: retry_after\(limits), concurrency: \(concurrency)}
        sync: {interval: 6h, minimum_interval: 5m, maximum_age: 24h}

        """
    }

    init(manifests: [String] = [alpha, beta], configured: Set<String>? = nil) throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "rollcall-sync-\(UUID().uuidString)").path()
        ring = try KeyRing.generate(random: SeededRandom(seed: 7))
        database = try Database(
            path: folder + "/rollcall.sqlite", keyRing: ring, time: time, random: SeededRandom(seed: 1))
        catalog = try Self.catalog(manifests)
        let world = world
        transport = ScriptedTransport { request in await Self.reply(to: request, world) }
    }

    deinit {
        database.close()
        try? FileManager.default.removeItem(atPath: folder)  // a leftover in the temporary folder does no harm
    }

    static func catalog(_ manifests: [String]) throws -> ProviderCatalog {
        let ids = manifests.compactMap { $0.split(separator: "\n").first?.dropFirst(4) }.map(String.init)
        let catalog = try ProviderCatalog(
            files: zip(ids, manifests).map { ManifestFile(path: $0 + ".yaml", text: $1) },
            instances: ids.map {
                InstanceConfiguration(id: $0, clientID: "EXAMPLE-\($0)", clientSecret: Secret("EXAMPLE-secret"))
            }, publicURL: "https://accounts.example.com")
        guard catalog.problems.isEmpty else { throw ConfigurationErrors(catalog.problems.map(\.problem)) }
        return catalog
    }

    /// Another process on the same file, as far as the database can tell.
    func anotherDatabase() throws -> Database {
        try Database(path: folder + "/rollcall.sqlite", keyRing: ring, time: time, random: SeededRandom(seed: 99))
    }

    // MARK: - The program

    struct Engine: Sendable {
        let client: ProviderClient
        let tokens: AccessTokens
        let accountSync: AccountSync
        let pass: SyncPass
        let onDemand: SyncOnDemand
        let planner: SyncPlanner?
        let reads: ReadTally
        let upkeep: TokenUpkeep
        let service: SyncService
    }

    func engine(
        owner: String = "test", concurrency: Int = 8, database: Database? = nil, catalog: ProviderCatalog? = nil,
        watch: (any TimeSource)? = nil, plans: Bool = false
    )
        -> Engine
    {
        Self.engine(
            owner: owner, concurrency: concurrency, database: database ?? self.database,
            catalog: catalog ?? self.catalog, transport: transport, time: time, random: SeededRandom(seed: 2),
            logger: logger, watch: watch, plans: plans)
    }

    /// - Parameter watch: the clock of the timers that run beside the work; without it they never go off.
    static func engine(
        owner: String, concurrency: Int, database: Database, catalog: ProviderCatalog, transport: any Transport,
        time: any TimeSource, random: any RandomSource, logger: Logger, watch: (any TimeSource)? = nil,
        plans: Bool = false
    ) -> Engine {
        let watch = watch ?? QuietTime(clock: time)
        let client = ProviderClient(
            transport: transport, database: database, time: time, random: random, logger: logger)
        let servers = AuthorizationServers(client: client, time: time, logger: logger)
        let revocations = RevocationSender(
            database: database, catalog: catalog, client: client, servers: servers, owner: owner, time: time,
            random: random, logger: logger)
        let tokens = AccessTokens(
            database: database, catalog: catalog, client: client, servers: servers, revocations: revocations,
            owner: owner, time: time, logger: logger)
        let reads = ReadTally()
        let planner =
            plans
            ? SyncPlanner(
                catalog: catalog, schedule: database.schedule, accounts: database.accounts, tally: reads,
                client: client, time: time, random: random, logger: logger) : nil
        let accountSync = AccountSync(
            catalog: catalog, schedule: database.schedule, planner: planner, tokens: tokens,
            profiles: ProfileFetch(client: client, servers: servers, time: time), time: watch, random: random,
            logger: logger)
        let pass = SyncPass(
            catalog: catalog, schedule: database.schedule, accountSync: accountSync, planner: planner, client: client,
            concurrency: concurrency, owner: owner, time: watch, logger: logger)
        return Engine(
            client: client, tokens: tokens, accountSync: accountSync, pass: pass,
            onDemand: SyncOnDemand(
                catalog: catalog, schedule: database.schedule, accounts: database.accounts, accountSync: accountSync,
                planner: planner, client: client, owner: owner, time: time), planner: planner, reads: reads,
            upkeep: TokenUpkeep(
                database: database, catalog: catalog, tokens: tokens, concurrency: 1, time: time, logger: logger),
            service: SyncService(
                pass: pass, tokens: tokens, revocations: revocations, database: database, catalog: catalog,
                planner: planner, time: time, logger: logger))
    }

    var logger: Logger { Logger(label: "test") { [log] _ in log } }

    // MARK: - Accounts

    func credential(
        _ subject: String = "1", expiresAfter: Duration? = .seconds(30 * 86_400), refresh: Bool = true
    ) throws -> Credential {
        Credential(
            accessToken: Secret("EXAMPLE-access-\(subject)-1"), expiresAt: expiresAfter.map { time.now() + $0 },
            refreshToken: refresh ? Secret("EXAMPLE-refresh-\(subject)-1") : nil,
            scopes: ["profile"].compactMap { Scope($0) }, obtainedAt: time.now())
    }

    /// Linked with the profile that the provider answers with, due at once unless `dueAfter` says otherwise.
    @discardableResult
    func link(
        _ subject: String = "1", at provider: String = "alpha", credential: Credential? = nil,
        dueAfter: Duration = .zero
    ) async throws -> AccountID {
        let provider = try self.provider(provider)
        let response = Self.profile(subject, world.state.withLock { $0 })
        let profile = try provider.profile(
            from: ["user": try JSONValue(parsing: response.body)],
            validators: response.fields["etag"].map { ["user": Validators(etag: $0)] } ?? [:], idTokenClaims: nil)
        let user = try #require(UserID("user-\(subject)"))
        let person = try #require(Subject(subject))
        let outcome = try await database.accounts.link(
            NewLink(
                userID: user, provider: provider.id, subject: person,
                credential: try credential ?? self.credential(subject),
                profile: profile, nextSyncAt: time.now() + dueAfter))
        guard case .linked(let account, _) = outcome else { throw StoreError.inconsistent("not linked: \(outcome)") }
        return account.id
    }

    func provider(_ name: String) throws -> Provider {
        let id = try #require(ProviderID(name))
        return try #require(catalog[id])
    }

    func claim(_ id: AccountID, owner: String = "test") async throws -> SyncClaim {
        try #require(try await database.schedule.claim(id, owner: owner, lease: SyncPass.lease))
    }

    func account(_ id: AccountID) async throws -> LinkedAccount {
        try #require(try await database.accounts.account(id))
    }

    func document(_ id: AccountID) throws -> ProfileDocument {
        try #require(try database.profiles.document(account: id))
    }

    func state(_ id: AccountID) async throws -> AccountSchedule {
        try #require(try await database.schedule.state(of: id))
    }

    func changes() async throws -> [Change] {
        try #require(try await database.changes.changes(after: nil, limit: 100_000)).changes
    }

    // MARK: - The providers

    var profileRequests: [TransferRequest] { transport.requests.filter { $0.url.hasSuffix("/me") } }
    var tokenRequests: [TransferRequest] { transport.requests.filter { $0.url.hasSuffix("/token") } }

    /// The tokens that the providers were told of, in order.
    var revokedTokens: [String] {
        transport.requests.filter { $0.url.hasSuffix("/revoke") }.map { request in
            let form = String(decoding: request.body?.bytes ?? [], as: UTF8.self).split(separator: "&")
            return String(form.first { $0.hasPrefix("token=") }?.dropFirst(6) ?? "")
        }
    }

    func rename(_ subject: String = "1", to login: String) { world.state.withLock { $0.logins[subject] = login } }

    func nextProfile(_ reply: @escaping ScriptedTransport.Reply) {
        world.state.withLock { $0.profileReplies.append(reply) }
    }
    func nextProfile(_ status: Int, _ fields: HeaderFields = [:], _ body: String = "{}") {
        nextProfile { _ in Self.answer(status, fields, body) }
    }
    func nextToken(_ reply: @escaping ScriptedTransport.Reply) {
        world.state.withLock { $0.tokenReplies.append(reply) }
    }
    func nextToken(_ status: Int, _ body: String = "{}") { nextToken { _ in Self.answer(status, [:], body) } }

    static func answer(_ status: Int, _ fields: HeaderFields = [:], _ body: String) -> ScriptedTransport.Answer {
        var fields = fields
        if fields["content-type"] == nil { fields["content-type"] = "application/json" }
        return .success(TransferResponse(status: status, fields: fields, body: Array(body.utf8)))
    }

    static func subject(of request: TransferRequest) -> String {
        let token = request.credentials.first { $0.name.lowercased() == "authorization" }?.value ?? ""
        return token.split(separator: "-").dropLast().last.map(String.init) ?? ""
    }

    private static func profile(_ subject: String, _ state: World.State) -> TransferResponse {
        let login = state.logins[subject] ?? "octocat"
        var response = TransferResponse(
            status: 200, fields: ["content-type": "application/json"],
            body: Array(#"{"id":"\#(subject)","login":"\#(login)","visits":\#(state.visits)}"#.utf8))
        if state.sendsETags { response.fields["etag"] = "\"\(login)\"" }
        return response
    }

    private static func reply(to request: TransferRequest, _ world: World) async -> ScriptedTransport.Answer {
        if request.url.hasSuffix("/revoke") { return answer(world.state.withLock { $0.revocationStatus }, [:], "{}") }
        let isToken = request.url.hasSuffix("/token")
        let scripted: ScriptedTransport.Reply? = world.state.withLock { state in
            if isToken { return state.tokenReplies.isEmpty ? nil : state.tokenReplies.removeFirst() }
            return state.profileReplies.isEmpty ? state.profileReply : state.profileReplies.removeFirst()
        }
        if let scripted { return await scripted(request) }
        return isToken ? token(request, world) : profile(request, world)
    }

    static func token(_ request: TransferRequest, _ world: World) -> ScriptedTransport.Answer {
        let number = world.state.withLock { state in
            state.tokensIssued += 1
            return state.tokensIssued
        }
        let form = String(decoding: request.body?.bytes ?? [], as: UTF8.self)
        let refresh = form.split(separator: "&").first { $0.hasPrefix("refresh_token=") } ?? ""
        let subject = refresh.split(separator: "-").dropLast().last ?? ""
        return answer(
            200, [:],
            #"{"access_token":"EXAMPLE-access-\#(subject)-\#(number)","token_type":"bearer","expires_in":2592000,"refresh_token":"EXAMPLE-refresh-\#(subject)-\#(number)"}"#
        )
    }

    static func profile(_ request: TransferRequest, _ world: World) -> ScriptedTransport.Answer {
        let response = profile(subject(of: request), world.state.withLock { $0 })
        if let etag = response.fields["etag"], request.fields["if-none-match"] == etag {
            return .success(TransferResponse(status: 304, fields: ["etag": etag]))
        }
        return .success(response)
    }
}
