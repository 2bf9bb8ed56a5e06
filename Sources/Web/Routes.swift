import Hummingbird
import Store

/// Every address that is served, what it asks of a key, and what answers it.
extension WebServer {
    func routes() -> RouteTable {
        var routes = RouteTable(authentication: authentication)

        routes.api(.post, "/v1/link-sessions", .linksWrite, use: linkSessions.create)
        routes.api(.post, "/v1/device-links", .linksWrite, use: deviceLinks.create)
        routes.api(.get, "/v1/device-links/{id}", .linksWrite, use: deviceLinks.one)
        routes.api(.delete, "/v1/device-links/{id}", .linksWrite, use: deviceLinks.cancel)
        routes.api(.post, "/v1/device-links/{id}/confirm", .linksWrite, use: deviceLinks.confirm)
        routes.api(.get, "/v1/users/{user_id}/accounts", .accountsRead, use: accounts.ofUser)
        routes.api(.get, "/v1/accounts", .accountsRead, use: accounts.list)
        routes.api(.get, "/v1/accounts/{id}", .accountsRead, use: accounts.one)
        routes.api(.delete, "/v1/accounts/{id}", .accountsWrite, use: accounts.unlink)
        routes.api(.get, "/v1/accounts/{id}/profile", .accountsRead, use: profiles.ofAccount)
        routes.api(.get, "/v1/profiles/{provider}/{subject}", .accountsRead, use: profiles.ofSubject)
        routes.api(.post, "/v1/accounts/{id}/sync", .accountsWrite, use: profiles.syncNow)
        routes.api(.post, "/v1/accounts/{id}/access-token", .tokensRead, use: tokens.accessToken)
        routes.api(.get, "/v1/sync", .admin, use: sync.show)
        routes.api(.get, "/v1/providers", .accountsRead, use: providers.list)

        routes.on(.get, "/link/{token}", use: link.open)
        routes.on(.head, "/link/{token}", use: link.head)
        routes.on(.post, "/link/{token}", use: link.submit)
        // A HEAD must not spend a state, nor a POST where the provider does not answer by one.
        routes.on(.get, "/callback/{provider}", use: callback.receive)
        routes.on(.post, "/callback/{provider}", use: callback.receivePost)
        routes.get("/linked", use: callback.result)
        routes.get("/assets/style.css", use: styleSheet.response)

        // No key: its signature lets a message in.
        routes.on(.post, "/signals/{provider}", use: signals.receive)

        routes.get("/healthz", use: health.alive)
        routes.get("/readyz", use: health.ready)
        if settings.operatorAddress == nil { routes.get("/metrics", use: metrics.show) }
        routes.get("/openapi.json", use: health.openAPI)
        return routes
    }

    /// What an operator's own port serves, where there is one.
    func operatorRoutes() -> RouteTable {
        var routes = RouteTable(authentication: authentication)
        routes.get("/healthz", use: health.alive)
        routes.get("/readyz", use: health.ready)
        routes.get("/metrics", use: metrics.show)
        return routes
    }
}
