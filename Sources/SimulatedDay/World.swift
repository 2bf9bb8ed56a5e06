import Accounts
import Synchronization
import Transfer

/// Discord as far as it announces its limits: 50 requests a second over all, buckets by route in `X-RateLimit-*`, and a ban
/// for an address with 10,000 refused requests within ten minutes. It counts exactly, by when a request arrives.
final class World: Transport {
    struct Settings: Sendable {
        var people: Int
        var seed: UInt64
        /// Of a thousand.
        var revoked = 100
        /// Milliseconds there and back.
        var latency: ClosedRange<Int> = 60...240
    }

    struct Counts: Sendable {
        var requests = 0
        var profiles = 0
        var tokens = 0
        /// Requests beyond a limit, by this world's own count.
        var exceeded = 0
        var exceededBuckets = 0
        var bans = 0
        var invalid = 0
        /// In any ten minutes.
        var invalidMost = 0
        /// In any second.
        var most = 0
        /// With tokens of a grant after this world had said that it is dead.
        var ofDeadGrants = 0
        var deadGrants = 0
        var refreshed = 0
    }

    private struct Person {
        var generation = 1
        var endsAt: Timestamp
        var isRevoked: Bool
        var isKnownDead = false
    }

    private struct Bucket {
        var beganAt = Timestamp.epoch
        var used = 0
    }

    private struct State {
        var people: [Person]
        var chance: Chance
        var counts = Counts()
        var arrivals = Recent()
        var refusals = Recent()
        var bannedUntil = Timestamp.epoch
        var tokenBucket = Bucket()
        var profileBuckets: [Int: Bucket] = [:]
    }

    static let limit = 50
    private static let limitWindow: Duration = .seconds(1)
    private static let invalidMax = 10_000
    private static let invalidWindow: Duration = .seconds(600)
    private static let tokenLifetime: Duration = .seconds(7 * 86_400)

    private let settings: Settings
    private let time: any TimeSource
    private let began: Timestamp
    private let state: Mutex<State>

    init(_ settings: Settings, time: any TimeSource) {
        self.settings = settings
        self.time = time
        let began = time.now()
        self.began = began
        var chance = Chance(seed: settings.seed)
        let people = (0..<settings.people).map { _ in
            Person(
                endsAt: began + .milliseconds(Int64(chance.uniform(in: 0...1) * 7 * 86_400_000)),
                isRevoked: chance.below(1000) < settings.revoked)
        }
        state = Mutex(State(people: people, chance: chance))
    }

    var counts: Counts { state.withLock { $0.counts } }
    var revoked: Int { state.withLock { $0.people.count { $0.isRevoked } } }

    /// What was issued to a person before the day began.
    func credential(of number: Int) -> Credential {
        let endsAt = state.withLock { $0.people[number].endsAt }
        return Credential(
            accessToken: Secret("EXAMPLE-access-\(number)-1"), expiresAt: endsAt,
            refreshToken: Secret("EXAMPLE-refresh-\(number)-1"),
            scopes: ["identify", "email"].compactMap { Scope($0) }, obtainedAt: endsAt - Self.tokenLifetime)
    }

    /// As Discord's: large numbers, times of joining in their upper bits.
    static func subject(of number: Int) -> String { String(175_928_847_299_117_063 + Int64(number) << 22) }

    func send(_ request: TransferRequest) async throws(TransferError) -> TransferResponse {
        let latency = state.withLock { state in
            settings.latency.lowerBound + state.chance.below(settings.latency.count)
        }
        do {
            try await time.sleep(for: .milliseconds(latency / 2))
            let response = state.withLock { arrive(request, &$0) }
            try await time.sleep(for: .milliseconds(latency - latency / 2))
            return response
        } catch {
            throw .cancelled
        }
    }

    // MARK: - What happens there

    private func arrive(_ request: TransferRequest, _ state: inout State) -> TransferResponse {
        let now = time.now()
        state.counts.requests += 1
        let inSecond = state.arrivals.add(now, within: Self.limitWindow)
        state.counts.most = max(state.counts.most, inSecond)
        var response: TransferResponse
        if now < state.bannedUntil {
            response = Self.refusal(429, "global", until: state.bannedUntil - now)
        } else if inSecond > Self.limit {
            state.counts.exceeded += 1
            response = Self.refusal(429, "global", until: Self.limitWindow)
        } else {
            let isToken = request.url.hasSuffix("/token")
            response = isToken ? token(request, now, &state) : profile(request, now, &state)
        }
        guard [401, 403, 429].contains(response.status) else { return response }
        state.counts.invalid += 1
        let recent = state.refusals.add(now, within: Self.invalidWindow)
        state.counts.invalidMost = max(state.counts.invalidMost, recent)
        if recent > Self.invalidMax, now >= state.bannedUntil {
            state.counts.bans += 1
            state.bannedUntil = now + .seconds(3600)
        }
        return response
    }

    /// Who asks with which generation of tokens.
    private static func bearer(_ text: Substring) -> (number: Int, generation: Int)? {
        let parts = text.split(separator: "-")
        guard parts.count == 4, let number = Int(parts[2]), let generation = Int(parts[3]) else { return nil }
        return (number, generation)
    }

