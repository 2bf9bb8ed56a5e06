package import Accounts

/// A cached profile as the HTTP interface serves it.
package struct ProfileDocument: Sendable, Equatable {
    package var accountID: AccountID
    package var userID: UserID
    package var status: AccountStatus
    /// The whole JSON document, put together from stored JSON without decoding it.
    package var bytes: [UInt8]
    /// A strong entity tag with its quotes: it changes whenever the bytes do.
    package var etag: String
    package var version: Int64
    package var fetchedAt: Timestamp
    package var changedAt: Timestamp
}

/// One version in an account's history.
package struct ProfileVersion: Sendable, Equatable {
    package var version: Int64
    package var changedAt: Timestamp
    /// RFC 6902, from the version before; `nil` for the first.
    package var patch: String?
}

package struct ProfileCache: Sendable {
    /// Synchronous, a few microseconds: one prepared statement on a connection of its own. `nil` where there is no such
    /// account, or no profile yet.
    package func document(account id: AccountID) throws(StoreError) -> ProfileDocument? { throw .closed }

    package func document(provider: ProviderID, subject: Subject) throws(StoreError) -> ProfileDocument? {
        throw .closed
    }

    /// Newest first; `after` is a `Page.next`.
    package func history(
        of id: AccountID, after: String? = nil, limit: Int
    ) async throws(StoreError) -> Page<ProfileVersion> { throw .closed }
}
