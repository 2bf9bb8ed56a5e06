package import Accounts

/// That the provider wants no requests until a time.
package struct LimitSignal: Sendable, Equatable {
    /// Whom it concerns.
    package enum Reach: String, Sendable, CaseIterable {
        /// Every request to the provider.
        case everyone
        /// Requests of the same name, whoever's.
        case route
        /// Requests with the same access token: one account.
        case token
    }

    package var reach: Reach
    /// After `now`, at most `waitMax` after it.
    package var until: Timestamp
    /// The provider asked for more than `waitMax`; worth an operator's look.
    package var isClamped: Bool
    /// Whether the response counts against the provider's budget of invalid requests.
    package var countsAsInvalidRequest: Bool

    package init(reach: Reach, until: Timestamp, isClamped: Bool = false, countsAsInvalidRequest: Bool = false) {
        self.reach = reach
        self.until = until
        self.isClamped = isClamped
        self.countsAsInvalidRequest = countsAsInvalidRequest
    }

    /// No announcement is believed for longer: a header in the wrong unit must not stop a provider for a year.
    package static let waitMax: Duration = .seconds(24 * 3600)
    /// Where a limit is announced with no usable time: none at all, one in the past, a negative one, garbage.
    package static let waitDefault: Duration = .seconds(60)
}

/// What a provider allows, as its manifest states it.
package struct ProviderLimits: Sendable {
    package var requests: [RequestLimit]
    /// Requests under way at once.
    package var concurrency: Int
    package var invalidRequests: InvalidRequestLimit?
    package var dialect: LimitDialect

    package init(
        requests: [RequestLimit] = [], concurrency: Int = 16, invalidRequests: InvalidRequestLimit? = nil,
        dialect: LimitDialect = .retryAfter
    ) {
        self.requests = requests
        self.concurrency = concurrency
        self.invalidRequests = invalidRequests
        self.dialect = dialect
    }
}

package struct RequestLimit: Sendable, Equatable {
    /// Who shares it: everything this client sends, or what is sent with one access token.
    package enum Sharing: String, Sendable, CaseIterable { case client, token }

    package var per: Sharing
    package var count: Int
    package var window: Duration

    package init(per: Sharing, count: Int, window: Duration) {
        self.per = per
        self.count = count
        self.window = window
    }
}

/// How many requests may fail with one of `statuses` before the provider locks the program's address out.
package struct InvalidRequestLimit: Sendable, Equatable {
    package var count: Int
    package var window: Duration
    package var statuses: [Int]

    package init(count: Int, window: Duration, statuses: [Int]) {
        self.count = count
        self.window = window
        self.statuses = statuses
    }
}
