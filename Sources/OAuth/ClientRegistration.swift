package import Accounts
package import Cryptography

/// What the provider knows this program by.
package struct ClientRegistration: Sendable, Equatable {
    package var clientID: String
    /// `nil` for a public client, and for one that signs.
    package var clientSecret: Secret?
    /// What assertions are signed with.
    package var signingKey: SigningKey?
    package var authentication: ClientAuthentication
    package var assertion: ClientAssertionRule
    /// Sent byte for byte the same in the authorization and the token request (RFC 6749 §4.1.3).
    package var redirectURI: String

    package init(
        clientID: String, clientSecret: Secret?, signingKey: SigningKey? = nil, authentication: ClientAuthentication,
        assertion: ClientAssertionRule = ClientAssertionRule(), redirectURI: String
    ) {
        self.clientID = clientID
        self.clientSecret = clientSecret
        self.signingKey = signingKey
        self.authentication = authentication
        self.assertion = assertion
        self.redirectURI = redirectURI
    }
}

/// How the client authenticates at the token and revocation endpoints; one way per request (RFC 6749 §2.3).
package enum ClientAuthentication: String, Sendable, Hashable, CaseIterable {
    /// Basic, id and secret form-encoded first (RFC 6749 §2.3.1).
    case clientSecretBasic = "client_secret_basic"
    /// Basic with id and secret as they are, for servers that do not decode.
    case clientSecretBasicRaw = "client_secret_basic_raw"
    /// Basic with the secret as the user name and an empty password.
    case clientSecretUsername = "client_secret_username"
    /// The secret as a bearer token.
    case clientSecretBearer = "client_secret_bearer"
    /// `client_id` and `client_secret` in the body.
    case clientSecretPost = "client_secret_post"
    /// An assertion under the secret, HS256 (OpenID Connect Core §9).
    case clientSecretJWT = "client_secret_jwt"
    /// An assertion signed with the client's own key (OpenID Connect Core §9, RFC 7523 §2.2).
    case privateKeyJWT = "private_key_jwt"
    /// `client_id` in the body, no secret.
    case none
    /// Basic with `client_id` and an empty password, for public clients of servers that want Basic all the same.
    case noneBasic = "none_basic"

    /// Something proves who the client is.
    package var proves: Bool { self != .none && self != .noneBasic }
    package var needsSecret: Bool { proves && self != .privateKeyJWT }
    package var needsKey: Bool { self == .privateKeyJWT }
}
