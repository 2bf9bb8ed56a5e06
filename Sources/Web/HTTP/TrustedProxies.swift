import HTTPTypes
import Hummingbird
import NIOCore

/// The proxies whose `X-Forwarded-For` is believed, as addresses and CIDR blocks. Nobody else's ever is.
package struct TrustedProxies: Sendable {
    private var blocks: [(network: ClientAddress, length: Int)] = []

    package init() {}

    /// - Throws: `NotABlock` with the text that is neither an address nor a CIDR block.
    package init(_ texts: [String]) throws(NotABlock) {
        for text in texts {
            let sides = text.split(separator: "/", omittingEmptySubsequences: false)
            guard sides.count <= 2, let address = ClientAddress(sides[0]) else { throw NotABlock(text: text) }
            let width = sides[0].contains(":") ? 128 : 32
            var length = width
            if sides.count == 2 {
                guard let given = Int(sides[1]), (0...width).contains(given) else { throw NotABlock(text: text) }
                length = given
            }
            length += 128 - width
            blocks.append((address.masked(length), length))
        }
    }

    package struct NotABlock: Error, Equatable { package var text: String }

    func contains(_ address: ClientAddress) -> Bool {
        blocks.contains { address.masked($0.length) == $0.network }
    }

    /// The nearest address that is not a trusted proxy's: from the connection inwards through `X-Forwarded-For`, right
    /// to left, for what stands further left is whatever the client chose to write.
    func client(peer: SocketAddress?, fields: HTTPFields) -> ClientAddress? {
        guard var client = peer?.ipAddress.flatMap({ ClientAddress($0) }) else { return nil }
        if blocks.isEmpty { return client }
        var hops = fields[values: .forwardedFor].flatMap { $0.split(separator: ",") }
        while contains(client), let hop = hops.popLast() {
            guard let address = ClientAddress(hop.filter { $0 != " " && $0 != "\t" }) else { break }
            client = address
        }
        return client
    }
}
