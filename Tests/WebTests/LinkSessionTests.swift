import Accounts
import Foundation
import JSON
import Store
import TestSupport
import Testing

@testable import Web

@Suite(.timeLimit(.minutes(10))) struct LinkSessionTests {
    @Test func `a session has an address for the browser and ten minutes`() async throws {
        try await Service.run { service in
            let key = try await service.key(.linksWrite)
            let body =
                #"{"user_id":"42","user_label":"alice@example.com","provider":"alpha","scopes":["extra"],"return_to":"https://app.example.com/done?x=1#y","confirm":true}"#
            let response = try await service.call("POST", "/v1/link-sessions", key: key, json: body)
            #expect(response.status == 201)
            let session = try #require(try response.json().object)
            #expect(session.names == ["id", "url", "user_id", "provider", "expires_at"])
            #expect(session["id"]?.string?.hasPrefix("lks_") == true)
            #expect(
                session["url"]?.string?.wholeMatch(of: /https:\/\/accounts\.example\.com\/link\/[A-Za-z0-9_-]{43}/)
                    != nil)
            #expect(session["user_id"] == "42")
            #expect(session["provider"] == "alpha")
            #expect(session["expires_at"]?.string == (service.time.now() + .seconds(600)).rfc3339)
            let least = try await service.call("POST", "/v1/link-sessions", key: key, json: #"{"user_id":"42"}"#)
            #expect(try least.json()["provider"] == .null)
        }
    }

    @Test func `security 17: the address does not follow the request's host`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            let response = try await service.call(
                "POST", "/v1/link-sessions", key: key,
                [("Host", "evil.example"), ("X-Forwarded-Host", "evil.example")],
                json: #"{"user_id":"42","provider":"alpha","confirm":false}"#)
            let url = try #require(try response.json()["url"]?.string)
            #expect(url.hasPrefix("https://accounts.example.com/link/"))
            let path = String(url.dropFirst("https://accounts.example.com".count))
            let redirect = try await Browser(service: service).get(
                path, [("Host", "evil.example"), ("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Proto", "http")])
            #expect(redirect.queryOfLocation["redirect_uri"] == "https://accounts.example.com/callback/alpha")
        }
    }

    static let faults: [(String, [String])] = [
        (#"{}"#, ["/user_id"]), (#"{"user_id":""}"#, ["/user_id"]), (#"{"user_id":42}"#, ["/user_id"]),
        (#"{"user_id":null}"#, ["/user_id"]), (#"{"user_id":"a\u0000b"}"#, ["/user_id"]),
        (#"{"user_id":"\#(String(repeating: "x", count: 256))"}"#, ["/user_id"]),
        (#"{"user_id":"1","provider":"nobody"}"#, ["/provider"]),
        (#"{"user_id":"1","provider":"github"}"#, ["/provider"]),
        (#"{"user_id":"1","provider":7}"#, ["/provider"]), (#"{"user_id":"1","confirm":"yes"}"#, ["/confirm"]),
        (#"{"user_id":"1","user_label":""}"#, ["/user_label"]), (#"{"user_id":"1","scopes":["a"]}"#, ["/scopes"]),
        (#"{"user_id":"1","provider":"alpha","scopes":"a"}"#, ["/scopes"]),
        (#"{"user_id":"1","provider":"alpha","scopes":["a b"]}"#, ["/scopes/0"]),
        (#"{"user_id":"1","user":"2"}"#, ["/user"]), (#"{"user_id":"1","a/b~c":"2"}"#, ["/a~1b~0c"]),
        (#"{"user_id":"","provider":"nobody","return_to":"javascript:x"}"#, ["/user_id", "/provider", "/return_to"]),
        (
            #"{"user_id":7,"provider":"nobody","scopes":[1],"return_to":"//evil.example","confirm":1,"extra":1}"#,
            ["/user_id", "/scopes", "/confirm", "/provider", "/return_to", "/extra"]
        ),
    ]

    @Test(arguments: faults)
    func `every wrong field is named`(body: String, pointers: [String]) async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            let response = try await service.call("POST", "/v1/link-sessions", key: key, json: body)
            #expect(response.status == 400)
            let problem = try response.json()
            #expect(problem["code"] == "invalid_request")
            #expect(problem["errors"]?.array?.compactMap { $0["pointer"]?.string } == pointers)
            #expect(problem["errors"]?.array?.allSatisfy { $0["detail"]?.string?.isEmpty == false } == true)
        }
    }

    @Test(arguments: [
        "//evil.example", "https:evil.example", #"/\evil.example"#, "/%5cevil", "javascript:alert(1)",
        "https://app.example.com@evil.example", "https://app.example.com.evil.example", "https://evil.example",
        "http://app.example.com", "https://app.example.com:8443/", "https://app.example.com\\@evil.example", "/done",
        "https://user@app.example.com/", "https://app.example.com/\r\nSet-Cookie: x", "data:text/html,x", "",
    ])
    func `a way back that is not on the list is refused`(address: String) async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            let body = JSONValue.object(["user_id": "1", "return_to": .string(address)]).text
            let response = try await service.call("POST", "/v1/link-sessions", key: key, json: body)
            #expect(response.status == 400)
            #expect(try response.json()["errors"]?.array?.first?["pointer"] == "/return_to")
        }
    }

    @Test func `a repeated request gets the same session, another one under the same key is refused`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            let field = [("Idempotency-Key", "order-1")]
            let body = #"{"user_id":"42","provider":"alpha"}"#
            let first = try await service.call("POST", "/v1/link-sessions", key: key, field, json: body)
            let again = try await service.call("POST", "/v1/link-sessions", key: key, field, json: body)
            #expect(first.status == 201 && again.status == 201)
            #expect(first.body == again.body)
            #expect(first["x-request-id"] != again["x-request-id"])
            let other = try await service.call(
                "POST", "/v1/link-sessions", key: key, field, json: #"{"user_id":"43","provider":"alpha"}"#)
            #expect(other.status == 422)
            #expect(try other.json()["code"] == "idempotency_key_reused")
            let another = try await service.fullKey()
            let stranger = try await service.call("POST", "/v1/link-sessions", key: another, field, json: body)
            #expect(stranger.status == 201)
            #expect(stranger.body != first.body)
            let path = String(try #require(try first.json()["url"]?.string).dropFirst(Service.publicURL.count))
            #expect(try await Browser(service: service).get(path).status == 200)
        }
    }

    @Test func `a refused request does not use its key up`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            let field = [("Idempotency-Key", "order-1")]
            let wrong = try await service.call(
                "POST", "/v1/link-sessions", key: key, field, json: #"{"user_id":"42","provider":"nobody"}"#)
            #expect(wrong.status == 400)
            let right = try await service.call("POST", "/v1/link-sessions", key: key, field, json: #"{"user_id":"42"}"#)
            #expect(right.status == 201)
        }
    }

    @Test func `keys that are no keys are refused`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            for value in ["", String(repeating: "k", count: 256), "schlüssel"] {
                let response = try await service.call(
                    "POST", "/v1/link-sessions", key: key, [("Idempotency-Key", value)], json: #"{"user_id":"42"}"#)
                #expect(response.status == 400, "\(value)")
                #expect(try response.json()["errors"]?.array?.first?["pointer"] == "/Idempotency-Key")
            }
            let twice = try await service.call(
                "POST", "/v1/link-sessions", key: key, [("Idempotency-Key", "a"), ("Idempotency-Key", "b")],
                json: #"{"user_id":"42"}"#)
            #expect(twice.status == 400)
        }
    }
}
