import Accounts
import Cryptography
import Foundation
import JSON
import Linking
import Logging
import OAuth
import Providers
import Store
import Synchronization
import TestSupport
import Testing
import Transfer

let alpha = ProviderID("alpha")!
let beta = ProviderID("beta")!
let gamma = ProviderID("gamma")!

/// A database in a directory of its own, scripted providers, and as many processes of the service as a test wants.
final class Fixture: Sendable {
    static let publicURL = "https://accounts.example.com"

    let directory: String
    let time: any TimeSource
    let random = SeededRandom(seed: 11)
    let ring: KeyRing
    let catalog: ProviderCatalog
    let site = ScriptedSite()
    let transport: ScriptedTransport
    /// The process that most tests need only one of.
    let main: Instance

    var path: String { directory + "/rollcall.sqlite" }
    var database: Database { main.database }
    var tokens: AccessTokens { main.tokens }
    var tokenRequests: [TransferRequest] { requests("/token") }

    /// What one process of the service has.
    struct Instance: Sendable {
        let database: Database
        let client: ProviderClient
        let servers: AuthorizationServers
        let revocations: RevocationSender
        let tokens: AccessTokens
        let profiles: ProfileFetch
        let linking: AccountLinking
        let devices: DeviceLinking
    }

    init(
        time: any TimeSource = VirtualTime(), manifests: [String: String] = Manifests.usual,
        instances: [InstanceConfiguration] = Manifests.instances
    ) throws {
        directory = FileManager.default.temporaryDirectory.appending(path: "rollcall-linking-\(UUID().uuidString)")
            .path()
        self.time = time
        ring = try KeyRing.generate(random: SeededRandom(seed: 7))
        catalog = try Self.catalog(manifests, instances)
        let site = site
        transport = ScriptedTransport { await site.answer($0) }
        main = try Self.instance(
            directory + "/rollcall.sqlite", owner: "one", ring: ring, time: time, random: random, catalog: catalog,
            transport: transport)
    }

    deinit {
        main.database.close()
        try? FileManager.default.removeItem(atPath: directory)  // a leftover in the temporary directory does no harm
    }

    static func catalog(
        _ manifests: [String: String], _ instances: [InstanceConfiguration]
    ) throws -> ProviderCatalog {
        let catalog = try ProviderCatalog(
            files: manifests.map { ManifestFile(path: $0.key + ".yaml", text: $0.value) }, instances: instances,
            publicURL: publicURL)
        guard catalog.problems.isEmpty else { throw ConfigurationErrors(catalog.problems.map(\.problem)) }
        return catalog
    }

    /// Another process on the same database; also one that was started after the first was killed.
    func another(
        _ owner: String = "two", ring: KeyRing? = nil, catalog: ProviderCatalog? = nil, time: (any TimeSource)? = nil,
        busyTimeout: Duration = .seconds(5)
    ) throws -> Instance {
        try Self.instance(
            path, owner: owner, ring: ring ?? self.ring, time: time ?? self.time,
            random: SeededRandom(seed: 99), catalog: catalog ?? self.catalog, transport: transport,
            busyTimeout: busyTimeout)
    }

    private static func instance(
        _ path: String, owner: String, ring: KeyRing, time: any TimeSource, random: any RandomSource,
        catalog: ProviderCatalog, transport: any Transport, busyTimeout: Duration = .seconds(5)
    ) throws -> Instance {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let database = try Database(
            path: path, keyRing: ring, time: time, random: random, busyTimeout: busyTimeout)
        let client = ProviderClient(
            transport: transport, database: database, time: time, random: random, logger: logger)
        let servers = AuthorizationServers(client: client, time: time, logger: logger)
        let revocations = RevocationSender(
            database: database, catalog: catalog, client: client, servers: servers, owner: owner, time: time,
            random: random, logger: logger)
        let profiles = ProfileFetch(client: client, servers: servers, time: time)
        return Instance(
            database: database, client: client, servers: servers, revocations: revocations,
            tokens: AccessTokens(
                database: database, catalog: catalog, client: client, servers: servers, revocations: revocations,
                owner: owner, time: time, logger: logger),
            profiles: profiles,
            linking: AccountLinking(
                publicURL: publicURL, returnTo: ["https://app.example.com"], database: database, catalog: catalog,
                client: client, servers: servers, profiles: profiles, revocations: revocations, time: time,
                random: random, logger: logger),
            devices: DeviceLinking(
                database: database, catalog: catalog, client: client, servers: servers, profiles: profiles,
                revocations: revocations, owner: owner, time: time, random: random, logger: logger))
    }

