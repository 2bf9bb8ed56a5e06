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
    /// Answers whether an access token is good (quirk E15).
    package var validationPath: String?
    /// The provider's own way of taking tokens back, where it has one.
    package var revocationRequest: RevocationRequest?
    /// Bodies of JSON by method and path: `GET /users/@me`. Queries are not looked at. `{{id}}`, `{{name}}`,
    /// `{{given_name}}` and `{{family_name}}` inside a string stand for the person's own.
    package var resources: [String: [UInt8]]
    /// Whom consent pages offer; the usual cast where empty.
    package var people: [SimulatedPerson] = []
    /// Between scopes in requests and token responses.
    package var scopeSeparator: Character = " "
    /// The authorization scheme of resource requests.
    package var tokenScheme = "Bearer"
    /// Where else the access token stands.
    package var tokenPlace: TokenPlace?
    /// The site's own names of standard parameters, at the authorization and the token endpoint: `client_id` →
    /// `client_key`. Requests by the standard's names are refused.
    package var parameterNames: [String: String] = [:]
    /// What `response_type` must be; `nil` for a site that wants none.
    package var responseType: String? = "code"
    /// Returns no `state`, and compares redirect URIs without their query.
    package var ignoresState = false
    /// What the authorization response calls the code, and state.
    package var codeName = "code"
    package var stateName = "state"
    /// Returns no `state` with an error (quirk B5).
    package var errorsLackState = false
    /// Ends every code: characters that a query has to encode (quirk B7).
    package var codeSuffix = ""
    /// Besides `code` and `state` (quirk B2).
    package var answerParameters: [String: String] = [:]
    /// The authorization response comes as a form that the browser posts, with these parameters besides its own
    /// (OAuth 2.0 Form Post Response Mode); a request that does not ask for that is refused.
    package var postedParameters: [String: String]?
    /// The posted parameters come with a person's first consent alone (quirk B4).
    package var postsOnce = false
    /// A page that takes the authorization request from its own URL's fragment, and leads on to `authorizationPath`
    /// (quirk A14).
    package var landingPath: String?
    /// Parameters that authorization requests must have, with these values.
    package var requiredAuthorizationParameters: [String: String] = [:]
    /// A request for any of these is refused with `invalid_scope` (quirk E18).
    package var refusedScopes: Set<String> = []
    /// Refresh tokens come with this scope alone, as offline access does.
    package var offlineScope: String?
    package var wantsSortedParameters = false
    package var refusesEmptyParameters = false
    /// How the code exchange comes.
    package var tokenRequest = RequestForm()
    /// How a refresh comes, where that differs.
    package var refreshRequest: RequestForm?
    /// The access token is refreshed with itself.
    package var refreshesByAccessToken = false
    /// A second step: access tokens that a code brought are good for this exchange alone.
    package var exchangeRequest: RequestForm?
    /// The code exchange repeats `state`.
    package var wantsState = false
    /// `hash`, the SHA-256 of secret and code with a bar between, proves who the client is.
    package var wantsSecretHash = false
    package var readsJSONTokenRequests = false
    /// Fields that requests for resources must carry beside the token, by name in lower case; `{client_id}` stands for
    /// the client that holds the token.
    package var requiredFields: [String: String] = [:]
    /// Parameters that requests for resources must have in their query.
    package var requiredParameters: [String: String] = [:]
    /// Of the recorded bodies.
    package var resourceType = "application/json; charset=utf-8"
    /// The same for token requests, without places.
    package var requiredTokenFields: [String: String] = [:]
    /// Parameters that token requests must have; an empty value stands for any.
    package var requiredTokenParameters: [String: String] = [:]
    /// Makes it an OpenID provider.
    package var openID: OpenID?
    package var switches = SimulatorSwitches()
    /// Writes the token response where it departs from RFC 6749 §5.1.
    package var tokenResponse: (@Sendable (TokenMembers) -> Body)?
    /// Recorded refusals in place of the standards' own.
    package var refusals: [Refusal: Body] = [:]
    /// Says that there were too many requests, and how long to wait.
    package var limitAnswer: (@Sendable (Limit) -> Body)?
    /// The site tells of consent that was taken back (quirk V1).
    package var signal: Signal?

    package enum TokenPlace: Sendable {
        /// Lower case.
        case field(String)
        case query(String)
        /// A member of a form or JSON.
        case body(String)
    }

    package struct RequestForm: Sendable {
        package enum Encoding: Sendable { case form, json, query }

        /// `nil` for the site's `tokenPath`.
        package var path: String?
        package var method: String
        /// `nil` for a form, or JSON where `readsJSONTokenRequests`.
        package var encoding: Encoding?
        /// `nil` for the standard's; empty where none is sent.
        package var grantType: String?
        /// In place of the site's `parameterNames`.
        package var parameterNames: [String: String]?

        package init(
            path: String? = nil, method: String = "POST", encoding: Encoding? = nil, grantType: String? = nil,
            parameterNames: [String: String]? = nil
        ) {
            self.path = path
            self.method = method
            self.encoding = encoding
            self.grantType = grantType
            self.parameterNames = parameterNames
        }
    }

    package enum Refusal: String, Sendable, CaseIterable {
        case invalidGrant, invalidClient
        /// Of the resource server, where the token is not accepted.
        case unauthorized
    }

    /// OpenID Connect Core and Discovery. Keys are at `/keys`; a code answer has an ID token where `openid` was granted.
    package struct OpenID: Sendable {
        /// Of the issuer that is asked for its metadata document; empty for the site's own.
        package var issuerPath: String
        /// Of `issuer` in the document, and of `iss` in ID tokens, where those differ.
        package var documentIssuerPath: String?
        package var tokenIssuerPath: String?
        package var userinfoPath: String?
        /// Besides those of the person: `tid`.
        package var claims: [String: String]
        /// False for a server that leaves `nonce` out of its ID tokens (quirk A17).
        package var returnsNonce: Bool

        package init(
            issuerPath: String = "", documentIssuerPath: String? = nil, tokenIssuerPath: String? = nil,
            userinfoPath: String? = nil, claims: [String: String] = [:], returnsNonce: Bool = true
        ) {
            self.returnsNonce = returnsNonce
            self.issuerPath = issuerPath
            self.documentIssuerPath = documentIssuerPath
            self.tokenIssuerPath = tokenIssuerPath
            self.userinfoPath = userinfoPath
            self.claims = claims
        }
    }

    package struct RevocationRequest: Sendable {
        package enum Proof: Sendable {
            /// The client's id and secret.
            case basic
            /// The access token itself.
            case bearer
        }

        package var method: String
        package var path: String
        package var proof: Proof
        /// Of the body, a form or JSON; the token stands there. `nil` where the field has it.
        package var member: String?

        package init(_ method: String, _ path: String, proof: Proof, member: String? = nil) {
            self.method = method
            self.path = path
            self.proof = proof
            self.member = member
        }
    }

    /// What a token response says.
    package struct TokenMembers: Sendable {
        package var accessToken: String
        package var refreshToken: String?
        /// Seconds.
        package var expiresIn: Int?
        package var scopes: [String]
        package var idToken: String?
        /// Of the site: `http://127.0.0.1:PORT/fixture/<name>`.
        package var base: String
        /// The answer to a refresh.
        package var isRefreshed: Bool
    }

    package struct Body: Sendable {
        package var status: Int
        package var contentType: String
        /// Further fields, by name in lower case.
        package var fields: [String: String]
        package var bytes: [UInt8]

        package init(
            status: Int = 200, contentType: String = "application/json", fields: [String: String] = [:], bytes: [UInt8]
        ) {
            self.status = status
            self.contentType = contentType
            self.fields = fields
            self.bytes = bytes
        }
    }

    /// A limit that was run into. Times in milliseconds.
    package struct Limit: Sendable {
        package var wait: Int64
        /// Since 1970.
        package var now: Int64
    }

    /// HMAC-SHA-256 over the body, in `x-signature`.
    package struct Signal: Sendable {
        package var secret: String
        /// JSON, with places as in `resources`.
        package var body: [UInt8]

        package init(secret: String, body: [UInt8]) {
            self.secret = secret
            self.body = body
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
