package import Accounts
package import Transfer

/// RFC 6749 §6.
package enum RefreshTokenGrant {
    /// Without `scopes` the server grants those it granted before; naming them only narrows.
    package static func tokenRequest(
        refreshToken: Secret, scopes: [Scope] = [], server: AuthorizationServer, client: ClientRegistration,
        dialect: TokenDialect
    ) -> TransferRequest {
        var parameters: [(name: String, value: String)] = [
            ("grant_type", "refresh_token"), ("refresh_token", refreshToken.reveal { $0 }),
        ]
        if !scopes.isEmpty {
            parameters.append(("scope", scopes.map(\.rawValue).joined(separator: dialect.scopeSeparator)))
        }
        let endpoint = dialect.refreshEndpoint ?? server.tokenEndpoint
        return TokenEndpoint.request(to: endpoint, parameters, client: client, dialect: dialect)
    }
}
