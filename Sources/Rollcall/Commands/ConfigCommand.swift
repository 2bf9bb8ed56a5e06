import ArgumentParser
import JSON

struct ConfigCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config", abstract: "What the program was told.", subcommands: [Show.self])

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print the configuration in force, with the place that said each value; secrets are redacted.",
            discussion: """
                Example:  rollcall config show --config rollcall.yaml

                Flags win over the environment, the environment over the file, the file over the defaults.
                """)

        @OptionGroup var options: ConfigurationOptions
        @Flag(help: "One JSON object instead of text.") var json = false

        func run() async throws {
            let configuration = try options.load()
            if json {
                var object = JSONObject()
                for setting in configuration.shown {
                    object[setting.key] = .object([
                        "value": setting.value.isEmpty ? .null : .string(setting.value),
                        "place": .string(setting.place),
                    ])
                }
                Terminal.say(JSONValue.object(object).text)
            } else {
                Terminal.say(
                    Terminal.table(
                        ["SETTING", "VALUE", "FROM"],
                        configuration.shown.map { [$0.key, $0.value.isEmpty ? "-" : $0.value, $0.place] }))
            }
        }
    }
}
