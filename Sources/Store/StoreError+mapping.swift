import GRDB
import Glibc

extension StoreError {
    /// What an error of SQLite, GRDB or the file system means. SQLite's messages name tables and columns, never values.
    init(_ error: any Error) {
        switch error {
        case let error as StoreError: self = error
        case let error as DatabaseError:
            self.init(code: error.resultCode.rawValue, message: error.message ?? error.resultCode.description)
        default: self = .io("\(type(of: error))")
        }
    }

    /// `code`: a primary or extended result code (sqlite.org/rescode.html).
    init(code: Int32, message: String) {
        switch code & 0xff {
        case DatabaseError.SQLITE_FULL.rawValue: self = .diskFull
        case DatabaseError.SQLITE_BUSY.rawValue, DatabaseError.SQLITE_LOCKED.rawValue: self = .locked
        case DatabaseError.SQLITE_READONLY.rawValue, DatabaseError.SQLITE_PERM.rawValue: self = .readOnly
        case DatabaseError.SQLITE_CORRUPT.rawValue: self = .corrupt
        case DatabaseError.SQLITE_NOTADB.rawValue: self = .notADatabase
        case DatabaseError.SQLITE_MISUSE.rawValue where message.contains("closed"): self = .closed
        default: self = .io(message)
        }
    }

    /// From `errno` after a call of the file system.
    init(errno code: Int32, doing what: String) {
        switch code {
        case ENOSPC, EDQUOT: self = .diskFull
        case EROFS, EACCES, EPERM: self = .readOnly
        default: self = .io("\(what): \(String(cString: strerror(code)))")
        }
    }
}
