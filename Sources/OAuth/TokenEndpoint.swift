package import Accounts
package import JSON
package import Transfer

/// A success of the token endpoint (RFC 6749 §5.1).
package struct AccessTokenResponse: Sendable {
    package var credential: Credential
    /// Not verified yet: `IDToken.verify` does that.
    package var idToken: Secret?
    /// The dialect's `keptMembers`, those that are there.
    package var kept: JSONObject

    package init(credential: Credential, idToken: Secret?, kept: JSONObject = JSONObject()) {
        self.credential = credential
        self.idToken = idToken
        self.kept = kept
    }
}

/// RFC 6749 §3.2: what is common to all grants.
package enum TokenEndpoint {
    /// Without a `client` what the parameters hold is all the proof there is.
    ///
    /// Redirects are refused: a request with credentials goes to the configured endpoint or nowhere.
    static func request(
        to endpoint: String, _ standard: [(name: String, value: String)], server: AuthorizationServer,
        client: ClientRegistration?, dialect: TokenDialect, moment: Moment
    ) -> TransferRequest {
        var parameters = standard + dialect.requestParameters.map { (name: $0.0, value: $0.1) }
        let proof = client?.proof(at: endpoint, of: server, moment) ?? .init()
        parameters += proof.parameters
        if let client, dialect.repeatsClientID, !parameters.contains(where: { $0.name == "client_id" }) {
            parameters.append(("client_id", client.clientID))
        }
        if let client, let sign = dialect.sign { parameters = sign(parameters, client) }
        parameters = parameters.map { (dialect.parameterNames[$0.name] ?? $0.name, $0.value) }

        var fields: HeaderFields = ["Accept": "application/json"]
        for field in dialect.requestFields { fields[field.name] = field.value }
        var request = TransferRequest(
            dialect.requestMethod, endpoint, fields: fields, credentials: proof.field.map { [$0] } ?? [],
            redirects: .refuse)
        switch dialect.requestFormat {
        case .form:
            request.body = .init(contentType: FormEncoding.mediaType, bytes: Array(FormEncoding.body(parameters).utf8))
        case .json:
            var object = JSONObject()
            for (name, value) in parameters { object[name] = .string(value) }
            request.body = .init(contentType: "application/json", bytes: Array(JSONValue.object(object).text.utf8))
        case .query:
            request.url = EncodedParameters.url(endpoint, adding: parameters)
        }
        return request
    }

    /// Reads the answer to a token request. `requestedScopes` are those asked for, or on a refresh those held: they
    /// stand where the answer names none (§5.1). Lifetimes count from `requestedAt`, when the request was sent; whoever
    /// uses the credential subtracts its allowance for skew. `binding` says whether a proof was sent along.
    package static func read(
        _ response: TransferResponse, dialect: TokenDialect, requestedScopes: [Scope], requestedAt: Timestamp,
        binding: DPoP.Use = .none
    ) throws(TokenRequestError) -> AccessTokenResponse {
        // A server in trouble may say anything; only its status is believed.
        if response.status >= 500 || response.status == 429 { throw .unavailable(status: response.status) }
        let isSuccess = (200..<300).contains(response.status)
        let body: TokenResponseBody
        do { body = try TokenResponseBody(response, dialect: dialect) } catch {
            throw isSuccess ? .malformed(reason: error.reason) : .unavailable(status: response.status)
        }
        if let code = body.errorCode(dialect.errorCodes) { throw .refused(code) }
        guard isSuccess else { throw .unavailable(status: response.status) }
        do {
            return try body.accessTokenResponse(
                dialect: dialect, requestedScopes: requestedScopes, requestedAt: requestedAt, binding: binding)
        } catch { throw .malformed(reason: error.reason) }
    }

    /// What the server says about a refusal, for a log: one line of at most 200 characters without control characters,
    /// long runs that could be a secret cut out. `nil` where it says nothing.
    package static func detail(of response: TransferResponse, dialect: TokenDialect) -> String? {
        // An unreadable body has no detail; `read` has said that it is unreadable.
        guard let body = try? TokenResponseBody(response, dialect: dialect) else { return nil }
        return body.errorDescription.map(ErrorText.line)
    }
}
