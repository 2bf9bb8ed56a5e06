/// A URL with `{variable}` places. What stands in a place is fixed at start, but for a few that only a request knows.
struct URLTemplate: Sendable, Equatable {
    enum Part: Sendable, Equatable {
        case literal(String)
        case variable(String)
    }

    var parts: [Part]

    /// Known once the metadata document was read; allowed in `profile.requests`.
    static let userinfoEndpoint = "userinfo_endpoint"
    /// Known once the responses before have told of the person; allowed in `profile.requests` with the application's token.
    static let subject = "subject"
    /// The host of the instance's redirect URI; allowed in `client_assertion.issuer`.
    static let redirectHost = "redirect_host"
    /// Before the name of a parameter that is kept of the callback; allowed in `profile.requests`.
    static let callback = "callback."
    /// Before the name of a member that is kept of the token answer, a URL; allowed in `profile.requests`.
    static let token = "token."
    /// Stands in an issuer for whatever tenant an ID token names.
    static let tenantID = "tenantid"
    /// Known of the instance; allowed in header fields.
    static let clientID = "client_id"
    /// Known of the instance; allowed in parameters of refresh requests.
    static let redirectURI = "redirect_uri"
    /// Known when a token is revoked; left as they stand for `OAuth` to fill in.
    static let revocationPlaces = ["client_id", "access_token", "refresh_token", "token"]

    init(parts: [Part]) { self.parts = parts }

    /// `nil` where a brace has no partner or a name is not `[a-z][a-z0-9_]*`, with another name of its own after a dot.
    init?(_ text: String) {
        parts = []
        var literal = ""
        var name: String?
        for character in text {
            switch (character, name) {
            case ("{", nil): name = ""
            case ("}", let open?):
                guard let first = open.utf8.first, (0x61...0x7a).contains(first), open.last != "." else {
                    return nil
                }
                if !literal.isEmpty { parts.append(.literal(literal)) }
                literal = ""
                parts.append(.variable(open))
                name = nil
            case ("{", _?), ("}", nil): return nil
            case (_, nil): literal.append(character)
            case (_, let open?):
                let isPlain = "abcdefghijklmnopqrstuvwxyz0123456789_".contains(character)
                guard isPlain || character == "." || open.contains(".") && character.isMemberNameCharacter else {
                    return nil
                }
                name = open + String(character)
            }
        }
        guard name == nil else { return nil }
        if !literal.isEmpty { parts.append(.literal(literal)) }
    }

    var variables: [String] { parts.compactMap { if case .variable(let name) = $0 { name } else { nil } } }

    /// The whole, where no variable is left.
    var literal: String? {
        guard parts.count == 1, case .literal(let text) = parts[0] else { return nil }
        return text
    }

    /// `nil` where a variable has no value. A slash at the end of a value and one after its place become one.
    func expanded(_ values: [String: String]) -> String? {
        let rest = filled(values)
        return rest.variables.isEmpty ? rest.text : nil
    }

    /// With the variables that have a value filled in and the others left.
    func filled(_ values: [String: String]) -> URLTemplate {
        var filled: [Part] = []
        for part in parts {
            let text: String
            switch part {
            case .literal(let literal): text = literal
            case .variable(let name):
                guard let value = values[name] else {
                    filled.append(part)
                    continue
                }
                text = value
            }
            if case .literal(let before)? = filled.last {
                let joined = before.hasSuffix("/") && text.hasPrefix("/") && !before.hasSuffix("://")
                filled[filled.count - 1] = .literal(before + (joined ? String(text.dropFirst()) : text))
            } else {
                filled.append(.literal(text))
            }
        }
        return URLTemplate(parts: filled)
    }

    /// A variable that holds a URL and stands where it would become part of another host or path; `nil` where none does.
    func misplaced(urls names: Set<String>) -> String? {
        for (index, part) in parts.enumerated() {
            guard case .variable(let name) = part,
                names.contains(name) || name == Self.userinfoEndpoint || name.hasPrefix(Self.token)
            else {
                continue
            }
            let next = parts.dropFirst(index + 1).first
            let isFollowed: Bool
            if case .literal(let text)? = next { isFollowed = text.hasPrefix("/") } else { isFollowed = next == nil }
            if index > 0 || !isFollowed { return name }
        }
        return nil
    }

    /// As it would be written.
    var text: String {
        parts.map { part in
            switch part {
            case .literal(let text): text
            case .variable(let name): "{\(name)}"
            }
        }.joined()
    }
}

extension Character {
    /// Of a name that a provider gave: letters, digits, `_` and `-`.
    fileprivate var isMemberNameCharacter: Bool { isASCII && (isLetter || isNumber) || self == "_" || self == "-" }
}

extension String {
    /// All but RFC 3986's unreserved characters escaped: one path segment or value, whatever it holds.
    var percentEncoded: String {
        utf8.map { byte in
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e: String(UnicodeScalar(byte))
            default: "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }.joined()
    }
}
