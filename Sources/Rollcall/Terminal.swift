import ArgumentParser
import Foundation
import Synchronization

/// What a command says to a person or to a program: results on standard output, everything else on standard error.
enum Terminal {
    /// Ends the program where nobody can read the result: a full disk behind `>`.
    static func say(_ text: String) { write(text + "\n") }

    /// The same without the end of the line.
    static func write(_ text: String) {
        let failure = write(text, to: 1)
        if failure == 0 { return }
        // A reader such as `head` has seen enough; that is no fault.
        if failure == EPIPE { exit(ExitCode.success.rawValue) }
        let reason = String(cString: strerror(failure))
        note("rollcall: standard output can't be written, the rest of the result is lost: \(reason)")
        exit(ExitCode.outputLost.rawValue)
    }

    static func note(_ text: String) { writeError(text + "\n") }

    /// Standard error may be a file on a full disk: a line that can't be written there is lost, and nothing else. A bar
    /// that is shown makes room for it and comes back below.
    static func writeError(_ text: String) {
        bar.withLock { bar in _ = write(bar.isEmpty ? text : "\r\u{1b}[K" + text + bar, to: 2) }
    }

    /// The line at the bottom of a terminal that changes in place; empty where there is none.
    private static let bar = Mutex("")

    /// Written over the one before, in one go, so that it does not flicker. An empty one takes it away.
    static func showBar(_ line: String) {
        bar.withLock { bar in
            if bar.isEmpty, line.isEmpty { return }
            bar = line
            _ = write("\r" + line + "\u{1b}[K", to: 2)
        }
    }

    /// 0, or the `errno` of the write that failed.
    private static func write(_ text: String, to descriptor: Int32) -> Int32 {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            if count <= 0 { return count < 0 ? errno : EIO }
            bytes = bytes.dropFirst(count)
        }
        return 0
    }

    /// Whether a line can be changed in place where errors are written.
    static var errorIsTerminal: Bool { isatty(2) == 1 && ProcessInfo.processInfo.environment["TERM"] != "dumb" }

    /// Of the terminal that errors are written to.
    static var errorWidth: Int {
        var size = winsize()
        return ioctl(2, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : 80
    }

    /// Columns padded to their widest cell; no lines drawn, so that the output can be cut and grepped.
    static func table(_ header: [String], _ rows: [[String]]) -> String {
        let all = [header] + rows
        let widths = header.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        return all.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                line +=
                    column == row.count - 1
                    ? cell : cell.padding(toLength: widths[column] + 2, withPad: " ", startingAt: 0)
            }
            return line
        }.joined(separator: "\n")
    }
}
