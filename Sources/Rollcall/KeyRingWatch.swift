import Accounts
import Cryptography
import Foundation
import Logging
import ServiceLifecycle
import Store

/// Takes a key file that somebody changed by hand into use without a restart. What `vault rotate` changes is noticed at
/// once, by the database.
struct KeyRingWatch: Service {
    static let interval = Duration.seconds(60)

    let vault: VaultStore
    /// `nil`: the keys can't change while the program runs.
    let source: (@Sendable () throws -> KeyRing)?
    let time: any TimeSource
    let logger: Logger

    func run() async throws {
        try await cancelWhenGracefulShutdown {
            var complaint: String?
            do {
                while true {
                    try await time.sleep(for: Self.interval)
                    complaint = await look(complainedOf: complaint)
                }
            } catch is CancellationError {
                // That is how it ends.
            }
        }
    }

    /// Returns what is wrong with the source, which is said once.
    func look(complainedOf earlier: String? = nil) async -> String? {
        do {
            guard let ring = try source?() else { return nil }
            let known = vault.keyRing
            if ring.primary.id != known.primary.id || !ring.keyIDs.allSatisfy(known.contains) {
                try await vault.use(ring)
                logger.info("The keys have changed", metadata: ["primary": "\(vault.keyRing.primary.id)"])
            }
            return nil
        } catch {
            let complaint = "\(error)"
            if complaint != earlier {
                logger.error(
                    "The keys can't be read again; the known ones stay in use", metadata: ["error": "\(error)"])
            }
            return complaint
        }
    }
}
