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
            // One interval for all: there is no price.
            #expect(alpha["price"] == .null && alpha["budget_per_minute"] == .null)
            #expect(try await service.call("GET", "/v1/sync?x=1", key: service.key(.admin)).status == 400)
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
