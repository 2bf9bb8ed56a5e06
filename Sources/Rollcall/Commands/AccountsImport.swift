import Accounts
import ArgumentParser
import Foundation
import Providers
import Store

extension AccountsCommand {
    struct Import: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take over accounts and their tokens from another system.",
            discussion: """
                Examples:  rollcall accounts import accounts.ndjson
                           ssh old-host ./export | rollcall accounts import -

                Newline-delimited JSON, one account a line:

                  {"user_id": "42", "provider": "github", "subject": "583231", "access_token": "…",
                   "refresh_token": "…", "expires_at": "2026-12-01T00:00:00Z", "scopes": ["read:user"]}

                refresh_token, expires_at and scopes may be left out. The provider must be configured. A wrong line is \
                reported with its number and ends the import; the accounts before it stay, and the same file may be \
                imported again. With --keep-going wrong lines are skipped. Exits 0 where every line was taken, 1 where \
                some were skipped, 65 where a line ended it.
                """)

        static let batchSize = 500

        @Argument(help: "The file; - reads standard input.", completion: .file()) var file: String
        @Flag(help: "Skip wrong lines instead of ending at the first.") var keepGoing = false
        @Flag(help: "Make the accounts due at once instead of spreading them over one sync interval.") var due = false
        @OptionGroup var options: ConfigurationOptions

        func run() async throws {
            let configuration = try options.load()
            try await reportingFailures(database: configuration.databasePath) {
                let catalog = try ServiceAssembly.catalog(configuration)
                let random = SystemRandom()
                let handle = try open()
                let database = try configuration.openDatabase(random: random)
                defer { database.close() }
                let reader = AccountLine(catalog: catalog, isDue: due, clock: SystemTime(), random: random)
                var work = ImportWork(
                    database: database, reader: reader, keepGoing: keepGoing, totalBytes: size(of: handle))
                try await work.run(LineReader(handle))
            }
        }

        private func open() throws -> FileHandle {
            if file == "-" { return .standardInput }
            var isFolder: ObjCBool = false
            guard FileManager.default.fileExists(atPath: file, isDirectory: &isFolder), !isFolder.boolValue,
                let handle = FileHandle(forReadingAtPath: file)
            else {
                Terminal.note("\(file): the file can't be read; check that it exists, is no folder, and its mode")
                throw ExitCode.badInput
            }
            return handle
        }

        private func size(of handle: FileHandle) -> Int? {
            var status = stat()
            guard fstat(handle.fileDescriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
            return Int(status.st_size)
        }
    }
}

/// Reads lines, checks them, and stores them in batches; memory does not grow with the file.
private struct ImportWork {
    let database: Database
    let reader: AccountLine
    let keepGoing: Bool
    let totalBytes: Int?
    var created = 0
    var replaced = 0
    var unchanged = 0
    var skipped = 0
    private var seen = SeenAccounts()
    private var batch: [(line: Int, account: ImportedAccount)] = []

    init(database: Database, reader: AccountLine, keepGoing: Bool, totalBytes: Int?) {
        self.database = database
        self.reader = reader
        self.keepGoing = keepGoing
        self.totalBytes = totalBytes
    }

    mutating func run(_ lines: LineReader) async throws {
        var lines = lines
        let bar = ProgressBar("Importing", total: totalBytes, isCount: false)
        defer { bar.finish() }
        while true {
            do {
                guard let line = try lines.next() else { break }
                if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 }) { continue }
                let account = try reader.read(line)
                if let first = seen.insert(account.provider, account.subject, line: lines.lineNumber) {
                    throw AccountLine.Fault(reason: "the same account as on line \(first); keep one of the two")
                }
                batch.append((lines.lineNumber, account))
                if batch.count >= AccountsCommand.Import.batchSize { try await flush() }
            } catch let fault as AccountLine.Fault {
                bar.finish()
                try await flush()
                try refuse(line: lines.lineNumber, fault.reason)
            } catch is LineReader.LineTooLong {
                bar.finish()
                try await flush()
                try refuse(line: lines.lineNumber, "longer than 1 MiB; no account is")
            }
            bar.advance(to: lines.byteCount, note: "\(stored) accounts")
        }
        try await flush()
        bar.finish()
        Terminal.say("\(created) created, \(replaced) replaced, \(unchanged) unchanged, \(skipped) skipped")
        if skipped > 0 { throw ExitCode.someFailed }
    }

    private var stored: Int { created + replaced + unchanged }

    private mutating func refuse(line: Int, _ reason: String) throws {
        Terminal.note("line \(line): \(reason)")
        skipped += 1
        guard !keepGoing else { return }
        Terminal.note(
            "Ended at line \(line); accounts stored before it: \(stored). "
                + "Mend the line and import the file again, or skip wrong lines with --keep-going.")
        throw ExitCode.badInput
    }

    private mutating func flush() async throws {
        var batch = batch
        self.batch.removeAll(keepingCapacity: true)
        guard !batch.isEmpty else { return }
        if !keepGoing, let index = try await firstHeldByAnother(batch) {
            let line = batch[index].line
            batch.removeSubrange(index...)
            try await store(batch)
            try refuse(line: line, Self.conflict)
        }
        try await store(batch)
    }

    private static let conflict = "another user holds this account; unlink it there first"

    /// Looked up beforehand, so that nothing behind that line is stored.
    private func firstHeldByAnother(_ batch: [(line: Int, account: ImportedAccount)]) async throws -> Int? {
        for (index, (_, account)) in batch.enumerated() {
            let held = try await database.accounts.account(provider: account.provider, subject: account.subject)
            if let held, held.userID != account.userID { return index }
        }
        return nil
    }

    private mutating func store(_ batch: [(line: Int, account: ImportedAccount)]) async throws {
        let outcomes = try await database.accounts.importAccounts(batch.map(\.account))
        for (entry, outcome) in zip(batch, outcomes) {
            switch outcome {
            case .created: created += 1
            case .replaced: replaced += 1
            case .unchanged: unchanged += 1
            case .conflict: try refuse(line: entry.line, Self.conflict)
            }
        }
    }
}

/// Remembers on which line an account stood, for the last 131,072 lines at least: in memory that is bounded however
/// long the file is.
struct SeenAccounts {
    private static let generationMax = 1 << 17

    /// By a hash of 64 bits under a key of this process: two accounts in 10^13 are taken for one.
    private var recent: [Int: UInt32] = [:]
    private var earlier: [Int: UInt32] = [:]

    init() { recent.reserveCapacity(Self.generationMax) }

    /// The line that had the account before, if one did.
    mutating func insert(_ provider: ProviderID, _ subject: Subject, line: Int) -> Int? {
        var hasher = Hasher()
        hasher.combine(provider)
        hasher.combine(subject)
        let hash = hasher.finalize()
        if let first = recent[hash] ?? earlier[hash] { return Int(first) }
        if recent.count >= Self.generationMax {
            earlier = recent
            recent = [:]
            recent.reserveCapacity(Self.generationMax)
        }
        recent[hash] = UInt32(clamping: line)
        return nil
    }
}
