package import Accounts

/// What the provider knows this program by.
package struct ClientRegistration: Sendable, Equatable {
    package var clientID: String
    /// `nil` for a public client.
    package var clientSecret: Secret?
    package var authentication: ClientAuthentication
    /// Sent byte for byte the same in the authorization and the token request (RFC 6749 §4.1.3).
    package var redirectURI: String

    package init(clientID: String, clientSecret: Secret?, authentication: ClientAuthentication, redirectURI: String) {
        self.clientID = clientID
        self.clientSecret = clientSecret
        self.authentication = authentication
        self.redirectURI = redirectURI
    }
}

/// How the client authenticates at the token and revocation endpoints; one way per request (RFC 6749 §2.3).
package enum ClientAuthentication: String, Sendable, Hashable, CaseIterable {
    /// Basic, id and secret form-encoded first (RFC 6749 §2.3.1).
    case clientSecretBasic = "client_secret_basic"
    /// Basic with id and secret as they are, for servers that do not decode.
    case clientSecretBasicRaw = "client_secret_basic_raw"
    /// `client_id` and `client_secret` in the body.
    case clientSecretPost = "client_secret_post"
    /// `client_id` in the body, no secret.
    case none
}
