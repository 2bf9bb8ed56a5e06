import Foundation
import Transfer

/// As much of a browser as consent pages ask for: cookies, redirects, forms. `rollcall demo --once` clicks with it.
struct DemoBrowser {
    struct Page {
        var url: String
        var status: Int
        var html: String

        /// What a person would read, without markup.
        var heading: String {
            guard let match = html.firstMatch(of: /<h1[^>]*>(?<text>.*?)<\/h1>/.dotMatchesNewlines()) else { return "" }
            return String(match.text).replacing(/<[^>]+>/, with: "").trimmingCharacters(in: .whitespacesAndNewlines)
        }
    }

    struct Failure: Error, CustomStringConvertible { var description: String }

    private let transport: any Transport
    /// By origin, since the simulator and the service share a host.
    private var cookies: [String: [String: String]] = [:]

    init(transport: any Transport) { self.transport = transport }

    /// Follows redirects until a page stands there, or until one leads to `stop`.
    mutating func open(_ url: String, form: [(String, String)]? = nil, stoppingAt stop: String? = nil) async throws
        -> Page
    {
        var url = url
        var form = form
        for _ in 0..<12 {
            if let stop, url.hasPrefix(stop) { return Page(url: url, status: 303, html: "") }
            let parts = url.split(separator: "#", maxSplits: 1).map(String.init)
            let response = try await transport.send(request(parts[0], form: form))
            remember(response.fields.values("set-cookie"), from: url)
            guard (300..<400).contains(response.status), let location = response.fields["location"] else {
                let html = String(decoding: response.body, as: UTF8.self)
                if parts.count == 2, let next = Self.address(in: parts[1], for: html, at: parts[0]) {
                    url = next
                    continue
                }
                return Page(url: url, status: response.status, html: html)
            }
            guard let next = URL(string: location, relativeTo: URL(string: url)) else {
                throw Failure(description: "a redirect leads nowhere: \(location.prefix { $0 != "?" })")
            }
            url = next.absoluteString
            form = nil
        }
        throw Failure(description: "too many redirects")
    }

    /// Sends the first form that holds `marker` (any form where `nil`) with its own fields and those given.
    mutating func submit(
        _ page: Page, formHolding marker: String? = nil, fields: [(String, String)] = [], stoppingAt stop: String? = nil
    ) async throws -> Page {
        let forms = page.html.matches(of: /<form(?<attributes>[^>]*)>(?<body>.*?)<\/form>/.dotMatchesNewlines())
        guard let form = forms.first(where: { marker == nil || $0.body.contains(marker ?? "") }) else {
            throw Failure(description: "'\(page.heading)' (\(page.status)) has no form to send")
        }
        var values: [(String, String)] = []
        for input in form.body.matches(of: /<input(?<attributes>[^>]*)>/) {
            let attributes = Self.attributes(String(input.attributes))
            guard let name = attributes["name"] else { continue }
            let type = attributes["type"] ?? "text"
            if type == "radio" || type == "checkbox", attributes["checked"] == nil { continue }
            values.append((name, attributes["value"] ?? (type == "checkbox" ? "on" : "")))
        }
        let given = Set(fields.map(\.0))
        values.removeAll { given.contains($0.0) }
        let action = Self.attributes(String(form.attributes))["action"] ?? page.url
        guard let target = URL(string: action, relativeTo: URL(string: page.url)) else {
            throw Failure(description: "a form leads nowhere")
        }
        return try await open(target.absoluteString, form: values + fields, stoppingAt: stop)
    }

    /// Where the script of a page leads that reads its own fragment.
    private static func address(in fragment: String, for html: String, at url: String) -> String? {
        guard let path = html.firstMatch(of: /data-request-in-fragment="(?<path>[^"]*)"/)?.path else { return nil }
        let query = fragment.split(separator: "?", maxSplits: 1).dropFirst().joined()
        return URL(string: "\(path)?\(query)", relativeTo: URL(string: url))?.absoluteString
    }

    private func request(_ url: String, form: [(String, String)]?) -> TransferRequest {
        let origin = Self.origin(of: url)
        var fields: HeaderFields = ["accept": "text/html"]
        var credentials: [TransferRequest.CredentialField] = []
        if let known = cookies[origin], !known.isEmpty {
            let value = known.map { "\($0.key)=\($0.value)" }.sorted().joined(separator: "; ")
            credentials.append(.init(name: "cookie", value: value))
        }
        guard let form else { return TransferRequest(.get, url, fields: fields, credentials: credentials) }
        fields["origin"] = origin
        fields["sec-fetch-site"] = "same-origin"
        let body = form.map { Self.formEncoded($0.0) + "=" + Self.formEncoded($0.1) }.joined(separator: "&")
        return TransferRequest(
            .post, url, fields: fields, credentials: credentials,
            body: .init(contentType: "application/x-www-form-urlencoded", bytes: Array(body.utf8)))
    }

    private mutating func remember(_ setCookies: [String], from url: String) {
        for line in setCookies {
            let pair = line.prefix { $0 != ";" }.split(separator: "=", maxSplits: 1).map(String.init)
            guard let name = pair.first else { continue }
            cookies[Self.origin(of: url), default: [:]][name] = pair.count == 2 ? pair[1] : ""
        }
    }

    private static func origin(of url: String) -> String {
        guard let parsed = URL(string: url), let scheme = parsed.scheme, let host = parsed.host() else { return url }
        return scheme + "://" + host + (parsed.port.map { ":\($0)" } ?? "")
    }

    private static func attributes(_ text: String) -> [String: String] {
        var found: [String: String] = [:]
        for match in text.matches(of: /(?<name>[a-zA-Z-]+)(?:\s*=\s*"(?<value>[^"]*)")?/) {
            let value = match.value.map(String.init) ?? ""
            found[match.name.lowercased()] = value.replacing("&amp;", with: "&").replacing("&quot;", with: "\"")
                .replacing("&#39;", with: "'").replacing("&lt;", with: "<").replacing("&gt;", with: ">")
        }
        return found
    }

    static func formEncoded(_ text: String) -> String {
        text.utf8.map { byte in
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x2a: String(UnicodeScalar(byte))
            case 0x20: "+"
            default: "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }.joined()
    }
}
