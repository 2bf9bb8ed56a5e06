import Accounts
import Foundation
import HTTPTypes
import JSON
import Store
import TestSupport
import Testing

@testable import Web

@Suite(.timeLimit(.minutes(10))) struct ConventionTests {
    @Test func `answers health, readiness and its own description without a key`() async throws {
        try await Service.run { service in
            let health = try await service.client.send("GET", "/healthz")
            #expect(health.status == 200)
            #expect(health.text == #"{"status":"ok"}"#)
            let ready = try await service.client.send("GET", "/readyz")
            #expect(ready.status == 200)
            let document = try await service.client.send("GET", "/openapi.json")
            #expect(document.status == 200)
            #expect(try document.json()["openapi"]?.string == "3.1.0")
            service.database.close()
            // Anybody may ask, so the database is looked at once a second.
            #expect(try await service.client.send("GET", "/readyz").status == 200)
            service.time.advance(by: .seconds(1))
            let closed = try await service.client.send("GET", "/readyz")
            #expect(closed.status == 503)
            #expect(try closed.json()["code"]?.string == "storage_unavailable")
            #expect(try await service.client.send("GET", "/healthz").status == 200)
        }
    }

    @Test func `every answer carries a request id, the caller's own where it is harmless`() async throws {
        try await Service.run { service in
            for (method, target) in [
                ("GET", "/healthz"), ("GET", "/nowhere"), ("DELETE", "/healthz"), ("GET", "/v1/accounts"),
                ("GET", "/link/unknown"), ("HEAD", "/healthz"), ("GET", "/assets/style.css"),
            ] {
                let own = try await service.client.send(method, target)
                #expect(own["x-request-id"]?.hasPrefix("req_") == true, "\(method) \(target)")
                let given = try await service.client.send(method, target, [("X-Request-Id", "abc-1._X")])
                #expect(given["x-request-id"] == "abc-1._X", "\(method) \(target)")
                let hostile = try await service.client.send(method, target, [("X-Request-Id", "a<b>\u{1b}[0m")])
                #expect(hostile["x-request-id"]?.hasPrefix("req_") == true, "\(method) \(target)")
                #expect(own["x-content-type-options"] == "nosniff")
            }
        }
    }

    @Test func `errors are problem documents with every member`() async throws {
        try await Service.run { service in
            let response = try await service.call("GET", "/v1/accounts", key: nil)
            #expect(response.status == 401)
            #expect(response["content-type"] == "application/problem+json")
            let problem = try response.json()
            #expect(problem["type"]?.string == "urn:rollcall:problem:missing_api_key")
            #expect(problem["status"]?.number?.int64 == 401)
            #expect(problem["title"]?.string?.isEmpty == false)
            #expect(problem["detail"]?.string?.isEmpty == false)
            #expect(problem["code"]?.string == "missing_api_key")
            #expect(problem["request_id"]?.string == response["x-request-id"])
            #expect(problem["instance"]?.string?.hasSuffix(try #require(response["x-request-id"])) == true)
        }
    }

    @Test(arguments: [
        "/v1", "/v1/", "/v1/nothing", "/v1/accounts/", "//healthz", "/healthz/", "/v1//accounts", "/favicon.ico",
        "/.env",
        "/metrics/x", "*", "/v1/accounts/acc_1/nothing",
    ])
    func `nothing is served at unknown addresses`(target: String) async throws {
        try await Service.run { service in
            let response = try await service.client.send("GET", target)
            #expect(response.status == 404)
            #expect(try response.json()["code"]?.string == "route_not_found")
        }
    }

    @Test func `a browser that asks for an unknown address gets a page`() async throws {
        try await Service.run { service in
            let response = try await service.client.send("GET", "/nowhere", [("Accept", "text/html,*/*;q=0.8")])
            #expect(response.status == 404)
            #expect(response["content-type"] == "text/html; charset=utf-8")
        }
    }

    @Test(arguments: [
        ("POST", "/healthz", "GET, HEAD"), ("GET", "/v1/link-sessions", "POST"),
        ("PUT", "/v1/accounts/acc_00000000000000000000000000", "DELETE, GET, HEAD"),
        ("OPTIONS", "/v1/accounts", "GET, HEAD"), ("HEAD", "/callback/alpha", "GET, POST"),
        ("POST", "/callback/alpha", "GET"), ("DELETE", "/link/x", "GET, HEAD, POST"),
        ("GET", "/v1/accounts/x/sync", "POST"), ("PROPFIND", "/v1/accounts", "GET, HEAD"),
    ])
    func `a wrong method says which are right`(method: String, target: String, allow: String) async throws {
        try await Service.run { service in
            let response = try await service.client.send(method, target)
            #expect(response.status == 405)
            #expect(response["allow"] == allow)
        }
    }

    @Test func `security 103, 108: bodies have a limit, a type and a syntax`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            let path = "/v1/link-sessions"
            let large = String(repeating: "x", count: 1 << 20)
            let tooLarge = try await service.call("POST", path, key: key, json: #"{"user_id":"\#(large)"}"#)
            #expect(tooLarge.status == 413)
            #expect(try tooLarge.json()["code"]?.string == "content_too_large")
            #expect(tooLarge["connection"] == "close")
            let authorization = ("Authorization", "Bearer \(key)")
            for type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""] {
                let fields = type.isEmpty ? [authorization] : [authorization, ("Content-Type", type)]
                let response = try await service.client.send(
                    "POST", path, fields, body: Array(#"{"user_id":"1"}"#.utf8))
                #expect(response.status == 415, "\(type)")
                #expect(try response.json()["code"]?.string == "unsupported_media_type")
            }
            for body in ["", "{", "nonsense", #"{"user_id":"1","user_id":"2"}"#, "{} {}", #"{"user_id":"\ud800"}"#] {
                let response = try await service.call("POST", path, key: key, json: body)
                #expect(response.status == 400, "\(body)")
                #expect(try response.json()["code"]?.string == "malformed_json", "\(body)")
            }
            for body in ["[]", "null", "3", #""x""#] {
                let response = try await service.call("POST", path, key: key, json: body)
                #expect(response.status == 400)
                #expect(try response.json()["code"]?.string == "invalid_request")
            }
            let charset = try await service.client.send(
                "POST", path, [authorization, ("Content-Type", "application/json; charset=utf-8")],
                body: Array(#"{"user_id":"1"}"#.utf8))
            #expect(charset.status == 201)
        }
    }

    @Test func `security 108: a chunked body is cut off at the limit as well`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            let chunk = Array("10000\r\n".utf8) + [UInt8](repeating: 0x20, count: 65_536) + Array("\r\n".utf8)
            var bytes = Array(
                "POST /v1/link-sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(key)\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
                    .utf8)
            for _ in 0..<20 { bytes += chunk }
            bytes += Array("0\r\n\r\n".utf8)
            let responses = try await service.client.exchange([bytes], methods: ["POST"])
            #expect(responses.first?.status == 413)
        }
    }

    @Test func `a body whose chunks are no chunks is told as a problem, and the connection ends`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            let bytes = Array(
                "POST /v1/link-sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(key)\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
                    .utf8)
            let response = try #require(try await service.client.exchange([bytes], methods: ["POST"]).first)
            #expect(response.status == 400)
            #expect(try response.json()["code"] == "malformed_request")
            #expect(response["connection"] == "close")
            #expect(response["x-request-id"]?.hasPrefix("req_") == true)
        }
    }

    @Test func `security 108: heads have limits`() async throws {
        try await Service.run { service in
            let long = String(repeating: "a", count: 40_000)
            let field = try await service.client.send("GET", "/healthz", [("X-Long", long)])
            #expect(field.status == 431)
            #expect(try field.json()["code"]?.string == "header_fields_too_large")
            #expect(field["x-request-id"]?.hasPrefix("req_") == true)
            let many = try await service.client.send("GET", "/healthz", (0..<200).map { ("X-\($0)", "1") })
            #expect(many.status == 431)
            let target = try await service.client.send("GET", "/healthz?" + String(repeating: "a", count: 20_000))
            #expect(target.status == 414)
            let longer = try await service.client.send("GET", "/healthz?" + long)
            #expect(longer.status == 431)
        }
    }

    @Test(arguments: [
        "nonsense\r\n\r\n", "GET / HTTP/9.9\r\n\r\n",
        "POST /v1/link-sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /v1/link-sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
        "POST /v1/link-sessions HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /v1/link-sessions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost : x\r\n\r\n", "GET /healthz HTTP/1.1\r\nHost: x\r\nX: a\u{0}b\r\n\r\n",
    ])
    func `security 108: refuses what is no request, or two at once`(text: String) async throws {
        try await Service.run { service in
            let responses = try await service.client.exchange([Array(text.utf8)])
            #expect(responses.count == 1)
            #expect(responses.first?.status == 400)
            #expect(responses.first?["connection"] == "close")
            #expect(responses.first?["x-request-id"] != nil)
        }
    }

    @Test func `security 108: slow heads and slow bodies are not waited for`() async throws {
        // One short limit at a time: on a slow machine another would end what is not asked about.
        func run(
            _ timeouts: WebServer.Settings.Timeouts, _ body: @Sendable (Service) async throws -> Void
        ) async throws {
            var options = Service.Options()
            options.timeouts = timeouts
            try await Service.run(options, body)
        }
        let long = Duration.seconds(240)
        try await run(.init(head: .milliseconds(200), body: long, idle: long)) { service in
            let head = try await service.client.exchange([Array("GET /healthz HT".utf8)])
            #expect(head.map(\.status) == [408])
        }
        try await run(.init(head: long, body: .milliseconds(200), idle: long)) { service in
            let key = try await service.fullKey()
            let request =
                "POST /v1/link-sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(key)\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
            let body = try await service.client.exchange([Array(request.utf8)], methods: ["POST"])
            #expect(body.map(\.status) == [408])
            #expect(try body.first?.json()["code"]?.string == "request_timeout")
        }
        try await run(.init(head: long, body: long, idle: .milliseconds(600))) { service in
            let idle = try await service.client.exchange(
                [Array("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".utf8)], methods: ["GET", "GET"])
            #expect(idle.map(\.status) == [200])
        }
    }

    @Test func `requests follow each other on one connection`() async throws {
        try await Service.run { service in
            let request = Array("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".utf8)
            let responses = try await service.client.exchange(
                [request, request + request], methods: ["GET", "GET", "GET"])
            #expect(responses.map(\.status) == [200, 200, 200])
            #expect(Set(responses.map { $0["x-request-id"] }).count == 3)
        }
    }

    @Test func `the log has a line for each request, with its route and without what is secret in it`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            let path = try await service.linkPath(#"{"user_id":"42","provider":"alpha"}"#, key: key)
            _ = try await Browser(service: service).get(path + "?secret=EXAMPLE-query")
            _ = try await service.call("GET", "/v1/users/EXAMPLE-user/accounts", key: key)
            _ = try await service.client.send("GET", "/rck_EXAMPLE", [("User-Agent", "x\u{1b}[31m")])
            let requests = await service.log.requests(atLeast: 4)
            #expect(requests.count == 4, "\(requests)")
            #expect(requests.map { $0.metadata["route"] }.contains("/link/{token}"))
            #expect(requests.allSatisfy { $0.metadata["request_id"] != nil && $0.metadata["milliseconds"] != nil })
            #expect(requests.allSatisfy { $0.metadata["client"] == "127.0.0.1" })
            let everything = service.log.everything
            for secret in [key, String(path.dropFirst(6)), "EXAMPLE-query", "EXAMPLE-user", "rck_"] {
                #expect(!everything.contains(secret), "\(secret)")
            }
        }
    }

    @Test func `security 108: the log names the client that a trusted proxy names`() async throws {
        var options = Service.Options()
        options.trustedProxies = ["127.0.0.0/8"]
        try await Service.run(options) { service in
            _ = try await service.client.send("GET", "/healthz", [("X-Forwarded-For", "203.0.113.9")])
            #expect(await service.log.requests(atLeast: 1).last?.metadata["client"] == "203.0.113.9")
        }
        try await Service.run { service in
            _ = try await service.client.send("GET", "/healthz", [("X-Forwarded-For", "203.0.113.9")])
            #expect(await service.log.requests(atLeast: 1).last?.metadata["client"] == "127.0.0.1")
        }
    }

    @Test func `security 98: an unexpected error says nothing of itself`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            service.database.close()
            let response = try await service.call("GET", "/v1/accounts", key: key)
            #expect(response.status == 503)
            #expect(!response.text.contains("closed"))
            #expect(service.log.lines.contains { $0.message == "request failed" && $0.metadata["error"] != nil })
        }
    }

    @Test func `the description has exactly the routes that are served`() async throws {
        try await Service.run { service in
            let paths = try JSONValue(parsing: Pages().openAPI)["paths"]?.object ?? [:]
            var described: [String: Set<String>] = [:]
            for (path, operations) in paths {
                described[path] = Set(operations.object?.names.map { $0.uppercased() } ?? [])
            }
            // HEAD is GET without its body, which no description repeats.
            let served = service.server.routes().list.entries.map { entry in
                (entry.path, Set(entry.methods.map(\.rawValue)).subtracting(["HEAD"]))
            }
            #expect(described == Dictionary(uniqueKeysWithValues: served))
        }
    }

    @Test func `the description's references lead somewhere and its scopes are those of the routes`() throws {
        let document = try JSONValue(parsing: Pages().openAPI)
        func references(_ value: JSONValue) -> [String] {
            switch value {
            case .object(let object):
                object.flatMap { name, value in name == "$ref" ? [value.string ?? ""] : references(value) }
            case .array(let elements): elements.flatMap(references)
            default: []
            }
        }
        for reference in references(document) {
            let target = reference.split(separator: "/").dropFirst().reduce(document as JSONValue?) { $0?[String($1)] }
            #expect(target != nil, "\(reference)")
        }
        let codes = Set(Problem.Code.allCases.map(\.rawValue))
        let text = try Pages().openAPI
        for code in codes
        where !["internal_error", "request_timeout", "method_not_allowed", "uri_too_long", "header_fields_too_large"]
            .contains(code)
        {
            #expect(text.contains("`\(code)`"), "\(code) is not described")
        }
    }
}
