import Accounts
import Foundation
import TestSupport
import Testing

@testable import Telemetry

@Suite struct ExpositionTests {
    private func alpha() throws -> ProviderID { try #require(ProviderID("alpha")) }

    @Test func `what was counted stands in the text, each family with its help and type`() throws {
        let telemetry = Telemetry()
        let alpha = try alpha()
        for _ in 0..<3 {
            telemetry.providerAnswered(alpha, route: "user", outcome: .ok, after: .milliseconds(60))
        }
        telemetry.providerAnswered(alpha, route: "user", outcome: .limited, after: .seconds(40))
        telemetry.providerAnswered(alpha, route: "token", outcome: .cancelled, after: .seconds(1))
        telemetry.synced(alpha, isChanged: true)
        telemetry.synced(alpha, isChanged: false)
        telemetry.syncFailed(alpha, .rateLimited)
        telemetry.refreshed(alpha, .relink)
        let text = try PrometheusText(telemetry.exposition())
        let requests = "rollcall_provider_requests_total"
        #expect(text.families[requests]?.type == "counter")
        #expect(text[requests, ["provider": "alpha", "route": "user", "outcome": "ok"]] == 3)
        #expect(text[requests, ["provider": "alpha", "route": "user", "outcome": "limited"]] == 1)
        #expect(text[requests, ["provider": "alpha", "route": "token", "outcome": "cancelled"]] == 1)
        let seconds = "rollcall_provider_request_duration_seconds"
        let labels = ["provider": "alpha", "route": "user"]
        func bucket(_ bound: String) -> Double? {
            text[seconds + "_bucket", labels.merging(["le": bound]) { $1 }]
        }
        #expect(bucket("0.05") == 0 && bucket("0.1") == 3 && bucket("30") == 3 && bucket("+Inf") == 4)
        #expect(text[seconds + "_count", labels] == 4)
        #expect(abs((text[seconds + "_sum", labels] ?? 0) - 40.18) < 1e-9)
        // What this program cut short says nothing of how long the provider takes.
        #expect(text[seconds + "_count", ["provider": "alpha", "route": "token"]] == nil)
        for outcome in ["updated", "unchanged", "rate_limited"] {
            #expect(text["rollcall_syncs_total", ["provider": "alpha", "outcome": outcome]] == 1)
        }
        #expect(text["rollcall_token_refreshes_total", ["provider": "alpha", "outcome": "relink"]] == 1)
    }

    @Test func `a state takes the place of the one before, and what is not known is not shown`() throws {
        let telemetry = Telemetry()
        var state = Telemetry.ProviderState(provider: try alpha())
        state.accounts = [.active: 7]
        state.problems = [.consentRevoked: 2]
        state.freshness = 0.75
        state.circuit = .open
        telemetry.set([state])
        var text = try PrometheusText(telemetry.exposition())
        let provider = ["provider": "alpha"]
        #expect(text["rollcall_accounts", ["provider": "alpha", "status": "active"]] == 7)
        #expect(text["rollcall_accounts", ["provider": "alpha", "status": "paused"]] == 0)
        let problem = ["provider": "alpha", "problem": "consent_revoked", "action": "user"]
        #expect(text["rollcall_account_problems", problem] == 2)
        #expect(text["rollcall_freshness_ratio", ["provider": "alpha", "weight": "reads"]] == 0.75)
        #expect(text["rollcall_sync_price_seconds", provider] == nil)
        for (name, value) in ["closed": 0.0, "half_open": 0, "open": 1] {
            #expect(text["rollcall_provider_circuit", ["provider": "alpha", "state": name]] == value)
        }
        state.problems = [:]
        state.freshness = nil
        state.price = 30.5
        telemetry.set([state])
        text = try PrometheusText(telemetry.exposition())
        #expect(text["rollcall_account_problems", problem] == nil)
        #expect(text.families["rollcall_freshness_ratio"] == nil)
        #expect(text["rollcall_sync_price_seconds", provider] == 30.5)
    }

    @Test func `the process tells of itself under the names that every exporter uses`() throws {
        let telemetry = Telemetry()
        let first = try PrometheusText(telemetry.exposition())
        let began = try #require(first["process_start_time_seconds", [:]])
        let now = Date().timeIntervalSince1970
        #expect(began <= now && began > now - 86_400)
        #expect((first["process_resident_memory_bytes", [:]] ?? 0) > 1_000_000)
        #expect((first["process_virtual_memory_bytes", [:]] ?? 0) >= (first["process_resident_memory_bytes", [:]] ?? 0))
        #expect((first["process_open_fds", [:]] ?? 0) >= 3)
        #expect((first["process_max_fds", [:]] ?? 0) >= (first["process_open_fds", [:]] ?? 0))
        let spent = try #require(first["process_cpu_seconds_total", [:]])
        var sum = 0.0
        while (try PrometheusText(telemetry.exposition())["process_cpu_seconds_total", [:]] ?? 0) < spent + 0.01 {
            sum += 1
        }
        #expect(spent > 0 && sum > 0)
    }

    @Test func `a request that no route took tells nothing of what the client wrote`() throws {
        let telemetry = Telemetry()
        telemetry.answered(method: "EVIL", route: nil, status: 404, after: .milliseconds(1))
        telemetry.answered(method: "GET", route: "/v1/accounts/{id}", status: 200, after: .milliseconds(1))
        let text = telemetry.exposition()
        #expect(!text.contains("EVIL"))
        let parsed = try PrometheusText(text)
        #expect(parsed["rollcall_http_requests_total", ["method": "-", "route": "-", "status": "404"]] == 1)
        #expect(
            parsed["rollcall_http_requests_total", ["method": "GET", "route": "/v1/accounts/{id}", "status": "200"]]
                == 1)
    }

