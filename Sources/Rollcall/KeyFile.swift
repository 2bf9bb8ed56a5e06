import Accounts
import Cryptography
import Foundation
import Store

/// The file with the master keys: read by its owner alone, replaced whole or not at all.
struct KeyFile: Sendable {
    let path: String
    /// systemd shows a credential to the unit's group as well.
    var mayBeReadByGroup = false

    func read() throws(ConfigurationError) -> KeyRing {
        var status = stat()
        if stat(path, &status) == 0, status.st_mode & (mayBeReadByGroup ? 0o037 : 0o077) != 0 {
            throw problem("others than its owner may read the master key; run 'chmod 600 \(path)'")
        }
        let text: String
        do {
            text = try String(contentsOfFile: path, encoding: .utf8)
        } catch {
            throw problem("the master key can't be read; check its owner and mode")
        }
        do { return try KeyRing(parsing: text) } catch { throw problem("\(error)") }
    }

    /// A file with one new key, where there is none yet.
    func make(random: some RandomSource) throws -> KeyRing {
        let ring = try KeyRing.generate(random: random)
        let folder = URL(filePath: path).deletingLastPathComponent().path(percentEncoded: false)
        do {
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw ConfigurationError(problems: ["\(folder): the folder for the master key can't be made"])
        }
        // O_EXCL: of two programs that start at once, one makes the key and the other is told to start again.
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw problem("the master key can't be written; check the folder, or start again")
        }
        defer { close(descriptor) }
        try write(ring, to: descriptor)
        try keepEntry(of: path)
        return ring
    }

    /// Puts another ring in the file's place. Whoever reads it meanwhile, or after a crash, finds the old ring or the new
    /// one. Only under the lock of `locked()`.
    func replace(with ring: KeyRing) throws(ConfigurationError) {
        // A link stays a link: what it points to is replaced.
        guard let resolved = realpath(path, nil) else { throw unwritable() }
        let target = String(cString: resolved)
        free(resolved)
        var status = stat()
        guard stat(target, &status) == 0 else { throw unwritable() }
        let temporary = target + ".new"
        unlink(temporary)
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw unwritable() }
        defer { close(descriptor) }
        do throws(ConfigurationError) {
            // Made by root, it must still be the service's to read.
            if status.st_uid != geteuid() || status.st_gid != getegid() {
                guard fchown(descriptor, status.st_uid, status.st_gid) == 0 else {
                    throw problem("the master key belongs to another user; run this as its owner")
                }
            }
            try write(ring, to: descriptor)
            guard rename(temporary, target) == 0 else { throw unwritable() }
            try keepEntry(of: target)
        } catch {
            unlink(temporary)
            throw error
        }
    }

    /// One program at a time changes the file. The kernel ends the lock with the process.
    func locked() throws(ConfigurationError) -> FileHandle {
        let descriptor = open(path + ".lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw unwritable() }
        let handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            throw problem("another rollcall is changing the keys; wait until it has finished")
        }
        return handle
    }

    private func write(_ ring: KeyRing, to descriptor: Int32) throws(ConfigurationError) {
        let file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: false)
        do {
            try file.write(contentsOf: Data(ring.text.utf8))
            try file.synchronize()
        } catch { throw unwritable() }
    }

    /// Every token is worth nothing without this file: its entry in the folder must outlast a power cut too.
    private func keepEntry(of path: String) throws(ConfigurationError) {
        let folder = URL(filePath: path).deletingLastPathComponent().path(percentEncoded: false)
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw unwritable() }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw unwritable() }
    }

    private func unwritable() -> ConfigurationError {
        problem(
            "the master key can't be written (\(String(cString: strerror(errno)))); check the folder, its owner and mode"
        )
    }

    private func problem(_ text: String) -> ConfigurationError { ConfigurationError(problems: ["\(path): \(text)"]) }
}

extension ServiceConfiguration {
    /// Reads the master key; makes the key file where the database is not there yet either.
    func keyRing(random: some RandomSource) throws -> KeyRing {
        switch keySource {
        case .text(let key, let place):
            do {
                return try key.reveal { text throws in try KeyRing(parsing: text) }
            } catch {
                throw ConfigurationError(problems: ["\(place): \(error)"])
            }
        case .credential(let path): return try KeyFile(path: path, mayBeReadByGroup: true).read()
        case .file(let path):
            let file = KeyFile(path: path)
            if FileManager.default.fileExists(atPath: path) { return try file.read() }
            if FileManager.default.fileExists(atPath: databasePath) {
                throw ConfigurationError(problems: [
                    "\(path): the master key is gone, and \(databasePath) can't be read without it; bring the key back"
                ])
            }
            return try file.make(random: random)
        }
    }

    /// Reads the keys again, where they come from something that can change while the program runs.
    var keyRingSource: (@Sendable () throws -> KeyRing)? {
        switch keySource {
        case .text: nil
        case .credential(let path): { try KeyFile(path: path, mayBeReadByGroup: true).read() }
        case .file(let path): { try KeyFile(path: path).read() }
        }
    }

    /// Opens the database, or makes it, with the configured keys.
    func openDatabase(
        time: any TimeSource = SystemTime(), random: some RandomSource = SystemRandom()
    ) throws -> Database {
        try Database(
            path: databasePath, keyRing: try keyRing(random: random), rereadingKeysFrom: keyRingSource, time: time,
            random: random)
    }
}
