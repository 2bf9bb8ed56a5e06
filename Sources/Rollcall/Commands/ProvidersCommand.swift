import Accounts
import ArgumentParser
import Cryptography
import Foundation
import JSON
import Linking
import OAuth
import Providers
import Store

struct ProvidersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "providers", abstract: "Which providers there are, and what each still needs.",
        subcommands: [List.self, Check.self, Accept.self, Schema.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List configured providers and the manifests that can be configured.",
            discussion: "Example:  rollcall providers list")

        @OptionGroup var options: ConfigurationOptions
        @Flag(help: "One JSON object a line.") var json = false

        func run() async throws {
            let configuration = try options.load()
            try await reportingFailures {
                let catalog = try ServiceAssembly.catalog(configuration)
                if json {
                    for provider in catalog.providers {
                        let object: JSONValue = [
                            "id": .string(provider.id.rawValue), "name": .string(provider.name),
                            "manifest": .string(provider.manifestID),
                            "scopes": .array(provider.scopes.map { .string($0.rawValue) }),
                            "redirect_uri": .string(provider.client.redirectURI),
                            "missing": .array(provider.missing.map { .string($0) }),
                        ]
                        Terminal.say(object.text)
                    }
                    return
                }
                let rows = catalog.providers.map { provider in
                    [
                        provider.id.rawValue, provider.manifestID,
                        provider.isReady ? "ready" : "missing: " + provider.missing.joined(separator: ", "),
                        provider.client.redirectURI,
                    ]
                }
                Terminal.say(Terminal.table(["PROVIDER", "MANIFEST", "STATE", "REDIRECT URI TO REGISTER"], rows))
                let unused = catalog.manifests.map(\.id)
                Terminal.say("\nManifests: \(unused.joined(separator: ", "))")
                for problem in catalog.problems { Terminal.note("\(problem)") }
            }
        }
    }

    struct Check: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Say in words what a provider still needs: client id, redirect URI, DNS, TLS, discovery, clock.",
            discussion: """
                Examples:  rollcall providers check github
                           rollcall providers check --offline discord     the manifest alone

                Exits 0 where the provider can be linked.
                """)

        @Argument(help: "A configured provider; with --offline also a manifest that is not configured.") var id: String
        @Flag(help: "Check the manifest and the configuration only; ask nobody.") var offline = false
        @OptionGroup var options: ConfigurationOptions

        func run() async throws {
            let configuration = try options.load()
            try await reportingFailures {
                let catalog = try ServiceAssembly.catalog(configuration)
                for problem in catalog.problems
                where problem.subject == id || problem.subject.split(separator: "/").last == "\(id).yaml" {
                    Terminal.note("✗ \(problem.problem)")
                }
                guard let id = ProviderID(id), let provider = catalog[id] else {
                    guard offline, let manifest = catalog.manifests.first(where: { $0.id == self.id }) else {
                        let known = catalog.providers.map(\.id.rawValue).joined(separator: ", ")
                        Terminal.note(
                            "'\(self.id)' is not configured (configured: \(known.isEmpty ? "none" : known)). "
                                + "Add it under 'providers:' in the configuration.")
                        throw ExitCode.badInput
                    }
                    Terminal.say("✓ The manifest \(manifest.id) is valid; no instance of it is configured.")
                    return
                }
                var isReady = describe(provider)
                if !offline { isReady = await ask(provider, configuration) && isReady }
                guard isReady else { throw ExitCode.someFailed }
            }
        }

        private func describe(_ provider: Provider) -> Bool {
            for key in provider.missing {
                let name = Setting.environmentName(of: "providers.\(provider.id).\(key)")
                Terminal.say("✗ \(key) is missing: set providers.\(provider.id).\(key), or \(name)")
            }
            if !provider.missing.isEmpty, let registration = provider.registration {
                Terminal.say("  Register the client at \(registration)")
            }
            if provider.isReady { Terminal.say("✓ \(Self.client(provider.client))") }
            let note = provider.redirectURINote.map { " (\($0))" } ?? ""
            Terminal.say("• The redirect URI to register\(note): \(provider.client.redirectURI)")
            if !provider.client.redirectURI.hasPrefix("https:") {
                Terminal.say("• public_url is not https: real providers accept that for local development only")
            }
            Terminal.say("• Scopes: \(provider.scopes.map(\.rawValue).joined(separator: " "))")
            if provider.pkce == .none { Terminal.say("• PKCE is off: the manifest says that the provider refuses it") }
            return provider.isReady
        }

        private static func client(_ client: ClientRegistration) -> String {
            if !client.authentication.proves { return "The client id is there; the client is a public one" }
            guard client.authentication.needsKey, let key = client.signingKey else {
                return "Client id and secret are there"
            }
            let algorithm = (client.assertion.algorithm ?? key.defaultAlgorithm).rawValue
            let keyID = client.assertion.keyID.map { ", key id \($0)" } ?? ""
            return "Client id and private key are there (\(algorithm)\(keyID)); the provider must know the public half"
        }

        private func ask(_ provider: Provider, _ configuration: ServiceConfiguration) async -> Bool {
            do {
                let probe = try ProviderProbe(configuration, provider)
                let findings = await probe.examine(provider)
                await probe.close()
                for finding in findings { Terminal.say((finding.isGood ? "✓ " : "✗ ") + finding.text) }
                return findings.allSatisfy(\.isGood)
            } catch {
                Terminal.say("✗ Outgoing HTTP can't be set up: \(error)")
                return false
            }
        }
    }

    struct Accept: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Accept that an issuer's endpoints moved to another host.",
            discussion: """
                Example:  rollcall providers accept corp

                A running service goes by the old endpoints until then, and says so in the log once an hour; within an \
                hour it takes the new ones, at once after a restart. Ask the people who run the issuer first.
                """)

        @Argument(help: "A configured provider.") var id: String
        @OptionGroup var options: ConfigurationOptions

        func run() async throws {
            try await withDatabase(options) { database in
                guard let id = ProviderID(id), try await database.providers.forgetMetadata(of: id) else {
                    Terminal.note("No metadata document of '\(id)' is held; the next one is accepted as it is.")
                    throw ExitCode.someFailed
                }
                Terminal.note("The next metadata document of \(id) is accepted, wherever its endpoints are.")
            }
        }
    }

    struct Schema: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print the JSON Schema of manifests, for editors and for checks.",
            discussion: "Example:  rollcall providers schema > manifest.schema.json")

        func run() async throws { Terminal.say(Manifest.jsonSchema) }
    }
}
