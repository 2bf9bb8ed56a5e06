package import Accounts
import OAuth
package import Transfer

/// What a provider wants to be asked before an access token is used (quirk E15).
package struct TokenValidationRule: Sendable, Equatable {
    /// Of its requests, for limits.
    package static let route = "validation"

    /// Answers 401 to a token that is dead, and anything else to one that is good.
    package var url: String
    /// Stands before the access token in `Authorization`.
    package var scheme: String
    /// No token is used that was neither issued nor validated within so long.
    package var interval: Duration

    package func request(for credential: Credential) -> TransferRequest {
        // A bound token has a scheme of its own (RFC 9449 §7.1).
        let scheme = credential.tokenType == DPoP.tokenType ? DPoP.tokenType : scheme
        var request = TransferRequest(.get, url, fields: ["Accept": "application/json"])
        request.credentials = [
            .init(name: "Authorization", value: credential.accessToken.reveal { "\(scheme) \($0)" })
        ]
        return request
    }
}
