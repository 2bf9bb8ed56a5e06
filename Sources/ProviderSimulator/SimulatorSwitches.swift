/// What one site does that another does not. Each is a quirk of a real server; `defaults(for:)` is the site as it is.
package struct SimulatorSwitches: Sendable, Equatable {
    /// Seconds; `nil` issues access tokens that never expire and, unless `alwaysIssuesRefreshTokens`, no refresh token.
    package var accessTokenLifetime: Int?
    /// Seconds; `nil` is without end.
    package var refreshTokenLifetime: Int?
    package var codeLifetime = 600
    /// Seconds for which a device code and its user code are good.
    package var deviceCodeLifetime = 900
    /// Seconds between two polls of a device; sooner is too soon.
    package var deviceInterval = 5
    /// A refresh answers with a new refresh token and spends the old one.
    package var rotatesRefreshTokens = true
    /// Using a spent refresh token ends the grant (RFC 9700 §4.14.2).
    package var reuseRevokesFamily = false
    /// Seconds for which a spent refresh token is answered with what its rotation issued.
    package var reuseGrace = 0
    /// Refresh tokens of people who were made on the fly are for single use like any other's.
    package var remembersBulkTokens = false
    /// A refresh ends the access tokens issued before it.
    package var refreshEndsAccessTokens = false
    /// A refresh token comes with the first consent only, unless `prompt=consent`, and with `access_type=offline` only.
    package var refreshTokenOnFirstConsentOnly = false
    package var requiresPKCE = false
    /// The authorization response carries `iss` (RFC 9207).
    package var sendsIssuer = false
    package var acceptsBasic = true
    package var acceptsPost = true
    /// Clients without a secret send Basic with an empty password, and nothing else is taken (quirk C3).
    package var publicClientsUseBasic = false
    /// Basic holds the secret as its user name and no password (quirk C5).
    package var secretIsUsername = false
    /// Id and secret of HTTP Basic are form-decoded, as RFC 6749 §2.3.1 has it.
    package var decodesBasic = true
    /// The metadata document names an endpoint for pushed authorization requests (RFC 9126).
    package var offersPushedRequests = false
    /// Authorization requests that were not pushed are refused; implies `offersPushedRequests`.
    package var requiresPushedRequests = false
    /// Seconds for which a pushed request can be used.
    package var pushedRequestLifetime = 60
    /// What `resource` (RFC 8707) may name; `nil` looks at none.
    package var resources: [String]?
    /// Tokens that are asked for with a DPoP proof are bound to its key (RFC 9449), and the metadata document says so.
    package var offersDPoP = false
    /// Token requests without a proof are refused; implies `offersDPoP`.
    package var requiresDPoP = false
    /// Proofs have to hold the newest nonce, and each answer brings another.
    package var demandsProofNonces = false
    /// A secret is taken only as the key of an assertion (`client_secret_jwt`).
    package var requiresAssertions = false
    /// `iss` of assertions, where it is not the client id (quirks C11, C12).
    package var assertionIssuer: String?
    /// The one `aud` that is taken; the issuer and the endpoint's URL where `nil`.
    package var assertionAudience: String?
    /// Assertions carry `kid`.
    package var requiresKeyID = false
    /// Requests of programs without a User-Agent that the site takes are refused, at every endpoint.
    package var requiresUserAgent = false
    /// Profile responses carry an ETag and If-None-Match is honoured.
    package var sendsETags = false
    /// Whether the token response has `scope` (`false`: a server that leaves it out).
    package var sendsScope = true
    /// Newly refreshed access tokens are refused for this many requests (quirk E16).
    package var refreshedTokenRefusals = 0
    /// Live tokens of one kind per person, client and scope; past it the oldest ends. 0 is without end.
    package var tokensPerGrantMax = 0
    /// Seconds; a resource refuses an access token that was neither issued nor validated within so long (quirk E15).
    package var validationInterval: Int?
    /// Of one token, or of one person where the site counts so; `nil` announces a limit and never reaches it.
    package var tokenLimit: SimulatedLimit?
    /// Of the whole site: every endpoint that programs call.
    package var clientLimit: SimulatedLimit?
    /// Answers of 401, 403 and 429 before the address is banned (quirk G10).
    package var invalidRequestLimit: SimulatedLimit?
    /// The id of a person who allows every authorization request, no page shown.
    package var autoConsent: String?
    /// Milliseconds added to every answer.
    package var latency = 0

    package init() {}
}

/// At most `count` requests in each window of `seconds`.
package struct SimulatedLimit: Sendable, Equatable, Codable {
    package var count: Int
    package var seconds: Int

    package init(count: Int, seconds: Int) {
        self.count = count
        self.seconds = seconds
    }
}
