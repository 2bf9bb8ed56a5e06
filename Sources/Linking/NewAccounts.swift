import Accounts
import JSON
import OAuth
import Providers
import Store

/// From an answer of the token endpoint that brings a new grant to a linked account, whatever grant it was.
struct NewAccounts: Sendable {
    let database: Database
    let servers: AuthorizationServers
    let profiles: ProfileFetch
    let time: any TimeSource
    let random: any RandomSource

    /// The profile of whoever gave the grant: read anew, with this very token, and checked against the ID token.
    ///
    /// - Parameters:
    ///   - claims: of the verified ID token, where there is one.
    ///   - callback: what was kept of it.
    ///   - token: what was kept of the token endpoint's answer.
    func profile(
        _ credential: Credential, _ claims: JSONObject?, callback: JSONObject = JSONObject(), token: JSONObject,
        user: UserID, provider: Provider
    ) async throws(LinkFailure) -> Profile {
        let profile = try await firstProfile(credential, claims, callback: callback, token: token, provider: provider)
        return try await keepingCallback(profile, user: user, provider: provider)
    }

    /// Stores both, in the one transaction that ends what the link began with.
    func link(_ link: NewLink, provider: Provider) async throws(LinkFailure) -> LinkedAccount {
        let policy = provider.syncPolicy
        let interval = max(policy.interval, policy.minimumInterval).secondsAsDouble * random.uniform(0.95...1.05)
        var link = link
        link.nextSyncAt = time.now() + .milliseconds(Int64(interval * 1000))
        link.difference = ProfilePatch.text
        do {
            switch try await database.accounts.link(link) {
            case .linked(let account, _): return account
            case .heldByAnotherUser:
                // The new tokens are not revoked: many providers would end the other user's grant with them.
                throw LinkFailure("account_held", "Another user holds this account.")
            case .sessionEnded: throw LinkFailure("link_expired", "The link was ended while it was on its way.")
            }
        } catch let failure as LinkFailure {
            throw failure
        } catch {
            throw LinkFailure("server_error", "The link could not be stored: \(error).")
        }
    }

    /// The ID token's claims, verified; `nil` where the provider is none of OpenID's.
    func verifiedClaims(
        _ response: AccessTokenResponse, scopes: [Scope], nonce: Secret?, server: AuthorizationServer,
        provider: Provider
    ) async throws(LinkFailure) -> JSONObject? {
        guard let issuer = server.issuer, scopes.contains(where: { $0.rawValue == "openid" }) else { return nil }
        guard let idToken = response.idToken else {
            throw LinkFailure("provider_error", "The provider's answer has no ID token.")
        }
        for refetching in [false, true] {
            do {
                let keys = try await servers.keys(for: provider, server: server, refetching: refetching)
                return try idToken.reveal { token throws(IDTokenError) in
                    try IDToken.verify(
                        token, keys: keys, issuer: issuer, issuerAliases: provider.issuerAliases,
                        clientID: provider.client.clientID, nonce: nonce?.reveal { $0 },
                        accessToken: response.credential.accessToken.reveal { $0 },
                        algorithms: server.idTokenAlgorithms, now: time.now())
                }
            } catch IDTokenError.unknownKey where !refetching {
                continue
            } catch let error as AuthorizationServerError {
                throw LinkFailure("provider_unavailable", error.detail)
            } catch {
                throw LinkFailure("provider_error", "The provider's ID token is not acceptable: \(error).")
            }
        }
        throw LinkFailure("provider_error", "The provider's ID token names a key that it does not publish.")
    }

    private func firstProfile(
        _ credential: Credential, _ claims: JSONObject?, callback: JSONObject, token: JSONObject, provider: Provider
    ) async throws(LinkFailure) -> Profile {
        switch await profiles.fetch(
            provider: provider, account: nil, credential: credential, idTokenClaims: claims, callback: callback,
            token: token, urgency: .callerWaits)
        {
        case .profile(let profile, _): return profile
        case .notModified: throw LinkFailure("profile_unavailable", "The provider answers 304 to a first request.")
        case .failed(let failure):
            let code = failure.problemCode == .scopeLost ? "scope_missing" : "profile_unavailable"
            throw LinkFailure(code, failure.detail)
        }
    }

    /// An account that is linked again keeps what only an earlier callback said.
    private func keepingCallback(
        _ profile: Profile, user: UserID, provider: Provider
    ) async throws(LinkFailure) -> Profile {
        guard !provider.keptParameters.isEmpty else { return profile }
        do {
            guard let held = try await database.accounts.account(provider: provider.id, subject: profile.subject),
                held.userID == user, let document = try database.profiles.document(account: held.id)
            else { return profile }
            let raw = try JSONValue(parsing: document.bytes, depthMax: JSONValue.composedDepthMax)["raw"]
            return try provider.profile(profile, keepingCallbackOf: raw?.text ?? "{}")
        } catch {
            throw LinkFailure("server_error", "The profile held until now can't be read: \(error).")
        }
    }
}

struct LinkFailure: Error {
    var code: String
    var detail: String

    init(_ code: String, _ detail: String) {
        self.code = code
        self.detail = detail
    }

    static func code(for failure: Failure) -> String {
        switch failure {
        case .registrationRefused, .requestRefused: "client_refused"
        case .throttled, .providerDown, .answerUnreadable: "provider_unavailable"
        case .grantRefused, .scopeLost, .personGone, .unknown: "provider_error"
        }
    }
}
