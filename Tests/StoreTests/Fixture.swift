import Accounts
import Cryptography
import Foundation
import TestSupport
import Testing

@testable import Store

/// A database in a directory of its own, on virtual time, gone with the test.
final class Fixture: Sendable {
    let directory: String
    let time = VirtualTime()
    let random: SeededRandom
    let ring: KeyRing
    let database: Database

    var path: String { Fixture.path(in: directory) }

    init(seed: UInt64 = 1, directory: String? = nil, busyTimeout: Duration = .seconds(5)) throws {
        self.directory = directory ?? Fixture.newDirectory()
        random = SeededRandom(seed: seed)
        ring = try KeyRing.generate(random: SeededRandom(seed: 7))
        database = try Database(
            path: Fixture.path(in: self.directory), keyRing: ring, time: time, random: random, busyTimeout: busyTimeout)
    }

    deinit {
        database.close()
        try? FileManager.default.removeItem(atPath: directory)  // a leftover in the temporary directory does no harm
    }

    static func newDirectory() -> String {
        FileManager.default.temporaryDirectory.appending(path: "rollcall-store-\(UUID().uuidString)").path()
    }

    static func path(in directory: String) -> String { directory + "/rollcall.sqlite" }

    /// Another process, as far as the database can tell.
    func another(
        keyRing: KeyRing? = nil, busyTimeout: Duration = .seconds(5), seed: UInt64 = 99
    ) throws(StoreError) -> Database {
        try Database(
            path: path, keyRing: keyRing ?? ring, time: time, random: SeededRandom(seed: seed), busyTimeout: busyTimeout)
    }

    @discardableResult
    func link(
        _ subject: String = "583231", user: String = "42", provider: String = "github",
        credential: Credential = .example(), profile: Profile? = nil, nextSyncAfter: Duration = .seconds(3600)
    ) async throws -> LinkedAccount {
        let outcome = try await database.accounts.link(
            newLink(
                subject, user: user, provider: provider, credential: credential, profile: profile,
                nextSyncAfter: nextSyncAfter))
        guard case .linked(let account, _) = outcome else { throw StoreError.inconsistent("not linked: \(outcome)") }
        return account
    }

    func newLink(
        _ subject: String = "583231", user: String = "42", provider: String = "github",
        credential: Credential = .example(), profile: Profile? = nil, nextSyncAfter: Duration = .seconds(3600),
        session: LinkSessionID? = nil, moves: Bool = false, difference: ProfileDifference? = nil
    ) throws -> NewLink {
        NewLink(
            sessionID: session, userID: try #require(UserID(user)), provider: try #require(ProviderID(provider)),
            subject: try #require(Subject(subject)), credential: credential, profile: try profile ?? .example(subject),
            nextSyncAt: time.now() + nextSyncAfter, movesFromOtherUser: moves, difference: difference)
    }

    func changes() async throws -> [Change] {
        try #require(try await database.changes.changes(after: nil, limit: 100_000)).changes
    }

    func kinds() async throws -> [Change.Kind] { try await changes().map(\.kind) }

    /// Whether the text stands in the database, its log or its index.
    func filesContain(_ text: String) throws -> Bool {
        for suffix in ["", "-wal", "-shm"] {
            guard let data = FileManager.default.contents(atPath: path + suffix) else { continue }
            if data.range(of: Data(text.utf8)) != nil { return true }
        }
        return false
    }
}

let github = ProviderID("github")!
let discord = ProviderID("discord")!

extension Credential {
    static func example(
        access: String = "access-EXAMPLE-1", refresh: String? = "refresh-EXAMPLE-1", scopes: [String] = ["read:user"],
        expiresAt: Timestamp? = Timestamp(secondsSinceEpoch: 1_795_189_373)
    ) -> Credential {
        Credential(
            accessToken: Secret(access), expiresAt: expiresAt, refreshToken: refresh.map { Secret($0) },
            scopes: scopes.compactMap { Scope($0) }, obtainedAt: Timestamp(secondsSinceEpoch: 1_795_185_773))
    }
}

extension Profile {
    static func example(
        _ subject: String = "583231", name: String = "The Octocat", email: String? = "octocat@example.com",
        username: String? = "octocat", validators: [String: Validators] = ["user": Validators(etag: "\"v1\"")]
    ) throws -> Profile {
        Profile(
            subject: try #require(Subject(subject)), claims: #"{"sub":"\#(subject)","name":"\#(name)"}"#,
            raw: #"{"user":{"id":\#(subject),"name":"\#(name)"}}"#, contentHash: "hash of \(name)", email: email,
            emailVerified: email == nil ? nil : true, preferredUsername: username, validators: validators)
    }
}

/// The error of a call that must fail.
func storeError(_ body: () async throws -> some Any) async -> StoreError? {
    do {
        _ = try await body()
        return nil
    } catch { return error as? StoreError }
}
