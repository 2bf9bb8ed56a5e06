package import Accounts
import JSON
package import Logging
import OAuth
package import Providers
package import Store
import Transfer

/// Links by device code (RFC 8628), for consoles and terminals: the person allows access in a browser of their own, and
/// this service asks the provider until they have. Whoever typed the code need not be the user whom the link is for, so
/// the user is shown the account and asked before it is theirs (§5.4).
package struct DeviceLinking: Sendable {
    /// Longer than a poll takes, with the keys and the profile that follow it.
    private static let lease: Duration = .seconds(180)
    /// How long the user has to say that the account is theirs.
    private static let confirmationLifetime: Duration = .seconds(600)
    /// A server that does not answer is asked half as often each time (§3.5), down to this.
    private static let intervalMax: Duration = .seconds(300)
    private static let claimedMax = 64

    private let database: Database
    private let catalog: ProviderCatalog
    private let client: ProviderClient
    private let servers: AuthorizationServers
    private let newAccounts: NewAccounts
    private let revocations: RevocationSender
    private let owner: String
    private let time: any TimeSource
    private let random: any RandomSource
    private let logger: Logger

    /// - Parameter owner: of leases; no two processes have the same.
    package init(
        database: Database, catalog: ProviderCatalog, client: ProviderClient, servers: AuthorizationServers,
        profiles: ProfileFetch, revocations: RevocationSender, owner: String, time: any TimeSource,
        random: any RandomSource, logger: Logger
    ) {
        self.database = database
        self.catalog = catalog
        self.client = client
        self.servers = servers
        newAccounts = NewAccounts(
            database: database, servers: servers, profiles: profiles, time: time, random: random)
        self.revocations = revocations
        self.owner = owner
        self.time = time
        self.random = random
        self.logger = logger
    }

    /// Asks the provider for a code. `return_to` of the order is not used.
    package func begin(_ order: AccountLinking.Order) async throws(DeviceLinkError) -> DeviceLink {
        let (user, provider, extra) = try validated(order)
        let server: AuthorizationServer
        do { server = try await servers.server(for: provider) } catch {
            throw .provider(
                error.disposition == .fixConfiguration ? "client_refused" : "provider_unavailable", error.detail)
        }
        guard let endpoint = server.deviceAuthorization else {
            throw .invalid([.init(pointer: "/provider", detail: Self.notOffered)])
        }
        let scopes = provider.scopes + extra.filter { !provider.scopes.contains($0) }
        let requestedAt = time.now()
        let authorization: DeviceAuthorization
        do {
            let response = try await client.send(
                DeviceAuthorizationGrant.authorizationRequest(
                    scopes: scopes, endpoint: endpoint, server: server, client: provider.client,
                    dialect: provider.tokenDialect, moment: client.moment),
                to: provider, route: "device_authorization", urgency: .callerWaits)
            do {
                authorization = try DeviceAuthorization.read(
                    response, endpoint: endpoint, dialect: provider.tokenDialect)
            } catch {
                throw DeviceLinkError.provider(
                    LinkFailure.code(for: provider.failure(error, of: response, now: time.now())),
                    "The provider gives no device code: \(error.word).")
            }
        } catch let error as DeviceLinkError {
            throw error
        } catch let error as ProviderRequestError {
            throw .provider("provider_unavailable", error.detail)
        } catch {
            throw .provider("provider_unavailable", "The provider could not be asked.")
        }
        do {
            let link = try await database.deviceLinks.create(
                DeviceLinkRequest(
                    userID: user, userLabel: order.userLabel, provider: provider.id, scopes: scopes,
                    confirm: order.confirm, fingerprint: Self.fingerprint(provider, server),
                    deviceCode: authorization.deviceCode, userCode: authorization.userCode,
                    verificationURI: authorization.verificationURI,
                    verificationURIComplete: authorization.verificationURIComplete,
                    expiresAt: requestedAt + authorization.lifetime, interval: authorization.interval))
            logger.info("Device link begun", metadata: ["provider": "\(provider.id)", "device_link": "\(link.id)"])
            return link
        } catch {
            throw .store(error)
        }
    }

    /// Every field of `order` that `begin` would refuse; nothing is asked or made.
    package func faults(in order: AccountLinking.Order) -> [LinkOrderError.InvalidField] {
        do {
            _ = try validated(order)
            return []
        } catch {
            guard case .invalid(let faults) = error else { return [] }
            return faults
        }
    }

    /// What is to be done now, leased to the caller, who hands each to `poll`.
    package func due(_ id: DeviceLinkID? = nil) async -> [ClaimedDeviceLink] {
        do {
            return try await database.deviceLinks.claimDue(
                id, owner: owner, lease: Self.lease, limit: Self.claimedMax)
        } catch {
            logger.error("Device links can't be read", metadata: ["error": "\(error)"])
            return []
        }
    }

    /// Polls one link until it is pending no more, in turn with other processes. Throws where the task is cancelled, and
    /// where the link is gone.
    package func wait(for id: DeviceLinkID) async throws -> DeviceLink {
        while true {
            guard let link = try await database.deviceLinks.link(id) else { throw CancellationError() }
            if link.status != .pending { return link }
            let now = time.now()
            // Another process that has it in hand is looked at again soon.
            try await time.sleep(for: max((link.nextAt ?? now) - now, .milliseconds(250)))
            for claimed in await due(id) { await poll(claimed) }
        }
    }

    /// Asks the provider once. Never throws: what came of it is the link's state.
    package func poll(_ claimed: ClaimedDeviceLink) async {
        let link = claimed.link
        do {
            guard let deviceCode = claimed.deviceCode, link.expiresAt > time.now() else {
                // Before the code was typed in, or before the account was confirmed.
                return try await end(link, LinkFailure("link_expired", "The time was over."))
            }
            try await poll(link, deviceCode)
        } catch let error as StoreError {
            // The lease runs out, and the link is polled again.
            logger.error(
                "A device link can't be stored", metadata: ["device_link": "\(link.id)", "error": "\(error)"])
        } catch {
            do { try await end(link, error as? LinkFailure ?? LinkFailure("server_error", "\(error)")) } catch {
                logger.error(
                    "A device link can't be stored", metadata: ["device_link": "\(link.id)", "error": "\(error)"])
            }
        }
    }

    private func poll(_ link: DeviceLink, _ deviceCode: Secret) async throws {
        guard let provider = catalog[link.provider], provider.isReady else {
            throw LinkFailure("configuration_changed", "The provider is not configured any more.")
        }
        let server: AuthorizationServer
        do { server = try await servers.server(for: provider) } catch {
            guard error.disposition != .fixConfiguration else { throw LinkFailure("client_refused", error.detail) }
            return try await postpone(link, interval: link.interval)
        }
        guard link.fingerprint == Self.fingerprint(provider, server) else {
            throw LinkFailure("configuration_changed", "The provider's configuration changed during the link.")
        }
        let requestedAt = time.now()
        // The tokens are bound to the key that proves the request that brings them: each may have its own.
        let key = server.dpop == .none ? nil : DPoPKey(random: random)
        let response: TransferResponse
        do {
            response = try await client.send(to: provider, route: "device_code", urgency: .callerWaits, key: key) {
                DeviceAuthorizationGrant.tokenRequest(
                    deviceCode: deviceCode, server: server, client: provider.client, dialect: provider.tokenDialect,
                    moment: $0)
            }
        } catch {
            switch error {
            case .paused(let until, _): return try await postpone(link, interval: link.interval, notBefore: until)
            case .transfer(.cancelled): return try await postpone(link, interval: link.interval)
            case .transfer, .store: return try await postpone(link, interval: link.interval * 2)
            }
        }
        switch DeviceAuthorizationGrant.read(
            response, dialect: provider.tokenDialect, requestedScopes: link.scopes, requestedAt: requestedAt,
            binding: key == nil ? .none : server.dpop)
        {
        case .pending: try await postpone(link, interval: link.interval)
        case .slowDown(let stated):
            // For good (§3.5); a server that names the interval means that one, if it is longer at all.
            let interval = stated.flatMap { $0 > link.interval ? $0 : nil } ?? link.interval + .seconds(5)
            try await postpone(link, interval: interval)
        case .unavailable: try await postpone(link, interval: link.interval * 2)
        case .expired: throw LinkFailure("link_expired", "The code was not typed in in time.")
        case .refused(.accessDenied): throw LinkFailure("access_denied", "The person declined.")
        case .refused(let code):
            let failure = provider.failure(.refused(code), of: response, now: time.now())
            throw LinkFailure(LinkFailure.code(for: failure), "The provider answers '\(code.rawValue)'.")
        case .malformed(let reason):
            throw LinkFailure("provider_error", "The provider's answer is unusable: \(reason).")
        case .granted(var answer):
            answer.bind(to: key)
            try await granted(answer, link, server: server, provider: provider, key: key)
        }
    }

    private func postpone(_ link: DeviceLink, interval: Duration, notBefore: Timestamp? = nil) async throws(StoreError)
    {
        let interval = min(interval, max(Self.intervalMax, link.interval))
        // Counted from now, after the answer: the server may count from either.
        let next = max(time.now() + interval, notBefore ?? .epoch)
        try await database.deviceLinks.postpone(
            link.id, owner: owner, to: min(next, max(link.expiresAt, time.now())), interval: interval)
    }

    private func granted(
        _ answer: AccessTokenResponse, _ link: DeviceLink, server: AuthorizationServer, provider: Provider,
        key: DPoPKey?
    ) async throws {
        let claims = try await newAccounts.verifiedClaims(
            answer, scopes: link.scopes, nonce: nil, server: server, provider: provider)
        let kept: JSONObject
        do { kept = try provider.kept(of: answer) } catch {
            throw LinkFailure("provider_error", "The answer can't be used: \(error).")
        }
        let credential = try await client.lasting(
            answer.credential, of: provider, server: server, scopes: link.scopes, key: key)
        let profile = try await newAccounts.profile(
            credential, claims, token: kept, user: link.userID, provider: provider)
        guard link.confirm else {
            let account = try await newAccounts.link(
                NewLink(deviceLinkID: link.id, link: link, credential: credential, profile: profile),
                provider: provider)
            return log(account, link)
        }
        let grant = DeviceGrant(
            credential: credential, subject: profile.subject, claims: profile.claims, raw: profile.raw)
        if try await database.deviceLinks.keep(grant, for: link.id, until: time.now() + Self.confirmationLifetime) {
            logger.info(
                "Device link awaits confirmation",
                metadata: ["provider": "\(link.provider)", "device_link": "\(link.id)"])
        } else {
            await forget(grant, link)
        }
    }

    /// The user has seen the account and says that it is theirs. `nil` where no account waits for that.
    package func confirm(_ id: DeviceLinkID) async throws(DeviceLinkError) -> DeviceLink? {
        do {
            guard let link = try await database.deviceLinks.link(id),
                let grant = try await database.deviceLinks.grant(of: id), link.expiresAt > time.now()
            else { return nil }
            guard let provider = catalog[link.provider], provider.isReady else {
                throw LinkFailure("configuration_changed", "The provider is not configured any more.")
            }
            let raw = try JSONValue(parsing: grant.raw, depthMax: JSONValue.composedDepthMax).object ?? JSONObject()
            var responses: [String: JSONValue] = [:]
            for (name, value) in raw { responses[name] = value }
            // As it is mapped now; whom it shows can't have changed.
            let profile = try provider.profile(from: responses)
            guard profile.subject == grant.subject else {
                throw LinkFailure("configuration_changed", "The provider's configuration changed during the link.")
            }
            let account = try await newAccounts.link(
                NewLink(deviceLinkID: link.id, link: link, credential: grant.credential, profile: profile),
                provider: provider)
            log(account, link)
            return try await database.deviceLinks.link(id)
        } catch let error as StoreError {
            throw .store(error)
        } catch let failure as LinkFailure {
            try await fail(id, failure)
            throw .provider(failure.code, failure.detail)
        } catch {
            throw .provider("server_error", "The profile can't be read: \(error).")
        }
    }

    /// Ends the link; tokens that waited to be confirmed are revoked. False where there is no such link.
    package func cancel(_ id: DeviceLinkID) async throws(StoreError) -> Bool {
        guard let link = try await database.deviceLinks.link(id) else { return false }
        let grant = try await database.deviceLinks.fail(id, error: "cancelled")
        if let grant { await forget(grant, link) }
        return true
    }

    private func fail(_ id: DeviceLinkID, _ failure: LinkFailure) async throws(DeviceLinkError) {
        do {
            if let link = try await database.deviceLinks.link(id) { try await end(link, failure) }
        } catch {
            throw .store(error)
        }
    }

    private func end(_ link: DeviceLink, _ failure: LinkFailure) async throws(StoreError) {
        let grant = try await database.deviceLinks.fail(link.id, error: failure.code)
        logger.notice(
            "A device link failed",
            metadata: [
                "provider": "\(link.provider)", "device_link": "\(link.id)", "code": "\(failure.code)",
                "detail": "\(failure.detail)",
            ])
        // Another user's grant would end with the tokens at many providers.
        if let grant, failure.code != "account_held" { await forget(grant, link) }
    }

    /// Revokes tokens that nobody wants, unless the same person's account is linked: its own grant may be the same one.
    private func forget(_ grant: DeviceGrant, _ link: DeviceLink) async {
        do {
            guard let provider = catalog[link.provider],
                try await database.accounts.account(provider: link.provider, subject: grant.subject) == nil
            else { return }
            // Nothing is stored under the id; the outbox wants one to seal to.
            let account = AccountID(at: time.now(), random: random)
            await revocations.revokeLate(grant.credential, of: account, user: link.userID, provider: provider)
        } catch {
            logger.error("Unwanted tokens can't be revoked", metadata: ["error": "\(error)"])
        }
    }

    private func log(_ account: LinkedAccount, _ link: DeviceLink) {
        logger.info(
            "Account linked",
            metadata: ["account": "\(account.id)", "provider": "\(link.provider)", "device_link": "\(link.id)"])
    }

    /// A link ends with the configuration and the endpoints it began with, or fails.
    private static func fingerprint(_ provider: Provider, _ server: AuthorizationServer) -> String {
        provider.fingerprint + "|" + (server.deviceAuthorization?.url ?? "") + "|" + server.tokenEndpoint
    }

    private static let notOffered = "has no device authorization endpoint (RFC 8628)"

    private func validated(
        _ order: AccountLinking.Order
    ) throws(DeviceLinkError) -> (UserID, Provider, [Scope]) {
        var faults = order.faults(in: catalog)
        if order.provider == nil { faults.append(.init(pointer: "/provider", detail: "is required")) }
        let provider = order.provider.flatMap { ProviderID($0) }.flatMap { catalog[$0] }
        if let provider, provider.issuer == nil, provider.deviceAuthorization == nil {
            faults.append(.init(pointer: "/provider", detail: Self.notOffered))
        }
        guard faults.isEmpty, let user = UserID(order.userID), let provider else { throw .invalid(faults) }
        return (user, provider, (order.scopes ?? []).compactMap { Scope($0) })
    }
}

extension NewLink {
    fileprivate init(deviceLinkID: DeviceLinkID, link: DeviceLink, credential: Credential, profile: Profile) {
        self.init(
            deviceLinkID: deviceLinkID, userID: link.userID, provider: link.provider, subject: profile.subject,
            credential: credential, requestedScopes: link.scopes, profile: profile, nextSyncAt: .epoch)
    }
}

/// Why there is no device link, or none that can be gone on with.
package enum DeviceLinkError: Error, Equatable {
    /// Every wrong field, by its JSON pointer.
    case invalid([LinkOrderError.InvalidField])
    /// A stable code, as a failed link has, and a sentence for a person.
    case provider(String, String)
    case store(StoreError)
}
