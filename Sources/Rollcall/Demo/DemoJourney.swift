import Accounts
import Foundation
import JSON
import ProviderSimulator
import Transfer

/// `rollcall demo --once`: everything a user, an application and an operator would do, each step checked and printed
/// as it happens.
struct DemoJourney {
    let providers: [DemoProvider]
    let baseURL: String
    let apiKey: Secret
    let simulator: ProviderSimulator
    let transport: any Transport
    let say: @Sendable (String) -> Void

    struct Failure: Error, CustomStringConvertible { var description: String }

    struct Answer {
        var status: Int
        var fields: HeaderFields
        var body: JSONValue?
    }

    func run() async throws {
        var accounts: [String: String] = [:]
        for provider in providers { accounts[provider.id] = try await link(provider.id) }
        try await read(accounts)
        try await seeAChange(accounts)
        try await refresh(accounts)
        try await unlink(accounts)
    }

    func link(_ provider: String) async throws -> String {
        let (browser, consent, _) = try await begin(provider)
        return try await allow(provider, consent, in: browser)
    }

    /// As far as the provider's consent page. `url` is the link session's.
    func begin(_ provider: String) async throws -> (browser: DemoBrowser, consent: DemoBrowser.Page, url: String) {
        let made = try await call(
            .post, "/v1/link-sessions",
            body: [
                "user_id": "ada", "user_label": "ada@example.com", "provider": .string(provider),
                "return_to": .string(baseURL + "/done"),
            ])
        try expect(made.status == 201, "\(provider): a link session for the user 'ada'")
        let url = try text(made.body, "url")
        var browser = DemoBrowser(transport: transport)
        let confirmation = try await browser.open(url)
        try expect(
            confirmation.html.contains("ada@example.com"),
            "\(provider): the page names the user: “\(confirmation.heading)”")
        let consent = try await browser.submit(confirmation)
        try expect(
            consent.html.lowercased().contains("simulat"),
            "\(provider): the provider asks for consent: “\(consent.heading)”")
        return (browser, consent, url)
    }

    /// Returns the account.
    func allow(
        _ provider: String, _ consent: DemoBrowser.Page, in browser: DemoBrowser
    ) async throws -> String {
        var browser = browser
        var done = try await browser.submit(
            consent, formHolding: "decision", fields: [("decision", "allow")], stoppingAt: baseURL + "/done")
        // An answer that comes as a form sends itself in a browser with scripts.
        if done.html.contains("Simulated answer") {
            done = try await browser.submit(done, stoppingAt: baseURL + "/done")
        }
        let parameters = URLComponents(string: done.url)?.queryItems ?? []
        func value(_ name: String) -> String? { parameters.first { $0.name == name }?.value }
        try expect(value("status") == "linked", "\(provider): linked (\(value("error") ?? "no error"))")
        guard let account = value("account_id") else { throw Failure(description: "no account_id came back") }
        return account
    }

    func read(_ accounts: [String: String]) async throws {
        let listed = try await call(.get, "/v1/users/ada/accounts")
        try expect(
            listed.body?["data"]?.array?.count == accounts.count,
            "GET /v1/users/ada/accounts: \(accounts.count == 1 ? "the account" : "\(accounts.count) accounts")")
        for (provider, account) in accounts.sorted(by: { $0.key < $1.key }) {
            let profile = try await call(.get, "/v1/accounts/\(account)/profile")
            let name =
                profile.body?["claims"]?["name"]?.string
                ?? profile.body?["claims"]?["preferred_username"]?.string
            try expect(profile.status == 200 && name != nil, "\(provider): the profile of \(name ?? "nobody")")
            let subject = try text(profile.body, "subject")
            let same = try await call(
                .get, "/v1/profiles/\(provider)/\(subject)", fields: ["if-none-match": profile.fields["etag"] ?? ""])
            try expect(same.status == 304, "\(provider): asked again with its ETag: 304, nothing new")
        }
    }

