import Accounts
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import Store
import Sync
import Telemetry

/// What Prometheus asks, without a key: no more than words of closed lists and names of the configuration is in it.
struct MetricsRoutes: Sendable {
    let scrape: Scrape

    /// GET /metrics
    func show(_: Request, _: WebContext) async throws -> Response {
        Response(
            status: .ok, headers: Self.fields, body: ResponseBody(byteBuffer: ByteBuffer(string: await scrape.text())))
    }

    private static let fields: HTTPFields = [
        .contentType: "text/plain; version=0.0.4; charset=utf-8", .cacheControl: "no-store",
    ]
}

/// All numbers as they are now. What the database has to be asked for is looked up no more than once a second whoever
/// asks; a database that does not answer leaves the rest.
actor Scrape {
    static let goodFor = Duration.seconds(1)

    private let telemetry: Telemetry
    private let overview: SyncOverview
    private let database: Database
    private let time: any TimeSource
    private let logger: Logger
    private var lookedAt: Timestamp?
    private var look: Task<Void, Never>?

    init(telemetry: Telemetry, overview: SyncOverview, database: Database, time: any TimeSource, logger: Logger) {
        self.telemetry = telemetry
        self.overview = overview
        self.database = database
        self.time = time
        self.logger = logger
    }

    func text() async -> String {
        await refresh()
        return telemetry.exposition()
    }

    private func refresh() async {
        let now = time.now()
        if let lookedAt, lookedAt <= now, now - lookedAt < Self.goodFor { return }
        let look = look ?? Task { [self] in await lookUp(at: now) }
        self.look = look
        await look.value
        self.look = nil
        lookedAt = now
    }

    private func lookUp(at now: Timestamp) async {
        var states: [Telemetry.ProviderState] = []
        var isUp = true
        do {
            states = try await overview.lines().map { $0.telemetry(at: now) }
        } catch {
            isUp = false
            logger.error("Providers can't be looked at for the metrics", metadata: ["error": "\(error)"])
        }
        let sizes = database.sizes
        telemetry.set(states)
        telemetry.setDatabase(isUp: isUp, bytes: sizes.main, logBytes: sizes.log)
    }
}
