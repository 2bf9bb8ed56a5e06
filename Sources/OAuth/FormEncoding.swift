package import Transfer

/// Form-encoded parameters of requests that are not the grants' own.
package enum EncodedParameters {
    package static func body(_ parameters: [(name: String, value: String)]) -> TransferRequest.Body {
        .init(contentType: FormEncoding.mediaType, bytes: Array(FormEncoding.body(parameters).utf8))
    }

    /// `url` with more parameters in its query.
    package static func url(_ url: String, adding parameters: [(name: String, value: String)]) -> String {
        url + (url.contains("?") ? "&" : "?") + FormEncoding.query(parameters)
    }
}

/// `application/x-www-form-urlencoded` (RFC 6749 appendix B).
enum FormEncoding {
    static let mediaType = "application/x-www-form-urlencoded"

    /// For bodies and Basic credentials: a space becomes `+`.
    static func encode(_ text: String) -> String { encode(text, space: "+") }

    /// For query components and path segments: a space becomes `%20`, which every server reads alike.
    static func percentEncode(_ text: String) -> String { encode(text, space: "%20") }

    static func body(_ parameters: [(name: String, value: String)]) -> String {
        parameters.map { "\(encode($0.name))=\(encode($0.value))" }.joined(separator: "&")
    }

    static func query(_ parameters: [(name: String, value: String)]) -> String {
        parameters.map { "\(percentEncode($0.name))=\(percentEncode($0.value))" }.joined(separator: "&")
    }

    /// The pairs in order; `nil` where an escape is not one or the bytes are not UTF-8. A pair without `=` has an empty
    /// value; empty pairs are skipped.
    static func decode(_ text: String) -> [(name: String, value: String)]? { decode(Array(text.utf8)) }

    static func decode(_ bytes: [UInt8]) -> [(name: String, value: String)]? {
        var pairs: [(name: String, value: String)] = []
        for pair in bytes.split(separator: UInt8(ascii: "&")) {
            let parts = pair.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = decodeComponent(parts[0]) else { return nil }
            guard let value = parts.count > 1 ? decodeComponent(parts[1]) : "" else { return nil }
            pairs.append((name, value))
        }
        return pairs
    }

    private static func encode(_ text: String, space: String) -> String {
        var encoded = ""
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e:
                encoded.unicodeScalars.append(Unicode.Scalar(byte))
            case 0x20: encoded += space
            default:
                let digits = Array("0123456789ABCDEF".unicodeScalars)
                encoded += "%"
                encoded.unicodeScalars.append(digits[Int(byte >> 4)])
                encoded.unicodeScalars.append(digits[Int(byte & 15)])
            }
        }
        return encoded
    }

    private static func decodeComponent(_ component: ArraySlice<UInt8>) -> String? {
        var bytes: [UInt8] = []
        var index = component.startIndex
        while index < component.endIndex {
            switch component[index] {
            case UInt8(ascii: "+"): bytes.append(0x20)
            case UInt8(ascii: "%"):
                guard index + 2 < component.endIndex, let high = hexadecimal(component[index + 1]),
                    let low = hexadecimal(component[index + 2])
                else { return nil }
                bytes.append(high << 4 | low)
                index += 2
            default: bytes.append(component[index])
            }
            index += 1
        }
        return String(validating: bytes, as: UTF8.self)
    }

    private static func hexadecimal(_ digit: UInt8) -> UInt8? {
        switch digit {
        case 0x30...0x39: digit - 0x30
        case 0x41...0x46: digit - 0x37
        case 0x61...0x66: digit - 0x57
        default: nil
        }
    }
}
