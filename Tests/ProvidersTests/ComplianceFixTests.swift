import Accounts
import OAuth
import Providers
import Testing
import Transfer

/// What Requests-OAuthlib has a compliance fix for, said in a manifest and read by the engine.
@Suite struct ComplianceFixTests {
    private func read(
        _ response: String, _ status: Int = 200, _ contentType: String = "application/json", _ body: String
    ) throws -> Credential {
        let provider = try exampleProvider(
            exampleManifest(replacing: [
                ("  refresh:", (response.isEmpty ? "" : "  response: \(response)\n") + "  refresh:")
            ]))
        return try TokenEndpoint.read(
            TransferResponse(status: status, fields: ["Content-Type": contentType], body: Array(body.utf8)),
            dialect: provider.tokenDialect, requestedScopes: provider.scopes, requestedAt: sampleTime
        ).credential
    }

    private func seconds(_ credential: Credential) -> Int64? {
        credential.expiresAt.map { ($0 - sampleTime).components.seconds }
    }

    @Test func `Douban, Weibo: no token type is Bearer`() throws {
        let token = try read(
            "", 200, "application/json", #"{"access_token":"EXAMPLE","expires_in":"157679999","uid":"1"}"#)
        #expect(token.tokenType == "Bearer")
        #expect(seconds(token) == 157_679_999)
    }

    @Test func `eBay: a type of its own is Bearer where the manifest says so`() throws {
        let body = #"{"access_token":"EXAMPLE","expires_in":7200,"token_type":"User Access Token"}"#
        let token = try read(
            #"{bearer_token_types: ["User Access Token", "Application Access Token"]}"#, 200, "application/json", body)
        #expect(token.tokenType == "Bearer")
        #expect(throws: TokenRequestError.malformed(reason: "token_type is not Bearer")) {
            try read("", 200, "application/json", body)
        }
    }

    @Test func `Facebook: a form with expires, as it was, and JSON, as it is`() throws {
        let old = try read(
            "{member_names: {expires_in: expires}}", 200, "application/x-www-form-urlencoded",
            "access_token=EXAMPLE&expires=5183999")
        #expect(old.accessToken == Secret("EXAMPLE") && seconds(old) == 5_183_999)
        let new = try read(
            "", 200, "application/json", #"{"access_token":"EXAMPLE","token_type":"bearer","expires_in":5183999}"#)
        #expect(seconds(new) == 5_183_999)
    }

    @Test func `Fitbit: an error inside a list is heard`() {
        #expect(throws: TokenRequestError.refused(.invalidGrant)) {
            try read(
                "", 400, "application/json",
                #"{"errors":[{"errorType":"invalid_grant","message":"x"}],"success":false}"#)
        }
    }

    @Test func `Mailchimp: a lifetime of zero is none, and a null scope says nothing`() throws {
        let token = try read(
            "{zero_lifetime_is_forever: true}", 200, "application/json",
            #"{"access_token":"EXAMPLE","expires_in":0,"scope":null}"#)
        #expect(token.expiresAt == nil)
        #expect(token.scopes.map(\.rawValue) == ["profile"])
    }

    @Test func `Plentymarkets: members in other words`() throws {
        let token = try read(
            "{member_names: {access_token: accessToken, expires_in: expiresIn, token_type: tokenType, refresh_token: refreshToken}}",
            200, "application/json",
            #"{"accessToken":"EXAMPLE","tokenType":"Bearer","expiresIn":86400,"refreshToken":"EXAMPLE-r"}"#)
        #expect(token.refreshToken == Secret("EXAMPLE-r") && seconds(token) == 86400)
    }

    @Test func `Slack: the user's token stands inside, and an error comes with status 200`() throws {
        let token = try read(
            "{path: [authed_user]}", 200, "application/json",
            #"{"ok":true,"access_token":"EXAMPLE-bot","authed_user":{"id":"U1","access_token":"EXAMPLE-user","token_type":"user","scope":"identify"}}"#
                .replacing(#""token_type":"user","#, with: ""))
        #expect(token.accessToken == Secret("EXAMPLE-user"))
        #expect(throws: TokenRequestError.refused(.unrecognized("invalid_code"))) {
            try read("{path: [authed_user]}", 200, "application/json", #"{"ok":false,"error":"invalid_code"}"#)
        }
    }
}
