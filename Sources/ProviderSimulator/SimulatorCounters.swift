/// What a site was asked and what it holds; everything a test may want to assert exactly.
package struct SimulatorCounters: Sendable, Codable, Equatable {
    package struct Endpoint: Sendable, Codable, Equatable {
        package var requests = 0
        /// By HTTP status; `none` where the connection closed before a status was sent.
        package var byStatus: [String: Int] = [:]
        /// Requests under way at one moment, at most.
        package var concurrentMax = 0
        var concurrent = 0
    }

    package var requests = 0
    package var concurrentMax = 0
    var concurrent = 0
    /// By `SimulatedEndpoint`'s name; endpoints never asked are absent.
    package var endpoints: [String: Endpoint] = [:]
    package var consents = 0
    package var denials = 0
    package var codesExchanged = 0
    package var refreshes = 0
    /// Refresh tokens presented after they were spent and past any grace.
    package var reuseDetections = 0
    /// Answers repeated within the grace.
    package var graceReplays = 0
    package var codeReplays = 0
    package var devicePolls = 0
    /// Polls that came before their interval was over.
    package var devicePollsTooEarly = 0
    package var revocations = 0
    /// Tokens issued to applications themselves.
    package var applicationTokens = 0
    package var limited = 0
    /// Uses of access tokens that were refused for want of validation.
    package var unvalidatedUses = 0
    package var faultsMet = 0

    // What is held now.
    package var grants = 0
    package var accessTokens = 0
    package var refreshTokens = 0
    package var pendingFaults = 0

    package init() {}

    package subscript(endpoint: SimulatedEndpoint) -> Endpoint { endpoints[endpoint.rawValue] ?? Endpoint() }
}
