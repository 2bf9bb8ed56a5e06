import Accounts
import Foundation
import JSON
import Store
import Synchronization
import TestSupport
import Testing
import Transfer

@testable import Web

@Suite(.timeLimit(.minutes(10))) struct ProfileTests {
    @Test func `security 107: a profile is served as stored, with its validators`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            let id = try await service.link(user: "42")
            let response = try await service.call("GET", "/v1/accounts/\(id)/profile", key: key)
            #expect(response.status == 200)
            #expect(response["content-type"] == "application/json")
            #expect(response["cache-control"] == "private, no-cache")
            #expect(response["vary"] == "Authorization")
            #expect(response["last-modified"] == Preconditions.text(service.time.now()))
            let etag = try #require(response["etag"])
            #expect(etag.hasPrefix("\"") && etag.hasSuffix("\"") && etag.count > 2)
            #expect(response.body == (try service.database.profiles.document(account: id))?.bytes)
            let document = try response.json()
            #expect(document["account_id"]?.string == id.rawValue)
            #expect(document["claims"]?["sub"] == "583231")
            #expect(document["claims"]?["name"] == "The Octocat")
            #expect(document["raw"]?["user"]?["id"]?.number?.text == "583231")
            #expect(document["version"]?.number?.int64 == 1)
            let same = try await service.call("GET", "/v1/profiles/alpha/583231", key: key)
            #expect(same.body == response.body)
            #expect(same["etag"] == etag)
            let head = try await service.call("HEAD", "/v1/accounts/\(id)/profile", key: key)
            #expect(head.status == 200)
            #expect(head.body.isEmpty)
            #expect(head["etag"] == etag)
            #expect(head["content-length"] == String(response.body.count))
            // Whoever may not read it learns nothing from a validator either, right or wrong.
            let others = try await service.key(.linksWrite)
            for (key, status) in [(nil, 401), (others, 403)] as [(String?, Int)] {
                for validator in [etag, "\"x\"", "*"] {
                    for path in ["/v1/accounts/\(id)/profile", "/v1/profiles/alpha/583231"] {
                        let refused = try await service.call("GET", path, key: key, [("If-None-Match", validator)])
                        #expect(refused.status == status && refused["etag"] == nil)
                    }
                }
            }
        }
    }

    @Test func `what the client has is not sent again`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            let id = try await service.link(user: "42")
            let path = "/v1/accounts/\(id)/profile"
            let first = try await service.call("GET", path, key: key)
            let etag = try #require(first["etag"])
            for value in [etag, "W/\(etag)", "\"x\", \(etag)", "*"] {
                let again = try await service.call("GET", path, key: key, [("If-None-Match", value)])
                #expect(again.status == 304, "\(value)")
                #expect(again.body.isEmpty)
                #expect(again["etag"] == etag)
                #expect(again["cache-control"] == "private, no-cache")
                #expect(again["vary"] == "Authorization")
            }
            let other = try await service.call("GET", path, key: key, [("If-None-Match", "\"x\"")])
            #expect(other.status == 200)
            let modified = try #require(first["last-modified"])
            #expect(try await service.call("GET", path, key: key, [("If-Modified-Since", modified)]).status == 304)
            // Another key's holder needs the scope all the same.
            let stranger = try await service.key(.linksWrite)
            let refused = try await service.call("GET", path, key: stranger, [("If-None-Match", etag)])
            #expect(refused.status == 403)
            #expect(refused["etag"] == nil)
        }
    }

    @Test func `a young enough copy is served without a sync`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            let id = try await service.link(user: "42")
            service.time.advance(by: .seconds(60))
            let response = try await service.call("GET", "/v1/accounts/\(id)/profile?max_age=60", key: key)
            #expect(response.status == 200)
            #expect(service.world.state.withLock { $0.syncs.isEmpty })
        }
    }

    @Test func `an older copy is synced first`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            let id = try await service.link(user: "42")
            service.time.advance(by: .seconds(61))
            let response = try await service.call("GET", "/v1/accounts/\(id)/profile?max_age=60", key: key)
            #expect(response.status == 200)
            let syncs = service.world.state.withLock { $0.syncs }
            #expect(syncs.map(\.0) == [id])
            #expect(syncs.map(\.1) == [.seconds(30)])
            #expect(response["preference-applied"] == nil)
            let waiting = try await service.call(
                "GET", "/v1/profiles/alpha/583231?max_age=0", key: key, [("Prefer", "wait=5")])
            #expect(waiting["preference-applied"] == "wait=5")
            #expect(service.world.state.withLock { $0.syncs.last?.1 } == .seconds(5))
        }
    }

    @Test func `where there is no younger copy the answer is why, never the older one`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            let id = try await service.link(user: "42")
            service.time.advance(by: .seconds(61))
            for (code, status, expected) in [
                (AccountProblem.Code.consentRevoked, 409, "needs_relink"), (.refreshExpired, 409, "needs_relink"),
                (.rotationLost, 409, "needs_relink"), (.scopeLost, 409, "needs_relink"),
                (.userSuspended, 409, "account_suspended"), (.providerUnavailable, 503, "provider_unavailable"),
                (.rateLimited, 503, "provider_unavailable"), (.clientRefused, 503, "provider_refused"),
                (.unexpectedResponse, 503, "provider_refused"), (.credentialDamaged, 503, "credential_damaged"),
                (.providerNotConfigured, 503, "provider_not_configured"),
            ] {
                let now = service.time.now()
                service.world.state.withLock {
                    $0.sync = .failed(
                        AccountProblem(code: code, since: now, detail: "Because.", nextAttemptAt: now + .seconds(90)))
                }
                for (method, target) in [("GET", "profile?max_age=60"), ("POST", "sync")] {
                    let response = try await service.call(
                        method, "/v1/accounts/\(id)/\(target)", key: key, [("Prefer", "wait=5")])
                    #expect(response.status == status, "\(code) \(target)")
                    #expect(try response.json()["code"]?.string == expected)
                    #expect(try response.json()["detail"] == "Because.")
                    if status == 503, !["credential_damaged", "provider_not_configured"].contains(expected) {
                        #expect(response["retry-after"] == "91")
                    }
                }
            }
            service.world.state.withLock { $0.sync = .pending }
            let pending = try await service.call("GET", "/v1/accounts/\(id)/profile?max_age=60", key: key)
            #expect(pending.status == 503)
            #expect(try pending.json()["code"] == "sync_pending")
            #expect(pending["retry-after"] == "2")
            service.world.state.withLock { $0.sync = .paused }
            for (method, target) in [("GET", "profile?max_age=60"), ("POST", "sync")] {
                let paused = try await service.call(method, "/v1/accounts/\(id)/\(target)", key: key)
                #expect(paused.status == 409)
                #expect(try paused.json()["code"] == "account_paused")
            }
            service.world.state.withLock { $0.sync = .noSuchAccount }
            #expect(try await service.call("GET", "/v1/accounts/\(id)/profile?max_age=60", key: key).status == 404)
            #expect(try await service.call("GET", "/v1/accounts/\(id)/profile", key: key).status == 200)
        }
    }

    @Test func `fresh=auto serves the copy that there is, whatever came of weighing it, and says what is believed`()
        async throws
    {
        try await Service.run { service in
            let key = try await service.fullKey()
            let id = try await service.link(user: "42")
            for (chance, text) in [(0.0714, "0.071"), (1, "1.000"), (0.9999, "1.000"), (0, "0.000"), (nil, nil)] {
                service.world.state.withLock { $0.current = chance }
                for target in ["/v1/accounts/\(id)/profile", "/v1/profiles/alpha/583231"] {
                    let response = try await service.call("GET", target + "?fresh=auto", key: key)
                    #expect(response.status == 200)
                    #expect(response["profile-current"] == text)
                }
            }
            let weighed = service.world.state.withLock { $0.weighed }
            #expect(weighed.count == 10 && weighed.allSatisfy { $0 == (id, .milliseconds(800)) })
            #expect(service.world.state.withLock { $0.syncs.isEmpty })
            let plain = try await service.call("GET", "/v1/accounts/\(id)/profile", key: key)
            #expect(plain["profile-current"] == nil)
            #expect(service.world.state.withLock { $0.weighed.count } == 10)
        }
    }

    @Test(arguments: [
        "fresh=1", "fresh=", "fresh=auto&max_age=5", "fresh=auto&fresh=auto",
        "max_age=-1", "max_age=x", "max_age=", "max_age=1&max_age=1", "max_age=99999999999999999999", "age=1",
    ])
    func `wrong ages are refused`(query: String) async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            let id = try await service.link(user: "42")
            let response = try await service.call("GET", "/v1/accounts/\(id)/profile?\(query)", key: key)
            #expect(response.status == 400)
            #expect(try response.json()["code"] == "invalid_request")
        }
    }

    @Test(arguments: [
        "/v1/profiles/nobody/1", "/v1/profiles/alpha/nobody", "/v1/profiles/ALPHA/583231", "/v1/profiles/alpha/%00",
    ])
    func `subjects of nothing are not found`(target: String) async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            let response = try await service.call("GET", target, key: key)
            #expect(response.status == 404)
            #expect(try response.json()["code"] == "profile_not_found")
        }
    }

    @Test func `sync answers at once, or with the fresh profile where the client waits`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            let id = try await service.link(user: "42")
            service.world.state.withLock { $0.sync = .pending }
            let accepted = try await service.call("POST", "/v1/accounts/\(id)/sync", key: key)
            #expect(accepted.status == 202)
            #expect(try accepted.json()["id"]?.string == id.rawValue)
            #expect(accepted["preference-applied"] == nil)
            #expect(service.world.state.withLock { $0.syncs.last.map { $0.1 == nil } } == true)
            service.world.state.withLock { $0.sync = .synced }
            let fresh = try await service.call("POST", "/v1/accounts/\(id)/sync", key: key, [("Prefer", "wait=10")])
            #expect(fresh.status == 200)
            #expect(fresh["preference-applied"] == "wait=10")
            #expect(fresh["etag"] != nil)
            #expect(try fresh.json()["claims"]?["sub"] == "583231")
            let bounded = try await service.call("POST", "/v1/accounts/\(id)/sync", key: key, [("Prefer", "wait=9999")])
            #expect(bounded["preference-applied"] == "wait=60")
            service.world.state.withLock { $0.sync = .pending }
            let late = try await service.call("POST", "/v1/accounts/\(id)/sync", key: key, [("Prefer", "wait=1")])
            #expect(late.status == 202)
        }
    }

    @Test func `a repeated sync gets the first answer`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            let id = try await service.link(user: "42")
            let fields = [("Idempotency-Key", "one"), ("Prefer", "wait=10")]
            let first = try await service.call("POST", "/v1/accounts/\(id)/sync", key: key, fields)
            let second = try await service.call("POST", "/v1/accounts/\(id)/sync", key: key, fields)
            #expect(first.status == 200 && second.status == 200)
            #expect(first.body == second.body)
            for name in ["etag", "preference-applied", "cache-control"] {
                #expect(first[name] != nil && first[name] == second[name])
            }
            #expect(service.world.state.withLock { $0.syncs.count } == 1)
            let other = try await service.call(
                "POST", "/v1/accounts/\(id)/sync", key: key, [("Idempotency-Key", "one"), ("Prefer", "wait=11")])
            #expect(other.status == 422)
            // What was erased is not kept for those who ask twice.
            #expect(try await service.call("DELETE", "/v1/accounts/\(id)", key: key).status == 204)
            let gone = try await service.call("POST", "/v1/accounts/\(id)/sync", key: key, fields)
            #expect(gone.status == 404)
        }
    }
}
