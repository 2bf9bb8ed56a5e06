package import Transfer

/// How a token endpoint departs from RFC 6749 §4.1.3–§6. The default value departs in nothing.
package struct TokenDialect: Sendable {
    package enum RequestFormat: String, Sendable, CaseIterable {
        case form
        case json
        /// A GET with everything in the query.
        case query
    }

    package var requestFormat: RequestFormat
    /// Sent besides `Accept: application/json`, or in its place.
    package var requestFields: HeaderFields
    /// Sent besides the standard ones.
    package var requestParameters: [(String, String)]
    /// The provider's own name of a standard request parameter: `client_id` → `client_key`.
    package var parameterNames: [String: String]
    /// `client_id` stands in the body even where Basic carries it.
    package var repeatsClientID: Bool
    /// Where refresh requests go, if not to the token endpoint.
    package var refreshEndpoint: String?

    /// Media types read as JSON besides `application/json` and `…+json`; lower case, without parameters. The empty
    /// string stands for no `Content-Type` at all.
    package var acceptsContentTypes: [String]
    /// Member names that lead to the object with the token, `["data"]` for `{"data": {"access_token": …}}`; a number
    /// indexes an array.
    package var responsePath: [String]
    /// The provider's own name of a standard response member: `access_token` → `accessToken`.
    package var memberNames: [String: String]
    /// Values of `token_type` that mean Bearer besides `Bearer`; compared without case.
    package var bearerTokenTypes: [String]
    /// Assumed where the answer says nothing of the access token's lifetime.
    package var accessTokenLifetime: Duration?
    /// Assumed where the answer brings a refresh token and says nothing of its lifetime.
    package var refreshTokenLifetime: Duration?
    /// `expires_in: 0` means that the token does not expire.
    package var zeroLifetimeIsForever: Bool
    /// The provider's own error code, or its whole error message → the standard code.
    package var errorCodes: [String: TokenErrorCode]
    /// Between scopes in a request. Answers are split at spaces and commas whatever this is.
    package var scopeSeparator: String

    package init(
        requestFormat: RequestFormat = .form, requestFields: HeaderFields = [:],
        requestParameters: [(String, String)] = [], parameterNames: [String: String] = [:],
        repeatsClientID: Bool = false, refreshEndpoint: String? = nil, acceptsContentTypes: [String] = [],
        responsePath: [String] = [], memberNames: [String: String] = [:], bearerTokenTypes: [String] = [],
        accessTokenLifetime: Duration? = nil, refreshTokenLifetime: Duration? = nil,
        zeroLifetimeIsForever: Bool = false, errorCodes: [String: TokenErrorCode] = [:], scopeSeparator: String = " "
    ) {
        self.requestFormat = requestFormat
        self.requestFields = requestFields
        self.requestParameters = requestParameters
        self.parameterNames = parameterNames
        self.repeatsClientID = repeatsClientID
        self.refreshEndpoint = refreshEndpoint
        self.acceptsContentTypes = acceptsContentTypes
        self.responsePath = responsePath
        self.memberNames = memberNames
        self.bearerTokenTypes = bearerTokenTypes
        self.accessTokenLifetime = accessTokenLifetime
        self.refreshTokenLifetime = refreshTokenLifetime
        self.zeroLifetimeIsForever = zeroLifetimeIsForever
        self.errorCodes = errorCodes
        self.scopeSeparator = scopeSeparator
    }
}
