import Accounts
import Cryptography
import HTTPTypes
import Hummingbird

/// The secret by which one browser is known again, for as long as a link takes. It signs nobody in: a link session
/// opened with it can only be ended with it, and by it forms are told from forgeries.
struct BrowserCookie: Sendable {
    let secret: Secret
    /// Which user the secret was made for, readable only with the secret: two users at one browser get two secrets, so
    /// that what one began the other can't end.
    private let tag: String

    init(for user: UserID, random: some RandomSource) {
        let text = Base64URL.encode(random.bytes(32))
        secret = Secret(text)
        tag = Self.mac(text, "user", user.rawValue, length: 12)
    }

    private init(secret: String, tag: String) {
        self.secret = Secret(secret)
        self.tag = tag
    }

    /// The cookie that came with a request; `nil` where there is none or more than one, or it is not ours.
    init?(_ request: Request, site: Site) { self.init(Self.value(of: Self.name(site), in: request)) }

    /// The same from the cookie that a POST from the provider's site carries, for the callback alone.
    init?(posted request: Request, site: Site) {
        self.init(Self.value(of: Self.name(site, suffix: Self.posted), in: request))
    }

    private init?(_ value: Substring?) {
        guard let value else { return nil }
        let parts = value.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0].utf8.count == 43, parts[1].utf8.count == 16,
            let bytes = Base64URL.decode(String(parts[0])), bytes.count == 32
        else { return nil }
        self.init(secret: String(parts[0]), tag: String(parts[1]))
    }

    func isFor(_ user: UserID) -> Bool {
        secret.reveal { secret in
            constantTimeEqual(Array(Self.mac(secret, "user", user.rawValue, length: 12).utf8), Array(tag.utf8))
        }
    }

    /// What a form of this browser carries for one link session, and no other site can know.
    func csrfToken(session: LinkSessionID) -> String {
        secret.reveal { Self.mac($0, "csrf", session.rawValue, length: 32) }
    }

    func isCSRFToken(_ token: String?, session: LinkSessionID) -> Bool {
        constantTimeEqual(Array((token ?? "").utf8), Array(csrfToken(session: session).utf8))
    }

    func isSignature(_ signature: String, of text: String) -> Bool {
        constantTimeEqual(Array(signature.utf8), Array(self.signature(of: text).utf8))
    }

    func signature(of text: String) -> String { secret.reveal { Self.mac($0, "result", text, length: 32) } }

    func setCookie(_ site: Site) -> String {
        let value = secret.reveal { $0 } + "." + tag
        return Self.setCookie(Self.name(site), value, secondsMax: 3600, site)
    }

    private static let posted = "-post"

    /// A POST from another site carries no Lax cookie. This one goes with every request of a browser, so only the
    /// callback reads it, where a state must fit it too. Browsers take `None` with `Secure` alone, which they allow to
    /// plain http on a loopback address.
    func setPostedCookie(_ site: Site) -> String {
        let value = secret.reveal { $0 } + "." + tag
        return Self.postedCookie(value, secondsMax: 600, site)
    }

    static func endPosted(_ site: Site) -> String { postedCookie("", secondsMax: 0, site) }

    private static func postedCookie(_ value: String, secondsMax: Int, _ site: Site) -> String {
        "\(name(site, suffix: posted))=\(value); Path=/; Max-Age=\(secondsMax); HttpOnly; SameSite=None; Secure"
    }

    /// `__Host-` makes browsers insist on Secure, Path=/ and no Domain, so that no sibling host can plant one. Lax, for
    /// Strict would keep the cookie back when the provider's site leads here again.
    static func setCookie(_ name: String, _ value: String, secondsMax: Int, _ site: Site) -> String {
        "\(name)=\(value); Path=/; Max-Age=\(secondsMax); HttpOnly; SameSite=Lax" + (site.isHTTPS ? "; Secure" : "")
    }

    static func name(_ site: Site, suffix: String = "") -> String {
        (site.isHTTPS ? "__Host-rollcall" : "rollcall") + suffix
    }

    /// The one cookie of that name; `nil` where it stands twice, for then somebody planted one.
    static func value(of name: String, in request: Request) -> Substring? {
        var found: Substring?
        for field in request.headers[values: .cookie] {
            for pair in field.split(separator: ";") {
                let pair = pair.drop { $0 == " " }
                guard pair.hasPrefix(name), pair.dropFirst(name.count).first == "=" else { continue }
                if found != nil { return nil }
                found = pair.dropFirst(name.count + 1)
            }
        }
        return found
    }

    private static func mac(_ secret: String, _ purpose: String, _ text: String, length: Int) -> String {
        let mac = Digest.hmacSHA256(key: Array(secret.utf8), message: Array((purpose + "\0" + text).utf8))
        return Base64URL.encode(Array(mac.prefix(length)))
    }
}
