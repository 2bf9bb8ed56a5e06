import Accounts
import Foundation
import JSON
import Store
import Synchronization
import TestSupport
import Testing
import Transfer

@testable import Web

@Suite(.timeLimit(.minutes(10))) struct CallbackTests {
    static let session = #"{"user_id":"42","user_label":"alice@example.com","provider":"alpha"}"#

    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var query: String
        var expect: String
        var testDescription: String { name }
    }

    static let cases: [Case] = {
        let file = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Fixtures/callback_cases.json")
        guard let data = try? Data(contentsOf: file), let document = try? JSONValue(parsing: Array(data)) else {
            return []
        }
        return (document["cases"]?.array ?? []).map { value in
            Case(
                name: value["name"]?.string ?? "", query: value["query"]?.string ?? "",
                expect: value["expect"]?.string ?? "")
        }
    }()

    @Test func `every case is there`() {
        #expect(Self.cases.count == 29)
        #expect(Self.cases.allSatisfy { !$0.name.isEmpty && !$0.query.isEmpty && !$0.expect.isEmpty })
    }

    @Test(arguments: cases)
    func `security 2, 3, 4, 8, 11, 16, 19, 20, 21, 22, 23, 24, 25: does with a callback what it must`(item: Case)
        async throws
    {
        try await Service.run { service in
            let browser = Browser(service: service)
            // The one provider here whose metadata promises `iss` plays the two cases that are about it.
            let provider = item.name.hasPrefix("iss_") ? "gamma" : "alpha"
            let path = try await service.linkPath(#"{"user_id":"42","provider":"\#(provider)"}"#)
            let state = try await browser.start(path)
            var query = item.query.replacingOccurrences(of: "{state}", with: state)
            var usable: (browser: Browser, state: String)?
            if query.contains("{state_of_other_session}") {
                let other = Browser(service: service)
                let otherState = try await other.start(try await service.linkPath(Self.session))
                query = query.replacingOccurrences(of: "{state_of_other_session}", with: otherState)
                usable = (other, otherState)
            }
            if query.contains("{used_state}") {
                #expect(try await browser.get("/callback/alpha?code=abc&state=\(state)").status == 303)
                query = query.replacingOccurrences(of: "{used_state}", with: state)
            }
            if query.contains("{state_11_minutes_old}") {
                service.time.advance(by: .seconds(660))
                query = query.replacingOccurrences(of: "{state_11_minutes_old}", with: state)
            }
            if query.contains("{state_of_provider_b}") {
                let otherState = try await browser.start(
                    try await service.linkPath(#"{"user_id":"42","provider":"beta"}"#))
                query = query.replacingOccurrences(of: "{state_of_provider_b}", with: otherState)
            }
            query = query.replacingOccurrences(of: "@REPEAT:A:100000@", with: String(repeating: "A", count: 100_000))
            let (method, fields, plain) = Self.special(query)
            let requestsBefore = service.tokenRequests.count
            let response = try await browser.send(
                method, "/callback/\(provider)?\(plain)", fields,
                body: method == "POST" ? Array(plain.utf8) : nil)
            let exchanges = service.tokenRequests.count - requestsBefore
            let accounts = try await service.database.accounts.accounts(of: try #require(UserID("42")), limit: 10).items
                .count

            #expect(!response.text.contains("<script") && !response.text.contains("<img"))
            #expect(!response.text.lowercased().contains("javascript:"))
            #expect(response.values("set-cookie").allSatisfy { $0.hasPrefix("__Host-rollcall") })
            switch item.name {
            case "ok", "extra_params", "code_encoded_slash", "code_plus":
                #expect(response.status == 303)
                #expect(response["location"] == "/linked")
                #expect(exchanges == 1 && accounts == 1)
                let sent = FormParameters(bytes: service.tokenRequests.last?.body?.bytes ?? [])
                let expected = ["code_encoded_slash": "4/0AanRRrs", "code_plus": "a b"][item.name] ?? "abc"
                #expect(sent?["code"] == expected)
            case "state_used":
                #expect(response.status == 400)
                #expect(exchanges == 0 && accounts == 1)
            case "access_denied", "error_xss", "error_uri_javascript":
                #expect(response.status == 400)
                #expect(exchanges == 0 && accounts == 0)
                let again = try await browser.get("/callback/alpha?code=abc&state=\(state)")
                #expect(again.status == 400)
                #expect(service.tokenRequests.isEmpty)
            case "error_description_long":
                #expect([414, 431].contains(response.status))
            case "post_body":
                #expect(response.status == 405)
                #expect(try await browser.get("/callback/alpha?code=abc&state=\(state)").status == 303)
            case "head_request":
                #expect(response.status == 405)
                #expect(exchanges == 0)
                #expect(try await browser.get("/callback/alpha?code=abc&state=\(state)").status == 303)
            case "prefetch":
                #expect(response.status == 503)
                #expect(exchanges == 0)
                #expect(try await browser.get("/callback/alpha?code=abc&state=\(state)").status == 303)
            default:
                #expect(item.expect.hasPrefix("reject"), "\(item.name) is not handled above")
                if provider == "gamma" {
                    // The state is ours, so the session ends, and its own page says how.
                    #expect(response.status == 303 && response["location"] == "/linked", "\(response.status)")
                    let page = try await browser.get("/linked")
                    #expect(page.text.contains("<code>invalid_callback</code>"), "\(page.text)")
                } else {
                    #expect(response.status == 400, "\(response.status)")
                }
                #expect(exchanges == 0 && accounts == 0)
            }
            if let usable {
                let good = try await usable.browser.get("/callback/alpha?code=abc&state=\(usable.state)")
                #expect(good.status == 303)
            }
        }
    }

    private static func special(_ query: String) -> (String, [(String, String)], String) {
        if let rest = query.split(separator: "(POST form) ").last, query.hasPrefix("(POST form) ") {
            return ("POST", [("Content-Type", "application/x-www-form-urlencoded")], String(rest))
        }
        if query.hasPrefix("(HEAD) ") { return ("HEAD", [], String(query.dropFirst("(HEAD) ".count))) }
        if query.hasSuffix(" with Sec-Purpose: prefetch") {
            return ("GET", [("Sec-Purpose", "prefetch")], String(query.dropLast(" with Sec-Purpose: prefetch".count)))
        }
        return ("GET", [], query)
    }

    @Test(arguments: [
        "access_denied", "server_error", "temporarily_unavailable", "interaction_required", "login_required",
        "invalid_scope", "unknown_thing", "%3Cscript%3E", "%00", String(repeating: "x", count: 5000),
    ])
    func `security 22: an error of the provider is a page, uses the state up and harms no link`(error: String)
        async throws
    {
        try await Service.run { service in
            let held = try await service.link(user: "42")
            let browser = Browser(service: service)
            let state = try await browser.start(try await service.linkPath(Self.session))
            let asked = service.tokenRequests.count
            let response = try await browser.get("/callback/alpha?error=\(error)&state=\(state)")
            #expect([200, 400].contains(response.status))
            #expect(response["content-type"] == "text/html; charset=utf-8")
            #expect(response.text.contains("<h1") && !response.text.contains("<script"))
            #expect(try await browser.get("/callback/alpha?code=abc&state=\(state)").status == 400)
            #expect(service.tokenRequests.count == asked)
            #expect(try await service.database.accounts.account(held)?.status == .active)
        }
    }

    @Test func `security 94: bad states all look the same`() async throws {
        try await Service.run { service in
            let browser = Browser(service: service)
            _ = try await browser.start(try await service.linkPath(Self.session))
            let other = try await Browser(service: service).start(try await service.linkPath(Self.session))
            var bodies: Set<String> = []
            for state in ["AAAAAAAAAAAAAAAAAAAAAA", other, "x"] {
                let response = try await browser.get(
                    "/callback/alpha?code=abc&state=\(state)", [("X-Request-Id", "same")])
                #expect(response.status == 400)
                bodies.insert(response.text)
            }
            #expect(bodies.count == 1)
        }
    }

    @Test func `security 2: two copies at the same instant make one token request`() async throws {
        try await Service.run { service in
            let browser = Browser(service: service)
            let state = try await browser.start(try await service.linkPath(Self.session))
            let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<8 {
                    group.addTask { try await browser.get("/callback/alpha?code=abc&state=\(state)").status }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(statuses.count { $0 == 303 } == 1)
            #expect(statuses.count { $0 == 400 } == 7)
            #expect(service.tokenRequests.count == 1)
        }
    }

    @Test func `the application gets its user back with what became of the link`() async throws {
        try await Service.run { service in
            let browser = Browser(service: service)
            let path = try await service.linkPath(
                #"{"user_id":"42","provider":"alpha","return_to":"https://app.example.com/done?tab=2#top"}"#)
            let state = try await browser.start(path)
            let response = try await browser.get("/callback/alpha?code=abc&state=\(state)")
            #expect(response.status == 303)
            let user = try #require(UserID("42"))
            let id = try #require(
                try await service.database.accounts.accounts(of: user, limit: 10).items.first?.account.id)
            #expect(
                response["location"]
                    == "https://app.example.com/done?tab=2&status=linked&account_id=\(id)&provider=alpha#top")
            #expect(response["referrer-policy"] == "no-referrer")
            let denied = try await service.linkPath(
                #"{"user_id":"42","provider":"alpha","return_to":"https://app.example.com/done"}"#)
            let second = try await browser.start(denied)
            let refusal = try await browser.get("/callback/alpha?error=access_denied&state=\(second)")
            #expect(refusal["location"] == "https://app.example.com/done?status=failed&error=access_denied")
        }
    }

    @Test func `security 28, 102: the code leaves the address bar and the page says what was linked`() async throws {
        try await Service.run { service in
            let browser = Browser(service: service)
            let state = try await browser.start(try await service.linkPath(Self.session))
            let before = browser.cookies["__Host-rollcall"]
            let response = try await browser.get("/callback/alpha?code=abc&state=\(state)")
            #expect(response["location"] == "/linked")
            #expect(browser.cookies["__Host-rollcall"] != before)
            let page = try await browser.get("/linked")
            #expect(page.status == 200)
            #expect(page.text.contains("Alpha is linked") && page.text.contains("octocat"))
            #expect(try await browser.get("/linked").status == 200)
            // Nobody else's browser shows it, not even with the cookie that tells of it.
            #expect(try await Browser(service: service).get("/linked").status == 404)
            let thief = try await Browser(service: service).get(
                "/linked", [("Cookie", "__Host-rollcall-result=\(browser.cookies["__Host-rollcall-result"] ?? "")")])
            #expect(thief.status == 404)
            let forged = try await browser.send(
                "GET", "/linked",
                [
                    ("Cookie", "__Host-rollcall=\(browser.cookies["__Host-rollcall"] ?? "")"),
                    ("Cookie", "__Host-rollcall-result=failed.alpha.access_denied.AAAA"),
                ], body: nil)
            #expect(forged.status == 404)
        }
    }

    @Test
    func
        `security 102: the browser's secret is new after a link, the old one opens nothing, and use prolongs nothing`()
        async throws
    {
        try await Service.run { service in
            let browser = Browser(service: service)
            let path = try await service.linkPath(Self.session)
            let state = try await browser.start(path)
            let stolen = browser.cookies
            let linked = try await browser.get("/callback/alpha?code=abc&state=\(state)")
            #expect(linked.status == 303)
            let name = "__Host-rollcall"
            #expect(browser.cookies[name] != nil && browser.cookies[name] != stolen[name])
            func replay(_ target: String) async throws -> RawResponse {
                try await Browser(service: service).get(target, [("Cookie", "\(name)=\(stolen[name] ?? "")")])
            }
            for target in ["/linked", "/callback/alpha?code=abc&state=\(state)", path] {
                #expect(try await replay(target).status >= 400, "\(target)")
            }
            // Another link of the same browser is bound to the new secret.
            let second = try await service.linkPath(#"{"user_id":"42","provider":"beta"}"#)
            let beta = try await browser.start(second)
            #expect(try await replay("/callback/beta?code=abc&state=\(beta)").status == 400)
            #expect(try await browser.get("/callback/beta?code=abc&state=\(beta)").status == 303)

            // Ten minutes from when it was made, however busy: idle or not.
            let third = try await service.linkPath(Self.session)
            for _ in 0..<10 {
                #expect(try await browser.get(third).status == 200)
                service.time.advance(by: .seconds(59))
            }
            #expect(try await browser.get(third).status == 200)
            service.time.advance(by: .seconds(10))
            #expect(try await browser.get(third).status == 404)
        }
    }

    @Test func `security 28, 98: a failed exchange ends at a clean address as well`() async throws {
        try await Service.run { service in
            let browser = Browser(service: service)
            let state = try await browser.start(try await service.linkPath(Self.session))
            service.world.state.withLock {
                $0.token = (400, #"{"error":"invalid_grant","error_description":"EXAMPLE-inner"}"#)
            }
            let response = try await browser.get("/callback/alpha?code=abc&state=\(state)")
            #expect(response.status == 303)
            #expect(response["location"] == "/linked")
            let page = try await browser.get("/linked")
            #expect(page.status == 200)
            #expect(page.text.contains("provider_error") && !page.text.contains("EXAMPLE-inner"))
        }
    }

    @Test func `security 58: an account that another user holds stays there, and nobody learns whose it is`()
        async throws
    {
        try await Service.run { service in
            let held = try await service.link(user: "42")
            let browser = Browser(service: service)
            let path = try await service.linkPath(
                #"{"user_id":"43","provider":"alpha","return_to":"https://app.example.com/"}"#)
            let state = try await browser.start(path)
            let response = try await browser.get("/callback/alpha?code=abc&state=\(state)")
            #expect(response["location"] == "https://app.example.com/?status=failed&error=account_held")
            #expect(try await service.database.accounts.account(held)?.userID.rawValue == "42")
        }
    }

    @Test(arguments: ["/callback/nobody?code=a&state=b", "/callback/ALPHA?code=a&state=b", "/callback/%00"])
    func `callbacks of no provider are not found`(target: String) async throws {
        try await Service.run { service in
            let response = try await service.client.send("GET", target)
            #expect(response.status == 404)
        }
    }

    @Test func `neither code nor state is ever logged`() async throws {
        try await Service.run { service in
            let browser = Browser(service: service)
            let state = try await browser.start(try await service.linkPath(Self.session))
            _ = try await browser.get("/callback/alpha?code=EXAMPLE-code&state=\(state)")
            _ = try await browser.get("/callback/alpha?code=EXAMPLE-code&state=EXAMPLE-state")
            _ = try await browser.get("/callback/alpha?error=EXAMPLE%0d%0aerror&error_description=EXAMPLE-text&state=x")
            let everything = service.log.everything
            for secret in ["EXAMPLE-code", state, "EXAMPLE-state", "EXAMPLE-text", "EXAMPLE-access", "EXAMPLE-refresh"]
            {
                #expect(!everything.contains(secret), "\(secret)")
            }
            for cookie in browser.cookies.values { #expect(!everything.contains(cookie.prefix(43))) }
        }
    }
}
