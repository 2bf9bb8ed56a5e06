import Accounts
import ArgumentParser
import Foundation
import Linking
import Logging
import Providers
import ServiceLifecycle
import Store
import Sync
import Synchronization
import Transfer
import UnixSignals
import Web

/// Runs `body`; what goes wrong is said in words on standard error and ends the program with a code that means it.
/// - Parameter database: named where it is the database that fails.
func reportingFailures<Result>(database: String? = nil, _ body: () async throws -> Result) async throws -> Result {
    do {
        return try await body()
    } catch let error as ExitCode {
        throw error
    } catch let error as ConfigurationError {
        Terminal.note(error.description)
        throw ExitCode.badInput
    } catch let error as ConfigurationErrors {
        Terminal.note(error.description)
        throw ExitCode.badInput
    } catch let error as StoreError {
        Terminal.note("\(database ?? "rollcall"): \(error)\(database.flatMap { unwritableFolder(of: $0) } ?? "")")
        throw ExitCode.unavailable
    } catch is CancellationError {
        throw ExitCode.success
    } catch {
        Terminal.note("rollcall: \(error)")
        throw ExitCode.unavailable
    }
}

/// What SQLite does not say of itself: that it is the folder that can't be written.
private func unwritableFolder(of database: String) -> String? {
    let folder = URL(filePath: database).deletingLastPathComponent().path(percentEncoded: false)
    guard FileManager.default.fileExists(atPath: folder), access(folder, W_OK) != 0 else { return nil }
    return
        "; the folder \(folder) can't be written (\(String(cString: strerror(errno)))): check its owner, mode and mount"
}

/// Opens the database beside whatever else uses it, and closes it again.
/// - Parameter creates: whether the command makes a database where there is none.
func withDatabase(
    _ options: ConfigurationOptions, creates: Bool = false, _ body: (Database) async throws -> Void
) async throws {
    let configuration = try options.load()
    try await reportingFailures(database: configuration.databasePath) {
        if !creates { try configuration.requireDatabase() }
        let database = try configuration.openDatabase()
        defer { database.close() }
        try await body(database)
    }
}

extension ServiceConfiguration {
    /// A command that only looks, or works on what is there, makes no empty database in the wrong folder.
    func requireDatabase() throws {
        guard access(databasePath, F_OK) != 0, errno == ENOENT else { return }
        Terminal.note(
            "\(databasePath): there is no database; look at --database, --config and the folder you are in "
                + "('rollcall serve' and 'rollcall migrate' make one)")
        throw ExitCode.unavailable
    }
}

extension ServiceConfiguration {
    /// Runs `body` with the parts of a service, beside one that may be running, and closes them however it ends.
    func withService<Value: Sendable>(_ body: (ServiceAssembly) async throws -> Value) async throws -> Value {
        let service = try ServiceAssembly(self, servesAlone: false)
        let outcome: Result<Value, any Error>
        do { outcome = .success(try await body(service)) } catch { outcome = .failure(error) }
        await service.close()
        return try outcome.get()
    }
}

/// Runs `body` until it ends or SIGTERM or SIGINT comes.
func runUntilSignalled(_ body: @escaping @Sendable () async throws -> Void) async throws {
    struct Running: Service {
        var body: @Sendable () async throws -> Void
        func run() async throws { try await cancelWhenGracefulShutdown(body) }
    }
    let group = ServiceGroup(
        configuration: ServiceGroupConfiguration(
            services: [
                .init(
                    service: Running(body: body), successTerminationBehavior: .gracefullyShutdownGroup,
                    failureTerminationBehavior: .cancelGroup)
            ], gracefulShutdownSignals: [.sigterm, .sigint],
            logger: Logger(label: "rollcall", factory: { _ in SwiftLogNoOpLogHandler() })))
    do {
        try await group.run()
    } catch is CancellationError {
        // That is how a signal ends it.
    }
}

/// Fires once the server accepts connections; whoever waits gets the port.
final class ListeningSignal: Sendable {
    private let stream: AsyncStream<Int>
    private let continuation: AsyncStream<Int>.Continuation

    init() { (stream, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1)) }

    func fire(port: Int) {
        continuation.yield(port)
        continuation.finish()
    }

    /// Nothing listens, or not any more.
    func end() { continuation.finish() }

    /// For one waiter. `nil` where the service ended before it listened, and where the wait is cancelled.
    func port() async -> Int? {
        for await port in stream { return port }
        return nil
    }
}

/// A port of 127.0.0.1 that nobody listens on at the moment.
func freePort() throws -> Int {
    struct NoFreePort: Error, CustomStringConvertible { let description = "127.0.0.1 has no free port" }
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard descriptor >= 0 else { throw NoFreePort() }
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let port = withUnsafeMutablePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address -> Int? in
            guard bind(descriptor, address, length) == 0, getsockname(descriptor, address, &length) == 0 else {
                return nil
            }
            return pointer.pointee.sin_port.bigEndian.asInt
        }
    }
    guard let port else { throw NoFreePort() }
    return port
}

extension UInt16 {
    fileprivate var asInt: Int { Int(self) }
}

extension SyncNowResult {
    init(
        _ onDemand: SyncOnDemand, _ accounts: AccountStore, account: AccountID, waitingAtMost limit: Duration?,
        time: any TimeSource
    ) async {
        do {
            switch try await onDemand.sync(account, waitingAtMost: limit) {
            case .synced: self = .synced
            case .pending: self = .pending
            case .noSuchAccount: self = .noSuchAccount
            case .paused: self = .paused
            case .failed(let failure):
                // The record knows since when, and what is tried next.
                let recorded = try await accounts.account(account)?.problem
                self = .failed(
                    recorded.flatMap { $0.code == failure.code ? $0 : nil }
                        ?? AccountProblem(code: failure.code, since: time.now(), detail: failure.detail))
            }
        } catch {
            self = .failed(
                AccountProblem(code: .providerUnavailable, since: time.now(), detail: "The database failed."))
        }
    }
}
