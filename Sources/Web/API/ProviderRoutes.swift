import Accounts
import Hummingbird
import Providers

/// What can be linked here, and what is still missing for it.
struct ProviderRoutes: Sendable {
    let catalog: ProviderCatalog
    let site: Site

    /// GET /v1/providers, in configured order.
    func list(_ call: APIRequest) async throws -> Response {
        var query = try QueryReader(call.http)
        let page = query.page()
        try query.finish()
        let providers = catalog.providers
        let start = page.after.map { after in
            (providers.firstIndex { $0.id.rawValue == after } ?? providers.count - 1) + 1
        }
        let shown = providers.dropFirst(start ?? 0)
        let items = shown.prefix(page.limit)
        return .json(
            .list(items.map(output), next: items.count < shown.count ? items.last?.id.rawValue : nil))
    }

    private func output(_ provider: Provider) -> JSONOutput {
        var members: [(String, JSONOutput)] = [
            ("id", .string(provider.id.rawValue)), ("name", .string(provider.name)),
            ("manifest", .string(provider.manifestID)), ("scopes", .strings(provider.scopes.map(\.rawValue))),
            ("grants", .strings(provider.grantsOffered)), ("missing", .strings(provider.missing)),
            // Shown, for a flow without it leans on the state alone.
            ("pkce", .string(Self.text(provider.pkce))),
            ("redirect_uri", .string(site.publicURL + "/callback/" + provider.id.rawValue)),
        ]
        if let documentation = provider.documentation { members.append(("documentation", .string(documentation))) }
        return .object(members)
    }

    private static func text(_ value: some RawRepresentable<String>) -> String { value.rawValue }
}