    @Test func `what would break a line is escaped`() throws {
        #expect(Exposition.line("a", [("b", "c\\d\"e\nf")], 1) == "a{b=\"c\\\\d\\\"e\\nf\"} 1\n")
        #expect(Exposition.help("a\\b\nc\"d") == "a\\\\b\\nc\"d")
        #expect(Exposition.number(.infinity) == "+Inf" && Exposition.number(-.infinity) == "-Inf")
        #expect(Exposition.number(.nan) == "NaN" && Exposition.number(0.25) == "0.25" && Exposition.number(-3) == "-3")
        // Beyond what a whole number of ours holds, still a number of theirs.
        #expect(Double(Exposition.number(1e300)) == 1e300 && Double(Exposition.number(1e-300)) == 1e-300)
        for broken in [
            "a 1", "# HELP a b\n# TYPE a gauge\na 1", "# HELP a b\n# TYPE a gauge\nb 1\n",
            "# HELP a b\n# TYPE a counter\na 1\n", "# HELP a b\n# TYPE a gauge\na 1\na 1\n",
            "# HELP a b\n# TYPE a gauge\na{b=\"\\x\"} 1\n", "# HELP a b\n# TYPE a gauge\na one\n",
            "# HELP a b\n# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\n",
        ] {
            #expect(throws: PrometheusText.Broken.self, "\(broken)") { try PrometheusText(broken) }
        }
    }

    @Test func `names follow the conventions and stand once`() {
        #expect(Set(MetricFamily.all.map(\.name)).count == MetricFamily.all.count)
        for family in MetricFamily.all {
            #expect(family.name.wholeMatch(of: /(rollcall|process)_[a-z_]+/) != nil)
            #expect((family.kind == .counter) == family.name.hasSuffix("_total"), "\(family.name)")
            #expect(family.help.hasSuffix(".") && !family.help.contains("\n"))
            #expect(!family.labels.contains { ["account", "user", "url", "le"].contains($0) })
            if case .histogram(let bounds) = family.kind { #expect(bounds == bounds.sorted() && bounds.count > 5) }
        }
    }

    /// What a person reads of the names is what the program says of them.
    @Test func `docs/metrics.md lists every name as it is`() throws {
        let file = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "docs/metrics.md")
        let document = try String(contentsOf: file, encoding: .utf8)
        let rows = document.split(separator: "\n").filter { $0.hasPrefix("| `") }.map(String.init)
        #expect(rows == MetricFamily.all.map(Self.row), "\(MetricFamily.all.map(Self.row).joined(separator: "\n"))")
    }

    private static func row(_ family: MetricFamily) -> String {
        let kind =
            switch family.kind {
            case .counter: "counter"
            case .gauge: "gauge"
            case .histogram: "histogram"
            }
        let labels = family.labels.map { "`\($0)`" }.joined(separator: ", ")
        return "| `\(family.name)` | \(kind) | \(labels) | \(family.help) |"
    }
}
