package import Accounts
import JSON
package import Transfer

/// A token of the application's own, of no user: by client credentials (RFC 6749 §4.4), or for an assertion of a service
/// account (RFC 7523 §2.1).
package struct ApplicationGrant: Sendable, Equatable {
    package enum Kind: String, Sendable, CaseIterable {
        case clientCredentials = "client_credentials"
        case jwtBearer = "jwt_bearer"
    }

    package var kind: Kind
    package var scopes: [Scope]
    /// `sub` of the assertion; its issuer where `nil`.
    package var subject: String?
    /// The scopes are a claim of the assertion and no parameter.
    package var scopesInAssertion: Bool

    package init(kind: Kind, scopes: [Scope] = [], subject: String? = nil, scopesInAssertion: Bool = false) {
        self.kind = kind
        self.scopes = scopes
        self.subject = subject
        self.scopesInAssertion = scopesInAssertion
    }

    package func tokenRequest(
        server: AuthorizationServer, client: ClientRegistration, dialect: TokenDialect, moment: Moment
    ) -> TransferRequest {
        let scope = scopes.map(\.rawValue).joined(separator: dialect.scopeSeparator)
        var parameters: [(name: String, value: String)] = []
        if !scope.isEmpty, !(kind == .jwtBearer && scopesInAssertion) { parameters.append(("scope", scope)) }
        switch kind {
        case .clientCredentials:
            parameters.insert(("grant_type", "client_credentials"), at: 0)
            return TokenEndpoint.request(
                to: server.tokenEndpoint, parameters, server: server, client: client, dialect: dialect, moment: moment)
        case .jwtBearer:
            // The assertion is all the proof there is: what it speaks for need not be the client that users know.
            parameters.insert(("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), at: 0)
            let issuer = client.assertion.issuer ?? client.clientID
            var claims = client.assertionClaims(
                issuer: issuer, subject: subject ?? issuer, at: server.tokenEndpoint, of: server, moment)
            if scopesInAssertion { claims["scope"] = .string(scope) }
            // Without a key there is none, and the server says so.
            let assertion = client.signedAssertion(claims, algorithms: server.clientAssertionAlgorithms) ?? ""
            parameters.append(("assertion", assertion))
            return TokenEndpoint.request(
                to: server.tokenEndpoint, parameters, server: server, client: nil, dialect: dialect, moment: moment)
        }
    }
}
