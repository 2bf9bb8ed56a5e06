import Accounts
import HTTPTypes
import Hummingbird
import JSON
import Linking
import Providers
import Store

/// What the link page and the callback share.
struct LinkFlow: Sendable {
    let linking: AccountLinking
    let database: Database
    let catalog: ProviderCatalog
    let site: Site
    let time: any TimeSource
    let random: any RandomSource
    /// Flows that leave for a provider.
    let starts = AddressRateLimit(burst: 60, interval: .seconds(1))
    /// Tokens and states that are not ours: an address that brings many is not listened to for a while.
    let failures = AddressRateLimit(burst: 30, interval: .seconds(2))

    /// Some provider answers by a POST.
    var expectsPosts: Bool { catalog.providers.contains(where: \.answersByPost) }

    func badge(_ provider: Provider) -> ProviderBadge { ProviderBadge(id: provider.id, name: provider.name) }

    func badge(_ id: ProviderID) -> ProviderBadge { ProviderBadge(id: id, name: catalog[id]?.name ?? id.rawValue) }

    /// Before any work is done for an address that has failed too often.
    func refuseExhausted(_ request: Request, _ context: WebContext) throws(Problem) {
        if let wait = failures.wait(site.client(of: request, context), now: time.now()) {
            throw .rateLimited(wait: wait)
        }
    }

    func countFailure(_ request: Request, _ context: WebContext) {
        _ = failures.take(site.client(of: request, context), now: time.now())
    }

    func message(
        _ status: HTTPResponse.Status, _ text: FailureText, code: String, _ context: WebContext
    ) -> Response {
        context.notes["outcome"] = code
        return site.html(
            status,
            MessagePage(
                title: text.title, message: text.message, advice: text.advice(site.applicationName), code: code),
            requestID: context.requestID)
    }

    func failure(_ error: LinkStartError, _ provider: ProviderID, _ context: WebContext) throws -> Response {
        let name = badge(provider).name
        switch error {
        case .sessionEnded: return message(.gone, .used, code: "link_used", context)
        case .providerNotOffered: return message(.badRequest, .badForm, code: "provider_not_offered", context)
        case .provider(let error):
            let code = error.disposition == .fixConfiguration ? "client_refused" : "provider_unavailable"
            return message(.serviceUnavailable, FailureText(code: code, provider: name), code: code, context)
        case .store(let error): throw error
        }
    }

    /// Origins that a form of the session's page may be led on to. Browsers hold `form-action` against every redirect
    /// that follows, and providers lead on to sign-in hosts of their own or their customers', which nobody can list. A
    /// service on plain http is one on a developer's machine, and so are its providers.
    func formTargets(_ session: LinkSession) -> [String] {
        if site.origin.hasPrefix("http:") { return ["https:", "http:"] }
        let returnOrigin = session.returnTo.flatMap { Site.origin(of: $0) }
        return ["https:"] + [returnOrigin].compactMap(\.self).filter { !$0.hasPrefix("https:") }
    }

    /// Who a session is for, as the user would know themselves.
    static func userText(_ session: LinkSession) -> String {
        let label = session.userLabel.map { DisplayText.bounded($0, 120) } ?? ""
        return label.isEmpty ? "User " + DisplayText.bounded(session.userID.rawValue, 120) : label
    }

    /// What a person calls an account: its user name there, else a name, an address, the provider's id.
    static func label(_ account: LinkedAccount, claims: String?) -> String {
        // Stored by us; unreadable is as good as none.
        let claims = claims.flatMap { try? JSONValue(parsing: $0, depthMax: JSONValue.composedDepthMax) }
        let names = ["preferred_username", "name", "email"].compactMap { claims?[$0]?.string }
        let label = names.map { DisplayText.bounded($0, 80) }.first { !$0.isEmpty }
        return label ?? DisplayText.bounded(account.subject.rawValue, 80)
    }
}

extension Request {
    /// A page fetched before anyone asked for it (Fetch Metadata's `Sec-Purpose`, and what came before it).
    var isPrefetch: Bool {
        [HTTPField.Name.secPurpose, .purpose, .xMoz].contains { name in
            headers[name]?.lowercased().contains("prefetch") == true
                || headers[name]?.lowercased().contains("prerender") == true
        }
    }

    /// Fetched to be shown, not as an image, a script or a frame of another page. Browsers that don't say pass.
    var isNavigation: Bool {
        if let mode = headers[.secFetchMode], mode != "navigate" { return false }
        if let destination = headers[.secFetchDest], destination != "document" { return false }
        return true
    }

    /// Whether a form was sent from a page of ours. `Origin: null` is what browsers make of our own pages' origin under
    /// `Referrer-Policy: no-referrer`, so that alone refuses nothing: the token in the form decides.
    func isSameOrigin(as site: Site) -> Bool {
        if let fetchSite = headers[.secFetchSite] { return fetchSite == "same-origin" }
        guard let origin = headers[.origin], origin != "null" else { return true }
        return origin.lowercased() == site.origin
    }
}
