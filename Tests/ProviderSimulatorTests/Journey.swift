import Foundation
import ProviderSimulator
import Synchronization
import Testing

/// A clock that tests move.
final class Clock: Sendable {
    /// 2026-11-20T14:42:53Z, the instant around which the provider samples are set.
    private let milliseconds = Mutex<Int64>(1_795_185_773_000)

    var now: Int64 { milliseconds.withLock { $0 } }
    func advance(seconds: Int64) { milliseconds.withLock { $0 += seconds * 1000 } }
}

/// What a client does at one site, over a real socket.
struct Journey: Sendable {
    static let redirectURI = "http://127.0.0.1:9999/callback/example"
    static let clientID = "client-EXAMPLE"
    static let clientSecret = "secret EXAMPLE&1"
    static let verifier = "EXAMPLE-verifier-0123456789-0123456789-0123456789"

    let simulator: ProviderSimulator
    let clock: Clock
    let client: SocketClient
    let site: SimulatedSite

    /// Paths below the site's prefix.
    var authorizePath: String {
        switch site {
        case .discord: "/discord/oauth2/authorize"
        case .github: "/github/login/oauth/authorize"
        case .google: "/google/o/oauth2/v2/auth"
        case .openID: "/\(site)/authorize"
        case .fixture: "/\(site)/oauth/authorize"
        }
    }

    var tokenPath: String {
        switch site {
        case .discord: "/discord/api/v10/oauth2/token"
        case .github: "/github/login/oauth/access_token"
        case .google, .openID: "/\(site)/token"
        case .fixture: "/\(site)/oauth/token"
        }
    }

    var profilePath: String {
        switch site {
        case .discord: "/discord/api/v10/users/@me"
        case .github: "/github/api/user"
        case .google: "/google/v1/userinfo"
        case .openID: "/\(site)/userinfo"
        case .fixture: "/\(site)/v1/me"
        }
    }

    var scope: String {
        switch site {
        case .discord: "identify email"
        case .github: "read:user user:email"
        case .google, .openID, .fixture: "openid profile email"
        }
    }

    var person: String { simulator.people(at: site)[0].id }

    /// Runs `body` against a simulator of its own, and stops that however it ends.
    static func run(
        _ site: SimulatedSite, seed: UInt64 = 1, _ change: (inout SimulatorConfiguration) -> Void = { _ in },
        _ body: (Journey) async throws -> Void
    ) async throws {
        let clock = Clock()
        var configuration = SimulatorConfiguration(
            clients: [.discord, .github, .google, .openID("work")].map { site in
                SimulatedClient(site: site, id: clientID, secret: clientSecret, redirectURIs: [redirectURI])
            }, seed: seed)
        configuration.now = { clock.now }
        change(&configuration)
        let simulator = ProviderSimulator(configuration)
        let port = try await simulator.start()
        let journey = Journey(simulator: simulator, clock: clock, client: SocketClient(port: port), site: site)
        do {
            try await body(journey)
        } catch {
            await simulator.stop()
            throw error
        }
        await simulator.stop()
    }

    // MARK: Steps

    /// An authorization request; parameters given replace the usual ones, `nil` leaves one out.
    func authorize(_ changes: [String: String?] = [:], cookie: String = "") async -> SocketClient.Response {
        var parameters: [String: String?] = [
            "client_id": Self.clientID, "redirect_uri": Self.redirectURI, "response_type": "code", "scope": scope,
            "state": "state-EXAMPLE", "code_challenge": "Pb5hlV7FonRLvatXHsGTal3NDN7ngOrUv7vRaFQgAbU",
            "code_challenge_method": "S256",
        ]
        if site == .google { parameters["access_type"] = "offline" }
        parameters.merge(changes) { _, new in new }
        let query = parameters.compactMap { name, value in value.map { (name, $0) } }.sorted { $0.0 < $1.0 }
        return await client.get("\(authorizePath)?\(SocketClient.query(query))", ["cookie": cookie])
    }

    /// The decision on a consent page.
    func decide(_ page: SocketClient.Response, _ form: [(String, String)]) async throws -> SocketClient.Response {
        let request = try #require(page.fields["x-simulator-request"])
        #expect(page.text.contains("name=\"request\" value=\"\(request)\""))
        return await client.post("/\(site)/consent", form: [("request", request)] + form)
    }

    /// A code, consented to by `person`.
    func code(person: String? = nil, _ changes: [String: String?] = [:]) async throws -> String {
        let page = await authorize(changes)
        let response = try await decide(page, [("person", person ?? self.person), ("decision", "allow")])
        return try #require(response.callback["code"])
    }

    /// A token request; the client authenticates in the body.
    func token(_ form: [(String, String)], _ fields: [String: String] = ["accept": "application/json"]) async
        -> SocketClient.Response
    {
        await client.post(
            tokenPath, form: form + [("client_id", Self.clientID), ("client_secret", Self.clientSecret)], fields)
    }

    func exchange(_ code: String) async -> SocketClient.Response {
        await token([
            ("grant_type", "authorization_code"), ("code", code), ("redirect_uri", Self.redirectURI),
            ("code_verifier", Self.verifier),
        ])
    }

    func refresh(_ token: String) async -> SocketClient.Response {
        await self.token([("grant_type", "refresh_token"), ("refresh_token", token)])
    }

    /// The whole way to a token response.
    func link(person: String? = nil, _ changes: [String: String?] = [:]) async throws -> SocketClient.Response {
        let response = await exchange(try await code(person: person, changes))
        try #require(response["access_token"] != nil, "\(response.text)")
        return response
    }

    func profile(_ token: String, _ fields: [String: String] = [:]) async -> SocketClient.Response {
        await client.get(profilePath, fields.merging(["authorization": "Bearer \(token)"]) { own, _ in own })
    }

    func control(_ json: String) async -> SocketClient.Response {
        await client.send("POST", "/control", ["content-type": "application/json"], body: json)
    }

    var counters: SimulatorCounters { simulator.counters(of: site) }
}

let allSites: [SimulatedSite] = [.discord, .github, .google, .openID("work")]
