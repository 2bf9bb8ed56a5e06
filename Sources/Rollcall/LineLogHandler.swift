import Foundation
import Logging
import Synchronization

/// Writes one line per event to standard error, as text for a person or as JSON for a collector. Nothing that came
/// from outside can break the line: control characters are escaped.
struct LineLogHandler: LogHandler {
    enum Format: String, Sendable { case text, json }

    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level = .info
    private let label: String
    private let format: Format
    private let write: @Sendable (String) -> Void

    /// - Parameter write: takes each line with its end; standard error where nobody says otherwise.
    init(
        label: String, format: Format, level: Logger.Level,
        write: @escaping @Sendable (String) -> Void = { Terminal.writeError($0) }
    ) {
        self.label = label
        self.format = format
        self.write = write
        logLevel = level
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var fields = metadata
        if let more = event.metadata { fields.merge(more) { _, new in new } }
        if let error = event.error { fields["error"] = "\(error)" }
        let time = Date().formatted(.iso8601.year().month().day().time(includingFractionalSeconds: true))
        let line = Self.line(
            format: format, time: time + "Z", level: event.level, label: label, message: event.message.description,
            fields: fields.map { ($0.key, $0.value.description) }.sorted { $0.0 < $1.0 })
        write(line)
    }

    static func line(
        format: Format, time: String, level: Logger.Level, label: String, message: String,
        fields: [(String, String)]
    ) -> String {
        let message = bounded(message)
        let fields = fields.map { ($0, bounded($1)) }
        switch format {
        case .text:
            var line = "\(time) \(level.rawValue.padding(toLength: 8, withPad: " ", startingAt: 0)) \(escaped(message))"
            for (key, value) in fields {
                let value = escaped(value)
                let isPlain = !value.isEmpty && value.allSatisfy { !" =\"\\".contains($0) }
                line += " \(escaped(key))=" + (isPlain ? value : "\"\(value)\"")
            }
            return line + "\n"
        case .json:
            var line = "{\"time\":\"\(time)\",\"level\":\"\(level.rawValue)\",\"logger\":\(quoted(label))"
            line += ",\"message\":\(quoted(message))"
            for (key, value) in fields {
                // The line's own members stand once.
                let isTaken = ["time", "level", "logger", "message"].contains(key)
                line += ",\(quoted(isTaken ? key + "_" : key)):\(quoted(value))"
            }
            return line + "}\n"
        }
    }

    /// A longer text is cut: a log line shall stay one that a person reads and a collector takes.
    private static let textMax = 2000

    private static func bounded(_ text: String) -> String {
        text.unicodeScalars.count <= textMax
            ? text : String(String.UnicodeScalarView(text.unicodeScalars.prefix(textMax))) + "…"
    }

    /// Control characters, line and paragraph separators and bidirectional overrides as `\u{…}`; a backslash before
    /// quotes and backslashes.
    private static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar.value {
            case 0x22: result += "\\\""
            case 0x5c: result += "\\\\"
            case 0..<0x20, 0x7f...0x9f, 0x2028, 0x2029, 0x202a...0x202e, 0x2066...0x2069:
                result += "\\u{" + String(scalar.value, radix: 16) + "}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar.value {
            case 0x22: result += "\\\""
            case 0x5c: result += "\\\\"
            case 0..<0x20, 0x7f...0x9f, 0x2028, 0x2029, 0x202a...0x202e, 0x2066...0x2069:
                let hex = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
