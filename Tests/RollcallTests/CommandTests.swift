import Accounts
import Foundation
import Glibc
import ProviderSimulator
import TestSupport
import Testing

@testable import Rollcall

/// The program as a person or a script meets it: arguments in, text and an exit code out.
@Suite(.timeLimit(.minutes(10))) struct CommandTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func run(_ arguments: String..., environment: [String: String] = [:]) async throws -> ChildProgram.Outcome {
        try await Program.run(arguments, in: folder, environment: environment)
    }

    // MARK: Help

    private static let commands = [
        "serve", "demo", "sync run", "sync status", "simulator", "migrate", "accounts list", "accounts show",
        "accounts link",
        "accounts check", "accounts import",
        "accounts export", "accounts unlink", "providers list", "providers check", "providers accept",
        "providers schema", "keys create", "keys list", "keys revoke", "vault rotate", "vault verify", "vault retire",
        "audit", "config show",
    ]

    @Test(arguments: commands)
    func `help says what a command does and shows an example of it`(command: String) async throws {
        let help = try await Program.run(command.split(separator: " ").map(String.init) + ["--help"], in: folder)
        #expect(help.status == 0 && help.errors == "")
        #expect(help.output.hasPrefix("OVERVIEW: "))
        #expect(help.output.contains("Example"))
        #expect(help.output.contains("rollcall \(command)"))
        #expect(!FileManager.default.fileExists(atPath: folder.path("rollcall-data")))
    }

    @Test func `the list of commands tested here is complete`() async throws {
        func below(_ words: [String]) async throws -> [String] {
            let help = try await Program.run(words + ["--help"], in: folder)
            #expect(help.status == 0 && (words.isEmpty || help.output.hasPrefix("OVERVIEW: ")))
            guard let list = help.output.components(separatedBy: "SUBCOMMANDS:\n").dropFirst().first else {
                return [words.joined(separator: " ")]
            }
            var found: [String] = []
            for line in list.split(separator: "\n") where line.hasPrefix("  ") && !line.hasPrefix("   ") {
                guard let name = line.split(separator: " ").first, name != "See" else { continue }
                found += try await below(words + [String(name)])
            }
            return found
        }
        #expect(try await below([]).sorted() == Self.commands.sorted())
        let top = try await run("--help")
        #expect(top.output.contains("rollcall demo") && top.output.contains("Exit codes"))
        #expect(try await run("--version").output == "\(ServiceAssembly.version)\n")
    }

    @Test(arguments: ["bash", "zsh", "fish"])
    func `words can be completed in a shell`(shell: String) async throws {
        let script = try await run("--generate-completion-script", shell)
        #expect(script.status == 0 && script.errors == "")
        #expect(script.output.contains("rollcall") && script.output.contains("keep-going"))
        if shell == "bash" {
            let file = try folder.write("completion.bash", script.output)
            #expect(try await ChildProgram.run("bash", ["-n", file]).status == 0)
        }
    }

    @Test(arguments: [
        (["serve", "--prot", "1"], "--prot", "rollcall serve"), (["nonsense"], "nonsense", "rollcall"),
        (["accounts", "list", "--status", "x"], "expected one of active", "rollcall accounts list"),
        (["accounts", "list", "--limit", "-1"], "--limit", "rollcall accounts list"),
        (["accounts", "list", "--provider", "A B"], "--provider", "rollcall accounts list"),
        (["accounts", "list", "--expiring", "soon"], "12h or 30d", "rollcall accounts list"),
        (["accounts", "list", "--expiring", "1d", "--user", "1"], "--provider alone", "rollcall accounts list"),
        (["accounts", "show", "x"], "rollcall accounts list", "rollcall accounts show"),
        (["accounts", "unlink", "x"], "rollcall accounts list", "rollcall accounts unlink"),
        (["keys", "create", "app", "--scope", "accounts:raed"], "did you mean accounts:read?", "rollcall keys create"),
        (["keys", "create", "app"], "--scope", "rollcall keys create"),
        (["keys", "create", "", "--scope", "accounts:read"], "1 to 255 characters", "rollcall keys create"),
        (["keys", "revoke", "x"], "rollcall keys list", "rollcall keys revoke"),
        (["sync", "--all"], "--all goes with --once", "rollcall sync"),
        (["config", "show", "--set", "http.prot=1"], "did you mean http.port?", "rollcall config show"),
        (["config", "show", "--set", "http.port"], "KEY=VALUE", "rollcall config show"),
        (["config", "show", "--set", "log.level=info", "--set", "log.level=debug"], "twice", "rollcall config show"),
        (["config", "show", "--set", "vault.key=EXAMPLE"], "ROLLCALL_VAULT_KEY_FILE", "rollcall config show"),
        (
            ["config", "show", "--set", "providers.github.client_id=x"], "ROLLCALL_PROVIDERS_GITHUB_CLIENT_ID",
            "rollcall config show"
        ),
    ])
    func `a wrong command line is told with the usage of that command`(
        arguments: [String], said: String, usage: String
    ) async throws {
        let outcome = try await Program.run(arguments, in: folder)
        #expect(outcome.status == 64)
        #expect(outcome.output == "")
        #expect(outcome.errors.contains(said))
        #expect(outcome.errors.contains("Usage: \(usage)"), "\(outcome.errors)")
        #expect(!FileManager.default.fileExists(atPath: folder.path("rollcall-data")))
    }

    // MARK: Configuration

    @Test func `config show prints what is in force, who said it, and no secret`() async throws {
        try folder.write(
            "rollcall.yaml",
            "log: {level: debug}\nproviders: {github: {client_id: EXAMPLE-id, client_secret: EXAMPLE-hunter2}}\n")
        let environment = [
            "ROLLCALL_HTTP_PORT": "9000", "ROLLCALL_OUTGOING_PROXY": "http://u:EXAMPLE-hunter2@p.example",
        ]
        let text = try await run("config", "show", "--set", "sync.interval=1h", environment: environment)
        #expect(text.status == 0 && text.errors == "")
        let rows = text.output.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
        #expect(rows.first == ["SETTING", "VALUE", "FROM"])
        #expect(rows.contains(["http.port", "9000", "ROLLCALL_HTTP_PORT"]))
        #expect(rows.contains(["log.level", "debug", "rollcall.yaml:1:14"]))
        #expect(rows.contains(["sync.interval", "1h", "--set", "sync.interval"]))
        #expect(rows.contains(["http.host", "127.0.0.1", "default"]))
        #expect(rows.contains(["providers.github.client_secret", "[redacted]", "rollcall.yaml:2:60"]))
        #expect(!text.output.contains("hunter2"))

        let json = try await run("config", "show", "--json", environment: environment)
        #expect(json.status == 0 && !json.output.contains("hunter2"))
        let object = try #require(try json.objects().first as? [String: [String: Any]])
        #expect(object["http.port"]?["value"] as? String == "9000")
        #expect(object["http.port"]?["place"] as? String == "ROLLCALL_HTTP_PORT")
        #expect(object["outgoing.proxy"]?["value"] as? String == "[redacted]")
        #expect(object["outgoing.ca_file"]?["value"] is NSNull)
        #expect(!FileManager.default.fileExists(atPath: folder.path("rollcall-data")))
    }

    @Test func `every command refuses a wrong configuration with every fault and code 65`() async throws {
        try folder.write("rollcall.yaml", "http: {port: banana}\nlog: {level: EXAMPLE-hunter2}\n")
        for arguments in [
            ["config", "show"], ["serve"], ["keys", "list"], ["accounts", "list"], ["sync", "--once"], ["migrate"],
            ["providers", "list"], ["accounts", "import", "-"],
        ] {
            let outcome = try await Program.run(arguments, in: folder)
            #expect(outcome.status == 65 && outcome.output == "")
            #expect(
                outcome.errors == """
                    rollcall.yaml:1:14: http.port must be a whole number from 0 to 65535
                    rollcall.yaml:2:14: log.level must be one of trace, debug, info, notice, warning, error, critical

                    """)
        }
        #expect(!FileManager.default.fileExists(atPath: folder.path("rollcall-data")))
        let elsewhere = try await run("config", "show", "--config", "none.yaml")
        #expect(elsewhere.status == 65)
        #expect(elsewhere.errors.hasPrefix("none.yaml: the configuration file can't be read"))
        try folder.write("other.yaml", "log: {level: error}")
        #expect(try await run("config", "show", environment: ["ROLLCALL_CONFIG": "other.yaml"]).status == 0)
    }

    @Test func `a result that can't be written ends the command with code 74 and no crash`() async throws {
        let outcome = try await ChildProgram.run(
            "/bin/sh", ["-c", "\(Program.url.path()) config show >/dev/full"], environment: Program.variables(),
            folder: folder.path)
        #expect(outcome.status == 74)
        #expect(outcome.errors.contains("standard output can't be written"))
    }

    // MARK: Database and keys

    @Test func `migrate makes the database for its owner alone, and again changes nothing`() async throws {
        for _ in 1...2 {
            let outcome = try await run("migrate")
            #expect(outcome.status == 0)
            #expect(outcome.errors == "rollcall-data/rollcall.sqlite is at this program's schema.\n")
        }
        #expect(try folder.mode("rollcall-data") == 0o700)
        #expect(try folder.mode("rollcall-data/rollcall.sqlite") == 0o600)
        #expect(try folder.mode("rollcall-data/master.key") == 0o600)
    }

    @Test func `security 99: the audit trail names who gave a command`() async throws {
        let made = try await run("keys", "create", "app", "--scope", "accounts:read", "--json")
        let object = try #require(try made.objects().first)
        let id = try #require(object["id"] as? String)
        let secret = try #require(object["secret"] as? String)
        #expect(try await run("keys", "revoke", id).status == 0)
        let lines = try await run("audit")
        #expect(lines.status == 0)
        let rows = lines.output.split(separator: "\n")
        #expect(rows.count == 2)
        #expect(rows.first?.contains("api_key.revoked  operator:") == true, "\(lines.output)")
        #expect(rows.last?.hasSuffix("detail=\(id)") == true && !lines.output.contains(secret))
        #expect(try await run("audit", "--limit", "1", "--json").objects().count == 1)
        #expect(try await run("audit", "--account", "acc_00000000000000000000000000").output == "")
        #expect(try await run("providers", "accept", "github").status == 1)
    }

    @Test func `security 93: an API key is shown once, listed without its secret, and revoked`() async throws {
        #expect(try await run("migrate").status == 0)
        #expect(try await run("keys", "list").errors == "There are no keys; 'rollcall keys create' makes one.\n")
        let made = try await run("keys", "create", "dashboard", "--scope", "accounts:read,links:write")
        #expect(made.status == 0)
        let secret = made.output.trimmingCharacters(in: .newlines)
        #expect(secret.hasPrefix("rck_") && !secret.contains("\n"))
        #expect(made.errors.contains("shown this once") && !made.errors.contains(secret))

        let other = try await run("keys", "create", "script", "--scope", "accounts:read", "--json")
        let object = try #require(try other.objects().first)
        #expect(other.errors == "" && (object["secret"] as? String)?.hasPrefix("rck_") == true)
        #expect(object["scopes"] as? [String] == ["accounts:read"])

        let text = try await run("keys", "list")
        #expect(text.output.hasPrefix("ID ") && text.output.contains("dashboard"))
        let listed = try await run("keys", "list", "--json")
        let keys = try listed.objects()
        #expect(keys.compactMap { $0["name"] as? String }.sorted() == ["dashboard", "script"])
        #expect(
            keys.first { $0["name"] as? String == "dashboard" }?["scopes"] as? [String] == [
                "accounts:read", "links:write",
            ])
        #expect(!(text.output + listed.output).contains(String(secret.dropFirst(12))))

        let id = try #require(object["id"] as? String)
        #expect(try await run("keys", "revoke", id).errors == "\(id) is revoked.\n")
        let again = try await run("keys", "revoke", id)
        #expect(again.status == 1 && again.errors == "There is no key \(id).\n")
        let revoked = try await run("keys", "list", "--json").objects().first { $0["id"] as? String == id }
        #expect(revoked?["revoked_at"] is String)
        #expect(try await run("keys", "list").output.contains("revoked 2"))
    }

    @Test func `a database of a newer program is refused as it is`() async throws {
        #expect(try await run("migrate").status == 0)
        let file = folder.path("rollcall-data/rollcall.sqlite")
        try await SQLite.run("INSERT INTO migration VALUES ('9999-future.sql', 'EXAMPLE', 0)", on: file)
        let before = try Data(contentsOf: URL(filePath: file))
        for arguments in [["migrate"], ["serve"], ["keys", "list"]] {
            let outcome = try await Program.run(arguments, in: folder)
            #expect(outcome.status == 69)
            #expect(outcome.errors.contains("rollcall-data/rollcall.sqlite: "))
            #expect(outcome.errors.contains("migrated by a newer version (9999-future.sql): run that version"))
        }
        #expect(try Data(contentsOf: URL(filePath: file)) == before)
    }

    @Test func `another master key is refused, and nothing is changed`() async throws {
        #expect(try await run("keys", "create", "app", "--scope", "accounts:read").status == 0)
        let other = Data(repeating: 7, count: 32).base64EncodedString()
        for arguments in [["keys", "list"], ["serve"], ["sync", "--once"], ["accounts", "export"]] {
            let outcome = try await Program.run(arguments, in: folder, environment: ["ROLLCALL_VAULT_KEY": other])
            #expect(outcome.status == 69 && outcome.output == "")
            #expect(outcome.errors.contains("the vault key is not the one this database is sealed with: it needs "))
        }
        #expect(try await run("keys", "list", "--json").objects().count == 1)
    }

    @Test func `a lost, an open and a broken key file are refused with what to do`() async throws {
        #expect(try await run("migrate").status == 0)
        let key = try folder.text("rollcall-data/master.key")
        try folder.write("rollcall-data/master.key", key, mode: 0o644)
        let open = try await run("keys", "list")
        #expect(open.status == 65 && open.errors.contains("run 'chmod 600 rollcall-data/master.key'"))
        try folder.write("rollcall-data/master.key", "EXAMPLE-hunter2")
        let broken = try await run("keys", "list")
        #expect(broken.status == 65 && broken.errors.hasPrefix("rollcall-data/master.key: line 1: not base64"))
        #expect(!broken.errors.contains("hunter2"))
        try FileManager.default.removeItem(atPath: folder.path("rollcall-data/master.key"))
        let lost = try await run("serve")
        #expect(lost.status == 65 && lost.errors.contains("the master key is gone"))
    }

    @Test func `a path that can be no database is refused with its name`() async throws {
        try folder.write("afile", "no database at all, and longer than the head of one")
        let inFile = try await run("keys", "list", "--database", "afile/rollcall.sqlite")
        #expect(inFile.status == 69 && inFile.errors.contains("afile/rollcall.sqlite"))
        #expect(inFile.errors.contains("Not a directory"))
        let notOurs = try await Program.run(
            ["keys", "list", "--database", "afile"], in: folder,
            environment: ["ROLLCALL_VAULT_KEY": Data(repeating: 7, count: 32).base64EncodedString()])
        #expect(notOurs.status == 69)
        #expect(notOurs.errors == "afile: the file is not a Rollcall database: check database.path\n")
        #expect(try folder.text("afile").hasPrefix("no database"))
    }

    @Test func `says where the next test could not be run`() {
        guard !ReadOnlyFolder.isPossible else { return }
        print(
            """
            NOTE: 'a folder that can't be written is said plainly' was not run: this is root, for whom modes say \
            nothing, without the right to mount a folder read-only. Run the tests as another user.
            """)
    }

    /// As root, modes say nothing: a read-only mount in a namespace of its own stands in for them.
    @Test(.enabled(if: ReadOnlyFolder.isPossible, "needs a user other than root, or the right to mount"))
    func `a folder that can't be written is said plainly`() async throws {
        #expect(try await run("migrate").status == 0)
        for arguments in [["serve"], ["keys", "create", "app", "--scope", "accounts:read"]] {
            let outcome = try await ReadOnlyFolder.run(arguments, in: folder, readOnly: "rollcall-data")
            #expect(outcome.status == 69, "\(outcome.errors)")
            #expect(outcome.errors.contains("/rollcall-data/ can't be written ("), "\(outcome.errors)")
            #expect(!outcome.errors.contains("Fatal") && outcome.errors.split(separator: "\n").count == 1)
        }
        #expect(try await run("keys", "list", "--json").output == "")
    }

    @Test(arguments: [
        ["accounts", "list"], ["accounts", "export"], ["accounts", "show", "acc_00000000000000000000000000"],
        ["accounts", "unlink", "acc_00000000000000000000000000"], ["keys", "list"],
        ["keys", "revoke", "key_00000000000000000000000000"], ["sync", "--once"],
    ])
    func `a command that works on what is there makes nothing where nothing is`(arguments: [String]) async throws {
        let outcome = try await Program.run(arguments, in: folder)
        #expect(outcome.status == 69)
        #expect(outcome.output == "")
        #expect(outcome.errors.hasPrefix("rollcall-data/rollcall.sqlite: there is no database; look at --database"))
        #expect(!FileManager.default.fileExists(atPath: folder.path("rollcall-data")))
    }

    @Test func `a key may end by itself, and without a scope there is none`() async throws {
        let none = try await run("keys", "create", "app", "--scope", ",")
        #expect(none.status == 64 && none.errors.contains("A key needs a scope"))
        let wrong = try await run("keys", "create", "app", "--scope", "accounts:read", "--expires", "soon")
        #expect(wrong.status == 64 && wrong.errors.contains("expected a time such as 12h or 90d"))
        let made = try await run("keys", "create", "app", "--scope", "accounts:read", "--expires", "90d", "--json")
        let object = try #require(try made.objects().first)
        let created = try Date(try #require(object["created_at"] as? String), strategy: .iso8601)
        let end = try Date(try #require(object["expires_at"] as? String), strategy: .iso8601)
        #expect(abs(end.timeIntervalSince(created) - 90 * 86_400) <= 1)
        #expect(try await run("keys", "list").output.contains("valid until "))
    }

    @Test func `a folder whose name has spaces and letters of all kinds holds key and database`() async throws {
        let place = "my däta/über all"
        let outcome = try await run(
            "keys", "create", "app", "--scope", "accounts:read", "--database", "\(place)/rollcall.sqlite", "--set",
            "vault.key_file=\(place)/keys/master.key")
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(try folder.mode("\(place)/keys/master.key") == 0o600)
        #expect(try folder.mode("\(place)/rollcall.sqlite") == 0o600)
    }

    // MARK: Accounts and providers

    private func account(_ number: Int) -> String {
        """
        {"user_id":"user-\(number)","provider":"github","subject":"\(BulkPerson.id(number, site: .github))",\
        "access_token":"\(BulkPerson.accessToken(number))"}
        """
    }

    @Test func `who will need their user is listed before it comes to that`() async throws {
        try folder.write("rollcall.yaml", "providers: {github: {client_id: EXAMPLE, client_secret: EXAMPLE}}")
        let end = Timestamp(secondsSinceEpoch: SystemTime().now().millisecondsSinceEpoch / 1000 + 10 * 86_400).rfc3339
        let lines = [account(1), account(2).dropLast() + #","expires_at":"\#(end)"}"#].joined(separator: "\n")
        #expect(try await Program.run("accounts", "import", "-", in: folder, input: lines).status == 0)
        let listed = try await run("accounts", "list", "--expiring", "30d", "--json").objects()
        #expect(listed.map { $0["user_id"] as? String } == ["user-2"])
        #expect(listed.map { $0["grant_ends_at"] as? String } == [end])
        #expect(try await run("accounts", "list", "--expiring", "9d", "--json").output == "")
        let text = try await run("accounts", "list", "--expiring", "30d", "--provider", "github").output
        #expect(text.contains("GRANT ENDS") && text.contains(end))
    }

    @Test func `accounts are listed, shown and unlinked`() async throws {
        try folder.write("rollcall.yaml", "providers: {github: {client_id: EXAMPLE, client_secret: EXAMPLE}}")
        let lines = (1...3).map { account($0) }.joined(separator: "\n")
        #expect(try await Program.run("accounts", "import", "-", in: folder, input: lines).status == 0)

        let text = try await run("accounts", "list", "--limit", "2")
        #expect(text.status == 0 && text.output.split(separator: "\n").count == 3)
        #expect(text.errors == "There are more; --limit 0 lists them all.\n")
        #expect(try await run("accounts", "list", "--limit", "0", "--json").objects().count == 3)
        #expect(try await run("accounts", "list", "--status", "needs_relink", "--json").output == "")
        #expect(try await run("accounts", "list", "--provider", "discord", "--json").output == "")
        let one = try #require(try await run("accounts", "list", "--user", "user-2", "--json").objects().first)
        let id = try #require(one["id"] as? String)

        let shown = try #require(try await run("accounts", "show", id).objects().first)
        #expect(shown["user_id"] as? String == "user-2" && shown["status"] as? String == "active")
        #expect(shown["access_token"] == nil)
        let missing = "acc_" + String(repeating: "0", count: 26)
        let none = try await run("accounts", "show", missing)
        #expect(none.status == 1 && none.errors == "There is no account \(missing).\n")

        // The token goes to the outbox: nobody answers at that address.
        try folder.write(
            "rollcall.yaml",
            """
            providers: {github: {client_id: EXAMPLE, client_secret: EXAMPLE, variables: {site: "http://127.0.0.1:9", \
            api: "http://127.0.0.1:9"}}}
            outgoing: {allowed_private_hosts: [127.0.0.1]}
            """)
        let unlinked = try await run("accounts", "unlink", id)
        #expect(unlinked.status == 0 && unlinked.errors.contains("\(id) is unlinked.\n"))
        #expect(unlinked.errors.contains("Revocations that wait for a provider: 1"))
        #expect(try await run("accounts", "show", id).status == 1)
        #expect(try await run("accounts", "unlink", id).status == 1)
        #expect(!(unlinked.errors + unlinked.output).contains(BulkPerson.accessToken(2)))
    }

    @Test func `sync --once exits 0 where all went well and 1 where an account failed`() async throws {
        let simulator = ProviderSimulator(
            SimulatorConfiguration(clients: DemoProvider.all.map { $0.client(serviceURL: "http://127.0.0.1") }))
        _ = try await simulator.start()
        do { try await syncOnce(with: simulator) } catch {
            await simulator.stop()
            throw error
        }
        await simulator.stop()
    }

    private func syncOnce(with simulator: ProviderSimulator) async throws {
        let variables = simulator.variables(for: .github).map { "\($0.key): \"\($0.value)\"" }.joined(separator: ", ")
        try folder.write(
            "rollcall.yaml",
            """
            providers:
              github: {client_id: demo-github, client_secret: EXAMPLE-github-secret, variables: {\(variables)}}
            outgoing: {allowed_private_hosts: [127.0.0.1]}
            log: {level: error}
            """)
        #expect(try await run("migrate").status == 0)
        #expect(try await run("sync", "--once", "--json").output == "{\"updated\":0,\"unchanged\":0,\"failed\":0}\n")
        let lines = (1...3).map { account($0) }.joined(separator: "\n")
        #expect(try await Program.run("accounts", "import", "-", "--due", in: folder, input: lines).status == 0)
        let first = try await run("sync", "--once")
        #expect(first.status == 0 && first.errors == "" && first.output == "3 updated, 0 unchanged, 0 failed\n")
        let idle = try await run("sync", "--once")
        #expect(idle.status == 0 && idle.output == "0 updated, 0 unchanged, 0 failed\n")
        let list = try await run("accounts", "list", "--user", "user-1", "--json").objects()
        let shown = try await run("accounts", "show", try #require(list.first?["id"] as? String))
        let profile = try #require(try shown.objects().first?["profile"])
        #expect(String(describing: profile).contains("bulk-1"))

        let dead = account(4).replacing(BulkPerson.accessToken(4), with: "EXAMPLE-dead")
        #expect(try await Program.run("accounts", "import", "-", "--due", in: folder, input: dead).status == 0)
        let failed = try await run("sync", "--once", "--all", "--json")
        #expect(failed.status == 1)
        let tally = try #require(try failed.objects().first as? [String: Int])
        #expect(tally == ["updated": 0, "unchanged": 3, "failed": 1])
        // What stands in the way, and who has to act.
        let status = try await run("sync", "status")
        #expect(status.status == 0 && status.output.hasPrefix("PROVIDER"))
        #expect(status.output.contains("github: 1 account consent_revoked since "), "\(status.output)")
        #expect(status.output.contains("; their users have to link them again."), "\(status.output)")
        let line = try #require(try await run("sync", "status", "--json").objects().first)
        let problem = try #require((line["problems"] as? [[String: Any]])?.first)
        #expect(problem["code"] as? String == "consent_revoked" && problem["action"] as? String == "user")
        #expect(problem["count"] as? Int == 1 && line["stale_vs_fixed"] != nil)
        #expect(!failed.errors.contains("EXAMPLE-dead"))
        let relink = try await run("accounts", "list", "--status", "needs_relink", "--json").objects()
        #expect(relink.count == 1 && relink.first?["user_id"] as? String == "user-4")
    }

    @Test func `providers list, check and schema say what there is and what is missing`() async throws {
        let empty = try await run("providers", "list")
        #expect(empty.status == 0 && empty.output.contains("Manifests: apple, discord"))
        try folder.write("rollcall.yaml", "providers: {github: {client_id: EXAMPLE}, discord: }")
        let list = try await run("providers", "list", "--json")
        let objects = try list.objects()
        #expect(objects.compactMap { $0["id"] as? String } == ["github", "discord"])
        #expect(objects.first?["missing"] as? [String] == ["client_secret"])
        #expect(objects.first?["redirect_uri"] as? String == "http://127.0.0.1:8080/callback/github")

        let check = try await run("providers", "check", "--offline", "github")
        #expect(check.status == 1)
        #expect(
            check.output.contains(
                "✗ client_secret is missing: set providers.github.client_secret, or ROLLCALL_PROVIDERS_GITHUB_CLIENT_SECRET"
            ))
        #expect(check.output.contains("http://127.0.0.1:8080/callback/github"))
        #expect(try await run("providers", "check", "--offline", "google").status == 0)
        try folder.write(
            "rollcall.yaml",
            "providers: {github: {client_id: EXAMPLE, client_authentication: private_key_jwt}, discord: }")
        let keyless = try await run("providers", "check", "--offline", "github")
        #expect(keyless.status == 1)
        #expect(
            keyless.output.contains(
                "✗ client_key is missing: set providers.github.client_key, or ROLLCALL_PROVIDERS_GITHUB_CLIENT_KEY"))
        try folder.write("client.pem", ExampleKeys.p256)
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: folder.path("client.pem"))
        try folder.write(
            "rollcall.yaml",
            "providers: {github: {client_id: EXAMPLE, client_secret: EXAMPLE, client_authentication: private_key_jwt, client_key_file: client.pem, key_id: kid-1}, discord: }"
        )
        // Its way of revoking takes the secret, however the client proves itself elsewhere.
        let keyed = try await run("providers", "check", "--offline", "github")
        #expect(keyed.status == 0)
        #expect(keyed.output.contains("✓ Client id and private key are there (ES256, key id kid-1)"))
        try FileManager.default.createDirectory(atPath: folder.path("manifests"), withIntermediateDirectories: true)
        try folder.write("manifests/github.yaml", "id: github\nnonsense: true\n")
        let neighbour = try await run(
            "providers", "check", "--offline", "hub", "--set", "providers_directory=manifests")
        #expect(neighbour.status == 65 && !neighbour.errors.contains("nonsense"))
        let own = try await run("providers", "check", "--offline", "github", "--set", "providers_directory=manifests")
        #expect(own.errors.contains("nonsense"))
        let unknown = try await run("providers", "check", "gitlab")
        #expect(
            unknown.status == 65 && unknown.errors.contains("'gitlab' is not configured (configured: github, discord)"))

        let schema = try await run("providers", "schema")
        let object = try #require(JSONSerialization.jsonObject(with: Data(schema.output.utf8)) as? [String: Any])
        #expect(object["$schema"] as? String == "https://json-schema.org/draft/2020-12/schema")
        #expect(!FileManager.default.fileExists(atPath: folder.path("rollcall-data")))
    }

    @Test func `settings that turn out wrong in use are told with their place`() async throws {
        #expect(try await run("migrate").status == 0)
        let hosts = try await run("sync", "--once", "--set", "outgoing.allowed_private_hosts=127.0.0.1:80")
        #expect(hosts.status == 65)
        #expect(hosts.errors.hasPrefix("--set outgoing.allowed_private_hosts: outgoing.allowed_private_hosts: "))
        try folder.write("rollcall.yaml", "providers:\n  github: {manifest: gitbuh}\n")
        let manifest = try await run("serve")
        #expect(manifest.status == 65)
        #expect(manifest.errors.hasPrefix("rollcall.yaml:2:3: providers.github: there is no manifest gitbuh"))
    }
}
