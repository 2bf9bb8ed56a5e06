import Accounts
import Foundation
import HTTPTypes
import JSON
import Store
import Synchronization
import TestSupport
import Testing
import Transfer

@testable import Web

@Suite(.timeLimit(.minutes(10))) struct LinkPageTests {
    static let session = #"{"user_id":"42","user_label":"alice@example.com","provider":"alpha"}"#

    @Test
    func `security 6: the page names the application, the user and the provider, and its button leads to the provider`()
        async throws
    {
        try await Service.run { service in
            let browser = Browser(service: service)
            let path = try await service.linkPath(Self.session)
            let page = try await browser.get(path)
            #expect(page.status == 200)
            for text in ["Example Forum", "alice@example.com", "Alpha", "Continue to Alpha"] {
                #expect(page.text.contains(text), "\(text)")
            }
            let csrf = try #require(page.csrf)
            let response = try await browser.post(path, "csrf=\(csrf)&provider=alpha")
            #expect(response.status == 303)
            #expect(response["location"]?.hasPrefix("https://alpha.example/authorize?") == true)
            let query = response.queryOfLocation
            #expect(query["response_type"] == "code")
            #expect(query["client_id"] == "EXAMPLE-alpha")
            #expect(query["redirect_uri"] == "https://accounts.example.com/callback/alpha")
            #expect(query["code_challenge_method"] == "S256")
            #expect(query["state"]?.utf8.count ?? 0 >= 22)
        }
    }

    @Test func `security 17: the redirect URI is the configured one, whatever host a request names`() async throws {
        try await Service.run { service in
            for field in [
                ("Host", "evil.example"), ("X-Forwarded-Host", "evil.example"), ("Forwarded", "host=evil.example"),
                ("X-Forwarded-Proto", "http"), ("X-Original-URL", "/evil"),
            ] {
                let browser = Browser(service: service)
                let path = try await service.linkPath(Self.session)
                let csrf = try #require(try await browser.get(path, [field]).csrf)
                let response = try await browser.post(path, "csrf=\(csrf)", [field])
                #expect(
                    response.queryOfLocation["redirect_uri"] == "https://accounts.example.com/callback/alpha",
                    "\(field)")
                #expect(response["location"]?.contains("evil") == false)
                let state = try #require(response.queryOfLocation["state"])
                let done = try await browser.get("/callback/alpha?code=EXAMPLE&state=\(state)", [field])
                #expect(done["location"] == "/linked")
                let form = FormParameters(bytes: service.tokenRequests.last?.body?.bytes ?? [])
                #expect(form?["redirect_uri"] == "https://accounts.example.com/callback/alpha")
            }
        }
    }

    /// A link is as old as the application's own look at its user: after ten minutes nothing is linked or unlinked by it.
    @Test func `security 105: after ten minutes a link neither links nor unlinks`() async throws {
        try await Service.run { service in
            let mine = try await service.link(user: "42")
            let browser = Browser(service: service)
            let path = try await service.linkPath(#"{"user_id":"42"}"#)
            let csrf = try #require(try await browser.get(path).csrf)
            let state = try await browser.start(path, provider: "beta")
            service.time.advance(by: .seconds(601))
            #expect(try await browser.post(path, "csrf=\(csrf)&unlink=\(mine)&confirmed=yes").status == 404)
            #expect(try await browser.post(path, "csrf=\(csrf)&provider=beta").status == 404)
            #expect(try await browser.get("/callback/beta?code=EXAMPLE&state=\(state)").status == 400)
            let accounts = try await service.database.accounts.accounts(of: try #require(UserID("42")), limit: 10)
            #expect(accounts.items.map(\.account.id) == [mine])
            // Keys are made on the command line alone.
            let key = try await service.fullKey()
            for target in ["/v1/keys", "/v1/api-keys"] {
                #expect(try await service.call("POST", target, key: key, json: "{}").status == 404)
            }
        }
    }

    @Test func `security 27: what stands in the link's query reaches nobody`() async throws {
        try await Service.run { service in
            let browser = Browser(service: service)
            let path = try await service.linkPath(#"{"user_id":"42","provider":"alpha","confirm":false}"#)
            let response = try await browser.get(
                path
                    + "?authorize_url=https://evil.example&scope=evil&redirect_uri=https://evil.example&prompt=evil&return_to=https://evil.example"
            )
            #expect(response.status == 303)
            #expect(response["location"]?.contains("evil") == false)
        }
    }

    @Test func `security 7: without confirmation the browser goes straight on, once it navigates`() async throws {
        try await Service.run { service in
            let path = try await service.linkPath(#"{"user_id":"42","provider":"alpha","confirm":false}"#)
            let browser = Browser(service: service)
            let image = try await browser.get(path, [("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image")])
            #expect(image.status == 503)
            let frame = try await browser.get(path, [("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")])
            #expect(frame.status == 503)
            #expect(browser.cookies.isEmpty)
            let response = try await browser.get(
                path,
                [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")])
            #expect(response.status == 303)
            let state = try #require(response.queryOfLocation["state"])
            let done = try await browser.get("/callback/alpha?code=EXAMPLE&state=\(state)")
            #expect(done.status == 303)
        }
    }

    @Test func `whoever is told to wait keeps the link: the secret it is bound to comes with the refusal`() async throws
    {
        try await Service.run { service in
            for _ in 0..<60 {
                let path = try await service.linkPath(#"{"user_id":"42","provider":"alpha","confirm":false}"#)
                #expect(try await Browser(service: service).get(path).status == 303)
            }
            let path = try await service.linkPath(#"{"user_id":"42","provider":"alpha","confirm":false}"#)
            let browser = Browser(service: service)
            #expect(try await browser.get(path).status == 429)
            service.time.advance(by: .seconds(60))
            #expect(try await browser.get(path).status == 303)
        }
    }

    @Test func `security 101: the cookie is as strict as the address allows`() async throws {
        try await Service.run { service in
            let response = try await Browser(service: service).get(try await service.linkPath(Self.session))
            let cookie = try #require(response["set-cookie"])
            #expect(cookie.hasPrefix("__Host-rollcall="))
            let attributes = cookie.split(separator: ";").dropFirst().map { $0.trimmingCharacters(in: .whitespaces) }
            #expect(Set(attributes) == ["Path=/", "Max-Age=3600", "HttpOnly", "SameSite=Lax", "Secure"])
        }
        var options = Service.Options()
        options.publicURL = "http://127.0.0.1:8080"
        try await Service.run(options) { service in
            let response = try await Browser(service: service).get(try await service.linkPath(Self.session))
            let cookie = try #require(response["set-cookie"])
            #expect(cookie.hasPrefix("rollcall="))
            #expect(!cookie.contains("Secure") && !cookie.contains("Domain"))
            #expect(response["strict-transport-security"] == nil)
        }
    }

    @Test func `security 4: another browser can't take the link over`() async throws {
        try await Service.run { service in
            let path = try await service.linkPath(Self.session)
            let (first, second) = (Browser(service: service), Browser(service: service))
            let page = try await first.get(path)
            let refused = try await second.get(path)
            #expect(refused.status == 400)
            #expect(refused.text.contains("other_browser"))
            #expect(refused["set-cookie"] == nil)
            let csrf = try #require(page.csrf)
            #expect(try await second.post(path, "csrf=\(csrf)").status == 403)
            #expect(try await first.get(path).status == 200)
            #expect(try await first.post(path, "csrf=\(csrf)").status == 303)
        }
    }

    @Test
    func
        `security 5: another user at the same browser gets another secret, and what the one before began can't be ended`()
        async throws
    {
        try await Service.run { service in
            let browser = Browser(service: service)
            let one = try await service.linkPath(#"{"user_id":"1","provider":"alpha"}"#)
            let state = try await browser.start(one)
            let before = browser.cookies
            let again = try await service.linkPath(#"{"user_id":"1","provider":"beta"}"#)
            _ = try await browser.get(again)
            #expect(browser.cookies == before)
            let two = try await service.linkPath(#"{"user_id":"2","provider":"alpha"}"#)
            _ = try await browser.get(two)
            #expect(browser.cookies != before)
            let late = try await browser.get("/callback/alpha?code=EXAMPLE&state=\(state)")
            #expect(late.status == 400)
            #expect(service.tokenRequests.isEmpty)
        }
    }

    @Test func `security 7, 19: HEAD and prefetching bind nothing and start nothing`() async throws {
        try await Service.run { service in
            let path = try await service.linkPath(#"{"user_id":"42","provider":"alpha","confirm":false}"#)
            let bot = Browser(service: service)
            let head = try await bot.send("HEAD", path, [], body: nil)
            #expect(head.status == 200)
            #expect(head.body.isEmpty)
            for field in [
                ("Sec-Purpose", "prefetch"), ("Sec-Purpose", "prefetch;prerender"), ("Purpose", "prefetch"),
                ("X-Moz", "prefetch"),
            ] {
                let response = try await bot.get(path, [field])
                #expect(response.status == 503)
                #expect(response["location"] == nil)
            }
            #expect(bot.cookies.isEmpty)
            #expect(try await Browser(service: service).get(path).status == 303)
        }
    }

    @Test func `links that are over, used or never were say so`() async throws {
        try await Service.run { service in
            let browser = Browser(service: service)
            let path = try await service.linkPath(Self.session)
            let state = try await browser.start(path)
            #expect(try await browser.get("/callback/alpha?code=EXAMPLE&state=\(state)").status == 303)
            let used = try await browser.get(path)
            #expect(used.status == 410)
            #expect(used.text.contains("link_used"))
            #expect(try await browser.post(path, "csrf=x").status == 410)
            let late = try await service.linkPath(Self.session)
            service.time.advance(by: .seconds(601))
            for path in [late, "/link/unknown", "/link/\(String(repeating: "A", count: 43))", "/link/%00"] {
                let response = try await browser.get(path)
                #expect(response.status == 404)
                #expect(response.text.contains("This link has ended"))
                #expect(try await browser.post(path, "csrf=x").status == 404)
            }
        }
    }

    /// What is sent besides a right cookie, and whether it may pass.
    @Test(arguments: [
        ("Sec-Fetch-Site", "same-origin", true), ("Sec-Fetch-Site", "cross-site", false),
        ("Sec-Fetch-Site", "same-site", false), ("Sec-Fetch-Site", "none", false),
        ("Origin", "https://accounts.example.com", true), ("Origin", "https://evil.example", false),
        ("Origin", "http://accounts.example.com", false),
        ("Origin", "https://accounts.example.com.evil.example", false),
        ("Origin", "null", true), ("X-Nothing", "1", true),
    ])
    func `security 7: forms come from our own pages`(name: String, value: String, passes: Bool) async throws {
        try await Service.run { service in
            let browser = Browser(service: service)
            let path = try await service.linkPath(Self.session)
            let csrf = try #require(try await browser.get(path).csrf)
            let fields = name == "Sec-Fetch-Site" ? [(name, value)] : [(name, value), ("Sec-Fetch-Site", "")]
            let response = try await browser.post(path, "csrf=\(csrf)", fields)
            #expect(response.status == (passes ? 303 : 403))
        }
    }

    @Test func `security 7: forms carry this session's own token, once, and this browser's own cookie`() async throws {
        try await Service.run { service in
            let browser = Browser(service: service)
            let path = try await service.linkPath(Self.session)
            let other = try await service.linkPath(Self.session)
            let csrf = try #require(try await browser.get(path).csrf)
            let otherToken = try #require(try await browser.get(other).csrf)
            #expect(csrf != otherToken)
            for form in [
                "", "csrf=", "csrf=x", "csrf=\(otherToken)", "csrf=\(csrf)&csrf=\(csrf)", "csrf=\(csrf.dropLast())",
            ] {
                #expect(try await browser.post(path, form).status == 403, "\(form)")
            }
            let bare = Browser(service: service)
            #expect(try await bare.post(path, "csrf=\(csrf)").status == 403)
            let forged = try await browser.send(
                "POST", path,
                [
                    ("Content-Type", "application/x-www-form-urlencoded"), ("Sec-Fetch-Site", "same-origin"),
                    ("Cookie", "__Host-rollcall=planted.x"),
                ], body: Array("csrf=\(csrf)".utf8))
            #expect(forged.status == 403)
            #expect(try await browser.post(path, "csrf=\(csrf)").status == 303)
        }
    }

    @Test func `forms have a type, an encoding and a limit`() async throws {
        try await Service.run { service in
            let browser = Browser(service: service)
            let path = try await service.linkPath(Self.session)
            let csrf = try #require(try await browser.get(path).csrf)
            for type in ["application/json", "text/plain", "multipart/form-data; boundary=x"] {
                #expect(try await browser.post(path, "csrf=\(csrf)", [("Content-Type", type)]).status == 415)
            }
            #expect(try await browser.post(path, "csrf=%zz").status == 400)
            let large = try await browser.post(path, "csrf=\(csrf)&x=" + String(repeating: "x", count: 16 << 10))
            #expect(large.status == 413)
            #expect(large["content-type"] == "text/html; charset=utf-8")
            #expect(try await browser.post(path, "csrf=\(csrf)&provider=beta").status == 400)
        }
    }

    @Test func `security 104: the chooser shows what is linked and can be linked, and unlinks after asking`()
        async throws
    {
        try await Service.run { service in
            let mine = try await service.link(user: "42")
            let theirs = try await service.link(user: "43", subject: 7, login: "mallory")
            let browser = Browser(service: service)
            let path = try await service.linkPath(#"{"user_id":"42"}"#)
            let page = try await browser.get(path)
            #expect(page.status == 200)
            #expect(page.text.contains("octocat") && !page.text.contains("mallory"))
            #expect(page.text.contains(#"value="alpha""#) && page.text.contains(#"value="beta""#))
            #expect(!page.text.contains(#"value="github""#))
            #expect(page.text.contains("User 42"))
            let csrf = try #require(page.csrf)
            #expect(try await browser.post(path, "csrf=\(csrf)&unlink=\(theirs)&confirmed=yes").status == 404)
            #expect(try await browser.post(path, "csrf=x&unlink=\(mine)&confirmed=yes").status == 403)
            let question = try await browser.post(path, "csrf=\(csrf)&unlink=\(mine)")
            #expect(question.status == 200)
            #expect(question.text.contains("Unlink Alpha?"))
            let kept = try await browser.post(path, "csrf=\(csrf)&keep=yes")
            #expect(kept.status == 303)
            #expect(kept["location"] == path)
            #expect(try await service.database.accounts.account(mine) != nil)
            let done = try await browser.post(path, "csrf=\(csrf)&unlink=\(mine)&confirmed=yes")
            #expect(done.status == 200)
            #expect(done.text.contains("no longer linked"))
            #expect(try await service.database.accounts.account(mine) == nil)
            #expect(try await service.database.accounts.account(theirs) != nil)
            let state = try await browser.start(path, provider: "beta")
            #expect(try await browser.get("/callback/beta?code=EXAMPLE&state=\(state)").status == 303)
        }
    }

    @Test func `a link for one provider neither shows nor unlinks anything`() async throws {
        try await Service.run { service in
            let mine = try await service.link(user: "42")
            let browser = Browser(service: service)
            let path = try await service.linkPath(Self.session)
            let page = try await browser.get(path)
            #expect(!page.text.contains("octocat"))
            let csrf = try #require(page.csrf)
            #expect(try await browser.post(path, "csrf=\(csrf)&unlink=\(mine)&confirmed=yes").status == 404)
            #expect(try await service.database.accounts.account(mine) != nil)
        }
    }

    @Test func `a provider that can't be reached is a page that says so`() async throws {
        try await Service.run { service in
            let browser = Browser(service: service)
            let path = try await service.linkPath(#"{"user_id":"42","provider":"gamma"}"#)
            let csrf = try #require(try await browser.get(path).csrf)
            service.transport.fail(.timedOut(host: "gamma.example"))
            let response = try await browser.post(path, "csrf=\(csrf)")
            #expect(response.status == 503)
            #expect(response.text.contains("can’t be reached"))
        }
    }

    @Test func `security 106: an address that starts without end is slowed down`() async throws {
        try await Service.run { service in
            let browser = Browser(service: service)
            let path = try await service.linkPath(Self.session)
            let csrf = try #require(try await browser.get(path).csrf)
            var statuses: [Int] = []
            for _ in 0..<65 { statuses.append(try await browser.post(path, "csrf=\(csrf)").status) }
            #expect(statuses.prefix(60).allSatisfy { $0 == 303 })
            #expect(statuses.suffix(5).allSatisfy { $0 == 429 })
            service.time.advance(by: .seconds(5))
            #expect(try await browser.post(path, "csrf=\(csrf)").status == 303)
        }
    }

    @Test func `security 106: an address that guesses links is not listened to for a while`() async throws {
        try await Service.run { service in
            let path = try await service.linkPath(Self.session)
            let browser = Browser(service: service)
            for _ in 0..<30 { #expect(try await browser.get("/link/unknown").status == 404) }
            let limited = try await browser.get("/link/unknown")
            #expect(limited.status == 429)
            #expect(limited["retry-after"] != nil)
            #expect(limited["content-type"] == "text/html; charset=utf-8")
            #expect(try await browser.get("/callback/alpha?code=x&state=y").status == 429)
            service.time.advance(by: .seconds(60))
            #expect(try await browser.get(path).status == 200)
        }
    }
}
