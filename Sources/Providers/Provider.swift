/// What providers are: manifests read from `providers/` and from the operator's directory, checked against a closed
/// vocabulary and made, with an instance's settings, into `Provider` values; the mapping of resource server responses
/// to a `Profile` with the claims of OpenID Connect Core §5.1; and what a response says of limits, scopes and the user.
///
/// Everything here is pure but for the one reading of files at start. The grants are `OAuth`'s, sending is `Linking`'s,
/// when to sync is `Sync`'s. No provider is known by name outside a plugin that its manifest asks for.
package import Accounts
import Cryptography
package import OAuth
import Transfer

/// A configured provider: an instance of a manifest with every variable filled in. A class, though it never changes: it
/// is handed on at every step of every request.
package final class Provider: Sendable {
    /// `{provider}` in every URL; the name of the instance, not of the manifest.
    package let id: ProviderID
    /// For people: the manifest's.
    package let name: String
    package let manifestID: String
    package let documentation: String?
    /// Where an operator registers the client.
    package let registration: String?
    /// Where on that page the redirect URI belongs.
    package let redirectURINote: String?

    /// `redirectURI` is the public URL with `/callback/` and the id. `clientID` is empty where `missing` says so.
    package let client: ClientRegistration
    /// What the operator still has to set, in configuration keys (`client_id`, `client_secret`). A provider that misses
    /// anything is shown, and refuses to begin a flow.
    package let missing: [String]

    /// An OpenID provider's issuer, whose metadata document must be read before `authorizationServer(metadata:)`.
    package let issuer: String?
    /// Other values of an ID token's `iss` that mean this issuer.
    package let issuerAliases: [String]
    /// The hosts that the metadata document may send requests to, the issuer's own among them.
    package let metadataHosts: [String]

    /// What is asked for where the application asks for nothing in particular.
    package let scopes: [Scope]
    /// Where the tokens will be used (RFC 8707); token requests have them from `tokenDialect`.
    package let resources: [String]
    package let pkce: PKCEMethod
    package let sendsNonce: Bool
    /// The fixed extra parameters of the authorization request.
    package let authorizationParameters: [String: String]
    /// The provider's own names of standard parameters of the authorization request: `client_id` → `client_key`.
    package let authorizationParameterNames: [String: String]
    package let responseMode: ResponseMode
    /// What is kept of the callback besides the protocol's own parameters.
    package let keptParameters: [KeptParameter]
    /// What is kept of the token endpoint's answer to a code.
    package let keptMembers: [KeptMember]
    /// The provider's own names of parameters of the callback: `code` → `spapi_oauth_code`.
    package let callbackParameterNames: [String: String]
    /// `nil` sends none.
    package let responseType: String?
    package let statePlace: StatePlace
    package let tokenDialect: TokenDialect
    package let refreshRotation: RefreshRotation
    package let refreshTrigger: RefreshTrigger
    /// So long before its end an access token is refreshed, where that is more than usual.
    package let refreshAhead: Duration
    /// For so long a refresh token may lie unused; `nil` where nothing is known of an end.
    package let refreshTokenIdleLifetime: Duration?
    /// For so long after it was issued an access token that is refused may be good all the same.
    package let tokenSettling: Duration
    /// What is asked before an access token is used; `nil` where nothing is.
    package let tokenValidation: TokenValidationRule?
    /// By their names at the token endpoint (RFC 6749 §4.1.3, §6): without `refresh_token` no refresh is tried.
    package let grants: [String]

    /// What manifest and instance say of binding tokens to keys; `nil` binds none, whatever the server offers.
    let dpop: DPoP.Use?
    /// How the application gets a token of its own; `nil` where it needs none.
    package let applicationGrant: ApplicationGrant?

    package let limits: ProviderLimits
    package let syncPolicy: SyncPolicy
    /// What the provider wants to see in `User-Agent`, on every request; `nil` where it takes the program's own.
    package let userAgent: String?
    /// What departs from RFC 8628, or from the metadata document; an OpenID provider may offer the grant without.
    package let deviceAuthorization: DeviceAuthorizationRule?
    /// The manifest's; an OpenID provider's document may have one too.
    package let introspectionEndpoint: String?
    /// Messages that the provider sends by itself, and what tells them from forgeries.
    package let signals: SignalRule?
    let signalSecret: Secret?
    let signalPublicKey: PublicKey?

    /// SHA-256, hex, over everything that a flow depends on: a flow ends with the configuration it began with, or is
    /// refused. That is the manifest's whole text and the instance's settings, but for the client secret and the sync
    /// policy.
    package let fingerprint: String

    /// SHA-256, hex, over everything that a profile's claims depend on besides the responses.
    package let mappingFingerprint: String

    let endpoints: Endpoints
    let mapping: ProfileMapping
    let failureMarkers: FailureMarkers

    /// The manifest with an instance's settings. Throws all that is wrong with them; what is merely missing is in
    /// `missing`.
    init(
        _ manifest: Manifest, _ instance: InstanceConfiguration, publicURL: String, syncInterval: Duration?
    ) throws(ConfigurationErrors) {
        var settings = InstanceSettings(manifest: manifest, instance: instance)
        let values = settings.variables()
        let moved = manifest.movedIssuer(instance)
        let clientID = instance.clientID ?? ""
        let uses: [String: EndpointURL.Use] = ["issuer": .base, "authorization.endpoint": .browser]
        func url(_ template: URLTemplate?, _ key: String) -> String? {
            guard let text = template?.expanded(values) else { return nil }
            if let problem = EndpointURL.problem(with: text, allowing: uses[key] ?? .endpoint) {
                settings.report("", "\(key) of the manifest becomes \(text): \(problem)")
            }
            return text
        }

        let issuerURL = url(manifest.issuer, "issuer")
        var dialect = manifest.tokenDialect
        dialect.keptMembers = manifest.keptMembers.map(\.name)
        dialect.refresh.endpoint = url(manifest.refreshEndpoint, "token.refresh.endpoint")
        dialect.exchange?.endpoint = url(manifest.exchangeEndpoint, "token.exchange.endpoint")
        let agent = manifest.userAgent?.expanded(["public_url": publicURL])
        if let agent { dialect.requestFields["User-Agent"] = agent }
        dialect.requestFields.fill(clientID: clientID)
        let endpoints = Endpoints(
            authorization: url(manifest.authorizationEndpoint, "authorization.endpoint"),
            token: url(manifest.tokenEndpoint, "token.endpoint"),
            revocation: manifest.revocationRule(values, userAgent: agent, clientID: clientID, url: url),
            pushing: manifest.pushingRule(url: url))
        for request in manifest.requests where !request.isUserinfo {
            _ = url(request.url, "profile.requests.\(request.name).url")
        }

        settings.checkClient()
        let authentication = settings.authentication()
        let scopes = settings.scopes()
        var parameters = manifest.authorizationParameters
        parameters.merge(settings.authorizationParameters()) { $1 }
        let resources = settings.resources(values)
        let dpop = settings.dpop()
        dialect.requestParameters += resources.map { ("resource", $0) }
        let policy = settings.syncPolicy(everyones: syncInterval)
        let device = manifest.deviceAuthorization.map {
            DeviceAuthorizationRule(
                url: url($0.endpoint, "device_authorization.endpoint"), authenticated: $0.authenticated,
                memberNames: $0.memberNames)
        }
        let validation = manifest.tokenValidation.flatMap { rule in
            url(rule.endpoint, "token.validation.endpoint").map {
                TokenValidationRule(url: $0, scheme: rule.scheme, interval: rule.interval)
            }
        }
        let introspection = url(manifest.introspectionEndpoint, "introspection.endpoint")
        var signalRule = manifest.signals?.rule
        signalRule?.issuer = url(manifest.signals?.issuer, "signals.issuer")
        let signalKey = settings.signalPublicKey()
        let id = settings.id()
        let signingKey = settings.signingKey()
        var base = publicURL
        while base.hasSuffix("/") { base.removeLast() }
        let redirectURI = "\(base)/callback/\(instance.id)"
        let assertion = settings.assertion(values, redirectURI: redirectURI)
        guard settings.problems.isEmpty, let id else { throw ConfigurationErrors(settings.problems) }

        let client = ClientRegistration(
            clientID: clientID, clientSecret: instance.clientSecret, signingKey: signingKey,
            authentication: authentication, assertion: assertion, redirectURI: redirectURI)
        dialect.refresh.fill(redirectURI: redirectURI)
        dialect.exchange?.fill(redirectURI: redirectURI)
        let mapping = ProfileMapping(
            requests: manifest.requests.map { $0.filled(values, clientID: clientID) }, claims: manifest.claims,
            plugin: manifest.plugin, volatile: manifest.volatile, variables: values)
        self.id = id
        self.name = manifest.name
        self.manifestID = manifest.id
        self.documentation = manifest.documentation
        self.registration = manifest.registration
        self.redirectURINote = manifest.redirectURINote
        self.client = client
        self.missing = settings.missing()
        self.issuer = issuerURL
        self.issuerAliases = manifest.issuerAliases.filter { moved == nil || $0.variables.contains(moved ?? "") }.map {
            $0.filled(values).text
        }
        self.metadataHosts = manifest.hosts(issuer: issuerURL, values, isMoved: moved != nil)
        self.scopes = scopes
        self.resources = resources
        self.pkce = manifest.pkce
        self.sendsNonce = issuerURL != nil && manifest.nonce != false
        self.authorizationParameters = parameters
        self.authorizationParameterNames = manifest.authorizationParameterNames
        self.responseMode = manifest.responseMode
        self.keptParameters = manifest.keptParameters
        self.keptMembers = manifest.keptMembers
        self.callbackParameterNames = manifest.callbackParameterNames
        self.responseType = manifest.responseType == "omitted" ? nil : manifest.responseType
        self.statePlace = manifest.statePlace
        self.tokenDialect = dialect
        self.refreshRotation = manifest.refreshRotation
        self.refreshTrigger = manifest.refreshTrigger
        self.refreshAhead = manifest.refreshAhead
        self.refreshTokenIdleLifetime = manifest.refreshTokenIdleLifetime
        self.tokenSettling = manifest.tokenSettling
        self.tokenValidation = validation
        self.grants = manifest.grants
        self.dpop = dpop
        self.applicationGrant = manifest.applicationGrant(values)
        self.limits = manifest.limits
        self.syncPolicy = policy
        self.userAgent = agent
        self.deviceAuthorization = device
        self.introspectionEndpoint = introspection
        self.signals = signalRule
        self.signalSecret = instance.signalSecret
        self.signalPublicKey = signalKey
        self.fingerprint = manifest.fingerprint(
            client, variables: values, scopes: scopes, resources: resources, parameters: parameters)
        self.mappingFingerprint = mapping.fingerprint
        self.endpoints = endpoints
        self.mapping = mapping
        self.failureMarkers = manifest.failureMarkers
    }

    /// Between scopes in the authorization request.
    package var scopeSeparator: String { tokenDialect.scopeSeparator }
    /// `grants`, and the device code where the manifest says where one comes from.
    package var grantsOffered: [String] {
        grants + (deviceAuthorization == nil ? [] : [DeviceAuthorizationGrant.grantType])
    }
    /// Refresh tokens are used; otherwise an account whose access token ends is linked again.
    package var refreshesTokens: Bool { grants.contains("refresh_token") }
    /// The browser posts the callback, and any other way of bringing it is refused.
    package var answersByPost: Bool { responseMode == .formPost }
    /// Nothing is missing: a flow may begin.
    package var isReady: Bool { missing.isEmpty }
}

