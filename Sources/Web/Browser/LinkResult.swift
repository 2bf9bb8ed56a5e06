import Accounts
import Hummingbird

/// How a link ended, carried past the redirect that takes the code out of the address bar. A cookie that only the
/// browser's own secret can have signed, so that nobody can send someone a page that claims success.
enum LinkResult: Equatable {
    case linked(AccountID)
    case failed(code: String, provider: ProviderID)

    private static let suffix = "-result"

    /// The result that came with a request; `nil` where there is none or the signature is not this browser's.
    init?(_ request: Request, _ cookie: BrowserCookie, site: Site) {
        guard let value = BrowserCookie.value(of: BrowserCookie.name(site, suffix: Self.suffix), in: request),
            let dot = value.lastIndex(of: "."),
            cookie.isSignature(String(value[value.index(after: dot)...]), of: String(value[..<dot]))
        else { return nil }
        let parts = value[..<dot].split(separator: ".", omittingEmptySubsequences: false)
        if parts.count == 2, parts[0] == "linked", let id = AccountID(String(parts[1])) {
            self = .linked(id)
        } else if parts.count == 3, parts[0] == "failed", let provider = ProviderID(String(parts[1])) {
            self = .failed(code: String(parts[2]), provider: provider)
        } else {
            return nil
        }
    }

    func setCookie(_ cookie: BrowserCookie, _ site: Site) -> String {
        let text =
            switch self {
            case .linked(let id): "linked.\(id)"
            case .failed(let code, let provider): "failed.\(provider).\(code)"
            }
        return BrowserCookie.setCookie(
            BrowserCookie.name(site, suffix: Self.suffix), text + "." + cookie.signature(of: text), secondsMax: 600,
            site)
    }
}

/// The application's address with what became of the link added to it.
enum ReturnAddress {
    /// Added to the query, before any fragment; what the application put there itself stays.
    static func adding(_ parameters: [(String, String)], to url: String) -> String {
        let fragmentStart = url.firstIndex(of: "#") ?? url.endIndex
        var address = String(url[..<fragmentStart])
        for (name, value) in parameters {
            address += address.contains("?") ? (address.hasSuffix("?") || address.hasSuffix("&") ? "" : "&") : "?"
            address += name + "=" + encoded(value)
        }
        return address + url[fragmentStart...]
    }

    private static func encoded(_ text: String) -> String {
        var output = ""
        let digits = Array("0123456789ABCDEF")
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e:
                output.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                output += "%" + String(digits[Int(byte >> 4)]) + String(digits[Int(byte & 15)])
            }
        }
        return output
    }
}
