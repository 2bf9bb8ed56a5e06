import Accounts
import Cryptography
import Foundation
import JSON
import OAuth
import TestSupport
import Testing
import Transfer

/// A proof, taken apart and verified with the key that it brings.
struct ReceivedProof {
    let claims: JSONObject
    let thumbprint: String

    init(_ text: String) throws {
        let segments = text.split(separator: ".", omittingEmptySubsequences: false)
        try #require(segments.count == 3)
        func object(_ segment: Substring) throws -> JSONObject {
            let bytes = try #require(Base64URL.decode(segment))
            return try #require(JSONValue(parsing: bytes).object)
        }
        let header = try object(segments[0])
        claims = try object(segments[1])
        #expect(header.names.sorted() == ["alg", "jwk", "typ"])
        #expect(header["alg"]?.string == "ES256")
        #expect(header["typ"]?.string == "dpop+jwt")
        let jwk = try #require(header["jwk"]?.object)
        // The public half alone.
        #expect(jwk.names.sorted() == ["crv", "kty", "x", "y"])
        func bytes(_ name: String) throws -> [UInt8] {
            let text = try #require(jwk[name]?.string)
            return try #require(Base64URL.decode(text))
        }
        let key = try PublicKey(p256X: bytes("x"), y: bytes("y"))
        let signature = try #require(Base64URL.decode(segments[2]))
        #expect(key.isValid(signature: signature, for: Array("\(segments[0]).\(segments[1])".utf8), algorithm: .es256))
        let x = try #require(jwk["x"]?.string)
        let y = try #require(jwk["y"]?.string)
        let members = #"{"crv":"P-256","kty":"EC","x":"\#(x)","y":"\#(y)"}"#
        thumbprint = Base64URL.encode(Digest.sha256(members.utf8))
    }
}

@Suite struct DPoPTests {
    private let key = DPoPKey(random: SystemRandom())

    private func proof(
        _ request: TransferRequest, accessToken: String? = nil, nonce: String? = nil
    ) throws -> ReceivedProof {
        let proven = request.proven(by: key, accessToken: accessToken.map { Secret($0) }, nonce: nonce, .example)
        #expect(proven.credentials.count == request.credentials.count + 1)
        let field = try #require(proven.credentials.last)
        #expect(field.name == "DPoP")
        return try ReceivedProof(field.value)
    }

