package import Accounts
package import Transfer

/// A provider's own second step: the access token that a code brought lives for an hour, and is exchanged at once for one
/// that lasts.
package enum AccessTokenExchange {
    /// `nil` where the dialect has no such step.
    package static func tokenRequest(
        accessToken: Secret, server: AuthorizationServer, client: ClientRegistration, dialect: TokenDialect,
        moment: Moment
    ) -> TransferRequest? {
        guard let exchange = dialect.exchange else { return nil }
        var parameters = [(name: "access_token", value: accessToken.reveal { $0 })]
        if let grantType = exchange.grantType { parameters.insert(("grant_type", grantType), at: 0) }
        return TokenEndpoint.request(
            to: exchange.endpoint ?? server.tokenEndpoint, parameters, server: server,
            client: client, dialect: dialect.speaking(exchange), moment: moment)
    }
}
