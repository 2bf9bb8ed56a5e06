/// What one authorization server remembers: requests awaiting consent, codes, and families of tokens. A family is all
/// that came of one code; a holder's consent is what its families have in common.
struct GrantLedger: Sendable {
    /// An authorization request that is awaiting a decision.
    struct Draft: Sendable {
        var client: SimulatedClient
        /// Where the response goes.
        var redirectURI: String
        /// Whether the request named it: then the token request must as well (RFC 6749 §4.1.3).
        var namesRedirectURI: Bool
        var scopes: [String]
        var state: String?
        var nonce: String?
        /// An S256 code challenge (RFC 7636).
        var challenge: String?
        var wantsOfflineAccess: Bool
        var prompt: String?
        var loginHint: String?
        /// The response is a form that the browser posts (OAuth 2.0 Form Post Response Mode).
        var isPosted = false
        /// RFC 8707: token requests may name these and no others.
        var resources: [String] = []
        /// The key that the code is bound to (RFC 9449 §10).
        var keyThumbprint: String?
        var createdAt: Int64
        /// Consent is for a device (RFC 8628), and no browser goes back anywhere.
        var deviceCode: String?
    }

    struct Code: Sendable {
        var draft: Draft
        var person: String
        var scopes: [String]
        var issuedAt: Int64
        var withRefreshToken: Bool
        /// The family that came of it, once used.
        var family: Int?
    }

    /// A person's consent to one client.
    struct Holder: Hashable, Sendable {
        var client: String
        var person: String
    }

    struct Family: Sendable {
        var holder: Holder
        var scopes: [String]
        var resources: [String] = []
        /// The key that its tokens are bound to.
        var keyThumbprint: String?
        var accessTokens: [String] = []
        /// In order of issue; all but the last may be spent.
        var refreshTokens: [String] = []
    }

    struct AccessToken: Sendable {
        var family: Int
        var scopes: [String]
        var issuedAt: Int64
        /// `nil` never expires.
        var expiresAt: Int64?
        /// Requests that are still refused with it (quirk E16).
        var refusals: Int
        /// Of its issue, at first (quirk E15).
        var validatedAt: Int64
    }

    struct RefreshToken: Sendable {
        var family: Int
        var expiresAt: Int64?
        var spentAt: Int64?
        /// What its rotation issued, for the grace.
        var successor: IssuedTokens?
    }

    private(set) var drafts: [String: Draft] = [:]
    private(set) var codes: [String: Code] = [:]
    private(set) var families: [Int: Family] = [:]
    private(set) var accessTokens: [String: AccessToken] = [:]
    private(set) var refreshTokens: [String: RefreshToken] = [:]
    private var familiesByHolder: [Holder: [Int]] = [:]
    private var consents: [Holder: Set<String>] = [:]
    private var draftOrder: [String] = []
    private var nextFamily = 1
    private var generator: SeededGenerator

    init(generator: SeededGenerator) { self.generator = generator }

    // MARK: Authorization requests

    /// Keeps the newest 1000; returns the id the consent page carries.
    mutating func keep(_ draft: Draft) -> String {
        let id = "EXAMPLE-request-" + generator.text(22)
        drafts[id] = draft
        draftOrder.append(id)
        if draftOrder.count > 1000 { drafts[draftOrder.removeFirst()] = nil }
        return id
    }

    mutating func takeDraft(_ id: String) -> Draft? { drafts.removeValue(forKey: id) }

    func consented(_ holder: Holder) -> Set<String>? { consents[holder] }

    mutating func approve(
        _ draft: Draft, person: String, scopes: [String], withRefreshToken: Bool, suffix: String = "", lifetime: Int,
        now: Int64
    ) -> String {
        if codes.count > 10_000 { codes = codes.filter { now - $0.value.issuedAt < Int64(lifetime) * 1000 } }
        let code = "EXAMPLE-code-" + generator.text(22) + suffix
        consents[Holder(client: draft.client.id, person: person), default: []].formUnion(scopes)
        codes[code] = Code(
            draft: draft, person: person, scopes: scopes, issuedAt: now, withRefreshToken: withRefreshToken)
        return code
    }

    /// The first use of a code: from here on it is spent. A second use ends what the first issued
    /// (RFC 6749 §4.1.2).
    mutating func use(_ code: String) -> (code: Code, isReplay: Bool)? {
        guard let found = codes[code] else { return nil }
        if let family = found.family {
            end(family: family)
            return (found, true)
        }
        codes[code]?.family = 0
        return (found, false)
    }

    // MARK: Tokens

