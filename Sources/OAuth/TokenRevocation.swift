package import Accounts
import JSON
package import Transfer

package enum RevocationOutcome: Sendable, Equatable {
    case revoked
    /// The token was expired, revoked or unknown before.
    case alreadyDead
    /// Says nothing about the token; `after` is what `Retry-After` asks for, at most a day.
    case retry(after: Duration?)
    /// Trying again is of no use: the token type, the request or the method is not accepted.
    case refused
}

/// RFC 7009, and what providers have instead.
package enum TokenRevocation {
    /// The refresh token first: it outlives the access token, and many servers end both with it. Empty where the server
    /// takes no token back.
    package static func requests(
        for credential: Credential, server: AuthorizationServer, client: ClientRegistration, moment: Moment
    ) -> [TransferRequest] {
        // Where the access token is refreshed with itself, it is there once.
        let refreshToken = credential.refreshToken.flatMap { $0 == credential.accessToken ? nil : $0 }
        let tokens = [
            refreshToken.map { (kind: "refresh_token", token: $0) },
            (kind: "access_token", token: credential.accessToken),
        ].compactMap { $0 }
        switch server.revocation {
        case .none: return []
        case .rfc7009(let endpoint, let authenticated):
            return tokens.map { kind, token in
                var parameters = [(name: "token", value: token.reveal { $0 }), (name: "token_type_hint", value: kind)]
                // One each: an assertion counts once.
                let proof = authenticated ? client.proof(at: endpoint, of: server, moment) : .init()
                parameters += proof.parameters
                return TransferRequest(
                    .post, endpoint, fields: ["Accept": "application/json"],
                    credentials: proof.field.map { [$0] } ?? [],
                    body: .init(
                        contentType: FormEncoding.mediaType, bytes: Array(FormEncoding.body(parameters).utf8)))
            }
        case .request(let request):
            var values = ["client_id": client.clientID]
            for (kind, token) in tokens { values[kind] = token.reveal { $0 } }
            guard request.mentions("token") else {
                return request.transferRequest(values, credential: credential, client: client).map { [$0] } ?? []
            }
            return tokens.compactMap { _, token in
                values["token"] = token.reveal { $0 }
                return request.transferRequest(values, credential: credential, client: client)
            }
        }
    }

    /// Whether the access token is all that the provider is told of the grant: one that has expired tells it nothing, and
    /// the refresh token lives on.
    package static func leansOnAccessToken(_ method: RevocationMethod) -> Bool {
        guard case .request(let request) = method else { return false }
        if request.authentication == .bearer { return true }
        return request.mentions("access_token") && !request.mentions("refresh_token")
    }

    package static func read(_ response: TransferResponse, method: RevocationMethod) -> RevocationOutcome {
        if response.status == 429 || response.status >= 500 || response.status == 408 {
            let seconds = response.fields["retry-after"].flatMap { Int64($0) }
            return .retry(after: seconds.map { .seconds(min(max($0, 0), 86400)) })
        }
        switch method {
        case .none: return .refused
        case .rfc7009:
            if (200..<300).contains(response.status) { return .revoked }
            // An answer in no words of OAuth may be a proxy's, and says nothing about the token.
            guard let body = try? TokenResponseBody(response, dialect: TokenDialect()), let code = body.errorCode([:])
            else { return .retry(after: nil) }
            switch code {
            // §2.2: an invalid token is a success already; some servers answer 400 all the same.
            case .invalidGrant, .unrecognized("invalid_token"): return .alreadyDead
            // Our registration is at fault, and may be mended while the token still lives.
            case .invalidClient, .unauthorizedClient, .serverError, .temporarilyUnavailable: return .retry(after: nil)
            default: return .refused
            }
        case .request(let request):
            if request.successStatuses.contains(response.status) { return .revoked }
            if request.alreadyDeadStatuses.contains(response.status) { return .alreadyDead }
            // The manifest names what ends the matter; a redirect that was not followed never will.
            return (400..<500).contains(response.status) ? .retry(after: nil) : .refused
        }
    }
}

extension RevocationRequest {
    /// `nil` where the template names a token that is not there.
    fileprivate func transferRequest(
        _ values: [String: String], credential: Credential, client: ClientRegistration
    ) -> TransferRequest? {
        guard let url = expand(url, values, encode: FormEncoding.percentEncode) else { return nil }
        var request = TransferRequest(method, url, fields: fields)
        if request.fields["accept"] == nil { request.fields["Accept"] = "application/json" }
        switch authentication {
        case .basic: request.credentials = [client.basicField(encode: FormEncoding.encode)]
        case .bearer:
            let value = credential.accessToken.reveal { "Bearer \($0)" }
            request.credentials = [.init(name: "Authorization", value: value)]
        case .none: break
        }
        switch body {
        case .none: break
        case .form(let members):
            var parameters: [(name: String, value: String)] = []
            for (name, value) in members {
                guard let value = expand(value.string ?? value.text, values, encode: { $0 }) else { return nil }
                parameters.append((name, value))
            }
            request.body = .init(contentType: FormEncoding.mediaType, bytes: Array(FormEncoding.body(parameters).utf8))
        case .json(let template):
            guard let document = expand(template, values) else { return nil }
            request.body = .init(contentType: "application/json", bytes: Array(document.text.utf8))
        }
        return request
    }

    fileprivate func mentions(_ name: String) -> Bool { placeholders.contains(name) }

    private var placeholders: [String] {
        switch body {
        case .none: Self.placeholders(in: url)
        case .form(let members):
            Self.placeholders(in: url) + members.flatMap { Self.placeholders(in: $0.value) }
        case .json(let template): Self.placeholders(in: url) + Self.placeholders(in: template)
        }
    }

    private static func placeholders(in template: String) -> [String] {
        template.split(separator: "{", omittingEmptySubsequences: false).dropFirst().map { part in
            part.contains("}") ? String(part.prefix { $0 != "}" }) : String(part)
        }
    }

    private static func placeholders(in template: JSONValue) -> [String] {
        switch template {
        case .string(let text): placeholders(in: text)
        case .array(let elements): elements.flatMap { placeholders(in: $0) }
        case .object(let members): members.flatMap { placeholders(in: $0.value) }
        case .null, .bool, .number: []
        }
    }

    private func expand(_ template: String, _ values: [String: String], encode: (String) -> String) -> String? {
        var text = ""
        var rest = template[...]
        while let start = rest.firstIndex(of: "{") {
            text += rest[..<start]
            rest = rest[start...].dropFirst()
            guard let end = rest.firstIndex(of: "}") else { return nil }
            guard let value = values[String(rest[..<end])] else { return nil }
            text += encode(value)
            rest = rest[end...].dropFirst()
        }
        return text + rest
    }

    private func expand(_ template: JSONValue, _ values: [String: String]) -> JSONValue? {
        switch template {
        case .string(let text): return expand(text, values, encode: { $0 }).map { .string($0) }
        case .array(let elements):
            let expanded = elements.map { expand($0, values) }
            return expanded.contains(nil) ? nil : .array(expanded.compactMap { $0 })
        case .object(let members):
            var object = JSONObject()
            for (name, value) in members {
                guard let value = expand(value, values) else { return nil }
                object[name] = value
            }
            return .object(object)
        case .null, .bool, .number: return template
        }
    }
}
