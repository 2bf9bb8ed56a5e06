import Accounts
import Cryptography
import Transfer

extension ClientRegistration {
    /// What proves the client to one endpoint: a field or parameters, never both.
    struct Proof {
        var field: TransferRequest.CredentialField?
        var parameters: [(name: String, value: String)] = []
    }

    /// An assertion that can't be made is left out, and the server refuses the client.
    func proof(at endpoint: String, of server: AuthorizationServer, _ moment: Moment) -> Proof {
        switch authentication {
        case .clientSecretBasic: return Proof(field: basicField(encode: FormEncoding.encode))
        case .clientSecretBasicRaw: return Proof(field: basicField { $0 })
        case .clientSecretUsername:
            let secret = clientSecret?.reveal { $0 } ?? ""
            return Proof(field: .init(name: "Authorization", value: "Basic " + Base64.encode("\(secret):".utf8)))
        case .clientSecretBearer:
            return Proof(field: .init(name: "Authorization", value: "Bearer " + (clientSecret?.reveal { $0 } ?? "")))
        case .clientSecretPost:
            return Proof(
                parameters: [("client_id", clientID)]
                    + (clientSecret.map { [("client_secret", $0.reveal { $0 })] } ?? [])
            )
        case .none: return Proof(parameters: [("client_id", clientID)])
        case .noneBasic: return Proof(field: Self.basicField(FormEncoding.encode(clientID), secret: ""))
        case .clientSecretJWT, .privateKeyJWT:
            var parameters = [(name: "client_id", value: clientID)]
            guard let token = assertion(at: endpoint, of: server, moment) else { return Proof(parameters: parameters) }
            switch assertion.parameter {
            case .clientSecret: parameters.append(("client_secret", token))
            case .clientAssertion:
                parameters.append(("client_assertion_type", Self.assertionType))
                parameters.append(("client_assertion", token))
            }
            return Proof(parameters: parameters)
        }
    }

    /// Id and secret in `Authorization: Basic`.
    func basicField(encode: (String) -> String) -> TransferRequest.CredentialField {
        Self.basicField(encode(clientID), secret: clientSecret?.reveal(encode) ?? "")
    }

    private static func basicField(_ id: String, secret: String) -> TransferRequest.CredentialField {
        .init(name: "Authorization", value: "Basic " + Base64.encode("\(id):\(secret)".utf8))
    }
}
