import Glibc

/// One of the sites the simulator plays. Its text form is its path on the simulator: `discord`, `oidc/work`,
/// `fixture/slack`.
package enum SimulatedSite: Sendable, Hashable, CustomStringConvertible {
    case discord
    case github
    case google
    /// A plain OpenID provider under `/oidc/<name>`.
    case openID(String)
    /// A `SimulatedFixtureSite`, under `/fixture/<name>`.
    case fixture(String)

    package init?(_ text: String) {
        switch text {
        case "discord": self = .discord
        case "github": self = .github
        case "google": self = .google
        default:
            let parts = text.split(separator: "/", omittingEmptySubsequences: false)
            guard parts.count == 2, !parts[1].isEmpty else { return nil }
            switch parts[0] {
            case "oidc": self = .openID(String(parts[1]))
            case "fixture": self = .fixture(String(parts[1]))
            default: return nil
            }
        }
    }

    package var description: String {
        switch self {
        case .discord: "discord"
        case .github: "github"
        case .google: "google"
        case .openID(let name): "oidc/\(name)"
        case .fixture(let name): "fixture/\(name)"
        }
    }

    /// What a person would call it; consent pages say "Simulated" before it.
    package var title: String {
        switch self {
        case .discord: "Discord"
        case .github: "GitHub"
        case .google: "Google"
        case .openID(let name), .fixture(let name): name.prefix(1).uppercased() + name.dropFirst()
        }
    }
}

/// A client registered at one site.
package struct SimulatedClient: Sendable {
    package var site: SimulatedSite
    package var id: String
    /// Empty for a public client.
    package var secret: String
    /// PEM of the key that its assertions are signed with (`private_key_jwt`): then no secret is taken.
    package var publicKey: String?
    /// Compared with what an authorization request sends, character by character (RFC 9700 §4.1.3).
    package var redirectURIs: [String]
    /// Shown on consent pages.
    package var name: String

    package init(
        site: SimulatedSite, id: String, secret: String, publicKey: String? = nil, redirectURIs: [String],
        name: String = "Example Application"
    ) {
        self.site = site
        self.id = id
        self.secret = secret
        self.publicKey = publicKey
        self.redirectURIs = redirectURIs
        self.name = name
    }
}

/// Everything a simulator begins with; switches, people and faults can change while it runs.
package struct SimulatorConfiguration: Sendable {
    package var host = "127.0.0.1"
    /// 0 lets the system choose.
    package var port = 0
    /// Tokens, codes and the changing world follow from it.
    package var seed: UInt64 = 1
    package var clients: [SimulatedClient]
    /// Whom consent pages offer; `nil` is `SimulatedPerson.cast(at:)` of every site.
    package var people: [SimulatedPerson]?
    /// Names of the OpenID providers under `/oidc/`.
    package var openIDProviders: [String] = ["work"]
    /// Sites made of recorded bodies; people are theirs as anywhere else.
    package var fixtureSites: [SimulatedFixtureSite] = []
    /// What a site does where its switches are not the site's own defaults.
    package var switches: [SimulatedSite: SimulatorSwitches] = [:]
    /// Milliseconds since 1970-01-01T00:00:00Z. Lifetimes and limits are reckoned by it; delays always take real time.
    package var now: @Sendable () -> Int64 = SimulatorConfiguration.systemTime
    /// While `run` is under way, one random person changes each time this much has passed.
    package var changeInterval: Duration?
    /// Hears in words of each exchange and change. Never given a token, code or secret.
    package var log: (@Sendable (String) -> Void)?

    package init(
        clients: [SimulatedClient], people: [SimulatedPerson]? = nil, openIDProviders: [String] = ["work"],
        port: Int = 0, seed: UInt64 = 1
    ) {
        self.clients = clients
        self.openIDProviders = openIDProviders
        self.people = people
        self.port = port
        self.seed = seed
    }
}

extension SimulatorConfiguration {
    /// The system's clock.
    package static let systemTime: @Sendable () -> Int64 = {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }
}
