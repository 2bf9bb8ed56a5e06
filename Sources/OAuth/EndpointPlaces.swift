/// Where a metadata document may send us.
struct EndpointPlaces {
    private let issuer: Origin?
    private let hosts: Set<String>

    init(issuer: String, hosts: [String]) {
        self.issuer = Origin(url: issuer)
        self.hosts = Set(hosts.map { $0.lowercased() })
    }

    /// `nil` where the URL may be used, else why not.
    func refusal(of url: String) -> String? {
        guard let origin = Origin(url: url) else { return "not an absolute https URL without user information" }
        guard let issuer else { return "the issuer is not a URL" }
        // The issuer's own origin, plain http to a loopback server too: the destination policy has let that pass.
        if origin == issuer { return nil }
        guard origin.scheme == "https" else { return "not https" }
        guard origin.host == issuer.host || hosts.contains(origin.host) else {
            return "its host is neither the issuer's nor allowed"
        }
        return origin.port == 443 || origin.port == issuer.port ? nil : "an unusual port"
    }
}

/// Scheme, host and port of an `http` or `https` URL, read narrowly: what parsers could understand differently is `nil`.
struct Origin: Equatable {
    let scheme: String
    let host: String
    let port: Int

    init?(url: String) {
        // Visible ASCII without the characters that no URL holds and some parsers mend.
        let isPlain = url.utf8.allSatisfy { (0x21...0x7e).contains($0) && !#"\"<>^`{|}"#.utf8.contains($0) }
        guard isPlain, url.utf8.count <= 2048, !url.contains("#") else { return nil }
        guard let separator = url.firstIndex(of: ":") else { return nil }
        let scheme = url[..<separator].lowercased()
        guard scheme == "https" || scheme == "http", url[separator...].hasPrefix("://") else { return nil }
        let authority = url[separator...].dropFirst(3).prefix { $0 != "/" && $0 != "?" }
        guard !authority.contains("@"), !authority.contains("%") else { return nil }

        var host = authority
        var port = scheme == "https" ? 443 : 80
        let hostEnd = authority.hasPrefix("[") ? authority.firstIndex(of: "]") : authority.startIndex
        guard let hostEnd else { return nil }
        if let colon = authority[hostEnd...].firstIndex(of: ":") {
            let digits = authority[colon...].dropFirst()
            guard let number = Int(digits), (1...65535).contains(number), digits.first != "+" else { return nil }
            host = authority[..<colon]
            port = number
        }
        guard !host.isEmpty, !host.hasSuffix(".") else { return nil }
        self.scheme = scheme
        self.host = host.lowercased()
        self.port = port
    }
}
