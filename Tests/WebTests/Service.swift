import Accounts
import Cryptography
import Foundation
import JSON
import Linking
import Logging
import Providers
import Store
import Sync
import Synchronization
import Telemetry
import TestSupport
import Transfer

@testable import Web

/// The whole HTTP side on a real socket, over a real database, with scripted providers and virtual time.
struct Service: Sendable {
    let client: RawClient
    let database: Database
    let time: VirtualTime
    let transport: ScriptedTransport
    let world: World
    let log: LogRecorder
    let server: WebServer
    let telemetry: Telemetry
    /// Of an operator's own port, where one was asked for.
    let operators: RawClient?
    let revocations: RevocationSender
    let devices: DeviceLinking

    /// What providers and the scheduler answer, as a test sets it.
    final class World: Sendable {
        struct State: Sendable {
            var user = #"{"id":583231,"login":"octocat","name":"The Octocat","email":"octocat@example.com"}"#
            var token: (status: Int, body: String) = (
                200,
                #"{"access_token":"EXAMPLE-access","token_type":"bearer","expires_in":3600,"refresh_token":"EXAMPLE-refresh","scope":"profile"}"#
            )
            var tokenFailure: TransferError?
            /// The device authorization endpoint's answer.
            var device = (
                200,
                #"{"device_code":"EXAMPLE-device","user_code":"EXAM-PLE1","verification_uri":"https://alpha.example/activate","expires_in":900,"interval":5}"#
            )
            /// The issuer's keys.
            var keys = #"{"keys":[]}"#
            var sync: SyncNowResult = .synced
            var weighed: [(AccountID, Duration)] = []
            /// What is believed of a copy after it was weighed.
            var current: Double?
            var syncs: [(AccountID, Duration?)] = []
        }
        let state = Mutex(State())
        /// What a sync does besides answering.
        let onSync = Mutex<(@Sendable (AccountID) async throws -> Void)?>(nil)
    }

    static let publicURL = "https://accounts.example.com"

    struct Options: Sendable {
        var publicURL = Service.publicURL
        var applicationName = "Example Forum"
        var trustedProxies: [String] = []
        var timeouts = WebServer.Settings.Timeouts()
        var hasOperatorPort = false
        /// The scheduling rule, as it is asked how it goes.
        var plans = false
        var manifests = Service.manifests
        var alphaName = "Alpha"
        var instances: [InstanceConfiguration] = []
        /// Asked before the providers that every test has.
        var reply: @Sendable (TransferRequest) async -> ScriptedTransport.Answer? = { _ in nil }
        /// Changes an instance before it is configured.
        var instance: @Sendable (inout InstanceConfiguration) -> Void = { _ in }
    }

    static let manifests = ["alpha": alpha, "beta": beta]

    static let alpha = """
        id: alpha
        name: Alpha
        authorization: {endpoint: "https://alpha.example/authorize", scopes: [profile]}
        client_authentication: client_secret_basic
        token: {endpoint: "https://alpha.example/token", refresh: {rotation: single_use, lifetime: unknown}}
        revocation: {endpoint: "https://alpha.example/revoke", style: rfc7009}
        profile:
          requests: {user: {url: "https://api.alpha.example/me"}}
          claims: {sub: $.user.id, preferred_username: $.user.login, name: $.user.name, email: $.user.email}
        limits: {dialect: ietf, requests: {per: client, count: 10000, window: 1s}}
        sync: {interval: 6h, minimum_interval: 5m, maximum_age: 24h}

        """
    static let beta = alpha.replacingOccurrences(of: "alpha", with: "beta").replacingOccurrences(
        of: "Alpha", with: "Beta")

