import Accounts
import Cryptography
import OAuth
import Transfer

/// Requested at the instant around which the samples are set.
let requestedAt = Timestamp(secondsSinceEpoch: 1_795_185_773)

extension AuthorizationServer {
    static let example = AuthorizationServer(
        issuer: "https://op.example", authorizationEndpoint: "https://op.example/authorize",
        tokenEndpoint: "https://op.example/token")
}

extension Moment {
    static let example = Moment(now: requestedAt, random: SystemRandom())
}

extension ClientRegistration {
    static func example(
        _ authentication: ClientAuthentication, id: String = "client-EXAMPLE", secret: String? = "secret-EXAMPLE"
    )
        -> ClientRegistration
    {
        ClientRegistration(
            clientID: id, clientSecret: secret.map { Secret($0) },
            signingKey: authentication.needsKey ? .generateP256(random: SystemRandom()) : nil,
            authentication: authentication,
            redirectURI: "https://rollcall.example/callback/op")
    }
}

func scopes(_ names: String...) -> [Scope] { names.compactMap { Scope($0) } }

extension Secret {
    var text: String { reveal { $0 } }
}

extension TransferResponse {
    static func json(_ body: String) -> TransferResponse { .json(200, body) }

    static func json(_ status: Int, _ body: String) -> TransferResponse {
        TransferResponse(status: status, fields: ["content-type": "application/json"], body: Array(body.utf8))
    }
}

/// Reads an answer that must be a token.
func read(
    _ response: TransferResponse, _ dialect: TokenDialect = TokenDialect(), requestedScopes: [Scope] = scopes("a", "b")
) throws -> AccessTokenResponse {
    try TokenEndpoint.read(response, dialect: dialect, requestedScopes: requestedScopes, requestedAt: requestedAt)
}

/// Reads an answer that must not be one.
func refusal(_ response: TransferResponse, _ dialect: TokenDialect = TokenDialect()) -> TokenRequestError? {
    do {
        _ = try read(response, dialect)
        return nil
    } catch { return error as? TokenRequestError }
}
