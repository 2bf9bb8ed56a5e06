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

/// Where `state` stands in an authorization request.
package enum StatePlace: String, Sendable, CaseIterable {
    case parameter
    /// In the query of the redirect URI, where it comes back from servers that know no `state`.
    case redirectURI = "redirect_uri"
}

/// The redirect that asks for authorization (RFC 6749 §4.1.1), and what must be remembered until its answer comes.
package struct AuthorizationRequest: Sendable, CustomStringConvertible, CustomReflectable {
    package let url: String
    /// All of the request, in order.
    let parameters: [(name: String, value: String)]
    /// 256 random bits as 43 characters of base64url; says nothing of user, provider or destination.
    package let state: Secret
    /// 32 random bytes as 43 characters of base64url (RFC 7636 §4.1); `nil` without PKCE.
    package let codeVerifier: Secret?
    /// 256 random bits (OpenID Connect Core §3.1.2.1); `nil` where none is sent.
    package let nonce: Secret?

    /// `parameters` are the manifest's and the instance's extra ones; they can't replace what the protocol sets.
    /// `parameterNames` holds the provider's own names of standard parameters. `resources` are where the tokens will be
    /// used (RFC 8707 §2.1); `keyThumbprint` is that of the key that the code will be bound to (RFC 9449 §10).
    /// `response_mode` is sent where it is not the default.
    package init(
        server: AuthorizationServer, client: ClientRegistration, scopes: [Scope], scopeSeparator: String = " ",
        parameters: [String: String] = [:], parameterNames: [String: String] = [:], resources: [String] = [],
        keyThumbprint: String? = nil, pkce: PKCEMethod, sendsNonce: Bool, responseType: String? = "code",
        statePlace: StatePlace = .parameter, responseMode: ResponseMode = .query, random: any RandomSource
    ) {
        let state = Base64URL.encode(random.bytes(32))
        let verifier = pkce == .s256 ? Base64URL.encode(random.bytes(32)) : nil
        let nonce = sendsNonce ? Base64URL.encode(random.bytes(32)) : nil
        var standard: [(name: String, value: String)] = [("client_id", client.clientID)]
        if let responseType { standard.append(("response_type", responseType)) }
        switch statePlace {
        case .parameter:
            standard.append(("redirect_uri", client.redirectURI))
            standard.append(("state", state))
        case .redirectURI: standard.append(("redirect_uri", Self.redirectURI(of: client, state: state)))
        }
        if let verifier {
            standard.append(("code_challenge", Self.challenge(of: verifier)))
            standard.append(("code_challenge_method", PKCEMethod.s256.rawValue))
        }
        if let nonce { standard.append(("nonce", nonce)) }
        if responseMode != .query { standard.append(("response_mode", responseMode.rawValue)) }
        standard += resources.map { ("resource", $0) }
        if let keyThumbprint { standard.append(("dpop_jkt", keyThumbprint)) }
        standard = standard.map { (parameterNames[$0.name] ?? $0.name, $0.value) }
        let scopeName = parameterNames["scope"] ?? "scope"
        let taken = Self.reservedParameters.union(standard.map(\.name)).union([scopeName])
        standard += parameters.filter { !taken.contains($0.key) }.map { ($0.key, $0.value) }
        // Some servers choke on an empty parameter; it means the same as none (RFC 6749 §3.1).
        var all = standard.filter { !$0.value.isEmpty }
        var encoded = all.map { name, value in
            (name: name, text: FormEncoding.query([(name, value)]))
        }
        if !scopes.isEmpty {
            // A separator of `+` is the form encoding of a space already, for servers that do not take `%20`.
            let separator = scopeSeparator == "+" ? "+" : FormEncoding.percentEncode(scopeSeparator)
            let value = scopes.map { FormEncoding.percentEncode($0.rawValue) }.joined(separator: separator)
            encoded.append((scopeName, "\(FormEncoding.percentEncode(scopeName))=\(value)"))
            let plain = scopes.map(\.rawValue).joined(separator: scopeSeparator == "+" ? " " : scopeSeparator)
            all.append((scopeName, plain))
        }
        self.parameters = all
        // In the order of their names: there are servers that ask for it, and none that minds.
        let query = encoded.sorted { $0.name < $1.name }.map(\.text).joined(separator: "&")
        url = Self.url(server.authorizationEndpoint, query: query)
        self.state = Secret(state)
        codeVerifier = verifier.map { Secret($0) }
        self.nonce = nonce.map { Secret($0) }
    }

    /// A fragment that begins with a slash is the path of a page's own routes, and the query belongs to it; any other is a
    /// mark that stays at the end.
    private static func url(_ endpoint: String, query: String) -> String {
        guard let mark = endpoint.firstIndex(of: "#") else { return joined(endpoint[...], query) }
        if endpoint[mark...].hasPrefix("#/") { return "\(endpoint[..<mark])\(joined(endpoint[mark...], query))" }
        return "\(joined(endpoint[..<mark], query))\(endpoint[mark...])"
    }

    private static func joined(_ address: Substring, _ query: String) -> String {
        "\(address)\(address.contains("?") ? "&" : "?")\(query)"
    }

    /// The redirect URI with `state` in its query: the same for authorization and token request.
    package static func redirectURI(of client: ClientRegistration, state: String) -> String {
        EncodedParameters.url(client.redirectURI, adding: [("state", state)])
    }

    /// What no configuration may set. `response_mode` has a key of its own; `request` and
    /// `request_uri` would replace everything else (RFC 9101).
    package static let reservedParameters: Set<String> = [
        "response_type", "response_mode", "client_id", "redirect_uri", "scope", "state", "code_challenge",
        "code_challenge_method", "nonce", "request", "request_uri", "resource", "dpop_jkt",
    ]

    /// `code_challenge` by S256 (RFC 7636 §4.2).
    package static func challenge(of verifier: String) -> String { Base64URL.encode(Digest.sha256(verifier.utf8)) }

    package var description: String { "authorization request to \(url.prefix { $0 != "?" })" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
