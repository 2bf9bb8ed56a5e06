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
    case discovery(token: String)
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
        "device_pending": refused(.authorizationPending, .retry),
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
        "device_expired_token": refused(.expiredToken, .retry),
        "device_pending": refused(.authorizationPending, .retry),
        "device_slow_down": refused(.slowDown, .retry),
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
    "apple": [
        "discovery": .discovery(token: "https://appleid.apple.com/auth/token"),
        "invalid_client": refused(.invalidClient, .fixConfiguration),
        "invalid_grant": refused(.invalidGrant, dead),
        "invalid_request": refused(.invalidRequest, .fixConfiguration),
        "revoke_ok": .revocation(.revoked),
        "token": .token(
            lifetime: 3600, refresh: true, scopes: ["openid", "name", "email"], idToken: true),
        "token_refreshed": .token(
            lifetime: 3600, refresh: false, scopes: ["openid", "name", "email"], idToken: true),
        "unauthorized_client": refused(.unauthorizedClient, .fixConfiguration),
    ],
    "github-app": [
        "revoke_204": .revocation(.revoked),
        "revoke_404": .revocation(.alreadyDead),
        "token_200_bad_refresh_token": refused(.invalidGrant, dead),
        "token_200_bad_verification_code": refused(.invalidGrant, dead),
        "token_200_incorrect_client_credentials": refused(.invalidClient, .fixConfiguration),
        "token_github_app": .token(lifetime: 28800, refresh: true, refreshLifetime: 15_811_200, scopes: []),
        "token_github_app_refreshed": .token(lifetime: 28800, refresh: true, refreshLifetime: 15_811_200, scopes: []),
        "user": .profile(request: "user", subject: "99123456"),
        "user_401_revoked": .failure(.unauthorized),
        "user_403_primary_limit": limited(.token, after: 1_795_188_000 - 1_795_185_773),
        "user_emails": .part(request: "emails"),
        "user_emails_404_scope": .failure(.refused(status: 404)),
        "webhook_github_app_authorization": .inbound,
    ],
    "gitlab": [
        "device": .deviceAuthorization,
        "invalid_grant": refused(.invalidGrant, dead),
        "token": .token(lifetime: 7200, refresh: true, scopes: ["read_user"]),
        "token_refreshed": .token(lifetime: 7200, refresh: true, scopes: ["read_user"]),
        "user": .profile(request: "user", subject: "2"),
        "user_401": .failure(.unauthorized),
        "user_403_scope": .failure(.insufficientScope),
        "user_403_terms": .failure(.refused(status: 403)),
        "user_429": limited(.token, after: 67),
        "user_unconfirmed": .profile(request: "user", subject: "3"),
    ],
    "microsoft": [
        "discovery": .discovery(token: "https://login.microsoftonline.com/common/oauth2/v2.0/token"),
        "graph_401": .failure(.unauthorized),
        "graph_403": .failure(.insufficientScope),
        "graph_429": limited(.everyone, after: 10),
        "graph_me": .profile(request: "me", subject: "00000000-1111-2222-3333-444444444444"),
        "graph_me_personal": .profile(request: "me", subject: "55555555-6666-7777-8888-999999999999"),
        "graph_photo_404": .failure(.refused(status: 404)),
        "interaction_required": refused(.interactionRequired, dead),
        "invalid_client": refused(.invalidClient, .fixConfiguration),
        "invalid_grant_inactive": refused(.invalidGrant, dead),
        "invalid_grant_revoked": refused(.invalidGrant, dead),
        "token": .token(
            lifetime: 3599, refresh: true, refreshLifetime: 90 * 86_400,
            scopes: ["openid", "profile", "email", "User.Read"], idToken: true),
        "token_refreshed": .token(
            lifetime: 5021, refresh: true, refreshLifetime: 90 * 86_400,
            scopes: ["openid", "profile", "email", "User.Read"]),
    ],
    "notion": [
        "bot": .profile(request: "bot", subject: "11111111-2222-3333-4444-555555555555"),
        "bot_400_no_version": .failure(.refused(status: 400)),
        "bot_401": .failure(.unauthorized),
        "bot_429": limited(.everyone, after: 7),
        "invalid_client": refused(.invalidClient, .fixConfiguration),
        "invalid_grant": refused(.invalidGrant, dead),
        "revoke_ok": .revocation(.revoked),
        "token": .token(lifetime: nil, refresh: true, scopes: []),
        "token_refreshed": .token(lifetime: nil, refresh: true, scopes: []),
        "token_without_refresh": .token(lifetime: nil, refresh: false, scopes: []),
    ],
    "reddit": [
        "invalid_client": refused(.invalidClient, .fixConfiguration),
        "me": .profile(request: "me", subject: "1a2b3c"),
        "me_401": .failure(.unauthorized),
        "me_403_scope": .failure(.insufficientScope),
        "me_429": limited(.everyone, after: 42),
        "me_plain": .profile(request: "me", subject: "9z8y7x"),
        "refresh_400": refused(.invalidGrant, dead),
        "token": .token(lifetime: 86_400, refresh: true, scopes: ["identity"]),
        "token_200_invalid_grant": refused(.invalidGrant, dead),
        "token_refreshed": .token(lifetime: 86_400, refresh: false, scopes: ["identity"]),
    ],
    "slack": [
        "429": limited(.everyone, after: 30),
        "discovery": .discovery(token: "https://slack.com/api/openid.connect.token"),
        "refresh_error": refused(.invalidGrant, dead),
        "revoke_ok": .revocation(.revoked),
        "token": .token(lifetime: nil, refresh: false, scopes: ["openid", "profile", "email"], idToken: true),
        "token_bad_secret": refused(.invalidClient, .fixConfiguration),
        "token_error": refused(.invalidGrant, dead),
        // Of an app's installation, not of Sign in with Slack.
        "token_v2_rotating": .unread,
        "userinfo": .profile(request: "userinfo", subject: "U0EXAMPLE"),
        "userinfo_invalid_auth": .failure(.unauthorized),
    ],
    "spotify": [
        "invalid_grant": refused(.invalidGrant, dead),
        "me": .profile(request: "me", subject: "0123456789abcdefghijkl"),
        "me_401": .failure(.unauthorized),
        "me_403": .failure(.refused(status: 403)),
        "me_429": limited(.everyone, after: 28),
        "me_development_mode": .profile(request: "me", subject: "0123456789abcdefghijkl"),
        "token": .token(lifetime: 3600, refresh: true, scopes: ["user-read-email", "user-read-private"]),
        "token_refreshed_no_refresh_token": .token(
            lifetime: 3600, refresh: false, scopes: ["user-read-email", "user-read-private"]),
    ],
    "strava": [
        "athlete": .profile(request: "athlete", subject: "134815"),
        "athlete_401": .failure(.unauthorized),
        "athlete_429": limited(.everyone, after: 127),
        "athlete_no_picture": .profile(request: "athlete", subject: "134816"),
        "deauthorize_ok": .revocation(.revoked),
        "invalid_client": refused(.invalidClient, .fixConfiguration),
        "invalid_client_secret": refused(.invalidClient, .fixConfiguration),
        "invalid_grant_code": refused(.invalidGrant, dead),
        "invalid_grant_refresh": refused(.invalidGrant, dead),
        "token": .token(lifetime: 21600, refresh: true, scopes: ["read"]),
        "token_refreshed": .token(lifetime: 20566, refresh: true, scopes: ["read"]),
    ],
    "twitch": [
        "helix_401": .failure(.unauthorized),
        "helix_401_no_client_id": .failure(.unauthorized),
        "helix_429": limited(.token, after: 60),
        "helix_users": .profile(request: "users", subject: "900000001"),
        "helix_users_empty": .unread,
        "refresh_400": refused(.invalidGrant, dead),
        "token": .token(lifetime: 14124, refresh: true, scopes: ["user:read:email"]),
        "token_403_client_secret": refused(.invalidClient, .fixConfiguration),
        "token_refreshed": .token(lifetime: 13987, refresh: true, scopes: ["user:read:email"]),
        "validate": .unread,
        "validate_401": .failure(.unauthorized),
    ],
    "x": [
        "address": .part(request: "address"),
        "invalid_client": refused(.unauthorizedClient, .fixConfiguration),
        "invalid_grant": refused(.invalidGrant, dead),
        "me": .profile(request: "me", subject: "2244994945123456789"),
        "me_401": .failure(.unauthorized),
        "me_403_scope": .failure(.refused(status: 403)),
        "me_429": limited(.token, after: 900),
        "revoke_ok": .revocation(.revoked),
        "token": .token(lifetime: 7200, refresh: true, scopes: ["users.read", "tweet.read", "offline.access"]),
        "token_refreshed": .token(
            lifetime: 7200, refresh: true, scopes: ["users.read", "tweet.read", "offline.access"]),
    ],
    "google": [
        "api_401": .failure(.unauthorized),
        "api_403_rate": limited(.token, after: 60),
        "api_403_scope": .failure(.insufficientScope),
        "api_429": limited(.everyone, after: 34),
        "device_code": .deviceAuthorization,
        "device_denied": refused(.accessDenied, dead),
        "device_pending": refused(.authorizationPending, .retry),
        "device_quota": limited(.everyone, after: 60),
        "device_slow_down": refused(.slowDown, .retry),
        "discovery": .discovery(token: "https://oauth2.googleapis.com/token"),
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
        #expect(expectations.values.allSatisfy { $0.count >= 8 })
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
            #expect(provider.deviceAuthorization != nil || provider.issuer != nil)
        case .profile(let request, let subject):
            #expect(try provider.profile(from: [request: fixture.body()]).subject.rawValue == subject)
            #expect(provider.limitSignal(in: response, now: sampleTime) == nil)
        case .part(let request):
            let first = id == "x" ? "me" : "user"
            let profile = try provider.profile(from: [first: Fixture(id, first).body(), request: fixture.body()])
            #expect(try JSONValue(parsing: profile.raw)[request] == fixture.body())
        case .notModified:
            #expect(response.status == 304 && response.body.isEmpty)
            #expect(provider.limitSignal(in: response, now: sampleTime) == nil)
        case .failure(let failure):
            #expect(provider.failure(of: response, now: sampleTime) == failure)
        case .revocation(let outcome):
            let server = try provider.authorizationServer(metadata: metadata(provider))
            #expect(TokenRevocation.read(response, method: server.revocation) == outcome)
        case .discovery(let token):
            let server = try provider.authorizationServer(metadata: metadata(provider))
            #expect(server.tokenEndpoint == token)
            #expect(server.jwksURI != nil)
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

/// The recorded document of the manifest that has one.
func metadata(_ provider: Provider, of manifest: String? = nil) throws -> ProviderMetadata? {
    guard let issuer = provider.issuer else { return nil }
    return try ProviderMetadata.read(
        Fixture(manifest ?? provider.manifestID, "discovery").response, issuer: issuer,
        issuerAliases: provider.issuerAliases,
        allowedHosts: provider.metadataHosts)
}
