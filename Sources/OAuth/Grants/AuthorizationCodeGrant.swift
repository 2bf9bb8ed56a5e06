package import Accounts
package import Transfer

/// RFC 6749 §4.1.3 with RFC 7636 §4.5.
package enum AuthorizationCodeGrant {
    /// The code and the verifier are sent once: the caller must have consumed the state before. `redirectURI` is that of the
    /// authorization request where it was not the client's own.
    package static func tokenRequest(
        code: Secret, codeVerifier: Secret?, state: Secret? = nil, redirectURI: String? = nil,
        server: AuthorizationServer, client: ClientRegistration, dialect: TokenDialect, moment: Moment
    ) -> TransferRequest {
        var parameters: [(name: String, value: String)] = [
            ("grant_type", "authorization_code"), ("code", code.reveal { $0 }),
            ("redirect_uri", redirectURI ?? client.redirectURI),
        ]
        if let codeVerifier { parameters.append(("code_verifier", codeVerifier.reveal { $0 })) }
        if dialect.sendsState, let state { parameters.append(("state", state.reveal { $0 })) }
        return TokenEndpoint.request(
            to: server.tokenEndpoint, parameters, server: server, client: client, dialect: dialect, moment: moment)
    }
}
