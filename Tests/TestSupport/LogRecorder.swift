package import Logging
import Synchronization

/// Keeps what is logged, for tests that look for what must be there or must not.
package final class LogRecorder: LogHandler, Sendable {
    package struct Line: Sendable {
        package var level: Logger.Level
        package var message: String
        package var metadata: [String: String]
    }

    private struct State {
        var lines: [Line] = []
        var requests: [Line] { lines.filter { $0.message == "request" } }
        var watchers: [(count: Int, continuation: CheckedContinuation<[Line], Never>)] = []
    }

    private let state = Mutex(State())

    package init() {}

    package var lines: [Line] { state.withLock(\.lines) }
    /// Once there are that many: the line of a request is written after its answer, which may be read before it.
    package func requests(atLeast count: Int) async -> [Line] {
        await withCheckedContinuation { continuation in
            let requests: [Line]? = state.withLock { state in
                if state.requests.count >= count { return state.requests }
                state.watchers.append((count, continuation))
                return nil
            }
            if let requests { continuation.resume(returning: requests) }
        }
    }
    package var everything: String { lines.map { "\($0.message) \($0.metadata)" }.joined(separator: "\n") }

    // One recorder stands for every logger: what loggers set for themselves is not kept.
    package var metadata: Logger.Metadata {
        get { [:] }
        set {}
    }
    package var logLevel: Logger.Level {
        get { .trace }
        set {}
    }
    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { nil }
        set {}
    }

    package func log(event: LogEvent) {
        let metadata = (event.metadata ?? [:]).mapValues { "\($0)" }
        let line = Line(level: event.level, message: "\(event.message)", metadata: metadata)
        let (requests, ready) = state.withLock { state in
            state.lines.append(line)
            let requests = state.watchers.isEmpty ? [] : state.requests
            let ready = state.watchers.filter { $0.count <= requests.count }
            state.watchers.removeAll { $0.count <= requests.count }
            return (requests, ready)
        }
        for watcher in ready { watcher.continuation.resume(returning: requests) }
    }
}
