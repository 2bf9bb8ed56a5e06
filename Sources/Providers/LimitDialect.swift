package import Accounts
import JSON
import JSONPath
package import Transfer

/// How a provider announces its limits. `Retry-After` is understood in each.
package enum LimitDialect: Sendable {
    /// The `RateLimit` fields of the IETF drafts: structured, combined and one by one.
    case ietf
    /// `x-ratelimit-*` with the reset as epoch seconds; 403 as well as 429; primary and secondary limits.
    case github
    /// `X-RateLimit-*` with `Reset-After` and `Scope`; fractions; the time in the body, too.
    case discord
    /// `Retry-After` (RFC 9110 §10.2.3) alone.
    case retryAfter
    case table(HeaderTable)
}

/// A provider's own announcement, as names and units.
package struct HeaderTable: Sendable {
    struct Marker: Sendable {
        var path: JSONPath
        var reach: LimitSignal.Reach?
    }

    struct Wait: Sendable {
        var field: String?
        var path: JSONPath?
        var unit: WaitUnit
    }

    struct Usage: Sendable {
        var limit: String
        var used: String
        var windows: [Duration]
    }

    var statuses: [Int] = []
    var statusesWhenSpent: [Int] = []
    var markers: [Marker] = []
    var remaining: [String] = []
    var waits: [Wait] = []
    var usage: Usage?
    var backoff: Duration = LimitSignal.waitDefault
    var reach: LimitSignal.Reach = .everyone
}

/// What a response says of limits, before it is bounded.
struct Announcement {
    var reach: LimitSignal.Reach
    /// Each that was said; the latest counts.
    var instants: [Timestamp?]
    var backoff: Duration = LimitSignal.waitDefault
    var isShared = false
}

extension Provider {
    /// What the response says of limits, on any status: a refusal for a limit, or a success that used up what there was.
    /// `nil` where requests may go on.
    package func limitSignal(in response: TransferResponse, now: Timestamp) -> LimitSignal? {
        limits.signal(in: response, now: now)
    }
}

extension ProviderLimits {
    func signal(in response: TransferResponse, now: Timestamp) -> LimitSignal? {
        guard let announcement = dialect.announcement(in: response, now: now) else { return nil }
        let said = announcement.instants.compactMap { $0 }.filter { $0 > now }.max()
        let until = said ?? now + announcement.backoff
        let latest = now + LimitSignal.waitMax
        return LimitSignal(
            reach: announcement.reach, until: min(until, latest), isClamped: until > latest,
            countsAsInvalidRequest: !announcement.isShared
                && invalidRequests?.statuses.contains(response.status) == true)
    }
}

extension LimitDialect {
    private var rewritesRetryAfter: Bool {
        guard case .table(let table) = self else { return false }
        return table.waits.contains { $0.field?.lowercased() == "retry-after" }
    }

    func announcement(in response: TransferResponse, now: Timestamp) -> Announcement? {
        let fields = response.fields
        // A table may say how it is written here.
        let retryAfter =
            rewritesRetryAfter
            ? nil
            : fields["retry-after"].flatMap { WaitUnit.retryAfter($0, now: now) }.flatMap {
                $0 > now ? $0 : nil
            }
        let said: Announcement? =
            switch self {
            case .ietf: IETFLimit.announcement(response, retryAfter: retryAfter, now: now)
            case .github: GitHubLimit.announcement(response, retryAfter: retryAfter, now: now)
            case .discord: DiscordLimit.announcement(response, retryAfter: retryAfter, now: now)
            case .retryAfter: nil
            case .table(let table): table.announcement(response, retryAfter: retryAfter, now: now)
            }
        if let said { return said }
        // Too many requests is a limit in every dialect, and a server that is down may say until when.
        if response.status == 429 { return Announcement(reach: .everyone, instants: [retryAfter]) }
        if response.status == 503, let retryAfter { return Announcement(reach: .everyone, instants: [retryAfter]) }
        return nil
    }
}

