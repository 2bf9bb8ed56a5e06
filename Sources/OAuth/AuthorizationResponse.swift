package import Accounts
import Cryptography

/// What the browser brought back (RFC 6749 §4.1.2): a code, or why there is none.
package enum AuthorizationResponse: Sendable, Equatable {
    case code(Secret)
    /// The `error` code, at most 64 characters of `A–Z a–z 0–9 . _ -`; `unrecognized` where it was anything else.
    case error(String)

    /// Longest query that is read, in bytes.
    package static let queryBytesMax = 16 << 10

    /// Reads the raw query (without `?`), strictly. A code that comes with an error is not used. Parameters that are not
    /// ours are ignored, those that are may stand once (§3.1). `state` is what came, to be looked up; nothing here
    /// says that it is genuine.
    /// - Parameter names: the provider's own names of standard parameters.
    package static func read(
        query: String, names: [String: String] = [:]
    ) throws(AuthorizationResponseError) -> (state: String, response: AuthorizationResponse, issuer: String?) {
        guard query.utf8.count <= queryBytesMax else { throw .tooLong }
        guard let pairs = FormEncoding.decode(query) else { throw .malformed }
        var values: [String: String] = [:]
        let own = Dictionary(names.map { ($0.value, $0.key) }) { first, _ in first }
        for (stated, value) in pairs {
            guard let name = own[stated] ?? (names[stated] == nil ? stated : nil), known.contains(name) else {
                continue
            }
            guard values.updateValue(value, forKey: name) == nil else { throw .duplicateParameter(name) }
        }
        if let name = ["access_token", "id_token", "token"].first(where: { values[$0] != nil }) {
            throw .implicitGrant(name)
        }
        if values["response"] != nil { throw .unsupportedResponseMode }
        guard let state = values["state"], !state.isEmpty else { throw .stateMissing }
        guard state.isVisibleASCII, state.utf8.count <= 512 else { throw .malformed }
        let issuer = values["iss"]
        if let error = values["error"], !error.isEmpty {
            return (state, .error(ErrorText.code(error) ?? "unrecognized"), issuer)
        }
        guard let code = values["code"], !code.isEmpty else { throw .codeMissing }
        guard code.isVisibleASCII else { throw .malformed }
        return (state, .code(Secret(code)), issuer)
    }

    /// The values of parameters besides the protocol's own, read as strictly: one that stands twice has none.
    package static func parameters(
        _ names: [String], of query: String
    ) throws(AuthorizationResponseError) -> [String: String] {
        guard query.utf8.count <= queryBytesMax else { throw .tooLong }
        guard let pairs = FormEncoding.decode(query) else { throw .malformed }
        var values: [String: String] = [:]
        for (name, value) in pairs where names.contains(name) {
            guard values.updateValue(value, forKey: name) == nil else { throw .duplicateParameter(name) }
        }
        return values
    }

    /// RFC 9207 §2.4: the response is this server's. Where the server announces `iss`, it must be there; where it comes
    /// unannounced, it must be right all the same. Compared byte for byte (RFC 3986 §6.2.1).
    package static func checkIssuer(
        _ iss: String?, server: AuthorizationServer
    ) throws(AuthorizationResponseError) {
        guard let iss else {
            if server.authorizationResponseIssRequired { throw .issuerMissing }
            return
        }
        guard let issuer = server.issuer else {
            // Nothing to compare with, and nothing was promised (ASVS 10.2.2).
            if server.authorizationResponseIssRequired { throw .issuerMismatch }
            return
        }
        guard IssuerTemplate.matches(iss, issuer) else { throw .issuerMismatch }
    }

    /// What the protocol gives a meaning.
    package static let known: Set<String> = [
        "code", "state", "iss", "error", "error_description", "error_uri", "access_token", "id_token", "token",
        "response",
    ]
}

/// Why the callback is refused before anything is sent anywhere.
package enum AuthorizationResponseError: Error, Equatable {
    case tooLong
    /// Not form-encoded UTF-8, or control characters where none belong.
    case malformed
    case duplicateParameter(String)
    case stateMissing
    case codeMissing
    /// A token in the query: the implicit grant, which was not asked for.
    case implicitGrant(String)
    /// `response`, a JWT (JARM), which was not asked for.
    case unsupportedResponseMode
    case issuerMissing
    case issuerMismatch
}

extension String {
    /// RFC 6749 appendix A's `VSCHAR`: codes, states and tokens have no others.
    var isVisibleASCII: Bool { utf8.allSatisfy { (0x20...0x7e).contains($0) } }
}
