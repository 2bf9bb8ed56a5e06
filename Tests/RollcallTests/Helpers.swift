import Foundation
import Glibc

/// SQL on a database file, by a program beside ours.
enum SQLite {
    struct Failure: Error { var output: String }

    /// What a query yields, as JSON.
    static func rows(_ query: String, on file: String) async throws -> String {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = [
            "python3", "-c",
            "import json, sqlite3, sys; print(json.dumps(sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchall()))",
            file, query,
        ]
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw Failure(output: text) }
        return text.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    static func run(_ statement: String, on file: String) async throws {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = [
            "python3", "-c",
            "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit(); c.close()",
            file,
            statement,
        ]
        let errors = Pipe()
        process.standardError = errors
        try process.run()
        let output = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw Failure(output: output) }
    }
}

/// Runs the program where one of its folders can't be written.
enum ReadOnlyFolder {
    static let isPossible: Bool = {
        if geteuid() != 0 { return true }
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
        process.standardError = FileHandle.nullDevice
        do { try process.run() } catch { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }()

    static func run(_ arguments: [String], in folder: TemporaryFolder, readOnly name: String) throws -> Program.Outcome
    {
        let process = Program.make(arguments, in: folder, environment: [:])
        let path = folder.path(name)
        if geteuid() == 0 {
            process.executableURL = URL(filePath: "/usr/bin/env")
            let script = #"mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@""#
            process.arguments = ["unshare", "--mount", "sh", "-c", script, path, Program.url.path()] + arguments
        } else {
            try FileManager.default.setAttributes([.posixPermissions: 0o500], ofItemAtPath: path)
        }
        defer {
            if geteuid() != 0 { chmod(path, 0o700) }
        }
        let errors = Pipe()
        process.standardOutput = FileHandle.nullDevice
        process.standardError = errors
        try process.run()
        let said = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return Program.Outcome(status: process.terminationStatus, output: "", errors: said)
    }
}
