import Accounts
import Foundation
import JSON
import OAuth
import Synchronization
import TestSupport
import Transfer

@testable import Web

/// An authorization server that asks for what RFC 6749 and RFC 7636 ask for, but for how it compares redirect URIs where a
/// test says so. The people at it are signed in and consent to everything.
final class HonestServer: Sendable {
    private struct Code {
        var redirectURI: String
        var challenge: String
        var person: Int
    }

    private struct State {
        var codes: [String: Code] = [:]
        var refused = 0
        var issued = 0
    }

    static let callback = "https://accounts.example.com/callback/honest"
    static let authorization = "Basic " + Data("EXAMPLE-honest:EXAMPLE-honest-secret".utf8).base64EncodedString()

    let matchesByPrefix: Bool
    let sendsIssuer: Bool
    private let state = Mutex(State())

    init(matchesByPrefix: Bool = false, sendsIssuer: Bool = false) {
        self.matchesByPrefix = matchesByPrefix
        self.sendsIssuer = sendsIssuer
    }

    /// Token requests that were refused.
    var refused: Int { state.withLock { $0.refused } }

    /// Where the browser of `person` is sent; `nil` where it is shown a refusal instead.
    func authorize(_ url: String, person: Int) -> String? {
        let items = URLComponents(string: url)?.queryItems ?? []
        let query = Dictionary(items.map { ($0.name, $0.value ?? "") }) { first, _ in first }
        guard url.hasPrefix("https://honest.example/authorize?"), query["client_id"] == "EXAMPLE-honest",
            let redirectURI = query["redirect_uri"], let challenge = query["code_challenge"],
            redirectURI == Self.callback || matchesByPrefix && redirectURI.hasPrefix(Self.callback)
        else { return nil }
        let code = state.withLock { state in
            let code = "EXAMPLE-honest-code-\(state.codes.count)"
            state.codes[code] = Code(redirectURI: redirectURI, challenge: challenge, person: person)
            return code
        }
        return redirectURI + "?code=\(code)&state=\(query["state"] ?? "")"
            + (sendsIssuer ? "&iss=https://honest.example" : "")
    }

    /// What its token endpoint and its resource answer; `nil` for requests to others.
    func answer(_ request: TransferRequest) -> ScriptedTransport.Answer? {
        let fields = request.credentials.map(\.value)
        switch request.url {
        case "https://honest.example/token":
            let form = FormParameters(bytes: request.body?.bytes ?? [])
            let code = form?["code"].flatMap { code in state.withLock { $0.codes.removeValue(forKey: code) } }
            guard fields == [Self.authorization], let code, form?["redirect_uri"] == code.redirectURI,
                challenge(of: form?["code_verifier"] ?? "") == code.challenge
            else {
                state.withLock { $0.refused += 1 }
                return Self.json(400, #"{"error":"invalid_grant"}"#)
            }
            state.withLock { $0.issued += 1 }
            return Self.json(
                200,
                #"{"access_token":"EXAMPLE-honest-\#(code.person)","token_type":"Bearer","scope":"profile"}"#)
        case "https://api.honest.example/me":
            let person = fields.first.flatMap { Int($0.split(separator: "-").last ?? "") }
            guard let person else { return Self.json(401, "{}") }
            return Self.json(200, #"{"id":\#(person),"login":"person\#(person)"}"#)
        case "https://honest.example/.well-known/openid-configuration":
            return Self.json(
                200,
                #"{"issuer":"https://honest.example","authorization_endpoint":"https://honest.example/authorize","token_endpoint":"https://honest.example/token","jwks_uri":"https://honest.example/keys","response_types_supported":["code"],"authorization_response_iss_parameter_supported":true}"#
            )
        default: return nil
        }
    }

    private func challenge(of verifier: String) -> String { AuthorizationRequest.challenge(of: verifier) }

    static func json(_ status: Int, _ body: String) -> ScriptedTransport.Answer {
        .success(
            TransferResponse(status: status, fields: ["content-type": "application/json"], body: Array(body.utf8)))
    }
}
