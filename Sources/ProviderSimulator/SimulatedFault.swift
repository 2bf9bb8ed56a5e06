/// Something that goes wrong with requests to one site, or with its tokens. Members that a kind does not name are
/// ignored by it. In the control interface names are in snake case: `retry_after`, `content_type`.
package struct SimulatedFault: Sendable, Decodable, Equatable {
    package enum Kind: String, Sendable, Decodable, CaseIterable {
        /// Answers `status` (503), with `body` and `contentType` where given: any answer at all can be put in place.
        case status
        /// Waits `milliseconds`, then answers as ever.
        case delay
        /// `delay` that stays until cleared unless `times` is given; with `jitter`, up to that many milliseconds more.
        case latency
        /// Does not answer until the connection or the simulator ends, or `milliseconds` have passed.
        case hang
        /// Does what was asked, sends half of the answer and closes the connection.
        case cut
        /// Does what was asked and closes the connection without an answer: the lost rotation.
        case drop
        /// Closes the connection without having done anything.
        case refuse
        /// 200 with JSON that stops in the middle.
        case brokenJSON = "broken_json"
        /// `status` (200) with an HTML page, as a captive portal or a front end in trouble sends.
        case html
        /// 200 with JSON of `bytes` (16 MiB) in all.
        case oversized
        /// 200 without a body.
        case empty
        /// As ever, but called `contentType` (`text/plain`).
        case contentType = "content_type"
        /// A redirect (`status`, 302) to `location`.
        case redirect
        /// The site's own limit answer. `retryAfter` seconds, as an HTTP date with `asDate`; `reach` as the site
        /// names it (Discord: user, shared, global, ban; GitHub: primary, secondary; Google: user, quota).
        case limited
        case invalidGrant = "invalid_grant"
        case invalidClient = "invalid_client"
        /// The next ID tokens are wrong in the way `flaw` says.
        case idToken = "id_token"

        // At once, and once:
        /// Ends every grant of `person`, or of everybody.
        case revoke
        /// Ends the access tokens of `person`, or of everybody; refresh tokens live on.
        case expireAccessTokens = "expire_access_tokens"
        case expireRefreshTokens = "expire_refresh_tokens"
        case suspend
        case resume
        /// New ID tokens are signed with a new key; with `forget` the old one is no longer published.
        case rotateKeys = "rotate_keys"
    }

    package enum IDTokenFlaw: String, Sendable, Decodable, CaseIterable {
        case missing, signature, issuer, audience, nonce, expired, future, subject
        case accessTokenHash = "at_hash"
        case algorithmNone = "alg_none"
        case unknownKey = "unknown_key"
    }

    package var kind: Kind
    /// `nil` is every endpoint but the browser's (authorize, consent) and avatars.
    package var on: SimulatedEndpoint?
    /// How many requests; `nil` (in the control interface: `null`) is until cleared. A fault given without `times` there
    /// counts once, `latency` until cleared.
    package var times: Int? = 1
    /// For kinds that answer in the endpoint's place: it does what was asked first, so that tokens are spent.
    package var afterEffect: Bool?
    package var status: Int?
    package var body: String?
    package var milliseconds: Int?
    package var jitter: Int?
    package var bytes: Int?
    package var contentType: String?
    package var location: String?
    package var retryAfter: Int?
    package var asDate: Bool?
    package var reach: String?
    package var person: String?
    package var flaw: IDTokenFlaw?
    package var forget: Bool?

    package init(
        _ kind: Kind, on endpoint: SimulatedEndpoint? = nil, times: Int? = 1,
        _ change: (inout SimulatedFault) -> Void = { _ in }
    ) {
        self.kind = kind
        on = endpoint
        self.times = times
        change(&self)
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case kind, on, times, afterEffect, status, body, milliseconds, jitter, bytes, contentType, location, retryAfter
        case asDate, reach, person, flaw, forget
    }

    package init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        func optional<T: Decodable>(_ key: CodingKeys) throws -> T? { try values.decodeIfPresent(T.self, forKey: key) }
        kind = try values.decode(Kind.self, forKey: .kind)
        times = values.contains(.times) ? try optional(.times) : kind == .latency ? nil : 1
        on = try optional(.on)
        afterEffect = try optional(.afterEffect)
        status = try optional(.status)
        body = try optional(.body)
        milliseconds = try optional(.milliseconds)
        jitter = try optional(.jitter)
        bytes = try optional(.bytes)
        contentType = try optional(.contentType)
        location = try optional(.location)
        retryAfter = try optional(.retryAfter)
        asDate = try optional(.asDate)
        reach = try optional(.reach)
        person = try optional(.person)
        flaw = try optional(.flaw)
        forget = try optional(.forget)
    }

    /// Whether it changes the site at once instead of lying in wait for requests.
    var isImmediate: Bool {
        switch kind {
        case .revoke, .expireAccessTokens, .expireRefreshTokens, .suspend, .resume, .rotateKeys: true
        default: false
        }
    }

    func concerns(_ endpoint: SimulatedEndpoint) -> Bool {
        if kind == .invalidGrant || kind == .invalidClient || kind == .idToken { return endpoint == .token }
        if let on { return on == endpoint }
        return endpoint != .authorize && endpoint != .consent && endpoint != .avatar
    }
}

extension SimulatedFault: KnowsMembers { typealias Members = CodingKeys }
