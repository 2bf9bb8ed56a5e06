import Accounts
import Foundation
import JSON
import Store
import Synchronization
import TestSupport
import Testing
import Transfer

@testable import Web

@Suite(.timeLimit(.minutes(10))) struct TokenTests {
    @Test func `security 104: hands out a valid token and lets nobody keep it`() async throws {
        try await Service.run { service in
            let key = try await service.key(.tokensRead)
            let id = try await service.link(user: "42")
            for body in [nil, "{}", #"{"min_ttl":0}"#, #"{"min_ttl":60}"#] {
                let response = try await service.call("POST", "/v1/accounts/\(id)/access-token", key: key, json: body)
                #expect(response.status == 200)
                #expect(response["cache-control"] == "no-store")
                let token = try response.json()
                #expect(token.object?.names == ["access_token", "token_type", "expires_at", "scopes"])
                #expect(token["access_token"] == "EXAMPLE-access")
                #expect(token["token_type"]?.string?.lowercased() == "bearer")
                #expect(token["scopes"] == ["profile"])
                #expect(token["expires_at"]?.string.flatMap { Timestamp(rfc3339: $0) } != nil)
            }
            #expect(service.tokenRequests.count == 1)
            #expect(!service.log.everything.contains("EXAMPLE-access"))
        }
    }

    @Test func `refreshes first where the token would not last`() async throws {
        try await Service.run { service in
            let key = try await service.key(.tokensRead)
            let id = try await service.link(user: "42")
            service.time.advance(by: .seconds(3500))
            service.world.state.withLock {
                $0.token = (
                    200,
                    #"{"access_token":"EXAMPLE-second","token_type":"bearer","expires_in":3600,"refresh_token":"EXAMPLE-r2"}"#
                )
            }
            let response = try await service.call(
                "POST", "/v1/accounts/\(id)/access-token", key: key, json: #"{"min_ttl":600}"#)
            #expect(try response.json()["access_token"] == "EXAMPLE-second")
        }
    }

    @Test func `a dead grant is a conflict that says so`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            let id = try await service.link(user: "42")
            service.time.advance(by: .seconds(4000))
            service.world.state.withLock {
                $0.token = (400, #"{"error":"invalid_grant","error_description":"EXAMPLE-inner"}"#)
            }
            for _ in 0..<2 {
                let response = try await service.call("POST", "/v1/accounts/\(id)/access-token", key: key)
                #expect(response.status == 409)
                #expect(try response.json()["code"] == "needs_relink")
                #expect(!response.text.contains("EXAMPLE"))
            }
            #expect(service.tokenRequests.count == 2)
            #expect(try await service.call("GET", "/v1/accounts/\(id)", key: key).json()["status"] == "needs_relink")
        }
    }

    @Test func `a provider in trouble is no fault of the account`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            let id = try await service.link(user: "42")
            service.time.advance(by: .seconds(4000))
            service.world.state.withLock { $0.tokenFailure = .timedOut(host: "alpha.example") }
            let down = try await service.call("POST", "/v1/accounts/\(id)/access-token", key: key)
            #expect(down.status == 503)
            #expect(try down.json()["code"] == "provider_unavailable")
            service.world.state.withLock {
                $0.tokenFailure = nil
                $0.token = (401, #"{"error":"invalid_client"}"#)
            }
            service.time.advance(by: .seconds(4000))
            let refused = try await service.call("POST", "/v1/accounts/\(id)/access-token", key: key)
            #expect(refused.status == 503)
            #expect(try refused.json()["code"] == "provider_refused")
            #expect(try await service.call("GET", "/v1/accounts/\(id)", key: key).json()["status"] == "active")
        }
    }

    @Test func `security 44: a bound token is handed to nobody`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            let id = try await service.link(user: "42")
            let stored = try #require(try await service.database.credentials.read(id))
            var bound = stored.credential
            bound.tokenType = "DPoP"
            bound.proofKey = Secret("EXAMPLE-key")
            _ = try await service.database.credentials.beginRefresh(id, owner: "test", lease: .seconds(60))
            #expect(
                try await service.database.credentials.commitRefresh(id, owner: "test", from: stored.generation, bound))
            let response = try await service.call("POST", "/v1/accounts/\(id)/access-token", key: key)
            #expect(response.status == 409)
            #expect(try response.json()["code"] == "token_bound")
            #expect(!response.text.contains("EXAMPLE"))
        }
    }

    @Test func `no token of a paused account`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            let id = try await service.link(user: "42")
            _ = try await service.database.accounts.pause(id)
            let response = try await service.call("POST", "/v1/accounts/\(id)/access-token", key: key)
            #expect(response.status == 409)
            #expect(try response.json()["code"] == "account_paused")
        }
    }

    @Test func `an expired token that nothing can replace is handed to nobody, and the provider is asked soon`()
        async throws
    {
        try await Service.run { service in
            let key = try await service.fullKey()
            service.world.state.withLock {
                $0.token = (200, #"{"access_token":"EXAMPLE-only","token_type":"bearer","expires_in":3600}"#)
            }
            let id = try await service.link(user: "42")
            service.time.advance(by: .seconds(3601))
            let response = try await service.call("POST", "/v1/accounts/\(id)/access-token", key: key)
            #expect(response.status == 503)
            #expect(response["retry-after"] == "10")
            #expect(!response.text.contains("EXAMPLE"))
            let account = try await service.call("GET", "/v1/accounts/\(id)", key: key).json()
            #expect(account["status"] == "active")
            #expect(try await service.database.accounts.account(id)?.nextSyncAt == service.time.now())
        }
    }

    @Test(arguments: [
        #"{"min_ttl":-1}"#, #"{"min_ttl":2592001}"#, #"{"min_ttl":"60"}"#, #"{"min_ttl":1.5}"#, #"{"min_ttl":null}"#,
        #"{"min_ttl":1e3}"#, #"{"ttl":60}"#, #"{"min_ttl":99999999999999999999999}"#,
    ])
    func `wrong lifetimes are refused with a pointer`(body: String) async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            let id = try await service.link(user: "42")
            let response = try await service.call("POST", "/v1/accounts/\(id)/access-token", key: key, json: body)
            #expect(response.status == 400)
            let pointer = try response.json()["errors"]?.array?.first?["pointer"]?.string
            #expect(pointer == (body.contains("min_ttl") ? "/min_ttl" : "/ttl"))
            let most = try await service.call(
                "POST", "/v1/accounts/\(id)/access-token", key: key, json: #"{"min_ttl":2592000}"#)
            #expect(most.status == 200)
        }
    }
}
