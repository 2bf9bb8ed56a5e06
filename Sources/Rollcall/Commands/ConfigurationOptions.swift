import ArgumentParser
import Logging

/// The flags that every command takes; each wins over the environment and the file.
struct ConfigurationOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The configuration file; ./rollcall.yaml where it exists.", valueName: "file"))
    var config: String?

    @Option(
        name: .customLong("set"), parsing: .singleValue,
        help: ArgumentHelp("Any setting, as in --set sync.interval=1h; may be repeated.", valueName: "key=value"))
    var settings: [String] = []

    @Option(help: ArgumentHelp("The SQLite file (database.path).", valueName: "file"))
    var database: String?

    @Option(
        help: ArgumentHelp("trace, debug, info, notice, warning, error or critical (log.level).", valueName: "level"))
    var logLevel: String?

    /// Reads the configuration, or ends the program with every fault on standard error.
    func load(adding more: [String: Found] = [:]) throws -> ServiceConfiguration {
        var flags = more
        if let database { flags["database.path"] = Found(values: [database], place: "--database") }
        if let logLevel { flags["log.level"] = Found(values: [logLevel], place: "--log-level") }
        for setting in settings {
            guard let equals = setting.firstIndex(of: "=") else {
                throw ValidationError("--set \(setting): expected KEY=VALUE, such as --set sync.interval=1h")
            }
            let key = String(setting[..<equals])
            guard let known = Setting.named(key), !known.isSecret else {
                let hint = suggestion(for: key, among: Setting.all.map(\.key)).map { "; did you mean \($0)?" } ?? ""
                throw ValidationError("--set \(key): there is no such setting\(hint)")
            }
            flags[key] = Found(values: [String(setting[setting.index(after: equals)...])], place: "--set \(key)")
        }
        do {
            return try ServiceConfiguration.load(file: config, flags: flags)
        } catch {
            Terminal.note(error.description)
            throw ExitCode.badInput
        }
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
