package import Cryptography
package import JSON
package import Transfer

/// The endpoints and capabilities in force for one flow: the manifest's and the metadata document's, put together.
package struct AuthorizationServer: Sendable, Equatable {
    /// Compared byte for byte with `iss`. Holds `{tenantid}` where the metadata document states a declared template.
    package var issuer: String?
    package var authorizationEndpoint: String
    package var tokenEndpoint: String
    package var userinfoEndpoint: String?
    package var jwksURI: String?
    package var revocation: RevocationMethod
    package var deviceAuthorization: DeviceAuthorizationEndpoint?
    package var introspectionEndpoint: String?
    /// The server says that every authorization response carries `iss` (RFC 9207 §3): one without is refused.
    package var authorizationResponseIssRequired: Bool
    /// What an ID token may be signed with; empty where the server is no OpenID provider.
    package var idTokenAlgorithms: [SignatureAlgorithm]
    /// Where authorization requests are pushed (RFC 9126); `nil` where the browser carries them.
    package var pushedAuthorizationEndpoint: String?
    /// Whether tokens are bound to a key (RFC 9449).
    package var dpop: DPoP.Use
    /// What it takes client assertions signed with, by name; empty where it does not say.
    package var clientAssertionAlgorithms: [String]

    package init(
        issuer: String? = nil, authorizationEndpoint: String, tokenEndpoint: String, userinfoEndpoint: String? = nil,
        jwksURI: String? = nil, revocation: RevocationMethod = .none,
        deviceAuthorization: DeviceAuthorizationEndpoint? = nil, introspectionEndpoint: String? = nil,
        authorizationResponseIssRequired: Bool = false, idTokenAlgorithms: [SignatureAlgorithm] = [],
        pushedAuthorizationEndpoint: String? = nil, dpop: DPoP.Use = .none, clientAssertionAlgorithms: [String] = []
    ) {
        self.issuer = issuer
        self.authorizationEndpoint = authorizationEndpoint
        self.tokenEndpoint = tokenEndpoint
        self.userinfoEndpoint = userinfoEndpoint
        self.jwksURI = jwksURI
        self.revocation = revocation
        self.deviceAuthorization = deviceAuthorization
        self.introspectionEndpoint = introspectionEndpoint
        self.authorizationResponseIssRequired = authorizationResponseIssRequired
        self.idTokenAlgorithms = idTokenAlgorithms
        self.pushedAuthorizationEndpoint = pushedAuthorizationEndpoint
        self.dpop = dpop
        self.clientAssertionAlgorithms = clientAssertionAlgorithms
    }
}

/// How the server takes a token back.
package enum RevocationMethod: Sendable, Equatable {
    case none
    /// RFC 7009. `authenticated` is false for servers that take the token as proof enough and refuse client
    /// credentials.
    case rfc7009(endpoint: String, authenticated: Bool)
    /// A request of the provider's own.
    case request(RevocationRequest)
}

/// A declared revocation request. `url` and `body` may hold `{client_id}`, `{access_token}`, `{refresh_token}` and
/// `{token}`; with `{token}` the request is made for the refresh token first and then for the access token, else once. It
/// is left out where the credential lacks a token that it names.
package struct RevocationRequest: Sendable, Equatable {
    package enum Authentication: String, Sendable, CaseIterable {
        /// Client id and secret, form-encoded as in `client_secret_basic`.
        case basic
        case none
        /// The access token itself.
        case bearer
    }

    package enum Body: Sendable, Equatable {
        case none
        /// Members in order, values that are strings.
        case form(JSONObject)
        case json(JSONValue)
    }

    package var method: Transfer.Method
    package var url: String
    package var fields: HeaderFields
    package var authentication: Authentication
    package var body: Body
    package var successStatuses: [Int]
    /// The token was dead before; as good as success.
    package var alreadyDeadStatuses: [Int]

    package init(
        method: Transfer.Method, url: String, fields: HeaderFields = [:], authentication: Authentication,
        body: Body = .none, successStatuses: [Int] = [200, 204], alreadyDeadStatuses: [Int] = [404, 422]
    ) {
        self.method = method
        self.url = url
        self.fields = fields
        self.authentication = authentication
        self.body = body
        self.successStatuses = successStatuses
        self.alreadyDeadStatuses = alreadyDeadStatuses
    }
}
