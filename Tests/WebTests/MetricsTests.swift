import Accounts
import JSON
import Store
import Sync
import Synchronization
import TestSupport
import Testing
import Transfer

@testable import Web

@Suite(.timeLimit(.minutes(10))) struct MetricsTests {
    private func metrics(_ service: Service, at client: RawClient? = nil) async throws -> PrometheusText {
        // What is looked up stays good for a second.
        service.time.advance(by: .seconds(2))
        let response = try await (client ?? service.client).send("GET", "/metrics")
        #expect(response.status == 200)
        #expect(response["content-type"] == "text/plain; version=0.0.4; charset=utf-8")
        #expect(response["cache-control"] == "no-store")
        return try PrometheusText(response.text)
    }

    @Test func `each figure moves when the thing happens`() async throws {
        var options = Service.Options()
        options.plans = true
        try await Service.run(options) { service in
            let alpha = ["provider": "alpha"]
            func status(_ name: String) -> [String: String] { ["provider": "alpha", "status": name] }
            let before = try await metrics(service)
            #expect(before["rollcall_accounts", status("active")] == 0)
            #expect(before.families["rollcall_provider_requests_total"] == nil)
            #expect(before["rollcall_database_up", [:]] == 1)
            #expect((before["rollcall_database_bytes", ["file": "main"]] ?? 0) >= 4096)
            #expect((before["rollcall_database_bytes", ["file": "wal"]] ?? 0) > 4096)
            let id = try await service.link(user: "42")
            let linked = try await metrics(service)
            #expect(linked["rollcall_accounts", status("active")] == 1)
            func requests(_ route: String, _ outcome: String) -> [String: String] {
                ["provider": "alpha", "route": route, "outcome": outcome]
            }
            #expect(linked["rollcall_provider_requests_total", requests("token", "ok")] == 1)
            #expect(linked["rollcall_provider_requests_total", requests("user", "ok")] == 1)
            #expect(
                linked["rollcall_provider_request_duration_seconds_count", ["provider": "alpha", "route": "user"]] == 1)
            let callback = ["method": "GET", "route": "/callback/{provider}", "status": "303"]
            #expect(linked["rollcall_http_requests_total", callback] == 1)
            #expect(linked["rollcall_accounts_due", alpha] == 0 && linked["rollcall_oldest_due_seconds", alpha] == 0)
            // A refresh, one that the provider is down for, and the circuit that opens.
            let key = try await service.fullKey()
            service.time.advance(by: .seconds(4000))
            _ = try await service.call("POST", "/v1/accounts/\(id)/access-token", key: key)
            service.time.advance(by: .seconds(4000))
            service.world.state.withLock { $0.token = (503, "{}") }
            for _ in 0..<5 { _ = try await service.call("POST", "/v1/accounts/\(id)/access-token", key: key) }
            let failing = try await metrics(service)
            func refreshes(_ outcome: String) -> Double? {
                failing["rollcall_token_refreshes_total", ["provider": "alpha", "outcome": outcome]]
            }
            #expect(refreshes("refreshed") == 1 && refreshes("failed") == 5)
            #expect(failing["rollcall_provider_requests_total", requests("token", "server_error")] == 5)
            #expect(failing["rollcall_provider_circuit", ["provider": "alpha", "state": "open"]] == 1)
            // Two days later it is due; a refresh that got no clear answer may have spent the token.
            service.time.advance(by: .seconds(2 * 86_400))
            service.world.state.withLock { $0.token = (400, #"{"error":"invalid_grant"}"#) }
            let late = try await metrics(service)
            #expect(late["rollcall_accounts_due", alpha] == 1)
            #expect((late["rollcall_oldest_due_seconds", alpha] ?? 0) > 86_400)
            _ = try await service.call("POST", "/v1/accounts/\(id)/access-token", key: key)
            let dead = try await metrics(service)
            #expect(dead["rollcall_accounts", status("needs_relink")] == 1)
            #expect(
                dead[
                    "rollcall_account_problems",
                    ["provider": "alpha", "problem": "rotation_lost", "action": "user"]] == 1)
            #expect(dead["rollcall_token_refreshes_total", ["provider": "alpha", "outcome": "relink"]] == 1)
            // A pause counts down.
            let provider = try #require(ProviderID("alpha"))
            try await service.database.schedule.pauseProvider(
                provider, until: service.time.now() + .seconds(602), reason: "it asked for a pause")
            #expect(try await metrics(service)["rollcall_provider_paused_seconds", alpha] == 600)
        }
    }

    @Test func `a refusal, a limit and an answer that never came are told apart`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            let id = try await service.link(user: "42")
            func token(_ status: Int) async throws {
                service.time.advance(by: .seconds(4000))
                service.world.state.withLock { $0.token = (status, "{}") }
                _ = try await service.call("POST", "/v1/accounts/\(id)/access-token", key: key)
            }
            try await token(429)
            try await token(418)
            service.world.state.withLock { $0.tokenFailure = .timedOut(host: "alpha.example") }
            try await token(200)
            let text = try await metrics(service)
            for outcome in ["limited", "refused", "no_answer"] {
                #expect(
                    text[
                        "rollcall_provider_requests_total",
                        ["provider": "alpha", "route": "token", "outcome": outcome]] == 1, "\(outcome)")
            }
        }
    }

    @Test func `without a key, without the names of anyone, and without a label that clients choose`() async throws {
        try await Service.run { service in
            let id = try await service.link(user: "alice@example.com", login: "octo-cat")
            let key = try await service.fullKey()
            _ = try await service.call("GET", "/v1/accounts/\(id)", key: key)
            _ = try await service.call("GET", "/v1/accounts/acc_nobody?access_token=EXAMPLE-access", key: key)
            for method in ["BREW", "PROPFIND", "DELETE"] {
                _ = try await service.client.send(method, "/EXAMPLE-path")
            }
            _ = try await service.client.send("GET", "/v1/\(key)")
            let text = try await service.client.send("GET", "/metrics").text
            _ = try PrometheusText(text)
            for secret in ["EXAMPLE", id.rawValue, "alice", "octo", key, "BREW", "PROPFIND", "127.0.0.1"] {
                #expect(!text.contains(secret), "\(secret)")
            }
            #expect(try await service.client.send("HEAD", "/metrics").text.isEmpty)
        }
    }

    @Test func `an operator's own port has the metrics, and the public one has them no more`() async throws {
        var options = Service.Options()
        options.hasOperatorPort = true
        try await Service.run(options) { service in
            let operators = try #require(service.operators)
            #expect(try await service.client.send("GET", "/metrics").status == 404)
            _ = try await metrics(service, at: operators)
            for path in ["/healthz", "/readyz"] {
                #expect(try await operators.send("GET", path).status == 200)
                #expect(try await service.client.send("GET", path).status == 200)
            }
            // Nothing else is there, whatever key one has.
            let key = try await service.fullKey()
            for path in ["/v1/accounts", "/v1/sync", "/openapi.json", "/link/x"] {
                let answer = try await operators.send("GET", path, [("Authorization", "Bearer \(key)")])
                #expect(answer.status == 404, "\(path)")
            }
            #expect(try await operators.send("POST", "/metrics").status == 405)
        }
    }

    @Test func `a database that does not answer leaves the rest`() async throws {
        try await Service.run { service in
            _ = try await service.link(user: "42")
            _ = try await metrics(service)
            service.database.close()
            let text = try await metrics(service)
            #expect(text["rollcall_database_up", [:]] == 0)
            // Nothing old is passed off as new.
            #expect(text.families["rollcall_accounts"] == nil)
            #expect((text["process_resident_memory_bytes", [:]] ?? 0) > 0)
            #expect(text.families["rollcall_provider_requests_total"] != nil)
        }
    }
}
