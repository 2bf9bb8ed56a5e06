import Accounts
import Hummingbird
import JSON
import Linking
import Sync

/// For operators: how syncing goes.
struct SyncRoutes: Sendable {
    let overview: SyncOverview

    /// GET /v1/sync
    func show(_ call: APIRequest) async throws -> Response {
        var query = try QueryReader(call.http)
        try query.finish()
        return .json(.list(try await overview.lines().map(Self.output), next: nil))
    }

    private static func output(_ line: SyncOverview.Line) -> JSONOutput {
        var members: [(String, JSONOutput)] = [
            ("provider", .string(line.provider.rawValue)),
            (
                "accounts",
                .object(AccountStatus.allCases.map { ($0.rawValue, .count(line.accounts[$0, default: 0])) })
            ), ("due_now", .count(line.dueNow)), ("oldest_due_at", .time(line.oldestDueAt)),
            ("budget_per_minute", .number(line.budget.map { $0 * 60 })),
            ("planned_per_minute", .number(line.planned.map { $0 * 60 })), ("price", .number(line.price)),
            ("freshness", .number(line.freshness)),
            ("maximum_age_is_payable", .value(.bool(!line.promiseIsUnpayable))),
            ("paused_until", .time(line.pausedUntil)), ("pause_reason", .string(line.pauseReason)),
        ]
        if let traffic = line.traffic {
            let minute = traffic.lastMinute
            members += [
                ("requests_last_minute", .count(minute.requests)), ("failures_last_minute", .count(minute.failures)),
                ("limited_last_minute", .count(minute.limited)),
                ("invalid_requests", .count(traffic.invalidRequests)),
                ("requests_under_way", .count(traffic.underWay)), ("concurrency", .count(traffic.concurrency)),
                ("circuit", circuit(traffic.circuit)),
            ]
        }
        return .object(members)
    }

    private static func circuit(_ circuit: RequestTraffic.Circuit) -> JSONOutput {
        switch circuit {
        case .closed: .object([("state", .string("closed"))])
        case .halfOpen: .object([("state", .string("half_open"))])
        case .open(let until): .object([("state", .string("open")), ("until", .time(until))])
        }
    }
}

extension JSONOutput {
    fileprivate static func count(_ count: Int) -> JSONOutput { .value(.number(JSONNumber(count))) }

    /// What is estimated has no more than four digits.
    fileprivate static func number(_ number: Double?) -> JSONOutput {
        .value(number.flatMap { JSONNumber($0, digits: 4) }.map { .number($0) } ?? .null)
    }
}