    static func run(_ options: Options = Options(), _ body: @Sendable (Service) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "rollcall-web-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        defer { try? FileManager.default.removeItem(at: folder) }  // in the system's temporary folder anyway
        let time = VirtualTime()
        let random = SeededRandom(seed: 11)
        let keyRing = try KeyRing.generate(random: SeededRandom(seed: 12))
        let database = try Database(
            path: folder.appending(path: "test.sqlite").path(), keyRing: keyRing, time: time, random: random)
        defer { database.close() }
        let log = LogRecorder()
        let logger = Logger(label: "test") { _ in log }
        let world = World()
        let transport = ScriptedTransport { request in
            if let answer = await options.reply(request) { return answer }
            return await reply(to: request, world)
        }
        let catalog = try ProviderCatalog(
            files: options.manifests.map { ManifestFile(path: $0.key + ".yaml", text: $0.value) },
            instances: ([
                InstanceConfiguration(id: "alpha", clientID: "EXAMPLE-alpha", clientSecret: Secret("EXAMPLE-secret")),
                InstanceConfiguration(id: "beta", clientID: "EXAMPLE-beta", clientSecret: Secret("EXAMPLE-secret")),
                InstanceConfiguration(
                    id: "gamma", manifest: "oidc", variables: ["issuer": "https://gamma.example"],
                    clientID: "EXAMPLE-gamma", clientSecret: Secret("EXAMPLE-secret")),
                InstanceConfiguration(id: "github"),
            ] as [InstanceConfiguration] + options.instances).map {
                var instance = $0
                options.instance(&instance)
                return instance
            }, publicURL: options.publicURL)
        let telemetry = Telemetry()
        let providerClient = ProviderClient(
            transport: transport, database: database, telemetry: telemetry, time: time, random: random, logger: logger)
        let servers = AuthorizationServers(client: providerClient, time: time, logger: logger)
        let revocations = RevocationSender(
            database: database, catalog: catalog, client: providerClient, servers: servers, owner: "test", time: time,
            random: random, logger: logger)
        let tokens = AccessTokens(
            database: database, catalog: catalog, client: providerClient, servers: servers, revocations: revocations,
            owner: "test", time: time, logger: logger)
        let linking = AccountLinking(
            publicURL: options.publicURL, returnTo: ["https://app.example.com"], database: database, catalog: catalog,
            client: providerClient,
            servers: servers,
            profiles: ProfileFetch(client: providerClient, servers: servers, time: time), revocations: revocations,
            time: time, random: random, logger: logger)
        let devices = DeviceLinking(
            database: database, catalog: catalog, client: providerClient, servers: servers,
            profiles: ProfileFetch(client: providerClient, servers: servers, time: time), revocations: revocations,
            owner: "test", time: time, random: random, logger: logger)
        let sync = SyncRequests { account, wait in
            world.state.withLock { $0.syncs.append((account, wait)) }
            let action = world.onSync.withLock { $0 }
            do { try await action?(account) } catch { return .pending }
            return world.state.withLock { $0.sync }
        } ifWorthIt: { account, limit in
            world.state.withLock { state in
                state.weighed.append((account, limit))
                return state.current
            }
        }
        let planner =
            options.plans
            ? SyncPlanner(
                catalog: catalog, schedule: database.schedule, accounts: database.accounts, tally: ReadTally(),
                time: time, random: random, logger: logger) : nil
        await planner?.rebuild()
        let (ports, listening) = AsyncStream<WebServer.Ports>.makeStream()
        let server = try WebServer(
            WebServer.Settings(
                publicURL: options.publicURL, applicationName: options.applicationName, port: 0,
                operatorAddress: options.hasOperatorPort
                    ? WebServer.Settings.Address(host: "127.0.0.1", port: 0) : nil,
                trustedProxies: TrustedProxies(options.trustedProxies), timeouts: options.timeouts),
            database: database, catalog: catalog, linking: linking, devices: devices,
            signals: SignalIntake(database: database, servers: servers, time: time, logger: logger),
            accessTokens: tokens,
            overview: SyncOverview(
                catalog: catalog, database: database, client: providerClient, planner: planner,
                figures: SyncFigures(time: time), time: time), sync: sync,
            telemetry: telemetry, time: time,
            random: random, logger: logger, onListening: { listening.yield($0) })
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                defer { listening.finish() }
                try await server.run()
            }
            guard let ports = await ports.first(where: { _ in true }) else {
                try await group.next()
                throw RawClient.Failure(reason: "the server did not start")
            }
            try await body(
                Service(
                    client: RawClient(port: ports.main), database: database, time: time, transport: transport,
                    world: world, log: log, server: server, telemetry: telemetry,
                    operators: ports.operators.map { RawClient(port: $0) }, revocations: revocations, devices: devices))
            group.cancelAll()
        }
    }

    private static func reply(to request: TransferRequest, _ world: World) async -> ScriptedTransport.Answer {
        let state = world.state.withLock { $0 }
        func json(_ status: Int, _ body: String) -> ScriptedTransport.Answer {
            .success(
                TransferResponse(status: status, fields: ["content-type": "application/json"], body: Array(body.utf8)))
        }
        if request.url.hasSuffix("/token") {
            if let failure = state.tokenFailure { return .failure(failure) }
            return json(state.token.status, state.token.body)
        }
        if request.url.hasSuffix("/me") { return json(200, state.user) }
        if request.url.hasSuffix("/device") { return json(state.device.0, state.device.1) }
        if request.url.hasSuffix("/keys") { return json(200, state.keys) }
        if request.url.hasSuffix("/revoke") { return json(200, "{}") }
        if request.url.contains("gamma.example/.well-known/") {
            return json(
                200,
                #"{"issuer":"https://gamma.example","authorization_endpoint":"https://gamma.example/authorize","token_endpoint":"https://gamma.example/token","jwks_uri":"https://gamma.example/keys","userinfo_endpoint":"https://gamma.example/userinfo","response_types_supported":["code"],"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["RS256","ES256"],"code_challenge_methods_supported":["S256"],"authorization_response_iss_parameter_supported":true}"#
            )
        }
        return .failure(.connectionFailed(host: "unscripted"))
    }

    var tokenRequests: [TransferRequest] { transport.requests.filter { $0.url.hasSuffix("/token") } }

    /// The forms that the providers' revocation endpoints were sent, once nothing is under way any more.
    func revocationForms() async -> [String] {
        await revocations.finishSending()
        return transport.requests.filter { $0.url.hasSuffix("/revoke") }.map {
            String(decoding: $0.body?.bytes ?? [], as: UTF8.self)
        }
    }

    // MARK: - The application's side

    func key(_ scopes: APIKeyScope...) async throws -> String {
        try await database.apiKeys.create(name: "test", scopes: Set(scopes)).secret.reveal { $0 }
    }

    func fullKey() async throws -> String {
        try await database.apiKeys.create(name: "test", scopes: Set(APIKeyScope.allCases)).secret.reveal { $0 }
    }

    func call(
        _ method: String, _ target: String, key: String?, _ fields: [(String, String)] = [], json: String? = nil
    ) async throws -> RawResponse {
        var fields = fields
        if let key { fields.append(("Authorization", "Bearer \(key)")) }
        if json != nil { fields.append(("Content-Type", "application/json")) }
        return try await client.send(method, target, fields, body: json.map { Array($0.utf8) })
    }

    /// The path of a new session's URL.
    func linkPath(_ body: String, key: String? = nil) async throws -> String {
        let secret: String
        if let key { secret = key } else { secret = try await fullKey() }
        let response = try await call("POST", "/v1/link-sessions", key: secret, json: body)
        guard response.status == 201, let url = try response.json()["url"]?.string, url.hasPrefix(server.site.publicURL)
        else { throw RawClient.Failure(reason: "no session: \(response.status) \(response.text)") }
        return String(url.dropFirst(server.site.publicURL.count))
    }

    /// Links an account from begin to end, in a browser of its own.
    func link(user: String, provider: String = "alpha", subject: Int = 583_231, login: String = "octocat") async throws
        -> AccountID
    {
        world.state.withLock {
            $0.user = #"{"id":\#(subject),"login":"\#(login)","name":"The Octocat","email":"octocat@example.com"}"#
        }
        let browser = Browser(service: self)
        let path = try await linkPath(
            #"{"user_id":"\#(user)","provider":"\#(provider)","return_to":"https://app.example.com/done"}"#)
        let state = try await browser.start(path)
        let response = try await browser.get("/callback/\(provider)?code=EXAMPLE-code&state=\(state)")
        guard let location = response["location"], let range = location.range(of: "account_id="),
            let id = AccountID(String(location[range.upperBound...].prefix { $0 != "&" }))
        else {
            throw RawClient.Failure(reason: "not linked: \(response.status) \(response["location"] ?? response.text)")
        }
        return id
    }
}
