import Crypto
import Foundation
import ProviderSimulator
import Testing

/// Client assertions, pushed requests, tokens of applications and bound tokens.
@Suite(.timeLimit(.minutes(10))) struct GrantTests {
    private let key = P256.Signing.PrivateKey()
    private let site = SimulatedSite.openID("work")

    private func run(
        signing: Bool = false, _ switches: @escaping (inout SimulatorSwitches) -> Void = { _ in },
        _ body: (Journey) async throws -> Void
    ) async throws {
        let publicKey = key.publicKey.pemRepresentation
        try await Journey.run(
            site,
            { configuration in
                if signing {
                    for index in configuration.clients.indices { configuration.clients[index].publicKey = publicKey }
                }
            },
            { (journey) async throws in
                journey.simulator.setSwitches(of: site, switches)
                try await body(journey)
            })
    }

    private func token(_ header: [String: Any], _ claims: [String: Any]) throws -> String {
        func encoded(_ data: Data) -> String {
            data.base64EncodedString().replacingOccurrences(of: "+", with: "-").replacingOccurrences(of: "/", with: "_")
                .replacingOccurrences(of: "=", with: "")
        }
        let parts = try [header, claims].map { encoded(try JSONSerialization.data(withJSONObject: $0)) }
        let signed = parts.joined(separator: ".")
        return signed + "." + encoded(try key.signature(for: Data(signed.utf8)).rawRepresentation)
    }

    private func assertion(_ journey: Journey, _ changes: [String: Any?] = [:]) throws -> String {
        let now = journey.clock.now / 1000
        var claims: [String: Any] = [
            "iss": Journey.clientID, "sub": Journey.clientID, "aud": "\(journey.simulator.baseURL)/oidc/work",
            "iat": now, "exp": now + 300, "jti": UUID().uuidString,
        ]
        for (name, value) in changes { claims[name] = value }
        return try token(["alg": "ES256", "typ": "JWT"], claims)
    }

    private func application(_ journey: Journey, _ assertion: String) async -> SocketClient.Response {
        await journey.client.post(
            "/oidc/work/token",
            form: [
                ("grant_type", "client_credentials"),
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("client_assertion", assertion),
            ])
    }

    @Test func `takes an assertion of the registered key, for this server, once`() async throws {
        try await run(signing: true) { (journey) async throws in
            let good = try assertion(journey)
            #expect(await application(journey, good).status == 200)
            #expect(await application(journey, good)["error"] == "invalid_client")
            let base = journey.simulator.baseURL
            #expect(
                await application(journey, try assertion(journey, ["aud": "\(base)/oidc/work/token"])).status == 200)
            let now = journey.clock.now / 1000
            for changes: [String: Any?] in [
                ["aud": "\(base)/oidc/other"], ["aud": ["\(base)/oidc/work"]], ["iss": "other"], ["sub": "other"],
                ["exp": now - 1], ["exp": now + 3600], ["iat": now + 600], ["jti": nil], ["exp": nil],
            ] {
                let response = await application(journey, try assertion(journey, changes))
                #expect(response["error"] == "invalid_client", "\(changes)")
            }
            // A client that signs has no secret to send.
            let secret = await journey.client.post(
                "/oidc/work/token",
                form: [
                    ("grant_type", "client_credentials"), ("client_id", Journey.clientID),
                    ("client_secret", Journey.clientSecret),
                ])
            #expect(secret["error"] == "invalid_client")
        }
    }

    @Test func `quirk C11: takes a JWT in the secret's place, of the issuer and audience that it wants`() async throws {
        try await run(
            signing: true,
            {
                $0.assertionIssuer = "TEAMEXAMPL"
                $0.assertionAudience = "https://appleid.example"
            }
        ) { (journey) async throws in
            func ask(_ changes: [String: Any?]) async throws -> SocketClient.Response {
                await journey.client.post(
                    "/oidc/work/token",
                    form: [
                        ("grant_type", "client_credentials"), ("client_id", Journey.clientID),
                        ("client_secret", try assertion(journey, changes)),
                    ])
            }
            let right = try await ask(["iss": "TEAMEXAMPL", "aud": "https://appleid.example"])
            #expect(right.status == 200)
            let otherIssuer = try await ask(["aud": "https://appleid.example"])
            #expect(otherIssuer["error"] == "invalid_client")
            let otherAudience = try await ask(["iss": "TEAMEXAMPL"])
            #expect(otherAudience["error"] == "invalid_client")
        }
    }

    private func push(_ journey: Journey, _ changes: [(String, String)] = []) async -> SocketClient.Response {
        await journey.client.post(
            "/oidc/work/par",
            form: [
                ("client_id", Journey.clientID), ("client_secret", Journey.clientSecret), ("response_type", "code"),
                ("redirect_uri", Journey.redirectURI), ("scope", "openid"), ("state", "state-EXAMPLE"),
            ] + changes)
    }

    @Test func `a pushed request is used once, by its client, in time, and alone`() async throws {
        try await run({ $0.requiresPushedRequests = true }) { (journey) async throws in
            #expect(await journey.authorize().status == 400)
            func open(_ uri: String, _ more: String = "") async -> Int? {
                await journey.client.get(
                    "/oidc/work/authorize?\(SocketClient.query([("client_id", Journey.clientID), ("request_uri", uri)]))\(more)"
                ).status
            }
            let pushed = await push(journey)
            #expect(pushed.status == 201)
            let uri = try #require(pushed["request_uri"])
            #expect(await open(uri) == 200)
            #expect(await open(uri) == 400)
            let second = try #require(await push(journey)["request_uri"])
            #expect(await open(second, "&scope=email") == 400)
            let third = try #require(await push(journey)["request_uri"])
            journey.clock.advance(seconds: 60)
            #expect(await open(third) == 400)
            #expect(await push(journey, [("request_uri", uri)])["error"] == "invalid_request")
            let metadata = await journey.client.get("/oidc/work/.well-known/openid-configuration")
            #expect(metadata.json["require_pushed_authorization_requests"] as? Bool == true)
            #expect(metadata["pushed_authorization_request_endpoint"]?.hasSuffix("/oidc/work/par") == true)
        }
    }

    @Test func `a resource that is not the site's is refused, and so is a token request without one`() async throws {
        try await run({ $0.resources = ["https://api.example"] }) { (journey) async throws in
            #expect(await push(journey, [("resource", "https://other.example")])["error"] == "invalid_target")
            #expect(await push(journey, [("resource", "https://api.example")]).status == 201)
            let wrong = await journey.authorize(["resource": "https://other.example"])
            #expect(wrong.callback["error"] == "invalid_target")
            let page = await journey.authorize(["resource": "https://api.example"])
            let code = try await journey.decide(page, [("person", journey.person), ("decision", "allow")]).callback[
                "code"]
            #expect(await journey.exchange(try #require(code))["error"] == "invalid_target")
        }
    }

    @Test func `security 76: a token of the application opens the directory and no profile`() async throws {
        try await run { (journey) async throws in
            let token = await journey.client.post(
                "/oidc/work/token",
                form: [
                    ("grant_type", "client_credentials"), ("client_id", Journey.clientID),
                    ("client_secret", Journey.clientSecret),
                ])
            #expect(token["refresh_token"] == nil)
            let access = try #require(token["access_token"])
            let bearer = ["authorization": "Bearer \(access)"]
            #expect(await journey.client.get("/oidc/work/directory/\(journey.person)", bearer)["id"] == journey.person)
            #expect(await journey.client.get("/oidc/work/directory/nobody", bearer).status == 404)
            #expect(await journey.client.get("/oidc/work/userinfo", bearer).status == 401)
            let user = try #require(await journey.link()["access_token"])
            #expect(
                await journey.client.get(
                    "/oidc/work/directory/\(journey.person)", ["authorization": "Bearer \(user)"]
                ).status == 401)
            journey.clock.advance(seconds: 3600)
            #expect(await journey.client.get("/oidc/work/directory/\(journey.person)", bearer).status == 401)
        }
    }

    @Test func `security 80: a service account's assertion is taken where it is right`() async throws {
        try await run(signing: true) { (journey) async throws in
            func ask(_ changes: [String: Any?] = [:]) async throws -> SocketClient.Response {
                await journey.client.post(
                    "/oidc/work/token",
                    form: [
                        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                        ("assertion", try assertion(journey, changes)),
                    ])
            }
            let token = try await ask(["sub": "admin@example.com", "scope": "directory"])
            #expect(token.status == 200)
            #expect(token["scope"] == "directory")
            #expect(try await ask(["aud": "https://other.example"])["error"] == "invalid_grant")
            #expect(try await ask(["iss": "other"])["error"] == "invalid_grant")
            #expect(try await ask(["sub": nil])["error"] == "invalid_grant")
        }
    }

    private func proof(_ journey: Journey, _ method: String, _ path: String, _ changes: [String: Any?] = [:]) throws
        -> String
    {
        let point = key.publicKey.rawRepresentation
        func encoded(_ data: Data) -> String {
            data.base64EncodedString().replacingOccurrences(of: "+", with: "-").replacingOccurrences(of: "/", with: "_")
                .replacingOccurrences(of: "=", with: "")
        }
        var claims: [String: Any] = [
            "jti": UUID().uuidString, "htm": method, "htu": journey.simulator.baseURL + path,
            "iat": journey.clock.now / 1000,
        ]
        for (name, value) in changes { claims[name] = value }
        let jwk = ["kty": "EC", "crv": "P-256", "x": encoded(point.prefix(32)), "y": encoded(point.suffix(32))]
        return try token(["alg": "ES256", "typ": "dpop+jwt", "jwk": jwk], claims)
    }

    private func hash(_ token: String) -> String {
        Data(SHA256.hash(data: Data(token.utf8))).base64EncodedString().replacingOccurrences(of: "+", with: "-")
            .replacingOccurrences(of: "/", with: "_").replacingOccurrences(of: "=", with: "")
    }

    private func exchange(_ journey: Journey, _ proof: String?) async throws -> SocketClient.Response {
        let page = await journey.authorize()
        let code = try await journey.decide(page, [("person", journey.person), ("decision", "allow")]).callback["code"]
        return await journey.client.post(
            "/oidc/work/token",
            form: [
                ("grant_type", "authorization_code"), ("code", try #require(code)), ("client_id", Journey.clientID),
                ("client_secret", Journey.clientSecret), ("redirect_uri", Journey.redirectURI),
                ("code_verifier", Journey.verifier),
            ], proof.map { ["dpop": $0] } ?? [:])
    }

    @Test func `security 44: a bound token is of use with its key alone`() async throws {
        try await run({ $0.requiresDPoP = true }) { (journey) async throws in
            #expect(try await exchange(journey, nil)["error"] == "invalid_dpop_proof")
            for changes: [String: Any?] in [
                ["htm": "GET"], ["htu": "https://other.example/token"], ["iat": 0], ["ath": "x"], ["jti": nil],
            ] {
                let wrong = try proof(journey, "POST", "/oidc/work/token", changes)
                #expect(try await exchange(journey, wrong)["error"] == "invalid_dpop_proof", "\(changes)")
            }
            let used = try proof(journey, "POST", "/oidc/work/token")
            let tokens = try await exchange(journey, used)
            #expect(tokens["token_type"] == "DPoP")
            #expect(try await exchange(journey, used)["error"] == "invalid_dpop_proof")
            let access = try #require(tokens["access_token"])
            func profile(_ scheme: String, _ proof: String?) async -> Int? {
                var fields = ["authorization": "\(scheme) \(access)"]
                fields["dpop"] = proof
                return await journey.client.get("/oidc/work/userinfo", fields).status
            }
            let right = ["ath": hash(access)]
            #expect(await profile("DPoP", try proof(journey, "GET", "/oidc/work/userinfo", right)) == 200)
            #expect(await profile("Bearer", try proof(journey, "GET", "/oidc/work/userinfo", right)) == 401)
            #expect(await profile("DPoP", nil) == 401)
            #expect(await profile("DPoP", try proof(journey, "GET", "/oidc/work/userinfo")) == 401)
        }
    }

    @Test func `security 44: where nonces are wanted the newest has to be in the proof`() async throws {
        try await run({
            $0.offersDPoP = true
            $0.demandsProofNonces = true
        }) { (journey) async throws in
            let first = try await exchange(journey, try proof(journey, "POST", "/oidc/work/token"))
            #expect(first["error"] == "use_dpop_nonce")
            let nonce = try #require(first.fields["dpop-nonce"])
            let tokens = try await exchange(journey, try proof(journey, "POST", "/oidc/work/token", ["nonce": nonce]))
            #expect(tokens["token_type"] == "DPoP")
            #expect(tokens.fields["dpop-nonce"] != nonce)
            let old = try await exchange(journey, try proof(journey, "POST", "/oidc/work/token", ["nonce": nonce]))
            #expect(old["error"] == "use_dpop_nonce")
        }
    }
}
