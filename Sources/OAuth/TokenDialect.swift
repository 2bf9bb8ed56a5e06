package import Transfer

/// How a token endpoint departs from RFC 6749 §4.1.3–§6. The default value departs in nothing.
package struct TokenDialect: Sendable {
    package enum RequestFormat: String, Sendable, CaseIterable {
        case form
        case json
        /// Everything stands in the query, and there is no body.
        case query
    }

    /// A request other than the code exchange, where it differs from that.
    package struct Request: Sendable {
        package var endpoint: String?
        package var method: Transfer.Method?
        package var format: RequestFormat?
        /// In place of the standard `grant_type`; `omitted` sends none.
        package var grantType: String?
        /// In place of `requestParameters`.
        package var parameters: [(String, String)]?
        package var parameterNames: [String: String]?

        package init(method: Transfer.Method? = nil, format: RequestFormat? = nil) {
            self.method = method
            self.format = format
        }
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
    package var requestMethod: Transfer.Method = .post
    /// The code exchange repeats `state`.
    package var sendsState = false
    /// Adds the client's proof to the parameters of a request, or takes its place.
    package var sign:
        (
            @Sendable (_ parameters: [(name: String, value: String)], ClientRegistration) -> [(
                name: String, value: String
            )]
        )?
    package var refresh = Request()
    /// There is no refresh token: the access token is sent in its place, while it is good.
    package var refreshesByAccessToken = false
    /// Makes the access token that a code brought into one that lasts.
    package var exchange: Request?

    /// Media types read as JSON besides `application/json` and `…+json`; lower case, without parameters. The empty
    /// string stands for no `Content-Type` at all.
    package var acceptsContentTypes: [String]
    /// Member names that lead to the object with the token, `["data"]` for `{"data": {"access_token": …}}`; a number
    /// indexes an array.
    package var responsePath: [String]
    /// The provider's own name of a standard response member: `access_token` → `accessToken`.
    package var memberNames: [String: String]
    /// The names that lead to a standard member which lies further inside.
    package var memberPaths: [String: [String]] = [:]
    package var lifetimeUnit = LifetimeUnit.seconds
    /// Members that are handed on as they came, beside the object's or the document's own.
    package var keptMembers: [String] = []
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
        refresh.endpoint = refreshEndpoint
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

extension TokenDialect {
    /// Some of the requests have a JSON object for a body, in which a name stands once.
    package var writesJSON: Bool {
        requestFormat == .json || refresh.format == .json || exchange?.format == .json
    }

    /// The dialect in which that request is spoken.
    func speaking(_ request: Request) -> TokenDialect {
        var dialect = self
        if let method = request.method { dialect.requestMethod = method }
        if let format = request.format { dialect.requestFormat = format }
        if let parameters = request.parameters { dialect.requestParameters = parameters }
        if let names = request.parameterNames { dialect.parameterNames = names }
        return dialect
    }
}

/// How a token endpoint writes a lifetime, or the end of it.
package enum LifetimeUnit: String, Sendable, CaseIterable {
    case seconds
    case milliseconds
    /// Since 1970.
    case epochSeconds = "epoch_seconds"
    case epochMilliseconds = "epoch_milliseconds"
    case rfc3339
    /// `D:HH:MM`.
    case daysHoursMinutes = "d_hh_mm"
}
