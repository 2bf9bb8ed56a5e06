import Foundation
import Glibc

/// One HTTP/1.1 exchange over a socket of its own, read to the end of the connection: the tests see exactly which bytes
/// came and which did not.
struct SocketClient: Sendable {
    let port: Int

    struct Response: Sendable {
        /// `nil` where the connection closed before a status line.
        var status: Int?
        var fields: [String: String] = [:]
        var body: [UInt8] = []
        /// Whether the body is as long as its head promised.
        var isComplete = false

        var text: String { String(decoding: body, as: UTF8.self) }

        /// The object in the body, empty where there is none.
        var json: [String: Any] { jsonValue as? [String: Any] ?? [:] }
        /// `nil` where the body is not JSON.
        var jsonValue: Any? { try? JSONSerialization.jsonObject(with: Data(body), options: .fragmentsAllowed) }
        subscript(member: String) -> String? { json[member] as? String }

        /// Parameters of the query of `location`.
        var callback: [String: String] {
            guard let location = fields["location"], let items = URLComponents(string: location)?.queryItems else {
                return [:]
            }
            return Dictionary(items.map { ($0.name, $0.value ?? "") }) { first, _ in first }
        }
    }

    func get(_ path: String, _ fields: [String: String] = [:]) async -> Response {
        await send("GET", path, fields, body: nil)
    }

    func post(_ path: String, form: [(String, String)], _ fields: [String: String] = [:]) async -> Response {
        let text = form.map { Self.encoded($0.0) + "=" + Self.encoded($0.1) }.joined(separator: "&")
        return await send(
            "POST", path, fields.merging(["content-type": "application/x-www-form-urlencoded"]) { own, _ in own },
            body: text)
    }

    func send(_ method: String, _ path: String, _ fields: [String: String] = [:], body: String?) async -> Response {
        var lines = ["\(method) \(path) HTTP/1.1", "host: 127.0.0.1:\(port)", "connection: close"]
        let all = ["user-agent": "DiscordBot (https://example.com, 1)"].merging(fields) { _, given in given }
        for (name, value) in all where !value.isEmpty { lines.append("\(name): \(value)") }
        if let body { lines.append("content-length: \(body.utf8.count)") }
        let request = Array((lines.joined(separator: "\r\n") + "\r\n\r\n" + (body ?? "")).utf8)
        let port = port
        // A thread of its own: a blocking read must not hold one of the few threads that answer it.
        return await withCheckedContinuation { continuation in
            Thread.detachNewThread { continuation.resume(returning: Self.exchange(port: port, request)) }
        }
    }

    /// A connection that has been answered once and stays open.
    struct Connection: Sendable {
        fileprivate let descriptor: Int32
        func close() { Glibc.close(descriptor) }
    }

    func keptConnection(_ path: String) async -> Connection? {
        let request = Array("GET \(path) HTTP/1.1\r\nhost: 127.0.0.1:\(port)\r\n\r\n".utf8)
        let port = port
        return await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                let descriptor = Self.connected(port: port, request)
                var chunk = [UInt8](repeating: 0, count: 65_536)
                let isAnswered = descriptor.map { recv($0, &chunk, chunk.count, 0) > 0 } ?? false
                continuation.resume(returning: isAnswered ? descriptor.map(Connection.init) : nil)
            }
        }
    }

    private static func exchange(port: Int, _ request: [UInt8]) -> Response {
        guard let descriptor = connected(port: port, request) else { return Response() }
        defer { close(descriptor) }
        var received: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            if count <= 0 { break }
            received += chunk[..<count]
        }
        return read(received)
    }

    /// A socket on which the request has been sent.
    private static func connected(port: Int, _ request: [UInt8]) -> Int32? {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        let connected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard connected == 0, Glibc.send(descriptor, request, request.count, Int32(MSG_NOSIGNAL)) == request.count
        else {
            close(descriptor)
            return nil
        }
        return descriptor
    }

    private static func read(_ bytes: [UInt8]) -> Response {
        guard let end = bytes.firstRange(of: Array("\r\n\r\n".utf8)) else { return Response() }
        let lines = String(decoding: bytes[..<end.lowerBound], as: UTF8.self).components(separatedBy: "\r\n")
        var response = Response(status: lines[0].split(separator: " ").dropFirst().first.flatMap { Int($0) })
        for line in lines.dropFirst() {
            let halves = line.split(separator: ":", maxSplits: 1)
            if halves.count == 2 {
                response.fields[halves[0].lowercased()] = halves[1].trimmingCharacters(in: .whitespaces)
            }
        }
        response.body = Array(bytes[end.upperBound...])
        response.isComplete = response.fields["content-length"].flatMap { Int($0) } ?? 0 == response.body.count
        return response
    }

    static func encoded(_ text: String) -> String {
        text.addingPercentEncoding(withAllowedCharacters: .alphanumerics.union(CharacterSet(charactersIn: "-._~")))
            ?? text
    }

    static func query(_ parameters: [(String, String)]) -> String {
        parameters.map { encoded($0.0) + "=" + encoded($0.1) }.joined(separator: "&")
    }
}
