import Accounts
import Foundation
import JSON
import Store
import Synchronization
import TestSupport
import Testing
import Transfer

@testable import Web

@Suite(.timeLimit(.minutes(10))) struct AccountTests {
    private func imported(_ count: Int, into service: Service, user: (Int) -> String = { "user-\($0 % 7)" })
        async throws
    {
        let batch = try (0..<count).map { index in
            let subject = String(1000 + index)
            return ImportedAccount(
                userID: try #require(UserID(user(index))),
                provider: try #require(ProviderID(index % 3 == 0 ? "beta" : "alpha")),
                subject: try #require(Subject(subject)),
                credential: Credential(
                    accessToken: Secret("EXAMPLE-\(index)"), scopes: [], obtainedAt: service.time.now()),
                nextSyncAt: service.time.now() + .seconds(60),
                profile: Profile(
                    subject: try #require(Subject(subject)),
                    claims:
                        #"{"sub":"\#(subject)","preferred_username":"name\#(index)","email":"E\#(index)@example.com"}"#,
                    raw: #"{"user":{"id":\#(subject)}}"#, contentHash: "h\(index)", email: "E\(index)@example.com",
                    preferredUsername: "name\(index)"))
        }
        _ = try await service.database.accounts.importAccounts(batch)
    }

    @Test func `an account shows all that the contract names`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            let id = try await service.link(user: "42")
            let response = try await service.call("GET", "/v1/accounts/\(id)", key: key)
            #expect(response.status == 200)
            #expect(response["content-type"] == "application/json")
            let account = try #require(try response.json().object)
            #expect(
                account.names == [
                    "id", "user_id", "provider", "subject", "status", "scopes", "linked_at", "synced_at", "changed_at",
                    "next_sync_at",
                ])
            #expect(account["id"]?.string == id.rawValue)
            #expect(account["user_id"] == "42")
            #expect(account["provider"] == "alpha")
            #expect(account["subject"] == "583231")
            #expect(account["status"] == "active")
            #expect(account["scopes"] == ["profile"])
            for name in ["linked_at", "synced_at", "changed_at", "next_sync_at"] {
                #expect(account[name]?.string?.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/) != nil, "\(name)")
            }
        }
    }

    @Test func `security 41: an account that was granted less than asked for says what it lacks`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            let browser = Browser(service: service)
            let state = try await browser.start(
                try await service.linkPath(#"{"user_id":"42","provider":"alpha","scopes":["email"]}"#))
            _ = try await browser.get("/callback/alpha?code=EXAMPLE&state=\(state)")
            let list = try await service.call("GET", "/v1/users/42/accounts", key: key).json()
            #expect(list["data"]?.array?.first?["scopes"] == ["profile"])
            #expect(list["data"]?.array?.first?["missing_scopes"] == ["email"])
        }
    }

    @Test func `security 99: links made in a browser and ended by a key are entered as such`() async throws {
        try await Service.run { service in
            let (key, secret) = try await service.database.apiKeys.create(
                name: "app", scopes: [.accountsWrite, .linksWrite])
            let id = try await service.link(user: "42")
            #expect(try await service.call("DELETE", "/v1/accounts/\(id)", key: secret.reveal { $0 }).status == 204)
            let entries = try await service.database.audit.entries(account: id, limit: 10)
            #expect(entries.map(\.action) == ["account.unlinked", "account.linked"])
            #expect(entries.map(\.actor.name) == [key.id.rawValue, "user"])
            #expect(entries.allSatisfy { $0.actor.origin == "127.0.0.1" })
        }
    }

    @Test func `security 14: a provider without PKCE is shown as one`() async throws {
        var options = Service.Options()
        options.manifests["beta"] = Service.beta.replacingOccurrences(
            of: "scopes: [profile]}", with: "scopes: [profile], pkce: none}")
        try await Service.run(options) { service in
            let key = try await service.key(.accountsRead)
            let list = try await service.call("GET", "/v1/providers", key: key).json()["data"]?.array
            #expect(list?.prefix(2).map { $0["pkce"]?.string } == ["S256", "none"])
            let path = try await service.linkPath(#"{"user_id":"42","provider":"beta"}"#)
            let browser = Browser(service: service)
            let csrf = try #require(try await browser.get(path).csrf)
            let query = try await browser.post(path, "csrf=\(csrf)").queryOfLocation
            #expect(query["code_challenge"] == nil && query["code_challenge_method"] == nil)
        }
    }

    @Test func `a broken account says why, since when and who has to act`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            let id = try await service.link(user: "42")
            let stored = try #require(try await service.database.credentials.read(id))
            let marked = try await service.database.accounts.markNeedsRelink(
                id, generation: stored.generation, code: .consentRevoked, detail: "The provider no longer accepts it.")
            #expect(marked)
            let account = try await service.call("GET", "/v1/accounts/\(id)", key: key).json()
            #expect(account["status"] == "needs_relink")
            #expect(account["problem"]?["code"] == "consent_revoked")
            #expect(account["problem"]?["action"] == "user")
            #expect(account["problem"]?["detail"] == "The provider no longer accepts it.")
            #expect(account["problem"]?["since"]?.string == service.time.now().rfc3339)
            #expect(account["problem"]?["next_attempt_at"] == nil)
        }
    }

    @Test func `a user's accounts come with their claims`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            let user = "team/a b?é"
            _ = try await service.link(user: user)
            let path = "/v1/users/team%2Fa%20b%3F%C3%A9/accounts"
            let list = try await service.call("GET", path, key: key).json()
            #expect(list["next"] == .null)
            #expect(list["data"]?.array?.count == 1)
            #expect(list["data"]?.array?.first?["user_id"]?.string == user)
            #expect(list["data"]?.array?.first?["claims"]?["preferred_username"] == "octocat")
            for target in ["/v1/users/nobody/accounts", "/v1/users/%ff/accounts", "/v1/users/%00/accounts"] {
                let none = try await service.call("GET", target, key: key)
                #expect(none.status == 200)
                #expect(none.text == #"{"data":[],"next":null}"#)
            }
        }
    }

    @Test(arguments: [1, 2, 7, 50, 500])
    func `walking a list shows each account once, whatever the page`(limit: Int) async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            try await imported(53, into: service)
            for base in ["/v1/accounts", "/v1/users/user-3/accounts", "/v1/accounts?provider=beta", "/v1/providers"] {
                var seen: [String] = []
                var after: String?
                repeat {
                    let query = "\(base.contains("?") ? "&" : "?")limit=\(limit)" + (after.map { "&after=\($0)" } ?? "")
                    let response = try await service.call("GET", base + query, key: key)
                    #expect(response.status == 200, "\(response.text)")
                    let page = try response.json()
                    let ids = page["data"]?.array?.compactMap { $0["id"]?.string } ?? []
                    #expect(ids.count <= limit)
                    seen += ids
                    after = page["next"]?.string
                } while after != nil && seen.count < 200
                let expected = [
                    "/v1/accounts": 53, "/v1/users/user-3/accounts": 8, "/v1/accounts?provider=beta": 18,
                    "/v1/providers": 4,
                ]
                #expect(seen.count == expected[base], "\(base)")
                #expect(Set(seen).count == seen.count, "\(base)")
            }
        }
    }

    @Test func `filters take what is asked for`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            try await imported(20, into: service)
            func count(_ query: String) async throws -> Int? {
                try await service.call("GET", "/v1/accounts?\(query)", key: key).json()["data"]?.array?.count
            }
            #expect(try await count("limit=100") == 20)
            #expect(try await count("provider=beta") == 7)
            #expect(try await count("status=active") == 20)
            #expect(try await count("status=paused") == 0)
            #expect(try await count("user_id=user-1") == 3)
            #expect(try await count("email=e3%40example.com") == 1)
            #expect(try await count("username=name7") == 1)
            #expect(try await count("username=name7&provider=beta") == 0)
            #expect(try await count("provider=nobody") == 0)
            #expect(try await count("changed_since=2000-01-01T00:00:00Z") == 20)
            #expect(try await count("changed_since=2999-01-01T01:00:00%2B01:00") == 0)
        }
    }

    @Test(arguments: [
        ("limit=0", "limit"), ("limit=501", "limit"), ("limit=x", "limit"), ("limit=-1", "limit"),
        ("limit=%2B5", "limit"),
        ("limit=05", "limit"), ("limit=", "limit"), ("limit=1&limit=2", "limit"), ("after=nonsense", "after"),
        ("after=", "after"), ("status=gone", "status"), ("provider=UP", "provider"), ("user_id=", "user_id"),
        ("email=", "email"), ("changed_since=yesterday", "changed_since"), ("nonsense=1", "nonsense"),
    ])
    func `wrong parameters are named`(query: String, name: String) async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            let response = try await service.call("GET", "/v1/accounts?\(query)", key: key)
            #expect(response.status == 400)
            let problem = try response.json()
            #expect(problem["code"] == "invalid_request")
            #expect(problem["errors"]?.array?.map { $0["pointer"]?.string } == ["/\(name)"])
            #expect(problem["errors"]?.array?.first?["in"] == "query")
        }
    }

    @Test func `the cursor of another list is told as such`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            for user in [42, 43] { _ = try await service.link(user: "\(user)", subject: user) }
            let since = "changed_since=2020-01-01T00:00:00Z&limit=1"
            let byChange = try #require(
                try await service.call("GET", "/v1/accounts?\(since)", key: key).json()["next"]?.string)
            let byID = try #require(
                try await service.call("GET", "/v1/accounts?limit=1", key: key).json()["next"]?.string)
            for target in [
                "/v1/accounts?after=\(byChange)", "/v1/accounts?\(since)&after=\(byID)",
                "/v1/users/42/accounts?after=\(byChange)",
            ] {
                let response = try await service.call("GET", target, key: key)
                #expect(response.status == 400, "\(target)")
                #expect(try response.json()["errors"]?.array?.map { $0["pointer"]?.string } == ["/after"])
            }
            #expect(try await service.call("GET", "/v1/accounts?\(since)&after=\(byChange)", key: key).status == 200)
        }
    }

    @Test func `all wrong parameters are named at once, and broken encoding as such`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            let several = try await service.call("GET", "/v1/accounts?limit=0&status=x&zzz=1", key: key).json()
            #expect(several["errors"]?.array?.count == 3)
            let broken = try await service.call("GET", "/v1/accounts?email=%zz", key: key)
            #expect(broken.status == 400)
            #expect(try broken.json()["code"] == "malformed_request")
        }
    }

    @Test(arguments: [
        "acc_00000000000000000000000000", "lks_00000000000000000000000000", "key_00000000000000000000000000", "acc_",
        "acc_0000000000000000000000000Z", "583231", "%00", "..%2F..", "acc_00000000000000000000000000%20",
        "'%20OR%201=1",
    ])
    func `security 104: ids of nothing, and of other things, are not found, all in the same way`(id: String)
        async throws
    {
        try await Service.run { service in
            let key = try await service.fullKey()
            for (method, rest) in [
                ("GET", ""), ("DELETE", ""), ("GET", "/profile"), ("POST", "/sync"), ("POST", "/access-token"),
            ] {
                let response = try await service.call(method, "/v1/accounts/\(id)\(rest)", key: key)
                #expect(response.status == 404, "\(method) \(rest)")
                let code = try response.json()["code"]?.string
                #expect(code == "account_not_found" || rest == "/profile" && code == "profile_not_found")
            }
        }
    }

    @Test func `security 71: unlinking revokes at the provider and leaves nothing`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            let id = try await service.link(user: "42")
            let response = try await service.call("DELETE", "/v1/accounts/\(id)", key: key)
            #expect(response.status == 204)
            #expect(response.body.isEmpty)
            let forms = await service.revocationForms()
            #expect(
                forms == [
                    "token=EXAMPLE-refresh&token_type_hint=refresh_token",
                    "token=EXAMPLE-access&token_type_hint=access_token",
                ])
            #expect(service.transport.requests.last?.url == "https://alpha.example/revoke")
            #expect(try await service.database.revocations.count() == 0)
            #expect(try await service.call("DELETE", "/v1/accounts/\(id)", key: key).status == 404)
            #expect(try await service.call("GET", "/v1/accounts/\(id)", key: key).status == 404)
            #expect(try await service.call("GET", "/v1/accounts/\(id)/profile", key: key).status == 404)
            #expect(try await service.call("GET", "/v1/profiles/alpha/583231", key: key).status == 404)
            #expect(try await service.call("POST", "/v1/accounts/\(id)/access-token", key: key).status == 404)
            #expect(try await service.call("GET", "/v1/users/42/accounts", key: key).json()["data"] == .array([]))
        }
    }

    @Test func `providers are shown with what they miss and without what is secret`() async throws {
        try await Service.run { service in
            let key = try await service.key(.accountsRead)
            let response = try await service.call("GET", "/v1/providers", key: key)
            let providers = try #require(try response.json()["data"]?.array)
            #expect(providers.map { $0["id"]?.string } == ["alpha", "beta", "gamma", "github"])
            #expect(providers[0]["name"] == "Alpha")
            #expect(providers[0]["missing"] == [])
            #expect(providers[0]["pkce"] == "S256")
            #expect(providers[0]["scopes"] == ["profile"])
            #expect(providers[0]["redirect_uri"] == "https://accounts.example.com/callback/alpha")
            #expect(providers[2]["manifest"] == "oidc")
            #expect(providers[3]["missing"]?.array?.contains("client_id") == true)
            #expect(!response.text.contains("EXAMPLE-secret"))
        }
    }
}
