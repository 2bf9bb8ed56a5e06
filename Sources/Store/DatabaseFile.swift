import Glibc

/// The file, its companions and its directory: nobody but the service's own user reads them (ASVS 5.0 V14, and the tokens
/// inside are sealed all the same).
enum DatabaseFile {
    /// Creates the directory (0700) and an empty file (0600) where they are missing: SQLite gives its log and its index the
    /// mode of the file. Returns warnings.
    static func prepare(_ path: String) throws(StoreError) -> [String] {
        let directory = directory(of: path)
        try createDirectory(directory)
        let descriptor = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw StoreError(errno: errno, doing: "opening \(path)") }
        close(descriptor)
        guard let mode = mode(of: directory), mode & 0o077 != 0 else { return [] }
        return ["the directory \(directory) is open to other users: chmod 700 it"]
    }

    /// Takes away what other users may do with the file and its companions. Returns warnings.
    static func restrict(_ path: String) -> [String] {
        var warnings: [String] = []
        for file in [path, path + "-wal", path + "-shm"] {
            guard let mode = mode(of: file), mode & 0o077 != 0 else { continue }
            if chmod(file, 0o600) != 0 { warnings.append("the file \(file) is open to other users: chmod 600 it") }
        }
        return warnings
    }

    static func isEmpty(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) != 0 || status.st_size == 0
    }

    static func mode(of path: String) -> mode_t? {
        var status = stat()
        return stat(path, &status) == 0 ? status.st_mode & 0o7777 : nil
    }

    static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    static func createDirectory(_ directory: String) throws(StoreError) {
        if mkdir(directory, 0o700) == 0 || errno == EEXIST { return }
        let code = errno
        let parent = self.directory(of: directory)
        guard code == ENOENT, parent != directory else {
            throw StoreError(errno: code, doing: "creating the directory \(directory)")
        }
        try createDirectory(parent)
        guard mkdir(directory, 0o700) == 0 || errno == EEXIST else {
            throw StoreError(errno: errno, doing: "creating the directory \(directory)")
        }
    }
}