    private func profile(_ request: TransferRequest, _ now: Timestamp, _ state: inout State) -> TransferResponse {
        state.counts.profiles += 1
        guard let value = request.credentials.first?.value.split(separator: " ").last,
            let (number, generation) = Self.bearer(value), state.people.indices.contains(number)
        else { return Self.json(401, #"{"message":"401: Unauthorized","code":0}"#) }
        let person = state.people[number]
        if person.isKnownDead { state.counts.ofDeadGrants += 1 }
        guard !person.isRevoked, generation == person.generation, now < person.endsAt else {
            return Self.json(401, #"{"message":"401: Unauthorized","code":0}"#)
        }
        if state.profileBuckets.count > 1000 {
            state.profileBuckets = state.profileBuckets.filter { now - $0.value.beganAt < .seconds(5) }
        }
        var bucket = state.profileBuckets[number] ?? Bucket()
        let (fields, isOver) = Self.count(&bucket, limit: 5, window: .seconds(5), now)
        state.profileBuckets[number] = bucket
        if isOver { return refused(fields, &state) }
        return Self.json(200, body(of: number, now), fields)
    }

    private func token(_ request: TransferRequest, _ now: Timestamp, _ state: inout State) -> TransferResponse {
        state.counts.tokens += 1
        let (fields, isOver) = Self.count(&state.tokenBucket, limit: 20, window: .seconds(1), now)
        if isOver { return refused(fields, &state) }
        let form = String(decoding: request.body?.bytes ?? [], as: UTF8.self)
        guard let given = form.split(separator: "&").first(where: { $0.hasPrefix("refresh_token=") })?.dropFirst(14),
            let (number, generation) = Self.bearer(given), state.people.indices.contains(number)
        else { return Self.json(400, #"{"error":"invalid_request"}"#, fields) }
        if state.people[number].isKnownDead { state.counts.ofDeadGrants += 1 }
        guard !state.people[number].isRevoked, generation == state.people[number].generation else {
            if !state.people[number].isKnownDead { state.counts.deadGrants += 1 }
            state.people[number].isKnownDead = true
            return Self.json(400, #"{"error":"invalid_grant"}"#, fields)
        }
        state.counts.refreshed += 1
        state.people[number].generation += 1
        state.people[number].endsAt = now + Self.tokenLifetime
        return Self.json(
            200,
            """
            {"token_type":"Bearer","access_token":"EXAMPLE-access-\(number)-\(generation + 1)","expires_in":604800,\
            "refresh_token":"EXAMPLE-refresh-\(number)-\(generation + 1)","scope":"identify email"}
            """, fields)
    }

    /// Names change, of some people daily and of some in a year.
    private func body(of number: Int, _ now: Timestamp) -> String {
        let days = 1 + (number &* 2_654_435_761) % 365
        let turn = Int((now - began).components.seconds) / (days * 86_400 / 8 + 1) + number
        return """
            {"id":"\(Self.subject(of: number))","username":"person_\(number)","global_name":"Person \(turn)",\
            "avatar":null,"discriminator":"0","public_flags":0,"flags":0,"banner":null,"accent_color":null,\
            "locale":"en-US","mfa_enabled":true,"premium_type":0,"email":"person\(number)@example.com","verified":true}
            """
    }

    // MARK: - Limits

    private static func count(
        _ bucket: inout Bucket, limit: Int, window: Duration, _ now: Timestamp
    ) -> (fields: HeaderFields, isOver: Bool) {
        if now - bucket.beganAt >= window { bucket = Bucket(beganAt: now) }
        bucket.used += 1
        let resetAfter = bucket.beganAt + window - now
        return (
            [
                "x-ratelimit-limit": "\(limit)", "x-ratelimit-remaining": "\(max(0, limit - bucket.used))",
                "x-ratelimit-reset-after": "\(resetAfter.secondsAsDouble)", "x-ratelimit-bucket": "example",
            ], bucket.used > limit
        )
    }

    private func refused(_ fields: HeaderFields, _ state: inout State) -> TransferResponse {
        state.counts.exceededBuckets += 1
        var fields = fields
        fields["x-ratelimit-scope"] = "user"
        fields["retry-after"] = fields["x-ratelimit-reset-after"]
        return Self.json(429, #"{"message":"You are being rate limited.","global":false}"#, fields)
    }

    private static func refusal(_ status: Int, _ scope: String, until: Duration) -> TransferResponse {
        json(
            status, #"{"message":"You are being rate limited.","global":true}"#,
            ["retry-after": "\(until.secondsAsDouble)", "x-ratelimit-scope": scope, "x-ratelimit-global": "true"])
    }

    private static func json(_ status: Int, _ body: String, _ fields: HeaderFields = [:]) -> TransferResponse {
        var fields = fields
        fields["content-type"] = "application/json"
        return TransferResponse(status: status, fields: fields, body: Array(body.utf8))
    }
}

/// Instants of the last while, in order.
private struct Recent {
    private var instants: [Timestamp] = []
    private var first = 0

    /// How many there are within `window` up to now, this one included.
    mutating func add(_ now: Timestamp, within window: Duration) -> Int {
        instants.append(now)
        while now - instants[first] >= window { first += 1 }
        if first > 20_000 {
            instants.removeFirst(first)
            first = 0
        }
        return instants.count - first
    }
}

/// A repeatable sequence (SplitMix64).
struct Chance: RandomNumberGenerator, Sendable {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &self) }
    mutating func uniform(in range: ClosedRange<Double>) -> Double { Double.random(in: range, using: &self) }
}

/// The service's chance, from the same seed each time.
final class SeededChance: RandomSource {
    private let chance: Mutex<Chance>

    init(seed: UInt64) { chance = Mutex(Chance(seed: seed)) }

    func bytes(_ count: Int) -> [UInt8] {
        chance.withLock { chance in (0..<count).map { _ in UInt8(truncatingIfNeeded: chance.next()) } }
    }
}
