import Glibc

extension Database {
    /// Bytes of the file and of its write-ahead log; `nil` where there is none.
    package var sizes: (main: Int?, log: Int?) { (Self.size(of: path), Self.size(of: path + "-wal")) }

    private static func size(of path: String) -> Int? {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : nil
    }
}
