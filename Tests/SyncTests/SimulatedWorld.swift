import Accounts
import JSON
import Synchronization
import Transfer

/// Time that moves when someone sleeps: nobody waits, and a wait is as long as it was asked to be.
final class LeapingTime: TimeSource {
    private struct State {
        var clock = Timestamp(secondsSinceEpoch: 1_795_185_773)
        /// Since the beginning, by a clock that nobody sets.
        var elapsed: Duration = .zero
    }
    private let state = Mutex(State())

    func now() -> Timestamp { state.withLock { $0.clock } }
    var elapsed: Duration { state.withLock { $0.elapsed } }

    func advance(by duration: Duration) {
        state.withLock { state in
            state.clock = state.clock + duration
            state.elapsed += duration
        }
    }

    func setClock(by duration: Duration) { state.withLock { $0.clock = $0.clock + duration } }

    func sleep(for duration: Duration) async throws {
        try Task.checkCancellation()
        let wakesAt = elapsed + duration
        await Task.yield()
        state.withLock { state in
            let rest = wakesAt - state.elapsed
            guard rest > .zero else { return }
            state.clock = state.clock + rest
            state.elapsed += rest
        }
        try Task.checkCancellation()
    }
}

/// Two providers and their users. `alpha` gives refresh tokens for single use, `beta` reusable ones. The world knows
/// what a client can't: whether a grant is revoked, and whether a rotated token ever reached anyone.
final class SimulatedWorld: Sendable {
    struct Person: Sendable {
        var subject: String
        var provider: String
        var login = "octocat"
        var bio = 0
        var accessToken: String
        var accessTokenEndsAt: Duration
        var refreshToken: String
        var isRevoked = false
        var isSuspended = false
        /// A new refresh token was issued and its answer never arrived: nobody can go on with this grant.
        var isLost = false
        var tokens = 1
        /// When, and to which process, the newest tokens were issued.
        var issuedAt: Duration = .zero
        var issuedTo = 0
        var requestsUnderWay = 0

        var body: String {
            #"{"id":"\#(subject)","login":"\#(login)","bio":"\#(bio)","visits":\#(tokens)}"#
        }
        var content: String { "\(login) \(bio)" }
        var etag: String { "\"\(login)-\(bio)\"" }
    }

    struct Faults: Sendable {
        /// Percent of requests.
        var limited = 1.5
        var broken = 3.0
        var timedOutAfter = 1.5
        var timedOutBefore = 1.5
        var torn = 1.0
        var unauthorized = 0.5
        var strangers = 0.5
        var crash = 0.0
        /// Of token requests: while one is under way its person links again.
        var relinked = 1.5
    }

    struct State: Sendable {
        var people: [String: Person] = [:]
        var generator: Generator
        var faults = Faults()
        var violations: [String] = []
        var pausedUntil: [String: Timestamp] = [:]
        /// What was said before this step: by now everyone has to know it.
        var knownPauses: [String: Timestamp] = [:]
        var requests: [String: [Duration]] = [:]
        var underWay: [String: Int] = [:]
        var stepBeganAt: Duration = .zero
        var count = 0
        /// Whose account was asked for in this step.
        var touched: Set<String> = []
        var dead: Set<Int> = []
        /// How often what went wrong did, by its name.
        var tally: [String: Int] = [:]
    }

    static let limit = (count: 12, window: Duration.seconds(60))
    static let concurrency = 3
    static let tokenLifetime = Duration.seconds(4 * 86_400)

    let time: LeapingTime
    let state: Mutex<State>
    /// What others do while a request is under way.
    let bystanders = Mutex(Bystanders())

    struct Bystanders: Sendable {
        /// A person links again.
        var link: (@Sendable (_ subject: String) async -> Void)?
        /// The access token that would be left after a crash at this moment.
        var durableToken: (@Sendable (_ subject: String) async -> Secret?)?
    }

    init(seed: UInt64, time: LeapingTime) {
        self.time = time
        state = Mutex(State(generator: Generator(seed: seed)))
    }

    private enum Fate { case served, limited, broken, timedOutBefore, timedOutAfter, torn, unauthorized, stranger }

