/// Where outgoing requests may go. Two checks, both on every hop: the URL before anything is sent, and the address at
/// the moment a socket is opened to it, so that a name which resolves to a private address, now or on its second
/// look-up, gets nowhere.
///
/// `https` may go to port 443 of a public host, and to another one where the operator's configuration says so: a port that
/// a document or an answer brings is refused. A private host has to be allowed by the operator, and only those are
/// spoken to over `http`. Files and other schemes, user names in URLs, names without a dot and the spellings of IPv4
/// addresses that are not dotted decimal are refused outright.
package struct DestinationPolicy: Sendable {
    private let allowedNames: Set<String>
    private let allowedAddresses: Set<IPAddress>
    /// Those with a port of their own.
    private let configured: Set<Destination>

    /// - Parameters:
    ///   - allowedPrivateHosts: names or addresses; IPv6 with or without brackets.
    ///   - configuredAddresses: URLs of the configuration; what is none allows nothing.
    package init(allowedPrivateHosts: Set<String> = [], configuredAddresses: [String] = []) {
        // What does not read as a URL is refused where it is used.
        configured = Set(configuredAddresses.compactMap { try? Destination(url: $0) }.filter { $0.port != 443 })
        allowedNames = Set(allowedPrivateHosts.map { Self.withoutTrailingDot($0.lowercased()) })
        allowedAddresses = Set(allowedPrivateHosts.compactMap(Self.address))
    }

    /// Whether the text is a host name or an address, and no more than that.
    static func isHost(_ text: String) -> Bool {
        address(text) != nil || !text.isEmpty && text.consists(of: Destination.hostBytes)
    }

    private static func address(_ host: String) -> IPAddress? {
        IPAddress(host.hasPrefix("[") && host.hasSuffix("]") ? String(host.dropFirst().dropLast()) : host)
    }

    /// Reads the URL and says where it leads; throws `.invalidRequest` where it is not an absolute URL of RFC 3986,
    /// `.destinationRefused` where it leads somewhere it may not.
    package func check(url: String) throws(TransferError) -> Destination {
        let destination = try Destination(url: url)
        if isAllowed(destination) { return destination }
        guard destination.scheme == .https else {
            throw .destinationRefused(reason: "http to a host that is not an allowed private host")
        }
        if let address = destination.address {
            guard address.isPublic else { throw .destinationRefused(reason: "a private address") }
        } else if Self.isLocal(Self.withoutTrailingDot(destination.host)) {
            throw .destinationRefused(reason: "a local name")
        }
        guard destination.port == 443 || configured.contains(destination) else {
            throw .destinationRefused(reason: "a port other than 443 that the configuration does not say")
        }
        return destination
    }

    /// Whether a socket may be opened to `address` on the way to `destination`. In the clear it has to be a private
    /// one, whatever the name.
    package func permits(_ address: IPAddress, for destination: Destination) -> Bool {
        if allowedAddresses.contains(address) { return true }
        if isAllowed(destination) { return destination.scheme == .https || !address.isPublic }
        return address.isPublic
    }

    private func isAllowed(_ destination: Destination) -> Bool {
        if allowedNames.isEmpty { return false }
        if let address = destination.address { return allowedAddresses.contains(address) }
        return allowedNames.contains(Self.withoutTrailingDot(destination.host))
    }

    /// Names that mean something only near this machine, whoever resolves them.
    private static func isLocal(_ name: String) -> Bool {
        guard let dot = name.utf8.lastIndex(of: UInt8(ascii: ".")) else { return true }
        return ["localhost", "local", "internal", "localdomain"].contains(name[name.utf8.index(after: dot)...])
    }

    static func withoutTrailingDot(_ host: String) -> String { host.hasSuffix(".") ? String(host.dropLast()) : host }
}

