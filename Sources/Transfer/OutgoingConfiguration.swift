import Glibc

/// What an operator may set about outgoing HTTP. No environment variable joins in: `http_proxy` and its kin, `.netrc`
/// and the like are not read.
package struct OutgoingConfiguration: Sendable {
    /// Sent with every request that names no other.
    package var userAgent: String
    /// Certificates (PEM) trusted beside those of the system.
    package var caFile: String?
    /// `http://`, `https://` or `socks5h://`. Names are then resolved by the proxy, which has to judge their
    /// addresses; literal addresses and local names are refused here all the same.
    package var proxy: String?
    /// Names or addresses of private hosts that may be reached, over `http` too. A name stands for whatever it
    /// resolves to; an address may be reached under any name.
    package var allowedPrivateHosts: Set<String>
    /// URLs that the operator's configuration says: their ports count beside 443, at their host alone.
    package var configuredAddresses: [String]
    /// Connections open at once to one host and port; further transfers wait, within their own time.
    package var connectionsPerHostMax: Int

    package init(
        userAgent: String, caFile: String? = nil, proxy: String? = nil, allowedPrivateHosts: Set<String> = [],
        configuredAddresses: [String] = [], connectionsPerHostMax: Int = 32
    ) {
        self.userAgent = userAgent
        self.caFile = caFile
        self.proxy = proxy
        self.allowedPrivateHosts = allowedPrivateHosts
        self.configuredAddresses = configuredAddresses
        self.connectionsPerHostMax = connectionsPerHostMax
    }

    func validate() throws(OutgoingConfigurationError) {
        guard !userAgent.isEmpty, FieldLines.isFieldValue(userAgent) else { throw .userAgentUnusable }
        guard connectionsPerHostMax > 0 else { throw .connectionLimitUnusable }
        for host in allowedPrivateHosts where !DestinationPolicy.isHost(host) { throw .hostUnusable(host) }
        if let caFile, access(caFile, R_OK) != 0 { throw .caFileUnreadable(path: caFile) }
        if let proxy {
            let schemes = ["http://", "https://", "socks5h://"]
            guard schemes.contains(where: { proxy.lowercased().hasPrefix($0) }), FieldLines.isFieldValue(proxy),
                proxy.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f })
            else { throw .proxyUnusable }
        }
    }
}

/// A proxy's URL may hold a password.
extension OutgoingConfiguration: CustomStringConvertible, CustomReflectable {
    package var description: String { "outgoing HTTP as \(userAgent)" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}

package enum OutgoingConfigurationError: Error, Equatable, CustomStringConvertible {
    case userAgentUnusable
    case connectionLimitUnusable
    /// An allowed private host that is neither a name nor an address: one with a port, say, or a range.
    case hostUnusable(String)
    case caFileUnreadable(path: String)
    case proxyUnusable
    /// libcurl could not be set up: no memory, no threads, or a build without TLS or HTTP/2.
    case unavailable(reason: String)

    package var description: String {
        switch self {
        case .userAgentUnusable: "the user agent is empty or holds a control character"
        case .connectionLimitUnusable: "connections per host: at least 1"
        case .hostUnusable(let host): "\(host) is not a host name or an address, without a port"
        case .caFileUnreadable(let path): "the CA file \(path) is missing or not readable"
        case .proxyUnusable: "the proxy is not an http://, https:// or socks5h:// URL"
        case .unavailable(let reason): "outgoing HTTP is unavailable: \(reason)"
        }
    }
}
