import Crypto
import CryptoExtras
import Foundation
import ProviderSimulator
import Testing

@Suite(.timeLimit(.minutes(10))) struct OpenIDTests {
    // MARK: Google

    @Test func `quirk D20: issues a refresh token with the first consent only, unless asked for consent`() async throws
    {
        try await Journey.run(.google) { (journey) async throws in
            #expect(try await journey.link()["refresh_token"]?.hasPrefix("1//0EXAMPLE-") == true)
            #expect(try await journey.link()["refresh_token"] == nil)
            #expect(try await journey.link(["prompt": "consent"])["refresh_token"] != nil)
            #expect(try await journey.link(["prompt": "consent", "access_type": nil])["refresh_token"] == nil)
            let other = journey.simulator.people(at: .google)[1].id
            #expect(try await journey.link(person: other)["refresh_token"] != nil)
        }
    }

    @Test func `quirk E5: refreshes without a new refresh token, as often as asked`() async throws {
        try await Journey.run(.google) { journey in
            let first = try await journey.link()
            let refresh = try #require(first["refresh_token"])
            for _ in 0..<3 {
                let again = await journey.refresh(refresh)
                #expect(again["access_token"] != first["access_token"])
                #expect(again["refresh_token"] == nil)
                #expect(again.json["expires_in"] as? Int == 3599)
                #expect(again["id_token"] != nil)
            }
            // Earlier access tokens live on until they expire.
            #expect(try await journey.profile(#require(first["access_token"])).status == 200)
            journey.clock.advance(seconds: 3599)
            #expect(try await journey.profile(#require(first["access_token"])).status == 401)
        }
    }

    @Test func `says when a refresh token ends where the person limited it`() async throws {
        try await Journey.run(.google) { journey in
            #expect(try await journey.link().json["refresh_token_expires_in"] == nil)
            journey.simulator.setSwitches(of: .google) { $0.refreshTokenLifetime = 604_799 }
            let tokens = try await journey.link(["prompt": "consent"])
            #expect(tokens.json["refresh_token_expires_in"] as? Int == 604_799)
            journey.clock.advance(seconds: 604_799)
            #expect(try await journey.refresh(#require(tokens["refresh_token"]))["error"] == "invalid_grant")
        }
    }

    @Test func `quirk D18: expands scope aliases, adds openid and tells the callback`() async throws {
        try await Journey.run(.google) { journey in
            let page = await journey.authorize(["scope": "email profile"])
            let response = try await journey.decide(page, [("person", journey.person), ("decision", "allow")])
            let callback = response.callback
            #expect(callback["authuser"] == "0")
            #expect(callback["prompt"] == "none")
            #expect(callback["scope"]?.contains("https://www.googleapis.com/auth/userinfo.email") == true)
            #expect(callback["iss"] == nil)
            let tokens = await journey.exchange(try #require(callback["code"]))
            #expect(
                tokens["scope"]
                    == "https://www.googleapis.com/auth/userinfo.email https://www.googleapis.com/auth/userinfo.profile openid"
            )
        }
    }

    @Test func `quirk B8: grants what stayed ticked on the consent page`() async throws {
        try await Journey.run(.google) { journey in
            let page = await journey.authorize()
            #expect(page.text.contains("type=\"checkbox\" name=\"scope\""))
            let response = try await journey.decide(
                page,
                [
                    ("person", journey.person), ("decision", "allow"), ("scopes", "chosen"),
                    ("scope", "https://www.googleapis.com/auth/userinfo.email"),
                ])
            let tokens = await journey.exchange(try #require(response.callback["code"]))
            #expect(tokens["scope"] == "openid https://www.googleapis.com/auth/userinfo.email")
            let userinfo = await journey.profile(try #require(tokens["access_token"]))
            #expect(userinfo["email"] == "mira@example.com")
            #expect(userinfo.json["name"] == nil)
        }
    }

    @Test func `has the shape of the recorded userinfo, with hd for a Workspace account`() async throws {
        try await Journey.run(.google) { journey in
            let consumer = await journey.profile(try #require(try await journey.link()["access_token"]))
            #expect(
                Set(consumer.json.keys) == [
                    "sub", "name", "given_name", "family_name", "picture", "email", "email_verified",
                ])
            #expect(consumer.json["email_verified"] as? Bool == true)
            let second = journey.simulator.people(at: .google)[1].id
            let workspace = await journey.profile(try #require(try await journey.link(person: second)["access_token"]))
            #expect(workspace["hd"] == "corp.example")
        }
    }

    @Test func `revokes without client authentication, once`() async throws {
        try await Journey.run(.google) { journey in
            let tokens = try await journey.link()
            let refresh = try #require(tokens["refresh_token"])
            let form = [("token", try #require(tokens["access_token"]))]
            #expect(await journey.client.post("/google/revoke", form: form).status == 200)
            let again = await journey.client.post("/google/revoke", form: form)
            #expect(again.status == 400)
            #expect(again["error"] == "invalid_token")
            let refused = await journey.refresh(refresh)
            #expect(refused.status == 400)
            #expect(refused["error"] == "invalid_grant")
            #expect(refused["error_description"] == "Token has been expired or revoked.")
            // The grant is gone: the next consent is a first one.
            #expect(try await journey.link()["refresh_token"] != nil)
        }
    }

    @Test func `fails prompt=none without a page`() async throws {
        try await Journey.run(.google) { journey in
            #expect(await journey.authorize(["prompt": "none"]).callback["error"] == "interaction_required")
        }
        try await Journey.run(.openID("work")) { journey in
            #expect(await journey.authorize(["prompt": "none"]).callback["error"] == "login_required")
            let other = await journey.authorize(["prompt": "none"], cookie: "simulated_person=\(journey.person)")
            #expect(other.callback["error"] == "consent_required")
        }
    }

    @Test(arguments: ["user", "quota"])
    func `quirk G6: plays Google's two kinds of limit`(_ reach: String) async throws {
        try await Journey.run(.google) { journey in
            try journey.simulator.inject(
                SimulatedFault(.limited) {
                    $0.reach = reach
                    $0.retryAfter = 34
                }, at: .google)
            let limited = await journey.profile(BulkPerson.accessToken(1))
            #expect(limited.status == (reach == "user" ? 403 : 429))
            #expect(limited.text.contains(reach == "user" ? "userRateLimitExceeded" : "\"retryDelay\":\"34s\""))
        }
    }

    // MARK: Discovery and ID tokens

    @Test(arguments: [SimulatedSite.google, .openID("work")])
    func `publishes endpoints that all lie below its issuer`(_ site: SimulatedSite) async throws {
        try await Journey.run(site) { journey in
            let metadata = await journey.client.get("/\(site)/.well-known/openid-configuration")
            let issuer = "\(journey.simulator.baseURL)/\(site)"
            #expect(metadata["issuer"] == issuer)
            for name in [
                "authorization_endpoint", "token_endpoint", "userinfo_endpoint", "revocation_endpoint", "jwks_uri",
            ] { #expect(metadata[name]?.hasPrefix(issuer + "/") == true) }
            #expect(
                metadata.json["authorization_response_iss_parameter_supported"] as? Bool == (site != .google))
            #expect(metadata.fields["cache-control"] == "public, max-age=3600")
            #expect(journey.simulator.variables(for: site) == ["issuer": issuer])
        }
    }

    @Test(arguments: [SimulatedSite.google, .openID("work")])
    func `signs ID tokens that hold nonce and at_hash`(_ site: SimulatedSite) async throws {
        try await Journey.run(site) { journey in
            let tokens = try await journey.link(["nonce": "nonce-EXAMPLE"])
            let token = try IDTokenParts(#require(tokens["id_token"]))
            #expect(try await token.isSigned(by: keys(journey)))
            #expect(token.claims["iss"] as? String == "\(journey.simulator.baseURL)/\(site)")
            #expect(token.claims["aud"] as? String == Journey.clientID)
            #expect(token.claims["sub"] as? String == journey.person)
            #expect(token.claims["nonce"] as? String == "nonce-EXAMPLE")
            #expect(token.claims["iat"] as? Int == 1_795_185_773)
            #expect(token.claims["exp"] as? Int == 1_795_189_373)
            let digest = Array(SHA256.hash(data: Array(try #require(tokens["access_token"]).utf8)).prefix(16))
            #expect(token.claims["at_hash"] as? String == IDTokenParts.encoded(digest))
            let refreshed = await journey.refresh(try #require(tokens["refresh_token"]))
            let second = try IDTokenParts(#require(refreshed["id_token"]))
            #expect(second.claims["nonce"] == nil)
        }
    }

    @Test func `rotates its keys, and forgets the old one only when told to`() async throws {
        try await Journey.run(.openID("work")) { journey in
            let old = try IDTokenParts(#require(try await journey.link()["id_token"]))
            try journey.simulator.inject(SimulatedFault(.rotateKeys), at: journey.site)
            let new = try IDTokenParts(#require(try await journey.link()["id_token"]))
            let both = try await keys(journey)
            #expect(both.count == 2)
            #expect(old.header["kid"] as? String != new.header["kid"] as? String)
            #expect(try old.isSigned(by: both))
            #expect(try new.isSigned(by: both))
            try journey.simulator.inject(SimulatedFault(.rotateKeys) { $0.forget = true }, at: journey.site)
            let one = try await keys(journey)
            #expect(one.count == 1)
            #expect(try !new.isSigned(by: one))
        }
    }

    @Test(arguments: SimulatedFault.IDTokenFlaw.allCases)
    func `makes an ID token wrong in the way asked, once`(_ flaw: SimulatedFault.IDTokenFlaw) async throws {
        try await Journey.run(.openID("work")) { journey in
            let good = try IDTokenParts(#require(try await journey.link(["nonce": "n"])["id_token"]))
            try journey.simulator.inject(SimulatedFault(.idToken) { $0.flaw = flaw }, at: journey.site)
            let tokens = try await journey.link(["nonce": "n"])
            guard let text = tokens["id_token"] else {
                #expect(flaw == .missing)
                return
            }
            let bad = try IDTokenParts(text)
            func differ(_ claim: String) -> Bool { "\(bad.claims[claim] ?? "")" != "\(good.claims[claim] ?? "")" }
            let published = try await keys(journey)
            switch flaw {
            case .missing: Issue.record("there is an ID token")
            case .signature: #expect(try !bad.isSigned(by: published))
            case .issuer: #expect(differ("iss"))
            case .audience: #expect(differ("aud"))
            case .nonce: #expect(differ("nonce"))
            case .expired: #expect(try #require(bad.claims["exp"] as? Int) < 1_795_185_773 - 3600)
            case .future: #expect(try #require(bad.claims["iat"] as? Int) > 1_795_185_773 + 600)
            case .subject: #expect(differ("sub"))
            case .accessTokenHash:
                let digest = Array(SHA256.hash(data: Array(try #require(tokens["access_token"]).utf8)).prefix(16))
                #expect(bad.claims["at_hash"] as? String != IDTokenParts.encoded(digest))
            case .algorithmNone:
                #expect(bad.header["alg"] as? String == "none")
                #expect(text.hasSuffix("."))
            case .unknownKey: #expect(!published.keys.contains(bad.header["kid"] as? String ?? ""))
            }
            let next = try IDTokenParts(#require(try await journey.link(["nonce": "n"])["id_token"]))
            #expect(try next.isSigned(by: published))
        }
    }

    // MARK: A plain provider

    @Test func `sends iss, rotates, and ends the family on reuse`() async throws {
        try await Journey.run(.openID("work")) { journey in
            let response = try await journey.decide(
                await journey.authorize(), [("person", journey.person), ("decision", "allow")])
            #expect(response.callback["iss"] == "\(journey.simulator.baseURL)/oidc/work")
            let denied = try await journey.decide(await journey.authorize(), [("decision", "deny")])
            #expect(denied.callback["iss"] == "\(journey.simulator.baseURL)/oidc/work")
            let first = await journey.exchange(try #require(response.callback["code"]))
            let second = await journey.refresh(try #require(first["refresh_token"]))
            #expect(second["refresh_token"] != nil)
            #expect(try await journey.refresh(#require(first["refresh_token"]))["error"] == "invalid_grant")
            #expect(try await journey.refresh(#require(second["refresh_token"]))["error"] == "invalid_grant")
        }
    }

    @Test func `revokes by RFC 7009: for its own client, whatever the token`() async throws {
        try await Journey.run(.openID("work")) { journey in
            let tokens = try await journey.link()
            let token = [("token", try #require(tokens["refresh_token"]))]
            #expect(await journey.client.post("/oidc/work/revoke", form: token).status == 401)
            let credentials = [("client_id", Journey.clientID), ("client_secret", Journey.clientSecret)]
            #expect(await journey.client.post("/oidc/work/revoke", form: token + credentials).status == 200)
            #expect(await journey.client.post("/oidc/work/revoke", form: token + credentials).status == 200)
            #expect(try await journey.profile(#require(tokens["access_token"])).status == 401)
        }
    }

    private func keys(_ journey: Journey) async throws -> [String: _RSA.Signing.PublicKey] {
        let path = journey.site == .google ? "/google/oauth2/v3/certs" : "/\(journey.site)/jwks"
        let document = await journey.client.get(path)
        let keys = try #require(document.json["keys"] as? [[String: String]])
        return try Dictionary(
            uniqueKeysWithValues: keys.map { key in
                let numbers = try [key["n"], key["e"]].map { try #require(IDTokenParts.decoded($0 ?? "")) }
                return (key["kid"] ?? "", try _RSA.Signing.PublicKey(n: numbers[0], e: numbers[1]))
            })
    }
}

/// A compact JWS taken apart.
private struct IDTokenParts {
    let header: [String: Any]
    let claims: [String: Any]
    private let signed: String
    private let signature: Data

    init(_ text: String) throws {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        try #require(parts.count == 3)
        header = try Self.object(parts[0])
        claims = try Self.object(parts[1])
        signed = parts[0] + "." + parts[1]
        signature = try #require(Self.decoded(parts[2]))
    }

    func isSigned(by keys: [String: _RSA.Signing.PublicKey]) throws -> Bool {
        guard let key = keys[header["kid"] as? String ?? ""] else { return false }
        return key.isValidSignature(
            .init(rawRepresentation: signature), for: SHA256.hash(data: Data(signed.utf8)),
            padding: .insecurePKCS1v1_5)
    }

    static func decoded(_ text: String) -> Data? {
        let standard = text.replacingOccurrences(of: "-", with: "+").replacingOccurrences(of: "_", with: "/")
        return Data(base64Encoded: standard + String(repeating: "=", count: (4 - text.utf8.count % 4) % 4))
    }

    static func encoded(_ bytes: [UInt8]) -> String {
        Data(bytes).base64EncodedString().replacingOccurrences(of: "+", with: "-")
            .replacingOccurrences(of: "/", with: "_").replacingOccurrences(of: "=", with: "")
    }

    private static func object(_ text: String) throws -> [String: Any] {
        let data = try #require(decoded(text))
        return try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    }
}
