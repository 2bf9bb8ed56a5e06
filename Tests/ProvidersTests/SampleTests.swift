import Accounts
import Cryptography
import JSON
import OAuth
import Providers
import Testing
import Transfer

/// What a recorded answer must come to.
enum Expectation: Sendable {
    /// A credential: its lifetimes in seconds, and its scopes.
    case token(lifetime: Int?, refresh: Bool, refreshLifetime: Int? = nil, scopes: [String], idToken: Bool = false)
    case tokenFailure(TokenRequestError, Disposition)
    /// A device authorization response: no grant of ours reads it, and taken for a token answer it is none.
    case deviceAuthorization
    /// The response to the profile request of that name.
    case profile(request: String, subject: String)
    /// Read together with other responses.
    case part(request: String)
    case notModified
    case failure(ResourceFailure)
    case revocation(RevocationOutcome)
    case discovery
    /// A success that no manifest asks for.
    case unread
    /// Sent by the provider itself, not an answer.
    case inbound
}

private func limited(
    _ reach: LimitSignal.Reach, after seconds: Double, counts: Bool = false
) -> Expectation {
    .failure(
        .limited(
            LimitSignal(
                reach: reach, until: sampleTime + .milliseconds(Int64(seconds * 1000)), countsAsInvalidRequest: counts))
    )
}

private func refused(_ code: TokenErrorCode, _ disposition: Disposition) -> Expectation {
    .tokenFailure(.refused(code), disposition)
}

private let dead = Disposition.relink(.consentRevoked)
private let googleScopes = [
    "openid", "https://www.googleapis.com/auth/userinfo.email", "https://www.googleapis.com/auth/userinfo.profile",
]

