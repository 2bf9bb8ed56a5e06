package import Accounts
import JSON
package import Transfer

/// Token introspection (RFC 7662): what the server itself says of a token, now.
package struct TokenIntrospection: Sendable, Equatable {
    /// False is revoked, expired, or never issued (§2.2); which of them is not told.
    package var isActive: Bool
    /// No later than this may the answer be believed (§4).
    package var expiresAt: Timestamp?
    package var scopes: [Scope]?
    package var subject: String?

    /// `nil` where the server has no such endpoint. The client authenticates, or anybody could try tokens out (§2.1).
    package static func request(
        accessToken: Secret, server: AuthorizationServer, client: ClientRegistration, dialect: TokenDialect,
        moment: Moment
    ) -> TransferRequest? {
        guard let endpoint = server.introspectionEndpoint, client.authentication.proves else { return nil }
        let plain = TokenDialect(requestFields: dialect.requestFields, parameterNames: dialect.parameterNames)
        return TokenEndpoint.request(
            to: endpoint, [("token", accessToken.reveal { $0 }), ("token_type_hint", "access_token")], server: server,
            client: client, dialect: plain, moment: moment)
    }

    package static func read(
        _ response: TransferResponse, dialect: TokenDialect
    ) throws(TokenRequestError) -> TokenIntrospection {
        guard response.status == 200 else {
            if response.status < 500, response.status != 429,
                // A body that is unreadable has no code; then the status speaks.
                let code = (try? TokenResponseBody(response, dialect: dialect))?.errorCode(dialect.errorCodes)
            {
                throw .refused(code)
            }
            throw .unavailable(status: response.status)
        }
        guard MediaType(response.fields["content-type"] ?? "").isJSON else {
            throw .malformed(reason: "the content type is not JSON")
        }
        let document: JSONValue
        do { document = try JSONValue(parsing: response.body) } catch { throw .malformed(reason: "not JSON") }
        // Nothing else stands for it: `"false"` is no truth value.
        guard let isActive = document["active"]?.bool else { throw .malformed(reason: "no active") }
        guard isActive else { return TokenIntrospection(isActive: false) }
        let expiry = document["exp"]?.number.flatMap { seconds in
            (0...253_402_300_799).contains(seconds.double)
                ? Timestamp(secondsSinceEpoch: Int64(seconds.double)) : nil
        }
        let scopes = document["scope"]?.string?.split(separator: " ").compactMap { Scope(String($0)) }
        return TokenIntrospection(
            isActive: true, expiresAt: expiry, scopes: scopes, subject: document["sub"]?.string)
    }
}
