import Accounts
import ArgumentParser
import JSON
import Store

struct AuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit",
        abstract: "List who did what, when and from where: links, scopes, dead grants, keys, provider settings.",
        discussion: """
            Example:  rollcall audit --account acc_01jd… --json

            The newest first. An actor is `user` (a browser), the id of an API key, `operator:` and a login name (a \
            command), or `service` (its own work). Entries are kept for 400 days and never changed.
            """)

    @Option(help: ArgumentHelp("Only of this account, unlinked ones too.", valueName: "id")) var account: String?
    @Option(help: "How many at most; 0 lists them all.") var limit = 100
    @Flag(help: "One JSON object a line.") var json = false
    @OptionGroup var options: ConfigurationOptions

    func validate() throws {
        if let account { _ = try accountID(account) }
        guard limit >= 0 else { throw ValidationError("--limit \(limit): expected 0 or more") }
    }

    func run() async throws {
        let account = try account.map(accountID)
        try await withDatabase(options) { database in
            var left = limit == 0 ? Int.max : limit
            var before: Int64?
            while left > 0 {
                let entries = try await database.audit.entries(
                    account: account, before: before, limit: min(left, 500))
                for entry in entries { Terminal.say(json ? entry.json.text : entry.line) }
                guard let last = entries.last else { return }
                left -= entries.count
                before = last.sequence
            }
        }
    }
}

extension AuditEntry {
    private var members: [(name: String, value: String)] {
        [
            ("origin", actor.origin), ("account_id", accountID?.rawValue), ("user_id", userID?.rawValue),
            ("provider", provider?.rawValue), ("detail", detail),
        ].compactMap { name, value in value.map { (name, $0) } }
    }

    fileprivate var json: JSONValue {
        var object: JSONObject = [
            "sequence": .number(JSONNumber(sequence)), "at": .string(at.rfc3339), "action": .string(action),
            "actor": .string(actor.name),
        ]
        for (name, value) in members { object[name] = .string(value) }
        return .object(object)
    }

    fileprivate var line: String {
        let rest = members.map { name, value in
            let isPlain = value.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != 0x22 && $0 != 0x3d }
            return "\(name)=\(isPlain && !value.isEmpty ? value : JSONValue.string(value).text)"
        }
        return ([at.rfc3339, action, actor.name] + rest).joined(separator: "  ")
    }
}
