import Accounts
import Foundation
import ProviderSimulator
import Providers
import Store

/// One provider of the demo, and the simulator's site that plays it.
struct DemoProvider: Sendable {
    let id: String
    var manifest: String?
    let site: SimulatedSite
    /// Whether its access tokens end and are refreshed.
    var refreshes = true
    /// PEM, where the client signs (`private_key_jwt`).
    var clientKey: (private: Secret, public: String)?
    /// Whether the provider takes tokens back.
    var revokes = true
    /// Whether the provider tells of a person after the link as well.
    var tellsChanges = true
    var keyID: String?
    /// Further variables of the manifest.
    var settings: [String: String] = [:]
    /// What plays it where the simulator has no site of its own.
    var fixture: SimulatedFixtureSite?
    /// The manifest's variables that point to the simulated site; `nil` for the site's usual ones.
    var variables: [String]?
    var resources: [String]?
    /// In place of the manifest's.
    var scopes: [String]?
    /// The client has no secret.
    var isPublic = false
    /// What the provider's own messages are signed with.
    var signalSecret: String?
    /// Tokens are bound to a key and handed to nobody (RFC 9449).
    var bindsTokens = false

    static let all = [
        DemoProvider(id: "discord", site: .discord), DemoProvider(id: "github", site: .github, refreshes: false),
        DemoProvider(id: "google", site: .google),
    ]

    var clientID: String { "demo-\(id)" }
    var clientSecret: String { "EXAMPLE-\(id)-secret" }

    func client(serviceURL: String) -> SimulatedClient {
        SimulatedClient(
            site: site, id: clientID, secret: isPublic ? "" : clientSecret, publicKey: clientKey?.public,
            redirectURIs: ["\(serviceURL)/callback/\(id)"],
            name: "Rollcall's demo")
    }

    func instance(_ simulator: ProviderSimulator) -> InstanceConfiguration {
        let base = "\(simulator.baseURL)/\(site)"
        let variables = variables.map { Dictionary(uniqueKeysWithValues: $0.map { ($0, base) }) }
        return InstanceConfiguration(
            id: id, manifest: manifest,
            variables: (variables ?? simulator.variables(for: site)).merging(settings) { $1 }, clientID: clientID,
            clientSecret: clientKey == nil && !isPublic ? Secret(clientSecret) : nil, clientKey: clientKey?.private,
            keyID: keyID, signalSecret: signalSecret.map { Secret($0) }, scopes: scopes,
            resources: resources, clientAuthentication: clientKey.map { _ in "private_key_jwt" },
            dpop: bindsTokens ? "offered" : nil,
            // Manifests keep to what is polite at the real ones.
            // Who changes something and asks for a sync wants to see it.
            sync: InstanceConfiguration.SyncOverrides(minimumInterval: .milliseconds(1)))
    }
}
