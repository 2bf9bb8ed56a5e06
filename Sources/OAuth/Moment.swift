package import Accounts
import Cryptography

/// When a request is made, and by what chance: what its assertions and proofs state.
package struct Moment: Sendable {
    package var now: Timestamp
    package var random: any RandomSource

    package init(now: Timestamp, random: any RandomSource) {
        self.now = now
        self.random = random
    }

    /// An id that nothing else has: 128 random bits.
    var identifier: String { Base64URL.encode(random.bytes(16)) }
    /// NumericDate of RFC 7519 §2.
    var seconds: Int64 { now.millisecondsSinceEpoch / 1000 }
}
