import Accounts
import Cryptography
import JSON
@testable import OAuth
import Testing
import Transfer

@Suite struct IDTokenVectorTests {
    enum Verdict: Equatable {
        case accepted
        case refused(IDTokenError)
    }

    /// What every vector of the file comes to.
    static let verdicts: [String: Verdict] = [
        "valid_rs256": .accepted,
        "valid_aud_array_single": .accepted,
        "aud_array_two_with_azp": .accepted,
        "aud_array_two_azp_other": .refused(.authorizedPartyMismatch),
        "aud_other": .refused(.audienceMismatch),
        "aud_missing": .refused(.audienceMismatch),
        "iss_other": .refused(.issuerMismatch),
        "expired": .refused(.expired),
        "expired_within_skew": .accepted,
        "exp_missing": .refused(.malformed(reason: "exp is missing")),
        "exp_string": .refused(.malformed(reason: "exp is not a time")),
        "exp_huge": .refused(.malformed(reason: "exp is not a time")),
        "nonce_missing": .refused(.nonceMismatch),
        "nonce_other": .refused(.nonceMismatch),
        "sub_missing": .refused(.subjectInvalid),
        "at_hash_missing": .accepted,
        "alg_none": .refused(.algorithmNotAllowed),
        "alg_None_case": .refused(.algorithmNotAllowed),
        "alg_hs256_with_public_key": .refused(.algorithmNotAllowed),
        "kid_unknown": .refused(.unknownKey),
        "kid_sql": .refused(.unknownKey),
        "jwk_in_header": .refused(.unknownKey),
        "jku_in_header": .refused(.unknownKey),
        "payload_tampered": .refused(.signatureInvalid),
        "signature_truncated": .refused(.signatureInvalid),
        "signature_empty": .refused(.signatureInvalid),
        "four_segments": .refused(.malformed(reason: "not three segments")),
        "five_segments_jwe": .refused(.malformed(reason: "not three segments")),
        "padding_chars": .refused(.malformed(reason: "the header is not base64url")),
        "payload_not_json": .refused(.malformed(reason: "the payload is not JSON")),
        "logout_token_as_id_token": .refused(.notAnIDToken),
    ]

    static func verify(
        _ name: String, keys: String = "jwks", nonce: String? = "example-nonce-1",
        algorithms: [SignatureAlgorithm] = [.rs256, .es256]
    ) throws -> JSONObject {
        let file = try Fixtures.json("oidc/id_token_vectors.json")
        let vector = try #require(file["vectors"]?.array?.first { $0["name"]?.string == name })
        return try IDToken.verify(
            try #require(vector["token"]?.string), keys: JSONWebKeySet(try #require(file[keys])),
            issuer: "https://op.example", clientID: "client-123.example", nonce: nonce,
            accessToken: "ya29.EXAMPLE-access-0", algorithms: algorithms, now: requestedAt)
    }

    @Test func `every vector has a verdict and every verdict a vector`() throws {
        let names = try Fixtures.cases("oidc/id_token_vectors.json", "vectors").map(\.name)
        #expect(names.count == 31)
        #expect(Set(names) == Set(Self.verdicts.keys))
        let file = try Fixtures.json("oidc/id_token_vectors.json")
        #expect(file["verify_with"]?["now_epoch"]?.number?.int64 == requestedAt.secondsSinceEpoch)
    }

    @Test(arguments: verdicts.keys.sorted()) func `security 48, 49, 50, 52: verifies or refuses`(name: String) throws {
        switch try #require(Self.verdicts[name]) {
        case .accepted: #expect(try Self.verify(name)["sub"] == .string("900800700600"))
        case .refused(let error): #expect(throws: error) { try Self.verify(name) }
        }
    }

    @Test func `security 51: an unknown key is known after one refetch; forged ones stay unknown`() throws {
        #expect(try Self.verify("kid_unknown", keys: "jwks_after_rotation")["sub"] == .string("900800700600"))
        for name in ["kid_sql", "jwk_in_header", "jku_in_header"] {
            #expect(throws: IDTokenError.unknownKey) { try Self.verify(name, keys: "jwks_after_rotation") }
        }
        #expect(throws: IDTokenError.unknownKey) { try Self.verify("valid_rs256", keys: "jwks_after_rotation") }
    }

    @Test func `security 49: an algorithm that is not registered is refused though its key is there`() {
        #expect(throws: IDTokenError.algorithmNotAllowed) { try Self.verify("valid_rs256", algorithms: [.es256]) }
        #expect(throws: IDTokenError.algorithmNotAllowed) { try Self.verify("valid_rs256", algorithms: []) }
    }

    @Test func `quirk A17: where no nonce was sent none is asked for`() throws {
        _ = try Self.verify("nonce_missing", nonce: nil)
        _ = try Self.verify("valid_rs256", nonce: nil)
    }
}

