/// What distinguishes one site from another: its paths, its scopes, how it says things. What they have in common,
/// RFC 6749, is `Site`'s.
protocol SiteRules: TokenTexts, Sendable {
    var site: SimulatedSite { get }
    var defaultSwitches: SimulatorSwitches { get }

    /// `path` is below the site's prefix and begins with a slash.
    func endpoint(_ method: String, _ path: Substring) -> SimulatedEndpoint?

    // Authorization
    /// The scopes a request asks for, in its order, as they will be granted; `nil` where one is unknown to a site
    /// that minds.
    func scopes(requested text: String) -> [String]?
    /// Every scope that people made on the fly have granted.
    var bulkScopes: String { get }
    /// What a consent page says of a scope.
    func meaning(of scope: String) -> String
    /// Scopes that a person may leave out on the consent page.
    func isOptional(_ scope: String) -> Bool
    /// Whether this site answers a redirect URI it does not know by going to the first it does.
    var redirectsOnMismatch: Bool { get }
    /// Members of the authorization response besides `code`, `state` and `iss`.
    func responseParameters(_ draft: GrantLedger.Draft, scopes: [String]) -> [(String, String)]
    func errorParameters(_ error: String) -> [(String, String)]
    /// What `prompt=none` fails with where it can't pass silently; `nil` shows the page all the same.
    func silentError(isSignedIn: Bool) -> String?
    func issuer(base: String) -> String

    // Devices
    /// Below the site's prefix, where people type codes in.
    var devicePage: String { get }
    /// What the site calls `verification_uri`.
    var verificationMember: String { get }

    // Tokens
    /// Bodies of token requests other than forms.
    var readsJSONTokenRequests: Bool { get }
    var grantTypeIsOptional: Bool { get }
    /// The parameters by the standard's names; `nil` for a request that is none of this site's.
    func authorizationRequest(_ call: Call) -> Form?
    func isRegistered(_ redirectURI: String, for client: SimulatedClient) -> Bool
    var codeParameter: String { get }
    var stateParameter: String { get }
    var codeSuffix: String { get }
    /// An error goes back without the request's `state`.
    var errorsLackState: Bool { get }
    /// A page before the authorization endpoint, where this is the call for it.
    func landingPage(_ call: Call) -> Reply?
    /// Where the browser posts the authorization response: what it brings besides; `nil` where it comes in a query.
    func postedParameters(isFirstConsent: Bool) -> [String: String]?
    /// The code exchange must repeat the `state` of the authorization request.
    var wantsState: Bool { get }
    func readTokenRequest(_ call: Call) -> Form?
    /// Whether the parameters show that it is this client, where no Basic does.
    func proves(_ client: SimulatedClient, _ form: Form) -> Bool
    /// Of a request for a resource.
    func accessToken(in call: Call) -> String?
    /// Why a token request is refused that lacks what this site asks for beside the standard; `nil` where it does not.
    func refusal(of call: Call, _ form: Form) -> TokenRefusal?
    func refusal(_ refusal: TokenRefusal, _ call: Call) -> Reply
    func tokenResponse(_ issued: IssuedTokens, person: SimulatedPerson?, switches: SimulatorSwitches, _ call: Call)
        -> Reply
    /// How a refused body (JSON where only forms are read) is answered.
    func unreadableBody(_ call: Call) -> Reply
    func wantsRefreshToken(_ draft: GrantLedger.Draft, consentedBefore: Bool, switches: SimulatorSwitches) -> Bool

    // The resource server
    var tokenSchemes: [String] { get }
    func unauthorized(_ call: Call) -> Reply
    /// Where `requiresUserAgent` is on, every endpoint but the browser's refuses what this does not take.
    func takesUserAgent(_ value: String, at endpoint: SimulatedEndpoint) -> Bool
    func missingUserAgent() -> Reply
    func resource(_ endpoint: SimulatedEndpoint, _ bearer: Bearer, switches: SimulatorSwitches, _ call: Call) -> Reply
    /// The key under which requests of a token are counted, and its fields on every answer.
    func limitKey(_ bearer: Bearer, _ endpoint: SimulatedEndpoint) -> String
    func limitFields(_ use: RequestWindows.Use?, _ call: Call) -> [(name: String, value: String)]
    func limited(_ hit: LimitHit, _ call: Call) -> Reply

    /// Everything that is neither of the common endpoints nor a resource: revocation, metadata, keys.
    func other(_ endpoint: SimulatedEndpoint, _ site: Site, _ call: Call) -> Reply
    /// What the site says by itself when a person takes their consent back; `nil` where it says nothing.
    func signal(about person: SimulatedPerson) -> SimulatedSignal?
    /// Signs with a new key from now on; nothing where the site signs nothing.
    func rotateKeys(forgetting: Bool) throws
}

extension SiteRules {
    func authorizationRequest(_ call: Call) -> Form? { call.parameters }
    func isRegistered(_ redirectURI: String, for client: SimulatedClient) -> Bool {
        client.redirectURIs.contains(redirectURI)
    }
    var codeParameter: String { "code" }
    var stateParameter: String { "state" }
    var codeSuffix: String { "" }
    var errorsLackState: Bool { false }
    func landingPage(_ call: Call) -> Reply? { nil }
    func postedParameters(isFirstConsent: Bool) -> [String: String]? { nil }
    var wantsState: Bool { false }
    func readTokenRequest(_ call: Call) -> Form? {
        if call.hasFormBody { return call.form }
        if readsJSONTokenRequests, call.hasJSONBody { return Form(jsonObject: call.body) }
        return nil
    }
    func proves(_ client: SimulatedClient, _ form: Form) -> Bool { client.secret == form["client_secret"] ?? "" }
    func accessToken(in call: Call) -> String? { call.token(schemes: tokenSchemes) }
    func refusal(of call: Call, _ form: Form) -> TokenRefusal? { nil }
    func rotateKeys(forgetting: Bool) throws {}
    func signal(about person: SimulatedPerson) -> SimulatedSignal? { nil }
    var devicePage: String { "/device" }
    var verificationMember: String { "verification_uri" }
    func takesUserAgent(_ value: String, at endpoint: SimulatedEndpoint) -> Bool { !value.isEmpty }
}

/// Whom an access token stands for.
struct Bearer: Sendable {
    var token: String
    var client: String
    var scopes: [String]
    var issuedAt: Int64
    var expiresAt: Int64?
    var resident: SiteState.Resident
    var isBulk: Bool

    var person: SimulatedPerson { resident.person }
    func has(_ scope: String) -> Bool { isBulk || scopes.contains(scope) }
}

/// Why a token request is refused, in RFC 6749 §5.2's words and closer.
enum TokenRefusal: Error, Equatable {
    case invalidRequest(String)
    case invalidClient
    case code
    case refreshToken
    case redirectURI
    case codeVerifier
    case unsupportedGrantType
    /// Another word of OAuth.
    case word(String)
    case device(Site.DeviceRefusal)
}

/// A limit that a request ran into, or that a fault says it did.
struct LimitHit: Sendable {
    /// As the site calls it; `nil` is its usual one.
    var reach: String?
    /// Milliseconds until it is over.
    var wait: Int64
    var use: RequestWindows.Use?
    /// What `Retry-After` says where a fault decides it.
    var retryAfter: String?
    var status: Int?
    var person: String?
}
