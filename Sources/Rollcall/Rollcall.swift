import ArgumentParser

@main struct Rollcall: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rollcall",
        abstract: "Keeps your users tied to their accounts elsewhere: links, tokens, fresh profiles.",
        discussion: """
            Users link their Discord, GitHub, Google and other OAuth 2 accounts once, in the browser. Rollcall keeps \
            the tokens alive, pulls the profiles again and again into a local cache, and answers over HTTP.

            Try it with no registration anywhere:  rollcall demo
            Run it:                                rollcall serve --config rollcall.yaml
            Make a key for a program:              rollcall keys create app --scope accounts:read
            Complete words in your shell:          rollcall --generate-completion-script bash
            """,
        version: ServiceAssembly.version,
        subcommands: [
            ServeCommand.self, DemoCommand.self, SyncCommand.self, AccountsCommand.self, ProvidersCommand.self,
            KeysCommand.self, MigrateCommand.self, ConfigCommand.self, SimulatorCommand.self,
        ])
}

/// The program's exit codes, after sysexits(3) where one fits.
extension ExitCode {
    /// The command did its work, and some of what it worked on failed.
    static let someFailed = ExitCode(1)
    /// Input that is wrong: a configuration, a manifest, a line to import.
    static let badInput = ExitCode(65)
    /// Something that is needed is not there, or is in use: a database, a port, another `serve`.
    static let unavailable = ExitCode(69)
}
