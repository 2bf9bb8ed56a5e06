import Accounts
import Cryptography
import OAuth

/// Swift for token requests that a manifest can't describe. A plugin sees the parameters of one request and the client.
enum TokenPlugin: String, Sendable, CaseIterable {
    /// `hash`, the SHA-256 of secret and code (or refresh token) with a bar between, stands for the secret
    /// (<https://smartsheet.redoc.ly/#section/OAuth-Walkthrough>).
    case smartsheet

    func sign(
        _ parameters: [(name: String, value: String)], _ client: ClientRegistration
    ) -> [(name: String, value: String)] {
        switch self {
        case .smartsheet:
            guard
                let grant = parameters.first(where: { $0.name == "code" })
                    ?? parameters.first(where: { $0.name == "refresh_token" }),
                let hash = client.clientSecret?.reveal({ secret in
                    Hexadecimal.encode(Digest.sha256("\(secret)|\(grant.value)".utf8))
                })
            else { return parameters }
            return parameters.filter { $0.name != "client_secret" } + [("hash", hash)]
        }
    }
}
