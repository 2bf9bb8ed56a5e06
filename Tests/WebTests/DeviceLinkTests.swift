import Accounts
import JSON
import Linking
import Store
import Synchronization
import TestSupport
import Testing
import Transfer

@testable import Web

/// /v1/device-links: a console begins a link, its user allows it elsewhere and confirms.
@Suite(.timeLimit(.minutes(10))) struct DeviceLinkTests {
    static let options = Service.Options(
        manifests: [
            "alpha": Service.alpha + #"device_authorization: {endpoint: "https://alpha.example/device"}"# + "\n",
            "beta": Service.beta,
        ])
    static let order = #"{"user_id":"42","provider":"alpha"}"#

    private func poll(_ service: Service) async {
        service.time.advance(by: .seconds(5))
        for claimed in await service.devices.due() { await service.devices.poll(claimed) }
    }

    @Test func `security 78, 79: a device link shows its code once, waits, and links what is confirmed`() async throws {
        try await Service.run(Self.options) { service in
            let key = try await service.key(.linksWrite)
            let begun = try await service.call("POST", "/v1/device-links", key: key, json: Self.order)
            #expect(begun.status == 201 && begun["content-type"] == "application/json")
            let made = try begun.json()
            #expect(made["user_code"]?.string == "EXAM-PLE1" && made["status"]?.string == "pending")
            #expect(made["verification_uri"]?.string == "https://alpha.example/activate")
            #expect(made["interval"]?.number?.int64 == 5 && made["device_code"] == nil)
            let path = "/v1/device-links/\(try #require(made["id"]?.string))"

            let pending = try await service.call("GET", path, key: key)
            #expect(try pending.json()["status"]?.string == "pending")
            #expect(!pending.text.contains("EXAM-PLE1") && !pending.text.contains("EXAMPLE-device"))
            let early = try await service.call("POST", path + "/confirm", key: key)
            #expect(try early.status == 409 && early.json()["code"]?.string == "nothing_to_confirm")

            await poll(service)
            let waiting = try await service.call("GET", path, key: key).json()
            #expect(waiting["status"]?.string == "confirmation_required")
            #expect(waiting["claims"]?["preferred_username"]?.string == "octocat")
            #expect(waiting["account_id"] == nil)

            let confirmed = try await service.call("POST", path + "/confirm", key: key)
            let account = try #require(try confirmed.json()["account_id"]?.string)
            #expect(confirmed.status == 200)
            // Said again, it is the same.
            #expect(try await service.call("POST", path + "/confirm", key: key).json()["account_id"]?.string == account)
            let id = try #require(AccountID(account))
            #expect(try await service.database.accounts.account(id)?.userID.rawValue == "42")
            #expect(service.tokenRequests.count == 1)
        }
    }

    @Test func `a link that is cancelled is polled for no more`() async throws {
        try await Service.run(Self.options) { service in
            let key = try await service.key(.linksWrite)
            let id = try #require(
                try await service.call("POST", "/v1/device-links", key: key, json: Self.order).json()["id"]?.string)
            #expect(try await service.call("DELETE", "/v1/device-links/\(id)", key: key).status == 204)
            await poll(service)
            #expect(service.tokenRequests.isEmpty)
            let ended = try await service.call("GET", "/v1/device-links/\(id)", key: key).json()
            #expect(ended["status"]?.string == "failed" && ended["error"]?.string == "cancelled")
            #expect(try await service.call("DELETE", "/v1/device-links/\(id)", key: key).status == 204)
        }
    }

    @Test func `an order that can't be met names what is wrong`() async throws {
        try await Service.run(Self.options) { service in
            let key = try await service.key(.linksWrite)
            func pointers(_ json: String) async throws -> [String] {
                let response = try await service.call("POST", "/v1/device-links", key: key, json: json)
                #expect(response.status == 400, "\(json)")
                return try response.json()["errors"]?.array?.compactMap { $0["pointer"]?.string }.sorted() ?? []
            }
            #expect(try await pointers("{}") == ["/provider", "/user_id"])
            #expect(try await pointers(#"{"user_id":"42","provider":"beta"}"#) == ["/provider"])
            #expect(
                try await pointers(#"{"user_id":7,"provider":"nobody","confirm":1}"#) == [
                    "/confirm", "/provider", "/user_id",
                ])
            #expect(
                try await pointers(#"{"user_id":"42","provider":"alpha","return_to":"https://app.example.com"}"#)
                    == ["/return_to"])
        }
    }

    @Test func `device links ask for the scope that links do, and unknown ones are not found`() async throws {
        try await Service.run(Self.options) { service in
            let reader = try await service.key(.accountsRead)
            let key = try await service.key(.linksWrite)
            let unknown = "/v1/device-links/dvl_01jdzzzzzzzzzzzzzzzzzzzzzz"
            for (method, path) in [
                ("POST", "/v1/device-links"), ("GET", unknown), ("DELETE", unknown), ("POST", unknown + "/confirm"),
            ] {
                #expect(try await service.call(method, path, key: reader).status == 403)
                #expect(try await service.call(method, path, key: nil).status == 401)
            }
            for (method, path) in [
                ("GET", unknown), ("DELETE", unknown), ("POST", unknown + "/confirm"), ("GET", "/v1/device-links/x"),
            ] {
                let response = try await service.call(method, path, key: key)
                #expect(try response.status == 404 && response.json()["code"]?.string == "device_link_not_found")
            }
        }
    }

    @Test func `a repeated request gets the first one's code`() async throws {
        try await Service.run(Self.options) { service in
            let key = try await service.key(.linksWrite)
            let fields = [("Idempotency-Key", "one")]
            let first = try await service.call("POST", "/v1/device-links", key: key, fields, json: Self.order)
            let second = try await service.call("POST", "/v1/device-links", key: key, fields, json: Self.order)
            #expect(first.status == 201 && first.body == second.body)
            #expect(service.transport.requests.count { $0.url.hasSuffix("/device") } == 1)
        }
    }

    @Test func `a provider that gives no code is told of, and so is an account of another user`() async throws {
        try await Service.run(Self.options) { service in
            let key = try await service.key(.linksWrite)
            _ = try await service.link(user: "43")
            let id = try #require(
                try await service.call("POST", "/v1/device-links", key: key, json: Self.order).json()["id"]?.string)
            await poll(service)
            let held = try await service.call("POST", "/v1/device-links/\(id)/confirm", key: key)
            #expect(try held.status == 409 && held.json()["code"]?.string == "account_held")
            service.world.state.withLock { $0.device = (400, #"{"error":"unauthorized_client"}"#) }
            let refused = try await service.call("POST", "/v1/device-links", key: key, json: Self.order)
            #expect(try refused.status == 502 && refused.json()["code"]?.string == "provider_refused")
            service.world.state.withLock { $0.device = (503, "{}") }
            let down = try await service.call("POST", "/v1/device-links", key: key, json: Self.order)
            #expect(try down.status == 503 && down.json()["code"]?.string == "provider_unavailable")
        }
    }
}
