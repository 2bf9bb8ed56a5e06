import Accounts
import TestSupport
import Testing

@testable import Store

@Suite(.timeLimit(.minutes(10))) struct LeaseTests {
    @Test func `a start frees what a killed one of its own kind held, and keeps its intents`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link("1", nextSyncAfter: .zero)
        let other = try await fixture.link("2", nextSyncAfter: .zero)
        let store = fixture.database
        func claim(_ id: AccountID, _ owner: String) async throws -> Bool {
            try await store.schedule.claim(id, owner: owner, lease: .seconds(120)) != nil
        }
        #expect(try await claim(account.id, "serve-1"))
        #expect(try await claim(other.id, "sync-1"))
        _ = try await store.credentials.beginRefresh(account.id, owner: "serve-1", lease: .seconds(60))
        _ = try await store.credentials.beginRefresh(other.id, owner: "sync-1", lease: .seconds(60))
        #expect(try await !claim(account.id, "serve-2"))

        try await store.releaseLeases(ofOwnersBeginning: "serve-")

        #expect(try await claim(account.id, "serve-2"))
        #expect(try await !claim(other.id, "serve-2"), "held by a process that may be alive")
        guard
            case .claimed(_, wasInDoubt: true) = try await store.credentials.beginRefresh(
                account.id, owner: "serve-2", lease: .seconds(60))
        else {
            Issue.record("the refresh that was under way is free again, and in doubt")
            return
        }
        guard
            case .heldElsewhere = try await store.credentials.beginRefresh(
                other.id, owner: "serve-2", lease: .seconds(60))
        else {
            Issue.record("the other process's refresh is its own")
            return
        }
    }

    @Test func `whose an account is never changes`() async throws {
        let fixture = try Fixture()
        let account = try await fixture.link()
        for column in ["id", "user_id", "provider", "subject"] {
            let error = await storeError {
                try await fixture.database.connections.write { transaction in
                    try transaction.db.run("UPDATE linked_account SET \(column) = 'acc_other' WHERE id = ?", account.id)
                }
            }
            #expect("\(try #require(error))".contains("never changes"), "\(column)")
        }
        #expect(try await fixture.database.accounts.account(account.id) == account)
    }
}
