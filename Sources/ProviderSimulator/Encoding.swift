import FoundationEssentials

func base64URL(_ bytes: [UInt8]) -> String {
    var text: [UInt8] = []
    for byte in Data(bytes).base64EncodedString().utf8 {
        switch byte {
        case UInt8(ascii: "+"): text.append(UInt8(ascii: "-"))
        case UInt8(ascii: "/"): text.append(UInt8(ascii: "_"))
        case UInt8(ascii: "="): break
        default: text.append(byte)
        }
    }
    return String(decoding: text, as: UTF8.self)
}

enum BasicCredentials {
    /// The two halves of RFC 7617 credentials, form-decoded where RFC 6749 §2.3.1 is followed.
    static func read(_ text: String, isFormEncoded: Bool) -> (id: String, secret: String)? {
        guard let data = Data(base64Encoded: text) else { return nil }
        let halves = Array(data).split(separator: UInt8(ascii: ":"), maxSplits: 1, omittingEmptySubsequences: false)
        guard halves.count == 2 else { return nil }
        func decoded(_ half: ArraySlice<UInt8>) -> String {
            isFormEncoded ? Form.decoded(half) : String(decoding: half, as: UTF8.self)
        }
        return (decoded(halves[0]), decoded(halves[1]))
    }
}

extension Form {
    /// The string members of a JSON object, as some sites read a token request; `nil` where it is not one.
    init?(jsonObject bytes: [UInt8]) {
        enum Value: Decodable {
            case string(String)
            case other

            init(from decoder: any Decoder) throws {
                let container = try decoder.singleValueContainer()
                // Members that are not strings are no parameters of a token request.
                self = (try? container.decode(String.self)).map(Value.string) ?? .other
            }
        }
        do {
            let members = try JSONDecoder().decode([String: Value].self, from: Data(bytes))
            self.init(
                members.compactMap { name, value in
                    if case .string(let text) = value { (name, text) } else { nil }
                })
        } catch { return nil }
    }
}