/// Tokens signed for these tests: algorithms, keys, header fields, types and bounds of every claim.
@Suite struct IDTokenTests {
    static func verify(
        _ token: String, parameters: JSONValue? = nil, accessToken: String? = "ya29.EXAMPLE-access-0",
        algorithms: [SignatureAlgorithm] = SignatureAlgorithm.allCases, clockSkew: Duration = .seconds(60)
    ) throws -> JSONObject {
        let file = try parameters ?? Fixtures.json("oidc/more_id_tokens.json")
        return try IDToken.verify(
            token, keys: JSONWebKeySet(try #require(file["jwks"])), issuer: "https://op.example",
            issuerAliases: (file["verify_with"]?["issuer_aliases"]?.array ?? []).compactMap(\.string),
            clientID: "client-123.example", nonce: "example-nonce-1", accessToken: accessToken, algorithms: algorithms,
            now: requestedAt, clockSkew: clockSkew)
    }

    static func token(_ name: String) throws -> String {
        let vectors = try Fixtures.cases("oidc/more_id_tokens.json", "vectors")
        return try #require(vectors.first { $0.name == name }?.case["token"]?.string)
    }

    @Test func `security 48, 50: each token is accepted or refused for the one reason it has`() throws {
        let vectors = try Fixtures.cases("oidc/more_id_tokens.json", "vectors")
        #expect(vectors.count == 75)
        for (name, vector) in vectors {
            let outcome: String
            do {
                _ = try Self.verify(try #require(vector["token"]?.string))
                outcome = "accept"
            } catch let error as IDTokenError { outcome = "\(error)".prefix { $0 != "(" }.description }
            #expect(outcome == vector["expect"]?.string, "\(name)")
        }
    }

    @Test func `security 49: a token for one algorithm does not pass as another`() throws {
        #expect(throws: IDTokenError.algorithmNotAllowed) {
            try Self.verify(try Self.token("valid_rs512"), algorithms: [.rs256])
        }
    }

    @Test func `at_hash counts only beside an access token`() throws {
        _ = try Self.verify(try Self.token("at_hash_other"), accessToken: nil)
        #expect(throws: IDTokenError.accessTokenMismatch) {
            try Self.verify(try Self.token("valid_rs256"), accessToken: "another")
        }
    }

    @Test func `without an allowance for skew a token a second old is old`() throws {
        #expect(throws: IDTokenError.expired) {
            try Self.verify(try Self.token("exp_just_within_skew"), clockSkew: .zero)
        }
    }

    @Test func `no cut and no changed character of a token passes`() throws {
        let parameters = try Fixtures.json("oidc/more_id_tokens.json")
        let token = Array(try Self.token("valid_es256").utf8)
        for index in token.indices {
            var changed = token
            changed[index] = token[index] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
            #expect(throws: IDTokenError.self) {
                try Self.verify(String(decoding: changed, as: UTF8.self), parameters: parameters)
            }
        }
        for length in 0..<token.count {
            #expect(throws: IDTokenError.self) {
                try Self.verify(String(decoding: token.prefix(length), as: UTF8.self), parameters: parameters)
            }
        }
    }

    @Test(arguments: ["", ".", "..", "...", "a.b.c", "e30.e30.", " e30.e30.AA", "e30.e30.AA\n"])
    func `no text is taken for a token`(text: String) {
        #expect(throws: IDTokenError.self) { try Self.verify(text) }
    }

    @Test func `a token beyond 64 KiB is not looked at`() {
        #expect(throws: IDTokenError.malformed(reason: "too long")) {
            try Self.verify(String(repeating: "A", count: 65537))
        }
    }
}

@Suite struct JSONWebKeySetTests {
    @Test func `keys that can't verify are left out`() throws {
        let file = try Fixtures.json("oidc/more_id_tokens.json")
        let keys = try JSONWebKeySet.read(.json(try #require(file["jwks"]).text))
        #expect(keys.keys.compactMap(\.id) == file["usable_key_ids"]?.array?.compactMap(\.string))
    }

    @Test func `an answer that is no key set is refused`() throws {
        func error(_ response: TransferResponse) -> JSONWebKeySetError? {
            do throws(JSONWebKeySetError) {
                _ = try JSONWebKeySet.read(response)
                return nil
            } catch { return error }
        }
        #expect(error(.json(503, "")) == .unavailable(status: 503))
        #expect(error(.json("{")) == .malformed(reason: "not JSON"))
        #expect(error(.json("{}")) == .malformed(reason: "keys is not an array"))
        #expect(error(.json(#"{"keys":{}}"#)) == .malformed(reason: "keys is not an array"))
        #expect(error(.json(#"{"keys":[]}"#)) == nil)
        #expect(error(.json(#"{"keys":[1,null,[],{}]}"#)) == nil)
    }

    @Test func `the request carries no credentials and follows no redirect`() {
        let request = JSONWebKeySet.request(uri: "https://op.example/jwks")
        #expect(request.method == .get)
        #expect(request.url == "https://op.example/jwks")
        #expect(request.credentials.isEmpty)
        #expect(request.redirects == .refuse)
    }
}
