import Accounts
import Foundation
import HTTPTypes
import Hummingbird
import JSON
import NIOCore
import Store
import TestSupport
import YAML

@testable import OAuth
@testable import Providers
@testable import Rollcall
@testable import Web

/// What browsers, programs and operators send.
extension Parsers {
    private static let formPieces = [
        "&", "=", "&&", "==", "+", "%20", "%2", "%zz", "%C3%A9", "code=", "state=", "error=", "iss=", "access_token=",
        "response=", "id_token=", "error=access_denied", "limit=", "after=", "max_age=", "rck_", "api_key=", "?", "#",
        ";",
    ]

    private static let queries = Samples.texts(
        "code=abc&state=MARKER-EXAMPLE-STATE", "state=x&error=access_denied&error_description=No%20thanks",
        "code=a&state=b&iss=https%3A%2F%2Fop.example", "limit=50&after=AWFjY18wMQ&provider=github&status=active",
        "q=%E2%82%AC&name=a+b", "max_age=60", "a", "=b", "a=1&a=2")

    static let callback = FuzzedParser(name: "callback", pieces: formPieces, samples: { queries }) {
        { input in
            let query = String(decoding: input, as: UTF8.self)
            let read: (state: String, response: AuthorizationResponse, issuer: String?)
            do { read = try AuthorizationResponse.read(query: query) } catch {
                try Broken.unless(!"\(error)".contains("MARKER"), "a secret is in the error \(error)")
                return false
            }
            let pairs = FormEncoding.decode(query) ?? []
            let stated = pairs.filter { $0.name == "error" && !$0.value.isEmpty }
            try Broken.unless((1...512).contains(read.state.utf8.count), "a state of \(read.state.utf8.count) bytes")
            try Broken.unless(pairs.filter { $0.name == "state" }.map(\.value) == [read.state], "another state")
            switch read.response {
            case .code(let code):
                try Broken.unless(stated.isEmpty, "a code beside an error")
                try Broken.unless(
                    pairs.filter { $0.name == "code" }.map(\.value) == [code.reveal { $0 }], "another code")
            case .error(let name):
                try Broken.unless(!stated.isEmpty, "an error that was not said")
                try Broken.unless((1...64).contains(name.utf8.count), "an error of \(name.utf8.count) bytes")
            }
            return true
        }
    }

    /// Two readers of one encoding must read alike: one reads what providers send, the other what browsers do.
    static let form = FuzzedParser(name: "form", pieces: formPieces, samples: { queries }) {
        { input in
            let ours = FormEncoding.decode(input)
            let web = FormParameters(bytes: input)
            try Broken.unless((ours == nil) == (web == nil), "one reads it, the other does not")
            guard let ours, let web else { return false }
            try Broken.unless(
                ours.map(\.name) == web.names && ours.map(\.value) == web.values, "they read different pairs")
            let again = FormEncoding.decode(FormEncoding.body(ours)) ?? []
            let named = ours.filter { !$0.name.isEmpty || !$0.value.isEmpty }
            try Broken.unless(
                again.filter { !$0.name.isEmpty || !$0.value.isEmpty }.elementsEqual(named) { $0 == $1 },
                "written and read it is another")
            return true
        }
    }

    static let cookie = FuzzedParser(
        name: "cookie",
        pieces: ["__Host-rollcall=", "rollcall=", ";", "; ", "=", ".", "A", "\"", ",", "Path=/", "__Host-rollcall"],
        samples: {
            let cookie = BrowserCookie(for: UserID("42")!, random: SeededRandom())
            let pair = cookie.setCookie(try site()).prefix { $0 != ";" }
            return Samples.texts(
                String(pair), "a=b; \(pair)", "\(pair); \(pair)", "\(pair); theme=dark; x=\"y;z\"",
                "__Host-rollcall=x.y")
        }
    ) {
        let site = try Self.site()
        return { input in
            let head = HTTPRequest(
                method: .get, scheme: "https", authority: "accounts.example.com", path: "/link/x",
                headerFields: [.cookie: String(decoding: input, as: UTF8.self)])
            guard let cookie = BrowserCookie(Request(head: head, body: .init(buffer: ByteBuffer())), site: site) else {
                return false
            }
            try Broken.unless(cookie.secret.reveal { $0.utf8.count == 43 }, "a secret of another length")
            _ = cookie.isFor(UserID("42")!)
            return true
        }
    }

    private static func site() throws -> Site {
        try Site(
            publicURL: "https://accounts.example.com", applicationName: "Example", trustedProxies: TrustedProxies())
    }

