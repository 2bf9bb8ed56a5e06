import Accounts
import ArgumentParser
import JSON
import Providers
import Store
import Sync

struct SyncStatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "What is due, what it costs and what stands in the way, provider by provider.",
        discussion: """
            Example:  rollcall sync status

            Read from the database, beside a running service or without one. What only the running service knows \
            (requests of the last minute, circuits) is in GET /v1/sync.
            """)

    @Flag(help: "Print one JSON object for each provider.") var json = false
    @OptionGroup var options: ConfigurationOptions

    func run() async throws {
        let configuration = try options.load()
        try await reportingFailures(database: configuration.databasePath) {
            try configuration.requireDatabase()
            let service = try ServiceAssembly(configuration, servesAlone: false)
            await service.planner?.rebuild()
            await service.planner?.sampleFreshness()
            let lines: [SyncOverview.Line]
            do {
                lines = try await SyncOverview(
                    catalog: service.catalog, database: service.database, client: nil, planner: service.planner,
                    time: SystemTime()
                ).lines()
            } catch {
                await service.close()
                throw error
            }
            await service.close()
            if json { return lines.forEach { Terminal.say(Self.object($0).text) } }
            Terminal.say(
                Terminal.table(
                    [
                        "PROVIDER", "ACTIVE", "NEED RELINK", "DUE", "OLDEST DUE", "FRESH", "SYNCS/H", "BUDGET/H",
                        "PAUSED",
                    ],
                    lines.map(Self.row)))
            for line in lines where line.promiseIsUnpayable {
                Terminal.note(
                    "\(line.provider): its limits and sync.interval do not pay for maximum_age; profiles get older than that."
                )
            }
        }
    }

    private static func row(_ line: SyncOverview.Line) -> [String] {
        func hourly(_ rate: Double?) -> String { rate.map { String(Int(($0 * 3600).rounded())) } ?? "-" }
        return [
            line.provider.rawValue, String(line.accounts[.active, default: 0]),
            String(line.accounts[.needsRelink, default: 0]), String(line.dueNow), line.oldestDueAt?.rfc3339 ?? "-",
            line.freshness.map { "\(Int(($0 * 100).rounded())) %" } ?? "-", hourly(line.planned), hourly(line.budget),
            line.pausedUntil.map { "until \($0.rfc3339): \(line.pauseReason ?? "")" } ?? "-",
        ]
    }

    private static func object(_ line: SyncOverview.Line) -> JSONValue {
        func number(_ value: Double?) -> JSONValue {
            value.flatMap { JSONNumber($0, digits: 4) }.map { .number($0) } ?? .null
        }
        func time(_ time: Timestamp?) -> JSONValue { time.map { .string($0.rfc3339) } ?? .null }
        var accounts = JSONObject()
        for status in AccountStatus.allCases {
            accounts[status.rawValue] = .number(JSONNumber(line.accounts[status, default: 0]))
        }
        return .object([
            "provider": .string(line.provider.rawValue), "accounts": .object(accounts),
            "due_now": .number(JSONNumber(line.dueNow)), "oldest_due_at": time(line.oldestDueAt),
            "budget_per_minute": number(line.budget.map { $0 * 60 }),
            "planned_per_minute": number(line.planned.map { $0 * 60 }), "price": number(line.price),
            "freshness": number(line.freshness), "maximum_age_is_payable": .bool(!line.promiseIsUnpayable),
            "paused_until": time(line.pausedUntil),
            "pause_reason": line.pauseReason.map { .string($0) } ?? .null,
        ])
    }
}
