import Synchronization

/// RFC 8628: a device asks for a code, a person types it in on a page, and the device asks whether they have.
extension Site {
    /// A device authorization request under way.
    struct DeviceRequest: Sendable {
        var client: SimulatedClient
        var scopes: [String]
        var userCode: String
        var expiresAt: Int64
        /// Milliseconds; grows with each poll that comes too early.
        var interval: Int64
        var polledAt: Int64
        var decision = Decision.pending

        enum Decision: Sendable {
            case pending
            case denied
            /// The code that consent made, exchanged by the next poll.
            case allowed(String)
        }
    }

    /// Why a device gets no tokens yet (§3.5).
    enum DeviceRefusal: Sendable, Equatable {
        case pending
        /// With the new interval in seconds.
        case slowDown(Int64)
        case denied
        case expired
        case unknown
    }

    /// §3.1: names the client; a secret that comes along has to be right.
    func authorizeDevice(_ call: Call) -> Reply {
        guard let form = readBody(call) else { return rules.unreadableBody(call) }
        guard let id = form["client_id"] ?? call.basicClientID,
            let client = state.withLock({ $0.clients[id] })
        else { return rules.refusal(.invalidClient, call) }
        if let secret = form["client_secret"], secret != client.secret { return rules.refusal(.invalidClient, call) }
        guard let scopes = rules.scopes(requested: form["scope"] ?? "") else {
            return rules.refusal(.invalidRequest("the scope is unknown"), call)
        }
        let (deviceCode, userCode, switches) = state.withLock { state -> (String, String, SimulatorSwitches) in
            let deviceCode = "EXAMPLE-device-" + state.generator.text(24)
            let letters = state.generator.text(8).uppercased()
            let userCode = letters.prefix(4) + "-" + letters.suffix(4)
            state.devices[deviceCode] = DeviceRequest(
                client: client, scopes: scopes, userCode: String(userCode),
                expiresAt: call.now + Int64(state.switches.deviceCodeLifetime) * 1000,
                interval: Int64(state.switches.deviceInterval) * 1000, polledAt: call.now)
            return (deviceCode, String(userCode), state.switches)
        }
        let page = "\(call.base)/\(name)\(rules.devicePage)"
        var members: [(String, JSONText)] = [
            ("device_code", .string(deviceCode)), ("user_code", .string(userCode)),
            (rules.verificationMember, .string(page)),
            ("expires_in", .integer(Int64(switches.deviceCodeLifetime))),
            ("interval", .integer(Int64(switches.deviceInterval))),
        ]
        if rules.verificationMember == "verification_uri", name != .github {
            members.append(("verification_uri_complete", .string("\(page)?user_code=\(userCode)")))
        }
        return .json(200, .object(members), fields: [("cache-control", "no-store")])
    }

    /// §3.3: the page for the user code, then the page that asks for consent.
    func device(_ call: Call) -> Reply {
        guard call.method == "POST" else {
            return .html(200, codePage(call, code: call.parameters["user_code"] ?? "", isWrong: false))
        }
        let typed = (call.form["user_code"] ?? "").uppercased().filter { $0.isLetter || $0.isNumber }
        let found = state.withLock { state in
            state.devices.first { entry in
                entry.value.userCode.filter { $0 != "-" } == typed && entry.value.expiresAt > call.now
                    && entry.value.decision.isPending
            }
        }
        guard let (deviceCode, request) = found else {
            return .html(404, codePage(call, code: call.form["user_code"] ?? "", isWrong: true))
        }
        var draft = GrantLedger.Draft(
            client: request.client, redirectURI: "", namesRedirectURI: false, scopes: request.scopes, state: nil,
            nonce: nil, challenge: nil, wantsOfflineAccess: true, prompt: "consent", loginHint: nil,
            createdAt: call.now)
        draft.deviceCode = deviceCode
        let (id, people) = state.withLock { ($0.ledger.keep(draft), $0.people) }
        let page = ConsentPage(
            site: name, requestID: id, draft: draft, people: people, base: call.base,
            selected: call.rememberedPerson(),
            scopes: request.scopes.map { ($0, rules.meaning(of: $0), rules.isOptional($0)) })
        return .html(200, page.html)
    }

    /// The person has decided; `code` is what consent made, `nil` where they declined.
    func decided(_ deviceCode: String, code: String?) -> Reply {
        state.withLock { $0.devices[deviceCode]?.decision = code.map { .allowed($0) } ?? .denied }
        return .html(
            200,
            PageFrame.html(
                title: "Done · Simulated \(escaped(name.title))", site: name,
                body: """
                    <h1>\(code == nil ? "Denied" : "Your device is connected")</h1>
                    <p class="lead">You can close this page and go back to your device.</p>
                    """))
    }

    /// §3.4 and §3.5: the authorization code behind an allowed device code, once.
    func takeDevice(
        _ deviceCode: String, client: SimulatedClient, _ state: inout SiteState, _ call: Call
    ) -> Result<String, DeviceRefusal> {
        guard var request = state.devices[deviceCode], request.client.id == client.id else {
            return .failure(.unknown)
        }
        state.counters.devicePolls += 1
        guard request.expiresAt > call.now else { return .failure(.expired) }
        // A tenth is left for clocks and timers.
        let isEarly = call.now - request.polledAt < request.interval * 9 / 10
        request.polledAt = call.now
        if isEarly {
            state.counters.devicePollsTooEarly += 1
            request.interval += 5000
        }
        state.devices[deviceCode] = request
        if isEarly { return .failure(.slowDown(request.interval / 1000)) }
        switch request.decision {
        case .pending: return .failure(.pending)
        case .denied: return .failure(.denied)
        case .allowed(let code):
            state.devices[deviceCode] = nil
            return .success(code)
        }
    }

    private func codePage(_ call: Call, code: String, isWrong: Bool) -> String {
        PageFrame.html(
            title: "Connect a device · Simulated \(escaped(name.title))", site: name,
            body: """
                <h1>Connect a device</h1>
                <p class="lead">\(isWrong ? "No device shows this code." : "Type the code that your device shows.")</p>
                <form method="post" action="\(escaped("\(call.base)/\(name)\(rules.devicePage)"))">
                <p><label>Code <input name="user_code" value="\(escaped(code))" required></label></p>
                <div class="buttons"><button class="main">Continue</button></div>
                </form>
                """)
    }
}

extension Site.DeviceRefusal: Error {}

extension Site.DeviceRequest.Decision {
    fileprivate var isPending: Bool { if case .pending = self { true } else { false } }
}

extension Call {
    fileprivate var basicClientID: String? {
        token(schemes: ["basic"]).flatMap { BasicCredentials.read($0, isFormEncoded: true)?.id }
    }
}
