package import Accounts
package import Transfer

/// RFC 6749 §6.
package enum RefreshTokenGrant {
    /// Names no scopes: the server grants those it granted before, and naming them could only narrow.
    package static func tokenRequest(
        refreshToken: Secret, server: AuthorizationServer, client: ClientRegistration, dialect: TokenDialect,
        moment: Moment
    ) -> TransferRequest {
        let parameters: [(name: String, value: String)] = [
            ("grant_type", "refresh_token"), ("refresh_token", refreshToken.reveal { $0 }),
        ]
        let endpoint = dialect.refreshEndpoint ?? server.tokenEndpoint
        return TokenEndpoint.request(
            to: endpoint, parameters, server: server, client: client, dialect: dialect, moment: moment)
    }
}