/// draft-ietf-httpapi-ratelimit-headers. Times are seconds from now.
enum IETFLimit {
    static func announcement(_ response: TransferResponse, retryAfter: Timestamp?, now: Timestamp) -> Announcement? {
        let isRefused = response.status == 429
        let spent = resets(in: response.fields, now: now)
        guard isRefused || !spent.isEmpty && response.status < 400 else { return nil }
        // The server's own word on this refusal comes first; the fields describe windows that may not be the cause.
        return Announcement(reach: .everyone, instants: retryAfter.map { [$0] } ?? spent)
    }

    /// When each window of which nothing remains is over.
    private static func resets(in fields: HeaderFields, now: Timestamp) -> [Timestamp?] {
        var resets: [Timestamp?] = []
        if fields["ratelimit-remaining"].map(isZero) == true {
            resets.append(fields["ratelimit-reset"].flatMap { WaitUnit.seconds.instant($0, now: now) })
        }
        // `"default";r=0;t=30` is a list of items with parameters; `limit=10, remaining=0, reset=30` one dictionary.
        for field in fields.values("ratelimit") {
            if field.contains(";") {
                for item in field.split(separator: ",") {
                    let parameters = pairs(item.split(separator: ";").dropFirst())
                    guard parameters["r"].map(isZero) == true else { continue }
                    resets.append(parameters["t"].flatMap { WaitUnit.seconds.instant($0, now: now) })
                }
            } else {
                let members = pairs(field.split(separator: ",")[...])
                guard members["remaining"].map(isZero) == true else { continue }
                resets.append(members["reset"].flatMap { WaitUnit.seconds.instant($0, now: now) })
            }
        }
        return resets
    }

    private static func pairs(_ parts: ArraySlice<Substring>) -> [String: String] {
        var pairs: [String: String] = [:]
        for part in parts {
            let sides = part.split(separator: "=", maxSplits: 1)
            guard sides.count == 2 else { continue }
            pairs[sides[0].trimmed.lowercased()] = sides[1].trimmed
        }
        return pairs
    }

    private static func isZero(_ text: String) -> Bool { WaitUnit.number(text) == 0 }
}

/// GitHub: <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>.
enum GitHubLimit {
    static func announcement(_ response: TransferResponse, retryAfter: Timestamp?, now: Timestamp) -> Announcement? {
        let fields = response.fields
        let isSpent = fields["x-ratelimit-remaining"].flatMap(WaitUnit.number) == 0
        let reset = fields["x-ratelimit-reset"].flatMap { WaitUnit.epochSeconds.instant($0, now: now) }
        if response.status < 400 { return isSpent ? Announcement(reach: .token, instants: [reset]) : nil }
        // No other refusal is a limit; the fields of a 401 are those of the address, not of the token's user.
        guard response.status == 403 || response.status == 429 else { return nil }

        // Secondary limits concern the client: concurrency, points a minute, content made.
        let isSecondary = response.json?["message"]?.string?.lowercased().contains("secondary rate limit") == true
        if isSecondary { return Announcement(reach: .everyone, instants: [retryAfter]) }
        // The primary limit is the user's, over all applications.
        if isSpent { return Announcement(reach: .token, instants: [retryAfter, reset]) }
        guard retryAfter != nil || response.status == 429 else { return nil }
        return Announcement(reach: .everyone, instants: [retryAfter])
    }
}

