package import Accounts
package import JSON
package import OAuth
package import Transfer

/// One request of a profile, ready to be sent.
package struct ProfileRequest: Sendable {
    /// The manifest's name of it: the key of its response.
    package var name: String
    package var request: TransferRequest
    /// A refusal (`ResourceFailure.refused` or `.insufficientScope`) leaves its claims out; any other failure fails the
    /// sync, for a server that is down must not look like a user without an e-mail address.
    package var isOptional: Bool
    /// Any one of these must have been granted; empty where none is needed.
    package var requiredScopes: [Scope]
    /// To the metadata document's endpoint: its answer may be signed (OpenID Connect Core §5.3.2).
    package var isUserinfo: Bool
    /// How it is made under the application's own token, which `request` lacks; `nil` where it carries the account's.
    var applicationRule: ProfileRequestRule?

    package var carriesApplicationToken: Bool { applicationRule != nil }

    /// About that person, under the application's own token; `nil` where its URL waits for a subject that is not known.
    package func authorized(by token: Secret, subject: String?) -> TransferRequest? {
        guard let applicationRule else { return nil }
        var url = request.url
        let place = "{\(URLTemplate.subject)}"
        if url.contains(place) {
            guard let subject else { return nil }
            url = url.replacing(place, with: subject.percentEncoded)
        }
        return applicationRule.request(to: url, request.fields, accessToken: token)
    }
}

/// A request as the manifest declares it.
struct ProfileRequestRule: Sendable {
    /// Where the access token stands.
    enum TokenPlace: Sendable {
        /// After this word in `Authorization`.
        case scheme(String)
        /// Alone in that field.
        case field(String)
        case query(String)
        case body(String)

        var isBody: Bool { if case .body = self { true } else { false } }
    }

    struct Body: Sendable {
        var isJSON: Bool
        var parameters: [(name: String, value: String)]

        /// For `ProfileMapping.fingerprint`.
        var fingerprint: String { parameters.map { "\($0.name)=\($0.value)" }.joined(separator: "&") }
    }

    var name: String
    var method: Transfer.Method
    var url: URLTemplate
    var carriesApplicationToken: Bool
    var tokenPlace: TokenPlace
    var fields: HeaderFields
    var body: Body?
    var isOptional: Bool
    var requiredScopes: [Scope]

    /// To the endpoint of the metadata document: there may be none (OpenID Connect Discovery §3), and what it answers must
    /// be about the ID token's subject (Core §5.3.2).
    var isUserinfo: Bool { url.variables.contains(URLTemplate.userinfoEndpoint) }
}

extension Provider {
    /// The scopes of each request without which there is no profile, any one of which it needs, where none of them is
    /// among `scopes`.
    package func requiredScopes(lackingIn scopes: [Scope]) -> [(request: String, anyOf: [Scope])] {
        mapping.requests.filter { rule in
            !rule.isOptional && !rule.requiredScopes.isEmpty && !rule.requiredScopes.contains(where: scopes.contains)
        }.map { ($0.name, $0.requiredScopes) }
    }

    /// How many requests a sync makes at most, but for renewals.
    package var syncRequestCount: Int { mapping.requests.count + (tokenValidation == nil ? 0 : 1) }

    /// Whether requests of that route carry an account's access token: those of the profile do, and validation.
    package func carriesAccessToken(route: String) -> Bool {
        route == TokenValidationRule.route
            || mapping.requests.contains { $0.name == route && !$0.carriesApplicationToken }
    }

    /// The requests of a profile in the manifest's order. One whose scope was not granted is left out where anything
    /// was said of scopes: a GitHub App's tokens come with an empty scope and may all the same. So is one to the
    /// userinfo endpoint of a server that has none, and one whose URL needs what neither callback nor token answer brought.
    ///
    /// - Parameters:
    ///   - callback: what was kept of the callback.
    ///   - token: what was kept of the token endpoint's answer.
    package func profileRequests(
        server: AuthorizationServer, credential: Credential, validators: [String: Validators] = [:],
        callback: JSONObject = JSONObject(), token: JSONObject = JSONObject()
    ) -> [ProfileRequest] {
        mapping.requests.compactMap { rule in
            let needed = rule.requiredScopes
            if rule.isOptional, !needed.isEmpty, !credential.scopes.isEmpty,
                !needed.contains(where: credential.scopes.contains)
            {
                return nil
            }
            var url = rule.url.literal
            if url == nil {
                var values = places(for: callback).merging(places(forToken: token)) { $1 }
                values[URLTemplate.userinfoEndpoint] = server.userinfoEndpoint
                // Left as it stands until somebody is known.
                values[URLTemplate.subject] = "{\(URLTemplate.subject)}"
                url = rule.url.expanded(values)
            }
            guard let url else { return nil }
            var fields = rule.fields
            if fields["Accept"] == nil { fields["Accept"] = "application/json" }
            if let userAgent { fields["User-Agent"] = userAgent }
            if rule.method == .get, let known = validators[rule.name] {
                if let etag = known.etag { fields["If-None-Match"] = etag }
                if let date = known.lastModified { fields["If-Modified-Since"] = date }
            }
            if rule.carriesApplicationToken {
                return ProfileRequest(
                    name: rule.name, request: TransferRequest(rule.method, url, fields: fields),
                    isOptional: rule.isOptional, requiredScopes: [], isUserinfo: false, applicationRule: rule)
            }
            return ProfileRequest(
                name: rule.name,
                request: rule.request(
                    to: url, fields, accessToken: credential.accessToken,
                    isBound: credential.tokenType == DPoP.tokenType),
                isOptional: rule.isOptional, requiredScopes: needed, isUserinfo: rule.isUserinfo)
        }
    }
}

extension ProfileRequestRule {
    /// Neither queries nor bodies are ever logged, so that a token may stand there where the provider wants it so.
    fileprivate func request(
        to url: String, _ fields: HeaderFields, accessToken: Secret, isBound: Bool = false
    ) -> TransferRequest {
        var request = TransferRequest(method, url, fields: fields)
        var body = body
        accessToken.reveal { token in
            // A bound token has a scheme of its own and no other place (RFC 9449 §7.1).
            switch isBound ? .scheme(DPoP.tokenType) : tokenPlace {
            case .scheme(let word): request.credentials = [.init(name: "Authorization", value: "\(word) \(token)")]
            case .field(let name): request.credentials = [.init(name: name, value: token)]
            case .query(let name): request.url = EncodedParameters.url(url, adding: [(name, token)])
            case .body(let name):
                var complete = body ?? Body(isJSON: false, parameters: [])
                complete.parameters.append((name, token))
                body = complete
            }
        }
        guard let body else { return request }
        if body.isJSON {
            var members = JSONObject()
            for (name, value) in body.parameters { members[name] = .string(value) }
            request.body = .init(contentType: "application/json", bytes: Array(JSONValue.object(members).text.utf8))
        } else {
            request.body = EncodedParameters.body(body.parameters)
        }
        return request
    }
}
