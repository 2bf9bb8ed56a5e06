import Accounts
import ArgumentParser
import JSON
import Store

extension AccountsCommand {
    struct Export: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write every account with its tokens, in the clear, as `accounts import` reads them.",
            discussion: """
                Example:  (umask 077; rollcall accounts export > accounts.ndjson)

                The output holds secrets: keep it from others. Accounts whose sealed tokens do not open are reported and \
                left out.
                """)

        @OptionGroup var options: ConfigurationOptions

        func run() async throws {
            try await withDatabase(options) { database in
                let counts = try await database.accounts.counts().values
                let bar = ProgressBar("Exporting", total: counts.reduce(0) { $0 + $1.values.reduce(0, +) })
                defer { bar.finish() }
                var after: String?
                var written = 0
                var damaged = 0
                repeat {
                    let page = try await database.accounts.exportAccounts(after: after, limit: 500)
                    var lines = ""
                    for item in page.items {
                        guard let credential = item.credential else {
                            damaged += 1
                            Terminal.note("\(item.account.id): its tokens do not open; left out")
                            continue
                        }
                        lines += Self.line(item.account, credential) + "\n"
                        written += 1
                    }
                    Terminal.write(lines)
                    bar.advance(to: written)
                    after = page.next
                } while after != nil
                if damaged > 0 { throw ExitCode.someFailed }
            }
        }

        private static func line(_ account: LinkedAccount, _ credential: Credential) -> String {
            var object: JSONObject = [
                "user_id": .string(account.userID.rawValue), "provider": .string(account.provider.rawValue),
                "subject": .string(account.subject.rawValue),
                "access_token": .string(credential.accessToken.reveal { $0 }),
            ]
            if let token = credential.refreshToken { object["refresh_token"] = .string(token.reveal { $0 }) }
            if credential.tokenType != "Bearer", let key = credential.proofKey {
                object["proof_key"] = .string(key.reveal { $0 })
            }
            if let time = credential.expiresAt { object["expires_at"] = .string(time.rfc3339) }
            object["scopes"] = .array(credential.scopes.map { .string($0.rawValue) })
            return JSONValue.object(object).text
        }
    }
}
