import Accounts
import Cryptography
import Foundation
import Glibc
import Logging
import Store
import TestSupport
import Testing

@testable import Rollcall

@Suite(.timeLimit(.minutes(10))) struct VaultCommandTests {
    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        try folder.write(
            "rollcall.yaml",
            """
            public_url: http://127.0.0.1:8080
            database: {path: rollcall.sqlite}
            vault: {key_file: keys/master.key}
            providers: {github: {client_id: EXAMPLE}}
            """)
        try FileManager.default.createDirectory(atPath: folder.path("keys"), withIntermediateDirectories: true)
        try folder.write("keys/master.key", try KeyRing.generate(random: SeededRandom(seed: 3)).text)
    }

    @discardableResult
    private func run(
        _ arguments: String..., environment: [String: String] = [:], status: Int32 = 0, input: String = ""
    ) async throws -> ChildProgram.Outcome {
        let outcome = try await Program.run(arguments, in: folder, environment: environment, input: input)
        #expect(outcome.status == status, "\(outcome.errors)")
        return outcome
    }

    private func importAccounts(_ count: Int = 250, environment: [String: String] = [:]) async throws {
        let lines = (0..<count).map { number in
            #"{"user_id":"\#(number)","provider":"github","subject":"\#(number)","#
                + #""access_token":"access-EXAMPLE-\#(number)","refresh_token":"refresh-EXAMPLE-\#(number)"}"#
        }
        try await run("accounts", "import", "-", environment: environment, input: lines.joined(separator: "\n"))
    }

    private func keys() throws -> KeyRing { try KeyRing(parsing: try folder.text("keys/master.key")) }

    @Test func `security 90: rotating moves every row to a new key, and retiring takes the old one away`() async throws
    {
        try await importAccounts()
        let before = try await run("accounts", "export").output
        let old = try keys().primary.id
        let rotated = try await run("vault", "rotate")
        let ring = try keys()
        #expect(ring.keyIDs.count == 2 && ring.others.map(\.id) == [old])
        #expect(rotated.errors.contains("250 rows were sealed anew"))
        #expect(rotated.errors.contains("No row needs key \(old) any more"))
        #expect(rotated.output == "")
        let table = try await run("vault", "verify").output.split(separator: "\n").map {
            $0.split(separator: " ", maxSplits: 2).map { $0.trimmingCharacters(in: .whitespaces) }
        }
        #expect(
            table == [["KEY", "ROWS", "STATE"], [ring.primary.id, "250", "primary"], [old, "0", "not needed"]])
        // Beyond the old key's file nothing else is left, and nobody else may read it.
        #expect(try folder.mode("keys/master.key") == 0o600)
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: folder.path("keys")).sorted()
                == ["master.key", "master.key.lock"])
        let retired = try await run("vault", "retire")
        #expect(retired.errors.contains("Key \(old) is gone from"))
        #expect(try keys().keyIDs == [ring.primary.id])
        #expect(try await run("vault", "retire").errors.contains("no key that is not needed"))
        #expect(try await run("accounts", "export").output == before)
        let json = try await run("vault", "verify", "--json")
        #expect(
            json.output
                == #"{"opened":250,"keys":[{"id":"\#(ring.primary.id)","rows":250,"primary":true}]}"# + "\n")
    }

    @Test func `security 90: a rotation that was cut short goes on, and makes no further key`() async throws {
        try await importAccounts()
        let old = try keys()
        // Killed between writing the file and telling the database.
        let ring = try old.withNewPrimary(random: SeededRandom(seed: 9))
        try folder.write("keys/master.key", ring.text)
        try folder.write("keys/master.key.new", "half of a k")
        let needed = try await run("vault", "verify", status: 1)
        #expect(needed.output.contains("\(old.primary.id)  250   needed"))
        #expect(needed.errors.contains("'rollcall vault rotate' moves them"))
        // It is needed, so it stays.
        #expect(try await run("vault", "retire").errors.contains("no key that is not needed"))
        let resumed = try await run("vault", "rotate")
        #expect(resumed.errors.contains("begun before; going on with it"))
        #expect(try keys().keyIDs == ring.keyIDs)
        try await run("vault", "verify")
        // What is left of a write that was cut short does not stand in the way of the next one.
        try await run("vault", "rotate")
        #expect(try keys().others.map(\.id) == ring.keyIDs)
        #expect(!FileManager.default.fileExists(atPath: folder.path("keys/master.key.new")))
    }

    @Test func `security 90: a key from the environment is not written, and rotates with a second line`() async throws {
        let first = try KeyRing.generate(random: SeededRandom(seed: 5))
        let second = try first.withNewPrimary(random: SeededRandom(seed: 6))
        try await importAccounts(3, environment: ["ROLLCALL_VAULT_KEY": first.text])
        let refused = try await run("vault", "rotate", environment: ["ROLLCALL_VAULT_KEY": first.text], status: 65)
        #expect(refused.errors.contains("ROLLCALL_VAULT_KEY: this key can't be written from here"))
        #expect(refused.errors.contains("openssl rand -base64 32"))
        let both = ["ROLLCALL_VAULT_KEY": second.text]
        try await run("vault", "rotate", environment: both)
        try await run("vault", "verify", environment: both)
        #expect(try await run("vault", "retire", environment: both, status: 65).errors.contains("take out those"))
        try await run("vault", "verify", environment: ["ROLLCALL_VAULT_KEY": second.primaryAlone.text])
        let old = try await run("vault", "verify", environment: ["ROLLCALL_VAULT_KEY": first.text], status: 69)
        #expect(old.errors.contains("it needs \(second.primary.id)"))
    }

    @Test func `one program at a time changes the keys`() async throws {
        try await importAccounts(1)
        let before = try folder.text("keys/master.key")
        let lock = try KeyFile(path: folder.path("keys/master.key")).locked()
        for command in ["rotate", "retire"] {
            let refused = try await run("vault", command, status: 65)
            #expect(refused.errors.contains("another rollcall is changing the keys"))
        }
        #expect(try folder.text("keys/master.key") == before)
        lock.closeFile()
        try await run("vault", "rotate")
    }

    @Test func `a key file behind a link is replaced where it is`() async throws {
        try await importAccounts(1)
        try FileManager.default.moveItem(atPath: folder.path("keys"), toPath: folder.path("elsewhere"))
        try FileManager.default.createDirectory(atPath: folder.path("keys"), withIntermediateDirectories: true)
        try FileManager.default.createSymbolicLink(
            atPath: folder.path("keys/master.key"), withDestinationPath: "../elsewhere/master.key")
        try await run("vault", "rotate")
        #expect(
            try FileManager.default.destinationOfSymbolicLink(atPath: folder.path("keys/master.key"))
                == "../elsewhere/master.key")
        #expect(try KeyRing(parsing: try folder.text("elsewhere/master.key")).keyIDs.count == 2)
        try await run("vault", "verify")
    }

    @Test func `a row that does not open is named, keeps its key, and the rest moves`() async throws {
        try await importAccounts(5)
        let old = try keys().primary.id
        let id = try await run("accounts", "list", "--json").objects().compactMap { $0["id"] as? String }.sorted()[2]
        try await SQLite.run(
            "UPDATE credential SET access_token = zeroblob(40) WHERE account_id = '\(id)'",
            on: folder.path("rollcall.sqlite"))
        for (command, status) in [("rotate", 1), ("verify", 1), ("rotate", 1)] as [(String, Int32)] {
            let outcome = try await run("vault", command, status: status)
            #expect(outcome.errors.contains("the sealed tokens of \(id) do not open"))
        }
        // The second change was one, too: the key between is needed by nothing.
        #expect(try keys().keyIDs.count == 3)
        let verified = try await run("vault", "verify", status: 1).output
        #expect(verified.contains("\(old)  1     needed"))
        #expect(verified.contains("\(try keys().primary.id)  4     primary"))
        #expect(try await run("vault", "retire").errors.contains("is gone from"))
        #expect(try keys().keyIDs.count == 2)
    }

    @Test func `a key file changed by hand is taken into use without a restart, and one that is gone changes nothing`()
        async throws
    {
        let configuration = try ServiceConfiguration.load(
            readsFile: false,
            flags: [
                "database.path": Found(values: [folder.path("rollcall.sqlite")], place: "--database"),
                "vault.key_file": Found(values: [folder.path("keys/master.key")], place: "test"),
            ], environment: [:])
        let database = try configuration.openDatabase()
        defer { database.close() }
        let watch = KeyRingWatch(
            vault: database.vault, source: configuration.keyRingSource, time: VirtualTime(),
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
        let first = try keys()
        #expect(await watch.look() == nil)
        let second = try first.withNewPrimary(random: SeededRandom(seed: 9))
        try folder.write("keys/master.key", second.text)
        #expect(await watch.look() == nil)
        #expect(database.vault.keyRing.primary.id == second.primary.id)
        #expect(try await database.vault.uses().filter(\.isPrimary).map(\.keyID) == [second.primary.id])
        try FileManager.default.removeItem(atPath: folder.path("keys/master.key"))
        #expect(await watch.look()?.contains("the master key can't be read") == true)
        #expect(database.vault.keyRing.primary.id == second.primary.id)
    }
}
