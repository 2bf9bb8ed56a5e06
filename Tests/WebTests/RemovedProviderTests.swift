import Accounts
import JSON
import Store
import TestSupport
import Testing

@testable import Web

struct RemovedProviderTests {
    @Test func `an account whose provider left the configuration says so in every view`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            let outcomes = try await service.database.accounts.importAccounts([
                ImportedAccount(
                    userID: try #require(UserID("42")), provider: try #require(ProviderID("gone")),
                    subject: try #require(Subject("1")),
                    credential: Credential(
                        accessToken: Secret("EXAMPLE"), scopes: [], obtainedAt: service.time.now()),
                    nextSyncAt: service.time.now())
            ])
            guard case .created(let id)? = outcomes.first else {
                Issue.record("not imported")
                return
            }
            _ = try await service.link(user: "43")
            let one = try await service.call("GET", "/v1/accounts/\(id)", key: key).json()
            #expect(one["status"] == "active")
            #expect(one["problem"]?["code"] == "provider_not_configured")
            #expect(one["problem"]?["action"] == "operator")
            let all = try await service.call("GET", "/v1/accounts", key: key).json()
            #expect(all.text.contains("provider_not_configured"))
            let ofUser = try await service.call("GET", "/v1/users/42/accounts", key: key).json()
            #expect(ofUser.text.contains("provider_not_configured"))
            // The others have no problem.
            let other = try await service.call("GET", "/v1/users/43/accounts", key: key).json()
            #expect(!other.text.contains("problem"))
        }
    }
}