    mutating func issue(
        for code: String, _ found: Code, switches: SimulatorSwitches, texts: some TokenTexts, now: Int64
    ) -> IssuedTokens {
        let holder = Holder(client: found.draft.client.id, person: found.person)
        let family = nextFamily
        nextFamily += 1
        families[family] = Family(holder: holder, scopes: found.scopes, resources: found.draft.resources)
        familiesByHolder[holder, default: []].append(family)
        codes[code]?.family = family
        var issued = addTokens(
            to: family, withRefreshToken: found.withRefreshToken, switches: switches, texts: texts, now: now)
        issued.nonce = found.draft.nonce
        let alike = (familiesByHolder[holder] ?? []).filter { id in
            families[id]?.scopes == found.scopes && families[id]?.refreshTokens.isEmpty == !found.withRefreshToken
        }
        if switches.tokensPerGrantMax > 0, alike.count > switches.tokensPerGrantMax, let oldest = alike.first {
            end(family: oldest)
        }
        return issued
    }

    enum RefreshOutcome {
        case refreshed(IssuedTokens)
        case replayed(IssuedTokens)
        case reused
        case refused
    }

    mutating func refresh(
        _ token: String, client: String, switches: SimulatorSwitches, texts: some TokenTexts, now: Int64
    ) -> RefreshOutcome {
        guard let found = refreshTokens[token], let family = families[found.family], family.holder.client == client
        else { return .refused }
        if let expiresAt = found.expiresAt, expiresAt <= now { return .refused }
        if let spentAt = found.spentAt {
            if now - spentAt < Int64(switches.reuseGrace) * 1000,
                let again = found.successor.flatMap({ left(of: $0, now) })
            {
                return .replayed(again)
            }
            if switches.reuseRevokesFamily { end(family: found.family) }
            return .reused
        }
        let ended = family.accessTokens.filter { text in
            switches.refreshEndsAccessTokens || (accessTokens[text]?.expiresAt ?? .max) <= now
        }
        for text in ended { accessTokens[text] = nil }
        families[found.family]?.accessTokens.removeAll { ended.contains($0) }
        var issued = addTokens(
            to: found.family, withRefreshToken: switches.rotatesRefreshTokens, switches: switches, texts: texts,
            now: now)
        issued.isRefreshed = true
        accessTokens[issued.accessToken]?.refusals = switches.refreshedTokenRefusals
        if switches.rotatesRefreshTokens {
            refreshTokens[token]?.spentAt = now
            refreshTokens[token]?.successor = issued
            forgetSpent(of: found.family)
        }
        return .refreshed(issued)
    }

    /// A new access token in place of one that is good.
    mutating func renew(
        _ accessToken: String, client: String, switches: SimulatorSwitches, texts: some TokenTexts, now: Int64
    ) -> IssuedTokens? {
        guard let (found, holder) = access(accessToken, now: now), holder.client == client else { return nil }
        accessTokens[accessToken] = nil
        families[found.family]?.accessTokens.removeAll { $0 == accessToken }
        var issued = addTokens(
            to: found.family, withRefreshToken: false, switches: switches, texts: texts, now: now)
        issued.isRefreshed = true
        return issued
    }

    /// The same tokens with the lifetimes they have left; `nil` where one of them is spent, expired or ended.
    private func left(of issued: IssuedTokens, _ now: Int64) -> IssuedTokens? {
        func seconds(until end: Int64?) -> Int? { end.map { Int($0 - now) / 1000 } }
        guard let access = accessTokens[issued.accessToken], (access.expiresAt ?? .max) > now,
            let refresh = issued.refreshToken.flatMap({ refreshTokens[$0] }), refresh.spentAt == nil,
            (refresh.expiresAt ?? .max) > now
        else { return nil }
        var again = issued
        again.accessLifetime = seconds(until: access.expiresAt)
        again.refreshLifetime = seconds(until: refresh.expiresAt)
        return again
    }

    /// What an access token stands for, unless it has expired.
    func access(_ token: String, now: Int64) -> (token: AccessToken, holder: Holder)? {
        guard let found = accessTokens[token], let family = families[found.family] else { return nil }
        if let expiresAt = found.expiresAt, expiresAt <= now { return nil }
        return (found, family.holder)
    }

    mutating func noteValidation(of token: String, now: Int64) { accessTokens[token]?.validatedAt = now }

    /// Takes one refusal off a token; returns whether it had one left.
    mutating func takeRefusal(_ token: String) -> Bool {
        guard let left = accessTokens[token]?.refusals, left > 0 else { return false }
        accessTokens[token]?.refusals = left - 1
        return true
    }

    /// The tokens of a family are of use with that key alone.
    mutating func bind(_ issued: inout IssuedTokens, to thumbprint: String) {
        guard let family = family(ofToken: issued.accessToken) else { return }
        families[family]?.keyThumbprint = thumbprint
        issued.isBound = true
    }

    // MARK: Ends

    /// The family of a token of either kind, dead by time or spent though it may be.
    func family(ofToken token: String) -> Int? { accessTokens[token]?.family ?? refreshTokens[token]?.family }

