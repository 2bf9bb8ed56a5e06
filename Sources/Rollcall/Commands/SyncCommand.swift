import Accounts
import ArgumentParser
import Logging
import Providers
import Store
import Sync

struct SyncCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sync",
        abstract: "Sync profiles from the command line, or see how syncing goes.",
        discussion: """
            Examples:  rollcall sync --once     everything that is due, then exit
                       rollcall sync status     what is stale, why, and who has to act

            Without the name of a subcommand it is `run`.
            """,
        // Without flags of its own: they would be taken from the subcommands.
        subcommands: [SyncRunCommand.self, SyncStatusCommand.self], defaultSubcommand: SyncRunCommand.self)
}

struct SyncRunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Sync profiles, beside a running service or without one.",
        discussion: """
            Examples:  rollcall sync --once          everything that is due, then exit
                       rollcall sync --once --all    every active account, due or not
                       rollcall sync                 the sync loop alone, without the HTTP interface

            Accounts that a running service is syncing are left to it. Exits 0 where nothing failed, 1 where some \
            accounts failed; `rollcall accounts list --status needs_relink` and `accounts show` say why.
            """)

    @Flag(help: "Sync everything that is due, then exit.") var once = false
    @Flag(help: "With --once: make every active account due first.") var all = false
    @Flag(help: "With --once: print the tally as one JSON object.") var json = false
    @OptionGroup var options: ConfigurationOptions

    func validate() throws {
        if all && !once { throw ValidationError("--all goes with --once") }
        if json && !once { throw ValidationError("--json goes with --once") }
    }

    func run() async throws {
        let configuration = try options.load()
        configuration.bootstrapLogging()
        try await reportingFailures(database: configuration.databasePath) {
            try configuration.requireDatabase()
            if once { return try report(await configuration.withService { try await syncOnce($0) }) }
            let path = configuration.databasePath
            try await configuration.withService { service in
                try await runUntilSignalled {
                    // From here on a signal is heard.
                    Logger(label: "rollcall").info("Syncing until a signal comes", metadata: ["database": "\(path)"])
                    try await service.syncService.run()
                }
            }
        }
    }

    private func syncOnce(_ service: ServiceAssembly) async throws -> SyncTally {
        if all { try await expediteAll(service.database) }
        let bar = ProgressBar("Syncing", total: try await due(service))
        defer { bar.finish() }
        await service.planner?.rebuild()
        return try await service.syncPass.run { tally in
            bar.advance(to: tally.attempts, note: tally.failed > 0 ? "\(tally.failed) failed" : "")
        }
    }

    private func report(_ tally: SyncTally) throws {
        if json {
            Terminal.say(
                "{\"updated\":\(tally.updated),\"unchanged\":\(tally.unchanged),\"failed\":\(tally.failed)}")
        } else {
            Terminal.say("\(tally.updated) updated, \(tally.unchanged) unchanged, \(tally.failed) failed")
        }
        if tally.failed > 0 { throw ExitCode.someFailed }
    }

    /// How many accounts are due that nothing keeps from being synced now.
    private func due(_ service: ServiceAssembly) async throws -> Int {
        let paused = Set(try await service.database.schedule.providerPauses().map(\.provider))
        let providers = service.catalog.providers.filter { $0.isReady && !paused.contains($0.id) }.map(\.id)
        return try await service.database.schedule.states(of: providers, now: SystemTime().now(), countMax: .max)
            .reduce(0) { $0 + $1.dueNow }
    }

    private func expediteAll(_ database: Database) async throws {
        let now = SystemTime().now()
        var last: AccountID?
        repeat {
            last = try await database.schedule.expediteActive(after: last, limit: 500, at: now)
        } while last != nil
    }
}
