/// An absolute URL that requests may go to, taken apart as strictly as it can be: what two readers could take for two
/// hosts is none.
struct EndpointURL: Sendable, Equatable {
    enum Use: Sendable {
        /// A base to which paths are added: no query.
        case base
        case endpoint
        /// An endpoint that only a browser opens: it may have a fragment.
        case browser
        /// For people: any host over `http`, too.
        case page
    }

    var scheme: String
    /// Lower case; an IPv6 address in its brackets.
    var host: String
    var port: Int?

    init?(_ text: String, allowing use: Use) {
        guard Self.problem(with: text, allowing: use) == nil, let parts = Self.split(text) else { return nil }
        scheme = parts.scheme
        host = parts.host.lowercased()
        port = parts.port.flatMap { Int($0) }
    }

    /// Why it may not be used, `nil` where it may.
    static func problem(with text: String, allowing use: Use) -> String? {
        guard text.utf8.count <= 2000 else { return "the URL is longer than 2000 characters" }
        let allowed = text.utf8.allSatisfy { (0x21...0x7e).contains($0) && !#""<>\^`{|}"#.utf8.contains($0) }
        guard allowed else { return "the URL holds characters that a URL may not hold" }
        guard let parts = split(text) else { return "expected an absolute URL that begins with https://" }
        if parts.authority.contains("@") { return "the URL holds user information before its host" }
        guard isHost(parts.host) else { return "the URL has no valid host" }
        if let port = parts.port {
            guard let number = Int(port), (1...65535).contains(number), port.utf8.allSatisfy({ $0 != 0x2b }) else {
                return "the URL's port is not one from 1 to 65535"
            }
        }
        if text.contains("#"), use != .browser { return "the URL holds a fragment (#)" }
        if use == .base, text.contains("?") { return "the URL holds a query (?)" }
        if parts.scheme == "http", use != .page, !isLoopback(parts.host) {
            return "expected https: http is allowed for loopback addresses alone"
        }
        return nil
    }

    private static func split(_ text: String) -> (scheme: String, authority: String, host: String, port: String?)? {
        guard let scheme = ["https", "http"].first(where: { text.hasPrefix($0 + "://") }) else { return nil }
        let authority = String(text.dropFirst(scheme.count + 3).prefix { !"/?#".contains($0) })
        let afterHost: Substring
        let host: Substring
        if authority.hasPrefix("["), let end = authority.firstIndex(of: "]") {
            host = authority[...end]
            afterHost = authority[end...].dropFirst()
        } else {
            host = authority.prefix { $0 != ":" }
            afterHost = authority.dropFirst(host.count)
        }
        if afterHost.isEmpty { return (scheme, authority, String(host), nil) }
        guard afterHost.first == ":" else { return (scheme, authority, "", nil) }
        return (scheme, authority, String(host), String(afterHost.dropFirst()))
    }

    private static func isHost(_ host: String) -> Bool {
        if host.hasPrefix("[") {
            return host.hasSuffix("]") && host.utf8.count > 4
                && host.utf8.dropFirst().dropLast().allSatisfy { isHexDigit($0) || $0 == 0x3a || $0 == 0x2e }
        }
        return (1...253).contains(host.utf8.count)
            && host.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
                (1...63).contains(label.utf8.count) && label.first != "-" && label.last != "-"
                    && label.utf8.allSatisfy {
                        (0x61...0x7a).contains($0 | 0x20) || (0x30...0x39).contains($0) || $0 == 0x2d
                    }
            }
    }

    private static func isHexDigit(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte | 0x20)
    }

    /// 127.0.0.0/8, ::1 and `localhost`.
    static func isLoopback(_ host: String) -> Bool {
        if host.lowercased() == "localhost" || host == "[::1]" { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127"
            && parts.allSatisfy { part in
                part.utf8.allSatisfy { (0x30...0x39).contains($0) } && (part == "0" || part.first != "0")
                    && UInt8(part) != nil
            }
    }
}
