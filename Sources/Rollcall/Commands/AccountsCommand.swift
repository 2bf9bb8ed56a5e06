import Accounts
import ArgumentParser
import Foundation
import JSON
import Linking
import Providers
import Store
import Sync
import YAML

struct AccountsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "accounts", abstract: "Linked accounts: look, take over, hand on, unlink.",
        subcommands: [List.self, Show.self, Link.self, Check.self, Import.self, Export.self, Unlink.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List linked accounts.",
            discussion: """
                Examples:  rollcall accounts list --provider github --status needs_relink --json
                           rollcall accounts list --expiring 30d

                --expiring lists who has to link again and until when: those that need it now, then those whose grant \
                ends within the time and whose end no refresh moves.
                """)

        @Option(help: "Only of this provider instance.") var provider: String?
        @Option(help: "active, needs_relink, suspended or paused.") var status: String?
        @Option(help: ArgumentHelp("Only of this user of the application.", valueName: "user_id")) var user: String?
        @Option(help: ArgumentHelp("Who needs their user within so long: 12h, 30d.", valueName: "time"))
        var expiring: String?
        @Option(help: "How many at most; 0 lists them all.") var limit = 100
        @Flag(help: "One JSON object a line.") var json = false
        @OptionGroup var options: ConfigurationOptions

        func validate() throws {
            _ = try filter()
            guard limit >= 0 else { throw ValidationError("--limit \(limit): expected 0 or more") }
            guard let expiring else { return }
            guard Duration(configured: expiring) != nil else {
                throw ValidationError(
                    "--expiring \(expiring): expected a whole number with its unit, such as 12h or 30d")
            }
            guard status == nil, user == nil else { throw ValidationError("--expiring goes with --provider alone") }
        }

        func run() async throws {
            let filter = try filter()
            if let window = expiring.flatMap({ Duration(configured: $0) }) {
                return try await withDatabase(options) { try await listExpiring($0, window, filter.provider) }
            }
            try await withDatabase(options) { database in
                var after: String?
                var left = limit == 0 ? Int.max : limit
                if !json { Terminal.say(Self.line(Self.header)) }
                repeat {
                    let page = try await database.accounts.list(filter, after: after, limit: min(left, 500))
                    for account in page.items {
                        Terminal.say(json ? account.json.text : Self.line(Self.cells(account)))
                    }
                    left -= page.items.count
                    after = page.next
                } while after != nil && left > 0
                if after != nil { Terminal.note("There are more; --limit 0 lists them all.") }
            }
        }

        private func filter() throws -> AccountFilter {
            var filter = AccountFilter()
            if let status {
                guard let known = AccountStatus(rawValue: status) else {
                    let all = AccountStatus.allCases.map(\.rawValue)
                    throw ValidationError("--status \(status): expected one of \(all.joined(separator: ", "))")
                }
                filter.status = known
            }
            if let provider {
                guard let id = ProviderID(provider) else {
                    throw ValidationError("--provider \(provider): no provider can have that name")
                }
                filter.provider = id
            }
            if let user {
                guard let id = UserID(user) else {
                    throw ValidationError("--user: expected 1 to 255 characters, none of them a control character")
                }
                filter.userID = id
            }
            return filter
        }

        private func listExpiring(_ database: Database, _ window: Duration, _ provider: ProviderID?) async throws {
            var left = limit == 0 ? Int.max : limit
            var hasMore = false
            func say(_ account: LinkedAccount, _ end: Timestamp?) {
                guard left > 0 else {
                    hasMore = true
                    return
                }
                left -= 1
                guard json else { return Terminal.say(Self.line(Self.cells(account) + [end?.rfc3339 ?? "now"])) }
                var object = account.json.object ?? JSONObject()
                object["grant_ends_at"] = end.map { .string($0.rfc3339) } ?? .null
                Terminal.say(JSONValue.object(object).text)
            }
            if !json { Terminal.say(Self.line(Self.header + ["GRANT ENDS"])) }
            var after: String?
            repeat {
                let page = try await database.accounts.list(
                    AccountFilter(provider: provider, status: .needsRelink), after: after, limit: 500)
                for account in page.items { say(account, nil) }
                after = page.next
            } while after != nil && left > 0
            var providers = try await database.accounts.counts().keys.sorted()
            if let provider { providers = [provider] }
            for provider in providers {
                var last: ExpiringAccount?
                repeat {
                    let page = try await database.credentials.expiring(
                        of: provider, until: SystemTime().now() + window, after: last, limit: 500)
                    for expiring in page { say(expiring.account, expiring.grantEndsAt) }
                    last = page.count == 500 ? page.last : nil
                } while last != nil && left > 0
            }
            if hasMore || after != nil { Terminal.note("There are more; --limit 0 lists them all.") }
        }

        private static let header = ["ID", "PROVIDER", "STATUS", "SYNCED", "NEXT", "USER", "SUBJECT"]

        private static func cells(_ account: LinkedAccount) -> [String] {
            [
                account.id.rawValue, account.provider.rawValue, account.status.rawValue,
                account.syncedAt?.rfc3339 ?? "never", account.nextSyncAt?.rfc3339 ?? "-", account.userID.rawValue,
                account.subject.rawValue,
            ]
        }

        /// Fixed widths: a list is printed as it is read, however long it is.
        private static func line(_ cells: [String]) -> String {
            zip(cells, [32, 12, 14, 22, 22, 24, cells.count > 7 ? 24 : 0, 0]).map { cell, width in
                cell.count < width ? cell.padding(toLength: width, withPad: " ", startingAt: 0) : cell + " "
            }.joined()
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show one account, why it is stale or broken, and its cached profile.",
            discussion: "Example:  rollcall accounts show acc_01jd…")

        @Argument(help: "The account's id.") var id: String
        @OptionGroup var options: ConfigurationOptions

        func validate() throws { _ = try accountID(id) }

        func run() async throws {
            let id = try accountID(id)
            try await withDatabase(options) { database in
                guard let account = try await database.accounts.account(id) else {
                    Terminal.note("There is no account \(id).")
                    throw ExitCode.someFailed
                }
                var object = account.json.object ?? JSONObject()
                if let document = try database.profiles.document(account: id),
                    // Put together by us; else it is left out.
                    let profile = try? JSONValue(parsing: document.bytes, depthMax: JSONValue.composedDepthMax)
                {
                    object["profile"] = profile
                }
                Terminal.say(JSONValue.object(object).text)
            }
        }
    }

    struct Unlink: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Unlink an account: erase its tokens and profile here, revoke them at the provider.",
            discussion: "Example:  rollcall accounts unlink acc_01jd…")

        @Argument(help: "The account's id.") var id: String
        @OptionGroup var options: ConfigurationOptions

        func validate() throws { _ = try accountID(id) }

        func run() async throws {
            let id = try accountID(id)
            let configuration = try options.load()
            configuration.bootstrapLogging()
            try await reportingFailures(database: configuration.databasePath) {
                try configuration.requireDatabase()
                let waiting = try await configuration.withService { service in
                    guard let unlinked = try await service.database.accounts.unlink(id) else {
                        Terminal.note("There is no account \(id).")
                        throw ExitCode.someFailed
                    }
                    if let revocation = unlinked.revocation { await service.revocations.send(revocation) }
                    return try await service.database.revocations.count()
                }
                Terminal.note("\(id) is unlinked.")
                if waiting > 0 {
                    Terminal.note("Revocations that wait for a provider: \(waiting); a running service goes on trying.")
                }
            }
        }
    }
}

