import Foundation
import JSON
import Synchronization

/// A browser: keeps cookies, finds what it needs in pages, follows nothing by itself.
final class Browser: Sendable {
    let service: Service
    private let jar = Mutex<[String: String]>([:])

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

    func send(
        _ method: String, _ target: String, _ fields: [(String, String)], body: [UInt8]?
    ) async throws -> RawResponse {
        var fields = fields
        let cookies = cookies.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        if !cookies.isEmpty { fields.append(("Cookie", cookies.joined(separator: "; "))) }
        let response = try await service.client.send(method, target, fields, body: body)
        for line in response.values("set-cookie") {
            let pair = line.prefix { $0 != ";" }.split(separator: "=", maxSplits: 1)
            if pair.count == 2 { jar.withLock { $0[String(pair[0])] = String(pair[1]) } }
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
