import Accounts
import ArgumentParser
import JSON
import Store
import YAML

struct KeysCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keys", abstract: "API keys of programs that ask over HTTP.",
        subcommands: [Create.self, List.self, Revoke.self])

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a key and print it, alone, on standard output. It is shown this once.",
            discussion: """
                Example:  rollcall keys create dashboard --scope accounts:read --scope links:write

                Scopes: \(APIKeyScope.allCases.map(\.rawValue).joined(separator: ", "))
                """)

        @Argument(help: "What the key is for, to recognise it later.") var name: String
        @Option(name: .customLong("scope"), parsing: .singleValue, help: "What the key may do; repeat for more.")
        var scopes: [String]
        @Option(
            help: ArgumentHelp("After which time it is no key any more, such as 90d.", valueName: "time"),
            transform: { text in
                guard let duration = Duration(configured: text), duration > .zero else {
                    throw ValidationError("expected a time such as 12h or 90d")
                }
                return duration
            })
        var expires: Duration?
        @OptionGroup var options: ConfigurationOptions

        @Flag(help: "Print the key with its id and its scopes as one JSON object.") var json = false

        func validate() throws {
            if try wanted().isEmpty { throw ValidationError("A key needs a scope to be of any use.") }
            guard (1...255).contains(name.unicodeScalars.count) else {
                throw ValidationError("The name of a key has 1 to 255 characters.")
            }
        }

        func run() async throws {
            let wanted = try wanted()
            try await withDatabase(options, creates: true) { database in
                let (key, secret) = try await database.apiKeys.create(
                    name: name, scopes: wanted, expiresAt: expires.map { SystemTime().now() + $0 })
                guard !json else {
                    var object = key.json.object ?? JSONObject()
                    object["secret"] = .string(secret.reveal { $0 })
                    return Terminal.say(JSONValue.object(object).text)
                }
                Terminal.note("\(key.id): the line below is shown this once; send it as 'Authorization: Bearer …'")
                secret.reveal { Terminal.say($0) }
            }
        }

        private func wanted() throws -> Set<APIKeyScope> {
            let known = APIKeyScope.allCases.map(\.rawValue)
            return try Set(
                scopes.flatMap { $0.split(separator: ",").map(String.init) }.map { text in
                    guard let scope = APIKeyScope(rawValue: text) else {
                        let hint =
                            suggestion(for: text, among: known).map { "did you mean \($0)?" }
                            ?? "expected one of \(known.joined(separator: ", "))"
                        throw ValidationError("--scope \(text): there is no such scope; \(hint)")
                    }
                    return scope
                })
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List the keys, revoked ones too, without their secrets.",
            discussion: "Example:  rollcall keys list --json")

        @OptionGroup var options: ConfigurationOptions
        @Flag(help: "One JSON object a line.") var json = false

        private static func validity(_ key: APIKey) -> String {
            guard let end = key.expiresAt else { return "valid" }
            return (end <= SystemTime().now() ? "expired " : "valid until ") + end.rfc3339
        }

        func run() async throws {
            try await withDatabase(options) { database in
                let keys = try await database.apiKeys.list()
                if json {
                    for key in keys { Terminal.say(key.json.text) }
                } else if keys.isEmpty {
                    Terminal.note("There are no keys; 'rollcall keys create' makes one.")
                } else {
                    let rows = keys.map { key in
                        [
                            key.id.rawValue, key.name, key.scopes.map(\.rawValue).sorted().joined(separator: ","),
                            key.createdAt.rfc3339, key.lastUsedAt?.rfc3339 ?? "never",
                            key.revokedAt.map { "revoked \($0.rfc3339)" } ?? Self.validity(key),
                        ]
                    }
                    Terminal.say(Terminal.table(["ID", "NAME", "SCOPES", "CREATED", "LAST USED", "STATE"], rows))
                }
            }
        }
    }

    struct Revoke: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a key worthless at once.", discussion: "Example:  rollcall keys revoke key_01jd…")

        @Argument(help: "The key's id, as `keys list` shows it.") var id: String
        @OptionGroup var options: ConfigurationOptions

        func validate() throws { _ = try keyID() }

        private func keyID() throws -> APIKeyID {
            guard let id = APIKeyID(id) else {
                throw ValidationError("'\(id)' is not the id of a key; `rollcall keys list` shows them")
            }
            return id
        }

        func run() async throws {
            let id = try keyID()
            try await withDatabase(options) { database in
                guard try await database.apiKeys.revoke(id) else {
                    Terminal.note("There is no key \(id).")
                    throw ExitCode.someFailed
                }
                Terminal.note("\(id) is revoked.")
            }
        }
    }
}

extension APIKey {
    fileprivate var json: JSONValue {
        var object: JSONObject = [
            "id": .string(id.rawValue), "name": .string(name),
            "scopes": .array(scopes.map(\.rawValue).sorted().map { .string($0) }),
            "created_at": .string(createdAt.rfc3339),
        ]
        for (name, time) in [("expires_at", expiresAt), ("last_used_at", lastUsedAt), ("revoked_at", revokedAt)] {
            if let time { object[name] = .string(time.rfc3339) }
        }
        return .object(object)
    }
}
