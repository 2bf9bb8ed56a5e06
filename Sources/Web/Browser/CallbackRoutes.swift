import Accounts
import HTTPTypes
import Hummingbird
import Linking
import Providers
import Store

/// Where providers send browsers back to, and the page that says how it ended.
struct CallbackRoutes: Sendable {
    let flow: LinkFlow

    private var site: Site { flow.site }

    /// GET /callback/{provider}. The code never stays in the address bar: success leads elsewhere at once.
    func receive(_ request: Request, _ context: WebContext) async throws -> Response {
        if request.isPrefetch { return flow.message(.serviceUnavailable, .notNow, code: "prefetch", context) }
        let provider = try provider(request, context, byPost: false)
        guard let cookie = BrowserCookie(request, site: site) else {
            return refused("other_browser", .otherBrowser, request, context)
        }
        let target = request.head.path ?? ""
        let query = target.firstIndex(of: "?").map { String(target[target.index(after: $0)...]) } ?? ""
        return try await complete(provider, query, cookie, request, context)
    }

    /// POST /callback/{provider}: the same where the provider has the browser post its answer (OAuth 2.0 Form Post
    /// Response Mode). What stands in the address is not read.
    func receivePost(_ request: Request, _ context: WebContext) async throws -> Response {
        let provider = try provider(request, context, byPost: true)
        let form = try await request.formText()
        guard let cookie = BrowserCookie(request, site: site) ?? BrowserCookie(posted: request, site: site) else {
            return refused("other_browser", .otherBrowser, request, context)
        }
        return try await complete(provider, form, cookie, request, context)
    }

    /// Whose callback it is; a provider's answer comes in the one way that was asked for.
    private func provider(_ request: Request, _ context: WebContext, byPost: Bool) throws(Problem) -> ProviderID {
        try flow.refuseExhausted(request, context)
        guard let id = context.parameters.get("provider").flatMap({ ProviderID($0) }), let provider = flow.catalog[id]
        else { throw .routeNotFound }
        guard provider.answersByPost == byPost else {
            throw .methodNotAllowed([provider.answersByPost ? .post : .get])
        }
        context.notes["provider"] = id.rawValue
        return id
    }

    private func complete(
        _ provider: ProviderID, _ query: String, _ cookie: BrowserCookie, _ request: Request, _ context: WebContext
    ) async throws -> Response {
        let completion = await flow.linking.complete(
            provider: provider, query: query, browser: cookie.secret.reveal { $0 })
        let name = flow.badge(provider).name
        switch completion {
        case .linked(let account, let returnTo):
            context.notes["outcome"] = "linked"
            context.notes["account"] = account.id.rawValue
            // What this browser began before it held the account can't be ended with what it holds now.
            let fresh = BrowserCookie(for: account.userID, random: flow.random)
            var response = site.redirect(
                to: returnTo.map {
                    ReturnAddress.adding(
                        [("status", "linked"), ("account_id", account.id.rawValue), ("provider", provider.rawValue)],
                        to: $0)
                } ?? resultAddress)
            response.headers.append(HTTPField(name: .setCookie, value: fresh.setCookie(site)))
            if flow.catalog[provider]?.answersByPost == true {
                response.headers.append(HTTPField(name: .setCookie, value: BrowserCookie.endPosted(site)))
            }
            if returnTo == nil {
                let result = LinkResult.linked(account.id).setCookie(fresh, site)
                response.headers.append(HTTPField(name: .setCookie, value: result))
            }
            return response
        case .failed(let code, _, let returnTo?):
            context.notes["outcome"] = code
            return site.redirect(to: ReturnAddress.adding([("status", "failed"), ("error", code)], to: returnTo))
        case .failed(let code, _, nil) where FormParameters(parsing: query)?["error"] == nil:
            context.notes["outcome"] = code
            var response = site.redirect(to: resultAddress)
            let result = LinkResult.failed(code: code, provider: provider).setCookie(cookie, site)
            response.headers.append(HTTPField(name: .setCookie, value: result))
            return response
        case .failed(let code, _, nil):
            return flow.message(.badRequest, FailureText(code: code, provider: name), code: code, context)
        case .refused("server_error"):
            let text = FailureText(code: "server_error", provider: name)
            return flow.message(.serviceUnavailable, text, code: "server_error", context)
        case .refused(let code):
            return refused(code, FailureText(code: code, provider: name), request, context)
        }
    }

    private var resultAddress: String { site.basePath + "/linked" }

    private func refused(_ code: String, _ text: FailureText, _ request: Request, _ context: WebContext) -> Response {
        flow.countFailure(request, context)
        return flow.message(.badRequest, text, code: code, context)
    }

    /// GET /linked
    func result(_ request: Request, _ context: WebContext) async throws -> Response {
        let nothing = flow.message(.notFound, .nothingHere, code: "nothing_here", context)
        guard let cookie = BrowserCookie(request, site: site),
            let result = LinkResult(request, cookie, site: site)
        else { return nothing }
        switch result {
        case .linked(let id):
            guard let found = try await flow.database.accounts.accountWithClaims(id), cookie.isFor(found.account.userID)
            else { return nothing }
            let account = found.account
            let badge = flow.badge(account.provider)
            let page = LinkedPage(
                title: "\(badge.name) is linked", provider: badge, name: LinkFlow.label(account, claims: found.claims))
            return site.html(.ok, page, requestID: context.requestID)
        case .failed(let code, let provider):
            return flow.message(.ok, FailureText(code: code, provider: flow.badge(provider).name), code: code, context)
        }
    }
}
