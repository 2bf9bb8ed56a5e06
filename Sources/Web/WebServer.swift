/// The service's face: the HTTP interface for programs and the pages of linking for browsers.
///
/// `Routes.swift` shows every address. What a link, a token or a sync is lies in `Linking` and `Sync`, what is kept in
/// `Store`; here is only what HTTP asks for: who may call (RFC 6750), what can be read from a request, how an answer
/// is put (RFC 9457, RFC 9110 §13), and what browsers must be told (CSP, cookies). Profiles pass through as the bytes
/// that are stored.
package import Accounts
import HTTPTypes
import Hummingbird
import HummingbirdCore
package import Linking
package import Logging
import NIOCore
package import Providers
import ServiceLifecycle
package import Store
package import Sync
package import Telemetry

/// Runs until it is cancelled or shut down gracefully; what is being answered then is still answered.
package struct WebServer: Service {
    package struct Settings: Sendable {
        /// What browsers see; redirects, cookies and pages are built from it, never from a request's `Host`.
        package var publicURL: String
        /// As pages name it.
        package var applicationName: String
        package var host: String
        /// 0 lets the system choose; `onListening` tells.
        package var port: Int
        /// Where `/metrics` is served, with `/healthz` and `/readyz`, instead of beside everything else.
        package var operatorAddress: Address?
        package var trustedProxies: TrustedProxies
        package var timeouts: Timeouts

        package struct Address: Sendable {
            package var host: String
            /// 0 lets the system choose.
            package var port: Int

            package init(host: String, port: Int) {
                self.host = host
                self.port = port
            }
        }

        /// Bounds of what a slow client can hold.
        package struct Timeouts: Sendable {
            /// From the opening of a connection to the end of its first request's head.
            package var head: Duration
            /// From a request's head to the end of its body.
            package var body: Duration
            /// Between requests.
            package var idle: Duration

            package init(head: Duration = .seconds(10), body: Duration = .seconds(20), idle: Duration = .seconds(75)) {
                self.head = head
                self.body = body
                self.idle = idle
            }
        }

        package init(
            publicURL: String, applicationName: String, host: String = "127.0.0.1", port: Int = 8080,
            operatorAddress: Address? = nil, trustedProxies: TrustedProxies = TrustedProxies(),
            timeouts: Timeouts = Timeouts()
        ) {
            self.publicURL = publicURL
            self.applicationName = applicationName
            self.host = host
            self.port = port
            self.operatorAddress = operatorAddress
            self.trustedProxies = trustedProxies
            self.timeouts = timeouts
        }
    }

    let settings: Settings
    let logger: Logger
    let telemetry: Telemetry
    let onListening: @Sendable (_ ports: Ports) async -> Void

    /// Where connections are accepted.
    package struct Ports: Sendable {
        package var main: Int
        /// The operator's own.
        package var operators: Int?
    }

    let site: Site
    let authentication: APIAuthentication
    let accounts: AccountRoutes
    let profiles: ProfileRoutes
    let tokens: TokenRoutes
    let linkSessions: LinkSessionRoutes
    let deviceLinks: DeviceLinkRoutes
    let signals: SignalRoutes
    let providers: ProviderRoutes
    let sync: SyncRoutes
    let health: HealthRoutes
    let metrics: MetricsRoutes
    let link: LinkPageRoutes
    let callback: CallbackRoutes
    let styleSheet: StyleSheet

    /// - Parameter onListening: told the ports once connections are accepted at all of them.
    /// - Throws: where a page is missing from the program or does not parse.
    package init(
        _ settings: Settings, database: Database, catalog: ProviderCatalog, linking: AccountLinking,
        devices: DeviceLinking, signals: SignalIntake, accessTokens: AccessTokens, reads: ReadTally = ReadTally(),
        overview: SyncOverview, sync: SyncRequests, telemetry: Telemetry = Telemetry(), time: any TimeSource,
        random: any RandomSource, logger: Logger,
        onListening: @escaping @Sendable (_ ports: Ports) async -> Void = { _ in }
    ) throws {
        self.settings = settings
        self.logger = logger
        self.telemetry = telemetry
        self.onListening = onListening
        site = try Site(
            publicURL: settings.publicURL, applicationName: settings.applicationName,
            trustedProxies: settings.trustedProxies)
        authentication = APIAuthentication(keys: database.apiKeys, site: site, time: time)
        let replays = Replays(store: database.idempotency, logger: logger)
        accounts = AccountRoutes(database: database, catalog: catalog, linking: linking)
        profiles = ProfileRoutes(
            database: database, catalog: catalog, reads: reads, sync: sync, time: time, replays: replays)
        tokens = TokenRoutes(database: database, catalog: catalog, tokens: accessTokens, time: time)
        linkSessions = LinkSessionRoutes(linking: linking, replays: replays)
        deviceLinks = DeviceLinkRoutes(devices: devices, database: database, replays: replays)
        self.signals = SignalRoutes(signals: signals, catalog: catalog, site: site, time: time)
        providers = ProviderRoutes(catalog: catalog, site: site)
        self.sync = SyncRoutes(overview: overview)
        health = HealthRoutes(site: site, readiness: Readiness(database: database, time: time))
        metrics = MetricsRoutes(
            scrape: Scrape(telemetry: telemetry, overview: overview, database: database, time: time, logger: logger))
        let flow = LinkFlow(
            linking: linking, database: database, catalog: catalog, site: site, time: time, random: random)
        link = LinkPageRoutes(flow: flow)
        callback = CallbackRoutes(flow: flow)
        styleSheet = StyleSheet(site.pages.styleSheet)
    }

    package func run() async throws {
        let main = Settings.Address(host: settings.host, port: settings.port)
        guard let operators = settings.operatorAddress else {
            return try await application(routes(), at: main) { [onListening] in await onListening(Ports(main: $0)) }
                .run()
        }
        let (ports, listening) = AsyncStream<Int>.makeStream()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                defer { listening.finish() }
                try await application(operatorRoutes(), at: operators) { listening.yield($0) }.run()
            }
            if let port = await ports.first(where: { _ in true }) {
                group.addTask {
                    try await application(routes(), at: main) { [onListening] in
                        await onListening(Ports(main: $0, operators: port))
                    }.run()
                }
            }
            // The first that fails takes the other with it.
            try await group.waitForAll()
        }
    }

    private func application(
        _ routes: RouteTable, at address: Settings.Address, onListening: @escaping @Sendable (_ port: Int) async -> Void
    ) -> some ApplicationProtocol {
        let connections = HTTP1Channel.Configuration(
            additionalChannelHandlers: [
                ConnectionGuard(
                    headTimeout: TimeAmount(settings.timeouts.head), bodyTimeout: TimeAmount(settings.timeouts.body),
                    accessLog: logger)
            ],
            idleTimeout: TimeAmount(settings.timeouts.idle),
            httpDecoderConfiguration: .init(
                maxHeaderFieldSize: ConnectionLimits.headBytesMax, maxHeaderListSize: ConnectionLimits.headBytesMax,
                maxHeaderFieldCount: ConnectionLimits.headFieldsMax))
        return Application(
            router: routes.router(site: site, accessLog: logger, telemetry: telemetry),
            server: .http1(configuration: connections),
            configuration: ApplicationConfiguration(
                address: .hostname(address.host, port: address.port),
                availableConnectionsDelegate: .maximum(ConnectionLimits.connectionsMax, logger: logger)),
            onServerRunning: { channel in await onListening(channel.localAddress?.port ?? 0) },
            logger: logger)
    }
}