    private func seeAChange(_ accounts: [String: String]) async throws {
        for played in providers where played.tellsChanges {
            guard let account = accounts[played.id] else { continue }
            let provider = played.id
            let before = try await call(.get, "/v1/accounts/\(account)/profile")
            let unchanged = try await call(.post, "/v1/accounts/\(account)/sync", fields: ["prefer": "wait=20"])
            try expect(
                unchanged.status == 200 && unchanged.body?["version"] == before.body?["version"],
                "\(provider): a sync finds nothing new, the version stays")
            let renamed = simulator.change(site: played.site, person: try text(before.body, "subject")) { person in
                person.name = "Renamed Example"
            }
            try expect(renamed, "\(provider): the user takes another name at the provider")
            let after = try await call(.post, "/v1/accounts/\(account)/sync", fields: ["prefer": "wait=20"])
            try expect(
                after.status == 200 && after.body?["claims"]?["name"]?.string == "Renamed Example",
                "\(provider): a sync brings “Renamed Example”")
            try expect(
                (after.body?["version"]?.number?.int64 ?? 0) == (before.body?["version"]?.number?.int64 ?? 0) + 1,
                "\(provider): the version moved by one")
        }
    }

    func refresh(_ accounts: [String: String]) async throws {
        for played in providers where played.refreshes {
            guard let account = accounts[played.id] else { continue }
            let provider = played.id
            let before = try await accessToken(account, of: played)
            let refreshes = simulator.counters(of: played.site).refreshes
            try simulator.inject(SimulatedFault(.expireAccessTokens), at: played.site)
            let synced = try await call(.post, "/v1/accounts/\(account)/sync", fields: ["prefer": "wait=20"])
            try expect(
                synced.status == 200, "\(provider): the access token expired, and the sync went through all the same")
            let after = try await accessToken(account, of: played)
            try expect(
                before != after || played.bindsTokens && simulator.counters(of: played.site).refreshes > refreshes,
                "\(provider): a refresh brought a new access token")
        }
    }

    /// `nil` where tokens are bound: the service says so.
    private func accessToken(_ account: String, of provider: DemoProvider) async throws -> Secret? {
        let answer = try await call(.post, "/v1/accounts/\(account)/access-token", body: [:])
        if provider.bindsTokens, answer.status == 409, answer.body?["code"]?.string == "token_bound" { return nil }
        guard answer.status == 200 else { throw Failure(description: "no access token: \(answer.status)") }
        return Secret(try text(answer.body, "access_token"))
    }

    func unlink(_ accounts: [String: String]) async throws {
        for played in providers {
            guard let account = accounts[played.id] else { continue }
            let provider = played.id
            let gone = try await call(.delete, "/v1/accounts/\(account)")
            try expect(gone.status == 204, "\(provider): unlinked")
            let profile = try await call(.get, "/v1/accounts/\(account)/profile")
            try expect(profile.status == 404, "\(provider): nothing of it is left to read")
            guard played.revokes else {
                say("\(provider): takes no token back; its tokens end by themselves")
                continue
            }
            // Nobody who unlinks waits for the provider.
            for _ in 0..<200 where liveTokens(at: played.site) > 0 { try await Task.sleep(for: .milliseconds(50)) }
            try expect(
                liveTokens(at: played.site) == 0, "\(provider): the provider was told, its tokens are no good any more")
        }
    }

    private func liveTokens(at site: SimulatedSite) -> Int {
        let counters = simulator.counters(of: site)
        return counters.accessTokens + counters.refreshTokens
    }

    func call(
        _ method: Transfer.Method, _ path: String, body: JSONValue? = nil, fields: HeaderFields = [:]
    ) async throws -> Answer {
        let authorization = apiKey.reveal {
            TransferRequest.CredentialField(name: "authorization", value: "Bearer \($0)")
        }
        let response = try await transport.send(
            TransferRequest(
                method, baseURL + path, fields: fields, credentials: [authorization],
                body: body.map { .init(contentType: "application/json", bytes: Array($0.text.utf8)) }))
        let parsed = response.body.isEmpty ? nil : try JSONValue(parsing: response.body)
        return Answer(status: response.status, fields: response.fields, body: parsed)
    }

    private func text(_ value: JSONValue?, _ name: String) throws -> String {
        guard let text = value?[name]?.string else { throw Failure(description: "an answer has no '\(name)'") }
        return text
    }

    func expect(_ condition: Bool, _ what: String) throws {
        guard condition else { throw Failure(description: "this did not hold: \(what)") }
        say(what)
    }
}
