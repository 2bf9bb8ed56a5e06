import ArgumentParser
import Foundation
import Glibc
import Store

@main struct Rollcall: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rollcall",
        abstract: "Keeps your users tied to their accounts elsewhere: links, tokens, fresh profiles.",
        discussion: """
            Users link their Discord, GitHub, Google and other OAuth 2 accounts once, in the browser. Rollcall keeps \
            the tokens alive, pulls the profiles again and again into a local cache, and answers over HTTP.

            Examples:
              rollcall demo                                   try it, nothing registered
              rollcall serve --config rollcall.yaml           run it
              rollcall keys create app --scope accounts:read  a key for a program
              rollcall --generate-completion-script bash      words in your shell

            Exit codes: 0 done, 1 some of it failed, 64 wrong command line, 65 wrong input or configuration, 69 \
            something needed is missing or in use, 74 the output can't be written.
            """,
        version: ServiceAssembly.version,
        subcommands: [
            ServeCommand.self, DemoCommand.self, SyncCommand.self, AccountsCommand.self, ProvidersCommand.self,
            KeysCommand.self, VaultCommand.self, AuditCommand.self, MigrateCommand.self, ConfigCommand.self,
            SimulatorCommand.self,
        ])
}

extension Rollcall {
    static func main() async {
        CoreDumps.forbid()
        // A reader that goes away is an error of that write, not the end of the program.
        signal(SIGPIPE, SIG_IGN)
        await AuditActor.$current.withValue(AuditActor("operator:" + NSUserName())) { await main(nil) }
    }
}

/// The program's exit codes, after sysexits(3) where one fits.
extension ExitCode {
    /// The command did its work, and some of what it worked on failed.
    static let someFailed = ExitCode(1)
    /// Input that is wrong: a configuration, a manifest, a line to import.
    static let badInput = ExitCode(65)
    /// Something that is needed is not there, or is in use: a database, a port, another `serve`.
    static let unavailable = ExitCode(69)
    /// Standard output can't be written.
    static let outputLost = ExitCode(74)
}
