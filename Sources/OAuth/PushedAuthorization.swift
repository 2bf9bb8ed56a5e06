package import Accounts
import JSON
package import Transfer

/// Pushed authorization requests (RFC 9126): the request goes to the server directly, from the client that it is proven
/// to be from, and the browser carries a reference that is good once and for a short time.
package enum PushedAuthorization {
    package static func request(
        _ authorization: AuthorizationRequest, endpoint: String, server: AuthorizationServer,
        client: ClientRegistration, moment: Moment
    ) -> TransferRequest {
        let proof = client.proof(at: endpoint, of: server, moment)
        // A parameter stands once: `client_id` belongs to both.
        let known = authorization.parameters.map(\.name)
        let parameters = authorization.parameters + proof.parameters.filter { !known.contains($0.name) }
        return TransferRequest(
            .post, endpoint, fields: ["Accept": "application/json"], credentials: proof.field.map { [$0] } ?? [],
            body: .init(contentType: FormEncoding.mediaType, bytes: Array(FormEncoding.body(parameters).utf8)),
            redirects: .refuse)
    }

    /// The `request_uri` (§2.2). A refusal is in the words of the token endpoint (§2.3).
    package static func read(_ response: TransferResponse) throws(TokenRequestError) -> Secret {
        if response.status >= 500 || response.status == 429 { throw .unavailable(status: response.status) }
        let isSuccess = (200..<300).contains(response.status)
        let body: TokenResponseBody
        do { body = try TokenResponseBody(response, dialect: TokenDialect()) } catch {
            throw isSuccess ? .malformed(reason: error.reason) : .unavailable(status: response.status)
        }
        if let code = body.errorCode([:]) { throw .refused(code) }
        guard isSuccess else { throw .unavailable(status: response.status) }
        guard let uri = body.text("request_uri"), (1...2048).contains(uri.utf8.count), uri.isVisibleASCII,
            !uri.contains(" ")
        else { throw .malformed(reason: "no request_uri") }
        guard let seconds = body.number("expires_in"), seconds > 0 else {
            throw .malformed(reason: "no expires_in")
        }
        return Secret(uri)
    }

    /// What the browser sees (§4): the client's id and the reference, and nothing of the request.
    package static func url(
        requestURI: Secret, server: AuthorizationServer, client: ClientRegistration,
        parameterNames: [String: String] = [:]
    ) -> String {
        let endpoint = server.authorizationEndpoint
        let query = FormEncoding.query([
            (parameterNames["client_id"] ?? "client_id", client.clientID), ("request_uri", requestURI.reveal { $0 }),
        ])
        return endpoint + (endpoint.contains("?") ? "&" : "?") + query
    }
}
