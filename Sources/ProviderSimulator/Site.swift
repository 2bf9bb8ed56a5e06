import Synchronization

/// One site: what it is (`rules`) and how it stands (`state`). Endpoints are in extensions.
final class Site: Sendable {
    let rules: any SiteRules
    let state: Mutex<SiteState>

    init(rules: any SiteRules, configuration: SimulatorConfiguration) {
        self.rules = rules
        state = Mutex(
            SiteState(
                site: rules.site, configuration: configuration,
                switches: configuration.switches[rules.site] ?? rules.defaultSwitches))
    }

    var name: SimulatedSite { rules.site }

    /// Does what was asked, faults aside.
    func answer(_ endpoint: SimulatedEndpoint, _ call: Call) -> Reply {
        switch endpoint {
        case .authorize: return authorize(call)
        case .consent: return decide(call)
        case .avatar: return avatar(call)
        case .device: return device(call)
        default: break
        }
        if let ban = ban(call) { return ban }
        if let refusal = refusalOfAll(endpoint, call) {
            countInvalid(refusal, call)
            return refusal
        }
        let reply =
            switch endpoint {
            case .token: token(call)
            case .par: push(call)
            case .directory: directory(call)
            case .deviceAuthorization: authorizeDevice(call)
            case .profile, .emails, .guilds, .connections, .authorization, .userinfo: resource(endpoint, call)
            default: rules.other(endpoint, self, call)
            }
        countInvalid(reply, call)
        return reply
    }

    /// Quirk G10: past so many answers of 401, 403 and 429 an address is told nothing else for a while.
    private func ban(_ call: Call) -> Reply? {
        let hit = state.withLock { state -> LimitHit? in
            guard let limit = state.switches.invalidRequestLimit else { return nil }
            let use = state.windows.look("invalid", limit, now: call.now)
            return use.used >= limit.count ? LimitHit(reach: "ban", wait: use.resetsAt - call.now) : nil
        }
        return hit.map { limited($0, call) }
    }

    /// What holds for every endpoint that programs call: the limit of the whole site, and a User-Agent.
    private func refusalOfAll(_ endpoint: SimulatedEndpoint, _ call: Call) -> Reply? {
        let (hit, refusesAgent) = state.withLock { state -> (LimitHit?, Bool) in
            let refuses = state.switches.requiresUserAgent && !rules.takesUserAgent(call.userAgent, at: endpoint)
            guard let limit = state.switches.clientLimit else { return (nil, refuses) }
            let use = state.windows.take("client", limit, now: call.now)
            return (use.isExceeded ? LimitHit(reach: "global", wait: use.resetsAt - call.now) : nil, refuses)
        }
        if let hit { return limited(hit, call) }
        return refusesAgent ? rules.missingUserAgent() : nil
    }

    func countInvalid(_ reply: Reply, _ call: Call) {
        guard [401, 403, 429].contains(reply.status), reply.field("x-ratelimit-scope") != "shared" else { return }
        state.withLock { state in
            guard let limit = state.switches.invalidRequestLimit else { return }
            _ = state.windows.take("invalid", limit, now: call.now)
        }
    }

    func limited(_ hit: LimitHit, _ call: Call) -> Reply {
        state.withLock { $0.counters.limited += 1 }
        return rules.limited(hit, call)
    }

    // MARK: The resource server

    private enum Access {
        case refused(Reply)
        case limited(LimitHit)
        case granted(Bearer, RequestWindows.Use?, SimulatorSwitches)
    }

    private func resource(_ endpoint: SimulatedEndpoint, _ call: Call) -> Reply {
        if let token = call.token(schemes: rules.tokenSchemes), let refusal = refusal(ofBound: token, call) {
            return refusal
        }
        switch access(endpoint, call) {
        case .refused(let reply): return reply
        case .limited(let hit): return limited(hit, call)
        case .granted(let bearer, let use, let switches):
            var use = use
            var reply = rules.resource(endpoint, bearer, switches: switches, call)
            if reply.status == 304, let counted = use {
                // An answer that nothing changed costs nothing (GitHub's rule for conditional requests).
                state.withLock { $0.windows.giveBack(rules.limitKey(bearer, endpoint)) }
                use?.used = counted.used - 1
            }
            reply.fields += rules.limitFields(use, call)
            return withProofNonce(reply, switches)
        }
    }

    private func access(_ endpoint: SimulatedEndpoint, _ call: Call) -> Access {
        state.withLock { state in
            guard let token = rules.accessToken(in: call) else { return .refused(rules.unauthorized(call)) }
            guard let bearer = bearer(token, &state, call) else { return .refused(rules.unauthorized(call)) }
            if let interval = state.switches.validationInterval,
                let validatedAt = state.ledger.accessTokens[token]?.validatedAt,
                call.now - validatedAt > Int64(interval) * 1000
            {
                state.counters.unvalidatedUses += 1
                return .refused(.json(403, ["error": "the token was not validated of late"]))
            }
            guard let limit = state.switches.tokenLimit, !bearer.isBulk else {
                return .granted(bearer, nil, state.switches)
            }
            let use = state.windows.take(rules.limitKey(bearer, endpoint), limit, now: call.now)
            if use.isExceeded {
                return .limited(LimitHit(wait: use.resetsAt - call.now, use: use, person: bearer.person.id))
            }
            return .granted(bearer, use, state.switches)
        }
    }

    /// Whether the token in `Authorization` is good; its use counts as validated from now on.
    func validate(_ call: Call) -> Reply {
        let holder = state.withLock { state -> Bearer? in
            guard let token = call.token(schemes: rules.tokenSchemes + ["oauth"]),
                let bearer = bearer(token, &state, call)
            else { return nil }
            state.ledger.noteValidation(of: token, now: call.now)
            return bearer
        }
        guard let holder else { return .json(401, ["status": 401, "message": "invalid access token"]) }
        return .json(
            200,
            [
                "client_id": .string(holder.client), "login": .string(holder.person.username),
                "scopes": .strings(holder.scopes), "user_id": .string(holder.person.id),
            ])
    }

    func bearer(_ token: String, _ state: inout SiteState, _ call: Call) -> Bearer? {
        if let number = BulkPerson.number(ofAccessToken: token) {
            if state.bulkGrants.hasEnded(number) { return nil }
            let person = BulkPerson.person(number, site: name, generation: state.bulkGeneration)
            return Bearer(
                token: token, client: "bulk", scopes: rules.scopes(requested: rules.bulkScopes) ?? [],
                issuedAt: BulkPerson.bornAt, resident: .init(person: person, changedAt: BulkPerson.bornAt), isBulk: true
            )
        }
        guard let (found, holder) = state.ledger.access(token, now: call.now), !state.ledger.takeRefusal(token),
            let resident = state.resident(holder.person, site: name)
        else { return nil }
        return Bearer(
            token: token, client: holder.client, scopes: found.scopes, issuedAt: found.issuedAt,
            expiresAt: found.expiresAt, resident: resident, isBulk: false)
    }
}
