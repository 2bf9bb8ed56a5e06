import Accounts
import Cryptography
import Transfer

extension ClientRegistration {
    /// `Authorization: Basic`, where the registration's way is one of the two Basic ones. A client without secret has an
    /// empty password.
    var basicField: TransferRequest.CredentialField? {
        switch authentication {
        case .clientSecretBasic: basicField(encode: FormEncoding.encode)
        case .clientSecretBasicRaw: basicField { $0 }
        case .clientSecretPost, .none: nil
        }
    }

    func basicField(encode: (String) -> String) -> TransferRequest.CredentialField {
        let secret = clientSecret?.reveal(encode) ?? ""
        return .init(name: "Authorization", value: "Basic " + Base64.encode("\(encode(clientID)):\(secret)".utf8))
    }

    /// What goes into the body instead.
    var bodyParameters: [(name: String, value: String)] {
        switch authentication {
        case .clientSecretBasic, .clientSecretBasicRaw: []
        case .clientSecretPost:
            [("client_id", clientID)] + (clientSecret.map { [("client_secret", $0.reveal { $0 })] } ?? [])
        case .none: [("client_id", clientID)]
        }
    }
}
