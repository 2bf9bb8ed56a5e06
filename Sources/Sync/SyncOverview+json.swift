import Accounts
package import JSON
import Linking
import Store

extension SyncOverview.Line {
    /// As `GET /v1/sync` and `rollcall sync status --json` say it. What only the process that syncs can know is left out
    /// where another asks.
    package var json: JSONValue {
        var object: JSONObject = [
            "provider": .string(provider.rawValue),
            "accounts": .object(accountCounts), "due_now": .count(dueNow), "oldest_due_at": .time(oldestDueAt),
            "budget_per_minute": .number(outlook.map { $0.budget * 60 }),
            "planned_per_minute": .number(outlook.map { $0.planned * 60 }), "price": .number(outlook?.price),
            "freshness": .number(outlook?.freshness),
            "freshness_unweighted": .number(outlook?.unweightedFreshness),
            "stale_vs_fixed": .number(outlook?.staleAgainstFixed), "clamped_share": .number(outlook?.clampedShare),
            "maximum_age_is_payable": .bool(!(outlook?.promiseIsUnpayable ?? false)),
            "problems": .array(problems.map(\.json)),
            "expiring": [
                "within_7_days": .count(expiringWithin7Days), "within_30_days": .count(expiringWithin30Days),
            ],
            "paused_until": .time(pausedUntil), "pause_reason": pauseReason.map { .string($0) } ?? .null,
        ]
        if let lastHour { add(lastHour, to: &object) }
        if let traffic { add(traffic, to: &object) }
        return .object(object)
    }

    private var accountCounts: JSONObject {
        var object = JSONObject()
        for status in AccountStatus.allCases { object[status.rawValue] = .count(accounts[status, default: 0]) }
        return object
    }

    private func add(_ hour: SyncFigures.Hour, to object: inout JSONObject) {
        func share(_ count: Int) -> JSONValue { .number(hour.syncs > 0 ? Double(count) / Double(hour.syncs) : nil) }
        object["budget_used"] = .number(budgetUsed)
        object["syncs_last_hour"] = .count(hour.syncs)
        object["failed_syncs_last_hour"] = .count(hour.failed)
        object["on_demand_last_hour"] = .count(hour.onDemand)
        object["not_modified_share"] = share(hour.notModified)
        object["changed_share"] = share(hour.changed)
        object["calibration"] = .number(calibration?.bias)
        object["calibration_is_off"] = .bool(calibration?.isOff ?? false)
    }

    private func add(_ traffic: RequestTraffic, to object: inout JSONObject) {
        let minute = traffic.lastMinute
        object["requests_last_minute"] = .count(minute.requests)
        object["failures_last_minute"] = .count(minute.failures)
        object["limited_last_minute"] = .count(minute.limited)
        object["invalid_requests"] = .count(traffic.invalidRequests)
        object["requests_under_way"] = .count(traffic.underWay)
        object["concurrency"] = .count(traffic.concurrency)
        object["circuit"] =
            switch traffic.circuit {
            case .closed: ["state": "closed"]
            case .halfOpen: ["state": "half_open"]
            case .open(let until): ["state": "open", "until": .time(until)]
            }
    }
}

extension ProblemCount {
    fileprivate var json: JSONValue {
        [
            "code": .string(code.rawValue), "action": .string(code.action.rawValue), "count": .count(count),
            "since": .time(since),
        ]
    }
}

extension JSONValue {
    fileprivate static func count(_ count: Int) -> JSONValue { .number(JSONNumber(count)) }
    fileprivate static func time(_ time: Timestamp?) -> JSONValue { time.map { .string($0.rfc3339) } ?? .null }

    /// What is estimated has no more than four digits.
    fileprivate static func number(_ number: Double?) -> JSONValue {
        number.flatMap { JSONNumber($0, digits: 4) }.map { .number($0) } ?? .null
    }
}
