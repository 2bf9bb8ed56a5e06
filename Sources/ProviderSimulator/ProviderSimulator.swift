import Hummingbird
import Logging
import Synchronization

/// A loopback authorization and resource server that plays Discord, GitHub, Google and plain OpenID providers under
/// path prefixes of one port, with consent pages a person or a program can use, the quirks of the real sites as
/// switches, faults on demand and a world that changes. Tests, benchmarks and `rollcall demo` use the same one; it
/// knows nothing of the service it is used with.
///
/// | path | what |
/// |---|---|
/// | `/discord`, `/github`, `/google`, `/oidc/<name>` | the sites, below them the real ones' own paths |
/// | `/fixture/<name>` | sites made of recorded bodies (`SimulatedFixtureSite`) |
/// | `/` | who is there, for a browser |
/// | `/control` | faults, switches, counters (`ControlEndpoint`) |
package final class ProviderSimulator: Sendable {
    package let configuration: SimulatorConfiguration
    private let sites: [SimulatedSite: Site]
    private let order: [SimulatedSite]
    private let running = Mutex(Running())
    private let world: Mutex<World>

    private struct Running: Sendable {
        var server: Task<Void, any Error>?
        var port: Int?
    }

    struct World: Sendable {
        var generator: SeededGenerator
        /// The last changes, in words.
        var news: [String] = []
    }

    package init(_ configuration: SimulatorConfiguration) {
        self.configuration = configuration
        let others = Set(
            configuration.openIDProviders.map(SimulatedSite.openID) + configuration.clients.map(\.site)
                + (configuration.people ?? []).map(\.site) + configuration.fixtureSites.map { .fixture($0.name) }
        ).subtracting([.discord, .github, .google])
        order = [.discord, .github, .google] + others.sorted { "\($0)" < "\($1)" }
        var sites: [SimulatedSite: Site] = [:]
        for name in order {
            sites[name] = Site(rules: Self.rules(of: name, configuration), configuration: configuration)
        }
        self.sites = sites
        world = Mutex(World(generator: SeededGenerator(seed: configuration.seed, name: "world")))
    }

    private static func rules(of site: SimulatedSite, _ configuration: SimulatorConfiguration) -> any SiteRules {
        switch site {
        case .discord: DiscordRules()
        case .github: GitHubRules()
        case .google, .openID: OpenIDRules(site: site)
        case .fixture(let name):
            FixtureRules(
                fixture: configuration.fixtureSites.first { $0.name == name }
                    ?? SimulatedFixtureSite(
                        name: name, authorizationPath: "/authorize", tokenPath: "/token", resources: [:]))
        }
    }

    // MARK: Running

    /// `http://127.0.0.1:PORT` while it runs, empty otherwise.
    package var baseURL: String {
        running.withLock { $0.port }.map { "http://\(configuration.host):\($0)" } ?? ""
    }

    /// The manifest variables that point a provider at its simulated site: `site` and `api`, or `issuer`.
    package func variables(for site: SimulatedSite) -> [String: String] {
        switch site {
        case .discord: ["site": "\(baseURL)/discord", "api": "\(baseURL)/discord/api/v10"]
        case .github: ["site": "\(baseURL)/github", "api": "\(baseURL)/github/api"]
        case .google, .openID: ["issuer": "\(baseURL)/\(site)"]
        case .fixture: ["site": "\(baseURL)/\(site)", "api": "\(baseURL)/\(site)"]
        }
    }

    /// Listens; returns the port. Throws where the port is taken.
    @discardableResult
    package func start() async throws -> Int {
        if let port = running.withLock({ $0.port }) { return port }
        let (ports, announce) = AsyncStream<Int>.makeStream()
        var logger = Logger(label: "simulator")
        logger.logLevel = .critical
        let application = Application(
            responder: SimulatorServer(simulator: self),
            configuration: .init(
                address: .hostname(configuration.host, port: configuration.port), serverName: "simulator"),
            onServerRunning: { channel in
                let port = channel.localAddress?.port ?? 0
                self.running.withLock { $0.port = port }
                announce.yield(port)
            }, logger: logger)
        let server = Task {
            defer { announce.finish() }
            try await application.run()
        }
        running.withLock { $0.server = server }
        for await port in ports { return port }
        // It ended without listening, and its task says why; or whoever started it was cancelled.
        server.cancel()
        running.withLock { $0 = Running() }
        try await server.value
        throw CancellationError()
    }

    /// Ends the connections and what hangs on them. Nothing where it was not started.
    package func stop() async {
        let server = running.withLock { running in
            let server = running.server
            running = Running()
            return server
        }
        server?.cancel()
        _ = await server?.result
    }

    /// Starts where that has not been done, changes the world every `changeInterval`, and stops when cancelled.
    package func run() async throws {
        try await start()
        do {
            while true {
                try await Task.sleep(for: configuration.changeInterval ?? .seconds(86_400))
                if configuration.changeInterval != nil { await advanceWorld() }
            }
        } catch is CancellationError {
            await stop()
        }
    }

    // MARK: The world

    /// One random person changes one thing, one who granted access where there is any; and a tenth of the people made
    /// on the fly theirs. Says in words what did.
    @discardableResult
    package func advanceWorld() async -> String { step() }

    @discardableResult
    func step() -> String {
        var generator = world.withLock { world in
            SeededGenerator(seed: world.generator.next())
        }
        for site in sites.values { site.state.withLock { $0.bulkGeneration += 1 } }
        let sites = order.compactMap { self.sites[$0] }
        let watched = sites.filter { site in site.state.withLock { !$0.peopleWithGrants.isEmpty } }
        let inhabited = watched.isEmpty ? sites.filter { site in site.state.withLock { !$0.people.isEmpty } } : watched
        guard let site = inhabited.randomElement(using: &generator) else { return "Nobody is there to change." }
        let now = configuration.now()
        let news = site.state.withLock { state in
            let candidates = watched.isEmpty ? state.people : state.peopleWithGrants
            guard let person = candidates.randomElement(using: &generator) else { return "" }
            var words = ""
            _ = state.change(person.id, now: now) { words = ChangingWorld.change(&$0, using: &generator) }
            return words
        }
        world.withLock { world in
            world.news = [news] + world.news.prefix(9)
        }
        log(news)
        return news
    }

    var news: [String] { world.withLock { $0.news } }

    /// Returns whether there is such a person.
    @discardableResult
    package func change(site: SimulatedSite, person: String, _ change: (inout SimulatedPerson) -> Void) -> Bool {
        let now = configuration.now()
        return sites[site]?.state.withLock { $0.change(person, now: now, change) } ?? false
    }

    package func people(at site: SimulatedSite) -> [SimulatedPerson] {
        sites[site]?.state.withLock { $0.people } ?? []
    }

    // MARK: Quirks, faults, counters

    package func setSwitches(of site: SimulatedSite, _ change: (inout SimulatorSwitches) -> Void) {
        sites[site]?.state.withLock { change(&$0.switches) }
    }

    /// Clients registered while it runs: for services whose redirect URI is known only once they listen.
    package func register(_ client: SimulatedClient) {
        sites[client.site]?.state.withLock { $0.clients[client.id] = client }
    }

    /// Faults meet requests in the order in which they were given. Throws only where a key could not be made.
    package func inject(_ fault: SimulatedFault, at site: SimulatedSite) throws {
        try sites[site]?.inject(fault, now: configuration.now())
    }

    package func clearFaults(at site: SimulatedSite) { sites[site]?.state.withLock { $0.faults = [] } }

    package func counters(of site: SimulatedSite) -> SimulatorCounters {
        sites[site]?.state.withLock { $0.countersNow(configuration.now()) } ?? SimulatorCounters()
    }

    package func resetCounters() { for site in sites.values { site.state.withLock { $0.resetCounters() } } }

    // MARK: Parts

    var allSites: [Site] { order.compactMap { sites[$0] } }
    func site(named name: SimulatedSite) -> Site? { sites[name] }

    /// The site a path belongs to, and the path below its prefix.
    func site(at path: Substring) -> (Site, Substring)? {
        let parts = path.split(separator: "/", maxSplits: 2, omittingEmptySubsequences: true)
        guard let first = parts.first else { return nil }
        if first == "oidc" || first == "fixture" {
            guard parts.count == 3, let name = SimulatedSite("\(first)/\(parts[1])"), let site = sites[name] else {
                return nil
            }
            return (site, "/" + parts[2])
        }
        guard let name = SimulatedSite(String(first)), let site = sites[name] else { return nil }
        return (site, path.dropFirst(first.utf8.count + 1))
    }

    func log(_ words: @autoclosure () -> String) { configuration.log?(words()) }
}
