import OAuth

extension Provider {
    /// Every URL that the operator's files say, filled in: what a metadata document adds is not among them.
    package var configuredAddresses: [String] {
        var addresses = [
            issuer, endpoints.authorization, endpoints.token, tokenDialect.refresh.endpoint,
            tokenDialect.exchange?.endpoint, tokenValidation?.url, deviceAuthorization?.url, introspectionEndpoint,
        ].compactMap(\.self)
        if case .endpoint(let endpoint) = endpoints.pushing { addresses.append(endpoint) }
        switch endpoints.revocation {
        case .discovered, .none: break
        case .rfc7009(let endpoint, _): if let endpoint { addresses.append(endpoint) }
        case .request(let request): addresses.append(request.url)
        }
        return addresses + mapping.requests.filter { !$0.isUserinfo }.map(\.url.text)
    }
}
