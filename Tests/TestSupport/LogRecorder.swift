package import Logging
import Synchronization

/// Keeps what is logged, for tests that look for what must be there or must not.
package final class LogRecorder: LogHandler, Sendable {
    package struct Line: Sendable {
        package var level: Logger.Level
        package var message: String
        package var metadata: [String: String]
    }

    private let kept = Mutex<[Line]>([])

    package init() {}

    package var lines: [Line] { kept.withLock { $0 } }
    package var requests: [Line] { lines.filter { $0.message == "request" } }
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
        kept.withLock { $0.append(Line(level: event.level, message: "\(event.message)", metadata: metadata)) }
    }
}
