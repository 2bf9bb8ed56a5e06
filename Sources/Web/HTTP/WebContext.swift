import HTTPTypes
import Hummingbird
import NIOCore
import Synchronization

/// What is known of one request while it is answered.
struct WebContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    var requestID = ""
    /// The other end of the connection; a proxy's where there is one.
    let peer: SocketAddress?
    /// What the access log adds once it is known.
    let notes = RequestNotes()

    init(source: Source) {
        coreContext = .init(source: source)
        peer = source.channel.remoteAddress
    }
}

/// What a handler learnt of a request that the access log should say.
final class RequestNotes: Sendable {
    private let stored = Mutex<[String: String]>([:])

    subscript(name: String) -> String? {
        get { stored.withLock { $0[name] } }
        set { stored.withLock { $0[name] = newValue } }
    }

    var all: [String: String] { stored.withLock { $0 } }

    private let storedCookies = Mutex<[String]>([])

    /// `Set-Cookie` fields that go with whatever is answered, a problem too: what was bound to a secret that the browser
    /// then never got could not be gone on with.
    var cookies: [String] {
        get { storedCookies.withLock { $0 } }
        set { storedCookies.withLock { $0 = newValue } }
    }
}

extension HTTPField.Name {
    static let requestID = HTTPField.Name("X-Request-Id")!
    static let idempotencyKey = HTTPField.Name("Idempotency-Key")!
    static let prefer = HTTPField.Name("Prefer")!
    static let preferenceApplied = HTTPField.Name("Preference-Applied")!
    static let forwardedFor = HTTPField.Name("X-Forwarded-For")!
    static let secPurpose = HTTPField.Name("Sec-Purpose")!
    static let purpose = HTTPField.Name("Purpose")!
    static let secFetchSite = HTTPField.Name("Sec-Fetch-Site")!
    static let secFetchMode = HTTPField.Name("Sec-Fetch-Mode")!
    static let secFetchDest = HTTPField.Name("Sec-Fetch-Dest")!
    static let referrerPolicy = HTTPField.Name("Referrer-Policy")!
    static let crossOriginOpenerPolicy = HTTPField.Name("Cross-Origin-Opener-Policy")!
    static let crossOriginResourcePolicy = HTTPField.Name("Cross-Origin-Resource-Policy")!
    static let frameOptions = HTTPField.Name("X-Frame-Options")!
    static let xMoz = HTTPField.Name("X-Moz")!
    static let permissionsPolicy = HTTPField.Name("Permissions-Policy")!
}
