import Synchronization

extension Site {
    /// How a fault changes the exchange it meets; waiting is done by the caller.
    func answer(_ endpoint: SimulatedEndpoint, _ call: Call, meeting fault: SimulatedFault) -> Reply {
        var call = call
        switch fault.kind {
        case .delay, .latency, .hang: return answer(endpoint, call)
        case .idToken:
            call.idTokenFlaw = fault.flaw ?? .signature
            return answer(endpoint, call)
        case .cut, .drop, .contentType:
            var reply = answer(endpoint, call)
            switch fault.kind {
            case .cut: reply.ending = .cut
            case .drop: reply.ending = .unanswered
            default: reply.set("content-type", fault.contentType ?? "text/plain")
            }
            return reply
        default: break
        }
        if fault.afterEffect == true { _ = answer(endpoint, call) }
        let reply = instead(fault, call)
        countInvalid(reply, call)
        return reply
    }

    private func instead(_ fault: SimulatedFault, _ call: Call) -> Reply {
        switch fault.kind {
        case .refuse:
            var reply = Reply(0)
            reply.ending = .unanswered
            return reply
        case .brokenJSON: return .text(200, #"{"access_token":"EXAMPLE-broken","#, contentType: "application/json")
        case .html:
            return .text(
                fault.status ?? 200,
                fault.body ?? "<!doctype html><title>Please wait</title><p>One moment, please.</p>",
                contentType: "text/html; charset=utf-8")
        case .oversized:
            var reply = Reply.json(200, ["id": "1", "padding": "EXAMPLE"])
            reply.ending = .padded(max(0, (fault.bytes ?? 16 << 20) - reply.body.count))
            return reply
        case .empty: return Reply(200, fields: [("content-type", "application/json")])
        case .redirect:
            return Reply(fault.status ?? 302, fields: [("location", fault.location ?? call.base + "/elsewhere")])
        case .limited: return limited(hit(fault, call), call)
        case .invalidGrant:
            return rules.refusal(call.form["grant_type"] == "refresh_token" ? .refreshToken : .code, call)
        case .invalidClient: return rules.refusal(.invalidClient, call)
        default:
            let status = fault.status ?? 503
            return .text(
                status, fault.body ?? "Simulated answer of \(status).\n",
                contentType: fault.contentType
                    ?? (fault.body?.hasPrefix("{") == true ? "application/json" : "text/plain"))
        }
    }

    private func hit(_ fault: SimulatedFault, _ call: Call) -> LimitHit {
        let seconds = fault.retryAfter
        var hit = LimitHit(reach: fault.reach, wait: Int64(seconds ?? 60) * 1000, status: fault.status)
        hit.person = fault.person
        if let seconds {
            hit.retryAfter =
                fault.asDate == true
                ? CalendarTime(milliseconds: call.now + Int64(seconds) * 1000).httpDate : String(seconds)
        }
        return hit
    }

    /// Those faults that happen once and at once; others lie in wait.
    func inject(_ fault: SimulatedFault, now: Int64) throws {
        guard fault.isImmediate else {
            return state.withLock { $0.faults.append(fault) }
        }
        if fault.kind == .rotateKeys { return try rules.rotateKeys(forgetting: fault.forget == true) }
        state.withLock { state in
            switch fault.kind {
            case .revoke: state.ledger.end(person: fault.person)
            case .expireAccessTokens:
                state.ledger.expireTokens(of: fault.person, accessTokens: true, refreshTokens: false, now: now)
            case .expireRefreshTokens:
                state.ledger.expireTokens(of: fault.person, accessTokens: false, refreshTokens: true, now: now)
            case .suspend, .resume:
                let chosen = state.people.filter { fault.person == nil || $0.id == fault.person }
                for person in chosen {
                    _ = state.change(person.id, now: now) { $0.isSuspended = fault.kind == .suspend }
                }
            default: break
            }
        }
    }
}
