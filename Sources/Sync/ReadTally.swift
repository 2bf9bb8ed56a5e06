package import Accounts
import Synchronization

/// Which accounts' profiles were read since the last flush: what is read much is kept fresher. In memory and cheap, for it
/// stands in the way of every read; what a crash loses of it is half a minute's worth.
package final class ReadTally: Sendable {
    private struct Reads {
        var count = 0.0
        var lastAt: Timestamp
    }

    /// Several reads within this are one: a page that asks three times has one reader.
    private static let coalescing: Duration = .seconds(10)
    /// More accounts than this between two flushes are not told apart from unread ones.
    private static let accountsMax = 100_000

    private let reads = Mutex<[AccountID: Reads]>([:])

    package init() {}

    package func count(_ account: AccountID, at now: Timestamp) {
        reads.withLock { reads in
            if let held = reads[account] {
                if held.count > 0, now - held.lastAt < Self.coalescing, now >= held.lastAt { return }
                reads[account] = Reads(count: held.count + 1, lastAt: now)
            } else if reads.count < Self.accountsMax {
                reads[account] = Reads(count: 1, lastAt: now)
            }
        }
    }

    /// What was counted, which is then forgotten.
    func take() -> [AccountID: Double] {
        reads.withLock { reads in
            defer { reads = [:] }
            return reads.mapValues(\.count)
        }
    }
}