    func provider(_ id: ProviderID = alpha) throws -> Provider { try #require(catalog[id]) }

    func requests(_ suffix: String) -> [TransferRequest] { transport.requests.filter { $0.url.hasSuffix(suffix) } }

    /// A linked account without any request.
    func link(
        _ credential: Credential, subject: String = "583231", user: String = "42", provider: ProviderID = alpha
    ) async throws -> AccountID {
        let subject = try #require(Subject(subject))
        let profile = Profile(
            subject: subject, claims: #"{"sub":"\#(subject)"}"#, raw: #"{"user":{"id":"\#(subject)"}}"#,
            contentHash: "EXAMPLE")
        let outcome = try await database.accounts.link(
            NewLink(
                userID: try #require(UserID(user)), provider: provider, subject: subject, credential: credential,
                profile: profile, nextSyncAt: time.now() + .seconds(3600)))
        guard case .linked(let account, _) = outcome else { throw StoreError.inconsistent("not linked: \(outcome)") }
        return account.id
    }

    func account(_ id: AccountID) async throws -> LinkedAccount { try #require(await database.accounts.account(id)) }

    func stored(_ id: AccountID) async throws -> StoredCredential {
        try #require(await database.credentials.read(id))
    }

    /// An access token that ends `lifetime` after now, which may be negative.
    func credential(
        access: String = "EXAMPLE-access-1", refresh: String? = "EXAMPLE-refresh-1", lifetime: Duration? = .seconds(-1),
        refreshLifetime: Duration? = nil, scopes: [String] = ["profile"]
    ) -> Credential {
        let now = time.now()
        return Credential(
            accessToken: Secret(access), expiresAt: lifetime.map { now + $0 }, refreshToken: refresh.map { Secret($0) },
            refreshTokenExpiresAt: refreshLifetime.map { now + $0 }, scopes: scopes.compactMap { Scope($0) },
            obtainedAt: now - .seconds(3600))
    }
}

/// What providers answer, by the end of the path; the newest rule for a path counts.
final class ScriptedSite: Sendable {
    typealias Reply = @Sendable (TransferRequest) async -> ScriptedTransport.Answer

    private struct State {
        var rules: [(suffix: String, reply: Reply)] = []
        var tokensIssued = 1
    }

    private let state = Mutex(State())

    func on(_ suffix: String, _ reply: @escaping Reply) { state.withLock { $0.rules.append((suffix, reply)) } }

    func on(_ suffix: String, _ status: Int, _ fields: HeaderFields = [:], _ body: String = "{}") {
        on(suffix) { _ in .json(status, fields, body) }
    }

    func fail(_ suffix: String, _ error: TransferError) { on(suffix) { _ in .failure(error) } }

    func answer(_ request: TransferRequest) async -> ScriptedTransport.Answer {
        let path = String(request.url.prefix { $0 != "?" })
        let reply = state.withLock { $0.rules.last { path.hasSuffix($0.suffix) }?.reply }
        if let reply { return await reply(request) }
        if path.hasSuffix("/token") { return nextTokens() }
        return .failure(.connectionFailed(host: "unscripted"))
    }

    /// `EXAMPLE-access-2` with `EXAMPLE-refresh-2`, then 3, and so on.
    func nextTokens(lifetime: Int = 3600) -> ScriptedTransport.Answer {
        let number = state.withLock { state in
            state.tokensIssued += 1
            return state.tokensIssued
        }
        return .json(
            200,
            body:
                #"{"access_token":"EXAMPLE-access-\#(number)","token_type":"bearer","expires_in":\#(lifetime),"refresh_token":"EXAMPLE-refresh-\#(number)","scope":"profile"}"#
        )
    }
}

extension Result where Success == TransferResponse, Failure == TransferError {
    static func json(_ status: Int, _ fields: HeaderFields = [:], body: String) -> Self {
        .json(status, fields, body)
    }

    static func json(_ status: Int, _ fields: HeaderFields, _ body: String) -> Self {
        var fields = fields
        if fields["content-type"] == nil { fields["Content-Type"] = "application/json" }
        return .success(TransferResponse(status: status, fields: fields, body: Array(body.utf8)))
    }
}

extension TransferRequest {
    /// The parameters of a form body, or of the query where there is none.
    var form: [String: String] {
        let text = body.map { String(decoding: $0.bytes, as: UTF8.self) } ?? String(url.drop { $0 != "?" }.dropFirst())
        return parameters(text)
    }
}

/// Form-encoded pairs; names stand once.
func parameters(_ text: String) -> [String: String] {
    var values: [String: String] = [:]
    for pair in text.split(separator: "&") {
        let sides = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map {
            $0.replacing("+", with: " ").removingPercentEncoding ?? ""
        }
        if sides.count == 2 { values[sides[0]] = sides[1] }
    }
    return values
}

extension Secret {
    var text: String { reveal { $0 } }
}

/// What happened, in order.
final class Record<Value: Sendable>: Sendable {
    private let state = Mutex<[Value]>([])

    var values: [Value] { state.withLock { $0 } }
    func append(_ value: Value) { state.withLock { $0.append(value) } }
}

enum Manifests {
    static let usual = ["alpha": alpha, "beta": beta]

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
    /// As alpha, with refresh tokens that stay.
    static let beta = alpha.replacing("alpha", with: "beta").replacing("Alpha", with: "Beta")
        .replacing("single_use", with: "reusable")

    static func instance(_ id: String) -> InstanceConfiguration {
        InstanceConfiguration(id: id, clientID: "EXAMPLE-\(id)", clientSecret: Secret("EXAMPLE-secret"))
    }

    static let oidc = InstanceConfiguration(
        id: "gamma", manifest: "oidc", variables: ["issuer": "https://op.example"], clientID: "client-123.example",
        clientSecret: Secret("EXAMPLE-secret"))

    static let instances = [instance("alpha"), instance("beta"), oidc]
}
