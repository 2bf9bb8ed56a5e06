import Foundation
import Glibc
import Synchronization

/// A server on 127.0.0.1 that says, byte for byte, what a script tells it to: one thread to accept, one for each
/// connection.
final class LoopbackServer: Sendable {
    typealias Script = @Sendable (Connection) -> Void

    struct Request: Sendable {
        var startLine: String
        var lines: [String]
        var body: [UInt8]

        func values(_ name: String) -> [String] {
            lines.compactMap { line in
                let parts = line.split(separator: ":", maxSplits: 1)
                guard parts.count == 2, parts[0].lowercased() == name.lowercased() else { return nil }
                return parts[1].trimmingCharacters(in: .whitespaces)
            }
        }
        var path: String { String(startLine.split(separator: " ").dropFirst().first ?? "") }
    }

    private struct State {
        var accepted = 0
        var requests: [Request] = []
        var open: [Int32: Connection] = [:]
        var watchers: [(count: Int, continuation: CheckedContinuation<Void, Never>)] = []
        var closeWatchers: [CheckedContinuation<Void, Never>] = []
        var isStopped = false
        var listenerIsClosed = false
    }

    let port: Int
    private let listener: Int32
    private let state = Mutex(State())
    private let script: Script

    init(_ script: @escaping Script) throws {
        self.script = script
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in.loopback(port: 0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let listener = listener
        let bound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, length) == 0 && getsockname(listener, $0, &length) == 0
            }
        }
        guard bound, listen(listener, 128) == 0 else { throw POSIXError(.EADDRNOTAVAIL) }
        port = Int(UInt16(bigEndian: address.sin_port))
        Thread.detachNewThread { [self] in accept() }
    }

    /// Answers every request on every connection with the same text.
    static func answering(_ text: String) throws -> LoopbackServer {
        try LoopbackServer { connection in
            while connection.readRequest() != nil { connection.write(text) }
        }
    }

    /// Answers by path; 404 for the others.
    static func answering(byPath answers: [String: String]) throws -> LoopbackServer {
        try LoopbackServer { connection in
            while let request = connection.readRequest() {
                connection.write(answers[request.path] ?? "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            }
        }
    }

    func url(_ path: String = "/") -> String { "http://127.0.0.1:\(port)\(path)" }
    var acceptedCount: Int { state.withLock { $0.accepted } }
    var openCount: Int { state.withLock { $0.open.count } }
    var requests: [Request] { state.withLock { $0.requests } }

    /// Returns once that many requests were read.
    func requests(atLeast count: Int) async {
        await withCheckedContinuation { continuation in
            let isReady = state.withLock { state in
                if state.requests.count >= count { return true }
                state.watchers.append((count, continuation))
                return false
            }
            if isReady { continuation.resume() }
        }
    }

    /// Returns once no connection is open, each closed from the other side or by its script.
    func allClosed() async {
        await withCheckedContinuation { continuation in
            let isReady = state.withLock { state in
                if state.open.isEmpty { return true }
                state.closeWatchers.append(continuation)
                return false
            }
            if isReady { continuation.resume() }
        }
    }

    func stop() {
        state.withLock { state in
            state.isStopped = true
            // Under the lock: the number of what is closed is soon another's.
            if !state.listenerIsClosed { shutdown(listener, Int32(SHUT_RDWR)) }
            for descriptor in state.open.keys { shutdown(descriptor, Int32(SHUT_RDWR)) }
        }
    }

    fileprivate func note(_ request: Request) {
        let ready = state.withLock { state in
            state.requests.append(request)
            let ready = state.watchers.filter { $0.count <= state.requests.count }
            state.watchers.removeAll { $0.count <= state.requests.count }
            return ready.map(\.continuation)
        }
        for continuation in ready { continuation.resume() }
    }

    private func accept() {
        while true {
            let descriptor = Glibc.accept(listener, nil, nil)
            if descriptor < 0 { break }
            let connection = Connection(descriptor: descriptor, server: self)
            let isStopped = state.withLock { state in
                state.accepted += 1
                if !state.isStopped { state.open[descriptor] = connection }
                return state.isStopped
            }
            if isStopped {
                Glibc.close(descriptor)
                break
            }
            Thread.detachNewThread { [self] in
                script(connection)
                let watchers = state.withLock { state in
                    state.open[descriptor] = nil
                    Glibc.close(descriptor)
                    guard state.open.isEmpty else { return [CheckedContinuation<Void, Never>]() }
                    defer { state.closeWatchers = [] }
                    return state.closeWatchers
                }
                for continuation in watchers { continuation.resume() }
            }
        }
        state.withLock { state in
            state.listenerIsClosed = true
            Glibc.close(listener)
        }
    }
}

/// A port of 127.0.0.1 that is taken, and where nobody listens: connections are refused for as long as this is held.
final class DeafPort: Sendable {
    let number: Int
    private let descriptor: Int32

    init() throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in.loopback(port: 0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = descriptor
        let bound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
            }
        }
        guard bound else { throw POSIXError(.EADDRNOTAVAIL) }
        number = Int(UInt16(bigEndian: address.sin_port))
    }

    deinit { close(descriptor) }
}