/// What becomes of a refresh token when it is used.
package enum RefreshRotation: String, Sendable, CaseIterable {
    /// Each use brings a new one and spends the old: a lost answer loses the grant.
    case singleUse = "single_use"
    /// Stays as it is.
    case reusable
    /// Each use brings a new one, and the old stays valid for a time.
    case newestWins = "newest_wins"
}

/// When an access token is refreshed.
package enum RefreshTrigger: String, Sendable, CaseIterable {
    /// Shortly before it ends.
    case expiry
    /// Once it was refused or has expired, as providers ask whose tokens may end at any time.
    case refusal
}

/// How often accounts of a provider are synced.
package struct SyncPolicy: Sendable, Equatable {
    package var interval: Duration
    /// Never more often, whatever else asks for it.
    package var minimumInterval: Duration
    /// The promise: no cached profile of a healthy account is older.
    package var maximumAge: Duration

    package init(
        interval: Duration = .seconds(6 * 3600), minimumInterval: Duration = .seconds(300),
        maximumAge: Duration = .seconds(24 * 3600)
    ) {
        self.interval = interval
        self.minimumInterval = minimumInterval
        self.maximumAge = maximumAge
    }
}

/// Why there is no authorization server to talk to.
package enum ProviderError: Error, Equatable, CustomStringConvertible {
    /// The provider has an issuer and its metadata document was not given.
    case metadataRequired
    /// Neither the manifest nor the metadata document has it.
    case endpointMissing(String)

    package var description: String {
        switch self {
        case .metadataRequired: "the metadata document of the issuer is needed"
        case .endpointMissing(let name): "neither the manifest nor the metadata document has \(name)"
        }
    }
}
