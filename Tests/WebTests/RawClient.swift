import Foundation
import Glibc

/// A plain HTTP/1.1 client that sends exactly the bytes it is given. Each exchange is a connection and a thread of its
/// own, so that a blocked socket never holds a thread that the server needs.
struct RawClient: Sendable {
    let port: Int

    struct Failure: Error { var reason: String }

    /// Sends `parts` one after another and reads until the server closes, or until `responses` answers are whole.
    func exchange(_ parts: [[UInt8]], methods: [String] = ["GET"]) async throws -> [RawResponse] {
        let port = port
        return try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread {
                continuation.resume(with: Result { try Self.blockingExchange(port, parts, methods) })
            }
        }
    }

    func send(
        _ method: String, _ target: String, _ fields: [(String, String)] = [], body: [UInt8]? = nil
    ) async throws -> RawResponse {
        var head = "\(method) \(target) HTTP/1.1\r\n"
        if !fields.contains(where: { $0.0.lowercased() == "host" }) { head += "Host: 127.0.0.1\r\n" }
        for (name, value) in fields { head += "\(name): \(value)\r\n" }
        if let body { head += "Content-Length: \(body.count)\r\n" }
        head += "Connection: close\r\n\r\n"
        let responses = try await exchange([Array(head.utf8) + (body ?? [])], methods: [method])
        guard let response = responses.first else { throw Failure(reason: "\(method) \(target): no answer") }
        return response
    }

    private static func blockingExchange(
        _ port: Int, _ parts: [[UInt8]], _ methods: [String]
    ) throws -> [RawResponse] {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw Failure(reason: "socket: \(errno)") }
        defer { close(descriptor) }
        var timeout = timeval(tv_sec: 120, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        // struct sockaddr_in as it lies in memory: family in the machine's order, port and address in the network's.
        let family = UInt16(AF_INET)
        let address: [UInt8] =
            [UInt8(family & 255), UInt8(family >> 8), UInt8(port >> 8), UInt8(port & 255), 127, 0, 0, 1]
            + [UInt8](repeating: 0, count: 8)
        let connected = address.withUnsafeBytes { bytes in
            bytes.withMemoryRebound(to: sockaddr.self) { connect(descriptor, $0.baseAddress, socklen_t(address.count)) }
        }
        guard connected == 0 else { throw Failure(reason: "connect: \(errno)") }
        for part in parts {
            var sent = 0
            while sent < part.count {
                let count = part[sent...].withUnsafeBytes {
                    Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                // A server that has answered and closed need not have read everything.
                if count <= 0 { break }
                sent += count
            }
        }
        var received: [UInt8] = []
        var responses: [RawResponse] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while responses.count < methods.count {
            if let (response, length) = RawResponse.parse(
                received[...], isHead: methods[responses.count] == "HEAD", isClosed: false)
            {
                responses.append(response)
                received.removeFirst(length)
                continue
            }
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count < 0 { throw Failure(reason: "recv: \(errno)") }
            if count == 0 {
                if let (response, _) = RawResponse.parse(
                    received[...], isHead: methods[responses.count] == "HEAD", isClosed: true)
                {
                    responses.append(response)
                }
                break
            }
            received += buffer[..<count]
        }
        return responses
    }
}

struct RawResponse: Sendable {
    var status: Int
    var fields: [(name: String, value: String)]
    var body: [UInt8]

    var text: String { String(decoding: body, as: UTF8.self) }
    subscript(name: String) -> String? { fields.first { $0.name.lowercased() == name.lowercased() }?.value }
    func values(_ name: String) -> [String] {
        fields.filter { $0.name.lowercased() == name.lowercased() }.map(\.value)
    }

    /// The first whole response in `bytes` and its length.
    fileprivate static func parse(_ bytes: ArraySlice<UInt8>, isHead: Bool, isClosed: Bool) -> (RawResponse, Int)? {
        guard let end = bytes.indices.dropLast(3).first(where: { bytes[$0...].starts(with: [13, 10, 13, 10]) })
        else { return nil }
        let lines = String(decoding: bytes[..<end], as: UTF8.self).components(separatedBy: "\r\n")
        guard let status = lines[0].split(separator: " ").dropFirst().first.flatMap({ Int($0) }) else { return nil }
        let fields = lines.dropFirst().compactMap { line -> (name: String, value: String)? in
            guard let colon = line.firstIndex(of: ":") else { return nil }
            return (
                String(line[..<colon]),
                String(line[line.index(after: colon)...]).trimmingCharacters(in: .whitespaces)
            )
        }
        var response = RawResponse(status: status, fields: fields, body: [])
        let rest = bytes[(end + 4)...]
        if isHead || status == 204 || status == 304 { return (response, end + 4 - bytes.startIndex) }
        let length = response["content-length"].flatMap { Int($0) }
        guard let length else {
            guard isClosed else { return nil }
            response.body = Array(rest)
            return (response, bytes.count)
        }
        guard rest.count >= length else { return nil }
        response.body = Array(rest.prefix(length))
        return (response, end + 4 - bytes.startIndex + length)
    }
}
