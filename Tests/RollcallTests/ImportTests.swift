import Accounts
import Foundation
import OAuth
import Providers
import Store
import TestSupport
import Testing

@testable import Rollcall

/// What a line may be.
@Suite(.timeLimit(.minutes(10))) struct AccountLineTests {
    private let reader: AccountLine
    private let time = VirtualTime()

    init() throws {
        let instances = [
            InstanceConfiguration(id: "github", clientID: "EXAMPLE", clientSecret: Secret("EXAMPLE")),
            InstanceConfiguration(id: "discord"),
        ]
        let catalog = try ProviderCatalog(
            manifestsDirectory: nil, instances: instances, publicURL: "http://127.0.0.1", syncInterval: nil)
        reader = AccountLine(catalog: catalog, isDue: true, clock: time, random: SystemRandom())
    }

    private func fault(_ line: String) -> String? {
        do {
            _ = try reader.read(Array(line.utf8))
            return nil
        } catch { return error.reason }
    }

    @Test func `takes a line with all members`() throws {
        let line = """
            {"user_id":"42","provider":"github","subject":"583231","access_token":"EXAMPLE-a","refresh_token":"EXAMPLE-r",
            "expires_at":"2026-12-01T00:00:00Z","scopes":["read:user"]}
            """
        let account = try reader.read(Array(line.utf8))
        #expect(account.userID.rawValue == "42" && account.subject.rawValue == "583231")
        #expect(account.credential.accessToken == Secret("EXAMPLE-a"))
        #expect(account.credential.refreshToken == Secret("EXAMPLE-r"))
        #expect(account.credential.expiresAt == Timestamp(rfc3339: "2026-12-01T00:00:00Z"))
        #expect(account.credential.scopes.map(\.rawValue) == ["read:user"])
        #expect(account.nextSyncAt == time.now())
    }

    @Test func `security 44: bound tokens come with their key, or are no use`() throws {
        let key = DPoPKey(random: SystemRandom()).secret
        let text = key.reveal { $0 }
        let account = try reader.read(Array(Self.line(["proof_key": "\"\(text)\""]).utf8))
        #expect(account.credential.tokenType == "DPoP" && account.credential.proofKey == key)
        #expect(
            fault(Self.line(["proof_key": "\"EXAMPLE\""])) == "proof_key must be a key as 'accounts export' writes it")
        #expect(try reader.read(Array(Self.line(["proof_key": "null"]).utf8)).credential.tokenType == "Bearer")
    }

    @Test func `what may be left out may be null as well, and ids may be numbers`() throws {
        let line = """
            {"user_id":42,"provider":"github","subject":90071992547409931,"access_token":"EXAMPLE-a",
            "refresh_token":null,"expires_at":null,"scopes":null}
            """
        let account = try reader.read(Array(line.utf8))
        #expect(account.userID.rawValue == "42" && account.subject.rawValue == "90071992547409931")
        #expect(account.credential.refreshToken == nil && account.credential.expiresAt == nil)
        #expect(!account.credential.scopes.isEmpty)
    }

    private static func line(without name: String = "", _ changes: [String: String] = [:]) -> String {
        var members = [
            "user_id": "\"42\"", "provider": "\"github\"", "subject": "\"1\"", "access_token": "\"EXAMPLE-hunter2\"",
        ]
        members[name] = nil
        members.merge(changes) { _, new in new }
        return "{" + members.sorted { $0.key < $1.key }.map { "\"\($0.key)\":\($0.value)" }.joined(separator: ",") + "}"
    }

    private static let timeExpected = "must be a time such as 2026-12-01T00:00:00Z"
    private static let idExpected = "must have 1 to 255 characters, none of them a control character"

    @Test(arguments: [
        ("[]", "expected a JSON object"), ("\"EXAMPLE-hunter2\"", "expected a JSON object"),
        (line(without: "user_id"), "user_id is missing"), (line(without: "provider"), "provider is missing"),
        (line(without: "subject"), "subject is missing"), (line(without: "access_token"), "access_token is missing"),
        (line(["user_id": "true"]), "user_id must be a string"), (line(["user_id": "1.5"]), "user_id must be a string"),
        (line(["user_id": "\"\""]), "user_id \(idExpected)"),
        (line(["subject": "\"a\\u0000b\""]), "subject \(idExpected)"),
        (line(["subject": "{}"]), "subject must be a string"),
        (line(["access_token": "7"]), "access_token must be a string"),
        (line(["access_token": "\"\""]), "access_token must be printable ASCII without spaces"),
        (line(["access_token": "\"EXAMPLE hunter2\""]), "access_token must be printable ASCII without spaces"),
        (line(["refresh_token": "\"EXAMPLE\\nhunter2\""]), "refresh_token must be printable ASCII without spaces"),
        (line(["refresh_token": "[\"EXAMPLE-hunter2\"]"]), "refresh_token must be a string"),
        (line(["expires_at": "1795185773"]), "expires_at \(timeExpected)"),
        (line(["expires_at": "\"2026-13-01T00:00:00Z\""]), "expires_at \(timeExpected)"),
        (line(["expires_at": "\"tomorrow\""]), "expires_at \(timeExpected)"),
        (line(["scopes": "\"read:user\""]), "scopes must be a list of strings"),
        (line(["scopes": "[\"a b\"]"]), "scopes must be a list of scopes (RFC 6749 §3.3)"),
        (line(["provider": "\"gitlab\""]), "provider 'gitlab' is not configured; did you mean 'github'?"),
        (line(["provider": "\"somewhere\""]), "provider 'somewhere' is not configured; configured: github, discord"),
        (
            line(["provider": "\"EXAMPLE-hunter2\""]),
            "provider must be the name of a configured provider, such as github"
        ),
        (line(["acces_token": "\"EXAMPLE-hunter2\""]), "unknown member 'acces_token'; did you mean 'access_token'?"),
        (line(["EXAMPLE-hunter2": "1"]), "an unknown member"),
    ])
    func `says what is wrong with a line`(line: String, expected: String) {
        #expect(fault(line) == expected)
    }

    @Test(arguments: [
        "", "{", "EXAMPLE-hunter2", #"{"access_token": "EXAMPLE-hunter2"#, #"{"a":1,"a":2}"#, "{}{}",
        "{\"access_token\": \"EXAMPLE-hunter2\u{1}\"}",
    ])
    func `what is not JSON is told with the column`(line: String) throws {
        let said = try #require(fault(line))
        #expect(said.hasPrefix("not JSON: column "))
        #expect(!said.contains("hunter2"))
    }

    @Test func `bytes that are not UTF-8 are not JSON`() {
        #expect(throws: AccountLine.Fault.self) { try reader.read([0x22, 0xff, 0x22]) }
    }

    @Test func `an account is remembered with its line over more lines than one generation`() throws {
        var seen = SeenAccounts()
        let provider = try #require(ProviderID("github"))
        for line in 1...200_000 {
            if let subject = Subject("s\(line)") { #expect(seen.insert(provider, subject, line: line) == nil) }
        }
        for line in [100_000, 131_073, 200_000] {
            if let subject = Subject("s\(line)") { #expect(seen.insert(provider, subject, line: 200_001) == line) }
        }
    }
}

/// The command as a whole.
@Suite(.timeLimit(.minutes(10))) struct ImportTests {
    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        try folder.write(
            "rollcall.yaml", "providers: {github: {client_id: EXAMPLE, client_secret: EXAMPLE}, discord: }\n")
    }

    private static func line(_ subject: String, user: String = "ada", token: String = "EXAMPLE-hunter2") -> String {
        #"{"user_id":"\#(user)","provider":"github","subject":"\#(subject)","access_token":"\#(token)"}"#
    }

    private func subjects() async throws -> [String] {
        try await Program.run("accounts", "list", "--json", "--limit", "0", in: folder).objects()
            .compactMap { $0["subject"] as? String }.sorted()
    }

    @Test func `takes a file with CRLF, empty lines, a byte order mark and no newline at its end`() async throws {
        let text = "\u{feff}\(Self.line("1"))\r\n\r\n   \n\(Self.line("2"))\n\n\(Self.line("3"))"
        let file = try folder.write("accounts.ndjson", text)
        let outcome = try await Program.run("accounts", "import", file, in: folder)
        #expect(outcome.status == 0 && outcome.errors == "")
        #expect(outcome.output == "3 created, 0 replaced, 0 unchanged, 0 skipped\n")
        #expect(try await subjects() == ["1", "2", "3"])
        let again = try await Program.run("accounts", "import", file, in: folder)
        #expect(again.output == "0 created, 0 replaced, 3 unchanged, 0 skipped\n")
        let changed = try await Program.run(
            "accounts", "import", "-", in: folder, input: Self.line("1", token: "EXAMPLE-new"))
        #expect(changed.output == "0 created, 1 replaced, 0 unchanged, 0 skipped\n")
    }

    @Test func `ends at the first wrong line, names it, and keeps what stood before`() async throws {
        let text = [Self.line("1"), Self.line("2"), "{\"user_id\": \"EXAMPLE-hunter2\"", Self.line("3")]
        let outcome = try await Program.run(
            "accounts", "import", "-", in: folder, input: text.joined(separator: "\n"))
        #expect(outcome.status == 65 && outcome.output == "")
        #expect(outcome.errors.hasPrefix("line 3: not JSON: column "))
        #expect(outcome.errors.contains("Ended at line 3; accounts stored before it: 2."))
        #expect(outcome.errors.contains("--keep-going"))
        #expect(!outcome.errors.contains("hunter2"))
        #expect(try await subjects() == ["1", "2"])
    }

    @Test func `with --keep-going every wrong line is named and the others are taken`() async throws {
        let lines = [
            Self.line("1"), "nonsense", Self.line("1", token: "EXAMPLE-other"), Self.line("2"),
            String(repeating: "x", count: (1 << 20) + 1), "", #"{"user_id":"a"}"#, Self.line("3"),
        ]
        let outcome = try await Program.run(
            "accounts", "import", "-", "--keep-going", in: folder, input: lines.joined(separator: "\r\n"))
        #expect(outcome.status == 1)
        #expect(outcome.output == "3 created, 0 replaced, 0 unchanged, 4 skipped\n")
        let said = outcome.errors.split(separator: "\n").map(String.init)
        #expect(said.count == 4)
        #expect(said[0].hasPrefix("line 2: not JSON"))
        #expect(said[1] == "line 3: the same account as on line 1; keep one of the two")
        #expect(said[2] == "line 5: longer than 1 MiB; no account is")
        #expect(said[3] == "line 7: provider is missing")
        #expect(try await subjects() == ["1", "2", "3"])
    }

    @Test func `an account that another user holds is not moved, and nothing behind it is taken`() async throws {
        _ = try await Program.run("accounts", "import", "-", in: folder, input: Self.line("1", user: "bob"))
        let text = [Self.line("0"), Self.line("1"), Self.line("2")].joined(separator: "\n")
        let outcome = try await Program.run("accounts", "import", "-", in: folder, input: text)
        #expect(outcome.status == 65)
        #expect(outcome.errors.hasPrefix("line 2: another user holds this account; unlink it there first\n"))
        #expect(outcome.errors.contains("accounts stored before it: 1."))
        #expect(try await subjects() == ["0", "1"])
        let going = try await Program.run("accounts", "import", "-", "--keep-going", in: folder, input: text)
        #expect(going.status == 1)
        #expect(going.output == "1 created, 0 replaced, 1 unchanged, 1 skipped\n")
        let held = try await Program.run("accounts", "list", "--user", "bob", "--json", in: folder)
        #expect(try held.objects().compactMap { $0["subject"] as? String } == ["1"])
    }

    @Test func `a file that is not there, or is a folder, is wrong input`() async throws {
        for name in ["none.ndjson", folder.path] {
            let outcome = try await Program.run("accounts", "import", name, in: folder)
            #expect(outcome.status == 65)
            #expect(
                outcome.errors == "\(name): the file can't be read; check that it exists, is no folder, and its mode\n")
        }
    }

    @Test func `what is exported is what import takes`() async throws {
        let lines = [
            #"{"user_id":"ada","provider":"github","subject":"1","access_token":"EXAMPLE-a","#
                + #""refresh_token":"EXAMPLE-r","expires_at":"2030-12-01T00:00:00Z","scopes":["read:user","repo"]}"#,
            #"{"user_id":"ĝ \"😀\"","provider":"discord","subject":"2","access_token":"EXAMPLE-b","scopes":["identify"]}"#,
        ]
        let input = lines.joined(separator: "\n")
        #expect(try await Program.run("accounts", "import", "-", in: folder, input: input).status == 0)
        let exported = try await Program.run("accounts", "export", in: folder)
        #expect(exported.status == 0)

        let other = try TemporaryFolder()
        try other.write("rollcall.yaml", try folder.text("rollcall.yaml"))
        let taken = try await Program.run("accounts", "import", "-", in: other, input: exported.output)
        #expect(taken.output == "2 created, 0 replaced, 0 unchanged, 0 skipped\n")
        let again = try await Program.run("accounts", "export", in: other)
        #expect(
            again.output.split(separator: "\n").sorted() == exported.output.split(separator: "\n").sorted())
        let back = try await Program.run("accounts", "import", "-", in: folder, input: again.output)
        #expect(back.output == "0 created, 0 replaced, 2 unchanged, 0 skipped\n")
        #expect(
            exported.output.contains("EXAMPLE-r") && exported.output.contains(#""expires_at":"2030-12-01T00:00:00Z""#))
    }

    @Test func `memory does not grow with the file`() async throws {
        let program = try RunningProgram(["accounts", "import", "-"], in: folder)
        defer { program.signal(SIGKILL) }
        func feed(_ numbers: ClosedRange<Int>) async throws {
            // On a thread of its own: the pipe blocks while the program works.
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                Thread.detachNewThread {
                    continuation.resume(
                        with: Result {
                            for first in stride(from: numbers.lowerBound, through: numbers.upperBound, by: 1000) {
                                let lines = (first..<first + 1000).map { Self.line("\($0)") + "\n" }
                                try program.input.write(contentsOf: Data(lines.joined().utf8))
                            }
                        })
                }
            }
        }
        try await feed(1...10_000)
        let small = try program.peakMemory()
        try await feed(10_001...200_000)
        let large = try program.peakMemory()
        try program.input.close()
        #expect(await program.end(within: .seconds(120)) == 0)
        #expect(large - small < 12 * 1024, "\(small) KiB after 10,000 lines, \(large) KiB after 200,000")
        print("Peak memory of an import: \(small) KiB after 10,000 lines, \(large) KiB after 200,000")
    }
}
