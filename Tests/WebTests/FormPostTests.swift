import Accounts
import Foundation
import JSON
import Store
import Testing

@testable import Web

/// Providers that have the browser post their answer (OAuth 2.0 Form Post Response Mode).
@Suite(.timeLimit(.minutes(10))) struct FormPostTests {
    static let session = #"{"user_id":"42","provider":"alpha"}"#

    /// Alpha answers by a POST, and names the person in its first callback alone.
    static let options = Service.Options(
        manifests: [
            "alpha": Service.alpha.replacing("scopes: [profile]", with: "scopes: [profile], response_mode: form_post")
                .replacing("client_authentication:", with: "callback: {keep: [user]}\nclient_authentication:")
                .replacing("name: $.user.name", with: "name: $.callback.user.name"),
            "beta": Service.beta,
        ])

    private func run(_ body: @Sendable (Service, Browser) async throws -> Void) async throws {
        try await Service.run(Self.options) { try await body($0, Browser(service: $0)) }
    }

    @Test func `quirk A13: form_post is asked for where the manifest says so, and nowhere else`() async throws {
        try await run { service, browser in
            let path = try await service.linkPath(#"{"user_id":"42"}"#)
            let csrf = try #require(try await browser.get(path).csrf)
            let posted = try await browser.post(path, "csrf=\(csrf)&provider=alpha")
            #expect(posted.queryOfLocation["response_mode"] == "form_post")
            let asked = try await browser.post(path, "csrf=\(csrf)&provider=beta")
            #expect(asked.status == 303 && asked.queryOfLocation["response_mode"] == nil)
        }
    }

    @Test func `security 18: quirk B3: a callback posted from the provider's site links without a Lax cookie`()
        async throws
    {
        try await run { service, browser in
            let state = try await browser.start(try await service.linkPath(Self.session))
            let user = #"{"name":"Ada","email":"ada@example.com"}"#.addingPercentEncoding(
                withAllowedCharacters: .alphanumerics)
            let response = try await browser.postFromElsewhere(
                "/callback/alpha", "state=\(state)&code=EXAMPLE-code&user=\(user ?? "")")
            #expect(response.status == 303 && response["location"] == "/linked", "\(response.status)")
            let accounts = try await service.database.accounts.accounts(of: try #require(UserID("42")), limit: 5)
            let claims = try JSONValue(parsing: try #require(accounts.items.first?.claims))
            #expect(claims["sub"]?.string == "583231" && claims["name"]?.string == "Ada")
            #expect(try await browser.get("/linked").text.contains("Alpha is linked"))
            #expect(service.tokenRequests.count == 1)
            // Used up, whoever posts it again.
            let again = try await browser.postFromElsewhere("/callback/alpha", "state=\(state)&code=EXAMPLE-code")
            #expect(again.status == 400 && service.tokenRequests.count == 1)
        }
    }

    @Test func `security 18: only a provider that answers by POST may be answered by one, and in no other way`()
        async throws
    {
        try await run { service, browser in
            let alpha = try await browser.start(try await service.linkPath(Self.session))
            let get = try await browser.get("/callback/alpha?state=\(alpha)&code=EXAMPLE-code")
            #expect(get.status == 405 && get["allow"] == "POST")
            let other = Browser(service: service)
            let beta = try await other.start(try await service.linkPath(#"{"user_id":"42","provider":"beta"}"#))
            let post = try await other.post("/callback/beta", "state=\(beta)&code=EXAMPLE-code")
            #expect(post.status == 405 && post["allow"] == "GET")
            #expect(try await other.post("/callback/delta", "state=\(beta)").status == 404)
            #expect(service.tokenRequests.isEmpty)
            // Neither state was used up.
            let form = "state=\(alpha)&code=EXAMPLE-code"
            #expect(try await browser.postFromElsewhere("/callback/alpha", form).status == 303)
            #expect(try await other.get("/callback/beta?state=\(beta)&code=EXAMPLE-code").status == 303)
        }
    }

    @Test func `security 18: the cookie that other sites' POSTs carry is for the callback alone and for one flow`()
        async throws
    {
        try await run { service, browser in
            let path = try await service.linkPath(Self.session)
            let page = try await browser.get(path)
            let csrf = try #require(page.csrf)
            #expect(browser.cookies["__Host-rollcall-post"] == nil)
            let start = try await browser.post(path, "csrf=\(csrf)")
            let cookie = try #require(start.values("set-cookie").first { $0.hasPrefix("__Host-rollcall-post=") })
            for part in ["; Path=/", "; HttpOnly", "; Secure", "; SameSite=None", "; Max-Age=600"] {
                #expect(cookie.contains(part))
            }
            #expect(try await browser.postFromElsewhere(path, "csrf=\(csrf)").status == 403)
            let state = try #require(start.queryOfLocation["state"])
            let linked = try await browser.postFromElsewhere("/callback/alpha", "state=\(state)&code=EXAMPLE-code")
            #expect(linked.status == 303)
            #expect(browser.cookies["__Host-rollcall-post"] == nil)
        }
    }

    @Test func `security 5: whoever comes to the browser after the user can't end what the user began`() async throws {
        try await run { service, browser in
            let state = try await browser.start(try await service.linkPath(Self.session))
            _ = try await browser.get(try await service.linkPath(#"{"user_id":"43","provider":"alpha"}"#))
            let response = try await browser.postFromElsewhere("/callback/alpha", "state=\(state)&code=EXAMPLE-code")
            #expect(response.status == 400 && service.tokenRequests.isEmpty)
        }
    }

    @Test func `a posted callback is read as strictly as a query`() async throws {
        try await run { service, browser in
            let state = try await browser.start(try await service.linkPath(Self.session))
            let type = "application/x-www-form-urlencoded"
            for (form, media, status) in [
                ("state=\(state)&code=a&code=b", type, 400), ("state=\(state)&code=a&user=1&user=2", type, 400),
                ("state=\(state)&id_token=a.b.c", type, 400), ("state=\(state)&code=a%ff", type, 400),
                ("state=\(state)&code=%zz", type, 400), ("", type, 400),
                ("state=\(state)&code=" + String(repeating: "x", count: 17 << 10), type, 413),
                (#"{"state":"\#(state)","code":"a"}"#, "application/json", 415),
                ("state=\(state)&code=a", "text/plain", 415),
            ] {
                let response = try await browser.postFromElsewhere("/callback/alpha", form, type: media)
                #expect(response.status == status, "\(form.prefix(90)): \(response.status)")
            }
            #expect(service.tokenRequests.isEmpty)
            // What stands in the address is not read.
            let target = "/callback/alpha?state=\(state)&code=EXAMPLE-other"
            #expect(try await browser.postFromElsewhere(target, "").status == 400)
            let good = try await browser.postFromElsewhere(target, "state=\(state)&code=EXAMPLE-code")
            #expect(good.status == 303)
            #expect(service.tokenRequests.count == 1)
        }
    }

    @Test func `a posted refusal ends the link`() async throws {
        try await run { service, browser in
            let state = try await browser.start(try await service.linkPath(Self.session))
            let response = try await browser.postFromElsewhere(
                "/callback/alpha", "state=\(state)&error=access_denied")
            #expect(response.status == 400 && response.text.contains("<code>access_denied</code>"))
            #expect(service.tokenRequests.isEmpty)
        }
    }
}
