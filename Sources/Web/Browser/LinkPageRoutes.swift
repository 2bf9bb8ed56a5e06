import Accounts
import HTTPTypes
import Hummingbird
import Linking
import Providers
import Store

/// The pages of a link session, at the address that the application sent the browser to.
struct LinkPageRoutes: Sendable {
    let flow: LinkFlow

    /// On one page; who has more sees the rest once some are unlinked.
    private static let accountsShownMax = 200

    private var site: Site { flow.site }

    /// HEAD /link/{token}: link previews and the like. Says nothing, does nothing.
    func head(_ request: Request, _ context: WebContext) async throws -> Response {
        flow.message(.ok, .notNow, code: "head", context).createHeadResponse()
    }

    /// GET /link/{token}: binds the session to this browser and shows what is about to happen.
    func open(_ request: Request, _ context: WebContext) async throws -> Response {
        if request.isPrefetch || !request.isNavigation {
            return flow.message(.serviceUnavailable, .notNow, code: "prefetch", context)
        }
        try flow.refuseExhausted(request, context)
        guard let (token, session) = try await find(context) else { return unknown(request, context) }
        guard session.status == .open else { return flow.message(.gone, .used, code: "link_used", context) }
        let carried = BrowserCookie(request, site: site)
        let cookie: BrowserCookie?
        if session.isBound {
            cookie = carried
        } else if let carried, carried.isFor(session.userID) {
            cookie = carried
        } else {
            // A browser that changed hands gets a new secret, and what the one before began is out of reach.
            cookie = BrowserCookie(for: session.userID, random: flow.random)
        }
        guard let cookie, let bound = try await bind(token, cookie) else {
            flow.countFailure(request, context)
            return flow.message(.badRequest, .otherBrowser, code: "other_browser", context)
        }
        context.notes.cookies = [cookie.setCookie(site)]
        // What the user before began with another secret goes with it.
        if flow.expectsPosts, carried?.secret != cookie.secret {
            context.notes.cookies.append(BrowserCookie.endPosted(site))
        }
        guard let provider = bound.provider, !bound.confirm else { return try await page(bound, cookie, context) }
        return try await start(provider, token, bound, cookie, request, context)
    }

    /// POST /link/{token}: goes to the provider, or unlinks. Only from a form that this browser was shown.
    func submit(_ request: Request, _ context: WebContext) async throws -> Response {
        try flow.refuseExhausted(request, context)
        guard request.isSameOrigin(as: site) else { return forged(request, context) }
        let form = try await request.formParameters()
        guard let (token, session) = try await find(context) else { return unknown(request, context) }
        guard session.status == .open else { return flow.message(.gone, .used, code: "link_used", context) }
        guard let cookie = BrowserCookie(request, site: site), form.count(of: "csrf") == 1,
            cookie.isCSRFToken(form["csrf"], session: session.id)
        else { return forged(request, context) }
        guard session.isBound, let bound = try await bind(token, cookie) else {
            flow.countFailure(request, context)
            return flow.message(.badRequest, .otherBrowser, code: "other_browser", context)
        }
        if let id = form["unlink"] { return try await unlink(id, form, bound, cookie, context) }
        if form["keep"] != nil { return site.redirect(to: site.basePath + "/link/" + token) }
        let wanted = form["provider"].flatMap { ProviderID($0) } ?? bound.provider
        guard let wanted, bound.provider == nil || bound.provider == wanted else {
            return flow.message(.badRequest, .badForm, code: "provider_not_offered", context)
        }
        return try await start(wanted, token, bound, cookie, request, context)
    }

    private func find(_ context: WebContext) async throws -> (String, LinkSession)? {
        // 32 bytes in base64url; anything else is not worth a query.
        guard let token = context.parameters.get("token"), token.utf8.count == 43,
            let session = try await flow.database.linkSessions.session(token: token)
        else { return nil }
        return (token, session)
    }

    private func bind(_ token: String, _ cookie: BrowserCookie) async throws -> LinkSession? {
        try await flow.database.linkSessions.bind(token: token, browser: cookie.secret.reveal { $0 })
    }

