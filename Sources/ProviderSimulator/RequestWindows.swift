/// Counts requests in fixed windows that begin with the first request, by key.
struct RequestWindows: Sendable {
    struct Use: Sendable {
        var limit: Int
        var used: Int
        /// Milliseconds since 1970.
        var resetsAt: Int64
        var isExceeded: Bool
        var remaining: Int { max(0, limit - used) }
    }

    private var windows: [String: (startedAt: Int64, used: Int)] = [:]

    /// Counts one request under `key`, unless that would exceed the limit.
    mutating func take(_ key: String, _ limit: SimulatedLimit, now: Int64) -> Use {
        var use = look(key, limit, now: now)
        if use.used >= limit.count {
            use.isExceeded = true
            return use
        }
        use.used += 1
        if windows.count > 200_000 { windows = windows.filter { now - $0.value.startedAt < 3_600_000 } }
        windows[key] = (use.resetsAt - Int64(limit.seconds) * 1000, use.used)
        return use
    }

    /// Takes back the last `take`: a request that turned out not to count.
    mutating func giveBack(_ key: String) {
        if let used = windows[key]?.used, used > 0 { windows[key]?.used = used - 1 }
    }

    func look(_ key: String, _ limit: SimulatedLimit, now: Int64) -> Use {
        let length = Int64(limit.seconds) * 1000
        guard let window = windows[key], now - window.startedAt < length, now >= window.startedAt else {
            return Use(limit: limit.count, used: 0, resetsAt: now + length, isExceeded: false)
        }
        return Use(limit: limit.count, used: window.used, resetsAt: window.startedAt + length, isExceeded: false)
    }
}
