package import Accounts
package import Cryptography
package import JSON

/// A userinfo response that is signed (OpenID Connect Core §5.3.2). Encrypted ones are not read.
package enum SignedUserinfo {
    package static let mediaType = "application/jwt"

    /// The claims of a token that is the issuer's and for this client. That its `sub` is the ID token's, the mapping
    /// checks as for any userinfo response. `.unknownKey` asks for one refetch of the keys.
    package static func verify(
        _ token: String, keys: JSONWebKeySet, issuer: String, issuerAliases: [String] = [], clientID: String,
        algorithms: [SignatureAlgorithm], now: Timestamp, clockSkew: Duration = .seconds(60)
    ) throws(IDTokenError) -> JSONObject {
        let (claims, _) = try IDToken.verifySignature(token, keys: keys, algorithms: algorithms)
        // §5.3.2 wants both in a signed response.
        try IDToken.checkIssuer(claims, [issuer] + issuerAliases)
        let audiences: [String?] =
            switch claims["aud"] {
            case .string(let audience): [audience]
            case .array(let values): values.map(\.string)
            default: []
            }
        guard audiences.contains(where: { $0?.isIdentical(to: clientID) == true }) else { throw .audienceMismatch }
        // An ID token in its place would do for userinfo, and is meant for something else.
        guard claims["nonce"] == nil, claims["at_hash"] == nil, claims["events"] == nil else { throw .notAnIDToken }
        if let expiry = claims["exp"]?.number?.double {
            guard Double(now.millisecondsSinceEpoch) / 1000 < expiry + clockSkew.secondsAsDouble else {
                throw .expired
            }
        }
        return claims
    }
}
