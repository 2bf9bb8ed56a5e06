package import Accounts
import JSON
package import Transfer

/// Where a server takes device authorization requests, and how it departs from RFC 8628.
package struct DeviceAuthorizationEndpoint: Sendable, Equatable {
    package var url: String
    /// False for servers that want the client's id and nothing else.
    package var authenticated: Bool
    /// The provider's own name of a standard member of the answer.
    package var memberNames: [String: String]

    package init(url: String, authenticated: Bool = true, memberNames: [String: String] = [:]) {
        self.url = url
        self.authenticated = authenticated
        self.memberNames = memberNames
    }
}

/// RFC 8628: the person allows access on another device, by a code that they type in there.
package enum DeviceAuthorizationGrant {
    /// RFC 8628 §3.4.
    package static let grantType = "urn:ietf:params:oauth:grant-type:device_code"

    /// §3.1.
    package static func authorizationRequest(
        scopes: [Scope], endpoint: DeviceAuthorizationEndpoint, server: AuthorizationServer,
        client: ClientRegistration, dialect: TokenDialect, moment: Moment
    ) -> TransferRequest {
        var client = client
        if !endpoint.authenticated { client.authentication = .none }
        var parameters: [(name: String, value: String)] = []
        if !scopes.isEmpty {
            // In a form a `+` is a space.
            let separator = dialect.scopeSeparator == "+" ? " " : dialect.scopeSeparator
            parameters.append(("scope", scopes.map(\.rawValue).joined(separator: separator)))
        }
        let plain = TokenDialect(requestFields: dialect.requestFields, parameterNames: dialect.parameterNames)
        return TokenEndpoint.request(
            to: endpoint.url, parameters, server: server, client: client, dialect: plain, moment: moment)
    }

    /// §3.4. To be sent no faster than the server's interval, and by one poller alone.
    package static func tokenRequest(
        deviceCode: Secret, server: AuthorizationServer, client: ClientRegistration, dialect: TokenDialect,
        moment: Moment
    ) -> TransferRequest {
        let parameters: [(name: String, value: String)] = [
            ("grant_type", grantType), ("device_code", deviceCode.reveal { $0 }),
        ]
        return TokenEndpoint.request(
            to: server.tokenEndpoint, parameters, server: server, client: client, dialect: dialect, moment: moment)
    }

    /// What the answer to a token request means for the one who polls (§3.5). Servers say `authorization_pending` with
    /// 400, 428 or 200: the word counts, not the status.
    package static func read(
        _ response: TransferResponse, dialect: TokenDialect, requestedScopes: [Scope], requestedAt: Timestamp,
        binding: DPoP.Use = .none
    ) -> DeviceTokenAnswer {
        do {
            return .granted(
                try TokenEndpoint.read(
                    response, dialect: dialect, requestedScopes: requestedScopes, requestedAt: requestedAt,
                    binding: binding))
        } catch {
            switch error {
            case .refused(.authorizationPending): return .pending
            case .refused(.slowDown): return .slowDown(interval: statedInterval(response))
            case .refused(.expiredToken): return .expired
            case .refused(.serverError), .refused(.temporarilyUnavailable), .unavailable: return .unavailable
            case .refused(let code): return .refused(code)
            case .malformed(let reason): return .malformed(reason: reason)
            }
        }
    }

    private static func statedInterval(_ response: TransferResponse) -> Duration? {
        // The word `slow_down` was read from the same bytes, perhaps as a form, which has no interval.
        (try? JSONValue(parsing: response.body))?["interval"]?.number?.int64.flatMap { seconds in
            seconds > 0 ? .seconds(min(seconds, DeviceAuthorization.intervalSecondsMax)) : nil
        }
    }
}

package enum DeviceTokenAnswer: Sendable {
    case granted(AccessTokenResponse)
    case pending
    /// With the interval that the server asks for, where it names one.
    case slowDown(interval: Duration?)
    /// Nothing that settles anything: a server in trouble, a page. To be asked again after a longer pause.
    case unavailable
    /// The person took too long.
    case expired
    case refused(TokenErrorCode)
    case malformed(reason: String)
}

