import Accounts
import JSON
import Transfer

/// The members of a token endpoint's answer, whatever it was encoded as.
struct TokenResponseBody {
    struct Unreadable: Error { let reason: String }

    private let document: JSONValue
    private let members: JSONObject
    private let hasAccessToken: Bool

    init(_ response: TransferResponse, dialect: TokenDialect) throws(Unreadable) {
        let mediaType = MediaType(response.fields["content-type"] ?? "")
        guard let bytes = mediaType.utf8(response.body) else { throw Unreadable(reason: "the charset is not UTF-8") }
        if mediaType.isJSON || dialect.acceptsContentTypes.contains(mediaType.type) {
            do { document = try JSONValue(parsing: bytes) } catch { throw Unreadable(reason: "the body is not JSON") }
        } else if mediaType.type == FormEncoding.mediaType {
            guard let pairs = FormEncoding.decode(bytes) else { throw Unreadable(reason: "the body is not a form") }
            var object = JSONObject()
            for (name, value) in pairs {
                guard object[name] == nil else { throw Unreadable(reason: "the form has a field twice") }
                object[name] = .string(value)
            }
            document = .object(object)
        } else {
            throw Unreadable(reason: "the content type is neither JSON nor a form")
        }
        guard case .object(let outer) = document else { throw Unreadable(reason: "the body is not an object") }
        members = Self.descend(document, dialect.responsePath)?.object ?? outer
        hasAccessToken = Self.member("access_token", of: members, dialect)?.string?.isEmpty == false
    }

    // MARK: - Errors

    /// `nil` where the answer does not speak of an error. An error counts even beside a token and with status 200.
    func errorCode(_ codes: [String: TokenErrorCode]) -> TokenErrorCode? {
        let spoken = errorTexts
        if let code = spoken.lazy.compactMap({ codes[$0] }).first { return code }
        guard let error else { return nil }
        if let text = error.string { return TokenErrorCode(rawValue: text) }
        if let code = spoken.lazy.compactMap({ TokenErrorCode(standard: $0) }).first { return code }
        return .unrecognized(spoken.lazy.compactMap(ErrorText.code).first ?? "unrecognized")
    }

    /// `error`, or the list `errors` that some have instead; beside a token the list is a member that we don't know
    /// (RFC 6749 §5.1). `null`, `false`, 0 and empty text say that there is none, and hide no error further inside.
    private var error: JSONValue? {
        for candidate in [document["error"], members["error"]] {
            switch candidate {
            case nil, .null, .bool(false), .string(""): continue
            case .number(let number) where number.double == 0: continue
            case let stated: return stated
            }
        }
        if hasAccessToken { return nil }
        return [document["errors"], members["errors"]].lazy.compactMap { $0 }.first { $0.array?.isEmpty == false }
    }

    private static let errorCountMax = 16

    /// The error, or the errors where it is a list.
    private var errors: [JSONValue] {
        error.map { $0.array.map { Array($0.prefix(Self.errorCountMax)) } ?? [$0] } ?? []
    }

    /// Where servers put their codes: `error` as text, as an object with one of several members, or as a list of either;
    /// `message` or `error_description` beside it or instead of it.
    private var errorTexts: [String] {
        let inside = errors.flatMap { error in
            [
                error, error["code"], error["type"], error["errorType"], error["error"], error["field"],
                error["message"],
            ]
        }
        let described = [document["message"], document["error_description"], members["error_description"]]
        return (inside + described).compactMap { $0?.string ?? $0?.number?.text }
    }

    var errorDescription: String? {
        let candidates =
            [document["error_description"], members["error_description"]] + errors.map { $0["message"] }
            + [document["message"]]
        return candidates.lazy.compactMap { $0?.string }.first
    }

    /// A member that is a text.
    func text(_ name: String) -> String? { members[name]?.string }

    /// A member that is a number, or a text with one.
    func number(_ name: String) -> Double? {
        members[name].flatMap { $0.number?.double ?? $0.string.flatMap(Double.init) }
    }

    // MARK: - Tokens