    @Test func `security 44: a proof is of one request: method, URL without query, instant, an id of its own`() throws {
        var seen: Set<String> = []
        for _ in 0..<10 {
            let found = try proof(TransferRequest(.post, "https://op.example/token?tenant=1"))
            #expect(found.claims.names.sorted() == ["htm", "htu", "iat", "jti"])
            #expect(found.claims["htm"]?.string == "POST")
            #expect(found.claims["htu"]?.string == "https://op.example/token")
            #expect(found.claims["iat"]?.number?.int64 == requestedAt.secondsSinceEpoch)
            #expect(found.thumbprint == key.thumbprint)
            let id = try #require(found.claims["jti"]?.string)
            #expect(seen.insert(id).inserted)
        }
        #expect(
            try proof(TransferRequest(.get, "https://op.example/me#a")).claims["htu"]?.string == "https://op.example/me"
        )
    }

    @Test func `security 44: at the resource a proof holds the token's hash, and a nonce where there is one`() throws {
        let found = try proof(
            TransferRequest(.get, "https://op.example/me"), accessToken: "EXAMPLE-access", nonce: "EXAMPLE-nonce")
        #expect(found.claims["ath"]?.string == Base64URL.encode(Digest.sha256("EXAMPLE-access".utf8)))
        #expect(found.claims["nonce"]?.string == "EXAMPLE-nonce")
        #expect(found.claims["htm"]?.string == "GET")
    }

    @Test func `a key comes back from its secret, and is another for each link`() {
        #expect(DPoPKey(key.secret) == key)
        #expect(DPoPKey(random: SystemRandom()).thumbprint != key.thumbprint)
        for text in ["", "EXAMPLE", String(repeating: "A", count: 43), key.secret.text + "A"] {
            #expect(DPoPKey(Secret(text)) == nil, "\(text.count)")
        }
        var shown = "\(key)"
        dump(key, to: &shown)
        #expect(!shown.contains(key.secret.text))
    }

    @Test func `security 44: the authorization request names the key`() {
        let request = AuthorizationRequest(
            server: .example, client: .example(.none), scopes: [], parameters: ["dpop_jkt": "EXAMPLE"],
            keyThumbprint: key.thumbprint, pkce: .s256, sendsNonce: false, random: SystemRandom())
        #expect(request.url.components(separatedBy: "dpop_jkt=").count == 2)
        #expect(request.url.contains("dpop_jkt=\(key.thumbprint)"))
    }

    private func read(_ type: String, _ binding: DPoP.Use) throws -> String {
        try TokenEndpoint.read(
            .json(#"{"access_token":"EXAMPLE"\#(type)}"#), dialect: TokenDialect(), requestedScopes: [],
            requestedAt: requestedAt, binding: binding
        ).credential.tokenType
    }

    @Test(arguments: [
        (#","token_type":"DPoP""#, DPoP.Use.required, "DPoP"), (#","token_type":"dpop""#, .required, "DPoP"),
        (#","token_type":"DPoP""#, .offered, "DPoP"), (#","token_type":"Bearer""#, .offered, "Bearer"),
        ("", .offered, "Bearer"), ("", .none, "Bearer"),
    ])
    func `takes the type that was asked for`(type: String, binding: DPoP.Use, read: String) throws {
        #expect(try self.read(type, binding) == read)
    }

    @Test(arguments: [
        (#","token_type":"Bearer""#, DPoP.Use.required, "token_type is not DPoP"),
        ("", .required, "token_type is not DPoP"),
        (#","token_type":"mac""#, .required, "token_type is not DPoP"),
        (#","token_type":"mac""#, .offered, "token_type is not Bearer"),
        (#","token_type":"DPoP""#, .none, "token_type is not Bearer"),
        (#","token_type":1"#, .offered, "token_type is not Bearer"),
    ])
    func `security 40, 44: token_type must come back DPoP where it was asked for, and only there`(
        type: String, binding: DPoP.Use, reason: String
    ) {
        #expect(throws: TokenRequestError.malformed(reason: reason)) { try read(type, binding) }
    }

    @Test func `security 44: use_dpop_nonce is understood at both servers, and only with a nonce`() {
        let body = #"{"error":"use_dpop_nonce"}"#
        func answer(_ status: Int, _ fields: HeaderFields, _ body: String = "{}") -> TransferResponse {
            var fields = fields
            fields["Content-Type"] = "application/json"
            return TransferResponse(status: status, fields: fields, body: Array(body.utf8))
        }
        #expect(DPoP.asksForNonce(answer(400, ["DPoP-Nonce": "n"], body)))
        #expect(DPoP.asksForNonce(answer(401, ["DPoP-Nonce": "n"], body)))
        #expect(
            DPoP.asksForNonce(
                answer(401, ["DPoP-Nonce": "n", "WWW-Authenticate": #"DPoP error="use_dpop_nonce", algs="ES256""#])))
        #expect(!DPoP.asksForNonce(answer(400, [:], body)))
        #expect(!DPoP.asksForNonce(answer(200, ["DPoP-Nonce": "n"])))
        #expect(!DPoP.asksForNonce(answer(500, ["DPoP-Nonce": "n"], body)))
        #expect(
            !DPoP.asksForNonce(answer(401, ["DPoP-Nonce": "n", "WWW-Authenticate": #"DPoP error="invalid_token""#])))
        for nonce in ["", "a b", "a\"b", "a\\b", "é", String(repeating: "a", count: 513)] {
            #expect(DPoP.nonce(in: answer(200, ["DPoP-Nonce": nonce])) == nil, "\(nonce.prefix(5))")
        }
    }
}
