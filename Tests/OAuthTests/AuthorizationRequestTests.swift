import Accounts
import Cryptography
import OAuth
import TestSupport
import Testing

@Suite struct AuthorizationRequestTests {
    func request(
        server: AuthorizationServer = .example, scopes: [Scope] = scopes("openid", "email"), separator: String = " ",
        parameters: [String: String] = [:], names: [String: String] = [:], pkce: PKCEMethod = .s256,
        sendsNonce: Bool = true, seed: UInt64 = 1
    ) -> AuthorizationRequest {
        AuthorizationRequest(
            server: server, client: .example(.none), scopes: scopes, scopeSeparator: separator, parameters: parameters,
            parameterNames: names, pkce: pkce, sendsNonce: sendsNonce, random: SeededRandom(seed: seed))
    }

    @Test func `asks for a code with state, challenge and nonce`() throws {
        let request = request()
        let state = request.state.text
        let verifier = try #require(request.codeVerifier).text
        let nonce = try #require(request.nonce).text
        #expect(
            request.url == "https://op.example/authorize?client_id=client-EXAMPLE"
                + "&code_challenge=\(AuthorizationRequest.challenge(of: verifier))&code_challenge_method=S256"
                + "&nonce=\(nonce)&redirect_uri=https%3A%2F%2Frollcall.example%2Fcallback%2Fop"
                + "&response_type=code&scope=openid%20email&state=\(state)")
        #expect(!request.url.contains(verifier))
    }

    @Test func `the challenge is RFC 7636's`() {
        // Appendix B.
        #expect(
            AuthorizationRequest.challenge(of: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
                == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")
    }

    @Test func `security 1: ten thousand states of the system's own chance never repeat and say nothing`() throws {
        var seen: Set<String> = []
        for _ in 0..<10_000 {
            let request = AuthorizationRequest(
                server: .example, client: .example(.none), scopes: scopes("openid"), pkce: .s256, sendsNonce: true,
                random: SystemRandom())
            let state = request.state.text
            #expect(Base64URL.decode(state)?.count == 32)
            #expect(seen.insert(state).inserted)
            for word in ["client", "op", "rollcall", "callback"] where word.utf8.count > 3 {
                #expect(!state.lowercased().contains(word))
            }
        }
        // Each bit of the first 128 is set about half of the time.
        var set = [Int](repeating: 0, count: 128)
        for state in seen {
            for (index, byte) in (Base64URL.decode(state) ?? []).prefix(16).enumerated() {
                for bit in 0..<8 where byte >> UInt8(bit) & 1 == 1 { set[index * 8 + bit] += 1 }
            }
        }
        #expect(set.allSatisfy { (4700...5300).contains($0) }, "\(set)")
    }

    @Test func `security 1, 13, 15: state, verifier and nonce are 43 characters, independent, and never repeat`() throws
    {
        var seen: Set<String> = []
        let client = ClientRegistration.example(.none)
        for _ in 0..<10_000 {
            let request = AuthorizationRequest(
                server: .example, client: client, scopes: [], pkce: .s256, sendsNonce: true, random: SystemRandom())
            for secret in [request.state, try #require(request.codeVerifier), try #require(request.nonce)] {
                let text = secret.text
                #expect(text.utf8.count == 43)
                #expect(Base64URL.decode(text)?.count == 32)
                #expect(seen.insert(text).inserted)
            }
        }
        #expect(seen.count == 30_000)
    }

    @Test func `quirk A9: without PKCE and nonce neither is sent nor kept`() {
        let request = request(pkce: .none, sendsNonce: false)
        #expect(request.codeVerifier == nil)
        #expect(request.nonce == nil)
        #expect(!request.url.contains("challenge"))
        #expect(!request.url.contains("nonce"))
    }

    @Test func `security 16, 27: quirk A11, R6: extra parameters come sorted and can't replace what the protocol sets`()
    {
        let url = request(
            parameters: [
                "prompt": "consent", "access_type": "offline", "state": "fixed", "redirect_uri": "https://evil.example",
                "response_type": "token", "client_id": "other", "scope": "admin", "code_challenge_method": "plain",
                "code_challenge": "x", "nonce": "x", "request_uri": "https://evil.example", "request": "x",
            ], pkce: .none, sendsNonce: false
        ).url
        #expect(url.contains("?access_type=offline&client_id=") && url.contains("&prompt=consent&redirect_uri="))
        for forbidden in ["fixed", "evil", "token", "other", "admin", "plain", "challenge", "nonce", "request="] {
            #expect(!url.contains(forbidden))
        }
    }

    @Test func `quirk A1, A2, A3: scopes are joined as the provider wants them`() {
        #expect(request(separator: ",").url.contains("&scope=openid%2Cemail&state="))
        #expect(request(separator: "+").url.contains("&scope=openid+email&state="))
        #expect(request(separator: "|").url.contains("&scope=openid%7Cemail&state="))
        #expect(
            request(scopes: scopes("https://a.example/x", "b+c")).url.contains("https%3A%2F%2Fa.example%2Fx%20b%2Bc&"))
        #expect(!request(scopes: []).url.contains("scope"))
    }

    @Test func `an endpoint with a query keeps it`() {
        var server = AuthorizationServer.example
        server.authorizationEndpoint = "https://op.example/authorize?tenant=a"
        #expect(request(server: server).url.hasPrefix("https://op.example/authorize?tenant=a&client_id="))
    }

    @Test func `quirk A4, A5, A6: standard parameters may have other names`() {
        let url = request(names: ["client_id": "client_key", "scope": "perms"]).url
        #expect(url.contains("client_key=client-EXAMPLE&"))
        #expect(!url.contains("client_id"))
        #expect(url.contains("&perms=openid%20email&"))
    }

    @Test func `its description holds neither state nor nonce`() {
        let request = request()
        var shown = "\(request)" + String(reflecting: request)
        dump(request, to: &shown)
        for secret in [request.state, request.nonce, request.codeVerifier].compactMap({ $0 }) {
            #expect(!shown.contains(secret.text))
        }
    }
}
