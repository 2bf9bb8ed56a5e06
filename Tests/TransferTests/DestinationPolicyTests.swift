import Testing

@testable import Transfer

@Suite(.timeLimit(.minutes(10))) struct DestinationPolicyTests {
    @Test(arguments: [
        "https://127.0.0.1/", "https://[::1]/", "https://0.0.0.0/", "https://10.0.0.1/", "https://10.255.255.255/",
        "https://172.16.0.1/", "https://172.31.255.255/", "https://192.168.1.1/", "https://169.254.169.254/latest",
        "https://[fd00::1]/", "https://[fdff:ffff::1]/", "https://[fe80::1]/", "https://[febf::1]/",
        "https://[fec0::1]/", "https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/", "https://[::127.0.0.1]/",
        "https://[::]/", "https://100.64.0.1/", "https://100.127.255.255/", "https://192.0.0.1/",
        "https://198.18.0.1/", "https://224.0.0.1/", "https://239.255.255.255/", "https://240.0.0.1/",
        "https://255.255.255.255/", "https://[ff02::1]/", "https://[64:ff9b::10.0.0.1]/",
        "https://[64:ff9b::a9fe:a9fe]/", "https://[64:ff9b:1::1]/", "https://[2002:7f00:1::]/",
        "https://[2002:c0a8:101::1]/", "https://[2001:0:1::1]/", "https://[2001:db8::1]/", "https://[3fff::1]/",
        "https://192.0.2.1/", "https://203.0.113.9/", "https://198.51.100.7/", "https://127.0.0.1:8443/",
        // Spellings of 127.0.0.1 that C libraries take.
        "https://2130706433/", "https://0x7f.1/", "https://017700000001/", "https://127.1/", "https://0x7f000001/",
        "https://127.0.0.01/", "https://0177.0.0.1/", "https://127.0.0.1./", "https://1.2.3.4.5/", "https://256.1.1.1/",
        "https://a.0x10/",
        // Names that are local everywhere.
        "https://localhost/", "https://localhost./", "https://LOCALHOST/", "https://a.localhost/",
        "https://printer.local/", "https://metadata.google.internal/", "https://intranet/",
        // Not https, and not a private host that was allowed.
        "http://example.com/", "http://example.com:443/", "http://127.0.0.1/", "http://localhost/",
        "file:///etc/passwd", "gopher://example.com/",
        "ftp://example.com/", "dict://127.0.0.1:11211/", "javascript:alert(1)", "HTTPSX://example.com/",
        // User names.
        "https://user@example.com/", "https://user:EXAMPLE@example.com/", "https://example.com@127.0.0.1/",
        "https://@example.com/",
    ])
    func `security 83: refuses what is private, local, not https or carries a user name`(url: String) throws {
        let failure = #expect(throws: TransferError.self) { try DestinationPolicy().check(url: url) }
        guard case .destinationRefused? = failure else {
            Issue.record("\(url): \(String(describing: failure))")
            return
        }
    }

    @Test(arguments: [
        "", "example.com", "//example.com/", "/path", "https://", "https:///path", "https://?a", "https://:443/",
        "https:/example.com/", "https:example.com", "https://example.com:0/", "https://example.com:65536/",
        "https://example.com:4a/", "https://example.com:443443443/", "https://example.com:-1/", "https://[::1/",
        "https://[1.2.3.4]/", "https://[::1%25eth0]/", "https://[::1]x/", "https://exa mple.com/",
        "https://example.com/a b", "https://example.com/a\r\nHost: evil", "https://example.com/\0",
        "https://example.com\\@evil.example/", "https://exämple.com/", "https://example.com/ä",
        "https://ex%61mple.com/",
        "https://example..com/", "https://.example.com/", "https://example.com/{user}", "https://exa$mple.com/",
        "https://" + String(repeating: "a", count: 64) + ".com/",
        "https://example.com/" + String(repeating: "a", count: 20_000),
    ])
    func `security 83: takes only absolute URLs that every parser reads alike`(url: String) throws {
        let failure = #expect(throws: TransferError.self) { try DestinationPolicy().check(url: url) }
        switch failure {
        case .invalidRequest?: break
        case .destinationRefused(let reason)?: #expect(reason.contains("scheme"))
        default: Issue.record("\(url): \(String(describing: failure))")
        }
        #expect(failure?.mayHaveBeenSent == false)
    }

    @Test(arguments: [
        ("https://example.com", "example.com", 443), ("https://example.com/", "example.com", 443),
        ("HTTPS://Example.COM?a=b", "example.com", 443), ("https://example.com:8443/a#b", "example.com", 8443),
        ("https://example.com:/", "example.com", 443),
        ("https://sub_domain.example.com./", "sub_domain.example.com.", 443),
        ("https://xn--exmple-cua.com/", "xn--exmple-cua.com", 443), ("https://93.184.215.14/", "93.184.215.14", 443),
        ("https://[2606:4700::1111]:444/", "2606:4700::1111", 444), ("https://a.b/?fields[user]=id,name", "a.b", 443),
        ("https://example.com/a@b?c@d", "example.com", 443), ("https://[64:ff9b::8.8.8.8]/", "64:ff9b::8.8.8.8", 443),
        ("https://[2002:808:808::1]/", "2002:808:808::1", 443), ("https://1a.example/", "1a.example", 443),
    ])
    func `lets https to public hosts pass, on 443 and a configured port`(url: String, host: String, port: Int) throws {
        let destination = try DestinationPolicy(configuredAddresses: [url]).check(url: url)
        #expect(destination.scheme == .https)
        #expect(destination.host == host)
        #expect(destination.port == port)
    }

    @Test(arguments: [
        "http://127.0.0.1:8080/", "https://127.0.0.1/", "http://localhost/", "http://LOCALHOST./", "https://[::1]/",
        "http://[0:0:0:0:0:0:0:1]/", "http://idp.corp:9000/", "https://[::ffff:127.0.0.1]/",
    ])
    func `lets the private hosts pass that the operator allowed, by name or address`(url: String) throws {
        let policy = DestinationPolicy(allowedPrivateHosts: ["127.0.0.1", "localhost.", "[::1]", "IDP.corp"])
        _ = try policy.check(url: url)
    }

    @Test(arguments: ["http://127.0.0.2/", "http://sub.localhost/", "https://10.0.0.1/", "http://example.com/"])
    func `security 83: allows no other host because of those`(url: String) {
        let policy = DestinationPolicy(allowedPrivateHosts: ["127.0.0.1", "localhost", "::1"])
        #expect(throws: TransferError.self) { try policy.check(url: url) }
    }

    @Test func `security 83: judges the address that a name resolves to`() throws {
        let policy = DestinationPolicy(allowedPrivateHosts: ["127.0.0.1", "idp.corp"])
        let stranger = try policy.check(url: "https://example.com/")
        let corporate = try policy.check(url: "https://idp.corp/")
        let clear = try policy.check(url: "http://idp.corp/")
        let `private` = try #require(IPAddress("10.1.2.3"))
        let `public` = try #require(IPAddress("93.184.215.14"))
        let allowed = try #require(IPAddress("127.0.0.1"))
        #expect(!policy.permits(`private`, for: stranger))
        #expect(policy.permits(`public`, for: stranger))
        #expect(policy.permits(allowed, for: stranger))
        #expect(policy.permits(`private`, for: corporate))
        #expect(policy.permits(`public`, for: corporate))
        #expect(policy.permits(`private`, for: clear))
        #expect(!policy.permits(`public`, for: clear), "nothing goes to the Internet in the clear")
    }

    /// 8443 at one host is configured, as for an issuer of one's own.
    @Test(arguments: [
        "https://example.com:8443/", "https://idp.example:8444/", "https://idp.example:80/", "https://idp.example:22/",
        "https://sub.idp.example:8443/", "https://idp.example.:8443/", "https://93.184.215.14:8443/",
        "https://[2606:4700::1111]:8443/",
    ])
    func `security 83: refuses ports that the configuration does not say`(url: String) throws {
        let policy = DestinationPolicy(
            allowedPrivateHosts: ["127.0.0.1"],
            configuredAddresses: [
                "https://idp.example:8443/realms/a", "https://example.com/", "{userinfo_endpoint}", "",
            ])
        _ = try policy.check(url: "https://idp.example:8443/realms/a/protocol/openid-connect/token")
        _ = try policy.check(url: "https://idp.example/")
        _ = try policy.check(url: "https://example.com:443/")
        let failure = #expect(throws: TransferError.self) { try policy.check(url: url) }
        #expect(
            failure == .destinationRefused(reason: "a port other than 443 that the configuration does not say"),
            "\(url): \(String(describing: failure))")
    }

    @Test func `takes URLs of one scheme, host and port for one origin`() throws {
        let policy = DestinationPolicy(allowedPrivateHosts: ["127.0.0.1"])
        let origin = try policy.check(url: "https://api.example.com/a?b")
        #expect(try policy.check(url: "HTTPS://API.example.com:443/c") == origin)
        #expect(try Destination(url: "https://api.example.com:444/") != origin)
        #expect(try policy.check(url: "https://api.example.com./") != origin)
        #expect(try policy.check(url: "https://127.0.0.1:80/") != policy.check(url: "http://127.0.0.1:80/"))
    }

    @Test func `reads addresses in one way only`() {
        #expect(IPAddress("::ffff:1.2.3.4") == IPAddress("1.2.3.4"))
        #expect(IPAddress("::1") == IPAddress("0:0::0:1"))
        #expect(IPAddress(bytes: [1, 2, 3]) == nil)
        for text in ["", "1", "1.2.3", "01.2.3.4", "0x1.2.3.4", "1.2.3.4 ", "[::1]", "::1%lo", "1.2.3.256"] {
            #expect(IPAddress(text) == nil, "\(text)")
        }
    }

    // MARK: At the socket

    @Test(arguments: ["127.0.0.1", "10.0.0.1", "169.254.169.254", "[::1]", "[fd00::1]", "[64:ff9b::7f00:1]", "0.0.0.0"])
    func `security 83: refuses a name that resolves to a private address when the socket is opened`(address: String)
        async throws
    {
        let server = try LoopbackServer.answering(.response())
        defer { server.stop() }
        let transport = try makeTransport(
            allowing: [], configured: ["https://rebound.example:\(server.port)/"],
            hostAddresses: ["rebound.example:\(server.port):\(address)"])
        let failure = await transport.failure(TransferRequest(.get, "https://rebound.example:\(server.port)/"))
        guard case .destinationRefused(let reason)? = failure else {
            Issue.record("\(String(describing: failure))")
            return
        }
        #expect(reason.contains("rebound.example"))
        #expect(failure?.mayHaveBeenSent == false)
        #expect(server.acceptedCount == 0)
    }

    @Test func `reaches an allowed name that resolves to a private address`() async throws {
        let server = try LoopbackServer.answering(.response())
        defer { server.stop() }
        let transport = try makeTransport(
            allowing: ["idp.corp"], hostAddresses: ["idp.corp:\(server.port):127.0.0.1"])
        let response = try await transport.send(TransferRequest(.get, "http://idp.corp:\(server.port)/"))
        #expect(response.status == 200)
        #expect(server.requests.first?.values("host") == ["idp.corp:\(server.port)"])
    }
}
