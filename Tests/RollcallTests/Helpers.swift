import Foundation
import Glibc
import TestSupport

/// SQL on a database file, by a program beside ours.
enum SQLite {
    struct Failure: Error { var output: String }

    /// What a query yields, as JSON.
    static func rows(_ query: String, on file: String) async throws -> String {
        try await python(
            "print(json.dumps(sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchall()))", file, query)
    }

    static func run(_ statement: String, on file: String) async throws {
        _ = try await python("c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()", file, statement)
    }

    private static func python(_ code: String, _ arguments: String...) async throws -> String {
        let outcome = try await ChildProgram.run("python3", ["-c", "import json, sqlite3, sys; " + code] + arguments)
        guard outcome.status == 0 else { throw Failure(output: outcome.errors) }
        return outcome.output.trimmingCharacters(in: .whitespacesAndNewlines)
    }
}

/// Runs the program where one of its folders can't be written.
enum ReadOnlyFolder {
    static let isPossible: Bool = {
        if geteuid() != 0 { return true }
        // Where it can't even be tried it is not possible.
        let mount = try? ChildProgram.runBlocking(
            "unshare", ["--mount", "mount", "-t", "tmpfs", "none", "/mnt"])
        return mount?.status == 0
    }()

    static func run(
        _ arguments: [String], in folder: TemporaryFolder, readOnly name: String
    ) async throws -> ChildProgram.Outcome {
        let path = folder.path(name)
        if geteuid() == 0 {
            let script = #"mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@""#
            return try await ChildProgram.run(
                "unshare", ["--mount", "sh", "-c", script, path, Program.url.path()] + arguments,
                environment: Program.variables(), folder: folder.path)
        }
        try FileManager.default.setAttributes([.posixPermissions: 0o500], ofItemAtPath: path)
        defer { chmod(path, 0o700) }
        return try await Program.run(arguments, in: folder)
    }
}
