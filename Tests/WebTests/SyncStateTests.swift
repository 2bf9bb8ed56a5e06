import Accounts
import JSON
import Store
import Synchronization
import TestSupport
import Testing
import Transfer

@testable import Web

@Suite(.timeLimit(.minutes(10))) struct SyncStateTests {
    @Test func `tells operators alone how syncing goes, provider by provider`() async throws {
        try await Service.run { service in
            let id = try await service.link(user: "42")
            service.time.advance(by: .seconds(2 * 86_400))
            let other = try await service.call("GET", "/v1/sync", key: try await service.key(.accountsRead))
            #expect(other.status == 403)
            let response = try await service.call("GET", "/v1/sync", key: try await service.key(.admin))
            #expect(response.status == 200)
            let lines = try #require(try response.json()["data"]?.array)
            let alpha = try #require(lines.first { $0["provider"] == "alpha" })
            #expect(alpha["accounts"]?["active"] == 1 && alpha["accounts"]?["needs_relink"] == 0)
            #expect(alpha["due_now"] == 1)
            #expect(
                alpha["oldest_due_at"]?.string
                    == (try await service.database.accounts.account(id))?.nextSyncAt?.rfc3339)
            #expect(alpha["circuit"]?["state"] == "closed")
            #expect(alpha["paused_until"] == .null)
            #expect(alpha["problems"] == [])
            // Of this process's syncs: there was none.
            #expect(alpha["syncs_last_hour"] == 0 && alpha["changed_share"] == .null)
            #expect(alpha["calibration"] == .null && alpha["calibration_is_off"] == false)
            // One interval for all: there is no price.
            #expect(alpha["price"] == .null && alpha["budget_per_minute"] == .null)
            #expect(try await service.call("GET", "/v1/sync?x=1", key: service.key(.admin)).status == 400)
        }
    }

    @Test func `groups what stands in the way by its code, with who has to act and since when`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            var since: [Timestamp] = []
            for user in 1...3 {
                let id = try await service.link(user: "\(user)", subject: user)
                service.time.advance(by: .seconds(60))
                since.append(service.time.now())
                let code: AccountProblem.Code = user == 2 ? .clientRefused : .consentRevoked
                if user == 2 {
                    let claim = try #require(
                        try await service.database.schedule.claim(id, owner: "test", lease: .seconds(60)))
                    _ = try await service.database.schedule.record(
                        SyncResult(
                            content: .failed, at: service.time.now(), nextSyncAt: service.time.now() + .seconds(600),
                            problem: AccountProblem(code: code, since: service.time.now(), detail: "EXAMPLE")),
                        for: claim)
                } else {
                    _ = try await service.database.accounts.markNeedsRelink(
                        id, generation: 1, code: code, detail: "EXAMPLE")
                }
            }
            let response = try await service.call("GET", "/v1/sync", key: key)
            let lines = try #require(try response.json()["data"]?.array)
            let alpha = try #require(lines.first { $0["provider"] == "alpha" })
            #expect(
                alpha["problems"] == [
                    [
                        "code": "consent_revoked", "action": "user", "count": 2, "since": .string(since[0].rfc3339),
                    ],
                    [
                        "code": "client_refused", "action": "operator", "count": 1,
                        "since": .string(since[1].rfc3339),
                    ],
                ])
            // What is said of one provider is said of it alone.
            let beta = try #require(lines.first { $0["provider"] == "beta" })
            #expect(beta["problems"] == [])
        }
    }

    @Test func `shows what planning is worth, as the description has it`() async throws {
        var options = Service.Options()
        options.plans = true
        try await Service.run(options) { service in
            _ = try await service.link(user: "42")
            let response = try await service.call("GET", "/v1/sync", key: try await service.key(.admin))
            let alpha = try #require(try response.json()["data"]?.array?.first { $0["provider"] == "alpha" })
            #expect(alpha["price"]?.number != nil && alpha["budget_per_minute"]?.number != nil)
            #expect(alpha["budget_used"] == 0)
            let document = try JSONValue(parsing: Pages().openAPI)
            let schema = document["components"]?["schemas"]?["SyncState"]
            let described = try #require(schema?["properties"]?.object?.names)
            #expect(Set(alpha.object?.names ?? []) == Set(described))
            let required = try #require(schema?["required"]?.array)
            #expect(Set(required.compactMap(\.string)).isSubset(of: described))
        }
    }

    @Test func `shows requests, failures, and a circuit that is open`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            let id = try await service.link(user: "42")
            service.time.advance(by: .seconds(4000))
            service.world.state.withLock { $0.token = (503, "{}") }
            for _ in 0..<5 { _ = try await service.call("POST", "/v1/accounts/\(id)/access-token", key: key) }
            func alpha() async throws -> JSONValue {
                let response = try await service.call("GET", "/v1/sync", key: key)
                return try #require(try response.json()["data"]?.array?.first { $0["provider"] == "alpha" })
            }
            let open = try await alpha()
            #expect(open["requests_last_minute"] == 5 && open["failures_last_minute"] == 5)
            #expect(open["circuit"]?["state"] == "open")
            #expect(
                open["circuit"]?["until"]?.string.flatMap { Timestamp(rfc3339: $0) }.map { $0 > service.time.now() }
                    == true)
            service.time.advance(by: .seconds(120))
            let later = try await alpha()
            #expect(later["requests_last_minute"] == 0 && later["circuit"]?["state"] == "half_open")
        }
    }
}
