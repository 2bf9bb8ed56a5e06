import Accounts
import Foundation
import HTTPTypes
import JSON
import Store
import Synchronization
import TestSupport
import Testing

@testable import Web

@Suite(.timeLimit(.minutes(10))) struct AuthenticationTests {
    static let account = "acc_00000000000000000000000000"
    static let deviceLink = "dvl_00000000000000000000000000"
    /// Every call that needs a key, and the one scope that lets it pass.
    static let calls: [(method: String, target: String, scope: APIKeyScope)] = [
        ("POST", "/v1/link-sessions", .linksWrite), ("GET", "/v1/users/42/accounts", .accountsRead),
        ("GET", "/v1/accounts", .accountsRead), ("GET", "/v1/accounts/\(account)", .accountsRead),
        ("HEAD", "/v1/accounts/\(account)", .accountsRead), ("DELETE", "/v1/accounts/\(account)", .accountsWrite),
        ("GET", "/v1/accounts/\(account)/profile", .accountsRead), ("GET", "/v1/profiles/alpha/1", .accountsRead),
        ("POST", "/v1/accounts/\(account)/sync", .accountsWrite),
        ("POST", "/v1/accounts/\(account)/access-token", .tokensRead), ("GET", "/v1/providers", .accountsRead),
        ("GET", "/v1/sync", .admin), ("POST", "/v1/device-links", .linksWrite),
        ("GET", "/v1/device-links/\(deviceLink)", .linksWrite),
        ("DELETE", "/v1/device-links/\(deviceLink)", .linksWrite),
        ("POST", "/v1/device-links/\(deviceLink)/confirm", .linksWrite),
    ]

    @Test func `security 104: each call asks for its own scope and no other one will do`() async throws {
        try await Service.run { service in
            for scope in APIKeyScope.allCases {
                let key = try await service.key(scope)
                for call in Self.calls {
                    let response = try await service.call(call.method, call.target, key: key)
                    if scope == call.scope {
                        #expect(![401, 403].contains(response.status), "\(call) with \(scope.rawValue)")
                    } else {
                        #expect(response.status == 403, "\(call) with \(scope.rawValue)")
                        #expect(
                            response["www-authenticate"]
                                == #"Bearer realm="rollcall", error="insufficient_scope", scope="\#(call.scope.rawValue)""#
                        )
                        if call.method != "HEAD" {
                            #expect(try response.json()["code"]?.string == "insufficient_scope")
                        }
                    }
                }
            }
        }
    }

    /// The path as it is served, its parameters by their names.
    private static func route(of target: String) -> String {
        target.replacing(account, with: "{id}").replacing(deviceLink, with: "{id}").replacing(
            "/users/42", with: "/users/{user_id}"
        )
        .replacing("/profiles/alpha/1", with: "/profiles/{provider}/{subject}")
    }

    @Test func `every call that is served under v1 is in the table above`() async throws {
        try await Service.run { service in
            let served = service.server.routes().list.entries.filter { $0.path.hasPrefix("/v1/") }
            let routes = served.flatMap { entry in entry.methods.map { "\($0.rawValue) \(entry.path)" } }
            let called = Self.calls.map { "\($0.method) \(Self.route(of: $0.target))" }
            // HEAD comes with every GET; one of them stands for all.
            #expect(Set(routes.filter { !$0.hasPrefix("HEAD ") }) == Set(called.filter { !$0.hasPrefix("HEAD ") }))
            #expect(Set(called).count == Self.calls.count)
        }
    }

    @Test func `security 94: without a key, and with a wrong one, nothing is answered`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            for call in Self.calls where call.method != "HEAD" {
                let missing = try await service.call(call.method, call.target, key: nil)
                #expect(missing.status == 401)
                #expect(missing["www-authenticate"] == #"Bearer realm="rollcall""#)
                #expect(try missing.json()["code"]?.string == "missing_api_key")
            }
            // No credential of ours: the challenge says what is expected, and names no error (RFC 6750 §3.1).
            for field in ["Bearer", "Basic \(key)", key, "Bearerx\(key)", "Token \(key)"] {
                let other = try await service.client.send("GET", "/v1/accounts", [("Authorization", field)])
                #expect(other.status == 401, "\(field)")
                #expect(other["www-authenticate"] == #"Bearer realm="rollcall""#)
                #expect(try other.json()["code"]?.string == "missing_api_key")
                #expect(!other.text.contains("rck_"))
            }
            for field in [
                "Bearer rck_EXAMPLE", "Bearer \(key)x", "Bearer \(key.dropLast())", "Bearer \(key), Bearer \(key)",
                "Bearer \(key.uppercased())",
            ] {
                let wrong = try await service.client.send("GET", "/v1/accounts", [("Authorization", field)])
                #expect(wrong.status == 401, "\(field)")
                #expect(wrong["www-authenticate"] == #"Bearer realm="rollcall", error="invalid_token""#)
                #expect(try wrong.json()["code"]?.string == "invalid_api_key")
                #expect(!wrong.text.contains("rck_"))
            }
            for scheme in ["Bearer", "bearer", "BEARER"] {
                let right = try await service.client.send(
                    "GET", "/v1/accounts", [("Authorization", "\(scheme) \(key)")])
                #expect(right.status == 200, "\(scheme)")
            }
        }
    }

    @Test func `security 93: a revoked key is no key`() async throws {
        try await Service.run { service in
            let (key, secret) = try await service.database.apiKeys.create(name: "x", scopes: [.accountsRead])
            let text = secret.reveal { $0 }
            #expect(try await service.call("GET", "/v1/accounts", key: text).status == 200)
            _ = try await service.database.apiKeys.revoke(key.id)
            #expect(try await service.call("GET", "/v1/accounts", key: text).status == 401)
        }
    }

    @Test func `security 93: a key in an address is refused even where it is right, and never repeated`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            for query in [
                "access_token=\(key)", "api_key=x", "apikey=x", "key=x", "token=x", "Authorization=x", "limit=\(key)",
                "x=%72ck_\(key.dropFirst(4))",
            ] {
                let response = try await service.call("GET", "/v1/accounts?\(query)", key: key)
                #expect(response.status == 400, "\(query)")
                #expect(try response.json()["code"]?.string == "credentials_in_query", "\(query)")
                #expect(!response.text.contains(key))
            }
            let without = try await service.call("GET", "/v1/accounts?access_token=\(key)", key: nil)
            #expect(try without.json()["code"]?.string == "credentials_in_query")
            #expect(!service.log.everything.contains(key))
        }
    }

    @Test func `security 106: an address that guesses keys is slowed down, one with a right key is not`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            var statuses: [Int] = []
            for index in 0..<70 {
                statuses.append(try await service.call("GET", "/v1/accounts", key: "rck_EXAMPLE\(index)").status)
            }
            #expect(statuses.prefix(60).allSatisfy { $0 == 401 })
            #expect(statuses.suffix(10).allSatisfy { $0 == 429 })
            let limited = try await service.call("GET", "/v1/accounts", key: "rck_EXAMPLE")
            #expect(limited["retry-after"].flatMap { Int($0) } ?? 0 >= 1)
            #expect(try limited.json()["code"]?.string == "rate_limited")
            #expect(try await service.call("GET", "/v1/accounts", key: key).status == 200)
            service.time.advance(by: .seconds(120))
            #expect(try await service.call("GET", "/v1/accounts", key: "rck_EXAMPLE").status == 401)
        }
    }

    @Test func `security 103: no call is open to other origins`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            for call in Self.calls {
                let response = try await service.call(
                    call.method, call.target, key: key, [("Origin", "https://evil.example")])
                #expect(response.fields.allSatisfy { !$0.name.lowercased().hasPrefix("access-control-") })
            }
        }
    }
}