/// One accepted connection, used on its own thread.
final class Connection: Sendable {
    let descriptor: Int32
    private let server: LoopbackServer
    private let pending = Mutex<[UInt8]>([])

    init(descriptor: Int32, server: LoopbackServer) {
        self.descriptor = descriptor
        self.server = server
    }

    func write(_ text: String) { write(Array(text.utf8)) }

    @discardableResult
    func write(_ bytes: [UInt8]) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                send(descriptor, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count <= 0 { return false }
            sent += count
        }
        return true
    }

    /// Exactly that many bytes; `nil` where the other side closes before.
    func read(_ count: Int) -> [UInt8]? {
        while pending.withLock({ $0.count }) < count { if !fill() { return nil } }
        return pending.withLock { pending in
            defer { pending.removeFirst(count) }
            return Array(pending[..<count])
        }
    }

    /// The next request with its body; `nil` where the other side closes.
    func readRequest() -> LoopbackServer.Request? {
        var head: [UInt8] = []
        while !head.suffix(4).elementsEqual("\r\n\r\n".utf8) {
            guard let byte = read(1) else { return nil }
            head += byte
        }
        var lines = String(decoding: head, as: UTF8.self).components(separatedBy: "\r\n").filter { !$0.isEmpty }
        var request = LoopbackServer.Request(startLine: lines.removeFirst(), lines: lines, body: [])
        if let length = request.values("Content-Length").first.flatMap({ Int($0) }) {
            guard let body = read(length) else { return nil }
            request.body = body
        }
        server.note(request)
        return request
    }

    /// Blocks until the other side closes or the server stops.
    func waitForClose() { while fill() {} }

    /// Writes `bytes` again and again with a pause between them, until the other side closes.
    func trickle(_ bytes: [UInt8], everyMilliseconds pause: Int32) {
        while write(bytes) {
            var event = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            if poll(&event, 1, pause) > 0 { return }
        }
    }

    /// Ends the connection with a reset rather than an orderly close.
    func reset() {
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<linger>.size))
    }

    /// Passes bytes both ways until either side closes.
    func pass(toPort port: Int) {
        let other = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(other) }
        var address = sockaddr_in.loopback(port: port)
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(other, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard connected == 0 else { return }
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while true {
            var events = [descriptor, other].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            poll(&events, 2, -1)
            for event in events where event.revents != 0 {
                let count = recv(event.fd, &buffer, buffer.count, 0)
                if count <= 0 { return }
                send(event.fd == other ? descriptor : other, buffer, count, Int32(MSG_NOSIGNAL))
            }
        }
    }

    private func fill() -> Bool {
        var buffer = [UInt8](repeating: 0, count: 16_384)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        if count <= 0 { return false }
        pending.withLock { $0 += buffer[..<count] }
        return true
    }
}

extension sockaddr_in {
    fileprivate static func loopback(port: Int) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        address.sin_port = UInt16(port).bigEndian
        return address
    }
}
