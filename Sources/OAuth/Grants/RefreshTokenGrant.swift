package import Accounts
package import Transfer

/// RFC 6749 §6.
package enum RefreshTokenGrant {
    /// Names no scopes: the server grants those it granted before, and naming them could only narrow.
    package static func tokenRequest(
        refreshToken: Secret, server: AuthorizationServer, client: ClientRegistration, dialect: TokenDialect,
        moment: Moment
    ) -> TransferRequest {
        var parameters = [(name: "refresh_token", value: refreshToken.reveal { $0 })]
        let grantType = dialect.refresh.grantType ?? "refresh_token"
        if grantType != "omitted" { parameters.insert(("grant_type", grantType), at: 0) }
        return TokenEndpoint.request(
            to: dialect.refresh.endpoint ?? server.tokenEndpoint, parameters, server: server,
            client: client, dialect: dialect.speaking(dialect.refresh), moment: moment)
    }
}
