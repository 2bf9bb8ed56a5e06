import Accounts
import ArgumentParser
import Foundation
import JSON
import Linking
import Store
import Synchronization

extension AccountsCommand {
    struct Link: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Link an account from this terminal, by a code that is typed in at the provider (RFC 8628).",
            discussion: """
                Example:  rollcall accounts link --device --provider github --user-id 42

                Prints where to go and what to type, waits until access was allowed, asks whether the account is the \
                right one, and links it. Ctrl-C ends the link. A link for a browser is made by POST /v1/link-sessions.
                """)

        @Flag(help: "By device code; the one way there is from a terminal.") var device = false
        @Option(help: "The provider instance.") var provider: String
        @Option(help: ArgumentHelp("The user of the application.", valueName: "user_id")) var userId: String
        @Option(help: "A scope besides the provider's; may be repeated.") var scope: [String] = []
        @Flag(help: "Link whatever account allows access, without asking.") var yes = false
        @Flag(help: "Print the linked account as JSON.") var json = false
        @OptionGroup var options: ConfigurationOptions

        func validate() throws {
            guard device else { throw ValidationError("--device is needed: no browser can be sent from here") }
        }

        func run() async throws {
            let configuration = try options.load()
            configuration.bootstrapLogging()
            try await reportingFailures(database: configuration.databasePath) {
                try await configuration.withService { try await link($0) }
            }
        }

        private func link(_ service: ServiceAssembly) async throws {
            let begun: DeviceLink
            do {
                begun = try await service.devices.begin(
                    AccountLinking.Order(userID: userId, provider: provider, scopes: scope))
            } catch {
                throw explained(error)
            }
            // However this ends but with an account, nobody polls for it any more. Said within: who reads the code may
            // press Ctrl-C.
            let outcome = Ended()
            try await runUntilSignalled {
                Terminal.note("Go to    \(begun.verificationURI)")
                Terminal.note("and type \(begun.userCode)")
                if let complete = begun.verificationURIComplete { Terminal.note("or go to \(complete)") }
                Terminal.note("before   \(begun.expiresAt.rfc3339)")
                outcome.set(try await service.devices.wait(for: begun.id))
            }
            // Its handlers are gone, and Ctrl-C shall end the question as well.
            signal(SIGINT, SIG_DFL)
            guard let ended = outcome.link else {
                _ = try await service.devices.cancel(begun.id)
                Terminal.note("Nothing was linked.")
                throw ExitCode.someFailed
            }
            let link = try await confirmed(ended, service)
            guard link.status == .linked, let accountID = link.accountID,
                let account = try await service.database.accounts.account(accountID)
            else {
                Terminal.note("Nothing was linked: \(link.error ?? "the account is gone").")
                throw ExitCode.someFailed
            }
            if json { return Terminal.say(account.json.text) }
            Terminal.say(account.id.rawValue)
        }

        private final class Ended: Sendable {
            private let stored = Mutex<DeviceLink?>(nil)

            var link: DeviceLink? { stored.withLock { $0 } }
            func set(_ link: DeviceLink) { stored.withLock { $0 = link } }
        }

        private func confirmed(_ link: DeviceLink, _ service: ServiceAssembly) async throws -> DeviceLink {
            guard link.status == .confirmationRequired,
                let grant = try await service.database.deviceLinks.grant(of: link.id)
            else { return link }
            if !yes {
                Terminal.writeError("Link \(Self.name(grant)) to user \(link.userID)? [y/N] ")
                let answer = readLine()?.trimmingCharacters(in: .whitespaces).lowercased() ?? ""
                guard answer == "y" || answer == "yes" else {
                    _ = try await service.devices.cancel(link.id)
                    await service.revocations.finishSending()
                    Terminal.note("Nothing was linked.")
                    throw ExitCode.someFailed
                }
            }
            let linked: DeviceLink?
            do { linked = try await service.devices.confirm(link.id) } catch { throw explained(error) }
            if let linked { return linked }
            return try await service.database.deviceLinks.link(link.id) ?? link
        }

        /// Says what went wrong; what is returned ends the program.
        private func explained(_ error: DeviceLinkError) -> any Error {
            switch error {
            case .invalid(let faults):
                for fault in faults { Terminal.note("\(fault.pointer.dropFirst()): \(fault.detail)") }
                return ExitCode.badInput
            case .provider("provider_unavailable", let detail):
                Terminal.note("\(provider): \(detail)")
                return ExitCode.unavailable
            case .provider(let code, let detail):
                Terminal.note("\(provider): \(detail) (\(code))")
                return ExitCode.someFailed
            case .store(let error): return error
            }
        }

        /// `octocat (583231)`, without anything that would move the cursor.
        static func name(_ grant: DeviceGrant) -> String {
            // Stored by us; unreadable is as good as none.
            let claims = try? JSONValue(parsing: grant.claims, depthMax: JSONValue.composedDepthMax)
            let name = ["preferred_username", "name", "email"].lazy.compactMap { claims?[$0]?.string }.first
            let subject = grant.subject.rawValue
            guard let name else { return plain(subject) }
            return "\(plain(name)) (\(plain(subject)))"
        }

        private static func plain(_ text: String) -> String {
            String(
                String.UnicodeScalarView(
                    text.unicodeScalars.filter { scalar in
                        switch scalar.properties.generalCategory {
                        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse,
                            .unassigned:
                            false
                        default: true
                        }
                    }.prefix(80)))
        }
    }
}
