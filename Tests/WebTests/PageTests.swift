import Accounts
import Foundation
import JSON
import Store
import Synchronization
import TestSupport
import Testing

@testable import Web

@Suite(.timeLimit(.minutes(10))) struct PageTests {
    /// Each kind of page, by the status it comes with.
    private func pages(_ service: Service, userLabel: String = "alice@example.com") async throws -> [String:
        RawResponse]
    {
        let browser = Browser(service: service)
        let label = JSONValue.string(userLabel).text
        var pages: [String: RawResponse] = [:]
        _ = try await service.link(user: "42")
        let confirm = try await service.linkPath(#"{"user_id":"42","user_label":\#(label),"provider":"alpha"}"#)
        pages["confirm"] = try await browser.get(confirm)
        let chooser = try await service.linkPath(#"{"user_id":"42","user_label":\#(label)}"#)
        pages["chooser"] = try await browser.get(chooser)
        let csrf = try #require(pages["chooser"]?.csrf)
        let user = try #require(UserID("42"))
        let id = try #require(try await service.database.accounts.accounts(of: user, limit: 10).items.first?.account.id)
        pages["unlink"] = try await browser.post(chooser, "csrf=\(csrf)&unlink=\(id)")
        pages["forged"] = try await browser.post(chooser, "csrf=x")
        pages["other browser"] = try await Browser(service: service).get(chooser)
        pages["denied"] = try await browser.get(
            "/callback/alpha?error=access_denied&state=\(try await browser.start(confirm))")
        let again = try await service.linkPath(#"{"user_id":"42","user_label":\#(label),"provider":"alpha"}"#)
        let state = try await browser.start(again)
        _ = try await browser.get("/callback/alpha?code=abc&state=\(state)")
        pages["linked"] = try await browser.get("/linked")
        pages["used"] = try await browser.get(again)
        pages["bad state"] = try await browser.get("/callback/alpha?code=abc&state=\(state)")
        pages["unknown link"] = try await browser.get("/link/nothing")
        pages["nothing linked"] = try await Browser(service: service).get("/linked")
        pages["not found"] = try await browser.get("/nowhere", [("Accept", "text/html")])
        pages["wrong method"] = try await browser.send("DELETE", again, [], body: nil)
        pages["prefetch"] = try await browser.get(again, [("Sec-Purpose", "prefetch")])
        return pages
    }

    @Test func `security 28, 29: every page is fenced in`() async throws {
        try await Service.run { service in
            let pages = try await pages(service)
            #expect(pages.count == 14)
            for (name, page) in pages {
                #expect(page["content-type"] == "text/html; charset=utf-8", "\(name)")
                let policy = page["content-security-policy"] ?? ""
                #expect(policy.hasPrefix("default-src 'none'; style-src 'self'; form-action 'self'"), "\(name)")
                #expect(policy.contains("frame-ancestors 'none'") && policy.contains("base-uri 'none'"), "\(name)")
                #expect(!policy.contains("unsafe") && !policy.contains("script-src"), "\(name)")
                #expect(page["x-frame-options"] == "DENY", "\(name)")
                #expect(page["x-content-type-options"] == "nosniff", "\(name)")
                #expect(page.values("x-content-type-options").count == 1, "\(name)")
                #expect(page["referrer-policy"] == "no-referrer", "\(name)")
                #expect(page["cache-control"] == "no-store", "\(name)")
                #expect(page["cross-origin-opener-policy"] == "same-origin", "\(name)")
                #expect(page["strict-transport-security"] == "max-age=31536000", "\(name)")
                #expect(page["permissions-policy"]?.isEmpty == false, "\(name)")
                #expect(page["x-request-id"]?.isEmpty == false, "\(name)")
            }
        }
    }

    @Test func `security 28: every page has a language, a title, one heading and nothing from elsewhere`() async throws
    {
        try await Service.run { service in
            for (name, page) in try await pages(service) {
                let text = page.text
                #expect(text.hasPrefix("<!DOCTYPE html>\n<html lang=\"en\">"), "\(name)")
                #expect(text.components(separatedBy: "<h1").count == 2, "\(name)")
                #expect(text.components(separatedBy: "<main").count == 2, "\(name)")
                #expect(text.firstMatch(of: /<title>[^<]+ · Example Forum<\/title>/) != nil, "\(name)")
                #expect(!text.lowercased().contains("<script"), "\(name)")
                #expect(text.firstMatch(of: /<[^>]*\son\w+\s*=/.ignoresCase()) == nil, "\(name)")
                #expect(!text.contains("style=\"") && !text.contains("<img"), "\(name)")
                let addresses = text.matches(of: /(?:href|src|action)="([^"]*)"/).map { String($0.1) }
                #expect(addresses == ["/assets/style.css"], "\(name)")
                #expect(!text.contains("{{") && !text.contains("}}"), "\(name)")
                #expect(!text.contains("Optional("), "\(name)")
            }
        }
    }

    @Test func `security 30: a form may lead to where the link leads`() async throws {
        try await Service.run { service in
            let page = try await Browser(service: service).get(try await service.linkPath(CallbackTests.session))
            #expect(page["content-security-policy"]?.contains("form-action 'self' https:;") == true)
        }
        #expect(Site.origin(of: "HTTPS://App.Example.com:443/x?y") == "https://app.example.com")
        #expect(Site.origin(of: "http://localhost:3000") == "http://localhost:3000")
        for text in ["", "x", "https://", "https://a b", "https://a;b", "https://é.example", "https://a'b"] {
            #expect(Site.origin(of: text) == nil, "\(text)")
        }
    }

    static let hostile = [
        "<script>alert(1)</script>", #""><img src=x onerror=alert(1)>"#, "' autofocus onfocus='alert(1)",
        "javascript:alert(1)",
        "</title><svg/onload=alert(1)>", "{{page.csrf}}{{{frame}}}", "<!--", "&lt;b&gt;", "]]>",
        "\u{202e}gnp.exe", "a\u{2028}b", "x\u{0}y",
    ]

    /// Whatever stands where a name stands, the page has the elements it has with a harmless name, and no more.
    private func expectHarmless(_ page: RawResponse, like harmless: RawResponse, _ comment: String) {
        func elements(_ text: String) -> [String] {
            text.matches(of: /<(\/?[A-Za-z][A-Za-z0-9]*)/).map { String($0.1).lowercased() }
        }
        func attributes(_ text: String) -> [String] {
            text.matches(of: /<[A-Za-z][^<>]*>/).flatMap { tag in
                tag.0.matches(of: /\s([a-z-]+)="[^"]*"/).map { String($0.1) }
            }
        }
        #expect(page.status == harmless.status, "\(comment)")
        #expect(elements(page.text) == elements(harmless.text), "\(comment)")
        #expect(attributes(page.text) == attributes(harmless.text), "\(comment)")
        #expect(
            !page.text.unicodeScalars.contains { $0.value == 0x202e || $0.value == 0x2028 || $0.value == 0 },
            "\(comment)")
        #expect(
            page.text.matches(of: /(?:href|src|action)="([^"]*)"/).map { String($0.1) } == ["/assets/style.css"],
            "\(comment)")
    }

    @Test func `security 23: hostile names and labels stay text`() async throws {
        func shown(label: String, login: String, application: String, provider: String) async throws -> [String:
            RawResponse]
        {
            var options = Service.Options()
            options.applicationName = application
            options.manifests["alpha"] = Service.alpha.replacingOccurrences(
                of: "name: Alpha", with: "name: \(JSONValue.string(provider).text)")
            let result = Mutex<[String: RawResponse]>([:])
            try await Service.run(options) { service in
                let browser = Browser(service: service)
                let order = JSONValue.object(["user_id": "42", "user_label": .string(label)])
                service.world.state.withLock { $0.user = JSONValue.object(["id": 1, "login": .string(login)]).text }
                let path = try await service.linkPath(
                    JSONValue.object(["user_id": "42", "user_label": .string(label), "provider": "alpha"]).text)
                let confirm = try await browser.get(path)
                let state = try await browser.start(path)
                _ = try await browser.get("/callback/alpha?code=abc&state=\(state)")
                let linked = try await browser.get("/linked")
                let chooserPath = try await service.linkPath(order.text)
                let chooser = try await browser.get(chooserPath)
                let id = chooser.text.firstMatch(of: /name="unlink" value="([^"]*)"/).map { String($0.1) } ?? ""
                let unlink = try await browser.post(chooserPath, "csrf=\(chooser.csrf ?? "")&unlink=\(id)")
                let denied = try await browser.start(try await service.linkPath(CallbackTests.session))
                let failed = try await browser.get("/callback/alpha?error=access_denied&state=\(denied)")
                result.withLock {
                    $0 = ["confirm": confirm, "linked": linked, "chooser": chooser, "unlink": unlink, "failed": failed]
                }
            }
            return result.withLock { $0 }
        }
        let harmless = try await shown(label: "a", login: "b", application: "c", provider: "d")
        for text in Self.hostile {
            // Control characters are refused as a label before they get anywhere.
            let label = text.unicodeScalars.contains { $0.value < 0x20 } ? "a" : text
            let pages = try await shown(
                label: label, login: text, application: text, provider: text.filter { $0 != "\u{0}" })
            for (name, page) in pages {
                expectHarmless(page, like: try #require(harmless[name]), "\(name) with \(text.debugDescription)")
            }
        }
    }

    @Test func `security 23, 107: the interface for programs passes hostile names on as data`() async throws {
        try await Service.run { service in
            let key = try await service.fullKey()
            service.world.state.withLock {
                $0.user = JSONValue.object(["id": 1, "login": .string(Self.hostile[0])]).text
            }
            let browser = Browser(service: service)
            let state = try await browser.start(try await service.linkPath(CallbackTests.session))
            _ = try await browser.get("/callback/alpha?code=abc&state=\(state)")
            for target in ["/v1/users/42/accounts", "/v1/profiles/alpha/1"] {
                let response = try await service.call("GET", target, key: key)
                #expect(response["content-type"] == "application/json")
                #expect(response["x-content-type-options"] == "nosniff")
                #expect(response.text.contains("script"))
            }
            let list = try await service.call("GET", "/v1/users/42/accounts", key: key).json()
            #expect(list["data"]?.array?.first?["claims"]?["preferred_username"]?.string == Self.hostile[0])
        }
    }

    @Test func `security 23: text from outside is shortened and stripped of what would disorder it`() {
        #expect(DisplayText.bounded("a\u{0}b\u{202e}c\u{2028}d\u{1b}[31m", 80) == "abcd[31m")
        #expect(DisplayText.bounded(String(repeating: "x", count: 200), 10) == String(repeating: "x", count: 9) + "…")
        #expect(DisplayText.initials(of: "GitHub") == "Gi")
        #expect(DisplayText.initials(of: "GitLab at Work") == "GA")
        #expect(DisplayText.initials(of: "<>") == "?")
        #expect(DisplayText.initials(of: "") == "?")
        #expect(DisplayText.initials(of: "東京 スタジオ") == "東ス")
    }

    @Test func `the style sheet is served, kept and found again`() async throws {
        try await Service.run { service in
            let sheet = try await service.client.send("GET", "/assets/style.css")
            #expect(sheet.status == 200)
            #expect(sheet["content-type"] == "text/css; charset=utf-8")
            #expect(sheet["cache-control"] == "public, max-age=3600")
            let etag = try #require(sheet["etag"])
            let again = try await service.client.send("GET", "/assets/style.css", [("If-None-Match", etag)])
            #expect(again.status == 304)
            #expect(!sheet.text.contains("url(") && !sheet.text.contains("@import"))
        }
    }

    @Test func `a path in the public address is part of every address`() async throws {
        var options = Service.Options()
        options.publicURL = "https://example.com/accounts/"
        try await Service.run(options) { service in
            #expect(service.server.site.publicURL == "https://example.com/accounts")
            #expect(service.server.site.origin == "https://example.com")
            #expect(service.server.site.basePath == "/accounts")
        }
    }
}
