import ArgumentParser
import Store

struct MigrateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "migrate",
        abstract: "Bring the database to this program's schema; every command that opens it does so too.",
        discussion: "Example:  rollcall migrate --database rollcall-data/rollcall.sqlite")

    @OptionGroup var options: ConfigurationOptions

    func run() async throws {
        try await withDatabase(options, creates: true) { database in
            try await database.check()
            Terminal.note("\(database.path) is at this program's schema.")
        }
    }
}
