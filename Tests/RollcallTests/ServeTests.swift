import Foundation
import Glibc
import TestSupport
import Testing

@testable import Rollcall

/// `serve` as the service manager sees it. One after the other: each starts a few programs.
@Suite(.serialized, .timeLimit(.minutes(10))) struct ServeTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private static let anyPort = ["--port", "0", "--public-url", "http://127.0.0.1:9"]

    private func serve(_ arguments: [String] = anyPort) throws -> RunningProgram {
        try RunningProgram(["serve"] + arguments, in: folder)
    }

    /// Waits until connections are accepted.
    private func port(of program: RunningProgram) async throws -> Int {
        let line = try await program.line(containing: "listening on 127.0.0.1:")
        return try #require(line.firstMatch(of: /127\.0\.0\.1:(\d+)/).flatMap { Int($0.1) }, "\(line)")
    }

    private func status(_ port: Int, _ path: String, retrying: Bool = false) async throws -> Int {
        let retries = retrying ? ["--retry", "60", "--retry-connrefused", "--retry-delay", "1"] : []
        let outcome = try await ChildProgram.run(
            "curl",
            ["-s", "-m", "60", "-o", "/dev/null", "-w", "%{http_code}"] + retries
                + ["http://127.0.0.1:\(port)\(path)"], within: .seconds(120))
        return Int(outcome.output) ?? 0
    }

    @Test(arguments: [SIGTERM, SIGINT])
    func `a signal ends it cleanly`(signal: Int32) async throws {
        let program = try serve()
        defer { program.signal(SIGKILL) }
        let port = try await port(of: program)
        #expect(try await status(port, "/healthz") == 200)
        program.signal(signal)
        #expect(await program.end(within: .seconds(20)) == 0)
        #expect(program.log.contains("Rollcall stops"))
        #expect(!program.log.contains(" error "), "\(program.log)")
        // The one file is all there is to copy.
        let log = folder.path("rollcall-data/rollcall.sqlite-wal")
        #expect((FileManager.default.contents(atPath: log) ?? Data()).isEmpty)
    }

    @Test func `a second one on the same database says so, and commands work beside the first`() async throws {
        let program = try serve()
        defer { program.signal(SIGKILL) }
        _ = try await port(of: program)
        let second = try await Program.run(["serve"] + Self.anyPort, in: folder)
        #expect(second.status == 69)
        #expect(
            second.errors
                == "rollcall-data/rollcall.sqlite: process \(program.pid) already serves from this database: stop it first\n"
        )
        let created = try await Program.run("keys", "create", "app", "--scope", "accounts:read", in: folder)
        #expect(created.status == 0 && created.output.hasPrefix("rck_"))
        #expect(try await Program.run("accounts", "list", in: folder).status == 0)
        #expect(try await Program.run("sync", "--once", in: folder).status == 0)
        #expect(try await Program.run("accounts", "export", in: folder).status == 0)
        #expect(try await Program.run("migrate", in: folder).status == 0)
        program.signal(SIGTERM)
        #expect(await program.end() == 0)
    }

    @Test func `a port in use is named, with where it was chosen`() async throws {
        let program = try serve()
        defer { program.signal(SIGKILL) }
        let port = try await port(of: program)
        let other = try await Program.run(
            "serve", "--port", "\(port)", "--database", "other/rollcall.sqlite", "--set", "vault.key_file=other/key",
            in: folder)
        #expect(other.status == 69)
        #expect(
            other.errors.contains(
                "127.0.0.1:\(port) is in use by another program; stop it, or choose another port (http.port, from: --port)"
            ),
            "\(other.errors)")
        program.signal(SIGTERM)
        #expect(await program.end() == 0)
    }

    @Test func `the demo and the simulator end at a port in use, and name it`() async throws {
        let program = try serve()
        defer { program.signal(SIGKILL) }
        let port = String(try await port(of: program))
        let free = String(try freePort())
        for (arguments, whose) in [
            (["demo", "--port", port, "--simulator-port", free], "http.port, from: --port"),
            (["demo", "--port", free, "--simulator-port", port], "the simulator's"),
            (["demo", "--once", "--port", port], "http.port, from: --port"),
            (["simulator", "--port", port], "the simulator's"),
        ] {
            let outcome = try await Program.run(arguments, in: folder, within: .seconds(20))
            #expect(outcome.status == 69, "\(arguments)")
            #expect(
                outcome.errors.hasSuffix(
                    "127.0.0.1:\(port) is in use by another program; stop it, or choose another port (\(whose))\n"),
                "\(arguments): \(outcome.errors)")
        }
        program.signal(SIGTERM)
        #expect(await program.end() == 0)
    }

    @Test func `an address that is not this machine's is told as a setting`() async throws {
        for host in ["192.0.2.1", "nonsense.invalid"] {
            let outcome = try await Program.run(["serve", "--host", host] + Self.anyPort, in: folder)
            #expect(outcome.status == 69)
            #expect(outcome.errors.contains("--host: http.host is '\(host)', which is no address of this machine"))
        }
    }

    @Test func `after kill -9 it starts again without repair`() async throws {
        for _ in 1...3 {
            let program = try serve()
            defer { program.signal(SIGKILL) }
            let port = try await port(of: program)
            #expect(try await status(port, "/readyz") == 200)
            let created = try await Program.run("keys", "create", "app", "--scope", "accounts:read", in: folder)
            #expect(created.status == 0)
            program.signal(SIGKILL)
            #expect(await program.end() == SIGKILL)
        }
        #expect(try await Program.run("keys", "list", "--json", in: folder).objects().count == 3)
        let last = try serve()
        defer { last.signal(SIGKILL) }
        _ = try await port(of: last)
        last.signal(SIGTERM)
        #expect(await last.end() == 0)
    }

    @Test(arguments: [
        (["sync"], "Syncing until a signal comes"), (["simulator", "--port", "0"], "The simulator listens on"),
    ])
    func `what else goes on running ends with a signal as well`(arguments: [String], line: String) async throws {
        #expect(try await Program.run("migrate", in: folder).status == 0)
        let program = try RunningProgram(arguments, in: folder)
        defer { program.signal(SIGKILL) }
        _ = try await program.line(containing: line)
        program.signal(SIGTERM)
        #expect(await program.end(within: .seconds(20)) == 0)
        if arguments == ["sync"] {
            #expect(try await Program.run("accounts", "list", "--json", in: folder).status == 0)
        }
    }

    @Test func `a reader that has seen enough ends the command without a complaint`() async throws {
        try folder.write("rollcall.yaml", "providers: {github: {client_id: EXAMPLE, client_secret: EXAMPLE}}")
        let lines = (1...2000).map {
            #"{"user_id":"u","provider":"github","subject":"\#($0)","access_token":"EXAMPLE"}"#
        }
        let input = lines.joined(separator: "\n")
        #expect(try await Program.run("accounts", "import", "-", in: folder, input: input).status == 0)
        let outcome = try await ChildProgram.run(
            "/bin/sh", ["-c", "\(Program.url.path()) accounts list --limit 0 | head -2"],
            environment: Program.variables(), folder: folder.path)
        #expect(outcome.errors == "")
        #expect(outcome.bytes.split(separator: 0x0a).count == 2)
    }

    @Test func `with every line logged, none is a page long`() async throws {
        let program = try serve(Self.anyPort + ["--log-level", "trace"])
        defer { program.signal(SIGKILL) }
        _ = try await port(of: program)
        program.signal(SIGTERM)
        #expect(await program.end() == 0)
        let lines = program.log.split(separator: "\n")
        #expect(lines.contains { $0.contains(" debug ") })
        #expect(lines.allSatisfy { $0.count < 600 })
    }

    @Test func `a log that can't be written does not end the service`() async throws {
        let port = try freePort()
        let full = try #require(FileHandle(forWritingAtPath: "/dev/full"))
        let program = try ChildProgram(
            Program.url.path(), ["serve", "--port", "\(port)", "--log-level", "trace"],
            environment: Program.variables(), folder: folder.path, errors: full.fileDescriptor)
        defer { program.signal(SIGKILL) }
        // Its log can't be read, so it is asked until it answers.
        #expect(try await status(port, "/healthz", retrying: true) == 200)
        program.signal(SIGTERM)
        #expect(await program.end(within: .seconds(60)) == 0)
    }

    @Test func `security 14, 99: the log tells of a provider without PKCE, the audit trail of a changed one`()
        async throws
    {
        let manifest = try String(
            contentsOf: URL(filePath: #filePath).deletingLastPathComponent().appending(
                path: "../../Tests/Interop/providers.d/library.yaml"), encoding: .utf8)
        try FileManager.default.createDirectory(
            atPath: folder.path("providers.d"), withIntermediateDirectories: true)
        try folder.write(
            "providers.d/library.yaml",
            manifest.replacing("scopes: [profile, mail]", with: "scopes: [profile, mail], pkce: none"))
        for clientID in ["EXAMPLE-1", "EXAMPLE-1", "EXAMPLE-2"] {
            try folder.write(
                "rollcall.yaml",
                "providers_directory: providers.d\nproviders: {library: {client_id: \(clientID), client_secret: EXAMPLE}}"
            )
            let program = try serve()
            defer { program.signal(SIGKILL) }
            _ = try await port(of: program)
            program.signal(SIGTERM)
            #expect(await program.end() == 0)
            #expect(program.log.contains("A provider is used without PKCE provider=library"), "\(program.log)")
        }
        let audit = try await Program.run("audit", "--json", in: folder)
        #expect(audit.status == 0)
        let entries = try audit.objects()
        #expect(entries.map { $0["action"] as? String } == ["provider.changed", "provider.added"])
        #expect(entries.allSatisfy { $0["actor"] as? String == "service" && $0["provider"] as? String == "library" })
    }

    @Test func `the first lines say what it runs with and what is not ready`() async throws {
        try folder.write(
            "rollcall.yaml", "providers: {github: {client_id: EXAMPLE, client_secret: EXAMPLE-hunter2}, discord: }")
        let program = try serve(Self.anyPort + ["--set", "log.format=json"])
        defer { program.signal(SIGKILL) }
        _ = try await port(of: program)
        program.signal(SIGTERM)
        #expect(await program.end() == 0)
        let lines = try program.log.split(separator: "\n").map { line in
            try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: String])
        }
        let first = try #require(lines.first { $0["message"] == "Rollcall starts" })
        #expect(first["version"] == ServiceAssembly.version && first["providers"] == "github,discord")
        let missing = lines.filter { $0["message"] == "A provider can't be linked yet" }
        #expect(missing.allSatisfy { $0["provider"] == "discord" })
        for name in ["client_id", "client_secret"] {
            #expect(missing.count { $0["problem"]?.hasSuffix("\(name) is missing") == true } == 1)
        }
        #expect(!lines.contains { $0["message"] == "A provider is left out" })
        #expect(lines.allSatisfy { $0["time"] != nil && $0["level"] != nil })
        #expect(!program.log.contains("hunter2"))
    }
}
