import ArgumentParser

struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Run the service: linking in the browser, syncing on a schedule, answers over HTTP.",
        discussion: """
            Example:  rollcall serve --config rollcall.yaml

            With no configuration at all it listens on 127.0.0.1:8080 and keeps its data in ./rollcall-data. It runs \
            until SIGTERM or SIGINT, finishes or hands back what is under way, and exits 0. A second serve on the same \
            database says so and exits 69.
            """)

    @OptionGroup var options: ConfigurationOptions
    @Option(help: "The address to listen on (http.host).") var host: String?
    @Option(help: "The port to listen on (http.port).") var port: Int?
    @Option(help: ArgumentHelp("What browsers and providers see (public_url).", valueName: "url")) var publicURL:
        String?

    func run() async throws {
        var flags: [String: Found] = [:]
        if let host { flags["http.host"] = Found(values: [host], place: "--host") }
        if let port { flags["http.port"] = Found(values: [String(port)], place: "--port") }
        if let publicURL { flags["public_url"] = Found(values: [publicURL], place: "--public-url") }
        let configuration = try options.load(adding: flags)
        configuration.bootstrapLogging()
        try await reportingFailures(database: configuration.databasePath) {
            let service = try ServiceAssembly(configuration, servesAlone: true)
            try await service.run()
        }
    }
}
