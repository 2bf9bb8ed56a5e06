/// A site that answers profile requests with recorded bodies, under `/fixture/<name>`: for playing any provider whose
/// manifest says where its endpoints are. The grants are real ones, with every switch and fault; what the site says of
/// people is what was recorded.
package struct SimulatedFixtureSite: Sendable {
    package var name: String
    /// Paths below `/fixture/<name>`, each with a leading slash.
    package var authorizationPath: String
    package var tokenPath: String
    /// RFC 7009; `nil` where the provider has none.
    package var revocationPath: String?
    /// Bodies of JSON by method and path: `GET /users/@me`. Queries are not looked at.
    package var resources: [String: [UInt8]]
    /// Between scopes in requests and token responses.
    package var scopeSeparator: Character = " "
    /// The authorization scheme of resource requests.
    package var tokenScheme = "Bearer"
    package var readsJSONTokenRequests = false
    package var switches = SimulatorSwitches()
    /// Writes the token response where it departs from RFC 6749 §5.1.
    package var tokenResponse: (@Sendable (TokenMembers) -> Body)?

    /// What a token response says.
    package struct TokenMembers: Sendable {
        package var accessToken: String
        package var refreshToken: String?
        /// Seconds.
        package var expiresIn: Int?
        package var scopes: [String]
    }

    package struct Body: Sendable {
        package var status: Int
        package var contentType: String
        package var bytes: [UInt8]

        package init(status: Int = 200, contentType: String = "application/json", bytes: [UInt8]) {
            self.status = status
            self.contentType = contentType
            self.bytes = bytes
        }
    }

    package init(
        name: String, authorizationPath: String, tokenPath: String, revocationPath: String? = nil,
        resources: [String: [UInt8]]
    ) {
        self.name = name
        self.authorizationPath = authorizationPath
        self.tokenPath = tokenPath
        self.revocationPath = revocationPath
        self.resources = resources
        switches.accessTokenLifetime = 3600
    }
}
