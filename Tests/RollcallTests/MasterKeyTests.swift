import Accounts
import Cryptography
import Foundation
import Testing

@testable import Rollcall

@Suite(.timeLimit(.minutes(10))) struct MasterKeyTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func configuration(_ environment: [String: String] = [:]) throws -> ServiceConfiguration {
        try ServiceConfiguration.load(
            readsFile: false,
            flags: [
                "database.path": Found(values: [folder.path("rollcall.sqlite")], place: "--database"),
                "vault.key_file": Found(values: [folder.path("keys/master.key")], place: "test"),
            ].filter { environment["CREDENTIALS_DIRECTORY"] == nil || $0.key == "database.path" },
            environment: environment)
    }

    private func refusal(_ environment: [String: String] = [:]) throws -> String {
        do {
            _ = try configuration(environment).keyRing(random: SystemRandom())
            return "none"
        } catch let error as ConfigurationError {
            return error.description.replacing(folder.path + "/", with: "")
        }
    }

    private func writeKey(_ text: String, mode: Int = 0o600) throws {
        try FileManager.default.createDirectory(atPath: folder.path("keys"), withIntermediateDirectories: true)
        try folder.write("keys/master.key", text, mode: mode)
    }

    private static func key(_ byte: UInt8, count: Int = 32) -> String {
        Data(repeating: byte, count: count).base64EncodedString()
    }

    @Test func `security 92: the key file is made once, for nobody else to read, and read again afterwards`() throws {
        let first = try configuration().keyRing(random: SystemRandom())
        #expect(try folder.mode("keys/master.key") == 0o600)
        #expect(try folder.mode("keys") == 0o700)
        #expect(try configuration().keyRing(random: SystemRandom()).primary.id == first.primary.id)
    }

    @Test(arguments: [0o640, 0o604, 0o644, 0o620, 0o601])
    func `security 92: a key file that others may read or write is refused`(mode: Int) throws {
        try writeKey(Self.key(1), mode: mode)
        let said = try refusal()
        #expect(said.contains("others than its owner may read the master key"))
        #expect(said.contains("chmod 600"))
    }

    @Test(arguments: [
        ("", "no key: expected a line with 32 bytes in base64"),
        ("# only a comment\n", "no key: expected a line with 32 bytes in base64"),
        ("not base64!", "line 1: not base64; expected 32 bytes as 44 characters"),
        (key(1, count: 16), "line 1: a key has 32 bytes, this one has 16"),
        (key(1) + "\n" + key(2, count: 33), "line 2: a key has 32 bytes, this one has 33"),
        (key(1) + "\n\n" + key(1), "line 3: the same key as on line 1"),
    ])
    func `a key file that holds something else is refused with the line`(text: String, expected: String) throws {
        try writeKey(text)
        #expect(try refusal() == "keys/master.key: \(expected)")
    }

    @Test func `a lost key is not replaced where there is a database that needs it`() throws {
        try folder.write("rollcall.sqlite", "x")
        #expect(try refusal().contains("the master key is gone"))
        #expect(!FileManager.default.fileExists(atPath: folder.path("keys/master.key")))
    }

    @Test func `ROLLCALL_VAULT_KEY is the key itself and no file is made`() throws {
        let ring = try configuration(["ROLLCALL_VAULT_KEY": Self.key(7)]).keyRing(random: SystemRandom())
        #expect(try ring.primary.id == KeyRing(parsing: Self.key(7)).primary.id)
        #expect(!FileManager.default.fileExists(atPath: folder.path("keys")))
        #expect(
            try refusal(["ROLLCALL_VAULT_KEY": "EXAMPLE"])
                == "ROLLCALL_VAULT_KEY: line 1: not base64; expected 32 bytes as 44 characters")
    }

    @Test func `a credential of the service manager is the key file where nobody names another`() throws {
        try folder.write("rollcall-vault-key", Self.key(9), mode: 0o400)
        let ring = try configuration(["CREDENTIALS_DIRECTORY": folder.path]).keyRing(random: SystemRandom())
        #expect(try ring.primary.id == KeyRing(parsing: Self.key(9)).primary.id)
    }

    @Test func `a credential shown to the unit's group is read, one shown to everybody is not`() throws {
        try folder.write("rollcall-vault-key", Self.key(9), mode: 0o440)
        let configuration = try configuration(["CREDENTIALS_DIRECTORY": folder.path])
        let ring = try configuration.keyRing(random: SystemRandom())
        #expect(try ring.primary.id == KeyRing(parsing: Self.key(9)).primary.id)
        try folder.write("rollcall-vault-key", Self.key(9), mode: 0o444)
        #expect(throws: ConfigurationError.self) { _ = try configuration.keyRing(random: SystemRandom()) }
    }

    @Test func `a folder that can't be made is said plainly`() throws {
        try folder.write("keys", "a file where the folder should be")
        #expect(try refusal().hasPrefix("keys/: the folder for the master key can't be made"))
    }
}
