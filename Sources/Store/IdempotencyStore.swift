package import Accounts

/// A response kept for a client that repeats its request.
package struct StoredResponse: Sendable, Equatable, Codable {
    package var status: Int
    package var contentType: String
    package var location: String?
    package var body: [UInt8]

    package init(status: Int, contentType: String, location: String? = nil, body: [UInt8]) {
        self.status = status
        self.contentType = contentType
        self.location = location
        self.body = body
    }
}

package enum IdempotentRequest: Sendable, Equatable {
    /// Not seen before: do it, then `finish` or `abandon`.
    case new
    case repeated(StoredResponse)
    /// The first request with this key has not been answered yet.
    case underWay
    /// The key was used with another request.
    case conflict
}

/// Keys live for 24 hours; responses are sealed, for a link session's URL is a secret.
package struct IdempotencyStore: Sendable {
    package static let lifetime = Duration.seconds(86_400)

    /// `request` is anything that tells requests apart, such as method, path and body; only its hash is stored.
    package func begin(
        key: String, apiKey: APIKeyID, request: [UInt8]
    ) async throws(StoreError) -> IdempotentRequest { throw .closed }

    package func finish(key: String, apiKey: APIKeyID, _ response: StoredResponse) async throws(StoreError) {
        throw .closed
    }

    /// The request failed and may be tried again.
    package func abandon(key: String, apiKey: APIKeyID) async throws(StoreError) { throw .closed }

    @discardableResult
    package func purgeExpired() async throws(StoreError) -> Int { throw .closed }
}
