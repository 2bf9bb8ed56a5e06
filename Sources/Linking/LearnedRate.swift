import Accounts
import Foundation
package import Providers
import Store

/// The share of the configured rate that a provider is believed to bear: less with each refusal for a limit of all, and
/// from there a little more each minute.
struct LearnedRate {
    private static let cut = 0.7
    private static let least = 0.1
    private static let growthPerMinute = 0.01

    private var share = 1.0
    private var at = Timestamp.epoch

    func share(now: Timestamp) -> Double {
        min(1, share + Self.growthPerMinute * max((now - at).secondsAsDouble, 0) / 60)
    }

    /// Of the requests that are under way together one refusal counts: the others left before it could be known.
    mutating func refused(now: Timestamp, sentAt: Timestamp) -> Bool {
        guard sentAt > at || at > now else { return false }
        share = max(Self.least, share(now: now) * Self.cut)
        at = now
        return true
    }

    mutating func restore(_ stored: StoredGovernor, now: Timestamp) {
        share = stored.rate
        // Of a clock that was ahead: it must not take until then to grow.
        at = min(stored.rateAt, now)
    }

    func store(in stored: inout StoredGovernor) {
        stored.rate = share
        stored.rateAt = at
    }
}

/// A limit of the client's at a share of its rate, evenly spread: a share of a long window's count would let it all pass
/// at once, or nothing for as long as the window remembers what passed before.
package enum PacedRate {
    /// So finely a share can be told apart.
    private static let steps = 16.0

    /// - Parameter rate: requests per second at full speed.
    package static func window(of rate: Double) -> Duration {
        .milliseconds(Int64((1000 * max(1, steps / max(rate, 1e-6))).rounded(.up)))
    }

    static func limit(_ rate: Double, share: Double) -> RequestLimit {
        let window = window(of: rate)
        return RequestLimit(
            per: .client, count: max(1, Int(rate * window.secondsAsDouble * share)), window: window)
    }
}

extension ProviderLimits {
    /// Of the client's limits the one that leaves the fewest requests a second.
    var tightest: RequestLimit? { requests.filter { $0.per == .client }.min { $0.rate < $1.rate } }

    /// Requests per second by the tightest of the client's limits; `nil` where it has none.
    package var pacedRate: Double? { tightest?.rate }
}

extension RequestLimit {
    /// Requests per second.
    var rate: Double { Double(count) / max(window.secondsAsDouble, 0.001) }
}

/// Events per second, those of long ago counting less.
struct EventRate {
    private let memory: Double
    private var rate = 0.0
    private var at: Timestamp?

    init(over memory: Duration) { self.memory = memory.secondsAsDouble }

    func rate(now: Timestamp) -> Double {
        guard let at else { return 0 }
        return rate * exp(-max((now - at).secondsAsDouble, 0) / memory)
    }

    /// What one event adds.
    var one: Double { 1 / memory }

    /// Until one more makes no more than `most`, which is more than one.
    func wait(untilBelow most: Double, now: Timestamp) -> Duration {
        let rate = rate(now: now)
        let rest = most - one
        if rate <= rest + 1e-9 { return .zero }
        return .milliseconds(Int64((1000 * memory * log(rate / rest)).rounded(.up)))
    }

    mutating func add(now: Timestamp) {
        rate = rate(now: now) + 1 / memory
        at = now
    }
}
