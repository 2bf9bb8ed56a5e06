import Crypto
import FoundationEssentials
import Hummingbird
import Synchronization

/// Tokens bound to keys (RFC 9449).
extension Site {
    enum Proof {
        case absent
        /// The thumbprint of the key (RFC 7638).
        case valid(String)
        case wrong
        /// Right but for the nonce, which has to be this.
        case wantsNonce(String)
    }

    private struct Header: Decodable {
        struct Key: Decodable {
            var kty: String
            var crv: String
            var x: String
            var y: String
            var d: String?
        }

        var typ: String
        var alg: String
        var jwk: Key
    }

    private struct Claims: Decodable {
        var jti: String
        var htm: String
        var htu: String
        var iat: Int64
        var ath: String?
        var nonce: String?
    }

    /// The proof of a request, for the access token that it carries.
    func proof(_ call: Call, accessToken: String?) -> Proof {
        let fields = call.head.filter { $0.name.rawName.lowercased() == "dpop" }.map(\.value)
        if fields.isEmpty { return .absent }
        let segments = (fields.count == 1 ? fields[0] : "").split(separator: ".", omittingEmptySubsequences: false)
        guard segments.count == 3, let header = Self.read(Header.self, segments[0]),
            let claims = Self.read(Claims.self, segments[1]), let signature = base64URLDecoded(segments[2]),
            header.typ == "dpop+jwt", header.alg == "ES256", header.jwk.d == nil,
            let x = base64URLDecoded(header.jwk.x), let y = base64URLDecoded(header.jwk.y),
            Self.isSigned("\(segments[0]).\(segments[1])", signature, x + y)
        else { return .wrong }
        let hash = accessToken.map { base64URL(Array(SHA256.hash(data: Array($0.utf8)))) }
        guard claims.htm == call.method, claims.htu == "\(call.base)/\(self.name)\(call.path)", claims.ath == hash,
            abs(claims.iat - call.now / 1000) <= 60
        else { return .wrong }
        return state.withLock { state in
            guard state.assertionIDs.insert(claims.jti).inserted else { return .wrong }
            if state.switches.demandsProofNonces, claims.nonce != state.proofNonce || claims.nonce == nil {
                return .wantsNonce(state.renewProofNonce())
            }
            let members = [
                #""crv":"\#(header.jwk.crv)""#, #""kty":"\#(header.jwk.kty)""#, #""x":"\#(header.jwk.x)""#,
                #""y":"\#(header.jwk.y)""#,
            ]
            let text = "{" + members.joined(separator: ",") + "}"
            return .valid(base64URL(Array(SHA256.hash(data: Array(text.utf8)))))
        }
    }

    /// What a resource request has to prove with a bound token; `nil` where nothing is amiss.
    func refusal(ofBound token: String, _ call: Call) -> Reply? {
        let (bound, isBound) = state.withLock { state in
            let thumbprint = state.ledger.family(ofToken: token).flatMap { state.ledger.families[$0]?.keyThumbprint }
            return (thumbprint, thumbprint != nil)
        }
        let usesScheme = call.token(schemes: ["dpop"]) != nil
        guard isBound || usesScheme else { return nil }
        switch proof(call, accessToken: token) {
        case .valid(let thumbprint) where thumbprint == bound && usesScheme: return nil
        case .wantsNonce(let nonce):
            var reply = rules.unauthorized(call)
            reply.set("www-authenticate", "DPoP error=\"use_dpop_nonce\"")
            reply.set("dpop-nonce", nonce)
            return reply
        default:
            var reply = rules.unauthorized(call)
            reply.set("www-authenticate", "DPoP error=\"invalid_token\", algs=\"ES256\"")
            return reply
        }
    }

    private static func read<T: Decodable>(_ type: T.Type, _ segment: Substring) -> T? {
        // Anything else is no proof.
        base64URLDecoded(segment).flatMap { try? JSONDecoder().decode(type, from: Data($0)) }
    }

    private static func isSigned(_ text: String, _ signature: [UInt8], _ point: [UInt8]) -> Bool {
        // A point off the curve and a signature of another length prove nothing.
        guard let key = try? P256.Signing.PublicKey(rawRepresentation: point),
            let signature = try? P256.Signing.ECDSASignature(rawRepresentation: signature)
        else { return false }
        return key.isValidSignature(signature, for: SHA256.hash(data: Array(text.utf8)))
    }
}

extension SiteState {
    /// Each nonce is good until the next: answers bring new ones.
    mutating func renewProofNonce() -> String {
        let nonce = "EXAMPLE-nonce-" + generator.text(16)
        proofNonce = nonce
        return nonce
    }
}
