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
            let lines = try await configuration.withService { service in
                await service.planner?.rebuild()
                await service.planner?.sampleFreshness()
                return try await SyncOverview(
                    catalog: service.catalog, database: service.database, client: nil, planner: service.planner,
                    time: SystemTime()
                ).lines()
            }
            if json { return lines.forEach { Terminal.say($0.json.text) } }
            Terminal.say(
                Terminal.table(
                    [
                        "PROVIDER", "ACTIVE", "NEED RELINK", "DUE", "OLDEST DUE", "FRESH", "STALE VS FIXED", "SYNCS/H",
                        "BUDGET/H",
                    ],
                    lines.map(Self.row)))
            for sentence in lines.flatMap(Self.sentences(of:)) { Terminal.say(sentence) }
        }
    }

    private static func row(_ line: SyncOverview.Line) -> [String] {
        func hourly(_ rate: Double?) -> String { rate.map { String(Int(($0 * 3600).rounded())) } ?? "-" }
        func percent(_ share: Double?) -> String { share.map { "\(Int(($0 * 100).rounded())) %" } ?? "-" }
        return [
            line.provider.rawValue, String(line.accounts[.active, default: 0]),
            String(line.accounts[.needsRelink, default: 0]), String(line.dueNow), line.oldestDueAt?.rfc3339 ?? "-",
            percent(line.outlook?.freshness), percent(line.outlook?.staleAgainstFixed), hourly(line.outlook?.planned),
            hourly(line.outlook?.budget),
        ]
    }

    /// What stands in the way at one provider, and who has to act.
    static func sentences(of line: SyncOverview.Line) -> [String] {
        var sentences: [String] = []
        if let until = line.pausedUntil {
            let reason = line.pauseReason.map { ": \($0)" } ?? ""
            sentences.append("left alone until \(until.rfc3339)\(reason).")
        }
        for problem in line.problems {
            let accounts = problem.count == 1 ? "1 account" : "\(problem.count) accounts"
            sentences.append(
                "\(accounts) \(problem.code.rawValue) since \(problem.since.rfc3339); \(whoActs(problem.code)).")
        }
        if line.outlook?.promiseIsUnpayable == true {
            sentences.append("its limits and sync.interval do not pay for maximum_age; profiles get older than that.")
        }
        return sentences.map { "\(line.provider): \($0)" }
    }

    private static func whoActs(_ code: AccountProblem.Code) -> String {
        switch code.action {
        case .none: "it passes by itself, and is tried again"
        case .user: code == .userSuspended ? "only the user can mend it, there" : "their users have to link them again"
        case .operator: "you have to act: 'rollcall providers check' and 'rollcall accounts list --json' say more"
        }
    }
}
