import Accounts
import Foundation
import ProviderSimulator
import Providers
import Store

/// How the service and the simulator are told of each other.
enum DemoProviders {
    static let sites: [SimulatedSite] = [.discord, .github, .google]
    static let keyScopes: Set<APIKeyScope> = [.linksWrite, .accountsRead, .accountsWrite, .tokensRead]

    static func clientSecret(of site: SimulatedSite) -> String { "EXAMPLE-\(site)-secret" }

    static func simulatorConfiguration(
        port: Int, serviceURL: String, changeInterval: Duration? = nil
    ) -> SimulatorConfiguration {
        let clients = sites.map { site in
            SimulatedClient(
                site: site, id: "demo-\(site)", secret: clientSecret(of: site),
                redirectURIs: ["\(serviceURL)/callback/\(site)"], name: "Rollcall's demo")
        }
        var configuration = SimulatorConfiguration(clients: clients, port: port)
        configuration.changeInterval = changeInterval
        return configuration
    }

    static func configuration(
        folder: String, port: Int, simulator: ProviderSimulator, logLevel: String, syncInterval: String
    ) throws(ConfigurationError) -> ServiceConfiguration {
        func said(_ value: String...) -> Found { Found(values: value, place: "the demo") }
        var configuration = try ServiceConfiguration.load(
            readsFile: false,
            flags: [
                "http.port": said(String(port)), "application.name": said("Rollcall's demo"),
                "application.return_to": said("http://127.0.0.1:\(port)"),
                "database.path": said(folder + "/rollcall.sqlite"), "vault.key_file": said(folder + "/master.key"),
                "outgoing.allowed_private_hosts": said("127.0.0.1"), "sync.interval": said(syncInterval),
                "log.level": said(logLevel),
            ], environment: [:])
        configuration.instances = sites.map { site in
            InstanceConfiguration(
                id: "\(site)", variables: simulator.variables(for: site), clientID: "demo-\(site)",
                clientSecret: Secret(clientSecret(of: site)),
                // Manifests keep to what is polite at the real ones.
                sync: InstanceConfiguration.SyncOverrides(minimumInterval: .seconds(10)))
        }
        return configuration
    }
}
