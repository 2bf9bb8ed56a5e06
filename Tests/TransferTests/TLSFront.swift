import Foundation
import TestSupport

/// Certificates for one test run, made with the openssl command in a folder of their own.
struct Certificates {
    let folder: URL

    /// A certificate authority, `ca.pem`, that no system trusts.
    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "transfer-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try run(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
            path("ca.key"), "-out", path("ca.pem"), "-subj", "/CN=EXAMPLE CA", "-days", "2")
    }

    var caFile: String { path("ca.pem") }

    /// `name.pem` and `name.key` for 127.0.0.1 and localhost, or the names given; `days` may lie in the past.
    func issue(_ name: String, for names: String = "IP:127.0.0.1,DNS:localhost", days: Int = 2) throws {
        try run(
            "openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
            path("\(name).key"), "-out", path("\(name).csr"), "-subj", "/CN=EXAMPLE")
        try Data("subjectAltName=\(names)\n".utf8).write(to: folder.appending(path: "\(name).ext"))
        try run(
            "openssl", "x509", "-req", "-in", path("\(name).csr"), "-CA", caFile, "-CAkey", path("ca.key"),
            "-CAcreateserial", "-out", path("\(name).pem"), "-days", "\(days)", "-extfile", path("\(name).ext"))
    }

    /// Signed by itself.
    func issueSelfSigned(_ name: String) throws {
        try run(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
            path("\(name).key"), "-out", path("\(name).pem"), "-subj", "/CN=localhost", "-addext",
            "subjectAltName=IP:127.0.0.1,DNS:localhost", "-days", "2")
    }

    func path(_ name: String) -> String { folder.appending(path: name).path }
    func remove() { try? FileManager.default.removeItem(at: folder) }  // a temporary folder may stay behind
}

/// Ends TLS in front of a loopback server: each connection is passed on in the clear. Runs on Python's ssl module.
final class TLSFront {
    enum Version: String { case any, tls1_1, tls1_2, tls1_3 }

    let port: Int
    private let process: ChildProgram
    private let input = Pipe()
    /// Held for as long as the program is there: it may write its one line in two pieces.
    private let output = Pipe()

    init(
        _ server: LoopbackServer, _ certificates: Certificates, certificate: String, protocols: [String] = ["http/1.1"],
        version: Version = .any
    ) throws {
        process = try ChildProgram(
            "python3",
            [
                "-c", Self.program, certificates.path("\(certificate).pem"), certificates.path("\(certificate).key"),
                "\(server.port)", protocols.joined(separator: ","), version.rawValue,
            ], input: input.fileHandleForReading.fileDescriptor, output: output.fileHandleForWriting.fileDescriptor)
        try output.fileHandleForWriting.close()
        // One line, once it listens.
        let line = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
        guard let port = Int(line.trimmingCharacters(in: .whitespacesAndNewlines)) else {
            throw CommandFailure(command: "python3", status: 0, output: line)
        }
        self.port = port
    }

    func url(_ path: String = "/", host: String = "127.0.0.1") -> String { "https://\(host):\(port)\(path)" }

    func stop() { try? input.fileHandleForWriting.close() }  // what is closed already has stopped

    /// Leaves when its standard input closes, so that it can't outlive the tests either.
    private static let program = """
        import os, select, socket, ssl, sys, threading
        certificate, key, target, protocols, version = sys.argv[1:6]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.set_alpn_protocols(protocols.split(","))
        if version != "any":
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = getattr(ssl.TLSVersion, version.upper().replace("TLS", "TLSv"))
            context.set_ciphers("ALL:@SECLEVEL=0")
        def serve(raw):
            try:
                with raw, context.wrap_socket(raw, server_side=True) as tls, \\
                        socket.create_connection(("127.0.0.1", int(target))) as plain:
                    while True:
                        ready = [tls] if tls.pending() else select.select([tls, plain], [], [])[0]
                        for source in ready:
                            data = source.recv(65536)
                            if not data: return
                            (plain if source is tls else tls).sendall(data)
            except (ssl.SSLError, OSError): pass
        def leave():
            sys.stdin.read()
            os._exit(0)
        threading.Thread(target=leave, daemon=True).start()
        listener = socket.create_server(("127.0.0.1", 0))
        print(listener.getsockname()[1], flush=True)
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
        """
}
