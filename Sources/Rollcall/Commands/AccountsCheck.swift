import Accounts
import ArgumentParser
import JSON
import Linking
import Providers
import Store

extension AccountsCommand {
    struct Check: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Ask the provider whether an account's access token is good (RFC 7662), and act on the answer.",
            discussion: """
                Example:  rollcall accounts check acc_01jd…

                Exits 0 where the token is good or a refresh brought another, 1 where the user has to link again, 2 where \
                the provider can't be asked.
                """)

        @Argument(help: "The account's id.") var id: String
        @OptionGroup var options: ConfigurationOptions

        func validate() throws { _ = try accountID(id) }

        func run() async throws {
            let id = try accountID(id)
            let configuration = try options.load()
            configuration.bootstrapLogging()
            try await reportingFailures(database: configuration.databasePath) {
                try configuration.requireDatabase()
                let code = try await configuration.withService { try await check(id, $0) }
                if code != .success { throw code }
            }
        }

        private func check(_ id: AccountID, _ service: ServiceAssembly) async throws -> ExitCode {
            guard let account = try await service.database.accounts.account(id) else {
                Terminal.note("There is no account \(id).")
                return .someFailed
            }
            guard let provider = service.catalog[account.provider], provider.isReady else {
                Terminal.note("\(account.provider): the provider is not configured.")
                return .unavailable
            }
            switch try await service.tokenCheck.check(id, provider: provider) {
            case .active(let expiresAt, let scopes):
                var said = "\(id) is active"
                if let expiresAt { said += " until \(expiresAt.rfc3339)" }
                if let scopes { said += ", scopes: \(scopes.map(\.rawValue).joined(separator: " "))" }
                Terminal.say(said)
                return .success
            case .renewed:
                Terminal.say("\(id) is active: its access token was not, and a refresh brought another")
                return .success
            case .needsRelink(let detail):
                Terminal.say("\(id) needs a new link: \(detail)")
                return .someFailed
            case .notOffered:
                Terminal.note("\(account.provider): the provider has no introspection endpoint to ask.")
                return .unavailable
            case .unavailable(let detail):
                Terminal.note("\(account.provider): \(detail)")
                return .unavailable
            }
        }
    }
}