/// Discord: <https://discord.com/developers/docs/topics/rate-limits>.
enum DiscordLimit {
    static func announcement(_ response: TransferResponse, retryAfter: Timestamp?, now: Timestamp) -> Announcement? {
        let fields = response.fields
        let resetAfter = fields["x-ratelimit-reset-after"].flatMap { WaitUnit.seconds.instant($0, now: now) }
        let reset = resetAfter ?? fields["x-ratelimit-reset"].flatMap { WaitUnit.epochSeconds.instant($0, now: now) }
        guard response.status == 429 else {
            let isSpent = fields["x-ratelimit-remaining"].flatMap(WaitUnit.number) == 0
            return isSpent && response.status < 400 ? Announcement(reach: .token, instants: [reset]) : nil
        }
        let body = response.json
        let inBody = body?["retry_after"]?.number.flatMap { WaitUnit.seconds.instant($0.text, now: now) }
        let scope = fields["x-ratelimit-scope"]
        let isGlobal = scope == "global" || fields["x-ratelimit-global"] == "true" || body?["global"]?.bool == true
        let reach: LimitSignal.Reach =
            switch scope {
            case _ where isGlobal: .everyone
            case "user": .token
            // The resource is busy for all of us, whoever asks.
            case "shared": .route
            // No word of a bucket: the ban at the edge, which is the address's.
            default: fields["x-ratelimit-bucket"] == nil ? .everyone : .token
            }
        return Announcement(
            reach: reach, instants: [inBody, retryAfter, isGlobal ? nil : reset], isShared: scope == "shared")
    }
}

extension HeaderTable {
    func announcement(_ response: TransferResponse, retryAfter: Timestamp?, now: Timestamp) -> Announcement? {
        let isSpent = remaining.contains { response.fields[$0].flatMap(WaitUnit.number) == 0 }
        // A profile that is as it should be is not read a second time for nothing.
        let isRead = response.status >= 400 ? !markers.isEmpty || waits.contains { $0.path != nil } : false
        let refusal = isRead ? response.json : nil
        let marker = refusal.flatMap { body in markers.first { !$0.path.values(in: body).isEmpty } }
        let usedUp = usage.map { $0.resets(in: response.fields, now: now) } ?? []
        let isRefused =
            response.status == 429 || statuses.contains(response.status) || marker != nil
            || statusesWhenSpent.contains(response.status) && (isSpent || !usedUp.isEmpty)
        guard isRefused || response.status < 400 && (isSpent || !usedUp.isEmpty) else { return nil }

        let body = response.status >= 400 ? refusal : waits.contains { $0.path != nil } ? response.json : nil
        var instants: [Timestamp?] = usedUp + [retryAfter]
        for wait in waits {
            if let field = wait.field, isRefused || isSpent {
                instants.append(response.fields[field].flatMap { wait.unit.instant($0, now: now) })
            }
            for value in body.flatMap({ body in wait.path?.values(in: body) }) ?? [] {
                guard let text = value.string ?? value.number?.text else { continue }
                instants.append(wait.unit.instant(text, now: now))
            }
        }
        return Announcement(reach: marker?.reach ?? reach, instants: instants, backoff: backoff)
    }
}

extension HeaderTable.Usage {
    /// The end of each window that is used up: windows begin at multiples of their length.
    fileprivate func resets(in fields: HeaderFields, now: Timestamp) -> [Timestamp?] {
        func numbers(_ name: String) -> [Double?] {
            fields[name]?.split(separator: ",", omittingEmptySubsequences: false).map { WaitUnit.number($0.trimmed) }
                ?? []
        }
        return zip(zip(numbers(limit), numbers(used)), windows).compactMap { pair, window in
            guard let limit = pair.0, let used = pair.1, used >= limit else { return nil }
            let length = max(window.wholeMilliseconds, 1)
            return Timestamp(millisecondsSinceEpoch: (now.millisecondsSinceEpoch / length + 1) * length)
        }
    }
}

extension TransferResponse {
    /// The body where it is JSON, whatever it is labelled as: error pages are labelled anyhow.
    var json: JSONValue? {
        guard let first = body.first(where: { $0 != 0x20 && $0 != 0x0a && $0 != 0x0d && $0 != 0x09 }),
            first == 0x7b || first == 0x5b
        else { return nil }
        // Not JSON after all: then it says nothing.
        return try? JSONValue(parsing: body)
    }
}

extension StringProtocol {
    var trimmed: String {
        var text = Substring(self)
        while let first = text.first, first == " " || first == "\t" { text.removeFirst() }
        while let last = text.last, last == " " || last == "\t" { text.removeLast() }
        return String(text)
    }
}
