import Foundation

/// Why nobody can listen where the configuration says, in words: looked into once listening has failed.
struct ListenFailure: Error, CustomStringConvertible {
    let description: String

    init?(_ configuration: ServiceConfiguration) {
        if let port = configuration.operatorPort,
            let failure = ListenFailure(
                host: configuration.operatorHost, hostKey: "http.operator_host",
                hostPlace: configuration.place(of: "http.operator_host"), port: port,
                portName: "http.operator_port, from: \(configuration.place(of: "http.operator_port"))")
        {
            self = failure
            return
        }
        self.init(
            host: configuration.host, hostPlace: configuration.place(of: "http.host"), port: configuration.port,
            portName: "http.port, from: \(configuration.place(of: "http.port"))")
    }

    /// The simulator's own address.
    init?(simulatorPort port: Int) {
        self.init(host: "127.0.0.1", hostPlace: "the simulator", port: port, portName: "the simulator's")
    }

    /// `nil` where the address can be listened on, so that something else must have failed.
    private init?(host: String, hostKey: String = "http.host", hostPlace: String, port: Int, portName: String) {
        let address = "\(host.contains(":") ? "[\(host)]" : host):\(port)"
        switch Self.attempt(host: host, port: port) {
        case .possible: return nil
        case .noAddress:
            description =
                "\(hostPlace): \(hostKey) is '\(host)', which is no address of this machine; 127.0.0.1 is for a proxy on "
                + "this machine, 0.0.0.0 for every network"
        case .failed(EADDRINUSE):
            description = "\(address) is in use by another program; stop it, or choose another port (\(portName))"
        case .failed(EACCES):
            description = "\(address) needs more rights than this user has; choose a port above 1023 (\(portName))"
        case .failed(let code): description = "\(address) can't be listened on: \(String(cString: strerror(code)))"
        }
    }

    private enum Attempt { case possible, noAddress, failed(Int32) }

    private static func attempt(host: String, port: Int) -> Attempt {
        var hints = addrinfo()
        hints.ai_flags = AI_PASSIVE
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, String(port), &hints, &found) == 0, let first = found else { return .noAddress }
        defer { freeaddrinfo(found) }
        let descriptor = socket(first.pointee.ai_family, first.pointee.ai_socktype, 0)
        guard descriptor >= 0 else { return .failed(errno) }
        defer { close(descriptor) }
        var isOn: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &isOn, socklen_t(MemoryLayout<Int32>.size))
        guard bind(descriptor, first.pointee.ai_addr, first.pointee.ai_addrlen) == 0 else {
            return errno == EADDRNOTAVAIL ? .noAddress : .failed(errno)
        }
        // Two may bind with SO_REUSEADDR; only one may listen.
        return listen(descriptor, 1) == 0 ? .possible : .failed(errno)
    }
}