func accountID(_ text: String) throws -> AccountID {
    guard let id = AccountID(text) else {
        throw ValidationError("'\(text)' is not the id of an account; `rollcall accounts list` shows them")
    }
    return id
}

extension LinkedAccount {
    var json: JSONValue {
        var object: JSONObject = [
            "id": .string(id.rawValue), "user_id": .string(userID.rawValue), "provider": .string(provider.rawValue),
            "subject": .string(subject.rawValue), "status": .string(status.rawValue),
            "scopes": .array(scopes.map { .string($0.rawValue) }), "linked_at": .string(linkedAt.rfc3339),
        ]
        for (name, time) in [("synced_at", syncedAt), ("changed_at", changedAt), ("next_sync_at", nextSyncAt)] {
            if let time { object[name] = .string(time.rfc3339) }
        }
        if !missingScopes.isEmpty {
            object["missing_scopes"] = .array(missingScopes.map { .string($0.rawValue) })
        }
        if let problem {
            var shown: JSONObject = [
                "code": .string(problem.code.rawValue), "since": .string(problem.since.rfc3339),
                "detail": .string(problem.detail), "action": .string(problem.action.rawValue),
            ]
            if let next = problem.nextAttemptAt { shown["next_attempt_at"] = .string(next.rfc3339) }
            object["problem"] = .object(shown)
        }
        return .object(object)
    }
}
