import Foundation
import Synchronization
import TestSupport
import Testing

/// The built program beside the tests' own binary.
enum Program {
    static let url: URL = {
        let tests = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
        return tests.deletingLastPathComponent().appending(path: "rollcall")
    }()

    /// Runs to the end in `folder`, with no variables but those given. A program that does not end in time is killed,
    /// which shows in its status.
    static func run(
        _ arguments: String..., in folder: TemporaryFolder, environment: [String: String] = [:], input: String = "",
        within limit: Duration = .seconds(60)
    ) async throws -> ChildProgram.Outcome {
        try await run(arguments, in: folder, environment: environment, input: input, within: limit)
    }

    static func run(
        _ arguments: [String], in folder: TemporaryFolder, environment: [String: String] = [:], input: String = "",
        within limit: Duration = .seconds(60)
    ) async throws -> ChildProgram.Outcome {
        try await ChildProgram.run(
            url.path(), arguments, environment: variables(environment), folder: folder.path, input: input, within: limit
        )
    }

    static func variables(_ more: [String: String] = [:]) -> [String: String] {
        // A crash shall not spend its time on a backtrace.
        ["PATH": "/usr/bin:/bin", "SWIFT_BACKTRACE": "enable=no"].merging(more) { _, new in new }
    }
}

extension ChildProgram.Outcome {
    /// Standard output as JSON, one object a line.
    func objects() throws -> [[String: Any]] {
        try output.split(separator: "\n").map { line in
            try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        }
    }
}

/// A program that goes on running, with what it writes to standard error read as it comes.
final class RunningProgram: Sendable {
    private struct State {
        var lines: [String] = []
        var rest: [UInt8] = []
        var hasEnded = false
        var waiters: [UUID: (text: String, continuation: CheckedContinuation<String?, Never>)] = [:]
    }

    private let state = Mutex(State())
    private let child: ChildProgram
    let input: FileHandle
    private let errors: FileHandle
    var pid: Int32 { child.pid }

    init(_ arguments: [String], in folder: TemporaryFolder, environment: [String: String] = [:]) throws {
        let errors = Pipe()
        let input = Pipe()
        self.input = input.fileHandleForWriting
        self.errors = errors.fileHandleForReading
        child = try ChildProgram(
            Program.url.path(), arguments, environment: Program.variables(environment), folder: folder.path,
            input: input.fileHandleForReading.fileDescriptor, errors: errors.fileHandleForWriting.fileDescriptor)
        // The program has its own.
        try input.fileHandleForReading.close()
        try errors.fileHandleForWriting.close()
        errors.fileHandleForReading.readabilityHandler = { [weak self] handle in
            let data = handle.availableData
            if data.isEmpty { handle.readabilityHandler = nil }
            self?.take(data)
        }
    }

    private func take(_ data: Data) {
        state.withLock { state in
            state.rest += data
            while let end = state.rest.firstIndex(of: 0x0a) {
                let line = String(decoding: state.rest[..<end], as: UTF8.self)
                state.rest.removeSubrange(...end)
                state.lines.append(line)
                for (id, waiter) in state.waiters where line.contains(waiter.text) {
                    waiter.continuation.resume(returning: line)
                    state.waiters[id] = nil
                }
            }
            if data.isEmpty {
                state.hasEnded = true
                for waiter in state.waiters.values { waiter.continuation.resume(returning: nil) }
                state.waiters = [:]
            }
        }
    }

    var log: String { state.withLock { $0.lines.joined(separator: "\n") } }

    /// The first line that holds `text`, waited for; a program that does not write it in time is killed.
    func line(containing text: String, within limit: Duration = .seconds(60)) async throws -> String {
        let watch = Task { [child] in
            do { try await Task.sleep(for: limit) } catch { return }  // It has written the line.
            child.signal(SIGKILL)
        }
        defer { watch.cancel() }
        let line: String? = await withCheckedContinuation { continuation in
            state.withLock { state in
                if let line = state.lines.first(where: { $0.contains(text) }) {
                    continuation.resume(returning: line)
                } else if state.hasEnded {
                    continuation.resume(returning: nil)
                } else {
                    state.waiters[UUID()] = (text, continuation)
                }
            }
        }
        return try #require(line, "the program ended without a line with '\(text)':\n\(log)")
    }

    func signal(_ signal: Int32) { child.signal(signal) }

    /// The exit status, or the number of the signal that ended it; one that does not end in time is killed.
    func end(within limit: Duration = .seconds(60)) async -> Int32 {
        await child.end(within: limit)
    }

    /// The most memory it has held at once, in KiB (proc(5)).
    func peakMemory() throws -> Int {
        let status = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") })
        return try #require(line.split(separator: " ").compactMap { Int($0) }.first)
    }
}
