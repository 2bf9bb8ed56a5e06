package import Accounts
import Cryptography
import JSON
package import Transfer

/// Demonstrating proof of possession (RFC 9449): a token that is bound to a key is of no use to whoever merely has it.
package enum DPoP {
    /// Whether tokens of a server are bound.
    package enum Use: String, Sendable, CaseIterable {
        case none
        /// Proofs are sent; a server that answers `Bearer` all the same has bound nothing, and the token is used as one.
        case offered
        /// Proofs are sent, and a token that is not bound is refused.
        case required
    }

    /// As `token_type` and as the scheme before the token (§5, §7.1).
    package static let tokenType = "DPoP"

    /// The nonce of a response; the newest of an origin is the one to use (§8.2).
    package static func nonce(in response: TransferResponse) -> String? {
        guard let nonce = response.fields["dpop-nonce"], (1...512).contains(nonce.utf8.count),
            nonce.utf8.allSatisfy({ $0 == 0x21 || (0x23...0x5b).contains($0) || (0x5d...0x7e).contains($0) })
        else { return nil }
        return nonce
    }

    /// Whether the request was refused for want of the nonce that the response brings: by the authorization server (§8)
    /// or by the resource server (§9).
    package static func asksForNonce(_ response: TransferResponse) -> Bool {
        guard nonce(in: response) != nil else { return false }
        if response.status == 401,
            response.fields.values("www-authenticate").contains(where: { $0.contains("use_dpop_nonce") })
        {
            return true
        }
        // What can't be read asks for nothing.
        guard (400...401).contains(response.status),
            let body = try? TokenResponseBody(response, dialect: TokenDialect())
        else { return false }
        return body.errorCode([:]) == .unrecognized("use_dpop_nonce")
    }

    /// Scheme, host and port: nonces belong to one (§8.1). `nil` where the URL has none.
    package static func origin(of url: String) -> String? {
        Origin(url: url).map { "\($0.scheme)://\($0.host):\($0.port)" }
    }
}

/// The key of one link: P-256, made when the link begins, sealed beside the tokens, never used for another link.
package struct DPoPKey: Sendable, Equatable {
    private let key: SigningKey

    package init(random: any RandomSource) { key = .generateP256(random: random) }

    /// What `secret` gave; `nil` for anything else.
    package init?(_ secret: Secret) {
        guard let key = secret.reveal({ Base64URL.decode($0) }).flatMap({ SigningKey(p256: $0) }) else { return nil }
        self.key = key
    }

    /// The private scalar in base64url.
    package var secret: Secret { Secret(Base64URL.encode(key.p256Scalar ?? [])) }

    /// RFC 7638, as `dpop_jkt` has it (RFC 9449 §10).
    package var thumbprint: String { Base64URL.encode(Digest.sha256(JSONValue.object(jwk).canonicalText.utf8)) }

    private var jwk: JSONObject {
        let point = key.p256Point ?? (x: [], y: [])
        return [
            "crv": .string("P-256"), "kty": .string("EC"), "x": .string(Base64URL.encode(point.x)),
            "y": .string(Base64URL.encode(point.y)),
        ]
    }

    /// A proof for one request (§4.2); `nil` where it could not be signed. `accessToken` is the one that it carries.
    func proof(
        of request: TransferRequest, accessToken: Secret?, nonce: String?, _ moment: Moment
    ) -> String? {
        var claims: JSONObject = [
            "jti": .string(moment.identifier), "htm": .string(request.method.rawValue),
            "htu": .string(String(request.url.prefix { $0 != "?" && $0 != "#" })),
            "iat": .number(JSONNumber(moment.seconds)),
        ]
        if let accessToken {
            claims["ath"] = .string(accessToken.reveal { Base64URL.encode(Digest.sha256($0.utf8)) })
        }
        if let nonce { claims["nonce"] = .string(nonce) }
        return SignedToken.make(
            header: ["typ": .string("dpop+jwt"), "jwk": .object(jwk)], claims: claims, key: key, algorithm: .es256)
    }
}

extension TransferRequest {
    /// With a proof of its own.
    package func proven(by key: DPoPKey, accessToken: Secret?, nonce: String?, _ moment: Moment) -> TransferRequest {
        guard let proof = key.proof(of: self, accessToken: accessToken, nonce: nonce, moment) else { return self }
        var request = self
        request.credentials.append(.init(name: "DPoP", value: proof))
        return request
    }
}
