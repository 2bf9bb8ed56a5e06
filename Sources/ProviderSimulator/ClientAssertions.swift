import Crypto
import CryptoExtras
import FoundationEssentials
import Synchronization

/// The claims of a client's assertion (RFC 7523 §3). `aud` of any other kind than one string does not decode.
struct AssertionClaims: Decodable {
    var iss: String
    var sub: String?
    var aud: String
    var exp: Int64
    var iat: Int64?
    var jti: String
    var scope: String?
}

extension Site {
    private struct Header: Decodable {
        var alg: String
        var kid: String?
    }

    /// The client that an assertion proves: signed with its registered key or its secret, for this endpoint or this
    /// issuer alone, for five minutes at most, and once.
    func client(assertion: String, _ call: Call) -> SimulatedClient? {
        guard let claims = verified(assertion, call, key: { claims, clients in claims.sub.flatMap { clients[$0] } }),
            let id = claims.sub
        else { return nil }
        let (client, switches) = state.withLock { ($0.clients[id], $0.switches) }
        return claims.iss == switches.assertionIssuer ?? id ? client : nil
    }

    /// The claims where everything holds but who it is. `key` finds the client whose key or secret must have signed.
    func verified(
        _ assertion: String, _ call: Call,
        key: (AssertionClaims, [String: SimulatedClient]) -> SimulatedClient?
    ) -> AssertionClaims? {
        let segments = assertion.split(separator: ".", omittingEmptySubsequences: false)
        guard segments.count == 3, let header = Self.decode(Header.self, segments[0]),
            let claims = Self.decode(AssertionClaims.self, segments[1]),
            let signature = base64URLDecoded(segments[2])
        else { return nil }
        let (clients, switches) = state.withLock { ($0.clients, $0.switches) }
        guard let client = key(claims, clients),
            client.isSigned("\(segments[0]).\(segments[1])", signature, algorithm: header.alg)
        else { return nil }
        if switches.requiresKeyID, header.kid == nil { return nil }
        let endpoint = "\(call.base)/\(name)\(call.path)"
        let audiences = switches.assertionAudience.map { [$0] } ?? [endpoint, rules.issuer(base: call.base)]
        let now = call.now / 1000
        // A minute for clocks that differ.
        guard audiences.contains(claims.aud), claims.exp > now, claims.exp <= now + 360, (claims.iat ?? now) <= now + 60
        else { return nil }
        let isFresh = state.withLock { $0.assertionIDs.insert(claims.jti).inserted }
        return isFresh ? claims : nil
    }

    private static func decode<T: Decodable>(_ type: T.Type, _ segment: Substring) -> T? {
        // Anything that is no such JSON is no assertion.
        base64URLDecoded(segment).flatMap { try? JSONDecoder().decode(type, from: Data($0)) }
    }
}

extension SimulatedClient {
    fileprivate func isSigned(_ text: String, _ signature: [UInt8], algorithm: String) -> Bool {
        let message = Array(text.utf8)
        switch (algorithm, publicKey) {
        case ("HS256", nil):
            return !secret.isEmpty
                && HMAC<SHA256>.isValidAuthenticationCode(
                    signature, authenticating: message, using: SymmetricKey(data: Array(secret.utf8)))
        case ("ES256", let pem?):
            // A key or signature that can't be read proves nothing.
            guard let key = try? P256.Signing.PublicKey(pemRepresentation: pem),
                let signature = try? P256.Signing.ECDSASignature(rawRepresentation: signature)
            else { return false }
            return key.isValidSignature(signature, for: SHA256.hash(data: message))
        case ("RS256", let pem?), ("PS256", let pem?):
            // Nor here.
            guard let key = try? _RSA.Signing.PublicKey(pemRepresentation: pem) else { return false }
            return key.isValidSignature(
                .init(rawRepresentation: signature), for: SHA256.hash(data: message),
                padding: algorithm == "PS256" ? .PSS : .insecurePKCS1v1_5)
        default: return false
        }
    }
}

func base64URLDecoded(_ text: some StringProtocol) -> [UInt8]? {
    var standard = text.utf8.map { byte in
        switch byte {
        case UInt8(ascii: "-"): UInt8(ascii: "+")
        case UInt8(ascii: "_"): UInt8(ascii: "/")
        default: byte
        }
    }
    while !standard.count.isMultiple(of: 4) { standard.append(UInt8(ascii: "=")) }
    return Data(base64Encoded: Data(standard)).map { Array($0) }
}