    /// - Parameters:
    ///   - process: who asks; each start of a process has its own number.
    ///   - crash: ends that process.
    func reply(
        to request: TransferRequest, process: Int, processes: Int, crash: @Sendable () -> Void
    ) async -> Result<TransferResponse, TransferError> {
        let provider = request.url.contains("alpha") ? "alpha" : "beta"
        let isToken = request.url.hasSuffix("/token")
        let subject = Self.subject(of: request)
        let (fate, crashes) = begin(provider, subject, isToken: isToken, processes: processes)
        for _ in 0..<5 { await Task.yield() }
        defer {
            state.withLock { state in
                state.underWay[provider, default: 1] -= 1
                state.people[subject]?.requestsUnderWay -= 1
            }
        }
        func crashNow() {
            state.withLock { _ = $0.dead.insert(process) }
            crash()
        }
        if crashes == .before { crashNow() }
        if crashes == .before || fate == .timedOutBefore {
            return .failure(.connectionFailed(host: "\(provider).example"))
        }
        await look(at: request, subject, isToken: isToken, process: process)
        let relinks = isToken && state.withLock { $0.generator.chance($0.faults.relinked) }
        let relinksBefore = relinks && state.withLock { $0.generator.chance(50) }
        if relinksBefore { await relink(subject) }
        let isDelivered = crashes == nil && fate != .timedOutAfter && fate != .torn
        let response = state.withLock { state in
            answer(
                request, subject, isToken: isToken, fate: fate,
                isDelivered: isDelivered && !state.dead.contains(process), process: process, &state)
        }
        if relinks && !relinksBefore { await relink(subject) }
        if crashes == .after { crashNow() }
        if fate == .timedOutAfter || crashes == .after { return .failure(.timedOut(host: "\(provider).example")) }
        return .success(response)
    }

    private func relink(_ subject: String) async {
        guard let link = bystanders.withLock(\.link) else { return }
        state.withLock { $0.tally["linked meanwhile", default: 0] += 1 }
        await link(subject)
    }

    /// A token is durable before anyone uses it.
    private func look(at request: TransferRequest, _ subject: String, isToken: Bool, process: Int) async {
        guard !isToken, let durable = bystanders.withLock(\.durableToken),
            let given = request.credentials.first?.value, !state.withLock({ $0.dead.contains(process) })
        else { return }
        let held = await durable(subject)
        let newest = state.withLock { $0.people[subject]?.accessToken }
        // An older one may be in use while another process, or the user, has brought a newer.
        if given == "Bearer \(newest ?? "")", held != newest.map({ Secret($0) }) {
            state.withLock { $0.violations.append("\(subject): a token was used before it was durable") }
        }
    }

    private enum Crash { case before, after }

    private func begin(_ provider: String, _ subject: String, isToken: Bool, processes: Int) -> (Fate, Crash?) {
        let now = time.now()
        let elapsed = time.elapsed
        return state.withLock { state in
            state.count += 1
            state.touched.insert(subject)
            state.underWay[provider, default: 0] += 1
            state.people[subject]?.requestsUnderWay += 1
            if state.underWay[provider, default: 0] > Self.concurrency * processes {
                state.violations.append("\(state.underWay[provider] ?? 0) requests under way at \(provider)")
            }
            // A lease lasts two minutes; what took longer than that may be asked a second time.
            if state.people[subject]?.requestsUnderWay ?? 0 > 1, elapsed - state.stepBeganAt < .seconds(120) {
                state.violations.append("two requests for \(subject) at once")
            }
            if let until = state.knownPauses[provider], now < until {
                state.violations.append("a request to \(provider) in its pause until \(until)")
            }
            var recent = state.requests[provider, default: []].filter { elapsed - $0 < Self.limit.window }
            recent.append(elapsed)
            if recent.count > Self.limit.count {
                state.violations.append("\(recent.count) requests to \(provider) a minute")
            }
            state.requests[provider] = recent

            let faults = state.faults
            var crash: Crash?
            if state.generator.chance(faults.crash) {
                let place: Crash = state.generator.chance(50) ? .before : .after
                state.tally["crash \(place)", default: 0] += 1
                crash = place
            }
            let dice = Double.random(in: 0..<100, using: &state.generator)
            var edge = 0.0
            for (fate, share) in [
                (Fate.limited, faults.limited), (.broken, faults.broken), (.timedOutBefore, faults.timedOutBefore),
                (.timedOutAfter, faults.timedOutAfter), (.torn, faults.torn),
                (.unauthorized, isToken ? 0 : faults.unauthorized), (.stranger, isToken ? 0 : faults.strangers),
            ] {
                edge += share
                if dice < edge {
                    state.tally["\(fate) \(isToken ? "token" : "profile")", default: 0] += 1
                    return (fate, crash)
                }
            }
            state.tally["served \(isToken ? "token" : "profile")", default: 0] += 1
            return (.served, crash)
        }
    }

