import Accounts
import Cryptography
import Foundation
import Linking
import Logging
import OAuth
import Providers
import ServiceLifecycle
import Store
import Sync
import Telemetry
import Transfer
import UnixSignals
import Web

/// A service with a name for log lines, which would otherwise tell of all it is made of.
private struct NamedService: Service, CustomStringConvertible {
    let name: String
    let service: any Service

    var description: String { name }
    func run() async throws { try await service.run() }
}

/// The whole service, put together from top to bottom.
struct ServiceAssembly: Sendable {
    static let version = "0.1.0"
    /// How the leases begin that the one serving process takes.
    private static let serviceOwner = "serve-"

    let configuration: ServiceConfiguration
    let database: Database
    let catalog: ProviderCatalog
    let transport: CurlTransport
    /// Of the syncs, which also write on its thread: who waits for an answer must not wait for those.
    private let syncTransport: CurlTransport
    let linking: AccountLinking
    let devices: DeviceLinking
    let tokenCheck: TokenCheck
    let syncPass: SyncPass
    let planner: SyncPlanner?
    let syncService: SyncService
    private let onDemand: SyncOnDemand
    let revocations: RevocationSender
    private let tokens: AccessTokens
    let web: WebServer
    private let services: ServiceGroup
    private let lock: ServiceLock?
    private let listening: ListeningSignal
    private let logger: Logger

