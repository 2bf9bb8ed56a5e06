import Cryptography
package import OAuth

/// The endpoints a manifest states, resolved; each wins over the metadata document.
struct Endpoints: Sendable, Equatable {
    var authorization: String?
    var token: String?
    var revocation: RevocationRule
    var pushing: PushingRule

    /// Whether authorization requests are pushed (RFC 9126).
    enum PushingRule: Sendable, Equatable {
        /// Where the document names an endpoint.
        case discovered
        case off
        case endpoint(String)
    }

    /// What the manifest says of revocation; an OpenID provider's endpoint may come from its document.
    enum RevocationRule: Sendable, Equatable {
        /// RFC 7009 where the document names an endpoint, else none.
        case discovered
        case none
        case rfc7009(endpoint: String?, authenticated: Bool)
        case request(RevocationRequest)
    }
}

extension Provider {
    /// The endpoints and capabilities in force. `metadata` is needed where `issuer` is set, and ignored elsewhere.
    package func authorizationServer(metadata: ProviderMetadata?) throws(ProviderError) -> AuthorizationServer {
        let metadata = issuer == nil ? nil : metadata
        if issuer != nil, metadata == nil { throw .metadataRequired }
        guard let authorizationEndpoint = endpoints.authorization ?? metadata?.authorizationEndpoint else {
            throw .endpointMissing("authorization.endpoint")
        }
        guard let tokenEndpoint = endpoints.token ?? metadata?.tokenEndpoint else {
            throw .endpointMissing("token.endpoint")
        }
        return AuthorizationServer(
            issuer: metadata?.issuer, authorizationEndpoint: authorizationEndpoint, tokenEndpoint: tokenEndpoint,
            userinfoEndpoint: metadata?.userinfoEndpoint, jwksURI: metadata?.jwksURI,
            revocation: revocation(metadata?.revocationEndpoint),
            deviceAuthorization: deviceEndpoint(metadata?.deviceAuthorizationEndpoint),
            introspectionEndpoint: introspectionEndpoint ?? metadata?.introspectionEndpoint,
            authorizationResponseIssRequired: metadata?.authorizationResponseIssParameterSupported ?? false,
            idTokenAlgorithms: metadata.map { $0.idTokenAlgorithms.isEmpty ? [.rs256] : $0.idTokenAlgorithms } ?? [],
            pushedAuthorizationEndpoint: pushing(metadata?.pushedAuthorizationEndpoint),
            // Bound tokens can't be handed out: nobody gets them unasked.
            dpop: dpop ?? .none,
            clientAssertionAlgorithms: metadata?.clientAssertionAlgorithms ?? [])
    }

    private func pushing(_ discovered: String?) -> String? {
        switch endpoints.pushing {
        case .discovered: discovered
        case .off: nil
        case .endpoint(let endpoint): endpoint
        }
    }

    private func revocation(_ discovered: String?) -> RevocationMethod {
        switch endpoints.revocation {
        case .none: .none
        case .request(let request): .request(request)
        case .discovered: discovered.map { .rfc7009(endpoint: $0, authenticated: true) } ?? .none
        case .rfc7009(let endpoint, let authenticated):
            (endpoint ?? discovered).map { .rfc7009(endpoint: $0, authenticated: authenticated) } ?? .none
        }
    }
}
