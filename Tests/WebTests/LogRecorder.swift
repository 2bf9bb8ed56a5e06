import Logging
import Synchronization

/// Keeps what is logged, for tests that look for what must be there or must not.
final class LogRecorder: LogHandler, Sendable {
    struct Line: Sendable {
        var level: Logger.Level
        var message: String
        var metadata: [String: String]
    }

    private let kept = Mutex<[Line]>([])

    var lines: [Line] { kept.withLock { $0 } }
    var requests: [Line] { lines.filter { $0.message == "request" } }
    var everything: String { lines.map { "\($0.message) \($0.metadata)" }.joined(separator: "\n") }

    // One recorder stands for every logger: what loggers set for themselves is not kept.
    var metadata: Logger.Metadata {
        get { [:] }
        set {}
    }
    var logLevel: Logger.Level {
        get { .trace }
        set {}
    }
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { nil }
        set {}
    }

    func log(event: LogEvent) {
        let metadata = (event.metadata ?? [:]).mapValues { "\($0)" }
        kept.withLock { $0.append(Line(level: event.level, message: "\(event.message)", metadata: metadata)) }
    }
}
