import Accounts
import Cryptography
import JSONPath
import OAuth
import Transfer
package import YAML

/// One validated `providers/<id>.yaml`: what is true of every instance of a provider.
package struct Manifest: Sendable {
    package let id: String
    package let name: String
    package let documentation: String?
    package let registration: String?
    package let redirectURINote: String?
    /// What an instance may set.
    package let variables: [Variable]
    /// The file it came from: `discord.yaml` for a built-in one, else the path.
    package let file: String
    package let isBuiltIn: Bool

    package struct Variable: Sendable, Equatable {
        package var name: String
        /// `nil` where each instance has to set it.
        package var defaultValue: String?
        /// A regular expression for the whole value; without one it is a URL.
        package var pattern: String?
        package var description: String?
        package var place: SourcePlace
    }

    let issuer: URLTemplate?
    let issuerAliases: [URLTemplate]
    let metadataHosts: [String]
    let userAgent: URLTemplate?
    let authorizationEndpoint: URLTemplate?
    /// `omitted` is none.
    let responseType: String
    let statePlace: StatePlace
    let scopes: [String]
    let pkce: PKCEMethod
    let pushing: Pushing
    let dpop: DPoP.Use?
    let resources: [URLTemplate]
    let nonce: Bool?
    let responseMode: ResponseMode
    let keptParameters: [KeptParameter]
    let keptMembers: [KeptMember]
    let callbackParameterNames: [String: String]
    let authorizationParameters: [String: String]
    let authorizationParameterNames: [String: String]
    let clientAuthentication: ClientAuthentication
    let clientAssertion: Assertion
    let tokenEndpoint: URLTemplate?
    let refreshEndpoint: URLTemplate?
    let exchangeEndpoint: URLTemplate?
    /// Without these two, which may hold variables.
    let tokenDialect: TokenDialect
    let refreshRotation: RefreshRotation
    let refreshTrigger: RefreshTrigger
    let refreshAhead: Duration
    let refreshTokenIdleLifetime: Duration?
    let tokenSettling: Duration
    let tokenValidation: Validation?
    let grants: [String]
    let revocation: Revocation
    let deviceAuthorization: DeviceAuthorizationKeys?
    let introspectionEndpoint: URLTemplate?
    let applicationToken: ApplicationToken?
    let signals: SignalKeys?
    let requests: [ProfileRequestRule]
    let claims: [ClaimRule]
    let plugin: ProfilePlugin?
    let volatile: [JSONPath]
    let failureMarkers: FailureMarkers
    let limits: ProviderLimits
    let sync: InstanceConfiguration.SyncOverrides

    /// SHA-256, hex, of the file's text.
    let digest: String

    /// The URLs an instance may set that requests with a credential go to, or browsers for one.
    var serverVariables: [Variable] {
        var templates = [
            issuer, authorizationEndpoint, tokenEndpoint, refreshEndpoint, exchangeEndpoint,
            deviceAuthorization?.endpoint, introspectionEndpoint, tokenValidation?.endpoint,
        ]
        switch revocation {
        case .discovered, .none: break
        case .rfc7009(let endpoint, _): templates.append(endpoint)
        case .request(_, let url): templates.append(url)
        }
        if case .endpoint(let endpoint) = pushing { templates.append(endpoint) }
        let used = Set((templates.compactMap { $0 } + requests.map(\.url)).flatMap(\.variables))
        return variables.filter { $0.pattern == nil && used.contains($0.name) }
    }

    var revokesWithSecret: Bool {
        guard case .request(let request, _) = revocation else { return false }
        return request.authentication == .basic
    }

    /// `ClientAssertionRule` before an instance's settings.
    struct Assertion: Sendable {
        var parameter: ClientAssertionRule.Parameter
        var algorithm: SignatureAlgorithm?
        var audience: Audience
        var issuer: URLTemplate?
        var lifetime: Duration
        var requiresKeyID: Bool

        enum Audience: Sendable {
            case issuer
            case endpoint
            case fixed(URLTemplate)
        }
    }

    /// `ApplicationGrant` before an instance's settings.
    struct ApplicationToken: Sendable {
        var kind: ApplicationGrant.Kind
        var scopes: [Scope]
        var subject: URLTemplate?
        var scopesInAssertion: Bool
    }

    /// `TokenValidationRule` before an instance's settings.
    struct Validation: Sendable {
        var endpoint: URLTemplate?
        var scheme: String
        var interval: Duration
    }

    /// RFC 9126.
    enum Pushing: Sendable {
        case discovered
        case off
        case endpoint(URLTemplate?)
    }

    enum Revocation: Sendable {
        case discovered
        case none
        case rfc7009(endpoint: URLTemplate?, authenticated: Bool)
        /// The request's own URL is in `url`.
        case request(RevocationRequest, url: URLTemplate)
    }
}
