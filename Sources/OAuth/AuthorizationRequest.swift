package import Accounts
import Cryptography

/// Proof Key for Code Exchange (RFC 7636). `plain` does not exist here.
package enum PKCEMethod: String, Sendable, CaseIterable {
    case s256 = "S256"
    case none
}

/// How the browser brings the authorization response (OAuth 2.0 Multiple Response Type Encoding Practices §2.1; OAuth
/// 2.0 Form Post Response Mode §2). Tokens in a fragment have no case here.
package enum ResponseMode: String, Sendable, CaseIterable {
    case query
    case formPost = "form_post"
}

/// The redirect that asks for authorization (RFC 6749 §4.1.1), and what must be remembered until its answer comes.
package struct AuthorizationRequest: Sendable, CustomStringConvertible, CustomReflectable {
    package let url: String
    /// 256 random bits as 43 characters of base64url; says nothing of user, provider or destination.
    package let state: Secret
    /// 32 random bytes as 43 characters of base64url (RFC 7636 §4.1); `nil` without PKCE.
    package let codeVerifier: Secret?
    /// 256 random bits (OpenID Connect Core §3.1.2.1); `nil` where none is sent.
    package let nonce: Secret?

    /// `parameters` are the manifest's and the instance's extra ones; they can't replace what the protocol sets.
    /// `parameterNames` holds the provider's own names of standard parameters. `response_mode` is sent where it is not
    /// the default.
    package init(
        server: AuthorizationServer, client: ClientRegistration, scopes: [Scope], scopeSeparator: String = " ",
        parameters: [String: String] = [:], parameterNames: [String: String] = [:], pkce: PKCEMethod, sendsNonce: Bool,
        responseMode: ResponseMode = .query, random: any RandomSource
    ) {
        let state = Base64URL.encode(random.bytes(32))
        let verifier = pkce == .s256 ? Base64URL.encode(random.bytes(32)) : nil
        let nonce = sendsNonce ? Base64URL.encode(random.bytes(32)) : nil
        var standard: [(name: String, value: String)] = [
            ("response_type", "code"), ("client_id", client.clientID), ("redirect_uri", client.redirectURI),
            ("state", state),
        ]
        if let verifier {
            standard.append(("code_challenge", Self.challenge(of: verifier)))
            standard.append(("code_challenge_method", PKCEMethod.s256.rawValue))
        }
        if let nonce { standard.append(("nonce", nonce)) }
        if responseMode != .query { standard.append(("response_mode", responseMode.rawValue)) }
        standard = standard.map { (parameterNames[$0.name] ?? $0.name, $0.value) }
        let scopeName = parameterNames["scope"] ?? "scope"
        let taken = Self.reservedParameters.union(standard.map(\.name)).union([scopeName])
        let extra = parameters.filter { !taken.contains($0.key) }.sorted { $0.key < $1.key }
        standard += extra.map { ($0.key, $0.value) }

        var query = FormEncoding.query(standard)
        if !scopes.isEmpty {
            // A separator of `+` is the form encoding of a space already, for servers that do not take `%20`.
            let separator = scopeSeparator == "+" ? "+" : FormEncoding.percentEncode(scopeSeparator)
            let value = scopes.map { FormEncoding.percentEncode($0.rawValue) }.joined(separator: separator)
            query += "&\(FormEncoding.percentEncode(scopeName))=\(value)"
        }
        url = server.authorizationEndpoint + (server.authorizationEndpoint.contains("?") ? "&" : "?") + query
        self.state = Secret(state)
        codeVerifier = verifier.map { Secret($0) }
        self.nonce = nonce.map { Secret($0) }
    }

    /// What no configuration may set. `response_mode` has a key of its own; `request` and
    /// `request_uri` would replace everything else (RFC 9101).
    package static let reservedParameters: Set<String> = [
        "response_type", "response_mode", "client_id", "redirect_uri", "scope", "state", "code_challenge",
        "code_challenge_method", "nonce", "request", "request_uri",
    ]

    /// `code_challenge` by S256 (RFC 7636 §4.2).
    package static func challenge(of verifier: String) -> String { Base64URL.encode(Digest.sha256(verifier.utf8)) }

    package var description: String { "authorization request to \(url.prefix { $0 != "?" })" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
