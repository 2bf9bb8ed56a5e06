import Accounts
import OAuth
import Testing
import Transfer

/// Recorded answers of token and revocation endpoints, read with the dialect that each provider's manifest declares.
@Suite struct ProviderSampleTests {
    static let github = TokenDialect(errorCodes: [
        "bad_verification_code": .invalidGrant, "incorrect_client_credentials": .invalidClient,
        "redirect_uri_mismatch": .invalidRequest, "bad_refresh_token": .invalidGrant,
        "unverified_user_email": .accessDenied,
    ])
    static let slack = TokenDialect(
        bearerTokenTypes: ["bot", "user"],
        errorCodes: ["invalid_code": .invalidGrant, "invalid_refresh_token": .invalidGrant])
    static let twitch = TokenDialect(errorCodes: [
        "Invalid refresh token": .invalidGrant, "invalid client secret": .invalidClient,
    ])
    static let standard = TokenDialect()

    static func dialect(_ path: String) -> TokenDialect {
        switch path.prefix(while: { $0 != "/" }) {
        case "github": github
        case "slack": slack
        case "twitch": twitch
        default: standard
        }
    }

    static let refusals: [String: TokenErrorCode] = [
        "discord/invalid_client": .invalidClient, "discord/invalid_grant_code": .invalidGrant,
        "discord/invalid_grant_refresh": .invalidGrant,
        "github/token_200_bad_refresh_token": .invalidGrant, "github/token_200_bad_verification_code": .invalidGrant,
        "github/token_200_error_form": .invalidGrant,
        "github/token_200_incorrect_client_credentials": .invalidClient,
        "github/token_200_redirect_uri_mismatch": .invalidRequest,
        "github/token_200_unverified_user_email": .accessDenied,
        "gitlab/invalid_grant": .invalidGrant,
        "google/invalid_client": .invalidClient, "google/invalid_grant_bad_code": .invalidGrant,
        "google/invalid_grant_rapt": .invalidGrant, "google/invalid_grant_revoked": .invalidGrant,
        "microsoft/interaction_required": .interactionRequired, "microsoft/invalid_client": .invalidClient,
        "microsoft/invalid_grant_inactive": .invalidGrant, "microsoft/invalid_grant_revoked": .invalidGrant,
        "slack/refresh_error": .invalidGrant, "slack/token_error": .invalidGrant,
        "spotify/invalid_grant": .invalidGrant,
        "twitch/refresh_400": .invalidGrant, "twitch/token_403_client_secret": .invalidClient,
    ]

    /// Lifetime in seconds, whether a refresh token came, how many scopes were granted (`nil`: none named).
    static let tokens: [String: (lifetime: Int64?, refreshes: Bool, scopes: Int?)] = [
        "discord/token": (604800, true, 2), "discord/token_client_credentials": (604800, false, 2),
        "discord/token_refreshed": (604800, true, 2), "discord/token_with_webhook": (604800, true, 2),
        "github/token_github_app": (28800, true, 0), "github/token_github_app_refreshed": (28800, true, 0),
        "github/token_oauth_app": (nil, false, 2), "github/token_oauth_app_expiring": (28800, true, 3),
        "github/token_oauth_app_form": (nil, false, 2),
        "gitlab/token": (7200, true, nil), "gitlab/token_refreshed": (7200, true, nil),
        "google/token_first_consent": (3599, true, 3), "google/token_granular_scope": (3599, true, 2),
        "google/token_refreshed": (3599, false, 3), "google/token_second_consent": (3599, false, 3),
        "google/token_time_based": (3599, true, 3),
        "microsoft/token": (3599, true, 4), "microsoft/token_refreshed": (5021, true, 4),
        "slack/token": (nil, false, nil), "slack/token_v2_rotating": (43200, true, 1),
        "spotify/token": (3600, true, 2), "spotify/token_refreshed_no_refresh_token": (3600, false, 2),
        "twitch/token": (14124, true, 1), "twitch/token_refreshed": (13987, true, 1),
    ]

    static let others: Set = [
        "discord/revoke_ok", "discord/token_json_body_refused", "github/revoke_204", "github/revoke_404",
        "google/revoke_400", "google/revoke_ok",
    ]

    @Test func `no recorded answer is left out`() throws {
        let named = Set(Self.refusals.keys).union(Self.tokens.keys).union(Self.others)
        // Those of the device grant are read by `DeviceAuthorizationTests`.
        #expect(named == Set(try Fixtures.recorded.filter { !$0.contains("/device") }))
        #expect(named.count == 53)
    }

    @Test(arguments: refusals.keys.sorted())
    func `security 63: quirk D1: a refusal is the standard one, whatever it is called`(
        path: String
    )
        throws
    {
        #expect(
            refusal(try Fixtures.response(path), Self.dialect(path)) == Self.refusals[path].map { .refused($0) })
    }

    @Test(arguments: tokens.keys.sorted()) func `quirk D3, D17: a token answer is read as it was meant`(path: String)
        throws
    {
        let expected = try #require(Self.tokens[path])
        let credential = try read(
            Fixtures.response(path), Self.dialect(path), requestedScopes: scopes("asked", "for")
        ).credential
        #expect(credential.expiresAt == expected.lifetime.map { requestedAt + .seconds($0) })
        #expect((credential.refreshToken != nil) == expected.refreshes)
        if let count = expected.scopes {
            #expect(credential.scopes.count == count)
            #expect(!credential.scopes.contains { $0.rawValue == "asked" })
        } else {
            #expect(credential.scopes == scopes("asked", "for"))
        }
    }

    @Test func `quirk D15, E13: refresh tokens that expire say when`() throws {
        let app = try read(Fixtures.response("github/token_github_app"), Self.github).credential
        #expect(app.refreshTokenExpiresAt == requestedAt + .seconds(15_811_200))
        let timed = try read(Fixtures.response("google/token_time_based")).credential
        #expect(timed.refreshTokenExpiresAt == requestedAt + .seconds(604_799))
    }

    @Test func `an error outside OAuth says nothing about the grant`() throws {
        let error = refusal(try Fixtures.response("discord/token_json_body_refused"))
        #expect(error == .unavailable(status: 400))
        #expect(error?.failure.disposition == .retry)
    }

    @Test func `a log line keeps the vendor's code and drops the rest`() throws {
        let detail = try #require(
            TokenEndpoint.detail(of: Fixtures.response("microsoft/invalid_grant_inactive"), dialect: TokenDialect()))
        #expect(detail.hasPrefix("AADSTS700082: The refresh token has expired due to inactivity."))
        #expect(detail.unicodeScalars.count <= 200)
        #expect(detail.filter(\.isNewline).isEmpty)
        let silent = try Fixtures.response("discord/invalid_client")
        #expect(TokenEndpoint.detail(of: silent, dialect: TokenDialect()) == nil)
    }
}
