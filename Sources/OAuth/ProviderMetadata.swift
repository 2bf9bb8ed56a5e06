package import Cryptography
import JSON
package import Transfer

/// What an OpenID provider publishes about itself (OpenID Connect Discovery §3, RFC 8414 §2), checked: every endpoint is
/// at the issuer's origin or at a host that the manifest allows. The two that linking and synchronizing never ask are
/// left out where they are not: an unused internal address must not cost the provider.
package struct ProviderMetadata: Sendable, Equatable {
    /// As the document has it: the configured issuer, or the declared template.
    package var issuer: String
    package var authorizationEndpoint: String
    package var tokenEndpoint: String
    package var userinfoEndpoint: String?
    package var jwksURI: String?
    package var revocationEndpoint: String?
    package var introspectionEndpoint: String?
    package var deviceAuthorizationEndpoint: String?
    /// Those offered that `IDToken` can verify; `none` and the HMAC ones never are.
    package var idTokenAlgorithms: [SignatureAlgorithm]
    package var authorizationResponseIssParameterSupported: Bool
    /// RFC 9126 §5. Where the document requires it to be used, there is one.
    package var pushedAuthorizationEndpoint: String? = nil
    /// The server binds tokens to keys that sign ES256 (RFC 9449 §5.1).
    package var offersDPoP = false
    /// Signature algorithms of client assertions, by name; empty where the document names none.
    package var clientAssertionAlgorithms: [String] = []

    /// Redirects are refused: the document comes from the issuer itself.
    package static func request(issuer: String) -> TransferRequest {
        let base = issuer.hasSuffix("/") ? String(issuer.dropLast()) : issuer
        return TransferRequest(
            .get, base + "/.well-known/openid-configuration", fields: ["Accept": "application/json"])
    }

    /// `issuer` is the configured one and must be the document's, byte for byte (Discovery §4.3). Of `issuerAliases` only
    /// a template (`https://login.example/{tenantid}/v2.0`), or one with a tenant in its place, may stand in the document
    /// instead: the tenant's id where the configuration has its name. `allowedHosts` are hosts
    /// besides the issuer's own where endpoints may be.
    package static func read(
        _ response: TransferResponse, issuer: String, issuerAliases: [String] = [], allowedHosts: [String]
    ) throws(DiscoveryError) -> ProviderMetadata {
        guard response.status == 200 else { throw .unavailable(status: response.status) }
        guard MediaType(response.fields["content-type"] ?? "").isJSON else {
            throw .malformed(reason: "the content type is not JSON")
        }
        let document: JSONValue
        do { document = try JSONValue(parsing: response.body) } catch { throw .malformed(reason: "not JSON") }
        guard case .object(let members) = document else { throw .malformed(reason: "not an object") }
        let templates = issuerAliases.filter(IssuerTemplate.isTemplate)
        guard let stated = members["issuer"]?.string,
            ([issuer] + templates).contains(where: stated.isIdentical)
                || templates.contains(where: { IssuerTemplate.matches(stated, $0) })
        else {
            throw .issuerMismatch
        }
        let reader = MetadataReader(members: members, places: EndpointPlaces(issuer: issuer, hosts: allowedHosts))

        var pushing = reader.usableEndpoint("pushed_authorization_request_endpoint")
        if members["require_pushed_authorization_requests"]?.bool == true {
            pushing = try reader.required("pushed_authorization_request_endpoint")
        }
        if let types = try reader.strings("response_types_supported"), !types.contains("code") {
            throw .malformed(reason: "response_types_supported lacks code")
        }
        return ProviderMetadata(
            issuer: stated, authorizationEndpoint: try reader.required("authorization_endpoint"),
            tokenEndpoint: try reader.required("token_endpoint"),
            userinfoEndpoint: try reader.endpoint("userinfo_endpoint"), jwksURI: try reader.endpoint("jwks_uri"),
            revocationEndpoint: try reader.endpoint("revocation_endpoint"),
            introspectionEndpoint: reader.usableEndpoint("introspection_endpoint"),
            deviceAuthorizationEndpoint: reader.usableEndpoint("device_authorization_endpoint"),
            idTokenAlgorithms: (try reader.strings("id_token_signing_alg_values_supported") ?? [])
                .compactMap { SignatureAlgorithm(rawValue: $0) },
            authorizationResponseIssParameterSupported:
                members["authorization_response_iss_parameter_supported"]?.bool ?? false,
            pushedAuthorizationEndpoint: pushing,
            offersDPoP: try reader.strings("dpop_signing_alg_values_supported")?.contains("ES256") ?? false,
            clientAssertionAlgorithms: try reader.strings("token_endpoint_auth_signing_alg_values_supported") ?? [])
    }
}

extension ProviderMetadata {
    /// The members whose endpoint is at another host than it was in `earlier`.
    package func endpointsMoved(since earlier: ProviderMetadata) -> [String] {
        zip(endpoints, earlier.endpoints).compactMap { new, old in
            guard let newURL = new.url, let oldURL = old.url else { return nil }
            return Origin(url: newURL)?.host == Origin(url: oldURL)?.host ? nil : new.name
        }
    }

    /// Those that tokens, codes or secrets go to, or that say what is believed; the same ones in the same order always.
    private var endpoints: [(name: String, url: String?)] {
        [
            ("authorization_endpoint", authorizationEndpoint), ("token_endpoint", tokenEndpoint),
            ("userinfo_endpoint", userinfoEndpoint), ("jwks_uri", jwksURI), ("revocation_endpoint", revocationEndpoint),
            ("pushed_authorization_request_endpoint", pushedAuthorizationEndpoint),
        ]
    }
}

/// Why there is no metadata to use.
package enum DiscoveryError: Error, Equatable {
    case unavailable(status: Int)
    case malformed(reason: String)
    /// The document speaks for another issuer (RFC 8414 §3.3).
    case issuerMismatch
    /// The member's URL is not one that this issuer may send us to.
    case endpointRefused(member: String, reason: String)
}

private struct MetadataReader {
    let members: JSONObject
    let places: EndpointPlaces

    func required(_ name: String) throws(DiscoveryError) -> String {
        guard let url = try endpoint(name) else { throw .malformed(reason: "\(name) is missing") }
        return url
    }

    func endpoint(_ name: String) throws(DiscoveryError) -> String? {
        guard let value = members[name], value != .null else { return nil }
        guard let url = value.string else { throw .malformed(reason: "\(name) is not a string") }
        if let reason = places.refusal(of: url) { throw .endpointRefused(member: name, reason: reason) }
        return url
    }

    /// `nil` too where the member is not one that may be used.
    func usableEndpoint(_ name: String) -> String? {
        members[name]?.string.flatMap { places.refusal(of: $0) == nil ? $0 : nil }
    }

    func strings(_ name: String) throws(DiscoveryError) -> [String]? {
        guard let value = members[name], value != .null else { return nil }
        guard let array = value.array else { throw .malformed(reason: "\(name) is not an array") }
        return array.compactMap(\.string)
    }
}
