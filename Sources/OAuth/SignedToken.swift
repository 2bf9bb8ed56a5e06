import Cryptography
import JSON

/// A JWT that this program signs, in compact form (RFC 7515 §7.1).
enum SignedToken {
    /// `nil` where the key can't sign with the algorithm: keys are tried when the configuration is read.
    static func make(
        header: JSONObject, claims: JSONObject, key: SigningKey, algorithm: SignatureAlgorithm
    ) -> String? {
        make(header: header, claims: claims, algorithm: algorithm.rawValue) { signed in
            // No token, then.
            try? key.signature(for: signed, algorithm: algorithm)
        }
    }

    /// HS256 with the secret's UTF-8 (RFC 7518 §3.2).
    static func make(header: JSONObject, claims: JSONObject, secret: String) -> String? {
        make(header: header, claims: claims, algorithm: "HS256") {
            Digest.hmacSHA256(key: secret.utf8, message: $0)
        }
    }

    private static func make(
        header: JSONObject, claims: JSONObject, algorithm: String, sign: ([UInt8]) -> [UInt8]?
    ) -> String? {
        var header = header
        header["alg"] = .string(algorithm)
        let signed =
            Base64URL.encode(JSONValue.object(header).text.utf8) + "."
            + Base64URL.encode(JSONValue.object(claims).text.utf8)
        return sign(Array(signed.utf8)).map { signed + "." + Base64URL.encode($0) }
    }
}