    func holder(ofToken token: String) -> Holder? { family(ofToken: token).flatMap { families[$0]?.holder } }

    /// The same for a token that would still be honoured.
    func holder(ofLiveToken token: String, now: Int64) -> Holder? {
        if let access = accessTokens[token] { guard (access.expiresAt ?? .max) > now else { return nil } }
        if let refresh = refreshTokens[token] {
            guard refresh.spentAt == nil, (refresh.expiresAt ?? .max) > now else { return nil }
        }
        return holder(ofToken: token)
    }

    mutating func end(accessToken: String) {
        guard let family = accessTokens.removeValue(forKey: accessToken)?.family else { return }
        families[family]?.accessTokens.removeAll { $0 == accessToken }
        if families[family]?.accessTokens.isEmpty == true, families[family]?.refreshTokens.isEmpty == true {
            end(family: family)
        }
    }

    mutating func end(family id: Int) {
        guard let family = families.removeValue(forKey: id) else { return }
        for token in family.accessTokens { accessTokens[token] = nil }
        for token in family.refreshTokens { refreshTokens[token] = nil }
        familiesByHolder[family.holder]?.removeAll { $0 == id }
    }

    /// Every token of that person and client, and the consent itself.
    mutating func end(_ holder: Holder) {
        for family in familiesByHolder.removeValue(forKey: holder) ?? [] { end(family: family) }
        consents[holder] = nil
        codes = codes.filter { $0.value.person != holder.person || $0.value.draft.client.id != holder.client }
    }

    /// `nil` is everybody.
    mutating func end(person: String?) {
        for holder in consents.keys where person == nil || holder.person == person { end(holder) }
    }

    mutating func expireTokens(of person: String?, accessTokens access: Bool, refreshTokens refresh: Bool, now: Int64) {
        for family in families.values where person == nil || family.holder.person == person {
            if access { for token in family.accessTokens { accessTokens[token]?.expiresAt = now } }
            if refresh { for token in family.refreshTokens { refreshTokens[token]?.expiresAt = now } }
        }
    }

    func count(into counters: inout SimulatorCounters, now: Int64) {
        counters.grants = consents.count
        counters.accessTokens = accessTokens.values.count { ($0.expiresAt ?? .max) > now }
        counters.refreshTokens = refreshTokens.values.count { $0.spentAt == nil && ($0.expiresAt ?? .max) > now }
    }

    // MARK: Parts

    private mutating func addTokens(
        to family: Int, withRefreshToken: Bool, switches: SimulatorSwitches, texts: some TokenTexts, now: Int64
    ) -> IssuedTokens {
        let holder = families[family]?.holder ?? Holder(client: "", person: "")
        let scopes = families[family]?.scopes ?? []
        let access = texts.accessToken(using: &generator)
        accessTokens[access] = AccessToken(
            family: family, scopes: scopes, issuedAt: now,
            expiresAt: switches.accessTokenLifetime.map { now + Int64($0) * 1000 }, refusals: 0, validatedAt: now)
        families[family]?.accessTokens.append(access)
        var issued = IssuedTokens(
            accessToken: access, accessLifetime: switches.accessTokenLifetime, scopes: scopes, holder: holder)
        if withRefreshToken {
            let refresh = texts.refreshToken(using: &generator)
            refreshTokens[refresh] = RefreshToken(
                family: family, expiresAt: switches.refreshTokenLifetime.map { now + Int64($0) * 1000 })
            families[family]?.refreshTokens.append(refresh)
            issued.refreshToken = refresh
            issued.refreshLifetime = switches.refreshTokenLifetime
        }
        return issued
    }

    /// A family remembers its last eight refresh tokens; older ones are as unknown as any invented one.
    private mutating func forgetSpent(of family: Int) {
        guard let count = families[family]?.refreshTokens.count, count > 8 else { return }
        if let oldest = families[family]?.refreshTokens.removeFirst() { refreshTokens[oldest] = nil }
    }
}

/// What a token response is made from.
struct IssuedTokens: Sendable {
    var accessToken: String
    var refreshToken: String?
    /// Seconds.
    var accessLifetime: Int?
    var refreshLifetime: Int?
    var scopes: [String]
    var holder: GrantLedger.Holder
    var nonce: String?
    var isRefreshed = false
    var isBound = false

    init(accessToken: String, accessLifetime: Int?, scopes: [String], holder: GrantLedger.Holder) {
        self.accessToken = accessToken
        self.accessLifetime = accessLifetime
        self.scopes = scopes
        self.holder = holder
    }
}

/// What a site's tokens look like. All say EXAMPLE.
protocol TokenTexts {
    func accessToken(using generator: inout SeededGenerator) -> String
    func refreshToken(using generator: inout SeededGenerator) -> String
}
