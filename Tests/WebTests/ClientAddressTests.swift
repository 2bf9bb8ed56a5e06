import Accounts
import HTTPTypes
import NIOCore
import Testing

@testable import Web

@Suite(.timeLimit(.minutes(10))) struct ClientAddressTests {
    @Test(arguments: [
        ("192.0.2.1", "192.0.2.1"), ("192.0.2.1:4711", "192.0.2.1"), ("2001:DB8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"), ("[2001:db8::1]:443", "2001:db8::1"), ("::ffff:192.0.2.1", "192.0.2.1"),
    ])
    func `reads addresses as proxies write them`(text: String, address: String) {
        #expect(ClientAddress(text)?.description == address)
    }

    @Test(arguments: ["", "unknown", "192.0.2", "192.0.2.256", "_hidden", "[::1", "a:b", "1.2.3.4.5", "0x7f.1"])
    func `reads nothing else`(text: String) { #expect(ClientAddress(text) == nil) }

    @Test(arguments: ["10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/-1", "10.0.0.0/8/8", "localhost", "10.0.0.0/"])
    func `refuses blocks that are none`(text: String) {
        #expect(throws: TrustedProxies.NotABlock(text: text)) { try TrustedProxies([text]) }
    }

    private func client(_ peer: String, _ forwarded: [String], trusted: [String]) throws -> String? {
        var fields = HTTPFields()
        for value in forwarded { fields.append(HTTPField(name: .forwardedFor, value: value)) }
        return try TrustedProxies(trusted).client(peer: SocketAddress(ipAddress: peer, port: 1), fields: fields)?
            .description
    }

    @Test func `security 108: believes nobody by default`() throws {
        #expect(try client("192.0.2.1", ["198.51.100.7"], trusted: []) == "192.0.2.1")
    }

    @Test func `security 108: believes a trusted proxy and no hop to the left of the first stranger`() throws {
        let trusted = ["10.0.0.0/8", "2001:db8::/32"]
        #expect(try client("10.1.2.3", ["203.0.113.9"], trusted: trusted) == "203.0.113.9")
        #expect(try client("10.1.2.3", ["1.1.1.1, 203.0.113.9, 10.9.9.9"], trusted: trusted) == "203.0.113.9")
        #expect(try client("10.1.2.3", ["1.1.1.1", "203.0.113.9:77"], trusted: trusted) == "203.0.113.9")
        #expect(try client("2001:db8::5", ["203.0.113.9"], trusted: trusted) == "203.0.113.9")
        #expect(try client("192.0.2.1", ["203.0.113.9"], trusted: trusted) == "192.0.2.1")
        #expect(try client("10.1.2.3", ["203.0.113.9, nonsense"], trusted: trusted) == "10.1.2.3")
        #expect(try client("10.1.2.3", ["10.0.0.1"], trusted: trusted) == "10.0.0.1")
        #expect(try client("10.1.2.3", [], trusted: trusted) == "10.1.2.3")
    }

    @Test func `takes a block of one for an address`() throws {
        #expect(try client("127.0.0.1", ["203.0.113.9"], trusted: ["127.0.0.1"]) == "203.0.113.9")
        #expect(try client("127.0.0.2", ["203.0.113.9"], trusted: ["127.0.0.1"]) == "127.0.0.2")
    }

    @Test func `a bucket empties, fills with time and holds no more than its burst`() throws {
        let limit = AddressRateLimit(burst: 3, interval: .seconds(10))
        let client = try #require(ClientAddress("192.0.2.1"))
        var now = Timestamp(secondsSinceEpoch: 1000)
        for _ in 0..<3 { #expect(limit.take(client, now: now) == nil) }
        #expect(limit.take(client, now: now) == .seconds(10))
        #expect(limit.take(ClientAddress("192.0.2.2"), now: now) == nil)
        now = now + .seconds(10)
        #expect(limit.take(client, now: now) == nil)
        #expect(limit.take(client, now: now) == .seconds(10))
        now = now + .seconds(100_000)
        for _ in 0..<3 { #expect(limit.take(client, now: now) == nil) }
        #expect(limit.take(client, now: now) != nil)
    }

    @Test func `a clock set back locks nobody out for longer than a bucket takes to fill`() throws {
        let limit = AddressRateLimit(burst: 2, interval: .seconds(10))
        let client = ClientAddress("192.0.2.1")
        let now = Timestamp(secondsSinceEpoch: 1_000_000)
        #expect(limit.take(client, now: now) == nil)
        let before = now - .seconds(86_400)
        let wait = limit.take(client, now: before)
        #expect(wait == .seconds(10))
        #expect(limit.take(client, now: before + .seconds(20)) == nil)
    }

    @Test func `one IPv6 host can't roam its own network for more`() throws {
        let limit = AddressRateLimit(burst: 1, interval: .seconds(10))
        let now = Timestamp(secondsSinceEpoch: 1000)
        #expect(limit.take(ClientAddress("2001:db8:1:2::1"), now: now) == nil)
        #expect(limit.take(ClientAddress("2001:db8:1:2:ffff::9"), now: now) != nil)
        #expect(limit.take(ClientAddress("2001:db8:1:3::1"), now: now) == nil)
    }

    @Test func `a flood of addresses stays within its memory`() {
        let limit = AddressRateLimit(burst: 1, interval: .seconds(10), entriesMax: 100)
        for index in 0..<5000 {
            let client = ClientAddress("10.\(index / 65_536).\(index / 256 % 256).\(index % 256)")
            #expect(limit.take(client, now: Timestamp(secondsSinceEpoch: 1000)) == nil)
        }
        #expect(limit.entries == 100)
    }
}