    private func answer(
        _ request: TransferRequest, _ subject: String, isToken: Bool, fate: Fate, isDelivered: Bool,
        process: Int, _ state: inout State
    ) -> TransferResponse {
        guard var person = state.people[subject] else { return Self.json(404, "{}") }
        switch fate {
        case .broken:
            return Self.json([500, 502, 503, 504].randomElement(using: &state.generator) ?? 500, "<html>")
        case .limited:
            let seconds = Int.random(in: 1...7200, using: &state.generator)
            if isDelivered {
                state.pausedUntil[person.provider] = max(
                    state.pausedUntil[person.provider] ?? .epoch, time.now() + .seconds(seconds))
            }
            return Self.json(429, "{}", ["retry-after": "\(seconds)"])
        case .stranger:
            return Self.json(200, #"{"id":"0","login":"mallory","bio":"","visits":0}"#)
        case .unauthorized:
            // The provider lost the access token; the grant stands. It does not lose two in a row.
            if time.elapsed - person.issuedAt > .seconds(3600) { person.accessTokenEndsAt = .zero }
        default: break
        }
        var response =
            isToken ? token(request, &person, isDelivered: isDelivered, process: process) : profile(request, &person)
        if fate == .torn { response.body = Array(response.body.prefix(response.body.count / 2)) }
        if fate == .torn, response.status == 304 { response = Self.json(502, "") }
        if person.isLost, state.people[subject]?.isLost == false { state.tally["rotation lost", default: 0] += 1 }
        state.people[subject] = person
        return response
    }

    private func token(_ request: TransferRequest, _ person: inout Person, isDelivered: Bool, process: Int)
        -> TransferResponse
    {
        let form = String(decoding: request.body?.bytes ?? [], as: UTF8.self)
        let given = form.split(separator: "&").first { $0.hasPrefix("refresh_token=") }?.dropFirst(14)
        guard !person.isRevoked, let given, given == person.refreshToken else {
            return Self.json(400, #"{"error":"invalid_grant"}"#)
        }
        person.tokens += 1
        person.issuedAt = time.elapsed
        person.issuedTo = process
        person.accessToken = "EXAMPLE-access-\(person.subject)-\(person.tokens)"
        person.accessTokenEndsAt = time.elapsed + SimulatedWorld.tokenLifetime
        var rotated = ""
        if person.provider == "alpha" {
            person.refreshToken = "EXAMPLE-refresh-\(person.subject)-\(person.tokens)"
            rotated = #","refresh_token":"\#(person.refreshToken)""#
            if !isDelivered { person.isLost = true }
        }
        return Self.json(
            200,
            #"{"access_token":"\#(person.accessToken)","token_type":"bearer","expires_in":\#(Self.tokenLifetime.components.seconds)\#(rotated)}"#
        )
    }

    private func profile(_ request: TransferRequest, _ person: inout Person) -> TransferResponse {
        let given = request.credentials.first?.value
        guard !person.isRevoked, given == "Bearer \(person.accessToken)", time.elapsed < person.accessTokenEndsAt else {
            return Self.json(401, "{}")
        }
        if person.isSuspended {
            return Self.json(403, #"{"message":"suspended"}"#)
        }
        if request.fields["if-none-match"] == person.etag {
            return TransferResponse(status: 304, fields: ["etag": person.etag])
        }
        return Self.json(200, person.body, ["etag": person.etag])
    }

    static func json(_ status: Int, _ body: String, _ fields: HeaderFields = [:]) -> TransferResponse {
        var fields = fields
        fields["content-type"] = "application/json"
        return TransferResponse(status: status, fields: fields, body: Array(body.utf8))
    }

    static func subject(of request: TransferRequest) -> String {
        let form = String(decoding: request.body?.bytes ?? [], as: UTF8.self)
        let token =
            form.split(separator: "&").first { $0.hasPrefix("refresh_token=") }.map(String.init)
            ?? request.credentials.first?.value ?? ""
        return token.split(separator: "-").dropLast().last.map(String.init) ?? ""
    }
}

/// RFC 6902 for the three operations that the feed uses.
enum Patch {
    static func apply(_ patch: JSONValue, to document: JSONValue) -> JSONValue? {
        var document = document
        for operation in patch.array ?? [] {
            guard let path = operation["path"]?.string, let word = operation["op"]?.string else { return nil }
            let names = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst().map {
                String($0).replacing("~1", with: "/").replacing("~0", with: "~")
            }
            guard let changed = set(ArraySlice(names), in: document, to: word == "remove" ? nil : operation["value"])
            else {
                return nil
            }
            document = changed
        }
        return document
    }

    /// Objects alone: these profiles hold no arrays.
    private static func set(_ names: ArraySlice<String>, in value: JSONValue, to new: JSONValue?) -> JSONValue? {
        guard let name = names.first else { return new }
        guard var object = value.object else { return nil }
        if names.count == 1 {
            object[name] = new
        } else {
            guard let inner = object[name], let changed = set(names.dropFirst(), in: inner, to: new) else { return nil }
            object[name] = changed
        }
        return .object(object)
    }
}
