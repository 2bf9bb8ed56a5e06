import YAML

extension ManifestReader {
    mutating func readLimits() -> ProviderLimits {
        let node = root["limits"]
        let requests = node?["requests"]
        let invalid = node?["invalid_requests"]
        return ProviderLimits(
            requests: (requests?.sequence ?? requests.map { [$0] } ?? []).compactMap { node in
                guard let per = node["per"]?.text.flatMap({ RequestLimit.Sharing(rawValue: $0) }),
                    let count = node["count"]?.int, let window = node["window"]?.time
                else { return nil }
                return RequestLimit(per: per, count: count, window: window)
            },
            concurrency: node?["concurrency"]?.int ?? 16,
            invalidRequests: invalid.flatMap { node in
                guard let count = node["count"]?.int, let window = node["window"]?.time else { return nil }
                return InvalidRequestLimit(
                    count: count, window: window, statuses: node["statuses"]?.sequence?.compactMap(\.int) ?? [])
            },
            dialect: readDialect(node?["dialect"]))
    }

    mutating func readDialect(_ node: YAMLNode?) -> LimitDialect {
        guard let node, node.mapping != nil else {
            switch node?.text {
            case "ietf": return .ietf
            case "github": return .github
            case "discord": return .discord
            default: return .retryAfter
            }
        }
        var table = HeaderTable()
        table.statuses = node["statuses"]?.sequence?.compactMap(\.int) ?? []
        table.statusesWhenSpent = node["statuses_when_spent"]?.sequence?.compactMap(\.int) ?? []
        for marker in node["markers"]?.sequence ?? [] {
            let reach = marker["reach"]?.text.flatMap { LimitSignal.Reach(rawValue: $0) }
            for path in paths(marker["path"], "limits.dialect.markers.path") {
                table.markers.append(.init(path: path, reach: reach))
            }
        }
        table.remaining = node["remaining"]?.texts.map(\.text) ?? []
        for (index, wait) in (node["waits"]?.sequence ?? []).enumerated() {
            let name = "limits.dialect.waits[\(index)]"
            let path = paths(wait["body"], "\(name).body").first
            if (wait["header"] == nil) == (wait["body"] == nil) {
                report(wait.place, "\(name): expected either header or body")
            }
            guard let unit = wait["unit"]?.text.flatMap({ WaitUnit(rawValue: $0) }) else { continue }
            table.waits.append(.init(field: wait["header"]?.text, path: path, unit: unit))
        }
        if let usage = node["usage"] {
            table.usage = .init(
                limit: usage["limit"]?.text ?? "", used: usage["used"]?.text ?? "",
                windows: usage["windows"]?.sequence?.compactMap(\.time) ?? [])
        }
        table.backoff = node["backoff"]?.time ?? LimitSignal.waitDefault
        table.reach = node["reach"]?.text.flatMap { LimitSignal.Reach(rawValue: $0) } ?? .everyone
        return .table(table)
    }
}
