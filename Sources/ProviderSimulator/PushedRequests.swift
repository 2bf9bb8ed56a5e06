import Synchronization

/// Pushed authorization requests (RFC 9126).
extension Site {
    struct PushedRequest: Sendable {
        var client: String
        var parameters: Form
        var expiresAt: Int64
    }

    func push(_ call: Call) -> Reply {
        guard call.hasFormBody else { return rules.unreadableBody(call) }
        let form = call.form
        if form.repeats(except: ["resource"]) { return rules.refusal(.invalidRequest("a parameter is repeated"), call) }
        let client: SimulatedClient
        switch authenticateClient(call, form) {
        case .failure(let refusal): return rules.refusal(refusal, call)
        case .success(let authenticated): client = authenticated
        }
        guard form["request_uri"] == nil, form["client_id"] == client.id else {
            return rules.refusal(.invalidRequest("client_id is missing, or there is a request_uri"), call)
        }
        let (uri, lifetime, takesResources) = state.withLock { state in
            let uri = "urn:ietf:params:oauth:request_uri:EXAMPLE-\(state.generator.text(22))"
            let takes = state.takes(resources: form.values("resource"))
            let lifetime = state.switches.pushedRequestLifetime
            if takes {
                state.pushedRequests[uri] = PushedRequest(
                    client: client.id, parameters: form, expiresAt: call.now + Int64(lifetime) * 1000)
            }
            return (uri, lifetime, takes)
        }
        guard takesResources else { return rules.refusal(.word("invalid_target"), call) }
        return .json(
            201, ["request_uri": .string(uri), "expires_in": .integer(Int64(lifetime))],
            fields: [("cache-control", "no-store")])
    }

    /// The parameters of an authorization request, by reference or as they stand; `nil` where the reference is used,
    /// expired or another client's, or where there has to be one. Nothing stands beside a reference but `client_id`.
    func authorizationParameters(_ call: Call) -> Form? {
        // As the site reads it.
        guard let sent = rules.authorizationRequest(call) else { return nil }
        return state.withLock { state in
            guard let uri = sent["request_uri"] else { return state.switches.requiresPushedRequests ? nil : sent }
            guard let pushed = state.pushedRequests.removeValue(forKey: uri), pushed.expiresAt > call.now,
                pushed.client == sent["client_id"],
                sent.parameters.allSatisfy({ ["client_id", "request_uri"].contains($0.name) })
            else { return nil }
            return pushed.parameters
        }
    }
}

extension SiteState {
    func takes(resources: [String]) -> Bool {
        switches.resources.map { known in resources.allSatisfy(known.contains) } ?? true
    }

    /// A site that minds wants every request to name what the grant is for.
    func takes(_ resources: [String], of granted: [String]) -> Bool {
        switches.resources == nil || !resources.isEmpty && resources.allSatisfy(granted.contains)
    }
}
