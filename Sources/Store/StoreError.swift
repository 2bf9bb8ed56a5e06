package import Accounts

/// Why the database did not do what was asked. Each says what to do; none holds a value from a row.
package enum StoreError: Error, Equatable {
    /// No room left on the disk, or the database reached its own size limit. Nothing of the transaction was written.
    case diskFull
    /// Another program holds the database longer than we wait.
    case locked
    /// The file, its directory or the file system can't be written.
    case readOnly
    /// A page is not what SQLite wrote.
    case corrupt
    /// The file is something else than a Rollcall database.
    case notADatabase
    /// A later version of the program has migrated the database.
    case newerDatabase(migration: String)
    /// A migration was edited after it had been applied.
    case editedMigration(String)
    /// Rows are sealed under keys that the key ring lacks, named by their ids.
    case wrongKey(missing: [String])
    /// The sealed tokens of an account do not open: changed outside the program, or sealed under `missingKey`.
    case credentialDamaged(AccountID, missingKey: String? = nil)
    /// Something else that was sealed does not open.
    case damaged(String)
    /// Another process serves from this database.
    case alreadyServing(pid: Int32?)
    /// The database was closed.
    case closed
    /// The caller's values contradict what is stored; the reason names fields only.
    case inconsistent(String)
    /// Anything else that the file system or SQLite reports, in its words.
    case io(String)
}

extension StoreError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .diskFull: "the disk is full: nothing was changed; free some space and try again"
        case .locked: "the database is locked by another program: stop it, or try again when it has finished"
        case .readOnly: "the database can't be written: check the permissions of the file, its directory and the mount"
        case .corrupt: "the database is damaged: stop the service and restore the last backup"
        case .notADatabase: "the file is not a Rollcall database: check database.path"
        case .newerDatabase(let migration):
            "the database was migrated by a newer version (\(migration)): run that version, or restore a backup"
        case .editedMigration(let name):
            "migration \(name) is not the one that was applied: run the version that applied it"
        case .wrongKey(let missing):
            "the vault key is not the one this database is sealed with: it needs \(missing.joined(separator: ", "))"
        case .credentialDamaged(let id, nil):
            "the sealed tokens of \(id) do not open: they were changed outside the program; the user has to link again"
        case .credentialDamaged(let id, let key?):
            "the tokens of \(id) are sealed under key \(key), which the key ring lacks: add it"
        case .damaged(let what): "\(what) does not open: it was changed outside the program"
        case .alreadyServing(let pid?): "process \(pid) already serves from this database: stop it first"
        case .alreadyServing(nil): "another process already serves from this database: stop it first"
        case .closed: "the database is closed"
        case .inconsistent(let reason): reason
        case .io(let message): "the database can't be used: \(message)"
        }
    }
}