private let expectations: [String: [String: Expectation]] = [
    "discord": [
        "429_cloudflare_ban": limited(.everyone, after: 600, counts: true),
        "device_authorization": .deviceAuthorization,
        "device_pending": refused(.unrecognized("authorization_pending"), .retry),
        "invalid_client": refused(.invalidClient, .fixConfiguration),
        "invalid_grant_code": refused(.invalidGrant, dead),
        "invalid_grant_refresh": refused(.invalidGrant, dead),
        "oauth2_me": .unread,
        "oidc_userinfo": .unread,
        "revoke_ok": .revocation(.revoked),
        "token": .token(lifetime: 604_800, refresh: true, scopes: ["identify", "email"]),
        "token_client_credentials": .token(lifetime: 604_800, refresh: false, scopes: ["identify", "connections"]),
        "token_json_body_refused": .tokenFailure(.unavailable(status: 400), .retry),
        "token_refreshed": .token(lifetime: 604_800, refresh: true, scopes: ["identify", "email"]),
        "token_with_webhook": .token(lifetime: 604_800, refresh: true, scopes: ["identify", "webhook.incoming"]),
        "users_me": .profile(request: "user", subject: "412345678901234567"),
        "users_me_401_revoked": .failure(.unauthorized),
        "users_me_403_scope": .failure(.insufficientScope),
        "users_me_429_global": limited(.everyone, after: 1, counts: true),
        "users_me_429_shared": limited(.route, after: 1337, counts: false),
        "users_me_429_user": limited(.token, after: 65, counts: true),
        "users_me_connections": .unread,
        "users_me_email_null": .profile(request: "user", subject: "412345678901234569"),
        "users_me_guilds": .unread,
        "users_me_identify_only": .profile(request: "user", subject: "412345678901234568"),
        "webhook_application_deauthorized": .inbound,
    ],
    "github": [
        "device_access_denied": refused(.accessDenied, dead),
        "device_code": .deviceAuthorization,
        "device_device_flow_disabled": refused(.unrecognized("device_flow_disabled"), .retry),
        "device_expired_token": refused(.unrecognized("expired_token"), .retry),
        "device_pending": refused(.unrecognized("authorization_pending"), .retry),
        "device_slow_down": refused(.unrecognized("slow_down"), .retry),
        "revoke_204": .revocation(.revoked),
        "revoke_404": .revocation(.alreadyDead),
        "token_200_bad_refresh_token": refused(.invalidGrant, dead),
        "token_200_bad_verification_code": refused(.invalidGrant, dead),
        "token_200_error_form": refused(.invalidGrant, dead),
        "token_200_incorrect_client_credentials": refused(.invalidClient, .fixConfiguration),
        "token_200_redirect_uri_mismatch": refused(.invalidRequest, .fixConfiguration),
        "token_200_unverified_user_email": refused(.accessDenied, dead),
        "token_check": .unread,
        "token_github_app": .token(lifetime: 28800, refresh: true, refreshLifetime: 15_811_200, scopes: []),
        "token_github_app_refreshed": .token(lifetime: 28800, refresh: true, refreshLifetime: 15_811_200, scopes: []),
        "token_oauth_app": .token(lifetime: nil, refresh: false, scopes: ["read:user", "user:email"]),
        "token_oauth_app_expiring": .token(
            lifetime: 28800, refresh: true, refreshLifetime: 15_811_200,
            scopes: ["read:user", "user:email", "offline_access"]),
        "token_oauth_app_form": .token(lifetime: nil, refresh: false, scopes: ["read:user", "user:email"]),
        "user": .profile(request: "user", subject: "99123456"),
        "user_304": .notModified,
        "user_401_revoked": .failure(.unauthorized),
        "user_403_no_user_agent": .failure(.refused(status: 403)),
        "user_403_not_a_limit": .failure(.refused(status: 403)),
        "user_403_primary_limit": limited(.token, after: 1_795_188_000 - 1_795_185_773),
        "user_403_secondary_limit": limited(.everyone, after: 60),
        "user_429_secondary_no_retry_after": limited(.everyone, after: 60),
        "user_emails": .part(request: "emails"),
        "user_emails_404_scope": .failure(.refused(status: 404)),
        "user_public_scope": .profile(request: "user", subject: "99123456"),
        "user_renamed": .profile(request: "user", subject: "99123456"),
        "webhook_github_app_authorization": .inbound,
    ],
    "google": [
        "api_401": .failure(.unauthorized),
        "api_403_rate": limited(.token, after: 60),
        "api_403_scope": .failure(.insufficientScope),
        "api_429": limited(.everyone, after: 34),
        "device_code": .deviceAuthorization,
        "device_denied": refused(.accessDenied, dead),
        "device_pending": refused(.unrecognized("authorization_pending"), .retry),
        "device_quota": limited(.everyone, after: 60),
        "device_slow_down": refused(.unrecognized("slow_down"), .retry),
        "discovery": .discovery,
        "invalid_client": refused(.invalidClient, .fixConfiguration),
        "invalid_grant_bad_code": refused(.invalidGrant, dead),
        "invalid_grant_rapt": refused(.invalidGrant, dead),
        "invalid_grant_revoked": refused(.invalidGrant, dead),
        "revoke_400": .revocation(.alreadyDead),
        "revoke_ok": .revocation(.revoked),
        "risc_set_payload": .inbound,
        "token_first_consent": .token(lifetime: 3599, refresh: true, scopes: googleScopes, idToken: true),
        "token_granular_scope": .token(lifetime: 3599, refresh: true, scopes: Array(googleScopes.prefix(2))),
        "token_refreshed": .token(lifetime: 3599, refresh: false, scopes: googleScopes, idToken: true),
        "token_second_consent": .token(lifetime: 3599, refresh: false, scopes: googleScopes, idToken: true),
        "token_time_based": .token(lifetime: 3599, refresh: true, refreshLifetime: 604_799, scopes: googleScopes),
        "userinfo": .profile(request: "userinfo", subject: "100000000000000000011"),
        "userinfo_401": .failure(.unauthorized),
        "userinfo_openid_only": .profile(request: "userinfo", subject: "100000000000000000033"),
        "userinfo_workspace": .profile(request: "userinfo", subject: "100000000000000000022"),
    ],
]

@Suite struct SampleTests {
    static let all = expectations.flatMap { provider, files in files.keys.map { (provider, $0) } }
        .sorted { $0 < $1 }

    /// `oidc` is no server of its own: what it reads is in `claims.json` alone.
    @Test func `has recorded answers of every built-in provider`() throws {
        let manifests = try Fixture.manifests()
        #expect(expectations.keys.sorted() == manifests.filter { $0 != "oidc" })
        #expect(expectations.values.allSatisfy { $0.count >= 10 })
        #expect(try Fixture.names(of: "oidc") == [])
    }

    @Test(arguments: expectations.keys.sorted())
    func `expects something of every recorded answer`(_ id: String) throws {
        #expect(try Fixture.names(of: id) == expectations[id, default: [:]].keys.sorted())
    }