    private func unknown(_ request: Request, _ context: WebContext) -> Response {
        flow.countFailure(request, context)
        return flow.message(.notFound, .ended, code: "link_not_found", context)
    }

    private func forged(_ request: Request, _ context: WebContext) -> Response {
        flow.countFailure(request, context)
        return flow.message(.forbidden, .forged, code: "form_not_accepted", context)
    }

    private func start(
        _ provider: ProviderID, _ token: String, _ session: LinkSession, _ cookie: BrowserCookie, _ request: Request,
        _ context: WebContext
    ) async throws -> Response {
        if let wait = flow.starts.take(site.client(of: request, context), now: flow.time.now()) {
            throw Problem.rateLimited(wait: wait)
        }
        context.notes["provider"] = provider.rawValue
        do {
            let url = try await flow.linking.authorize(
                token: token, browser: cookie.secret.reveal { $0 }, provider: provider)
            var response = site.redirect(to: url)
            if flow.catalog[provider]?.answersByPost == true {
                response.headers.append(HTTPField(name: .setCookie, value: cookie.setPostedCookie(site)))
            }
            return response
        } catch {
            return try flow.failure(error, provider, context)
        }
    }

    private func page(_ session: LinkSession, _ cookie: BrowserCookie, _ context: WebContext) async throws -> Response {
        let user = LinkFlow.userText(session)
        let csrf = cookie.csrfToken(session: session.id)
        guard let id = session.provider else { return try await chooser(session, cookie, context) }
        let badge = flow.badge(id)
        return site.html(
            .ok, ConfirmPage(title: "Link your \(badge.name) account", provider: badge, user: user, csrf: csrf),
            requestID: context.requestID, formTargets: flow.formTargets(session))
    }

    private func chooser(
        _ session: LinkSession, _ cookie: BrowserCookie, _ context: WebContext, notice: String? = nil
    ) async throws -> Response {
        let accounts = try await flow.database.accounts.accounts(of: session.userID, limit: Self.accountsShownMax).items
        let page = ChooserPage(
            user: LinkFlow.userText(session), csrf: cookie.csrfToken(session: session.id),
            providers: flow.catalog.providers.filter(\.isReady).map { flow.badge($0) },
            accounts: accounts.map(shown), notice: notice)
        return site.html(.ok, page, requestID: context.requestID, formTargets: flow.formTargets(session))
    }

    private func shown(_ account: AccountWithClaims) -> ChooserPage.Account {
        let warning: String? =
            switch account.account.status {
            case .needsRelink: "Access has ended. Link it again to keep it up to date."
            case .suspended: "The provider says that this account is suspended."
            case .active, .paused: nil
            }
        return ChooserPage.Account(
            id: account.account.id.rawValue, provider: flow.badge(account.account.provider),
            name: LinkFlow.label(account.account, claims: account.claims), warning: warning)
    }

    /// Asks first; then unlinks an account of the session's own user and shows what is left.
    private func unlink(
        _ id: String, _ form: FormParameters, _ session: LinkSession, _ cookie: BrowserCookie, _ context: WebContext
    ) async throws -> Response {
        guard session.provider == nil, let id = AccountID(id),
            let account = try await flow.database.accounts.accountWithClaims(id),
            account.account.userID == session.userID
        else {
            return flow.message(.notFound, .badForm, code: "account_not_found", context)
        }
        let shown = shown(account)
        guard form["confirmed"] == "yes" else {
            let page = UnlinkPage(
                title: "Unlink \(shown.provider.name)?", account: shown, user: LinkFlow.userText(session),
                csrf: cookie.csrfToken(session: session.id))
            return site.html(.ok, page, requestID: context.requestID)
        }
        _ = try await flow.linking.unlink(account.account.id)
        context.notes["outcome"] = "unlinked"
        return try await chooser(
            session, cookie, context, notice: "Your \(shown.provider.name) account \(shown.name) is no longer linked.")
    }
}