    /// - Parameter servesAlone: takes the lock that keeps a second `serve` off the same database.
    init(_ configuration: ServiceConfiguration, servesAlone: Bool) throws {
        let time = SystemTime()
        let random = SystemRandom()
        let logger = Logger(label: "rollcall")
        let owner = (servesAlone ? Self.serviceOwner : "command-") + Hexadecimal.encode(random.bytes(8))
        self.configuration = configuration
        self.logger = logger

        catalog = try Self.catalog(configuration)
        lock = servesAlone ? try ServiceLock.acquire(databasePath: configuration.databasePath) : nil
        database = try configuration.openDatabase(time: time, random: random)
        transport = try configuration.transport(to: catalog.providers)
        syncTransport = try configuration.transport(to: catalog.providers)

        let telemetry = Telemetry()
        telemetry.setBuild(version: Self.version)
        let client = ProviderClient(
            transport: transport, backgroundTransport: syncTransport, database: database, telemetry: telemetry,
            time: time, random: random, logger: logger)
        let servers = AuthorizationServers(client: client, time: time, logger: logger)
        revocations = RevocationSender(
            database: database, catalog: catalog, client: client, servers: servers, owner: owner, time: time,
            random: random, logger: logger)
        tokens = AccessTokens(
            database: database, catalog: catalog, client: client, servers: servers, revocations: revocations,
            owner: owner, time: time, logger: logger)
        let profiles = ProfileFetch(client: client, servers: servers, time: time)
        linking = AccountLinking(
            publicURL: configuration.publicURL, returnTo: configuration.returnTo, database: database, catalog: catalog,
            client: client, servers: servers,
            profiles: profiles, revocations: revocations, time: time, random: random, logger: logger)

        let reads = ReadTally()
        planner =
            configuration.plansByChange
            ? SyncPlanner(
                catalog: catalog, schedule: database.schedule, accounts: database.accounts, tally: reads,
                client: client, time: time, random: random, logger: logger) : nil
        tokenCheck = TokenCheck(database: database, client: client, servers: servers, tokens: tokens)
        devices = DeviceLinking(
            database: database, catalog: catalog, client: client, servers: servers, profiles: profiles,
            revocations: revocations, owner: owner, time: time, random: random, logger: logger)

        let figures = SyncFigures(time: time)
        let accountSync = AccountSync(
            catalog: catalog, schedule: database.schedule, planner: planner, tokens: tokens, profiles: profiles,
            figures: figures, telemetry: telemetry, time: time, random: random, logger: logger)
        syncPass = SyncPass(
            catalog: catalog, schedule: database.schedule, accountSync: accountSync, planner: planner, client: client,
            concurrency: configuration.concurrency, owner: owner, time: time, logger: logger,
            executor: syncTransport.executor)
        syncService = SyncService(
            pass: syncPass, tokens: tokens, revocations: revocations, database: database, catalog: catalog,
            planner: planner, time: time, logger: logger)
        onDemand = SyncOnDemand(
            catalog: catalog, schedule: database.schedule, accounts: database.accounts, accountSync: accountSync,
            planner: planner, client: client, owner: owner, time: time)

        let listening = ListeningSignal()
        self.listening = listening
        web = try WebServer(
            WebServer.Settings(
                publicURL: configuration.publicURL, applicationName: configuration.applicationName,
                host: configuration.host, port: configuration.port,
                operatorAddress: configuration.operatorPort.map {
                    WebServer.Settings.Address(host: configuration.operatorHost, port: $0)
                },
                trustedProxies: try TrustedProxies(configuration.trustedProxies)),
            database: database, catalog: catalog, linking: linking, devices: devices,
            signals: SignalIntake(database: database, servers: servers, time: time, logger: logger),
            accessTokens: tokens, reads: reads,
            overview: SyncOverview(
                catalog: catalog, database: database, client: client, planner: planner, figures: figures, time: time),
            sync: SyncRequests { [database, onDemand] in
                await SyncNowResult(onDemand, database.accounts, account: $0, waitingAtMost: $1, time: time)
            } ifWorthIt: { [onDemand] account, limit in
                do { return try await onDemand.refreshIfWorthIt(account, waitingAtMost: limit) } catch {
                    // The copy that there is can be served all the same.
                    logger.error("A read can't be weighed", metadata: ["account": "\(account)", "error": "\(error)"])
                    return nil
                }
            },
            telemetry: telemetry, time: time, random: random, logger: logger,
            onListening: { listening.fire(port: $0.main) })
        let keys = KeyRingWatch(
            vault: database.vault, source: configuration.keyRingSource, time: time, logger: logger)
        var group = ServiceGroupConfiguration(
            services: [
                NamedService(name: "keys", service: keys), NamedService(name: "sync", service: syncService),
                NamedService(
                    name: "tokens",
                    service: TokenUpkeep(
                        database: database, catalog: catalog, tokens: tokens, time: time, logger: logger)),
                NamedService(name: "device links", service: DeviceLinkService(devices: devices, time: time)),
                NamedService(name: "web", service: web),
            ],
            gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
        group.maximumGracefulShutdownDuration = .seconds(15)
        // No maximumCancellationDuration: it ends the process by a trap, and with it the only copy of a rotated token.
        services = ServiceGroup(configuration: group)
    }

    /// Until SIGTERM or SIGINT. What is under way has 15 seconds to finish; then it is cancelled, and waits for a
    /// provider's leave to send or for another process end at once. Only a refresh whose request has left holds the
    /// process up beyond that: 30 seconds at most for the answer, and, while the database takes no write, 75 to store it
    /// (`TokenRefresh.sentMax`).
    func run() async throws { try await AuditActor.$current.withValue(.service) { try await serve() } }

    private func serve() async throws {
        defer { listening.end() }
        logger.info(
            "Rollcall starts",
            metadata: [
                "version": "\(Self.version)", "public_url": "\(configuration.publicURL)",
                "database": "\(configuration.databasePath)",
                "providers": "\(catalog.providers.map(\.id.rawValue).joined(separator: ","))",
            ])
        for warning in database.warnings { logger.warning("\(warning)") }
        for problem in catalog.problems {
            if let id = ProviderID(problem.subject), catalog[id] != nil {
                logger.warning(
                    "A provider can't be linked yet", metadata: ["provider": "\(id)", "problem": "\(problem.problem)"])
            } else {
                logger.error("A provider is left out", metadata: ["problem": "\(problem)"])
            }
        }
        for provider in catalog.providers where provider.pkce == .none {
            logger.warning("A provider is used without PKCE", metadata: ["provider": "\(provider.id)"])
        }
        do {
            try await database.providers.note(
                configurations: Dictionary(uniqueKeysWithValues: catalog.providers.map { ($0.id, $0.fingerprint) }))
            // The lock is ours: whoever held these was killed.
            if lock != nil { try await database.releaseLeases(ofOwnersBeginning: Self.serviceOwner) }
            try await services.run()
        } catch {
            await close()
            throw ListenFailure(configuration) ?? error
        }
        do {
            // Whoever copies the one file of a stopped service has everything.
            try await database.checkpoint()
        } catch {
            logger.warning("The write-ahead log stays beside the database", metadata: ["error": "\(error)"])
        }
        await close()
        logger.info("Rollcall stops")
    }

    /// As SIGTERM does.
    func stop() async { await services.triggerGracefulShutdown() }

    /// True once connections are accepted; false where `run` ended before that, and tells why by what it throws.
    func untilListening() async -> Bool { await listening.port() != nil }

    /// A link session for the demo's user.
    func demoLink() async throws -> String {
        let order = AccountLinking.Order(userID: "ada", userLabel: "ada@example.com")
        return try await linking.begin(order).url.reveal { $0 }
    }

    func close() async {
        await onDemand.finish()
        // Before the transport, which would cut off the answers that carry new refresh tokens.
        await tokens.finish()
        await transport.shutDown()
        await syncTransport.shutDown()
        // Their outcome goes into the outbox: what was cut short is sent again after the next start.
        await revocations.finishSending()
        database.close()
        lock?.release()
    }

    static func catalog(_ configuration: ServiceConfiguration) throws -> ProviderCatalog {
        try ProviderCatalog(
            manifestsDirectory: configuration.providersDirectory, instances: configuration.instances,
            publicURL: configuration.publicURL, syncInterval: configuration.syncInterval)
    }
}

extension ServiceConfiguration {
    func outgoing(to providers: [Provider]) -> OutgoingConfiguration {
        OutgoingConfiguration(
            userAgent: "rollcall/\(ServiceAssembly.version) (+\(publicURL))", caFile: caFile,
            proxy: proxy?.reveal(\.self), allowedPrivateHosts: Set(allowedPrivateHosts),
            configuredAddresses: providers.flatMap(\.configuredAddresses))
    }

    /// Throws `ConfigurationError` where a setting of `outgoing` can't be used.
    func transport(to providers: [Provider]) throws -> CurlTransport {
        do {
            return try CurlTransport(outgoing(to: providers))
        } catch let error as OutgoingConfigurationError {
            let key: String? =
                switch error {
                case .hostUnusable: "outgoing.allowed_private_hosts"
                case .caFileUnreadable: "outgoing.ca_file"
                case .proxyUnusable: "outgoing.proxy"
                case .userAgentUnusable, .connectionLimitUnusable, .unavailable: nil
                }
            guard let key else { throw error }
            throw ConfigurationError(problems: ["\(place(of: key)): \(key): \(error)"])
        }
    }
}