    func accessTokenResponse(
        dialect: TokenDialect, requestedScopes: [Scope], requestedAt: Timestamp, binding: DPoP.Use
    ) throws(Unreadable) -> AccessTokenResponse {
        func member(_ name: String) -> JSONValue? {
            let value = Self.member(name, of: members, dialect)
            return value == .null ? nil : value
        }
        func lifetime(_ name: String) -> Duration? {
            member(name).flatMap { dialect.lifetimeUnit.lifetime($0, from: requestedAt) }
        }
        guard let accessToken = try token(member("access_token"), "access_token") else {
            throw Unreadable(reason: "no access_token")
        }
        var refreshToken = try token(member("refresh_token"), "refresh_token")

        var accessTokenLifetime = lifetime("expires_in")
        if accessTokenLifetime == .zero, dialect.zeroLifetimeIsForever {
            accessTokenLifetime = nil
        } else {
            accessTokenLifetime = accessTokenLifetime ?? dialect.accessTokenLifetime
        }
        var refreshTokenLifetime: Duration?
        if dialect.refreshesByAccessToken {
            refreshToken = accessToken
            refreshTokenLifetime = accessTokenLifetime
        } else if refreshToken != nil {
            // Zero here is said of tokens without end, never of one that is dead on arrival.
            let stated = lifetime("refresh_token_expires_in").flatMap { $0 == .zero ? nil : $0 }
            refreshTokenLifetime = stated ?? dialect.refreshTokenLifetime
        }
        let credential = Credential(
            accessToken: accessToken, tokenType: try tokenType(member("token_type"), dialect, binding),
            expiresAt: accessTokenLifetime.map { requestedAt + $0 }, refreshToken: refreshToken,
            refreshTokenExpiresAt: refreshTokenLifetime.map { requestedAt + $0 },
            scopes: Self.scopes(member("scope")) ?? requestedScopes, obtainedAt: requestedAt)
        let idToken = try token(member("id_token"), "id_token")
        // What is kept is shown: nothing that has a token inside, wherever the manifest looks for one.
        let secrets = [accessToken, refreshToken, idToken].compactMap { $0?.reveal { $0 } }
        var kept = JSONObject()
        for name in dialect.keptMembers {
            guard let value = members[name] ?? document[name], value != .null else { continue }
            let text = value.text
            if !secrets.contains(where: { text.contains($0) }) { kept[name] = value }
        }
        return AccessTokenResponse(credential: credential, idToken: idToken, kept: kept)
    }

    /// `nil` for missing and empty. Anything but visible ASCII would not survive a header field (RFC 6749 appendix A.12).
    private func token(_ value: JSONValue?, _ name: String) throws(Unreadable) -> Secret? {
        guard let value else { return nil }
        guard let text = value.string else { throw Unreadable(reason: "\(name) is not a string") }
        guard text.isVisibleASCII else { throw Unreadable(reason: "\(name) holds characters that a token can't") }
        guard text.utf8.count <= 64 << 10 else { throw Unreadable(reason: "\(name) is too long") }
        return text.isEmpty ? nil : Secret(text)
    }

    /// Required by RFC 6749 §5.1 and yet often left out: then Bearer. A type that we do not know how to use must not be
    /// used (§7.1), and one that is bound to no key of ours is of no use either.
    private func tokenType(
        _ value: JSONValue?, _ dialect: TokenDialect, _ binding: DPoP.Use
    ) throws(Unreadable) -> String {
        let type = value == .string("") ? nil : value
        if binding != .none, type?.string?.lowercased() == DPoP.tokenType.lowercased() { return DPoP.tokenType }
        guard binding != .required else { throw Unreadable(reason: "token_type is not DPoP") }
        guard let type else { return "Bearer" }
        let known = ["bearer"] + dialect.bearerTokenTypes.map { $0.lowercased() }
        guard let text = type.string, known.contains(text.lowercased()) else {
            throw Unreadable(reason: "token_type is not Bearer")
        }
        return "Bearer"
    }

    private static func member(_ name: String, of members: JSONObject, _ dialect: TokenDialect) -> JSONValue? {
        if let path = dialect.memberPaths[name] { return descend(.object(members), path) }
        return members[dialect.memberNames[name] ?? name]
    }

    /// A string split at spaces and commas, or an array of strings. What can't be a scope is left out: it must not cost
    /// the token. `nil` where the answer says nothing.
    private static func scopes(_ value: JSONValue?) -> [Scope]? {
        let words: [String]
        switch value {
        case .string(let text): words = text.split { $0 == " " || $0 == "," }.map(String.init)
        case .array(let values): words = values.compactMap(\.string)
        default: return nil
        }
        var scopes: [Scope] = []
        for scope in words.prefix(256).compactMap({ Scope($0) }) where !scopes.contains(scope) { scopes.append(scope) }
        return scopes
    }

    private static func descend(_ document: JSONValue, _ path: [String]) -> JSONValue? {
        var value = document
        for name in path {
            let next = value.array.flatMap { array in
                Int(name).flatMap { array.indices.contains($0) ? array[$0] : nil }
            }
            guard let found = value[name] ?? next else { return nil }
            value = found
        }
        return value
    }
}
