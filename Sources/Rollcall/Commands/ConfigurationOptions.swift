import ArgumentParser
import Logging

/// The flags that every command takes; each wins over the environment and the file.
struct ConfigurationOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The configuration file; else $ROLLCALL_CONFIG, else ./rollcall.yaml where it exists.", valueName: "file"),
        completion: .file())
    var config: String?

    @Option(
        name: .customLong("set"), parsing: .singleValue,
        help: ArgumentHelp(
            "Any setting of `config show` but secrets, as in --set sync.interval=1h; may be repeated.",
            valueName: "key=value"))
    var settings: [String] = []

    @Option(help: ArgumentHelp("The SQLite file (database.path).", valueName: "file"), completion: .file())
    var database: String?

    @Option(
        help: ArgumentHelp("trace, debug, info, notice, warning, error or critical (log.level).", valueName: "level"))
    var logLevel: String?

    func validate() throws { _ = try flags() }

    /// Reads the configuration, or ends the program with every fault on standard error.
    func load(adding more: [String: Found] = [:]) throws -> ServiceConfiguration {
        let flags = try flags().merging(more) { _, more in more }
        do {
            let configuration = try ServiceConfiguration.load(file: config, flags: flags)
            if configuration.allowsCoreDumps { CoreDumps.allow() }
            return configuration
        } catch {
            Terminal.note(error.description)
            throw ExitCode.badInput
        }
    }

    private func flags() throws -> [String: Found] {
        var flags: [String: Found] = [:]
        if let database { flags["database.path"] = Found(values: [database], place: "--database") }
        if let logLevel { flags["log.level"] = Found(values: [logLevel], place: "--log-level") }
        for setting in settings {
            guard let equals = setting.firstIndex(of: "="), equals > setting.startIndex else {
                throw ValidationError("--set expects KEY=VALUE, such as --set sync.interval=1h")
            }
            let key = String(setting[..<equals])
            guard let known = Setting.named(key) else {
                if key.hasPrefix("providers.") {
                    throw ValidationError(
                        "--set \(key): providers are set in the configuration file, or by variables such as "
                            + Setting.environmentName(of: key))
                }
                let hint = suggestion(for: key, among: Setting.all.map(\.key)).map { "; did you mean \($0)?" } ?? ""
                throw ValidationError("--set \(key): there is no such setting\(hint)")
            }
            guard !known.isSecret else {
                throw ValidationError(
                    "--set \(key): other users of the machine can read the command line; "
                        + "use \(known.environmentName) or \(known.environmentName)_FILE")
            }
            guard flags[key] == nil else { throw ValidationError("--set \(key): the command line says it twice") }
            flags[key] = Found(values: [String(setting[setting.index(after: equals)...])], place: "--set \(key)")
        }
        return flags
    }
}

extension ServiceConfiguration {
    /// Sends every log line of the program to standard error in the configured form.
    func bootstrapLogging() {
        let format = LineLogHandler.Format(rawValue: logFormat) ?? .text
        let level = Logger.Level(rawValue: logLevel) ?? .info
        LoggingSystem.bootstrap { LineLogHandler(label: $0, format: format, level: level) }
    }
}
