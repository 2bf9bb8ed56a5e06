package import Accounts
package import Cryptography
package import JSON

/// A Security Event Token (RFC 8417): what an issuer says happened to a person.
package enum SecurityEventToken {
    /// Older ones are nobody's news, and no note of them is kept.
    private static let ageMax: Duration = .seconds(7 * 86_400)

    /// The claims of a token that is the issuer's, for this client, and of this kind. `.unknownKey` asks for one refetch
    /// of the keys. Whether it came before, `jti` tells.
    package static func verify(
        _ token: String, keys: JSONWebKeySet, issuer: String, clientID: String, algorithms: [SignatureAlgorithm],
        now: Timestamp, clockSkew: Duration = .seconds(300)
    ) throws(IDTokenError) -> JSONObject {
        let (claims, _) = try IDToken.verifySignature(
            token, keys: keys, algorithms: algorithms, types: ["secevent+jwt", "application/secevent+jwt", "jwt"])
        guard let stated = claims["iss"]?.string, stated.isIdentical(to: issuer) else { throw .issuerMismatch }
        let audiences: [String?] =
            switch claims["aud"] {
            case .string(let audience): [audience]
            case .array(let values): values.map(\.string)
            default: []
            }
        guard audiences.contains(where: { $0?.isIdentical(to: clientID) == true }) else { throw .audienceMismatch }
        guard let issued = claims["iat"]?.number?.double, issued.isFinite else {
            throw .malformed(reason: "iat is missing")
        }
        let seconds = Double(now.millisecondsSinceEpoch) / 1000
        guard issued <= seconds + clockSkew.secondsAsDouble else { throw .notYetValid }
        guard issued > seconds - ageMax.secondsAsDouble else { throw .expired }
        guard claims["jti"]?.string?.isEmpty == false else { throw .malformed(reason: "jti is missing") }
        guard claims["events"]?.object?.isEmpty == false else { throw .malformed(reason: "events is missing") }
        return claims
    }
}