    static let query = FuzzedParser(name: "query", pieces: formPieces, samples: { queries }) {
        { input in
            let head = HTTPRequest(
                method: .get, scheme: "https", authority: "accounts.example.com",
                path: "/v1/accounts?" + String(decoding: input, as: UTF8.self))
            let request = Request(head: head, body: .init(buffer: ByteBuffer()))
            do {
                try QueryReader.refuseCredentials(in: request)
                var reader = try QueryReader(request)
                let page = reader.page()
                try Broken.unless((1...500).contains(page.limit), "a page of \(page.limit)")
                try Broken.unless(
                    page.after.map { Cursor.position(Cursor.text($0)) == $0 } ?? true,
                    "a cursor that does not come back")
                _ = reader.value("provider", "must be a provider") { ProviderID($0) }
                try reader.finish()
            } catch let problem as Problem {
                try Broken.unless(!"\(problem)".contains("rck_0"), "a key is in the problem")
                return false
            }
            return true
        }
    }

    static let fields = FuzzedParser(
        name: "fields",
        pieces: [
            "\"", "W/", "*", ",", ";", "wait=", " GMT", "Sun, ", "[", "]", "::", ":4711", "/24", "127.0.0.1", "%25eth0",
        ],
        samples: {
            Samples.texts(
                "\"v1\", W/\"v2\"", "Sun, 06 Nov 1994 08:49:37 GMT", "wait=10, respond-async; wait=\"5\"",
                "192.0.2.1:4711",
                "[2001:db8::1]:443", "2001:db8::/32", "2026-11-21T09:30:00.123Z", "90d",
                "acc_01m7abcdefghijklmnopqrstuv")
        }
    ) {
        { input in
            let text = String(decoding: input, as: UTF8.self)
            var isTaken = Preconditions.matches(text, "\"v1\"")
            if let date = Preconditions.date(text) {
                isTaken = true
                try Broken.unless(Preconditions.date(Preconditions.text(date)) == date, "another date")
            }
            if let wait = Preferences.wait([.prefer: text]) {
                isTaken = true
                try Broken.unless((0...Preferences.waitMax).contains(wait), "a wait of \(wait) s")
            }
            if let address = ClientAddress(text) {
                isTaken = true
                try Broken.unless(ClientAddress("\(address)") == address, "another address")
            }
            if let time = Timestamp(rfc3339: text) {
                isTaken = true
                try Broken.unless(
                    Timestamp(rfc3339: time.rfc3339)?.secondsSinceEpoch == time.secondsSinceEpoch, "another time")
            }
            _ = try? TrustedProxies([text])  // only that it ends
            _ = Duration(configured: text)
            _ = Site.origin(of: text)
            return isTaken
        }
    }

    static let importLine = FuzzedParser(
        name: "import",
        pieces: jsonPieces + [
            "\"user_id\":", "\"provider\":\"github\"", "\"subject\":", "\"access_token\":", "\"refresh_token\":",
            "\"expires_at\":",
            "\"scopes\":[", "\"2026-12-01T00:00:00Z\"",
        ],
        samples: {
            Samples.texts(
                #"{"user_id":"42","provider":"github","subject":"1","access_token":"MARKER-EXAMPLE-A"}"#,
                #"{"user_id":42,"provider":"github","subject":1,"access_token":"MARKER-EXAMPLE-A","refresh_token":"MARKER-EXAMPLE-R","expires_at":"2026-12-01T00:00:00Z","scopes":["a","b"]}"#,
                #"{"user_id":"42","provider":"discord","subject":"1","access_token":"t","refresh_token":null}"#)
        }
    ) {
        let catalog = try ProviderCatalog(
            files: [], instances: [InstanceConfiguration(id: "github", clientID: "EXAMPLE", clientSecret: nil)],
            publicURL: "https://accounts.example.com")
        let reader = AccountLine(catalog: catalog, isDue: false, clock: VirtualTime(), random: SystemRandom())
        return { input in
            let account: ImportedAccount
            do throws(AccountLine.Fault) { account = try reader.read(input) } catch {
                try Broken.unless(!error.reason.contains("MARKER-EXAMPLE"), "a token is in the reason: \(error.reason)")
                return false
            }
            try Broken.unless(
                account.credential.accessToken.reveal {
                    !$0.isEmpty && $0.utf8.allSatisfy { (0x21...0x7e).contains($0) }
                },
                "a token that no header can carry")
            return true
        }
    }
}