/// Scheme, host and port: two URLs of one origin have equal destinations (RFC 6454 §4).
package struct Destination: Sendable, Hashable {
    package enum Scheme: String, Sendable { case http, https }

    package let scheme: Scheme
    /// In lower case, IPv6 without brackets.
    package let host: String
    package let port: Int
    /// The host where it is an address.
    package let address: IPAddress?

    private static let urlBytesMax = 16 << 10

    /// Reads the narrow part of RFC 3986 that every parser reads alike: what is left out (user names, backslashes,
    /// percent signs in hosts, anything not ASCII) is where parsers disagree about the host.
    init(url: String) throws(TransferError) {
        var url = url
        let read = url.withUTF8 { bytes in Self.read(bytes) }
        self = try read.get()
    }

    private init(scheme: Scheme, host: String, port: Int, address: IPAddress?) {
        self.scheme = scheme
        self.host = host
        self.port = port
        self.address = address
    }

    private static func read(_ bytes: UnsafeBufferPointer<UInt8>) -> Result<Destination, TransferError> {
        guard bytes.count <= urlBytesMax else { return invalid("the URL is longer than 16 KiB") }
        guard bytes.allSatisfy(urlBytes.contains) else {
            return invalid("the URL holds a character that RFC 3986 has no place for")
        }
        let scheme: Scheme
        let start: Int
        if starts(bytes, with: "https://") {
            (scheme, start) = (.https, 8)
        } else if starts(bytes, with: "http://") {
            (scheme, start) = (.http, 7)
        } else if bytes.contains(UInt8(ascii: ":")) {
            return .failure(.destinationRefused(reason: "a scheme other than https"))
        } else {
            return invalid("the URL is not absolute")
        }
        let end = bytes[start...].firstIndex { $0 == 0x2f || $0 == 0x3f || $0 == 0x23 } ?? bytes.count  // / ? #
        let authority = UnsafeBufferPointer(rebasing: bytes[start..<end])
        if authority.contains(UInt8(ascii: "@")) {
            return .failure(.destinationRefused(reason: "a user name in the URL"))
        }
        return read(authority: authority, scheme: scheme)
    }

    private static func read(authority: UnsafeBufferPointer<UInt8>, scheme: Scheme) -> Result<
        Destination, TransferError
    > {
        let isBracketed = authority.first == UInt8(ascii: "[")
        let hostEnd: Int
        if isBracketed {
            guard let close = authority.firstIndex(of: UInt8(ascii: "]")) else { return invalid("an open bracket") }
            hostEnd = close + 1
        } else {
            hostEnd = authority.firstIndex(of: UInt8(ascii: ":")) ?? authority.count
        }
        var port = scheme == .https ? 443 : 80
        if hostEnd < authority.count {
            guard authority[hostEnd] == UInt8(ascii: ":"), authority.count - hostEnd <= 6 else {
                return invalid("an unreadable port")
            }
            let digits = authority[(hostEnd + 1)...]
            guard digits.allSatisfy({ $0 &- 48 < 10 }) else { return invalid("an unreadable port") }
            if !digits.isEmpty { port = digits.reduce(0) { $0 * 10 + Int($1 - 48) } }
            guard (1...65_535).contains(port) else { return invalid("a port out of range") }
        }
        if isBracketed {
            let text = String(decoding: authority[1..<hostEnd - 1], as: UTF8.self)
            guard text.utf8.contains(UInt8(ascii: ":")), let address = IPAddress(text) else {
                return invalid("an unreadable IPv6 address")
            }
            return .success(Destination(scheme: scheme, host: text.lowercased(), port: port, address: address))
        }
        return read(name: UnsafeBufferPointer(rebasing: authority[..<hostEnd]), scheme: scheme, port: port)
    }

    private static func read(name: UnsafeBufferPointer<UInt8>, scheme: Scheme, port: Int) -> Result<
        Destination, TransferError
    > {
        let isDotted = name.last == UInt8(ascii: ".")
        let labelsEnd = isDotted ? name.count - 1 : name.count
        guard labelsEnd > 0, labelsEnd <= 253 else { return invalid("an unreadable host") }
        var labelStart = 0
        for index in 0..<labelsEnd where name[index] == UInt8(ascii: ".") {
            guard (1...63).contains(index - labelStart) else { return invalid("an unreadable host") }
            labelStart = index + 1
        }
        guard (1...63).contains(labelsEnd - labelStart), name.allSatisfy(hostBytes.contains) else {
            return invalid("an unreadable host")
        }
        let host = String(decoding: name, as: UTF8.self).lowercased()
        // Whatever ends in a number is an address to somebody (WHATWG URL §3.5): it has to be one to us as well.
        let last = name[labelStart..<labelsEnd]
        guard
            last.allSatisfy({ $0 &- 48 < 10 })
                || last.count > 1 && last.first == 48 && name[labelStart + 1].lowercased == 0x78
        else { return .success(Destination(scheme: scheme, host: host, port: port, address: nil)) }
        guard let address = IPAddress(host) else {
            return .failure(.destinationRefused(reason: "a number that is not a dotted IPv4 address"))
        }
        return .success(Destination(scheme: scheme, host: host, port: port, address: address))
    }

    private static func invalid(_ reason: String) -> Result<Destination, TransferError> {
        .failure(.invalidRequest(reason: reason))
    }

    private static func starts(_ bytes: UnsafeBufferPointer<UInt8>, with prefix: StaticString) -> Bool {
        bytes.count >= prefix.utf8CodeUnitCount
            && (0..<prefix.utf8CodeUnitCount).allSatisfy { prefix.utf8Start[$0] == bytes[$0].lowercased }
    }

    /// Letters, digits, hyphen, dot, and the underscore that some hosts carry.
    static let hostBytes = ByteSet { $0.isASCIILetterOrDigit || "-._".utf8.contains($0) }
    private static let urlBytes = ByteSet { $0 > 0x20 && $0 < 0x7f && !#""<>\^`{|}"#.utf8.contains($0) }
}
