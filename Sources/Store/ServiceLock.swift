import Glibc
import Synchronization

/// Held by the one process that serves from a database: a lock of `flock(2)` on the file `<database>.lock`. The kernel
/// frees it however the process ends.
package final class ServiceLock: Sendable {
    private let descriptor: Mutex<Int32?>

    private init(_ descriptor: Int32) { self.descriptor = Mutex(descriptor) }
    deinit { release() }

    /// Throws `.alreadyServing` with the other's process id.
    package static func acquire(databasePath: String) throws(StoreError) -> ServiceLock {
        let path = databasePath + ".lock"
        try DatabaseFile.createDirectory(DatabaseFile.directory(of: databasePath))
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw StoreError(errno: errno, doing: "opening \(path)") }
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            let code = errno
            if code == EINTR { continue }
            let pid = readPID(descriptor)
            close(descriptor)
            throw code == EWOULDBLOCK ? .alreadyServing(pid: pid) : StoreError(errno: code, doing: "locking \(path)")
        }
        // The id is for the message alone: without it the lock holds as well.
        let text = Array("\(getpid())\n".utf8)
        if ftruncate(descriptor, 0) == 0 { _ = pwrite(descriptor, text, text.count, 0) }
        return ServiceLock(descriptor)
    }

    package func release() {
        descriptor.withLock { descriptor in
            if let open = descriptor { close(open) }
            descriptor = nil
        }
    }

    private static func readPID(_ descriptor: Int32) -> Int32? {
        var bytes = [UInt8](repeating: 0, count: 16)
        let count = pread(descriptor, &bytes, bytes.count, 0)
        return Int32(String(decoding: bytes.prefix(max(count, 0)).prefix { $0 != 0x0a }, as: UTF8.self))
    }
}
