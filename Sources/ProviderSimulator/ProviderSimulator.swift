/// A loopback authorization and resource server that plays Discord, GitHub, Google and plain OpenID providers under
/// path prefixes of one port, with consent pages a person or a program can use, the quirks of the real sites as
/// switches, faults on demand and a world that changes. Tests, benchmarks and `rollcall demo` use the same one; it
/// knows nothing of the service it is used with.
package final class ProviderSimulator: Sendable {
    package let configuration: SimulatorConfiguration

    package init(_ configuration: SimulatorConfiguration) {
        self.configuration = configuration
    }

    /// `http://127.0.0.1:PORT` once started, empty before.
    package var baseURL: String { "" }

    /// The manifest variables that point a provider at its simulated site: `site` and `api`, or `issuer`.
    package func variables(for site: SimulatedSite) -> [String: String] {
        switch site {
        case .discord: ["site": "\(baseURL)/discord", "api": "\(baseURL)/discord/api/v10"]
        case .github: ["site": "\(baseURL)/github", "api": "\(baseURL)/github/api"]
        case .google, .openID: ["issuer": "\(baseURL)/\(site)"]
        }
    }

    /// Listens; returns the port. Throws where the port is taken.
    package func start() async throws -> Int { 0 }

    /// Ends the connections and what hangs on them. Nothing where it was not started.
    package func stop() async {}

    /// Starts where that has not been done, changes the world every `changeInterval`, and stops when cancelled.
    package func run() async throws {}

    /// One random person, or one kind of thing about them, changes; returns what did in words.
    @discardableResult
    package func advanceWorld() async -> String { "" }

    /// Returns whether there is such a person.
    @discardableResult
    package func change(site: SimulatedSite, person: String, _ change: (inout SimulatedPerson) -> Void) -> Bool {
        false
    }

    package func setSwitches(of site: SimulatedSite, _ change: (inout SimulatorSwitches) -> Void) {}
}
