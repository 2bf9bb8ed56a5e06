import Foundation
import JSON
import Synchronization

/// A browser: keeps cookies, finds what it needs in pages, follows nothing by itself.
final class Browser: Sendable {
    let service: Service
    private let jar = Mutex<[String: String]>([:])
    /// Names of cookies that go with requests from other sites' pages, too.
    private let anySite = Mutex<Set<String>>([])

    init(service: Service) { self.service = service }

    var cookies: [String: String] { jar.withLock { $0 } }

    /// As if somebody had copied the cookies over.
    func steal(from other: Browser) {
        let stolen = other.cookies
        jar.withLock { $0 = stolen }
    }

    func get(_ target: String, _ fields: [(String, String)] = []) async throws -> RawResponse {
        try await send("GET", target, fields, body: nil)
    }

    func post(_ target: String, _ form: String, _ fields: [(String, String)] = []) async throws -> RawResponse {
        try await send(
            "POST", target,
            [("Content-Type", "application/x-www-form-urlencoded"), ("Sec-Fetch-Site", "same-origin")]
                .filter { field in !fields.contains { $0.0 == field.0 } } + fields.filter { !$0.1.isEmpty },
            body: Array(form.utf8))
    }

    /// A form that a page of another site has the browser send: without the cookies that are Lax.
    func postFromElsewhere(
        _ target: String, _ form: String, type: String = "application/x-www-form-urlencoded"
    ) async throws -> RawResponse {
        try await send(
            "POST", target,
            [("Content-Type", type), ("Sec-Fetch-Site", "cross-site"), ("Origin", "https://alpha.example")],
            body: Array(form.utf8), fromElsewhere: true)
    }

    func send(
        _ method: String, _ target: String, _ fields: [(String, String)], body: [UInt8]?, fromElsewhere: Bool = false
    ) async throws -> RawResponse {
        var fields = fields
        let named = anySite.withLock { $0 }
        let pairs = cookies.filter { !fromElsewhere || named.contains($0.key) }.sorted { $0.key < $1.key }
        if !pairs.isEmpty {
            fields.append(("Cookie", pairs.map { "\($0.key)=\($0.value)" }.joined(separator: "; ")))
        }
        let response = try await service.client.send(method, target, fields, body: body)
        for line in response.values("set-cookie") {
            let pair = line.prefix { $0 != ";" }.split(separator: "=", maxSplits: 1)
            guard let name = pair.first.map(String.init) else { continue }
            let value = line.contains("Max-Age=0;") ? nil : pair.dropFirst().first.map(String.init)
            jar.withLock { $0[name] = value }
            if line.contains("SameSite=None") { anySite.withLock { _ = $0.insert(name) } }
        }
        return response
    }

    /// Opens a link and goes on to the provider; the state that left with it.
    func start(_ path: String, provider: String? = nil) async throws -> String {
        let page = try await get(path)
        guard page.status == 200, let csrf = page.csrf else {
            throw RawClient.Failure(reason: "no page: \(page.status) \(page.text)")
        }
        let response = try await post(path, "csrf=\(csrf)" + (provider.map { "&provider=\($0)" } ?? ""))
        guard response.status == 303, let state = response.queryOfLocation["state"] else {
            throw RawClient.Failure(reason: "not sent on: \(response.status) \(response.text)")
        }
        return state
    }
}

extension RawResponse {
    func json() throws -> JSONValue { try JSONValue(parsing: body) }

    var csrf: String? {
        text.range(of: #"name="csrf" value=""#).map { String(text[$0.upperBound...].prefix { $0 != "\"" }) }
    }

    var queryOfLocation: [String: String] {
        let items = self["location"].flatMap { URLComponents(string: $0) }?.queryItems ?? []
        return Dictionary(items.map { ($0.name, $0.value ?? "") }) { first, _ in first }
    }
}
