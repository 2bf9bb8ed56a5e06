import Accounts
import Linking
import Logging
import Providers
import Store

/// Deletes what has had its time, so that the database does not grow with the age of the service.
struct HouseKeeping: Sendable {
    /// How long the feed keeps a change, and a profile's history its versions.
    static let changesKept: Duration = .seconds(90 * 86_400)
    static let auditKept: Duration = .seconds(400 * 86_400)

    private let database: Database
    private let longestWindow: Duration
    private let time: any TimeSource
    private let logger: Logger

    init(database: Database, catalog: ProviderCatalog, time: any TimeSource, logger: Logger) {
        self.database = database
        let limits = catalog.providers.map(\.limits)
        longestWindow =
            (limits.flatMap(\.requests).map(\.window) + limits.compactMap(\.invalidRequests?.window)
            + limits.compactMap(\.pacedRate).map { PacedRate.window(of: $0) }).max() ?? .zero
        self.time = time
        self.logger = logger
    }

    /// In steps that are bounded each, until nothing is left to delete: between them others write.
    func run() async {
        await purge("expired link sessions") { try await database.linkSessions.purgeExpired() }
        await purge("expired device links") { try await database.deviceLinks.purgeExpired() }
        await purge("old deliveries of signals") { try await database.signals.purgeOld() }
        await purge("expired idempotency keys") { try await database.idempotency.purgeExpired() }
        await purge("old changes") { try await database.changes.prune(before: time.now() - Self.changesKept) }
        await purge("old audit entries") { try await database.audit.prune(before: time.now() - Self.auditKept) }
        await purge("old request counts") { try await database.allowances.purge(longestWindow: longestWindow) }
    }

    private func purge(_ what: String, _ step: () async throws -> Int) async {
        do {
            while !Task.isCancelled, try await step() > 0 {}
        } catch {
            logger.error("What has had its time stays for now", metadata: ["rows": "\(what)", "error": "\(error)"])
        }
    }
}