    @Test(arguments: all)
    func `a recorded answer comes to what its name says`(_ id: String, _ name: String) throws {
        let provider = try provider(id)
        let fixture = try Fixture(id, name)
        let response = fixture.response
        let expectation = try #require(expectations[id]?[name])
        if case .inbound = expectation {
            #expect(fixture.status == nil)
            return
        }
        #expect(fixture.status != nil)

        switch expectation {
        case .token(let lifetime, let refresh, let refreshLifetime, let scopes, let idToken):
            let answer = try token(response, provider)
            let credential = answer.credential
            #expect(credential.tokenType == "Bearer")
            #expect(credential.accessToken.reveal { $0.lowercased() }.contains("example"))
            #expect(credential.expiresAt == lifetime.map { sampleTime + .seconds($0) })
            #expect((credential.refreshToken != nil) == refresh)
            #expect(credential.refreshTokenExpiresAt == refreshLifetime.map { sampleTime + .seconds($0) })
            #expect(credential.scopes.map(\.rawValue) == scopes)
            #expect((answer.idToken != nil) == idToken)
            #expect(provider.limitSignal(in: response, now: sampleTime) == nil)
        case .tokenFailure(let error, let disposition):
            #expect(throws: error) { try token(response, provider) }
            #expect(error.failure.disposition == disposition)
            #expect(!error.tokenMayBeSpent)
            #expect(provider.limitSignal(in: response, now: sampleTime) == nil)
        case .deviceAuthorization:
            #expect(throws: TokenRequestError.malformed(reason: "no access_token")) { try token(response, provider) }
            #expect(provider.deviceAuthorizationEndpoint != nil || provider.issuer != nil)
        case .profile(let request, let subject):
            #expect(try provider.profile(from: [request: fixture.body()]).subject.rawValue == subject)
            #expect(provider.limitSignal(in: response, now: sampleTime) == nil)
        case .part(let request):
            let user = try Fixture(id, "user").body()
            let profile = try provider.profile(from: ["user": user, request: fixture.body()])
            #expect(try JSONValue(parsing: profile.raw)[request] == fixture.body())
        case .notModified:
            #expect(response.status == 304 && response.body.isEmpty)
            #expect(provider.limitSignal(in: response, now: sampleTime) == nil)
        case .failure(let failure):
            #expect(provider.failure(of: response, now: sampleTime) == failure)
        case .revocation(let outcome):
            let server = try provider.authorizationServer(metadata: metadata(provider))
            #expect(TokenRevocation.read(response, method: server.revocation) == outcome)
        case .discovery:
            let server = try provider.authorizationServer(metadata: metadata(provider))
            #expect(server.tokenEndpoint == "https://oauth2.googleapis.com/token")
            #expect(server.jwksURI == "https://www.googleapis.com/oauth2/v3/certs")
            #expect(server.idTokenAlgorithms == [.rs256])
        case .unread:
            #expect(response.status == 200)
            _ = try fixture.body()
            #expect(provider.limitSignal(in: response, now: sampleTime) == nil)
        case .inbound: break
        }
    }

    @Test func `no answer of a device that waits is taken for a dead grant`() throws {
        for id in expectations.keys {
            for name in try Fixture.names(of: id) where ["device_pending", "device_slow_down"].contains(name) {
                let response = try Fixture(id, name).response
                let provider = try provider(id)
                let error = try #require(throws: TokenRequestError.self) { try token(response, provider) }
                #expect(error.failure.disposition == .retry)
            }
        }
    }

    @Test func `a webhook's secrets in a token answer reach no description`() throws {
        let provider = try provider("discord")
        let answer = try token(Fixture("discord", "token_with_webhook").response, provider)
        #expect(!String(reflecting: answer).contains("example-"))
    }
}

private func token(_ response: TransferResponse, _ provider: Provider) throws -> AccessTokenResponse {
    try TokenEndpoint.read(
        response, dialect: provider.tokenDialect, requestedScopes: provider.scopes, requestedAt: sampleTime)
}

/// Google's own document; only it has an issuer among the three.
func metadata(_ provider: Provider) throws -> ProviderMetadata? {
    guard let issuer = provider.issuer else { return nil }
    return try ProviderMetadata.read(
        Fixture("google", "discovery").response, issuer: issuer, issuerAliases: provider.issuerAliases,
        allowedHosts: provider.metadataHosts)
}