/// A device authorization response (RFC 8628 §3.2).
package struct DeviceAuthorization: Sendable {
    package var deviceCode: Secret
    /// At most 64 visible ASCII characters, to be shown and never interpreted.
    package var userCode: String
    /// `https`, or `http` where the endpoint itself is at the same loopback address.
    package var verificationURI: String
    /// The same with the user code in it; `nil` where there is none that may be shown.
    package var verificationURIComplete: String?
    package var lifetime: Duration
    package var interval: Duration

    /// Where the answer names none (§3.2).
    static let intervalDefault: Int64 = 5
    static let intervalSecondsMax: Int64 = 300
    private static let lifetimeDefault: Int64 = 300
    private static let lifetimeMax: Int64 = 3600

    /// `verification_url` is read as well, as drafts had it and Google says it still.
    package static func read(
        _ response: TransferResponse, endpoint: DeviceAuthorizationEndpoint, dialect: TokenDialect
    ) throws(TokenRequestError) -> DeviceAuthorization {
        let isSuccess = (200..<300).contains(response.status)
        if response.status >= 500 || response.status == 429 { throw .unavailable(status: response.status) }
        // Errors are the token endpoint's (§3.2), and so are its ways of putting them.
        if let body = try? TokenResponseBody(response, dialect: dialect),
            let code = body.errorCode(dialect.errorCodes)
        {
            throw .refused(code)
        }
        guard isSuccess else { throw .unavailable(status: response.status) }
        guard MediaType(response.fields["content-type"] ?? "").isJSON else {
            throw .malformed(reason: "the content type is not JSON")
        }
        let document: JSONValue
        do { document = try JSONValue(parsing: response.body) } catch { throw .malformed(reason: "not JSON") }
        func member(_ name: String) -> JSONValue? { document[endpoint.memberNames[name] ?? name] }
        func text(_ name: String, _ lengthMax: Int) -> String? {
            member(name)?.string.flatMap { text in
                (1...lengthMax).contains(text.utf8.count) && text.isVisibleASCII ? text : nil
            }
        }
        guard let deviceCode = text("device_code", 4096) else { throw .malformed(reason: "no usable device_code") }
        guard let userCode = text("user_code", 64) else { throw .malformed(reason: "no usable user_code") }
        guard let address = text("verification_uri", 2048) ?? text("verification_url", 2048),
            mayBeShown(address, by: endpoint)
        else { throw .malformed(reason: "no verification_uri that may be shown") }
        let complete = text("verification_uri_complete", 2048).flatMap { mayBeShown($0, by: endpoint) ? $0 : nil }
        let lifetime = seconds(member("expires_in")) ?? lifetimeDefault
        let interval = seconds(member("interval")) ?? intervalDefault
        return DeviceAuthorization(
            deviceCode: Secret(deviceCode), userCode: userCode, verificationURI: address,
            verificationURIComplete: complete, lifetime: .seconds(min(lifetime, lifetimeMax)),
            interval: .seconds(min(interval, intervalSecondsMax)))
    }

    private static func seconds(_ value: JSONValue?) -> Int64? {
        let stated: Double? =
            switch value {
            case .number(let number): number.double
            case .string(let text): Int64(text).map { Double($0) }
            default: nil
            }
        return stated.flatMap { $0 >= 1 && $0.isFinite ? Int64(min($0, 1_000_000)) : nil }
    }

    private static func mayBeShown(_ address: String, by endpoint: DeviceAuthorizationEndpoint) -> Bool {
        guard let shown = Origin(url: address) else { return false }
        if shown.scheme == "https" { return true }
        // The destination policy has let plain http to a loopback address pass.
        return Origin(url: endpoint.url)?.scheme == "http" && Origin(url: endpoint.url)?.host == shown.host
    }
}
